#!/usr/bin/env bats
# What the rest of run's options do.
load helpers

@test "-e, --env-file: values, from the host, precedence" {
	run -0 kist run --rm -e A=1 -e B='x y' -e C= busybox sh -c 'echo "$A|$B|$C|${C-unset}"'
	equal '1|x y||' "$output"
	FROM_HOST=host run -0 env FROM_HOST=host bash -c "$(declare -f kist kist_command is_podman); kist run --rm -e FROM_HOST -e NOT_SET_ANYWHERE busybox env"
	contains "$output" FROM_HOST=host
	lacks "$output" NOT_SET_ANYWHERE
	printf 'A=file\nB=file b\n# comment\n\nFROM_HOST\n' >"$STORE/env"
	run -0 env FROM_HOST=host bash -c "$(declare -f kist kist_command is_podman); kist run --rm --env-file '$STORE/env' -e A=option busybox sh -c 'echo \"\$A|\$B|\$FROM_HOST\"'"
	equal 'option|file b|host' "$output"
	engine_error kist run --rm --env-file /no/such busybox true
}

@test "environment: what is always there" {
	run -0 kist run --rm -h name busybox env
	contains "$output" 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
	matches 'container=' "$output"
	contains "$output" HOSTNAME=name
	contains "$output" HOME=/root
	contains "$(kist run --rm -u user busybox env)" HOME=/home
	lacks "$output" E2E_
	lacks "$output" BATS
}

@test "--unsetenv, --unsetenv-all, --env-host" {
	kist_only
	kist import --change ENV=IMAGE=1 "$E2E_CACHE/busybox.tar" withenv >/dev/null
	run -0 kist run --rm --unsetenv IMAGE withenv env
	lacks "$output" IMAGE=
	run -0 kist run --rm --unsetenv-all withenv /bin/env
	lacks "$output" IMAGE=
}

@test "--http-proxy passes the host's proxies on" {
	run -0 env http_proxy=http://p:1 bash -c "$(declare -f kist kist_command is_podman); kist run --rm busybox env"
	contains "$output" http_proxy=http://p:1
	run -0 env http_proxy=http://p:1 bash -c "$(declare -f kist kist_command is_podman); kist run --rm --http-proxy=false busybox env"
	lacks "$output" http_proxy
}

@test "-u: names, numbers, groups" {
	equal '1000 1000' "$(kist run --rm -u user busybox sh -c 'echo $(id -u) $(id -g)')"
	equal '4711 0' "$(kist run --rm -u 4711 busybox sh -c 'echo $(id -u) $(id -g)')"
	equal '33 100' "$(kist run --rm -u www-data:users busybox sh -c 'echo $(id -u) $(id -g)')"
	equal '5 6' "$(kist run --rm -u 5:6 busybox sh -c 'echo $(id -u) $(id -g)')"
	equal '1000 29 100' "$(kist run --rm -u user busybox id -G)"
	equal '1000 1000' "$(kist run --rm -u user:user busybox sh -c 'echo $(id -u) $(id -g)')"
	run ! kist run --rm -u nosuch busybox true
	run ! kist run --rm -u user:nosuch busybox true
	run ! kist run --rm -u 1x busybox id
	kist_only
	engine_error kist run --rm -u 4294967296 busybox true
	engine_error kist run --rm -u -1 busybox true
}

@test "--group-add" {
	contains " $(kist run --rm --group-add audio --group-add 777 busybox id -G) " ' 777 '
	contains " $(kist run --rm --group-add audio --group-add 777 busybox id -G) " ' 29 '
	run ! kist run --rm --group-add nosuch busybox true
}

@test "--label, --label-file, --annotation" {
	printf 'from=file\n' >"$STORE/labels"
	kist create --name c --label a=b --label-file "$STORE/labels" --annotation note=here busybox true >/dev/null
	equal '{"a":"b","from":"file"}' "$(kist inspect c | jq -cS '.[0].Config.Labels')"
	equal here "$(kist inspect c | jq -r '.[0].Config.Annotations.note')"
}

