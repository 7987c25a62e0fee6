#!/usr/bin/env bats
# Every edge of the life cycle, with real containers: what is allowed in a state leads to the next, and what is not is refused with
# the state's name and leaves all as it was. The table is design's, not the program's: a change of one is a change of both.
load helpers

# Calls, and the states (as ps shows them) in which they may be made.
declare -gA ALLOWED=(
	[init]='created restarting exited'
	[start]='created initialized restarting exited'
	[stop]='initialized running stopping restarting'
	[kill]='running stopping paused restarting'
	[attach]='initialized running'
	[reload]='initialized running'
	[exec]='running'
	[pause]='running'
	[unpause]='paused'
	[restart]='created initialized running restarting exited'
	[cleanup]='created initialized stopping restarting exited'
	[rm]='created initialized stopping restarting exited'
	[force]='created initialized running stopping restarting paused exited'
	[mount]='created initialized running stopping restarting paused exited'
	[unmount]='created initialized running stopping restarting paused exited'
	[export]='created initialized running stopping restarting paused exited'
	[copy]='created initialized running stopping restarting paused exited'
	# What its policy restarts is left alone.
	[prune]='created initialized exited'
)
# Where those lead that change something; '-': gone. All others leave the state alone.
declare -gA LEADS=(
	[init]=initialized [start]=running [stop]=exited [kill]=exited [pause]=paused [unpause]=running [restart]=running
	[cleanup]=exited [rm]=- [force]=- [prune]=-
)
# What is refused is 125, but for what podman has as other codes, or as none: 'already so' is no error.
declare -gA REFUSED=([rm:running]=2 [rm:paused]=2 [start:running]=0 [stop:exited]=0 [stop:created]=0)
LOOP='trap "exit 0" TERM; echo ready; while :; do sleep 0.05; done'

setup()
{
	kist_only
	setup_store
}

# A container in a state. 'restarting' is stopped, by its policy, and waits for the next run.
make_in()
{
	local state=$1 name=$2
	case $state in
	created) kist create --name "$name" --label l=1 busybox sh -c "$LOOP" ;;
	initialized) kist create --name "$name" --label l=1 busybox sh -c "$LOOP" && kist init "$name" ;;
	running) kist run -d --name "$name" --label l=1 busybox sh -c "$LOOP" ;;
	paused) kist run -d --name "$name" --label l=1 busybox sh -c "$LOOP" && kist pause "$name" ;;
	stopping)
		kist run -d --name "$name" --label l=1 busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
		until_true 10 log_has "$name" ready
		kist stop -t 100 "$name" >/dev/null 2>&1 3>&- &
		;;
	restarting)
		$(kist_command) --set restart_delay=100000 --set restart_delay_max=100000 run -d --name "$name" --label l=1 --restart always busybox \
			sh -c '[ -e /again ] || { touch /again; exit 3; }; '"$LOOP"
		;;
	exited) kist run --name "$name" --label l=1 busybox sh -c '[ -e /again ] || { touch /again; exit 0; }; '"$LOOP" ;;
	esac >/dev/null
	in_state "$name" "$(shown "$state")" || fail "$name was to be $state"
}

shown()
{
	case $1 in
	restarting) echo stopped ;;
	*) echo "$1" ;;
	esac
}

# 124: it went in, and was waiting for output.
call()
{
	case $1 in
	init | start | pause | unpause | mount | unmount) kist "$1" "$2" ;;
	stop | restart) kist "$1" -t 1 "$2" ;;
	kill) kist kill "$2" ;;
	attach) E2E_TIMEOUT=2 kist attach --no-stdin --sig-proxy=false "$2" ;;
	reload) kist network reload "$2" ;;
	exec) kist exec "$2" true ;;
	cleanup) kist container cleanup "$2" ;;
	rm) kist rm "$2" ;;
	force) kist rm -f -t 1 "$2" ;;
	export) kist export -o "$STORE/export.tar" "$2" ;;
	copy) kist cp "$2:/bin/busybox" "$STORE/copied" ;;
	prune) kist container prune -f --filter label=l=1 ;;
	esac
}

is_in()
{
	[[ " $2 " == *" $1 "* ]]
}

# Refused, or without effect: one container bears them all.
stays_so()
{
	local state=$1 call=$2 name=$3 code=${REFUSED[$2:$1]:-125}
	is_in "$state" "${ALLOWED[$call]}" && code=0
	# Prune passes over what it may not remove, which is no error.
	[ "$call" != prune ] || code=0
	run call "$call" "$name"
	[ "$status" -ne 124 ] || status=0
	equal "$code" "$status" "$call of what is $state ($output)"
	[ "$code" -eq 0 ] || matches "(while it is|is already|is not|cannot|not running|is) .*$(shown "$state")|is (already )?$(shown "$state")" "$output"
	equal "$(shown "$state")" "$(state_of "$name")" "state after $call"
}

leads_on()
{
	local state=$1 call=$2 name=$1-$2 next
	next=${LEADS[$call]}
	make_in "$state" "$name"
	run -0 call "$call" "$name"
	# What never ran has nothing to have exited from; a start ends a user's stop.
	[ "$call:$state" != cleanup:created ] && [ "$call:$state" != cleanup:initialized ] && [ "$call:$state" != stop:initialized ] || next=created
	# Its policy has it in hand, and clean-up leaves it there.
	[ "$call:$state" != cleanup:restarting ] || next=restarting
	if [ "$next" = - ]; then
		run -1 kist container exists "$name"
	else
		in_state "$name" "$(shown "$next")" || fail "$call of what is $state"
		kist rm -f -t 0 "$name" >/dev/null
	fi
}

every_call()
{
	local state=$1 call
	[ "${#ALLOWED[@]}" -eq 18 ]
	make_in "$state" "$state"
	for call in "${!ALLOWED[@]}"; do
		if [ -n "${LEADS[$call]:-}" ] && is_in "$state" "${ALLOWED[$call]}"; then
			continue
		fi
		[ "$call" != unmount ] || call mount "$state" >/dev/null
		stays_so "$state" "$call" "$state" || return 1
		[ "$call" != mount ] || call unmount "$state" >/dev/null
	done
	kist rm -f -t 0 "$state" >/dev/null
	for call in "${!LEADS[@]}"; do
		is_in "$state" "${ALLOWED[$call]}" || continue
		leads_on "$state" "$call" || return 1
	done
	wait
}

@test "life cycle: every call in state created" {
	every_call created
}

@test "life cycle: every call in state initialized" {
	every_call initialized
}

@test "life cycle: every call in state running" {
	every_call running
}

@test "life cycle: every call in state paused" {
	every_call paused
}

@test "life cycle: every call in state stopping" {
	every_call stopping
}

@test "life cycle: every call in state stopped, while its policy restarts it" {
	every_call restarting
}

@test "life cycle: every call in state exited" {
	every_call exited
}
