#!/usr/bin/env bats
# Images in and out: load, save, commit, against podman, skopeo and umoci; history, tree, diff, prune, system.
load helpers

other()
{
	podman --root "$STORE/podman" --runroot "$STORE/podman-run" --tmpdir "$STORE/podman-tmp" --storage-driver vfs "$@"
}

# Another store of kist's.
elsewhere()
{
	"$KIST" --root "$STORE/root2" --runroot "$STORE/run2" "$@"
}

id_of()
{
	kist image inspect --format '{{.Id}}' "$1"
}

# An image of two layers, with a whiteout and an opaque directory.
two_layers()
{
	kist run --name base --network none busybox sh -c 'mkdir -p /data/sub; echo one >/data/one; echo keep >/data/sub/keep' >/dev/null
	kist commit base lower >/dev/null
	kist run --name top --network none lower sh -c 'rm /data/one; rm -r /data/sub; mkdir /data/sub; echo two >/data/sub/two' >/dev/null
	kist commit -c 'CMD ["sh","-c","ls -R /data"]' top upper:v1 >/dev/null
}

@test "save and load: every form, from files, directories and pipes, gives the same image" {
	kist_only
	two_layers
	local id form
	id=$(id_of upper:v1)
	for form in docker-archive oci-archive oci-dir; do
		kist save --format $form -o "$STORE/saved-$form" upper:v1
		rm -rf "$STORE/root2"
		run -0 elsewhere load -i "$STORE/saved-$form"
		equal 'Loaded image: localhost/upper:v1' "$output"
		equal "$id" "$(elsewhere image inspect --format '{{.Id}}' upper:v1)"
		run -0 elsewhere run --rm --network none upper:v1
		contains "$output" two
		lacks "$output" one
		lacks "$output" keep
	done
	rm -rf "$STORE/root2"
	kist save upper:v1 | gzip | elsewhere load
	equal "$id" "$(elsewhere image inspect --format '{{.Id}}' upper:v1)"
	rm -rf "$STORE/root2"
	kist save --format oci-archive upper:v1 | zstd -q | elsewhere load -q
	equal "$id" "$(elsewhere image inspect --format '{{.Id}}' upper:v1)"
	cmp "$STORE/saved-docker-archive" <(kist save upper:v1)
	cmp "$STORE/saved-docker-archive" <(elsewhere save upper:v1)
}

@test "save: the bytes of a layer are those that were imported" {
	kist_only
	kist save --format oci-dir -o "$STORE/layout" busybox
	local digest
	digest=$(sha256sum <"$E2E_CACHE/busybox.tar" | cut -d ' ' -f 1)
	cmp "$E2E_CACHE/busybox.tar" "$STORE/layout/blobs/sha256/$digest"
	(cd "$STORE/layout/blobs/sha256" && sha256sum -c <(for f in *; do echo "$f  $f"; done)) >/dev/null
}

@test "save: several images, further names, bad calls" {
	kist_only
	two_layers
	kist save -m -o "$STORE/many.tar" busybox lower upper:v1
	equal 3 "$(tar -xOf "$STORE/many.tar" manifest.json | jq length)"
	equal 3 "$(tar -tf "$STORE/many.tar" | grep -c '\.tar$')" 'layers in the archive'
	run -0 elsewhere load -i "$STORE/many.tar"
	equal 3 "${#lines[@]}"
	kist save -o "$STORE/named.tar" busybox also:1 example.org/third
	equal 'example.org/third:latest localhost/also:1 localhost/busybox:latest' \
		"$(tar -xOf "$STORE/named.tar" manifest.json | jq -r '.[0].RepoTags[]' | sort | xargs)"
	run -125 kist save --format docker-dir -o "$STORE/x" busybox
	contains "$output" 'docker-dir is not supported'
	run -125 kist save --compress -o "$STORE/x" busybox
	run -125 kist save --format oci-dir busybox
	run -125 kist save -o "$STORE/x" nosuch
	[ ! -e "$STORE/x" ]
	run -125 kist save -o "$STORE/nodir/x" busybox
	run -125 kist load -i "$STORE/nosuch"
	run -125 kist load -i "$E2E_CACHE/busybox.tar"
	contains "$output" 'kist import'
}

