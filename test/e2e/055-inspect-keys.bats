# The keys of inspect documents and of lists as JSON, and their types, are a promise to scripts: inspect.keys has them. A key
# may be added there; none may go or change its type. INSPECT_KEYS=write makes the file anew.
load helpers

GOLDEN=$BATS_TEST_DIRNAME/inspect.keys

# keys KIND <DOCUMENTS: each path and type, once; items of an array as one, and maps of a user's own words as whole.
keys()
{
	jq -rs --arg kind "$1" 'flatten[] | [paths as $p | {p: ($p | map(if type == "number" then "#" else . end) | join("/")),
		t: (getpath($p) | type)}] | unique[] | "\($kind) \(.p) \(.t)"' |
		grep -vE ' ([^ ]*/)?(Annotations|Attributes|Labels|labels|options|Options|containers|Containers|Networks|ExposedPorts|Volumes|Tmpfs|SecurityOpt|Data)/' | sort -u
}

documents()
{
	made kist
	kist run -d --name c --network net -p 127.0.0.1:8080:80 --label a=b --annotation c=d -v v:/v -v /tmp:/t:ro --tmpfs /x \
		--device /dev/null:/dev/n --ulimit nofile=10:20 --add-host h:1.2.3.4 --hostname h --init \
		busybox sleep 1000 >/dev/null
	kist inspect --type container --size c | keys container
	kist volume inspect v | keys volume
	kist network inspect net | keys network
	kist image inspect busybox | keys image
	lists kist
}

# lists COMMAND...: the views beside inspect that are there without a running container.
lists()
{
	"$@" pod inspect p | keys pod
	"$@" secret inspect s | keys secret
	"$@" ps -a --format json | keys ps
	"$@" pod ps --format json | keys pod-ps
	"$@" images --format json | keys images
	"$@" history --format json busybox | keys history
	"$@" volume ls --format json | keys volumes
	"$@" network ls --format json | keys networks
	"$@" events --stream=false --format json | keys event
	"$@" info --format json | keys info
	"$@" version --format json | keys version
}

# made COMMAND...: what they show.
made()
{
	"$@" volume create --label a=b v >/dev/null
	"$@" network create --label a=b net >/dev/null
	"$@" pod create --name p --label a=b --network net -p 127.0.0.1:8081:80 >/dev/null
	echo word | "$@" secret create s - >/dev/null
}

@test "inspect: no key of a container, volume, network or image goes, or changes its type" {
	kist_only
	documents >"$STORE/keys"
	[ "${INSPECT_KEYS:-}" != write ] || LC_ALL=C sort -u "$STORE/keys" >"$GOLDEN"
	[ "$(wc -l <"$GOLDEN")" -gt 400 ]
	equal '' "$(LC_ALL=C sort -u "$STORE/keys" | comm -13 - "$GOLDEN")" 'keys that scripts rely on and that are gone'
	kist rm -f -t 0 c >/dev/null
	kist pod rm p >/dev/null
	kist secret rm s >/dev/null
	kist volume rm v >/dev/null
	kist network rm net >/dev/null
}

# A podman with a store of its own, in the array podman, and busybox in it.
own_podman()
{
	if ! command -v podman >/dev/null; then
		[ -n "${KIST_TEST_FULL:-}" ] && fail 'no podman'
		skip 'no podman'
	fi
	podman=(podman --log-level error --runtime runc --cgroup-manager cgroupfs --storage-driver overlay
		--root "$STORE/podman" --runroot "$STORE/podman-run" --tmpdir "$STORE/podman-tmp"
		--network-config-dir "$STORE/podman-net" --events-backend file)
	# netavark has places of its own there, whatever it is told.
	mount -t tmpfs tmpfs /run
	"${podman[@]}" import "$E2E_CACHE/busybox.tar" busybox >/dev/null 2>&1
}

own_podman_end()
{
	umount -l /run
	umount -l "$STORE/podman/overlay" 2>/dev/null || true
}