@test "--tz, --umask" {
	kist_only
	equal 0027 "$(kist run --rm --umask 0027 busybox sh -c umask)"
	equal 0022 "$(kist run --rm busybox sh -c umask)"
	engine_error kist run --rm --umask 999 busybox true
	if [ -e /usr/share/zoneinfo/Asia/Tokyo ]; then
		run -0 kist run --rm --tz Asia/Tokyo busybox cat /etc/localtime
		run -125 kist run --rm --tz No/Such busybox true
	fi
	run -125 kist run --rm --tz ../../etc/passwd busybox true
}

@test "--ulimit" {
	equal '512 1024' "$(kist run --rm --ulimit nofile=512:1024 busybox sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')"
	equal '100 100' "$(kist run --rm --ulimit fsize=51200 busybox sh -c 'echo $(ulimit -Sf) $(ulimit -Hf)')"
	run -125 kist run --rm --ulimit nosuch=1 busybox true
	run -125 kist run --rm --ulimit nofile=9:3 busybox true
	kist_only
	equal "$(ulimit -Hn)" "$(kist run --rm --ulimit host busybox sh -c 'ulimit -Hn')"
}

@test "--oom-score-adj" {
	equal 321 "$(kist run --rm --oom-score-adj 321 busybox cat /proc/self/oom_score_adj)"
}

@test "--init: reaps and forwards" {
	equal 7 "$(kist run --rm --init busybox sh -c 'exit 7'; echo $?)"
	run -0 kist run --rm --init busybox sh -c '(sleep 0.1 &) ; sleep 0.5; ps -o pid,stat,comm'
	lacks "$output" ' Z '
	kist run -d --name c --init busybox sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null
	until_true 10 log_has c ready
	run -0 kist stop c
	equal 9 "$(kist inspect --format '{{.State.ExitCode}}' c)"
	kist_only
	run -127 kist run --rm --init busybox /no/such
}

@test "--init on a terminal: what ctrl-z stops goes on, and ctrl-c ends it" {
	terminal_start "$(run_command) -it --rm --init busybox sh -c 'echo ready; exec sleep 50'"
	until_true 10 screen_has ready
	type_keys '\x1a'
	stays 3 kill -0 "$TERMINAL"
	type_keys '\x03'
	local code=0
	terminal_end || code=$?
	equal 130 "$code"
}

@test "--cidfile, --pidfile" {
	id=$(sleeper --cidfile "$STORE/cid" --pidfile "$STORE/pid")
	equal "$id" "$(cat "$STORE/cid")"
	equal "$(pid_of "$id")" "$(cat "$STORE/pid")"
	engine_error kist run --rm --cidfile "$STORE/cid" busybox true
	contains "$stderr" "$STORE/cid"
}

@test "--sig-proxy: the command line passes signals on" {
	$(run_command) --name c busybox sh -c 'trap "exit 44" TERM; echo ready; while :; do sleep 0.1; done' >"$STORE/out" 3>&- &
	local front=$! code=0
	until_true 10 grep -q ready "$STORE/out"
	kill -TERM $front
	wait $front || code=$?
	equal 44 "$code"
	equal 44 "$(kist inspect --format '{{.State.ExitCode}}' c)"
}

@test "--stop-signal: names and numbers, checked" {
	engine_error kist create --stop-signal NOSUCH busybox true
	run -0 kist create --stop-signal SIGQUIT busybox true
	run -0 kist create --stop-signal 3 busybox true
}

@test "--env of the image, --workdir of the image, volumes of the image" {
	kist import --change ENV=A=image --change WORKDIR=/data --change 'CMD ["sh","-c","echo $A $PWD"]' "$E2E_CACHE/busybox.tar" conf >/dev/null
	equal 'image /data' "$(kist run --rm conf)"
	equal 'mine /tmp' "$(kist run --rm -e A=mine -w /tmp conf)"
}

