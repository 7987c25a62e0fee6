#!/usr/bin/env bats
# Containers and pods that are made like others.
load helpers

# What two containers may differ in.
likeness()
{
	kist inspect "$1" | jq -S '.[0] | del(.Id, .Name, .Created, .State, .ResolvConfPath, .HostnamePath, .HostsPath, .StaticDir,
		.OCIConfigPath, .PidFile, .Config.Hostname, .Config.CreateCommand, .HostConfig.LogConfig.Path, .GraphDriver,
		.LockNumber, .NetworkSettings.SandboxKey, .HostConfig.ContainerIDFile, .MountLabel) |
		del(.. | .IPAddress?, .MacAddress?, .GlobalIPv6Address?, .Aliases?)' | grep -v '"HOSTNAME='
}

@test "clone: a container's configuration, with other limits, image and name; what is its own is left out" {
	local id
	kist import --change LABEL=other=1 "$E2E_CACHE/busybox.tar" other >/dev/null
	kist network create net >/dev/null
	kist create --name web --network net -e A=b -l k=v --memory 64m --pids-limit 30 -v data:/data --restart on-failure:2 \
		--cidfile "$STORE/cid" --log-opt path="$STORE/web.log" --health-cmd true --cap-drop CHOWN --user 1000 busybox sleep 1000 >/dev/null
	has_controller cpu && kist update --cpus 0.5 web >/dev/null
	id=$(kist container clone web)
	equal web-clone "$(kist inspect --format '{{.Name}}' "$id")"
	equal '' "$(diff <(likeness web) <(likeness web-clone))"
	equal 'kist container clone web' "$(kist inspect --format '{{join .Config.CreateCommand " "}}' "$id" | sed 's,.*/kist,kist,; s, --root [^ ]* --runroot [^ ]*,,')"
	[ ! -e "$STORE/web.log" ]
	kist container clone web >/dev/null
	kist container clone web-clone1 >/dev/null
	kist container exists web-clone2
	# Limits, a name and an image of its own; started.
	id=$(kist container clone --memory 32m web limited)
	equal "33554432 30 limited" "$(kist inspect --format '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.Name}}' "$id")"
	kist create --name plain --stop-timeout 0 busybox sleep 1000 >/dev/null
	id=$(kist container clone --run plain named other)
	equal "named localhost/other:latest running" "$(kist inspect --format '{{.Name}} {{.ImageName}} {{.State.Status}}' "$id")"
	# The one that runs goes only by force, and nothing is made when it may not go.
	run -125 kist container clone --destroy named
	contains "$output" 'named runs'
	run -1 kist container exists named-clone
	run -125 kist container clone --force named
	id=$(kist container clone --destroy --force named)
	equal named-clone "$(kist inspect --format '{{.Name}}' "$id")"
	run ! kist container exists named
	run -125 kist container clone nothing
	run -125 kist container clone web web
	contains "$output" 'web'
	kist rm -a >/dev/null
	kist volume rm data >/dev/null
	kist network rm net >/dev/null
	kist rmi other >/dev/null
	rm "$STORE/cid"
}