@test "inspect and lists: every key that podman has is there, with its type" {
	kist_only
	local podman
	own_podman
	local each create=(--network none --ulimit nofile=10:20 --label a=b --annotation c=d -v v:/v --tmpfs /x --secret s --hostname h
		--restart on-failure:3 --health-cmd true --device /dev/null:/dev/n --add-host h:1.2.3.4 --memory 64m --cpus 0.5 --init)
	for each in "${podman[*]}" kist; do
		# shellcheck disable=SC2086 # a command line
		{
			made $each
			$each create --name c "${create[@]}" busybox sh -c true >/dev/null
			$each create --name port --network net --ulimit nofile=10:20 -p 8082:80 busybox true >/dev/null
			$each create --name member --pod p --ulimit nofile=10:20 busybox true >/dev/null
			$each commit -q --format docker -m note --change 'ENV a=b' --change 'VOLUME /v' --change 'EXPOSE 80' c made >/dev/null
			$each inspect c port member | keys container
			$each volume inspect v | keys volume
			$each network inspect net | keys network
			$each image inspect busybox made | keys image
			lists $each
		} >"$STORE/${each%% *}.keys"
	done
	own_podman_end
	[ "$(wc -l <"$STORE/podman.keys")" -gt 400 ]
	# What podman leaves null, kist fills with what there is of it; capabilities that it drops are only those asked for; its
	# history has a comment for an import; a commit without a working directory writes none into the image.
	equal '' "$(comm -23 <(sort -u "$STORE/podman.keys") <(sort -u "$STORE/kist.keys") |
		grep -vE ' null$| HostConfig/CapDrop/# | History/#/comment |image Config/WorkingDir ')" 'keys of podman that are missing or have another type'
	kist rm c port member >/dev/null
	kist pod rm p >/dev/null
	kist rmi made >/dev/null
	kist secret rm s >/dev/null
	kist volume rm v >/dev/null
	kist network rm net >/dev/null
}

# values KIND <DOCUMENTS: each path with what is there, by the names of containers; without ids, times, addresses, processes,
# files, sizes, and what is of an engine's own opinion.
values()
{
	jq -rs --arg kind "$1" 'flatten[] | (.Name // .Names[0]) as $name | . as $d | paths(scalars) as $p |
		"\($kind) \($name | if endswith("-infra") then "infra" else . end) \($p | map(if type == "number" then "#" else . end) | join("/")) \($d | getpath($p) | tojson)"' |
		grep -vE ' null$|"container:[0-9a-f]{64}"$|"[0-9a-f]{12}-infra"$' |
		grep -vE ' ([^ ]*/)?(I[dD]|InfraId|[A-Za-z]*ID|Created(At)?|StartedAt|FinishedAt|ExitedAt|OciVersion|OCIRuntime|Pid|ConmonPid) ' |
		grep -vE ' ([^ ]*/)?(Cgroup|CgroupP[a-z]*|Image|ImageName|ImageDigest|[A-Za-z]*Path|StaticDir|[A-Za-z]*PidFile|Source) ' |
		grep -vE ' ([^ ]*/)?(Size[A-Za-z]*|rwSize|rootFsSize|Gateway|IPAddress|IPPrefixLen|MacAddress|SandboxKey|Hostname|Passwd|Pod|PodName|ShmSize) ' |
		grep -vE 'ps [^ ]* Status | [^ ]*(GraphDriver|Aliases|Env|Annotations|CreateCommand|Tmpfs|LogConfig|CapDrop|Binds|Log|Dependencies|Labels)/'
}

# What runs, has ended and is checked. podman's infra container cannot start in the cgroup of its pod everywhere.
lively()
{
	local each=$1 out=$2 limits='--ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --pids-limit 0'
	mkdir "$out"
	{
		$each network create net
		$each run -d $limits --name run --network net -p 127.0.0.1:8082:80 -v v:/v -v /tmp:/t:ro -v /tmp:/u:rslave,rw --tmpfs /x \
			--mount type=tmpfs,dst=/y --device /dev/null:/dev/n busybox sh -c 'sleep 1000'
		$each run -d $limits --name checked --network none --restart on-failure:2 --health-cmd true --health-retries 2 \
			--health-interval 1h busybox sleep 1000
		$each healthcheck run checked
		$each run -d $limits --name paused --network none busybox sleep 1000
		$each pause paused
		$each run -d $limits --name tty -t --network none busybox sleep 1000
		$each kill tty
		$each wait tty
		$each pod create --share-parent=false --name p --network net -p 127.0.0.1:8083:80
		$each run -d $limits --pod p --name member busybox sleep 1000
	} >"$out/made" 2>&1 3>&-
	$each run $limits --name exited --network none busybox sh -c 'exit 3' 2>/dev/null 3>&- || equal 3 $?
	{
		$each inspect --size run checked paused tty member exited | tee "$out/containers" | keys container
		$each ps -a --size --format json | tee "$out/ps" | keys ps
		$each pod inspect p | tee "$out/pod" | keys pod
		$each pod ps --format json | tee "$out/pod-ps" | keys pod-ps
		$each stats --no-stream --format json run checked | keys stats
		$each pod stats --no-stream --format json | keys pod-stats
		$each events --stream=false --format json | keys event
		$each inspect --format '{{json .State.Healthcheck}}' checked | keys healthcheck
		$each volume inspect v | keys volume
	} >"$out/keys"
	for each in containers ps pod pod-ps; do
		values "$each" <"$out/$each"
	done | sort >"$out/values"
	each=$1
	{
		$each port run
		$each port run 80
		$each port member
		$each top run | cut -c 1-25
		$each top run pid,ppid,user,group,comm,args,capeff,seccomp | sed 's/ *$//; s/  */ /g'
		$each stats --no-stream --format '{{.Name}}' run
		$each inspect --format '{{.State.Healthcheck.Status}} {{.State.Health.FailingStreak}}' checked
		$each ps -a --sort names --format '{{.Names}} {{.ExitCode}} {{.Ports}}' | grep -v infra
		$each inspect run | jq -c '.[].HostConfig.Binds | map((split(":") | .[2] |= (split(",") | sort))) | sort'
	} >"$out/texts"
	{
		$each pod rm -f -t 0 p
		$each rm -f -t 0 run checked paused tty exited
		$each volume rm v
		$each network rm net
	} >/dev/null 2>&1
}

