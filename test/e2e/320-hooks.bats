#!/usr/bin/env bats
# Hook directories: which hooks apply, at which moment, and what their failure means.
load helpers

setup()
{
	kist_only
	setup_store
	H=$STORE/hooks
	mkdir "$H" "$STORE/other"
	LOG=$STORE/log
	cat >"$STORE/note" <<-'END'
		#!/bin/sh
		# note LOG STAGE [WORD]: the stage, and the state's status, whether it has a pid, its bundle.
		state=$(cat)
		echo "$2 $(jq -r '"\(.status) \(.pid != null) \(.annotations.note // "-")"' <<E
		$state
		E
		)${3:+ $3}" >>"$1"
		[ "$(jq -r .ociVersion <<E
		$state
		E
		)" != null ]
	END
	chmod 0755 "$STORE/note"
}

teardown()
{
	teardown_store
}

# hook FILE STAGES-JSON WHEN-JSON PROGRAM [ARGUMENT...]
hook()
{
	local file=$1 stages=$2 when=$3 program=$4
	shift 3
	jq -n --arg path "$program" --argjson stages "$stages" --argjson when "$when" --arg PATH "$PATH" \
		'{version:"1.0.0",hook:{path:$path,args:$ARGS.positional,env:["PATH="+$PATH]},when:$when,stages:$stages}' --args "$@" >"$file"
}

@test "hooks: every stage in its order, conditions, override by name, poststop once" {
	local stage
	for stage in prestart createRuntime createContainer startContainer poststart poststop; do
		hook "$H/10-$stage.json" "[\"$stage\"]" '{"always":true}' "$STORE/note" "$LOG" "$stage"
	done
	# createContainer and startContainer run in the container's namespaces: of a root that has the host's files.
	rm "$H/10-startContainer.json"
	hook "$H/20-image.json" '["startContainer"]' '{"always":true}' /bin/touch /from-the-hook
	hook "$H/30-never.json" '["prestart"]' '{}' "$STORE/note" "$LOG" never
	hook "$H/40-annotation.json" '["prestart"]' '{"annotations":{"^note$":"^y"},"commands":["/sh$","^sh$"]}' "$STORE/note" "$LOG" annotation
	hook "$H/50-mounts.json" '["prestart"]' '{"hasBindMounts":true}' "$STORE/note" "$LOG" mounts
	hook "$H/60-replaced.json" '["prestart"]' '{"always":true}' "$STORE/note" "$LOG" replaced
	hook "$STORE/other/60-replaced.json" '["prestart"]' '{"always":true}' "$STORE/note" "$LOG" replacement
	equal yes "$(kist run --rm --hooks-dir "$H" --hooks-dir "$STORE/other" --annotation note=yes busybox sh -c 'test -e /from-the-hook && echo yes')"
	equal 'prestart creating true yes
annotation creating true yes
replacement creating true yes
createRuntime creating true yes
createContainer creating true yes
poststart running true yes
poststop stopped false yes' "$(cat "$LOG")"
	# Another command, another annotation, a bind mount; relative directories; start, stop, start, rm.
	rm "$LOG" "$H"/10-c* "$H/10-poststart.json"
	cd "$STORE"
	kist create --name c --hooks-dir hooks -v "$STORE/other:/o" busybox sleep 1000 >/dev/null
	[ ! -e "$LOG" ]
	cd /
	kist start c >/dev/null
	kist stop -t 0 c >/dev/null
	kist start c >/dev/null
	kist rm -f -t 0 c >/dev/null
	local run=$'prestart creating true -\nmounts creating true -\nreplaced creating true -\npoststop stopped false -'
	equal "$run"$'\n'"$run" "$(cat "$LOG")"
	# None asked for; and no directory of that name.
	rm "$LOG"
	kist run --rm --hooks-dir '' busybox true
	kist run --rm --hooks-dir /no/such busybox true
	[ ! -e "$LOG" ]
	engine_error kist create --hooks-dir '' --hooks-dir "$H" busybox true
	# By kist.conf.
	echo "hooks_dir.0=$H" >"$STORE/conf"
	KIST_CONF=$STORE/conf kist run --rm busybox true
	equal 'prestart creating true -
replaced creating true -
poststop stopped false -' "$(cat "$LOG")"
}

@test "hooks: what hooks of create mount below root.path the container has" {
	echo mounted >"$STORE/file"
	cat >"$STORE/bind" <<-END
		#!/bin/sh
		state=\$(cat)
		root=\$(jq -r .root.path "\$(echo "\$state" | jq -r .bundle)/config.json")
		case \$1 in
		prestart) nsenter -t "\$(echo "\$state" | jq -r .pid)" -m mount --bind "$STORE/file" "\$root/etc/group" ;;
		createContainer) mount --bind "$STORE/file" "\$root/etc/passwd" ;;
		esac
	END
	chmod 0755 "$STORE/bind"
	hook "$H/prestart.json" '["prestart"]' '{"always":true}' "$STORE/bind" prestart
	hook "$H/createContainer.json" '["createContainer"]' '{"always":true}' "$STORE/bind" createContainer
	local both=$'mounted\nmounted'
	equal "$both" "$(kist run --rm --user 0:0 --hooks-dir "$H" busybox cat /etc/group /etc/passwd)"
	mkdir "$STORE/dir"
	tar -C "$STORE/dir" -xf "$E2E_CACHE/busybox.tar"
	touch "$STORE/dir/etc/group" "$STORE/dir/etc/passwd"
	equal "$both" "$(kist run --rm --user 0:0 --hooks-dir "$H" --rootfs "$STORE/dir" cat /etc/group /etc/passwd)"
	kist create --name c --user 0:0 --hooks-dir "$H" busybox cat /etc/group /etc/passwd >/dev/null
	kist start c >/dev/null
	in_state c exited
	equal "$both" "$(kist logs c)"
	equal 0 "$(find "$RUNROOT/containers" -name rootfs | wc -l)" 'directories left'
	equal 0 "$(grep -c "$STORE/dir\|$RUNROOT/containers" /proc/self/mountinfo)" 'mounts on the host'
	kist rm c >/dev/null
	rm -r "$STORE/dir"
	clean
}

