#!/usr/bin/env bats
# Commands that end at each call that changes the disk: afterwards all is there or nothing is, 'system check' finds
# nothing wrong, the same command succeeds, and no half-made object is left. In two ways: the command is killed; or the power
# goes, that is, the store is on an ext4 of its own, of which only that counts which the file system had written to its
# device at that call. KIST_CRASH_ALL=1 ('make check-crash') ends them at every call; else at a sample that is another one
# each time, and, where the power goes, at the end: what has been reported as done must be there.
load helpers

CALLS=write,pwrite64,writev,ftruncate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,fdatasync,syncfs,mknodat,fchmod,fchmodat,fchown,fchownat,utimensat,setxattr,fsetxattr
SAMPLE=3

setup()
{
	kist_only
	command -v strace >/dev/null || skip 'strace is not installed'
	setup_store
	WAY='kill'
	mkdir "$STORE/tree"
	(cd "$STORE/tree" && mkdir -p a/b && echo one >a/one && ln a/one a/b/hard && ln -s one a/soft && echo two >two)
	tar -C "$STORE/tree" -cf "$STORE/small.tar" .
}

teardown()
{
	[ -z "${STORE:-}" ] || disk_off
	teardown_store
}

k()
{
	timeout --foreground -k 5 60 "$KIST" --root "$STORE/now/root" --runroot "$STORE/run" "$@"
}

# Only what is synced reaches the disk: nothing is written by time, and a rename does not write what it renames.
disk_on()
{
	mount -o loop,commit=3600,noauto_da_alloc "$1" "$STORE/now"
}

disk_off()
{
	! mountpoint -q "$STORE/now" || umount "$STORE/now"
}

# What the disk has at this moment, as the next boot finds it: the run directory is gone.
power_cut()
{
	cp --sparse=always "$STORE/disk.img" "$STORE/cut.img"
	disk_off
	rm -rf "$STORE/run"
	disk_on "$STORE/cut.img"
}

# The store as it was before the command.
fresh()
{
	disk_off
	rm -rf "$STORE/run" "$STORE/now"
	if [ "$WAY" = cut ]; then
		mkdir "$STORE/now"
		cp --sparse=always "$STORE/base.img" "$STORE/disk.img"
		disk_on "$STORE/disk.img"
	else
		cp -a "$STORE/base" "$STORE/now"
	fi
}

# Makes the store that each try begins with: WAY COMMAND...
base()
{
	WAY=$1
	shift
	disk_off
	rm -rf "$STORE/run" "$STORE/now" "$STORE/base"
	mkdir "$STORE/now"
	if [ "$WAY" = cut ]; then
		truncate -s 24M "$STORE/base.img"
		mkfs.ext4 -Fq -J size=4 -E lazy_itable_init=0,lazy_journal_init=0 "$STORE/base.img"
		disk_on "$STORE/base.img"
		"$@"
		disk_off
	else
		"$@"
		mv "$STORE/now" "$STORE/base"
	fi
}

leftovers()
{
	find "$STORE/now" -name '.tmp-*' -o -name '.bad-*'
}

# At the call, or (nothing given) at its end. Returns 0 if the command came to its end.
run_until()
{
	local inject=$1 code=0
	shift
	if [ -n "$inject" ]; then
		# The shell between says 'Killed' where it does not disturb.
		sh -c '"$@"; exit $?' sh strace -f -qq -o /dev/null -e "trace=${inject%%:*}" -e "inject=$inject" \
			"$KIST" --root "$STORE/now/root" --runroot "$STORE/run" "$@" >/dev/null 2>&1 || code=$?
	else
		k "$@" >/dev/null 2>&1 || code=$?
	fi
	[ "$WAY" != cut ] || power_cut
	return $code
}

# Afterwards: all or nothing, and nothing in the way of the next. at: where it was, for the message.
whole_after()
{
	local at=$1 seen
	shift
	k system check >"$STORE/check" 2>&1 || fail "$at: system check: $(cat "$STORE/check")"
	seen=$($CHECK)
	[[ $seen == all || $seen == nothing ]] || fail "$at: $seen"
	[[ $at != *reported* || $seen == all ]] || fail "$at: $seen"
	# Once more, without an end: what is there may be in the way, and no more than that.
	k "$@" >"$STORE/again" 2>&1 || again_is_fine "$seen" || fail "$at: and then: $(cat "$STORE/again")"
	equal all "$($CHECK)" "$at: after the second time"
	sweep_store
	equal '' "$(leftovers)" "$at: left behind"
}