@test "--workdir must be there; an image's own is made, for the user" {
	kist import --change WORKDIR=/made/here "$E2E_CACHE/busybox.tar" made >/dev/null
	equal '1000:1000' "$(kist run --rm --user 1000:1000 made stat -c %u:%g /made/here)"
	kist_only
	equal '1000:1000' "$(kist run --rm --user 1000:1000 --uidmap 0:100000:65536 made stat -c %u:%g .)"
	local path
	for path in /no/such /made/here; do
		run -126 --separate-stderr kist run --rm --workdir "$path" made true
		contains "$stderr" "workdir \"$path\" does not exist"
	done
	kist create --name c --workdir /no/such busybox true >/dev/null
	run -125 kist start c
	equal created "$(state_of c)"
	lacks "$(kist create --name d made true >/dev/null; kist generate run d)" workdir
}

@test "--platform, --os, --arch, --variant: all that is given is compared with the image that is here" {
	local arguments
	run -0 kist run --rm --pull never --platform linux/amd64 busybox true
	run -0 kist run --rm --pull never --platform linux/amd64/v1 busybox true
	run -0 kist run --rm --pull never --os linux --arch amd64 busybox true
	for arguments in '--platform windows/amd64' '--platform foo' '--os foo' '--variant v7' '--variant v2' '--arch arm64' '--platform linux/arm64/v8'; do
		# shellcheck disable=SC2086 # words
		engine_error kist run --rm --pull never $arguments busybox true
	done
}

@test "/run/.containerenv, /etc/hosts, /etc/resolv.conf, /etc/hostname" {
	run -0 kist run --rm -h box --add-host extra:1.2.3.4 busybox sh -c 'test -f /run/.containerenv; cat /etc/hosts'
	matches '1\.2\.3\.4[[:space:]]+extra' "$output"
	contains "$output" localhost
	run -0 kist run --rm --privileged busybox cat /run/.containerenv
	contains "$output" engine=
	run -0 kist run --rm busybox test -e /etc/resolv.conf
}

@test "--no-hosts, --no-hostname" {
	run -0 kist run --rm --no-hosts busybox cat /etc/hosts
	equal '127.0.0.1 localhost' "$output"
}

@test "--log-level: debug says more, unknown is an error" {
	kist_only
	run -125 "$KIST" --log-level nosuch ps
	run --separate-stderr "$KIST" --root "$ROOT" --runroot "$RUNROOT" --log-level debug run --rm busybox true
	equal 0 "$status"
	contains "$stderr" level=debug
}

@test "version, info, --help" {
	run -0 kist version
	contains "${output,,}" version
	run -0 kist info
	run -0 kist info --format json
	jq -e . <<<"$output" >/dev/null
	run -0 "$KIST" --version
	run -0 "$KIST" --help
	contains "$output" run
	run -0 "$KIST" run --help
	contains "$output" --rm
	run -125 "$KIST" nosuchcommand
	kist_only
	# podman's names for the fields, beside those of the keys.
	equal "kist $ROOT v2" "$(kist system info --format '{{.Host.OCIRuntime.Name}} {{.Store.GraphRoot}} {{.Host.CgroupsVersion}}')"
	equal "$(kist info --format '{{.host.cpus}}')" "$(kist info --format '{{.Host.CPUs}}')"
	matches '^[0-9.]+ ' "$(kist version --format '{{.Client.Version}} {{.Client.GoVersion}}')"
	run -125 kist info --format '{{.Host.Nosuch}}'
	equal "$(kist version --format '{{.Client.Version}}')" "$(kist version --format '{{.Version}}')"
	# No line where a template fails at once.
	engine_error kist version --format '{{.Nosuch}}'
	run -125 --separate-stderr bash -c "'$KIST' help >&-"
	contains "$stderr" 'write output'
	engine_error kist ps --filter noequals
	contains "$stderr" 'expected KEY=VALUE'
	engine_error kist inspect
	lacks "$stderr" '--all'
	engine_error kist run --rm --ipc bogus busybox true
	contains "$stderr" 'shareable, none'
	engine_error kist run --rm --userns bogus busybox true
	contains "$stderr" 'auto, keep-id'
	kist create --name c --health-cmd true busybox true >/dev/null
	equal "$(kist inspect --format '{{.State.Health.FailingStreak}}' c)" "$(kist inspect --format '{{.State.Healthcheck.FailingStreak}}' c)"
	engine_error kist inspect --format '{{.NoSuch}}' c
	engine_error kist ps -a --format '{{.Bogus}}'
	engine_error kist cp c:relative .
	lacks "$stderr" '//relative'
	kist rm c >/dev/null
}