@test "load: what podman saves" {
	kist_only
	need podman
	kist save -o "$STORE/a.tar" busybox
	other load -q -i "$STORE/a.tar"
	other tag busybox localhost/second:v2
	other save -q -o "$STORE/docker.tar" busybox localhost/second:v2
	other save -q --format oci-archive -o "$STORE/oci.tar" busybox
	other save -q --format oci-dir -o "$STORE/oci" busybox
	local archive
	for archive in docker.tar oci.tar oci; do
		rm -rf "$STORE/root2"
		elsewhere load -i "$STORE/$archive"
		equal "$(id_of busybox)" "$(elsewhere image inspect --format '{{.Id}}' busybox)"
		equal ok "$(elsewhere run --rm --network none busybox echo ok)"
	done
}

@test "load: what skopeo and umoci write, gzip and zstd" {
	kist_only
	need skopeo umoci
	kist save -o "$STORE/a.tar" busybox
	skopeo copy -q "docker-archive:$STORE/a.tar" "oci:$STORE/gz:gz"
	skopeo copy -q --dest-compress-format zstd "oci:$STORE/gz:gz" "oci:$STORE/zst:zst"
	skopeo copy -q "docker-archive:$STORE/a.tar" "docker-archive:$STORE/b.tar:foo/bar:baz"
	kist save --format oci-dir -o "$STORE/um" busybox
	umoci config --image "$STORE/um:localhost/busybox:latest" --tag new --config.env A=B
	umoci unpack --image "$STORE/um:new" "$STORE/bundle" 2>/dev/null
	echo umoci >"$STORE/bundle/rootfs/made-by"
	rm "$STORE/bundle/rootfs/bin/ls"
	umoci repack --image "$STORE/um:new" "$STORE/bundle" 2>/dev/null
	elsewhere load -i "$STORE/gz"
	elsewhere load -i "$STORE/zst"
	elsewhere load -i "$STORE/b.tar"
	elsewhere load -i "$STORE/um"
	equal "$(id_of busybox)" "$(elsewhere image inspect --format '{{.Id}}' gz)"
	equal "$(id_of busybox)" "$(elsewhere image inspect --format '{{.Id}}' docker.io/foo/bar:baz)"
	equal "$(skopeo inspect "oci:$STORE/gz:gz" | jq -r .Digest)" "$(elsewhere image inspect --format '{{.Digest}}' gz)"
	equal 'umoci B' "$(elsewhere run --rm --network none new sh -c 'test ! -e /bin/ls; echo $(cat /made-by) $A')"
}

@test "save: podman and skopeo read it, and digests agree" {
	kist_only
	need podman skopeo
	two_layers
	local id layers form
	id=$(id_of upper:v1)
	layers=$(kist image inspect upper:v1 | jq -c '.[0].RootFS.Layers')
	kist save --format docker-archive -o "$STORE/d.tar" upper:v1
	kist save --format oci-archive -o "$STORE/o.tar" upper:v1
	kist save --format oci-dir -o "$STORE/o" upper:v1
	for form in "docker-archive:$STORE/d.tar" "oci-archive:$STORE/o.tar" "oci:$STORE/o"; do
		equal "$layers" "$(skopeo inspect "$form" | jq -c .Layers)"
		equal "$id" "$(skopeo inspect --config --raw "$form" | sha256sum | cut -d ' ' -f 1)"
		skopeo copy -q "$form" "dir:$STORE/copy-${form%%:*}"
	done
	equal "$(kist image inspect --format '{{.Digest}}' upper:v1)" "$(skopeo inspect "oci:$STORE/o" | jq -r .Digest)"
	for form in d.tar o.tar; do
		other load -q -i "$STORE/$form"
		equal "$id" "$(other image inspect --format '{{.Id}}' localhost/upper:v1)"
		other rmi -f localhost/upper:v1 >/dev/null
	done
}

@test "load: layers that are there are not stored twice" {
	kist_only
	kist save -o "$STORE/a.tar" busybox
	local before
	before=$(stat -c %i "$ROOT"/overlay/*/diff | sort)
	kist load -i "$STORE/a.tar"
	equal "$before" "$(stat -c %i "$ROOT"/overlay/*/diff | sort)"
}