@test "clone: a pod with its containers, which refer to each other, runs beside the first" {
	local pod infra
	kist pod create --name shop -l k=v --restart always -v /tmp:/host:ro >/dev/null
	kist create --pod shop --name db --stop-timeout 0 busybox sleep 1000 >/dev/null
	kist create --pod shop --name web --stop-timeout 0 --pid container:db --requires db --hostname h --uts private --restart no busybox sleep 1000 >/dev/null
	pod=$(kist pod clone --label a=b --start shop)
	equal shop-clone "$(kist pod inspect --format '{{.Name}}' "$pod")"
	equal 'Running 3' "$(kist pod ps --filter name=shop-clone --format '{{.Status}} {{.NumberOfContainers}}')"
	equal 'Created' "$(kist pod ps --filter name=shop\$ --format '{{.Status}}')"
	equal 'a=b k=v' "$(kist pod inspect --format '{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}' "$pod" | xargs)"
	# Its own namespaces and its own siblings.
	equal "container:$(kist inspect --format '{{.Id}}' db-clone)" "$(kist inspect --format '{{.HostConfig.PidMode}}' web-clone)"
	equal "$(readlink "/proc/$(pid_of db-clone)/ns/pid")" "$(readlink "/proc/$(pid_of web-clone)/ns/pid")"
	infra=$(kist pod inspect --format '{{.InfraContainerID}}' "$pod")
	equal "$(readlink "/proc/$(pid_of "$infra")/ns/net")" "$(readlink "/proc/$(pid_of db-clone)/ns/net")"
	equal shop-clone "$(kist exec db-clone hostname)"
	equal 'always no' "$(kist inspect --format '{{.HostConfig.RestartPolicy.Name}}' db-clone web-clone | xargs)"
	equal 1 "$(kist inspect --format '{{range .Mounts}}{{println .Destination}}{{end}}' db-clone | grep -c /host)"
	kist pod start shop >/dev/null
	# Wholly or not at all: the name of a container that it would make is no pod's either.
	run -125 kist pod clone shop shop
	equal 2 "$(kist pod ps -q | wc -l)"
	run -125 kist pod clone --destroy shop
	contains "$output" 'shop runs'
	kist pod clone --destroy -f shop third >/dev/null
	run ! kist pod exists shop
	kist pod rm -f -t 0 third shop-clone >/dev/null
	kist pod create --name limited --memory 256m --cpus 2 >/dev/null
	equal 134217728 "$(kist pod inspect --format '{{.MemoryLimit}}' "$(kist pod clone --memory 128m limited)")"
	equal 200000 "$(kist pod inspect --format '{{.CPUQuota}}' limited-clone)"
	kist pod rm -a >/dev/null
}

in_clone()
{
	kist exec web-clone sh -c "$1"
}