@test "what podman has and kist has not is refused with the reason, and offered to nobody" {
	kist_only
	local words
	while read -r words; do
		# shellcheck disable=SC2086 # a command line
		run -125 "$KIST" $words
		matches "there is no command '[a-z-]+': .*" "${lines[0]}"
	done <<-END
		build .
		compose up
		kube play x.yaml
		play kube x.yaml
		search busybox
		generate systemd c
		system service
		container checkpoint c
		image build
		image sign x
		image trust show
		image scp a b
		container runlabel x y
	END
	while read -r words; do
		# shellcheck disable=SC2086 # a command line
		run -125 "$KIST" $words
		matches "option '--[a-z-]+': not supported: .*" "${lines[0]}"
		equal "See" "$(cut -d ' ' -f 1 <<<"${lines[1]}")"
	done <<-END
		run --systemd=true busybox true
		run --systemd busybox true
		run --systemd always busybox true
		create --oom-kill-disable busybox true
		create --passwd
		run --memory-swappiness 3 busybox true
		--runtime crun ps
		--cgroup-manager=systemd ps
		--remote ps
		pod create --infra-image=x p
		container clone --pod x c
		container clone --cpu-rt-period 5 c
		update --cpu-rt-runtime 5 c
		update --memory-swappiness 5 c
		image prune --external
		image tree --whatrequires busybox
		push --compress busybox
		push --sign-by x busybox
		push --sign-by-sigstore-private-key x busybox
		secret create --driver-opts a=b s -
	END
	run -0 kist run --rm --systemd=false busybox true
	lacks "$("$KIST" run --help)" systemd
	lacks "$("$KIST" completion bash)" memory-swappiness
	run -125 "$KIST" run --system=true busybox
	lacks "$output" 'systemd'
	run -125 kist run -v relative/dir:/x busybox true
	contains "$output" 'a path of the host begins with / or ./'
	run -125 kist run -v no+name:/x busybox true
	lacks "$output" 'a path of the host'
}

@test "every command has help that names its options" {
	kist_only
	local command
	for command in run create start stop kill rm ps logs inspect wait exec pause unpause restart import images rmi tag port top stats rename info version; do
		run -0 "$KIST" "$command" --help
		contains "${output,,}" usage
	done
}

@test "an option that is not known is named" {
	kist_only
	local command
	for command in run create start stop kill rm ps logs inspect wait exec images import rmi tag; do
		engine_error kist "$command" --no-such-option
		contains "$stderr" no-such-option
	done
}

@test "options: short ones joined, --opt=value, -- ends them" {
	run -0 kist run -i --rm=true --env=A=1 busybox sh -c 'echo $A'
	equal 1 "$output"
	equal text "$(echo text | kist run -i --rm -e A=1 -- busybox cat)"
	run -0 kist run --rm busybox echo --rm -d
	equal '--rm -d' "$output"
	run -0 kist create -itd --name x busybox true || run -0 kist create -it --name x busybox true
}

@test "port: nothing is published" {
	sleeper --name c >/dev/null
	run -0 kist port c
	equal '' "$output"
	run -125 kist port nosuch
}

@test "--storage-opt: refused by name where the file system has no project quotas" {
	kist_only
	# What it does where it has: test/vm.
	engine_error kist run --storage-opt size=8m busybox true
	contains "$stderr" 'storage-opt: a size limit needs project quotas'
	contains "$stderr" prjquota
	engine_error kist create --storage-opt size=0 busybox true
	engine_error kist create --storage-opt size=big busybox true
	engine_error kist create --storage-opt depth=3 busybox true
	contains "$stderr" "storage-opt 'depth=3'"
	engine_error kist create --storage-opt size=8m --rootfs "$STORE" true
	equal '' "$(kist ps -aq)"
	clean
}