# ended_everywhere CHECK COMMAND...: CHECK tells what is there: 'all', 'nothing', or something else, which fails.
ended_everywhere()
{
	local total n step=1 first=1 call tries=0 ends=0
	CHECK=$1
	shift
	fresh
	strace -f -qq --seccomp-bpf -e "trace=$CALLS" -e signal=none -o "$STORE/trace" \
		"$KIST" --root "$STORE/now/root" --runroot "$STORE/run" "$@" >/dev/null
	equal all "$($CHECK)" "after '$*'"
	# strace counts each call's name for itself, in each process.
	awk '{ name = $2; sub(/\(.*/, "", name); if (name ~ /^[a-z0-9_]+$/) print name ":signal=KILL:when=" ++seen[$1, name] }' \
		"$STORE/trace" >"$STORE/calls"
	total=$(wc -l <"$STORE/calls")
	[ "$total" -ge 3 ] || fail "'$*' makes only $total calls"
	if [ -z "${KIST_CRASH_ALL:-}" ] && [ "$total" -gt "$SAMPLE" ]; then
		step=$((total / SAMPLE))
		first=$((1 + RANDOM % step))
	fi
	for ((n = first; n <= total; n += step)); do
		fresh
		tries=$((tries + 1))
		call=$(sed -n "${n}p" "$STORE/calls")
		run_until "$call" "$@" && continue
		ends=$((ends + 1))
		whole_after "'$*', $WAY at call $n of $total, $call" "$@"
	done
	# Some calls are another process's: those are fewer than they are counted here.
	[ "$ends" -ge $((tries * 3 / 4)) ] || fail "'$*': only $ends of $tries tries ended early"
	if [ "$WAY" = cut ]; then
		fresh
		run_until '' "$@" || fail "'$*' failed"
		whole_after "'$*', power cut after it was reported as done" "$@"
	fi
	disk_off
	echo "# '${*:1:2}': $WAY at $ends of $total calls" >&3
}

# Whether the second time may fail when the first one left that.
again_is_fine()
{
	[ "$1" = all ] && grep -qE "no such|exists|in use" "$STORE/again"
}

# The next writers.
sweep_store()
{
	k import "$STORE/small.tar" next >/dev/null
	k volume create next >/dev/null
	k secret create --replace next "$STORE/small.tar" >/dev/null
	k volume reload
	k create --name next --rootfs "$STORE/tree" true >/dev/null
	k rm next >/dev/null
}

# --- what there is ---

# image NAME: the image is whole: its archive can be written.
image()
{
	local id
	id=$(k image inspect --format '{{.Id}}' "$1" 2>/dev/null) || {
		echo nothing
		return
	}
	k save -o /dev/null "$id" 2>&1 && echo all
}
made() { image made; }
gone() { [ "$(image "$1")" = nothing ] && echo all || { [ "$(image "$1")" = all ] && echo nothing; } || image "$1"; }
no_base() { gone base; }
tagged() { [ "$(image base)" = all ] && image other; }
one_volume() { k volume inspect --format '{{.Labels.a}}' v 2>/dev/null | sed 's/^b$/all/' | grep . || { [ -e "$STORE/now/root/volumes/v" ] && echo half || echo nothing; }; }
no_volume() { case $(one_volume) in all) echo nothing ;; nothing) echo all ;; *) one_volume ;; esac; }
one_secret() { k secret inspect --showsecret --format '{{.SecretData}}' s 2>/dev/null | sed 's/^value$/all/' | grep . || { k secret ls -q | grep . || echo nothing; }; }
no_secret() { case $(one_secret) in all) echo nothing ;; nothing) echo all ;; *) one_secret ;; esac; }
one_container()
{
	if k container exists c; then
		[ "$(k inspect --format '{{.Name}} {{(index .Mounts 0).Name}}' c)" = 'c v' ] && k volume exists v && echo all
	else
		[ -z "$(k ps -aq)" ] && echo nothing
	fi
}
no_container()
{
	if k container exists c; then
		k inspect c >/dev/null && echo nothing
	else
		[ -z "$(k ps -aq)$(ls "$STORE/now/root/names")" ] && echo all
	fi
}

with_base() { k import --change CMD=/x "$STORE/small.tar" base >/dev/null; }
with_archive() { with_base && k save -o "$STORE/archive" base && k rmi base >/dev/null && rm -rf "$STORE/now/root"; }
with_container() { with_base && k create --name c -v v:/data --label a=b base >/dev/null; }
with_volume() { k volume create --label a=b v >/dev/null; }
with_secret() { printf value | k secret create s - >/dev/null; }

images()
{
	base "$1" true
	ended_everywhere made import --change CMD=/x "$STORE/small.tar" made
	base "$1" with_archive
	loaded() { image base; }
	ended_everywhere loaded load -i "$STORE/archive"
	base "$1" with_container
	ended_everywhere made commit c made
}

names()
{
	base "$1" with_base
	ended_everywhere tagged tag base other
	ended_everywhere no_base rmi base
}

others()
{
	base "$1" true
	ended_everywhere one_volume volume create --label a=b v
	printf value >"$STORE/value"
	ended_everywhere one_secret secret create s "$STORE/value"
	base "$1" with_base
	ended_everywhere one_container create --name c -v v:/data base
	base "$1" with_volume
	ended_everywhere no_volume volume rm v
	base "$1" with_secret
	ended_everywhere no_secret secret rm s
	base "$1" with_container
	ended_everywhere no_container rm c
}

@test "killed: import, load, commit" {
	images kill
}

@test "killed: tag, rmi" {
	names kill
}

@test "killed: volume create, volume rm, secret create, secret rm, create, rm" {
	others kill
}

@test "power cut: import, load, commit" {
	images cut
}

@test "power cut: tag, rmi" {
	names cut
}

@test "power cut: volume create, volume rm, secret create, secret rm, create, rm" {
	others cut
}
