#!/usr/bin/env bats
# What networks can be told: isolation from both sides, addresses, routes, links on a parent.
load helpers

setup()
{
	setup_store
	kist_only
	# The host's link to the world, and a machine out there that has a server.
	ip link add lan0 type veth peer name lan1
	mkdir -p "$STORE/www"
	echo 'hello from outside' >"$STORE/www/index.html"
	unshare --net busybox httpd -f -p 80 -h "$STORE/www" 3>&- &
	OUTSIDE=$!
	until_true 10 eval "[ \"\$(readlink /proc/$OUTSIDE/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
	ip link set lan1 netns "$OUTSIDE"
	ip addr add 192.0.2.1/24 dev lan0
	ip link set lan0 up
	nsenter -t "$OUTSIDE" -n sh -c 'ip link set lo up; ip addr add 192.0.2.2/24 dev lan1; ip link set lan1 up; ip route add 10.0.0.0/8 via 192.0.2.1'
}

teardown()
{
	kist rm -f -a -t 0 >/dev/null 2>&1
	kill "$OUTSIDE" && wait "$OUTSIDE" 2>/dev/null
	ip link del lan0 2>/dev/null
	kist network prune -f >/dev/null
	ip link del kist0 2>/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store
}

server()
{
	local name=$1
	shift
	kist run -d --name "$name" "$@" busybox sh -c \
		"mkdir -p /www; echo hello from $name >/www/index.html; exec busybox httpd -f -p 80 -h /www" >/dev/null
}

address_of()
{
	kist inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"
}