@test "commit: what changed becomes a layer; changes, author, message, id file" {
	kist_only
	kist run --name c --network none -e A=b -w /tmp busybox sh -c 'echo hello >/new; rm /bin/ls' >/dev/null
	run -0 kist commit -q -a me -m why -c 'CMD ["cat","/new"]' --iidfile "$STORE/id" c made:v1
	matches "$FULL_ID" "$output"
	equal "$output" "$(cat "$STORE/id")"
	equal hello "$(kist run --rm --network none made:v1)"
	equal 'b|/tmp|gone' "$(kist run --rm --network none made:v1 sh -c 'echo "$A|$PWD|$(test -e /bin/ls || echo gone)"')"
	equal 'me|why|2' "$(kist image inspect made:v1 | jq -r '.[0] | "\(.Author)|\(.Comment)|\(.RootFS.Layers | length)"')"
	kist create --name v -v /anonymous -v named:/named -v "$STORE:/host" busybox >/dev/null
	kist commit v few >/dev/null
	kist commit --include-volumes v all >/dev/null
	equal '["/anonymous"]["/anonymous","/host","/named"]' "$(kist image inspect few all | jq -cj '.[].Config.Volumes | keys')"
	kist rm -v v >/dev/null
	kist volume rm named >/dev/null
	run -125 kist commit --squash c
	contains "$output" --squash
	run -125 kist commit -c NOSUCH=1 c
	run -125 kist commit nosuch
}

@test "commit: of a running container, paused meanwhile, and of one that never ran" {
	kist_only
	kist create --name new busybox >/dev/null
	kist commit new one >/dev/null
	kist create --name again one >/dev/null
	kist commit again two >/dev/null
	equal ok "$(kist run --rm --network none two echo ok)"
	sleeper --name r --network none >/dev/null
	until_true 10 log_has r ready
	kist exec r sh -c 'echo live >/live'
	kist commit r live >/dev/null
	kist commit -p -f docker r paused >/dev/null
	equal running "$(state_of r)"
	equal live "$(kist run --rm --network none live cat /live)"
	equal live "$(kist run --rm --network none paused cat /live)"
	kist stop r >/dev/null
}

@test "history, image tree" {
	kist_only
	two_layers
	run -0 kist history upper:v1
	matches '^ID +CREATED +CREATED BY +SIZE +COMMENT' "${lines[0]}"
	equal 4 "${#lines[@]}"
	matches "^$(id_of lower | cut -c 1-12) " "${lines[2]}"
	matches "^$(id_of busybox | cut -c 1-12) " "${lines[3]}"
	# Where the lower image is not, nothing has its steps.
	kist save -o "$STORE/upper.tar" upper:v1 >/dev/null 2>&1
	equal '<missing> <missing>' "$("$KIST" --root "$STORE/other" --runroot "$STORE/other-run" load -q -i "$STORE/upper.tar" >/dev/null
		"$KIST" --root "$STORE/other" --runroot "$STORE/other-run" history -q upper:v1 | sed 1d | xargs)"
	equal 3 "$(kist image history --format json upper:v1 | jq length)"
	equal "$(id_of upper:v1)" "$(kist history -q --no-trunc upper:v1 | head -1)"
	run -0 kist image tree upper:v1
	contains "$output" 'Image Layers'
	contains "$output" '├── ID: '
	matches '└── ID: [0-9a-f]{12} Size: .*Top Layer of: \[localhost/upper:v1\]' "$output"
}

@test "diff: of containers and images" {
	kist_only
	two_layers
	run -0 kist diff top
	equal 'C /data|D /data/one|C /data/sub|D /data/sub/keep|A /data/sub/two' "$(grep data <<<"$output" | paste -sd '|')"
	lacks "$output" /etc/hosts
	run -0 kist container diff -l
	contains "$output" 'A /data/sub/two'
	run -0 kist image diff upper:v1
	contains "$output" 'D /data/one'
	equal "$output" "$(kist image diff upper:v1 lower)"
	equal '["/data/one","/data/sub/keep"]' "$(kist diff --format json top | jq -c .deleted)"
	run -125 kist diff nosuch
}

@test "image prune, system prune" {
	kist_only
	two_layers
	kist untag upper:v1
	kist image prune -f >"$STORE/out"
	equal 1 "$(grep -c -E "$FULL_ID" "$STORE/out")"
	equal 2 "$(kist images -q | wc -l)"
	echo n | kist system prune -a
	equal 2 "$(kist ps -aq | wc -l)"
	run -0 kist system prune -af --filter label=nosuch
	equal 2 "$(kist images -q | wc -l)"
	run -0 kist system prune -af
	contains "$output" 'Deleted Containers'
	contains "$output" 'Total reclaimed space:'
	equal 0 "$(kist images -q | wc -l)"
	equal 0 "$(find "$ROOT/overlay" -maxdepth 1 -name '????????????????????????????????????????????????????????????????' | wc -l)"
}