@test "clone: a pod with other options than the first: namespaces, mounts, devices, sysctls, protection, users" {
	local infra
	mkdir -p "$STORE/one" "$STORE/two"
	echo one >"$STORE/one/f"
	echo two >"$STORE/two/f"
	kist volume create vol >/dev/null
	kist create --name giver -v vol:/given busybox true >/dev/null
	kist pod create --name shop -v "$STORE/one:/a" -v "$STORE/one:/b:ro" --device /dev/null:/dev/first --sysctl kernel.msgmax=8000 --shm-size 1m \
		--security-opt mask=/proc/version >/dev/null
	kist create --pod shop --name web --stop-timeout 0 -v "$STORE/one:/own" busybox sleep 1000 >/dev/null
	kist create --pod shop --name apart --uts private --hostname apart --stop-timeout 0 busybox sleep 1000 >/dev/null
	kist pod clone -v "$STORE/two:/b" -v "$STORE/two:/c" --volumes-from giver --device /dev/zero:/dev/second --sysctl kernel.msgmnb=9000 --shm-size 2m \
		--security-opt no-new-privileges --pid private --hostname other --infra-name holder --infra-conmon-pidfile "$STORE/pid" \
		--cgroup-parent /kist/deep --start shop >/dev/null
	equal 'one two two one' "$(in_clone 'cat /a/f /b/f /c/f /own/f' | xargs)"
	in_clone 'touch /b/w /given/w' # neither is read-only as the first pod's /b
	[ -e "$STORE/two/w" ]
	in_clone '[ -c /dev/first ] && [ -c /dev/second ]'
	equal '8000 9000' "$(in_clone 'cat /proc/sys/kernel/msgmax /proc/sys/kernel/msgmnb' | xargs)"
	equal 2048 "$(in_clone 'df -k /dev/shm' | awk 'NR == 2 { print $2 }')"
	equal '' "$(in_clone 'cat /proc/version')"
	contains "$(in_clone 'cat /proc/1/status /proc/self/status')" $'NoNewPrivs:\t1'
	equal 'other apart' "$(kist exec web-clone hostname) $(kist exec apart-clone hostname)"
	# The PID namespace is shared now, by all.
	infra=$(kist pod inspect --format '{{.InfraContainerID}}' shop-clone)
	for name in holder web-clone apart-clone; do
		equal "$(readlink "/proc/$(pid_of holder)/ns/pid")" "$(readlink "/proc/$(pid_of $name)/ns/pid")"
	done
	equal "$(kist inspect --format '{{.Id}}' holder)" "$infra"
	equal "$(kist inspect --format '{{.State.ConmonPid}}' holder)" "$(cat "$STORE/pid")"
	matches '^/kist/deep/' "$(kist pod inspect --format '{{.CgroupPath}}' shop-clone)"
	# The first one is as it was.
	kist pod start shop >/dev/null
	equal 'one one' "$(kist exec web sh -c 'cat /a/f /b/f; ls -d /c /given /dev/second' 2>/dev/null | xargs)"
	[ "$(readlink "/proc/$(pid_of web)/ns/pid")" != "$(readlink "/proc/$(pid_of apart)/ns/pid")" ]
	kist pod rm -f -t 0 shop-clone >/dev/null
	# In a user namespace, with the root file systems of its containers and what they share.
	kist pod clone --uidmap 0:100000:2000 --uts host --start shop >/dev/null
	equal '         0     100000       2000' "$(in_clone 'cat /proc/self/uid_map')"
	equal '0 0' "$(in_clone 'stat -c "%u %g" /bin')"
	equal '0 0 1:3' "$(in_clone 'stat -c "%u %g %t:%T" /dev/first; echo >/dev/first')"
	equal "$(readlink "/proc/$(pid_of web-clone)/ns/user")" "$(readlink "/proc/$(pid_of apart-clone)/ns/user")"
	equal "$(readlink /proc/self/ns/uts)" "$(readlink "/proc/$(pid_of web-clone)/ns/uts")"
	[ "$(readlink /proc/self/ns/uts)" != "$(readlink "/proc/$(pid_of apart-clone)/ns/uts")" ]
	# And a clone of that one out of it.
	kist pod clone --userns host --uts private --name plain --start shop-clone >/dev/null
	equal "$(readlink /proc/self/ns/user)" "$(readlink "/proc/$(pid_of web-clone1)/ns/user")"
	equal plain "$(kist exec web-clone1 hostname)"
	kist pod rm -fa -t 0 >/dev/null
	rmdir "$CGROUP/kist/deep"
	kist rm giver >/dev/null
	kist volume rm vol >/dev/null
	rm -rf "$STORE/one" "$STORE/two" "$STORE/pid"
}

@test "clone: of a pod, what would reach nobody or makes no sense is refused, and leaves nothing" {
	kist pod create --name shop --share net >/dev/null
	run -125 kist pod clone --uts host shop
	contains "$output" "uts namespace, which the pod does not share"
	run -125 kist pod clone --shm-size 1m shop
	run -125 kist pod clone --hostname h shop
	run -125 kist pod clone --sysctl kernel.nosuch=1 shop
	run -125 kist pod clone --uidmap nonsense shop
	run -125 kist pod clone -v relative/path/nosuch:/x shop
	run -125 kist pod clone --volumes-from nosuch shop
	contains "$output" nosuch
	run -125 kist pod clone --infra-name shop shop
	run -125 kist pod clone --infra-command sleep shop
	contains "$output" 'the infra container is kist itself'
	run -125 kist pod create --infra-command sleep new
	run -125 kist pod create --infra-image=pause new
	contains "$output" 'needs no image'
	kist pod create --name bare --infra=false >/dev/null
	run -125 kist pod clone --pid host bare
	contains "$output" '--pid needs an infra container'
	equal 'bare shop' "$(kist pod ps --sort name --format '{{.Name}}' | xargs)"
	equal 1 "$(kist ps -aq | wc -l)"
	kist pod rm -a >/dev/null
}

