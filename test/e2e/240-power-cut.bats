#!/usr/bin/env bats
# Commands that are killed at each call that changes the disk: afterwards all is there or nothing is, 'system check' finds
# nothing wrong, the same command succeeds, and no half-made object is left. KIST_CRASH_ALL=1 ('make check-crash') kills at
# every one of them; else at a sample that is another one each time.
load helpers

CALLS=write,pwrite64,writev,ftruncate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,fdatasync,syncfs,mknodat,fchmod,fchmodat,fchown,fchownat,utimensat,setxattr,fsetxattr
SAMPLE=5

setup()
{
	kist_only
	command -v strace >/dev/null || skip 'strace is not installed'
	setup_store
	mkdir "$STORE/tree"
	(cd "$STORE/tree" && mkdir -p a/b && echo one >a/one && ln a/one a/b/hard && ln -s one a/soft && echo two >two)
	tar -C "$STORE/tree" -cf "$STORE/small.tar" .
}

k()
{
	timeout --foreground -k 5 60 "$KIST" --root "$STORE/now/root" --runroot "$STORE/now/run" "$@"
}

# The store as it was before the command.
fresh()
{
	rm -rf "$STORE/now"
	cp -a "$STORE/base" "$STORE/now"
}

# Makes the store that each try begins with. The function 'prepare' fills it.
base()
{
	rm -rf "$STORE/now" "$STORE/base"
	mkdir "$STORE/now"
	"$@"
	mv "$STORE/now" "$STORE/base"
}

leftovers()
{
	find "$STORE/now" -name '.tmp-*' -o -name '.bad-*'
}

# killed_everywhere CHECK COMMAND...: CHECK tells what is there: 'all', 'nothing', or something else, which fails.
killed_everywhere()
{
	local check=$1 total n step=1 first=1 seen call tries=0 kills=0
	shift
	fresh
	strace -f -qq --seccomp-bpf -e "trace=$CALLS" -e signal=none -o "$STORE/trace" \
		"$KIST" --root "$STORE/now/root" --runroot "$STORE/now/run" "$@" >/dev/null
	equal all "$($check)" "after '$*'"
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
		strace -f -qq -o /dev/null -e "trace=${call%%:*}" -e "inject=$call" \
			"$KIST" --root "$STORE/now/root" --runroot "$STORE/now/run" "$@" >/dev/null 2>&1 && continue
		kills=$((kills + 1))
		local at="'$*' killed at call $n of $total, $call"
		k system check >"$STORE/check" 2>&1 || fail "$at: system check: $(cat "$STORE/check")"
		seen=$($check)
		[[ $seen == all || $seen == nothing ]] || fail "$at: $seen"
		# Once more, without being killed: what is there may be in the way, and no more than that.
		k "$@" >"$STORE/again" 2>&1 || again_is_fine "$seen" || fail "$at: and then: $(cat "$STORE/again")"
		equal all "$($check)" "$at: after the second time"
		sweep_store
		equal '' "$(leftovers)" "$at: left behind"
	done
	# Some calls are another process's: those are fewer than they are counted here.
	[ "$kills" -ge $((tries * 3 / 4)) ] || fail "'$*': only $kills of $tries tries were killed"
	echo "# '${*:1:2}': killed at $kills of $total calls" >&3
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
no_container()
{
	if k container exists c; then
		k inspect c >/dev/null && echo nothing
	else
		[ -z "$(k ps -aq)$(ls "$STORE/now/root/names")" ] && echo all
	fi
}

with_base() { k import --change CMD=/x "$STORE/small.tar" base >/dev/null; }
with_archive() { with_base && k save -o "$STORE/archive" base && k rmi base >/dev/null && rm -rf "$STORE/now" && mkdir "$STORE/now"; }
with_container() { with_base && k create --name c -v v:/data --label a=b base >/dev/null; }
with_volume() { k volume create --label a=b v >/dev/null; }
with_secret() { printf value | k secret create s - >/dev/null; }

@test "import, load, commit: the image is there or not" {
	base true
	killed_everywhere made import --change CMD=/x "$STORE/small.tar" made
	base with_archive
	loaded() { image base; }
	killed_everywhere loaded load -i "$STORE/archive"
	base with_container
	killed_everywhere made commit c made
}

@test "tag, rmi: the name and the image are there or not" {
	base with_base
	killed_everywhere tagged tag base other
	killed_everywhere no_base rmi base
}

@test "volume create, volume rm, secret create, secret rm, rm" {
	base true
	killed_everywhere one_volume volume create --label a=b v
	printf value >"$STORE/value"
	killed_everywhere one_secret secret create s "$STORE/value"
	base with_volume
	killed_everywhere no_volume volume rm v
	base with_secret
	killed_everywhere no_secret secret rm s
	base with_container
	killed_everywhere no_container rm c
}
