#!/usr/bin/env bats
# Two stores on one host: neither takes, changes or removes what the other's networks have.
load helpers

setup()
{
	setup_store
	kist_only
	b import "$E2E_CACHE/busybox.tar" busybox >/dev/null
}

teardown()
{
	local code=0 left
	a rm -f -a -t 0 >/dev/null 2>&1
	b rm -f -a -t 0 >/dev/null 2>&1
	left=$(find "$RUNROOT/net" "$STORE/rb/net" -path '*/leases/*' 2>/dev/null)
	[ -z "$left" ] || { echo "left behind: $left"; code=1; }
	a network prune -f >/dev/null || code=1
	b system reset -f >/dev/null || code=1
	no_bridges || { echo "bridges are left: $(bridges)"; code=1; }
	nft list table inet kist 2>/dev/null | grep -E '"kist[1-9]' && { echo 'elements are left'; code=1; }
	ip link del kist0 2>/dev/null
	ip link del br9 2>/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store || code=1
	return $code
}

a()
{
	kist "$@"
}

b()
{
	ROOT=$STORE/b RUNROOT=$STORE/rb kist "$@"
}

# Made by kist, but the first store's default.
bridges()
{
	ip -o link | grep -oE ' kist[1-9][0-9]*:'
	return 0
}

no_bridges()
{
	[ -z "$(bridges)" ]
}

# server STORE NAME OPTIONS...: answers 'I am NAME' on port 80.
server()
{
	local store=$1 name=$2
	shift 2
	$store run -d --name "$name" "$@" busybox sh -c \
		"mkdir -p /www; echo I am $name >/www/index.html; exec busybox httpd -f -p 80 -h /www" >/dev/null
}

