# modules: overlay bridge veth dummy macvlan ipvlan sctp nf_tables nft_chain_nat nft_nat nft_masq nft_fib_inet nft_ct
# programs: /usr/bin/socat
# shellcheck shell=sh disable=SC2016
# Networks: links that other kernels lack, VLANs, SCTP, and published ports without br_netfilter.

# in_net CONTAINER COMMAND...: a program of the host's in the network namespace of a container.
in_net()
{
	pid=$(kist inspect --format '{{.State.Pid}}' "$1")
	shift
	nsenter -n -t "$pid" "$@"
}

server()
{
	name=$1
	shift
	kist run -d --name "$name" "$@" busybox sh -c "mkdir -p /www; echo hello from $name >/www/index.html; exec httpd -f -p 80 -h /www" >/dev/null
}

address_of()
{
	kist inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"
}

# Not by 'wget -T': with it Debian's static busybox ends by SIGSEGV.
get()
{
	timeout 3 wget -q -O - "$1"
}

# gets NAME URL: the server of that name answers there.
gets()
{
	[ "$(get "$2" 2>/dev/null)" = "hello from $1" ]
}

# reaches NAME FROM: from inside a container.
reaches()
{
	[ "$(kist exec "$2" timeout 3 wget -q -O - "http://$(address_of "$1")/" 2>/dev/null)" = "hello from $1" ]
}

check_has 'the default network' 0 'inet 10.88.0.2/16' kist run --rm --network kist busybox ip addr show eth0
kist network create --ipv6 six >/dev/null
server web -p 8080:80
server web6 --network six -p 8081:80
check 'published: 127.0.0.1' 0 '' until_true 100 gets web http://127.0.0.1:8080/
check 'published: ::1, without IPv6 inside' 0 '' gets web 'http://[::1]:8080/'
check 'published: ::1, with it' 0 '' until_true 100 gets web6 'http://[::1]:8081/'
kist rm -f -t 0 web web6 >/dev/null

ip link add lan0 type dummy
ip addr add 192.0.2.1/24 dev lan0
ip link set lan0 up
for mode in l2 l3 l3s; do
	kist network create -d ipvlan --subnet 192.0.2.0/24 --ip-range 192.0.2.64/26 --opt parent=lan0 --opt mode=$mode "$mode" >/dev/null
	server a --network $mode
	server b --network $mode
	check "ipvlan $mode: from one to the other" 0 '' until_true 30 reaches b a
	check "ipvlan $mode: and back" 0 '' reaches a b
	kist rm -f -t 0 a b >/dev/null
	kist network rm $mode >/dev/null
done
check_has 'ipvlan: no address of its own' 125 "it cannot be chosen" sh -c 'kist network create -d ipvlan --subnet 192.0.2.0/24 --opt parent=lan0 ip >/dev/null; kist run --rm --network ip:mac=02:00:00:00:00:01 busybox true'
for mode in bridge vepa private; do
	kist network create -d macvlan --subnet 192.0.2.0/24 --ip-range 192.0.2.128/26 --opt parent=lan0 --opt mode=$mode $mode-mac >/dev/null
	server a --network $mode-mac
	server b --network $mode-mac
	if [ $mode = bridge ]; then
		check 'macvlan bridge: from one to the other' 0 '' until_true 100 reaches b a
	else
		check "macvlan $mode: not from one to the other" 1 '' reaches b a
	fi
	kist rm -f -t 0 a b >/dev/null
	kist network rm $mode-mac >/dev/null
done

kist network create --opt vlan=7 --interface-name tagged0 tagged >/dev/null
server a --network tagged
server b --network tagged
check 'vlan: the bridge filters' 0 '1 7' sh -c 'echo $(cat /sys/class/net/tagged0/bridge/vlan_filtering /sys/class/net/tagged0/bridge/default_pvid)'
check 'vlan: from one to the other' 0 '' until_true 100 reaches b a
check 'vlan: from the host' 0 '' gets a "http://$(address_of a)/"
kist rm -f -t 0 a b >/dev/null

kist run -d --name s -p 3868:3868/sctp busybox sleep 1000 >/dev/null
in_net s socat SCTP-LISTEN:3868,fork,reuseaddr SYSTEM:'echo by sctp' &
socat=$!
by_sctp()
{
	# SCTP has no half-closed connection: one end of input would end it before the answer is there.
	[ "$(socat -T 3 STDIO,ignoreeof "SCTP:$1" </dev/null 2>/dev/null)" = 'by sctp' ]
}
check 'sctp: 127.0.0.1' 0 '' until_true 100 by_sctp 127.0.0.1:3868
check 'sctp: the own address' 0 '' until_true 50 by_sctp 192.0.2.1:3868
check 'sctp: ::1' 0 '' until_true 50 by_sctp '[::1]:3868'
kill $socat
kist rm -f -t 0 -a >/dev/null
check 'nothing left of networks' 0 '' sh -c 'find /run/kist/net -path "*/leases/*"; ip -o link | grep -o "veth[^:]*"; true'