@test "inspect, lists, stats, top and port of what runs: every key that podman has, and the same values" {
	kist_only
	local podman
	own_podman
	lively "${podman[*]}" "$STORE/of-podman"
	own_podman_end
	lively kist "$STORE/of-kist"
	[ "$(wc -l <"$STORE/of-podman/keys")" -gt 300 ] || fail "$(cat "$STORE/of-podman/made")"
	equal '' "$(comm -23 <(sort -u "$STORE/of-podman/keys") <(sort -u "$STORE/of-kist/keys") | grep -vE ' null$| HostConfig/CapDrop/#')" \
		'keys of podman that are missing or have another type'
	[ "$(wc -l <"$STORE/of-podman/values")" -gt 400 ]
	equal '' "$(comm -23 "$STORE/of-podman/values" "$STORE/of-kist/values")" 'values that podman has and kist has not'
	equal /kist "$(jq -r '.[0].Cgroup' "$STORE/of-kist/pod-ps")"
	equal "$(cat "$STORE/of-podman/texts")" "$(cat "$STORE/of-kist/texts")"
}

@test "inspect: which image an image was made from, and how its manifest came" {
	kist_only
	local base made again
	base=$(kist image inspect --format '{{.Id}}' busybox)
	kist create --name c busybox true >/dev/null
	made=$(kist commit -q --format docker c made 2>/dev/null)
	again=$(kist commit -q --change 'CMD ["x"]' c again)
	kist rm c >/dev/null
	equal '' "$(kist image inspect --format '{{.Parent}}' busybox)"
	equal "$base" "$(kist image inspect --format '{{.Parent}}' made)"
	equal "$base" "$(kist images --format json | jq -r --arg id "$again" '.[] | select(.Id == $id) | .ParentId')"
	equal "${made:0:12} ${base:0:12}" "$(kist history --format '{{.ID}}' made | xargs)"
	equal '["localhost/busybox:latest"]' "$(kist history --format json made | jq -c '.[1].tags')"
	matches 'T[0-9:]{8}Z$' "$(kist history --format json made | jq -r '.[1].Created')"
	equal application/vnd.docker.distribution.manifest.v2+json "$(kist image inspect --format '{{.ManifestType}}' made)"
	equal application/vnd.oci.image.manifest.v1+json "$(kist image inspect --format '{{.ManifestType}}' again)"
	# A parent needs no name.
	kist untag busybox
	equal "$base" "$(kist image inspect --format '{{.Parent}}' made)"
	kist tag "$base" busybox
	kist rmi made again >/dev/null
}

@test "events: times as podman 4 has them, and as podman 5 and docker do" {
	kist_only
	local event
	kist volume create v >/dev/null
	kist volume rm v >/dev/null
	event=$(kist events --stream=false --filter volume=v --filter event=remove --format json)
	equal "$(jq -r .Time <<<"$event" | sed 's/\..*//')" "$(jq -r '.time | todate | rtrimstr("Z")' <<<"$event")"
	equal "$(jq -r .time <<<"$event")$(jq -r .Time <<<"$event" | sed 's/.*\.//; s/Z//')" "$(grep -o '"timeNano":[0-9]*' <<<"$event" | cut -d : -f 2)"
	matches '^[0-9]{19}$' "$(kist events --stream=false --filter volume=v --filter event=remove --format '{{.TimeNano}}')"
}
