net-sources := net/addr.c net/network.c net/pool.c
net-sources += net/nl.c net/netns.c net/sysctl.c net/net.c net/link.c net/link_inside.c net/bridge.c net/owner.c
net-sources += net/nft.c net/nft_table.c net/conntrack.c
net-sources += net/lease.c net/port.c
net-sources += net/proxy.c net/proxy_stream.c net/proxy_flow.c
net-sources += net/dns.c net/dns_server.c net/dns_forward.c
