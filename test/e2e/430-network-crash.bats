#!/usr/bin/env bats
# Networks under load and under kill -9: addresses, links, elements and names are given once, and given back.
load helpers

setup()
{
	setup_store
	kist_only
	kist network create --subnet 10.99.0.0/22 front
	# All of its own is made before, so that only what a container brings is looked for.
	kist run --rm --network front -p 8080:80 busybox true
}

teardown()
{
	kist rm -f -a -t 0 >/dev/null 2>&1
	nothing_left || LEFT=1
	kist network prune -f >/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store && [ -z "${LEFT:-}" ]
}

leftovers()
{
	find "$RUNROOT/net" -path '*/leases/*' -o -path '*/names/*' -o -path '*/ids/*'
	ip -o link | grep -o 'veth[^:@]*'
	nft list table inet kist | grep -oE '(tcp|udp) \. [0-9.:a-f]+ .*'
	nft list table ip kist 2>/dev/null
	return 0
}

is_clean()
{
	[ -z "$(leftovers)" ]
}

nothing_left()
{
	until_true 10 is_clean || {
		echo "left behind: $(leftovers)"
		return 1
	}
}

@test 'many at once: distinct addresses, all reachable, all gone' {
	local n=${KIST_TEST_FULL:+200} i
	n=${n:-60}
	seq "$n" | xargs -P 16 -I {} sh -c "exec $(kist_command) run -d --name n{} --network front busybox httpd -f -p 80 -h /etc >/dev/null"
	equal "$n" "$(kist ps -q | wc -l)"
	kist ps -aq | xargs -n 50 "$KIST" --root "$ROOT" --runroot "$RUNROOT" inspect \
		--format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' >"$STORE/addresses"
	equal "$n" "$(sort -u "$STORE/addresses" | grep -c 10.99)"
	while read -r i; do
		until_true 10 sh -c "wget -t 1 -T 2 -qO- http://$i/passwd | grep -q ^root" || fail "$i does not answer"
	done <"$STORE/addresses"
	equal "$n" "$(ls "/sys/class/net/$(kist network inspect --format '{{.NetworkInterface}}' front)/brif" | wc -l)"
	kist ps -aq | xargs -P 16 -n 4 "$KIST" --root "$ROOT" --runroot "$RUNROOT" rm -f -t 0 >/dev/null
	equal '' "$(ls "/sys/class/net/$(kist network inspect --format '{{.NetworkInterface}}' front)/brif")"
	nothing_left
}

@test 'no address left is a clear error, and one that is given back is found' {
	local i
	kist network create --subnet 10.98.0.0/29 small
	for i in 1 2 3 4 5; do
		kist run -d --name "n$i" --network small busybox sleep 1000 >/dev/null
	done
	run -125 kist run --rm --network small busybox true
	contains "$output" 'no address is left in subnet 10.98.0.0/29 (5 are leased)'
	run -125 kist run --rm --network small:ip=10.98.0.3 busybox true
	contains "$output" 'address 10.98.0.3 is in use'
	kist rm -f -t 0 n3
	contains "$(kist run --rm --network small busybox ip addr)" 10.98.0
}

monitor_pid()
{
	sed -n 's/^monitor_pid=//p' "$RUNROOT"/containers/*/monitor 2>/dev/null
}

# The command, its monitor, or both, at some moment.
kill_some()
{
	local pid
	sleep "0.$(printf %03d $((RANDOM % $2)))"
	[ $((RANDOM % 3)) -eq 0 ] || kill -9 "$1" 2>/dev/null || :
	if [ $((RANDOM % 3)) -ne 0 ]; then
		for pid in $(monitor_pid); do
			kill -9 "$pid" 2>/dev/null || :
		done
	fi
	wait "$1" 2>/dev/null || :
}

@test 'kill -9 of the command or the monitor while a network is set up or taken down' {
	local i rounds=${KIST_TEST_FULL:+50}
	for i in $(seq "${rounds:-10}"); do
		$(kist_command) run -d --name k --network front --network kist -p 8080:80 -p 5353:53/udp busybox sleep 1000 >/dev/null 2>&1 3>&- &
		kill_some $! 200
		kist rm -f -a -t 0 >/dev/null || fail "round $i: rm"
		nothing_left || fail "round $i, set up"
	done
	for i in $(seq "${rounds:-10}"); do
		kist run -d --name k --network front -p 8080:80 busybox sleep 1000 >/dev/null
		case $((i % 4)) in
		0) $(kist_command) stop -t 0 k >/dev/null 2>&1 3>&- & ;;
		1) $(kist_command) rm -f -t 0 k >/dev/null 2>&1 3>&- & ;;
		2) $(kist_command) network connect kist k >/dev/null 2>&1 3>&- & ;;
		3) $(kist_command) network disconnect front k >/dev/null 2>&1 3>&- & ;;
		esac
		kill_some $! 100
		kist ps -a >/dev/null || fail "round $i: ps"
		kist rm -f -a -t 0 >/dev/null || fail "round $i: rm"
		nothing_left || fail "round $i, take down"
	done
}
