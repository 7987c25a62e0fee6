#!/usr/bin/env bats
# Published ports: every way to them, by every protocol, and who else has them.
load helpers

setup()
{
	setup_store
	kist_only
	# The host's link to the world, and a client out there.
	ip link add lan0 type veth peer name lan1
	unshare --net sleep 1000 3>&- &
	CLIENT=$!
	until_true 10 eval "[ \"\$(readlink /proc/$CLIENT/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
	ip link set lan1 netns "$CLIENT"
	ip addr add 192.0.2.1/24 dev lan0
	ip addr add 2001:db8::1/64 dev lan0 nodad
	ip link set lan0 up
	nsenter -t "$CLIENT" -n sh -c 'ip link set lo up; ip addr add 192.0.2.2/24 dev lan1; ip addr add 2001:db8::2/64 dev lan1 nodad; ip link set lan1 up'
}

teardown()
{
	kist rm -f -a -t 0 >/dev/null 2>&1
	kill "$CLIENT" && wait "$CLIENT" 2>/dev/null
	ip link del lan0 2>/dev/null
	kist network prune -f >/dev/null
	local code=0
	nft list table inet kist 2>/dev/null | grep -E '(tcp|udp) \. ' | grep -v type && { echo 'elements are left'; code=1; }
	ip link del kist0 2>/dev/null
	nft delete table inet kist 2>/dev/null
	teardown_store && return $code
}

server()
{
	local name=$1
	shift
	kist run -d --name "$name" "$@" busybox sh -c \
		"mkdir -p /www; echo hello from $name >/www/index.html; exec busybox httpd -f -v -p 80 -h /www" >/dev/null
}

get()
{
	wget -T 2 -t 1 -qO- "$1"
}

gets()
{
	[ "$(get "$1" 2>/dev/null)" = "$2" ]
}

client_gets()
{
	[ "$(nsenter -t "$CLIENT" -n wget -T 2 -t 1 -qO- "$1" 2>/dev/null)" = "$2" ]
}

container_gets()
{
	[ "$(kist exec "$1" timeout 3 wget -qO- "$2" 2>/dev/null)" = "$3" ]
}

port_of()
{
	kist port "$1" "$2" | head -n 1 | sed 's/.*://'
}

# A server of UDP in a container's namespace that gives back what comes, with the client's address.
udp_server()
{
	rm -f "$STORE/udp"
	nsenter -t "$(pid_of "$1")" -n python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, client = s.recvfrom(2048)
    s.sendto(data + b" from " + client[0].encode(), client)
' "$2" >"$STORE/udp" 3>&- &
	UDP=$!
	until_true 60 grep -qs ready "$STORE/udp"
}

# udp_gets [PREFIX-COMMAND...] -- ADDRESS PORT ANSWER; a datagram may be lost while neighbours are looked for: ask again.
udp_gets()
{
	local prefix=()
	while [ "$1" != -- ]; do
		prefix+=("$1")
		shift
	done
	[ "$("${prefix[@]}" python3 -c '
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"asked")
print(s.recv(2048).decode())
' "$2" "$3" 2>&1)" = "$4" ]
}

@test 'from the host, from outside, from containers; the client is seen as it is' {
	kist network create --ipv6 six
	server a -p 8080:80
	server b --network six -p 8081:80
	until_true 10 gets http://127.0.0.1:8080/ 'hello from a'
	gets http://192.0.2.1:8080/ 'hello from a'
	gets 'http://[::1]:8080/' 'hello from a'
	client_gets http://192.0.2.1:8080/ 'hello from a'
	# The server writes it down after its answer.
	until_true 10 log_has a '192.0.2.2]' || fail "$(kist logs a 2>&1)"
	until_true 10 gets http://127.0.0.1:8081/ 'hello from b'
	gets 'http://[::1]:8081/' 'hello from b'
	gets 'http://[2001:db8::1]:8081/' 'hello from b'
	client_gets 'http://[2001:db8::1]:8081/' 'hello from b'
	until_true 10 log_has b '[2001:db8::2]' || fail "$(kist logs b 2>&1)"
	# A neighbour, another network, and the container itself by the host's address.
	container_gets a http://192.0.2.1:8080/ 'hello from a'
	container_gets a http://192.0.2.1:8081/ 'hello from b'
	container_gets b 'http://[2001:db8::1]:8081/' 'hello from b'
	# What is not published is not there.
	run ! client_gets http://192.0.2.1:80/ 'hello from a'
	nsenter -t "$CLIENT" -n ip route add 10.88.0.0/15 via 192.0.2.1
	run ! client_gets "http://$(kist inspect --format '{{.NetworkSettings.IPAddress}}' a)/" 'hello from a'
	equal '80/tcp -> 0.0.0.0:8080' "$(kist port a)"
	lacks "$(kist ps)" '::1'
	# The next run has the same ports.
	kist restart -t 0 b
	until_true 10 gets 'http://[::1]:8081/' 'hello from b'
}

@test 'one address only; another network when the first is left' {
	kist network create front
	server a -p 127.0.0.1:8080:80 -p '[::1]:8082:80' -p 192.0.2.1:8083:80
	until_true 10 gets http://127.0.0.1:8080/ 'hello from a'
	run ! gets 'http://[::1]:8080/' 'hello from a'
	run ! client_gets http://192.0.2.1:8080/ 'hello from a'
	gets 'http://[::1]:8082/' 'hello from a'
	run ! gets http://127.0.0.1:8082/ 'hello from a'
	client_gets http://192.0.2.1:8083/ 'hello from a'
	kist network connect front a
	kist network disconnect kist a
	gets http://127.0.0.1:8080/ 'hello from a'
	gets 'http://[::1]:8082/' 'hello from a'
	client_gets http://192.0.2.1:8083/ 'hello from a'
	kist network disconnect front a
	run ! client_gets http://192.0.2.1:8083/ 'hello from a'
	kist network connect front a
	client_gets http://192.0.2.1:8083/ 'hello from a'
	run -125 kist run --rm -p 192.0.2.99:80:80 busybox true
	contains "$output" '192.0.2.99 is no address of this host'
}

