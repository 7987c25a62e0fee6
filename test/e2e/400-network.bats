#!/usr/bin/env bats
# Networks: links, addresses, names, published ports, isolation, and that nothing of them is left.
load helpers

setup()
{
	setup_store
	kist_only
}

teardown()
{
	kist rm -f -a -t 0 >/dev/null 2>&1
	local left name code=0
	left=$(find "$RUNROOT/net" -path '*/leases/*' -o -path '*/names/*' -o -path '*/ids/*' 2>/dev/null)
	[ -z "$left" ] || { echo "left behind: $left"; code=1; }
	nft list table inet kist 2>/dev/null | grep -E '(tcp|udp) \. ' | grep -v type && { echo 'elements are left'; code=1; }
	busybox ip link | grep -E 'veth' && { echo 'links are left'; code=1; }
	for name in $(kist network ls -q); do
		[ "$name" = kist ] || kist network rm "$name" >/dev/null || code=1
	done
	# The default bridge stays for the next container.
	busybox ip link del kist0 2>/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store || code=1
	return $code
}

# server NAME OPTIONS...: answers 'hello from NAME' on port 80.
server()
{
	local name=$1
	shift
	kist run -d --name "$name" "$@" busybox sh -c \
		"mkdir -p /www; echo hello from $name >/www/index.html; exec busybox httpd -f -p 80 -h /www" >/dev/null
}

get()
{
	wget -T 2 -t 1 -qO- "$1"
}

gets()
{
	[ "$(get "$1")" = "$2" ]
}

address_of()
{
	kist inspect --format "{{.NetworkSettings.${2:-IPAddress}}}" "$1"
}

in_container()
{
	kist exec "$1" timeout 3 wget -qO- "$2"
}

reaches()
{
	[ "$(in_container "$1" "$2" 2>/dev/null)" = "$3" ]
}

@test 'containers reach each other by address and by name' {
	kist network create front
	server a --network front:alias=web
	server b --network front
	until_true 10 reaches b "http://$(address_of a)/" 'hello from a'
	until_true 10 reaches b http://a/ 'hello from a'
	reaches a http://b/ 'hello from b'
	reaches b http://web/ 'hello from a'
	kist rm -f -t 0 a
	run ! in_container b http://a/
}

@test 'published ports: 127.0.0.1, the own address, refused when taken, gone afterwards' {
	server a --network kist -p 8080:80
	until_true 10 gets http://127.0.0.1:8080/ 'hello from a'
	gets http://10.88.0.1:8080/ 'hello from a'
	equal 0.0.0.0:8080 "$(kist port a 80)"
	contains "$(kist ps)" '0.0.0.0:8080->80/tcp'
	run -125 kist run --rm --network kist -p 8080:80 busybox true
	contains "$output" 'port 0.0.0.0:8080/tcp is in use'
	kist rm -f -t 0 a
	run ! get http://127.0.0.1:8080/
}

@test 'a foreign flush, then network reload' {
	server a --network kist -p 8080:80
	until_true 10 gets http://127.0.0.1:8080/ 'hello from a'
	nft flush ruleset
	run ! get http://127.0.0.1:8080/
	kist network reload --all
	gets http://127.0.0.1:8080/ 'hello from a'
	# The rules alone are gone, what they look up is there. The others get theirs back too.
	server b --network kist -p 8081:80
	until_true 10 gets http://127.0.0.1:8081/ 'hello from b'
	nft flush table inet kist
	run ! get http://127.0.0.1:8080/
	kist network reload b
	gets http://127.0.0.1:8080/ 'hello from a'
	gets http://127.0.0.1:8081/ 'hello from b'
	local guard
	guard=$(nft list chain inet kist guard)
	nft flush chain inet kist guard
	kist network reload a
	equal "$guard" "$(nft list chain inet kist guard)"
	gets http://127.0.0.1:8081/ 'hello from b'
}

@test 'connect and disconnect a running container' {
	kist network create front
	server a --network kist
	server b --network front
	run ! in_container b "http://10.88.0.99/"
	kist network connect front a
	until_true 10 reaches b http://a/ 'hello from a'
	contains "$(kist exec a ip addr)" eth1
	# What went over both links is counted.
	matches '^[0-9.]+kB / [0-9.]+kB$' "$(kist stats --no-stream --format '{{.NetIO}}' a)"
	# Who shares them has the same; of the host's nothing is counted, whoever has it.
	kist run -d --name shared --network container:a busybox sleep 1000 >/dev/null
	matches '^[0-9.]+kB / [0-9.]+kB$' "$(kist stats --no-stream --format '{{.NetIO}}' shared)"
	equal '-- / --' "$(kist run -d --name h --network host busybox sleep 1000 >/dev/null; kist stats --no-stream --format '{{.NetIO}}' h)"
	kist run -d --name hosted --network container:h busybox sleep 1000 >/dev/null
	equal '-- / --' "$(kist stats --no-stream --format '{{.NetIO}}' hosted)"
	kist network disconnect front a
	lacks "$(kist exec a ip addr)" eth1
	equal 'create front front|connect a front|disconnect a front' \
		"$(kist events --stream=false --filter type=network --format '{{.Status}} {{.Name}} {{or .Network .Name}}' | paste -sd '|')"
}

@test 'static addresses, hosts, several networks' {
	kist network create --subnet 10.99.7.0/24 front
	run kist run --rm --network front:ip=10.99.7.9,mac=02:00:00:00:00:09,interface_name=lan0 --network kist busybox \
		sh -c 'ip addr show lan0; ip addr show eth0; cat /etc/hosts'
	contains "$output" 10.99.7.9/24
	contains "$output" 02:00:00:00:00:09
	contains "$output" 'inet 10.88.'
	contains "$output" '10.99.7.1	host.containers.internal host.docker.internal'
	run -125 kist run --rm --network front --ip 10.1.1.1 busybox true
	contains "$output" 'in no subnet of network front'
}

@test 'IPv6 addresses' {
	kist network create --ipv6 six
	server a --network six
	until_true 10 gets "http://[$(address_of a GlobalIPv6Address)]/" 'hello from a'
}

@test '20 at once have 20 addresses' {
	local i
	for i in $(seq 20); do
		kist run -d --name "n$i" --network kist busybox sleep 100 >/dev/null &
	done
	wait
	equal 20 "$(for i in $(seq 20); do address_of "n$i"; done | sort -u | wc -l)"
}

@test 'network create, ls, inspect, exists, rm' {
	equal front "$(kist network create --label a=b front)"
	kist network exists front
	run -1 kist network exists back
	contains "$(kist network ls)" front
	kist network create --label a=b --label c=d labelled
	equal 'a=b,c=d "a=b,c=d"' "$(kist network ls --filter name=labelled --format '{{.Labels}} {{json .Labels}}')"
	equal 'NAME        LABELS' "$(kist network ls --format 'table {{.Name}} {{.Labels}}' | head -n 1)"
	kist network rm labelled
	equal 10.89.0.0/24 "$(kist network inspect --format '{{range .Subnets}}{{.Subnet}}{{end}}' front)"
	run -125 kist network create front
	contains "$output" 'exists already'
	run -125 kist network rm kist
	kist create --name a --network front busybox true
	run -2 kist network rm front
	kist network rm -f front
	run -1 kist network rm front
}
