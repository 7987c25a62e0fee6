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

# What changed less than two seconds ago is not kept.
records_are_settled()
{
	[ "$(find "$ROOT/containers" -newerct '3 seconds ago' | wc -l)" -eq 0 ]
}

@test "ps of hundreds reads what has changed since the last one, shows nothing stale, and does without what it kept" {
	local id other before
	"$E2E_MANY" "$ROOT" "$RUNROOT" 600 exited
	until_true 10 records_are_settled
	kist ps -aq >/dev/null
	# shellcheck disable=SC2154 # set by calls
	calls list ps -a
	equal 0 "$(grep -cE 'openat\(.*(/config|/state)"' "$STORE/trace")" 'records opened'
	[ "$list_calls" -lt $((2 * 600 + 150)) ] || fail "$list_calls calls for 600 containers"
	# As JSON too: of thousands it is what programs read.
	calls json ps -a --format json
	equal 0 "$(grep -cE 'openat\(.*(/config|/state)"' "$STORE/trace")" 'records opened for JSON'
	[ "$json_calls" -lt $((2 * 600 + 250)) ] || fail "$json_calls calls for the JSON of 600 containers"
	equal "600 [\"many-0\"] [\"many-599\"]" "$(jq -r '"\(length) \(.[0].Names) \(.[599].Names)"' "$STORE/out")"
	calls template ps -a --format '{{.Names}} {{.Labels}}'
	equal 0 "$(grep -cE 'openat\(.*(/config|/state)"' "$STORE/trace")" 'records opened for a template'
	# A document each, but not all of them at once: the heap does not grow with them.
	for other in '' --ns --sort=names; do
		calls table ps -a --format 'table {{.ID}}\t{{.Names}}\t{{.Status}}' ${other:+"$other"}
		equal 601 "$(wc -l <"$STORE/out")"
		equal 1 "$(awk '{ print index($0, NR > 1 ? "Exited" : "STATUS") }' "$STORE/out" | sort -u | wc -l)" 'places of a column'
		[ "$(grep -c 'brk(' "$STORE/trace")" -lt 25 ] || fail "$(grep -c 'brk(' "$STORE/trace") times more memory"
	done
	before=$(kist ps -a --no-trunc)
	equal 601 "$(wc -l <<<"$before")"
	rm "$RUNROOT/list"
	equal "$(kist ps -a --no-trunc | sed 's/[0-9]* seconds ago/-/g')" "$(sed 's/[0-9]* seconds ago/-/g' <<<"$before")"
	[ -s "$RUNROOT/list" ] || fail 'it is written again'

	kist rename many-5 other
	contains "$(kist ps -a)" ' other'
	lacks "$(kist ps -a)" 'many-5 '
	equal 1 "$(kist ps -aq --filter name=^other$ | wc -l)"
	equal 300 "$(kist ps -aq --filter label=tier=web | wc -l)"
	kist rm many-7 >/dev/null
	equal 599 "$(kist ps -aq | wc -l)"
	kist create --name late --restart=always busybox true >/dev/null
	contains "$(kist ps -a)" ' late'
	equal 1 "$(kist ps -aq --filter restart-policy=always | wc -l)"
	kist run --name ran busybox sh -c 'exit 3' || true
	matches 'Exited \(3\) .* ran' "$(kist ps -a)"

	# Changed in place, as nothing of kist's does: whoever reads the record says so, and the list does when it reads it.
	id=$(kist inspect --format '{{.Id}}' many-6)
	other=$ROOT/containers/$id
	sed 's/name=many-6/name=many-9/' "$other/config" >"$STORE/changed"
	dd if="$STORE/changed" of="$other/config" conv=notrunc status=none
	run -125 kist inspect "$id"
	contains "$output" 'container config is damaged'
	rm "$RUNROOT/list"
	run -0 --separate-stderr kist ps -a
	contains "$stderr" "container ${id:0:12}: container config is damaged"
	lacks "$output" "${id:0:12}"
	kist rm --force "$id" >/dev/null

	# What is kept is damaged: it is not believed.
	before=$(kist ps -a --format '{{.ID}}' | sort)
	printf x | dd of="$RUNROOT/list" bs=1 seek=20000 conv=notrunc status=none
	equal "$before" "$(kist ps -aq | sort)"
	truncate -s 1000 "$RUNROOT/list"
	equal "$before" "$(kist ps -aq | sort)"
	: >"$RUNROOT/list"
	equal "$before" "$(kist ps -aq | sort)"
	rm -r "$ROOT/containers" "$ROOT/names" "$RUNROOT/containers"
	clean
}
