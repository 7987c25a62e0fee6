#!/usr/bin/env bats
# Names: what containers call each other and their host, as it changes while they run.
load helpers

setup()
{
	setup_store
	kist_only
}

teardown()
{
	kist rm -f -a -t 0 >/dev/null 2>&1
	kist network prune -f >/dev/null
	busybox ip link del kist0 2>/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store
}

waiter()
{
	kist run -d "$@" busybox sleep 1000 >/dev/null
}

address_on()
{
	kist inspect --format "{{(index .NetworkSettings.Networks \"$2\").${3:-IPAddress}}}" "$1"
}

# resolves FROM NAME ADDRESS
resolves()
{
	kist exec "$1" nslookup "$2" 2>&1 | grep -qx "Address: $3"
}

unknown()
{
	! kist exec "$1" timeout 10 nslookup "$2" >/dev/null 2>&1
}

hosts_inode()
{
	kist exec "$1" stat -c %i /etc/hosts
}

@test 'names follow connect, rename, disconnect and stop at once' {
	kist network create front
	kist network create --ipv6 back
	waiter --name a --network front:alias=web,alias=WWW
	waiter --name b
	local a before
	a=$(address_on a front)
	before=$(hosts_inode b)
	lacks "$(kist exec b cat /etc/resolv.conf)" 127.0.0.11
	# A network without names, then one with them: the monitor begins to answer.
	kist network connect --alias beta front b
	equal 'nameserver 127.0.0.11' "$(kist exec b grep nameserver /etc/resolv.conf)"
	resolves b a "$a"
	resolves b web "$a"
	resolves b www "$a"
	resolves b "$(kist inspect --format '{{slice .Id 0 12}}' a)" "$a"
	resolves a beta "$(address_on b front)"
	# Backwards too.
	contains "$(kist exec b nslookup "$a")" 'name = a'
	contains "$(kist exec b cat /etc/hosts)" "$(address_on b front)	"
	kist rename a aa
	resolves b aa "$a"
	unknown b a
	contains "$(kist exec aa cat /etc/hosts)" "$a	$(kist inspect --format '{{slice .Id 0 12}}' aa) aa"
	# Aliases belong to one network; names are found on all that are shared, in both families.
	kist network connect back aa
	kist network connect back b
	run -0 kist exec b nslookup aa
	contains "$output" "Address: $a"
	contains "$output" "Address: $(address_on aa back)"
	contains "$output" "Address: $(address_on aa back GlobalIPv6Address)"
	lacks "$(kist exec b nslookup web)" "$(address_on aa back)"
	kist network disconnect front b
	unknown b web
	resolves b aa "$(address_on aa back)"
	lacks "$(kist exec b cat /etc/hosts)" "10.89.0."
	kist stop -t 0 aa
	unknown b aa
	kist network disconnect back b
	lacks "$(kist exec b cat /etc/resolv.conf)" 127.0.0.11
	equal "$before" "$(hosts_inode b)" 'inode of /etc/hosts'
	equal "10.88.0.1	host.containers.internal host.docker.internal" "$(kist exec b grep internal /etc/hosts)"
}

@test 'the resolver of glibc, a search list, other names from other servers' {
	need python3
	import_debian
	kist network create front
	waiter --name a --network front
	busybox ip addr add 10.77.0.1/32 dev lo
	python3 - >"$STORE/asked" 3>&- <<-'END' &
		import socket
		names = {b"\x09elsewhere": 7, b"\x04host\x07example": 8}
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.bind(("10.77.0.1", 53))
		print("ready", flush=True)
		while True:
		    query, client = s.recvfrom(4096)
		    end = query.index(b"\0", 12)
		    question, found = query[12:end + 5], names.get(query[12:end])
		    answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\xc0\0\x02" + bytes([found or 0])
		    one = found and query[end + 1:end + 3] == b"\0\x01"
		    s.sendto(query[:2] + (b"\x81\x80" if found else b"\x81\x83") + b"\0\x01\0" + (b"\x01" if one else b"\0") +
		        b"\0\0\0\0" + question + (answer if one else b""), client)
	END
	local server=$! code=0
	until_true 20 grep -q ready "$STORE/asked"
	run kist run --rm --network front --dns 10.77.0.9 --dns 10.77.0.1 --dns-search example --dns-option timeout:4 debian \
		bash -c 'getent ahostsv4 a | head -n 1; getent ahostsv4 elsewhere | head -n 1; getent ahostsv4 host | head -n 1; getent hosts nobody-has-that; cat /etc/resolv.conf; cat /etc/hosts'
	# One that runs asks another server from now on.
	kist network update --dns-add 10.77.0.1 front
	resolves a elsewhere 192.0.2.7 || code=1
	kill "$server"
	equal 0 "$code" 'the new server is asked'
	busybox ip addr del 10.77.0.1/32 dev lo
	contains "$output" "$(address_on a front)"
	matches '192\.0\.2\.7 +STREAM elsewhere' "$output"
	matches '192\.0\.2\.8 +STREAM host' "$output"
	contains "$output" 'search example'
	contains "$output" 'options timeout:4'
	lacks "$output" 'nobody-has-that'
}

@test 'hosts files: --add-host, --hosts-file, --no-hosts, guests of a namespace' {
	printf '192.0.2.1\tbase\n' >"$STORE/base"
	run -0 kist run --rm --add-host 'one;two:192.0.2.2' --add-host gate:host-gateway --hosts-file "$STORE/base" --name n -h h busybox cat /etc/hosts
	equal '192.0.2.2	one two' "${lines[0]}"
	equal '10.88.0.1	gate' "${lines[1]}"
	equal '192.0.2.1	base' "${lines[2]}"
	contains "$output" '127.0.0.1	localhost'
	contains "$output" '10.88.0.1	host.containers.internal host.docker.internal'
	matches '10\.88\.0\.[0-9]+	h n' "$output"
	lacks "$(kist run --rm --no-hosts busybox cat /etc/hosts)" internal
	waiter --name owner
	waiter --name guest -h visitor --network container:owner
	contains "$(kist exec owner cat /etc/hosts)" '127.0.0.1	visitor guest'
	equal "$(kist exec owner cat /etc/hosts)" "$(kist exec guest cat /etc/hosts)"
	equal "$(kist exec owner cat /etc/resolv.conf)" "$(kist exec guest cat /etc/resolv.conf)"
	equal "$(kist exec owner ip addr)" "$(kist exec guest ip addr)"
	kist rm -f -t 0 guest
	lacks "$(kist exec owner cat /etc/hosts)" guest
	contains "$(kist exec owner cat /etc/hosts)" internal
	run -125 kist run --rm --network container:owner -p 80:80 busybox true
	local other
	for other in slirp4netns pasta:-t,80; do
		run -125 kist run --rm --network "$other" busybox true
		contains "$output" "${other%%:*}"
	done
}