@test "hooks: failures, time-outs, files that are wrong" {
	local stage
	printf '#!/bin/sh\ncat >/dev/null; echo "no, thank you" >&2; exit 3\n' >"$STORE/fail"
	printf '#!/bin/sh\nsleep 300 & sleep 300\n' >"$STORE/hang"
	chmod 0755 "$STORE/fail" "$STORE/hang"
	hook "$H/poststop.json" '["poststop"]' '{"always":true}' "$STORE/note" "$LOG" poststop
	for stage in prestart createRuntime createContainer; do
		hook "$H/fail.json" "[\"$stage\"]" '{"always":true}' "$STORE/fail"
		engine_error kist run --rm --hooks-dir "$H" busybox touch "$STORE/ran"
		contains "$stderr" "$stage hook $STORE/fail: exit code 3: no, thank you"
		equal 'poststop stopped false -' "$(cat "$LOG")" "after $stage"
		rm "$LOG"
		clean
	done
	hook "$H/fail.json" '["startContainer"]' '{"always":true}' /bin/false
	engine_error kist run --rm --hooks-dir "$H" busybox true
	contains "$stderr" 'startContainer hook /bin/false: exit code 1'
	hook "$H/fail.json" '["poststart","poststop"]' '{"always":true}' "$STORE/fail"
	equal ok "$(kist run --rm --hooks-dir "$H" busybox echo ok)"
	# The whole group of a hook is killed.
	hook "$H/fail.json" '["createRuntime"]' '{"always":true}' "$STORE/hang"
	jq '.hook.timeout = 1' "$H/fail.json" >"$H/hang.json"
	rm "$H/fail.json"
	engine_error kist run --rm --hooks-dir "$H" busybox true
	contains "$stderr" 'did not end within 1 s'
	clean
	rm "$H/hang.json"
	# Wrong files keep every container from starting, by name.
	hook "$H/wrong.json" '["createRuntime"]' '{"always":true}' "$STORE/fail"
	jq '.version = "0.1.0"' "$H/wrong.json" >"$STORE/other/old.json"
	engine_error kist run --rm --hooks-dir "$STORE/other" busybox true
	contains "$stderr" "$STORE/other/old.json"
	contains "$stderr" "version '0.1.0' is not supported"
	echo '{' >"$STORE/other/old.json"
	engine_error kist run --rm --hooks-dir "$STORE/other" busybox true
	hook "$STORE/other/old.json" '["midlife"]' '{"always":true}' "$STORE/fail"
	engine_error kist run --rm --hooks-dir "$STORE/other" busybox true
	contains "$stderr" "'midlife' is not a stage"
}

@test "hooks: precreate rewrites the plan, within bounds, and sees no secret" {
	filter()
	{
		printf '#!/bin/sh\ntee -a %s | jq %s\n' "$LOG" "'$1'" >"$STORE/filter"
		chmod 0755 "$STORE/filter"
	}
	printf 'the secret' | kist secret create s - >/dev/null
	hook "$H/10-filter.json" '["precreate"]' '{"always":true}' "$STORE/filter"
	filter '.process.env += ["ADDED=by the hook"] | .mounts += [{"destination":"/added","type":"tmpfs","source":"tmpfs","options":["size=64k"]}] | .hostname = "rewritten"'
	run -0 kist run --rm --hooks-dir "$H" --secret s,type=env,target=S busybox sh -c 'echo "$ADDED $S"; hostname; grep -c " /added " /proc/mounts'
	equal $'by the hook the secret\nrewritten\n1' "$output"
	lacks "$(cat "$LOG")" 'the secret'
	contains "$(cat "$LOG")" '"hostname"'
	for change in '.root.path = "/"' '.process.terminal = true' '.linux.cgroupsPath = "/"' 'del(.process)' \
		'.linux.uidMappings = [{"containerID":0,"hostID":0,"size":1}]'; do
		filter "$change"
		engine_error kist run --rm --hooks-dir "$H" busybox true
		contains "$stderr" 'precreate hook'
	done
	filter '"text"'
	engine_error kist run --rm --hooks-dir "$H" busybox true
	filter '.process.capabilities.bounding = ["CAP_NO_SUCH"] | .process.cwd = "relative"'
	engine_error kist run --rm --hooks-dir "$H" busybox true
	contains "$stderr" "$STORE/filter"
	kist secret rm s >/dev/null
}

@test "hooks: nobody waits for poststop hooks but who asked for the end" {
	cat >"$STORE/slow" <<-END
		#!/bin/sh
		cat >/dev/null
		until [ -e "$STORE/go" ]; do sleep 0.05; done
		touch "$STORE/done"
	END
	chmod 0755 "$STORE/slow"
	hook "$H/slow.json" '["poststop"]' '{"always":true}' "$STORE/slow"
	kist run --name c --hooks-dir "$H" busybox true >/dev/null 2>&1 3>&- &
	local front=$!
	in_state c exited 20
	# The lock is free: what takes it answers.
	run -0 kist rename c d
	run -0 kist ps -a --sync
	run -0 kist inspect d
	run -0 kist start d
	in_state d exited 20
	[ ! -e "$STORE/done" ] || fail 'the hooks have ended'
	kill -0 "$front"
	touch "$STORE/go"
	wait "$front"
	until_true 10 test -e "$STORE/done"
}