says()
{
	[ "$(wget -T 2 -t 1 -qO- "http://$1/")" = "I am $2" ]
}

answers()
{
	until_true 10 says "$1" "$2" || fail "$1 does not answer as $2: $(wget -T 2 -t 1 -qO- "http://$1/" 2>&1)"
}

# address STORE CONTAINER
address()
{
	"$1" inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$2"
}

# network STORE NAME: bridge and subnet
network()
{
	"$1" network inspect --format '{{.NetworkInterface}} {{(index .Subnets 0).Subnet}}' "$2"
}

host_address()
{
	ip -4 -o addr show dev "$1" | awk '{ print $4 }'
}

@test 'the default network of a second store has a bridge and a subnet of its own' {
	server a one -p 8888:80
	answers 127.0.0.1:8888 one
	server b two -p 8889:80
	equal 'kist0 10.88.0.0/16' "$(network a kist)"
	matches '^kist[1-9][0-9]* 10\.89\.[0-9]+\.0/24$' "$(network b kist)"
	answers 127.0.0.1:8888 one
	answers 127.0.0.1:8889 two
	answers "$(address a one)" one
	answers "$(address b two)" two
	# As before, from then on.
	local were
	were=$(network b kist)
	server b three
	answers "$(address b three)" three
	equal "$were" "$(network b kist)"
	equal 10.88.0.1/16 "$(host_address kist0)" 'addresses of kist0'
	# Whoever is there has the way out of the host that it would have alone.
	contains "$(nft list set inet kist bridges)" kist0
	contains "$(nft list set inet kist bridges)" "${were% *}"
}

@test 'system reset leaves the bridge and the ports of another store alone' {
	server a one -p 8888:80
	server b two -p 8889:80
	answers 127.0.0.1:8889 two
	run -0 b system reset -f
	no_bridges || fail "left: $(bridges)"
	answers 127.0.0.1:8888 one
	answers "$(address a one)" one
	contains "$(nft list set inet kist bridges)" kist0
	# One that never used its network has nothing to remove.
	run -0 b network ls
	run -0 b system reset -f
	answers 127.0.0.1:8888 one
	a network reload one
	answers 127.0.0.1:8888 one
	contains "$(nft list tables)" 'inet kist'
	a rm -f -t 0 one
	b system reset -f
	contains "$(nft list set inet kist bridges)" kist0
}

@test 'rules that were flushed come back for both with a reload in one' {
	server a one -p 8888:80
	server b two -p 8889:80
	answers 127.0.0.1:8889 two
	nft flush table inet kist
	run ! says 127.0.0.1:8888 one
	a network reload one
	says 127.0.0.1:8888 one
	says 127.0.0.1:8889 two
	# With its elements each store has to bring back its own.
	nft delete table inet kist
	a network reload --all
	b network reload --all
	says 127.0.0.1:8888 one
	says 127.0.0.1:8889 two
}

@test 'networks made in two stores differ when they are used, whoever is first' {
	local store
	a network create web
	b network create web
	server b two --network web -p 8889:80
	server a one --network web -p 8888:80
	[ "$(network a web)" != "$(network b web)" ] || fail "both are $(network a web)"
	answers 127.0.0.1:8888 one
	answers 127.0.0.1:8889 two
	for store in a b; do
		equal 1 "$(host_address "$(network $store web | cut -d ' ' -f 1)" | wc -l)" "addresses of $store's bridge"
	done
	# What is made now is not where either is.
	b network create more
	for store in a b; do
		[ "$(network b more)" != "$(network $store web)" ] || fail "it is where web of $store is"
	done
	run -0 b network rm -f -t 0 web
	answers 127.0.0.1:8888 one
	answers "$(address a one)" one
	run -0 b network rm more
	run -0 b network prune -f
	answers 127.0.0.1:8888 one
}

@test "a bridge or a subnet that was asked for and is another store's is a clear error" {
	server a one -p 8888:80
	engine_error b network create --interface-name kist0 web
	contains "$stderr" "bridge kist0 belongs to the store in $ROOT"
	engine_error b network create --subnet 10.88.7.0/24 web
	contains "$stderr" 10.88.7.0/24
	# Made while nobody had them.
	a network create --interface-name kist5 --subnet 10.66.0.0/16 web
	b network create --interface-name kist5 --subnet 10.77.0.0/24 name
	b network create --subnet 10.66.7.0/24 subnet
	server a two --network web
	engine_error b run --rm --network name busybox true
	contains "$stderr" "network name: bridge kist5 belongs to the store in $ROOT"
	engine_error b run --rm --network subnet busybox true
	contains "$stderr" "network subnet: subnet 10.66.0.0/16 is in use on bridge kist5 of the store in $ROOT"
	engine_error b run --rm --ip 10.88.0.50 busybox true
	contains "$stderr" "has an address of its own choice"
	# Again: a failure leaves no half of it.
	engine_error b run --rm --network name busybox true
	contains "$stderr" 'bridge kist5 belongs'
	run -0 b network rm -f name
	run -0 b network rm -f subnet
	answers 127.0.0.1:8888 one
	answers "$(address a two)" two
	equal 10.66.0.1/16 "$(host_address kist5)" 'addresses of kist5'
	equal 10.88.0.1/16 "$(host_address kist0)" 'addresses of kist0'
}

@test 'a bridge of a store that is gone is made anew, one without a mark is used as it is' {
	b network create --internal gone
	b run --rm --network gone busybox true
	contains "$(nft list set inet kist internal)" kist
	rm -rf "$STORE/b" "$STORE/rb"
	b import "$E2E_CACHE/busybox.tar" busybox >/dev/null
	mv "$STORE/b" "$STORE/c"
	a network create --subnet 10.66.0.0/24 --interface-name kist1 web
	server a one --network web -p 8888:80
	answers 127.0.0.1:8888 one
	equal 10.66.0.1/24 "$(host_address kist1)" 'addresses of kist1'
	lacks "$(nft list set inet kist internal)" kist1
	mv "$STORE/c" "$STORE/b"
	ip link add br9 type bridge
	ip link set br9 alias 'uplink of the lab'
	a network create --interface-name br9 lab
	server a two --network lab
	answers "$(address a two)" two
	contains "$(ip link show br9)" 'uplink of the lab'
}

@test 'the same store by another name is the same, and one with the same runroot has its leases' {
	server a one -p 8888:80
	ln -s "$ROOT" "$STORE/link"
	run -0 timeout 60 "$KIST" --root "$STORE/link" --runroot "$RUNROOT" run -d --name two busybox sleep 1000
	equal 'kist0 10.88.0.0/16' "$(network a kist)"
	matches '^10\.88\.' "$(address a two)"
	answers 127.0.0.1:8888 one
	contains "$(ip link show kist0)" "alias kist $ROOT:$RUNROOT"
	b save -o "$STORE/busybox.tar" busybox
	local other=("$KIST" --root "$STORE/other" --runroot "$RUNROOT")
	"${other[@]}" load -i "$STORE/busybox.tar"
	contains "$("${other[@]}" run --rm busybox ip -4 -o addr show eth0)" ' 10.88.0.4/16'
	answers 127.0.0.1:8888 one
}

@test 'a lock on the network namespace, which anybody can take, keeps nobody from a network' {
	setpriv --reuid 1000 --clear-groups sh -c 'exec 4</proc/self/ns/net && flock 4 && echo locked && exec sleep 100' \
		>"$STORE/locked" 2>&1 3>&- &
	local holder=$! code=0
	until_true 10 grep -q locked "$STORE/locked" || fail "$(cat "$STORE/locked")"
	ip link show kist0 2>/dev/null && ip link del kist0
	timeout 20 "$KIST" --root "$ROOT" --runroot "$RUNROOT" run --rm busybox true || code=$?
	kill "$holder"
	equal 0 "$code"
}

@test 'two stores that begin at one moment do not meet' {
	local round first second
	for round in 1 2 3 4 5; do
		a run --rm busybox ip -4 -o addr show eth0 >"$STORE/first" &
		first=$!
		b run --rm busybox ip -4 -o addr show eth0 >"$STORE/second" &
		second=$!
		wait "$first"
		wait "$second"
		[ "$(network a kist)" != "$(network b kist)" ] || fail "both are $(network a kist)"
		equal 1 "$(cat "$STORE/first" "$STORE/second" | grep -c ' 10\.88\.')" 'in 10.88.0.0/16'
		b system reset -f
		ip link del "$(network a kist | cut -d ' ' -f 1)"
		nft delete table inet kist
		rm -rf "$RUNROOT/net" "$ROOT/networks"
		b import "$E2E_CACHE/busybox.tar" busybox >/dev/null
	done
}