reaches()
{
	[ "$(kist exec "$1" timeout 2 wget -qO- "http://$2/" 2>/dev/null)" = "hello from $3" ]
}

outside_reaches()
{
	[ "$(nsenter -t "$OUTSIDE" -n timeout 2 wget -t 1 -qO- "http://$1/" 2>/dev/null)" = "hello from $2" ]
}

host_reaches()
{
	[ "$(timeout 2 wget -t 1 -qO- "http://$1/" 2>/dev/null)" = "hello from $2" ]
}

has_links()
{
	ip link add kisttest0 type "$1" 2>/dev/null || [[ $(ip link add kisttest0 type "$1" 2>&1) != *'nknown device type'* ]]
	local code=$?
	ip link del kisttest0 2>/dev/null
	return $code
}

@test 'isolated, strictly isolated and internal networks, from both sides' {
	local name a b
	kist network create --opt isolate=true one
	kist network create --opt isolate=true two
	kist network create --opt isolate=strict strict
	kist network create --internal inside
	for name in one two strict inside kist; do
		server "$name" --network "$name"
	done
	for name in one two strict inside kist; do
		until_true 10 host_reaches "$(address_of "$name")" "$name"
	done
	reaches one "$(address_of kist)" kist
	reaches kist "$(address_of one)" one
	for name in one strict kist; do
		reaches "$name" 192.0.2.2 outside
	done
	# Each takes its whole time: all at once.
	local pids=()
	{
		for name in 'one two' 'strict one' 'strict kist' 'inside one' 'inside kist'; do
			read -r a b <<<"$name"
			reaches "$a" "$(address_of "$b")" "$b" && echo "$a reaches $b" &
			pids+=($!)
			reaches "$b" "$(address_of "$a")" "$a" && echo "$b reaches $a" &
			pids+=($!)
		done
		for name in one strict inside kist; do
			outside_reaches "$(address_of "$name")" "$name" && echo "outside reaches $name" &
			pids+=($!)
		done
		reaches inside 192.0.2.2 outside && echo 'inside reaches outside' &
		wait "${pids[@]}" $! || :
	} 3>&- >"$STORE/reached"
	equal '' "$(cat "$STORE/reached")" 'what is reached'
	lacks "$(kist exec inside ip route)" default
	# Nobody tells a container where its routers are.
	equal '0 0 0 0' "$(kist exec one sh -c 'cd /proc/sys/net; cat ipv6/conf/eth0/accept_ra ipv6/conf/eth0/accept_redirects ipv4/conf/eth0/accept_redirects ipv4/conf/eth0/send_redirects' | paste -sd ' ')"
}

@test 'subnets, ranges, gateways, routes, metric, mtu, names of links; host routes are kept clear of' {
	kist network create --subnet 10.99.1.0/24 --gateway 10.99.1.254 --ip-range 10.99.1.128/26 --subnet fd00:99::/64 \
		--interface-name front0 --opt mtu=1400 --opt metric=77 --route 10.50.0.0/16,10.99.1.253,5 --label a=b front
	run -0 kist run --rm --network front:ip6=fd00:99::77,interface_name=lan0 busybox sh -c 'ip addr show lan0; ip route; ip -6 route'
	contains "$output" 'mtu 1400'
	matches 'inet 10\.99\.1\.(12[89]|1[3-8][0-9]|19[01])/24' "$output"
	contains "$output" 'inet6 fd00:99::77/64'
	contains "$output" 'default via 10.99.1.254 dev lan0  metric 77'
	contains "$output" '10.50.0.0/16 via 10.99.1.253 dev lan0  metric 5'
	contains "$output" 'default via fd00:99::1 dev lan0  metric 77'
	matches 'front0:.* mtu 1400' "$(ip link show front0)"
	equal 'a=b front0 true 10.99.1.128' "$(kist network inspect --format \
		'{{range $k, $v := .labels}}{{$k}}={{$v}}{{end}} {{.NetworkInterface}} {{.IPv6Enabled}} {{(index .Subnets 0).lease_range.start_ip}}' front)"
	kist network create --opt no_default_route=1 back
	lacks "$(kist run --rm --network back busybox ip route)" default
	# The first network that has one gives the default route.
	contains "$(kist run --rm --network back --network kist busybox ip route)" 'default via 10.88.0.1 dev eth1'
	# Each family has that of the first network that has one.
	kist network create --subnet fd00:95::/64 six
	run -0 kist run --rm --network kist --network six --network front busybox sh -c 'ip route; ip -6 route'
	contains "$output" 'default via 10.88.0.1 dev eth0'
	contains "$output" 'default via fd00:95::1 dev eth1'
	equal 2 "$(grep -c '^default' <<<"$output")"
	ip route add 10.89.7.0/24 dev lan0
	ip route add 10.89.2.0/23 dev lan0
	local i
	for i in 1 2 3 4 5 6; do
		kist network create "n$i"
	done
	equal '10.89.1.0/24 10.89.4.0/24 10.89.5.0/24 10.89.6.0/24 10.89.8.0/24 10.89.9.0/24' \
		"$(for i in 1 2 3 4 5 6; do kist network inspect --format '{{range .Subnets}}{{.Subnet}}{{end}}' "n$i"; done | paste -sd ' ')"
	run -125 kist network create --subnet 10.89.7.128/25 mine
	contains "$output" 'the host has a route to 10.89.7.0/24'
	run -125 kist network create --subnet 10.99.1.0/28 mine
	contains "$output" 10.99.1.0/24
	run -125 kist network create --ipam-driver dhcp -d macvlan mine
	contains "$output" "ipam driver 'dhcp' is not supported: host-local, none"
	run -125 kist network create --ipam-driver none mine
	contains "$output" 'ipam driver none is for macvlan and ipvlan networks without a subnet'
	run -125 kist network create --opt nosuch=1 mine
	contains "$output" nosuch
	run -125 kist network create --opt parent=lan0 mine
	contains "$output" 'option parent is not for driver bridge'
	run -125 kist network create --interface-name all mine
	contains "$output" "'all' is not a name for a bridge"
	run -125 kist run --rm --network front:interface_name=default busybox true
	run -125 kist network create "$(printf 'a%.0s' $(seq 201))"
	contains "$output" 'is longer than 200 characters'
	# An address of the subnet names it too.
	kist network create --subnet 10.96.1.77/24 --subnet fd00:96::5/64 mine
	equal '10.96.1.0/24 10.96.1.1 fd00:96::/64 fd00:96::1 ' \
		"$(kist network inspect --format '{{range .Subnets}}{{.Subnet}} {{.Gateway}} {{end}}' mine)"
	equal 'map[driver:host-local] 10.99.1.128' "$(kist network inspect --format '{{.IPAMOptions}} {{(index .Subnets 0).LeaseRange.StartIP}}' front)"
	contains "$(kist network ls --format '{{.Name}} {{.IPAMOptions}}')" 'mine map[driver:host-local]'
}

@test 'macvlan: bridge and private mode, parents; ipvlan and vlan where the kernel has them' {
	local a b
	kist network create -d macvlan --subnet 192.0.2.0/24 --gateway 192.0.2.2 --ip-range 192.0.2.64/27 --opt parent=lan0 mac
	server a --network mac
	server b --network mac --mac-address 02:00:00:00:00:0b
	a=$(address_of a) b=$(address_of b)
	until_true 10 reaches a "$b" b
	reaches b "$a" a
	reaches a 192.0.2.2 outside
	until_true 10 outside_reaches "$a" a
	contains "$(kist exec b ip link show eth0)" 02:00:00:00:00:0b
	contains "$(kist exec a ip route)" 'default via 192.0.2.2'
	kist rm -f -t 0 a b
	kist network rm mac
	kist network create -d macvlan --subnet 192.0.2.0/24 --opt parent=lan0 --opt mode=private mac
	server a --network mac
	server b --network mac
	until_true 10 outside_reaches "$(address_of b)" b
	run ! reaches a "$(address_of b)" b
	kist rm -f -t 0 a b
	run -125 kist run --rm --network mac -p 80:80 busybox true
	kist network create -d macvlan --subnet 198.51.100.0/24 --opt parent=nosuch0 lost
	run -125 kist run --rm --network lost busybox true
	contains "$output" 'no link nosuch0'
	run -125 kist network create -d macvlan --opt mode=l2 wrong
	if has_links ipvlan; then
		local mode
		for mode in l2 l3 l3s; do
			kist network create -d ipvlan --subnet 192.0.2.0/24 --opt parent=lan0 --opt mode=$mode "ip$mode"
			run -0 kist run --rm --network "ip$mode:ip=192.0.2.40" busybox ip addr show eth0
			contains "$output" 192.0.2.40/24
			kist network rm "ip$mode"
		done
	else
		kist network create -d ipvlan --subnet 192.0.2.0/24 --opt parent=lan0 ip
		run -125 kist run --rm --network ip busybox true
		contains "$output" 'the kernel has no ipvlan links (CONFIG_IPVLAN; try: modprobe ipvlan)'
		contains "$output" '--network none'
	fi
	kist network create --opt vlan=7 tagged
	run kist run --rm --network tagged busybox true
	[ "$status" -eq 0 ] || contains "$output" CONFIG_BRIDGE_VLAN_FILTERING
}
