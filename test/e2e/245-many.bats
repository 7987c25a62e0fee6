#!/usr/bin/env bats
# What one container costs does not depend on how many others there are: counted in system calls and in bytes of
# directories that are read, with none and with 1,000 others on the same image.
load helpers

setup()
{
	kist_only
	command -v strace >/dev/null || skip 'strace is not installed'
	if [ ! -x "$E2E_MANY" ]; then
		[ -z "${KIST_TEST_FULL:-}" ] || fail "$E2E_MANY is not there: run 'make build/bench/many'"
		skip "'make build/bench/many' was not run"
	fi
	setup_store
}

# calls NAME COMMAND...: the calls that the command makes, all its processes together; and what of directories it reads.
calls()
{
	local name=$1
	shift
	# shellcheck disable=SC2046 # a command line
	strace -f -qq -e signal=none -o "$STORE/trace" $(kist_command) "$@" >"$STORE/out" 2>&1 || return 1
	printf -v "${name}_calls" %d "$(wc -l <"$STORE/trace")"
	printf -v "${name}_bytes" %d "$(awk '/getdents64\(/ { sum += $NF } END { print sum + 0 }' "$STORE/trace")"
}

# not_more NAME WITH WITHOUT: at most a fifth more.
not_more()
{
	echo "# $1: $3 with none, $2 with 1,000" >&3
	[ "$2" -le $(($3 * 6 / 5)) ] || fail "$1: $2 with 1,000 others, $3 with none"
}

# shellcheck disable=SC2154 # set by calls
@test "1,000 containers on one image: create, start and rm cost what they cost alone; rmi and volume rm say who is in the way" {
	local what
	kist create --name warm busybox true >/dev/null
	kist rm warm >/dev/null
	several()
	{
		calls "$1_create" create --name "$1" -v "$1:/data" busybox true
		calls "$1_start" start "$1"
		kist wait "$1" >/dev/null
		calls "$1_inspect" inspect --type container "$1"
		calls "$1_volume" volume inspect "$1"
		calls "$1_rm" rm "$1"
		calls "$1_volume_rm" volume rm "$1"
	}
	several alone
	"$E2E_MANY" "$ROOT" "$RUNROOT" 1000 exited busybox
	equal 1000 "$(kist ps -aq | wc -l)"
	several among
	for what in create start inspect volume rm volume_rm; do
		eval "not_more '$what, calls' \"\$among_${what}_calls\" \"\$alone_${what}_calls\""
		eval "not_more '$what, bytes of directories' \"\$among_${what}_bytes\" \"\$alone_${what}_bytes\""
	done
	run -2 --separate-stderr kist rmi busybox
	contains "$stderr" 'image busybox is in use by containers'
	matches '[0-9a-f]{12} \(many-[0-9]+\), ' "$stderr"
	what=$(kist create --name user -v data:/data busybox true)
	run -2 --separate-stderr kist volume rm data
	contains "$stderr" "volume data is used by containers: ${what:0:12}"
	kist rm user >/dev/null
	kist volume rm data >/dev/null
	# Their records are all there is of them: removing each by itself takes longer than the test.
	rm -r "$ROOT/containers" "$ROOT/names" "$RUNROOT/containers"
	clean
}