# Makes the container anew from its line, and says what differs.
difference()
{
	local line
	line=$(kist generate run --create "$1") || return
	kist rename "$1" old
	eval "$line" >/dev/null
	# Anonymous volumes have names of their own, and users of --userns=auto ids.
	diff <(likeness old | sed -E 's/"old"/"NAME"/; s,("|volumes/)[0-9a-f]{64}([":/]),\1ID\2,; s/"0:[0-9]+:1000"/"MAP"/') \
		<(likeness "$1" | sed -E "s/\"$1\"/\"NAME\"/"'; s,("|volumes/)[0-9a-f]{64}([":/]),\1ID\2,; s/"0:[0-9]+:1000"/"MAP"/')
	kist rm old >/dev/null
}

@test "generate run: the line makes a container that cannot be told from the first, whatever it has" {
	kist import --change 'ENV A=b' --change 'CMD=["sh","-c","x y"]' --change EXPOSE=80 --change VOLUME=/vol --change LABEL=x=y \
		"$E2E_CACHE/busybox.tar" rich >/dev/null
	echo secret | kist secret create s - >/dev/null
	kist network create --subnet 10.99.0.0/24 net >/dev/null
	kist create --name plain rich >/dev/null
	equal '' "$(difference plain)"
	kist create --name full -it --init -e $'Q=it\'s "a" $x\nline' --env=Z= -l a=b --annotation c=d -w /tmp -u 1000:100 --group-add 5,6 \
		--hostname h --add-host a:1.2.3.4 --dns 9.9.9.9 --dns-search . --tz UTC --umask 0077 --shm-size 1m --read-only \
		-v data:/data:ro,nocopy -v /tmp:/host:ro,rslave --tmpfs /x:size=1m,mode=1777,exec --mount type=image,source=rich,destination=/img \
		--mount type=volume,source=data,destination=/sub,subpath=a --secret s,target=k,mode=0400,uid=1 --device /dev/null:/dev/n:r \
		--cap-add SYS_ADMIN --cap-drop CHOWN,KILL --security-opt no-new-privileges --security-opt unmask=/proc/kcore \
		--security-opt mask=/a:/b --ulimit nofile=10:20 --ulimit core=-1 --sysctl net.ipv4.ip_forward=1 --oom-score-adj 10 \
		--memory 64m --memory-swap 100m --cpus 1.5 --cpu-shares 100 --cpuset-cpus 0 --pids-limit 50 --stop-signal USR1 --stop-timeout 3 \
		--restart on-failure:4 --timeout 100 --health-cmd 'test -e /x && true' --health-interval 5s --health-retries 4 \
		--health-on-failure kill --health-startup-cmd '["CMD","true"]' --log-driver json-file --log-opt max-size=1m --log-opt tag=t \
		--network net:alias=z,ip=10.99.0.7 -p 127.0.0.1:8000-8002:80-82/udp -p 90 --expose 99 --pidfile p \
		--entrypoint '["/bin/sh","-c"]' rich 'echo "$HOME" `x`' arg >/dev/null
	local memory=67108864
	has_controller memory && kist update --memory 96m full >/dev/null && memory=100663296
	equal '' "$(difference full)"
	equal "$memory" "$(kist inspect --format '{{.HostConfig.Memory}}' full)"
	kist create --name odd --rm --network none --pid container:full --userns auto:size=1000 --requires plain --cgroups disabled \
		--log-driver none --no-healthcheck -v /anon rich >/dev/null
	equal '' "$(difference odd)"
	kist pod create --name p -v /tmp:/t >/dev/null
	kist create --pod p --name member --uts private rich true >/dev/null
	equal '' "$(difference member)"
	run -125 kist generate run "$(kist pod inspect --format '{{.InfraContainerID}}' p)"
	contains "$output" 'kist pod create'
	kist pod rm -f p >/dev/null
	kist rm -v odd >/dev/null
	kist rm -v full plain >/dev/null
	kist volume rm data >/dev/null
	kist secret rm s >/dev/null
	kist network rm net >/dev/null
	kist rmi rich >/dev/null
}