@test "system df" {
	kist_only
	two_layers
	run -0 kist system df
	matches '^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE' "${lines[0]}"
	matches '^Images +3 +2 ' "${lines[1]}"
	matches '^Containers +2 +0 ' "${lines[2]}"
	run -0 kist system df -v
	contains "$output" 'Images space usage:'
	contains "$output" 'SHARED SIZE'
	equal 3 "$(kist system df --format json | jq length)"
	equal Images "$(kist system df --format '{{.Type}}' | head -1)"
}

@test "system check: finds damage, sets it aside, and it can be loaded again" {
	kist_only
	two_layers
	kist rm -a >/dev/null
	kist save -o "$STORE/saved.tar" upper:v1
	run -0 kist system check
	equal '' "$output"
	local layer
	layer=$(kist image inspect upper:v1 | jq -r '.[0].RootFS.Layers[2]' | cut -d : -f 2)
	echo x >"$ROOT/overlay/$layer/diff/data/sub/two"
	run -125 kist system check
	contains "$output" "layer ${layer:0:12}: the file 'data/sub/two'"
	run -125 kist save -o "$STORE/bad.tar" upper:v1
	contains "$output" data/sub/two
	[ ! -e "$STORE/bad.tar" ]
	run -125 kist system check --repair
	run -0 kist system check
	run -1 kist image exists upper:v1
	kist load -i "$STORE/saved.tar"
	run -0 kist run --rm --network none upper:v1
	contains "$output" two
}

@test "load, save and commit killed at random moments leave all or nothing" {
	kist_only
	two_layers
	kist save -o "$STORE/a.tar" upper:v1
	local i pid
	for i in $(seq 1 30); do
		"$KIST" --root "$STORE/root2" --runroot "$STORE/run2" load -i "$STORE/a.tar" >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "0.00$((RANDOM % 10))$((RANDOM % 10))"
		kill -9 $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
		$(kist_command) commit top "killed:$i" >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "0.00$((RANDOM % 10))$((RANDOM % 10))"
		kill -9 $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
	done
	elsewhere load -i "$STORE/a.tar"
	elsewhere system check
	kist system check
	contains "$(elsewhere run --rm --network none upper:v1)" two
	# The next writer sweeps what the killed ones left.
	kist commit top last >/dev/null
	until_true 10 test -z "$(find "$ROOT/images" "$ROOT/overlay" -maxdepth 1 -name '.tmp-*')"
}

@test "system reset: nothing is left, on the host either" {
	kist_only
	engine_error kist system reset extra
	kist pod create --name p >/dev/null
	kist run -d --pod p --name inside busybox sleep 1000 >/dev/null
	kist run -d --name c -v v:/v busybox sleep 1000 >/dev/null
	kist create --name m busybox >/dev/null
	kist mount m >/dev/null
	kist image mount busybox >/dev/null
	kist network create n >/dev/null
	echo x | kist secret create s - >/dev/null
	kist create --name parent --cgroup-parent /kist-parent/below busybox true >/dev/null
	kist start -a parent
	[ -d "$CGROUP/kist-parent/below" ]
	touch "$ROOT/foreign"
	printf damaged >"$ROOT/containers/$(kist inspect --format '{{.Id}}' m)/config"
	# Without an answer it is left alone.
	run -0 kist system reset </dev/null
	contains "$output" 'Are you sure'
	equal 3 "$(kist ps -q | wc -l)"
	# What another one has in the same cgroup stays, and so does that.
	mkdir "$CGROUP/kist/other"
	run -0 kist system reset --force
	equal '' "$output"
	equal foreign "$(ls -A "$ROOT")"
	equal '' "$(find "$RUNROOT" -mindepth 1 -maxdepth 1 ! -name 'boot*')"
	[ ! -e /sys/class/net/kist0 ]
	lacks "$(nft list tables)" 'inet kist'
	[ ! -e "$CGROUP/kist-parent" ]
	rmdir "$CGROUP/kist/other"
	run -0 kist system reset --force
	[ ! -e "$CGROUP/kist" ]
	clean
	# And it can be begun anew.
	import_busybox
	equal anew "$(kist run --rm busybox echo anew)"
}