@test 'UDP, both families; SCTP where the kernel has it' {
	need python3
	kist network create --ipv6 six
	kist run -d --name a -p 5353:5300/udp busybox sleep 1000
	udp_server a 5300
	until_true 60 udp_gets -- 127.0.0.1 5353 'asked from ::ffff:10.88.0.1'
	until_true 60 udp_gets -- ::1 5353 'asked from ::ffff:10.88.0.1'
	until_true 60 udp_gets nsenter -t "$CLIENT" -n -- 192.0.2.1 5353 'asked from ::ffff:192.0.2.2'
	kill "$UDP"
	kist rm -f -t 0 a
	kist run -d --name a --network six -p 5353:5300/udp busybox sleep 1000
	udp_server a 5300
	until_true 60 udp_gets nsenter -t "$CLIENT" -n -- 2001:db8::1 5353 'asked from 2001:db8::2'
	local gateway
	gateway=$(kist inspect --format '{{range .NetworkSettings.Networks}}{{.IPv6Gateway}}{{end}}' a)
	until_true 60 udp_gets -- ::1 5353 "asked from $gateway"
	kill "$UDP"
	if python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)' 2>/dev/null; then
		kist run --rm -p 3868:3868/sctp busybox true
	else
		run -125 kist run --rm -p 3868:3868/sctp busybox true
		contains "$output" 'the kernel has no SCTP'
	fi
}

@test 'what is published twice is published once, to two ports is refused; protocols in capitals; none on the host' {
	kist run -d --name a -p 8080:80 -p 8080:80/TCP -p 127.0.0.1:8080:80/UDP -p 9001-9002:91-92 -p 9003:93 -p 9002-9003:92-93 \
		--expose 70/UDP busybox sleep 1000 >/dev/null
	equal '80/tcp -> 0.0.0.0:8080 80/udp -> 127.0.0.1:8080 91/tcp -> 0.0.0.0:9001 92/tcp -> 0.0.0.0:9002 93/tcp -> 0.0.0.0:9003' \
		"$(kist port a | sort | xargs)"
	contains "$(kist inspect --format '{{.Config.ExposedPorts}}' a)" 70/udp
	kist stop -t 0 a
	kist start a
	equal 5 "$(kist port a | wc -l)"
	kist rm -f -t 0 a
	run -125 kist create -p 8080:80 -p 8079-8081:78-80 busybox true
	contains "$output" 'port 8080/tcp leads to two ports of the container'
	run -0 kist run --rm --network host -p 8080:80 --name h busybox true
	contains "$output" 'container h: ports are not published'
}

@test 'ranges, exposed and random ports; a port in use names its holder' {
	local port
	server a -p 20000-20999:10000-10999 -p 8000:80
	until_true 10 gets http://127.0.0.1:8000/ 'hello from a'
	equal 1000 "$(nft list map inet kist ports4_any | grep -oE 'tcp \. 20[0-9]{3} : ' | wc -l)"
	kist exec a sh -c 'httpd -p 10000 -h /www; httpd -p 10999 -h /www'
	gets http://127.0.0.1:20000/ 'hello from a'
	gets http://127.0.0.1:20999/ 'hello from a'
	gets 'http://[::1]:20999/' 'hello from a'
	equal 0.0.0.0:20999 "$(kist port a 10999)"
	contains "$(kist ps)" '0.0.0.0:20000-20999->10000-10999/tcp'
	run -125 kist run --rm -p 20500:80 busybox true
	contains "$output" 'port 0.0.0.0:20500/tcp is in use by container a'
	kist rm -f -t 0 a
	equal 0 "$(nft list map inet kist ports4_any | grep -c 'tcp [.] ')"
	busybox httpd -f -p 8000 -h "$STORE" 3>&- &
	local other=$!
	until_true 10 sh -c 'wget -T 2 -t 1 -qO- http://127.0.0.1:8000/ >/dev/null 2>&1; [ $? -ne 4 ]'
	run -125 kist run --rm -p 8000:80 busybox true
	contains "$output" "in use by busybox (pid $other)"
	kill "$other"
	wait "$other" || true # it has the port until it is gone
	# One that somebody has on ::1 alone is published elsewhere, and that is said.
	busybox httpd -f -p '[::1]:8000' -h "$STORE" 3>&- &
	other=$!
	until_true 10 sh -c 'wget -T 2 -t 1 -qO- "http://[::1]:8000/" >/dev/null 2>&1; [ $? -ne 4 ]'
	run -0 kist run -d --name four -p 8000:80 busybox sleep 1000
	contains "$output" 'port 8000/tcp of container four is not published on [::1]: '
	contains "$output" "in use by busybox (pid $other)"
	kill "$other"
	kist rm -f -t 0 four
	server b --expose 80 --expose 81/udp -P
	port=$(port_of b 80/tcp)
	until_true 10 gets "http://127.0.0.1:$port/" 'hello from b'
	matches '^[0-9]+$' "$(port_of b 81/udp)"
	server c -p 80
	until_true 10 gets "http://127.0.0.1:$(port_of c 80)/" 'hello from c'
}
