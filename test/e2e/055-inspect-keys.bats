# The keys of inspect documents and their types are a promise to scripts: inspect.keys has them. A key may be added there;
# none may go or change its type. INSPECT_KEYS=write makes the file anew.
load helpers

GOLDEN=$BATS_TEST_DIRNAME/inspect.keys

# keys KIND <DOCUMENT: each path and type, once; items of an array as one, and maps of a user's own words as whole.
keys()
{
	jq -r --arg kind "$1" '.[0] | [paths as $p | {p: ($p | map(if type == "number" then "#" else . end) | join("/")),
		t: (getpath($p) | type)}] | unique[] | "\($kind) \(.p) \(.t)"' |
		grep -vE ' ([^ ]*/)?(Annotations|Labels|labels|options|Options|containers|Containers|Networks|ExposedPorts|Volumes|Tmpfs|SecurityOpt|Data)/' | sort -u
}

documents()
{
	kist volume create --label a=b v >/dev/null
	kist network create --label a=b net >/dev/null
	kist run -d --name c --network net -p 127.0.0.1:8080:80 --label a=b --annotation c=d -v v:/v -v /tmp:/t:ro --tmpfs /x \
		--device /dev/null:/dev/n --ulimit nofile=10:20 --add-host h:1.2.3.4 --hostname h --init \
		busybox sleep 1000 >/dev/null
	kist inspect --type container --size c | keys container
	kist volume inspect v | keys volume
	kist network inspect net | keys network
	kist image inspect busybox | keys image
}

@test "inspect: no key of a container, volume, network or image goes, or changes its type" {
	kist_only
	documents >"$STORE/keys"
	[ "${INSPECT_KEYS:-}" != write ] || LC_ALL=C sort -u "$STORE/keys" >"$GOLDEN"
	[ "$(wc -l <"$GOLDEN")" -gt 250 ]
	equal '' "$(LC_ALL=C sort -u "$STORE/keys" | comm -13 - "$GOLDEN")" 'keys that scripts rely on and that are gone'
	kist rm -f -t 0 c >/dev/null
	kist volume rm v >/dev/null
	kist network rm net >/dev/null
}

@test "inspect: every key that podman has for a container, a volume and an image is there, with its type" {
	kist_only
	if ! command -v podman >/dev/null; then
		[ -n "${KIST_TEST_FULL:-}" ] && fail 'no podman'
		skip 'no podman'
	fi
	local podman=(podman --log-level error --runtime runc --cgroup-manager cgroupfs --storage-driver overlay
		--root "$STORE/podman" --runroot "$STORE/podman-run" --tmpdir "$STORE/podman-tmp")
	"${podman[@]}" import "$E2E_CACHE/busybox.tar" busybox >/dev/null 2>&1
	"${podman[@]}" volume create v >/dev/null
	"${podman[@]}" create --name c --network none --ulimit nofile=10:20 -v v:/v busybox sh -c true >/dev/null
	kist volume create v >/dev/null
	kist create --name c --network none --ulimit nofile=10:20 -v v:/v busybox sh -c true >/dev/null
	{
		"${podman[@]}" inspect c | keys container
		"${podman[@]}" volume inspect v | keys volume
		"${podman[@]}" image inspect busybox | keys image
	} >"$STORE/theirs"
	{
		kist inspect c | keys container
		kist volume inspect v | keys volume
		kist image inspect busybox | keys image
	} >"$STORE/ours"
	umount -l "$STORE/podman/overlay" 2>/dev/null || true
	# What podman leaves null, kist fills with what there is of it; capabilities that it drops are only those asked for; its
	# history has a comment for an import.
	equal '' "$(comm -23 <(sort -u "$STORE/theirs") <(sort -u "$STORE/ours") | grep -vE ' null$| HostConfig/CapDrop/# | History/#/comment ')" \
		'keys of podman that are missing or have another type'
	kist rm c >/dev/null
	kist volume rm v >/dev/null
}
