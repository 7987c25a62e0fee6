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
	kist update --cpus 0.5 web >/dev/null
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
