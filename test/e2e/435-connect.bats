#!/usr/bin/env bats
# Links of a container that runs: connected and disconnected again and again, cut short, and its monitor killed meanwhile.
load helpers

setup()
{
	setup_store
	kist_only
	kist network create --subnet 10.99.0.0/24 --interface-name front0 front
	# The default bridge stays behind its containers.
	kist run --rm busybox true
}

teardown()
{
	kist rm -f -a -t 0 >/dev/null 2>&1
	until_true 10 no_pairs || LEFT="left behind: $(ip -o link)"
	ip link del lan0 2>/dev/null
	kist network prune -f >/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store && equal '' "${LEFT:-}" 'links of the host'
}

no_pairs()
{
	! ip -o link | grep -q 'veth[^:@]*@'
}

container()
{
	kist run -d --name a "$@" busybox sleep 1000 >/dev/null
	PID=$(kist inspect --format '{{.State.Pid}}' a)
	MONITOR=$(sed -n 's/^monitor_pid=//p' "$RUNROOT"/containers/*/monitor)
}

inside()
{
	nsenter -t "$PID" --net "$@"
}

links()
{
	inside ip -o link | sed -E 's/^[0-9]+: ([^:@]*).*/\1/' | sort | paste -sd ' '
}

links_are()
{
	[ "$(links)" = "$1" ]
}

no_other_children()
{
	[ "$(pgrep -P "$MONITOR")" = "$PID" ]
}

@test 'thirty times in a row: the links are what they should be, and the monitor has no other child' {
	local n
	ip link add lan0 type veth peer name lan1
	ip link set lan0 up
	kist network create -d macvlan --subnet 10.98.0.0/24 --opt parent=lan0 mac
	container -p 8080:80
	for n in $(seq 30); do
		kist network connect front a
		equal 1 "$(links | grep -cw eth1)"
		kist network disconnect front a
		# What is not removed yet has neither that name nor is it up.
		equal 'eth0 lo' "$(inside ip -o link | grep -E '[<,]UP[,>]' | sed -E 's/^[0-9]+: ([^:@]*).*/\1/' | sort | paste -sd ' ')"
		[ $((n % 3)) -ne 0 ] || kist network connect mac a
		[ $((n % 3)) -ne 0 ] || kist network disconnect mac a
	done
	until_true 10 links_are 'eth0 lo'
	until_true 10 no_other_children
	equal '' "$(ls /sys/class/net/front0/brif)"
	kist network connect front a
	links_are 'eth0 eth1 lo'
	kist stop -t 0 a
	kist start a
	PID=$(kist inspect --format '{{.State.Pid}}' a)
	links_are 'eth0 eth1 lo'
}

# again NETWORK CONTAINER: each is undone at once.
again()
{
	local n
	for n in 1 2 3 4 5 6 7 8 9 10; do
		kist network connect "$1" "$2" || return 1
		kist network disconnect "$1" "$2" || return 1
	done
}

@test 'several at once, with updates and new names beside: none undoes another' {
	local pids=() pid n id failed=
	kist network create one
	kist network create two
	kist network create --ipv6 three
	container
	id=$(kist inspect --format '{{.Id}}' a)
	for n in front one two three; do
		again "$n" "$id" 3>&- &
		pids+=($!)
	done
	for n in $(seq 10); do
		kist update --restart "on-failure:$n" "$id" >/dev/null || exit 1
		kist rename "$id" "a$n" || exit 1
		kist rename "$id" a || exit 1
	done 3>&- &
	pids+=($!)
	for pid in "${pids[@]}"; do
		wait "$pid" || failed=$pid
	done
	equal '' "$failed" 'commands that failed'
	until_true 10 links_are 'eth0 lo'
	equal 'kist on-failure 10' "$(kist inspect --format \
		'{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' a)"
	equal 1 "$(find "$RUNROOT/net" -path '*/leases/*' | wc -l)"
}

@test 'a disconnect that was killed halfway is finished by the next, by a reload or by a connect' {
	local link
	container
	for link in 'network disconnect front' 'network reload' 'network connect mine'; do
		kist network connect front a
		kist network create --subnet 10.97.0.0/24 mine
		# As a killed command leaves it: hidden, and nothing written down.
		inside sh -c 'ip link set eth1 down; ip link set eth1 name kistgone0000001'
		kist $link a
		case $link in
		*disconnect*) until_true 10 links_are 'eth0 lo' ;;
		*reload) until_true 10 links_are 'eth0 eth1 lo' ;;
		*connect*) until_true 10 links_are 'eth0 eth1 eth2 lo' ;;
		esac
		contains "$(inside ip addr)" "$(kist inspect --format '{{range $k, $v := .NetworkSettings.Networks}}{{$v.IPAddress}}/{{$v.IPPrefixLen}} {{end}}' a | cut -d ' ' -f 1)"
		kist network disconnect mine a || :
		kist network disconnect front a || :
		kist network rm mine
		until_true 10 links_are 'eth0 lo'
	done
	# A link that it renamed itself is made anew.
	inside sh -c 'ip link set eth0 down; ip link set eth0 name own0; ip link set own0 up'
	kist network reload a
	links_are 'eth0 lo'
}

@test 'a monitor that is killed, or a container that ends, while a link goes: nothing is left' {
	local n
	for n in $(seq 6); do
		container --network front --network kist
		kist network disconnect front a
		case $((n % 3)) in
		0) kill -9 "$MONITOR" ;;
		1) kist kill a && equal 137 "$(kist wait a)" ;;
		2) kist stop -t 0 a ;;
		esac
		kist rm -f -t 0 a
		until_true 10 no_pairs || fail "round $n: $(ip -o link)"
		equal '' "$(find "$RUNROOT/net" -path '*/leases/*')"
	done
}

@test 'passthru: the parent is free for the next at once' {
	ip link add lan0 type veth peer name lan1
	ip link set lan0 up
	kist network create -d macvlan --subnet 10.98.0.0/24 --opt parent=lan0 --opt mode=passthru alone
	container
	local n
	for n in 1 2 3 4 5; do
		kist network connect alone a
		links_are 'eth0 eth1 lo'
		kist network disconnect alone a
	done
}
