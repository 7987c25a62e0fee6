#!/usr/bin/env bats
# Images: import, list, tag, remove, inspect.
load helpers

@test "import: prints the id, takes stdin, a file, and compressed tars" {
	run -0 --separate-stderr kist import "$E2E_CACHE/busybox.tar" one
	matches '^(sha256:)?[0-9a-f]{64}$' "$output"
	run -0 kist import - two <"$E2E_CACHE/busybox.tar"
	gzip -1 -c "$E2E_CACHE/busybox.tar" >"$STORE/b.tgz"
	run -0 kist import "$STORE/b.tgz" three
	zstd -q -1 -c "$E2E_CACHE/busybox.tar" >"$STORE/b.tzst"
	run -0 kist import "$STORE/b.tzst" four
	local image
	for image in one two three four; do
		equal ok "$(kist run --rm "$image" echo ok)"
	done
}

@test "import: --change sets the configuration" {
	run -0 kist import --change CMD='["echo","from-cmd"]' --change ENV=A=1 --change 'ENV B=two' --change WORKDIR=/tmp \
		--change USER=1000 --change LABEL=l=v --change STOPSIGNAL=SIGINT "$E2E_CACHE/busybox.tar" changed
	equal from-cmd "$(kist run --rm changed)"
	equal '1|two|/tmp|1000' "$(kist run --rm changed sh -c 'echo "$A|$B|$PWD|$(id -u)"')"
	run -0 kist import --change 'ENTRYPOINT ["echo","entry"]' --change 'CMD a b' "$E2E_CACHE/busybox.tar" entry
	contains "$(kist run --rm entry)" entry
	run -125 kist import --change NOSUCH=x "$E2E_CACHE/busybox.tar" bad
	is_podman && return
	kist import --change 'HEALTHCHECK --interval=1h --retries=2 CMD test -e /ok' --change 'ONBUILD RUN make' --change CMD='["sleep","100"]' \
		"$E2E_CACHE/busybox.tar" checked >/dev/null
	equal '{"Test":["CMD-SHELL","test -e /ok"],"Interval":3600000000000,"Retries":2}["RUN make"]' \
		"$(kist image inspect checked | jq -cj '.[0] | .HealthCheck // .Config.Healthcheck, .Config.OnBuild')"
	kist run -d --name c checked >/dev/null
	run -1 kist healthcheck run c
	kist exec c touch /ok
	kist healthcheck run c
	# The image's own stays over a commit, or is turned off by one.
	kist commit c same >/dev/null
	kist commit -c 'HEALTHCHECK NONE' c without >/dev/null
	equal '["CMD-SHELL","test -e /ok"]["NONE"]' \
		"$(kist image inspect same without | jq -cj '.[] | (.HealthCheck // .Config.Healthcheck).Test')"
	kist rm -f -t 0 c
}

@test "import: --message, image inspect" {
	kist import -m 'made by a test' --change ENV=A=1 --change CMD=/bin/sh "$E2E_CACHE/busybox.tar" img:v1 >/dev/null
	run -0 kist image inspect img:v1
	equal localhost/img:v1 "$(jq -r '.[0].RepoTags[0]' <<<"$output")"
	equal 'made by a test' "$(jq -r '.[0].Comment' <<<"$output")"
	equal linux "$(jq -r '.[0].Os' <<<"$output")"
	jq -e '.[0].Config.Env | index("A=1")' <<<"$output" >/dev/null
	equal 1 "$(jq '.[0].RootFS.Layers | length' <<<"$output")"
	equal "sha256:$(sha256sum <"$E2E_CACHE/busybox.tar" | cut -d ' ' -f 1)" "$(jq -r '.[0].RootFS.Layers[0]' <<<"$output")"
	equal "$(jq -r '.[0].Id' <<<"$output")" "$(kist image inspect --format '{{.Id}}' img:v1)"
}

@test "images: columns, formats, -q" {
	kist import "$E2E_CACHE/busybox.tar" other:v2 >/dev/null
	run -0 kist images
	matches '^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE' "${lines[0]}"
	contains "$output" localhost/busybox
	matches 'localhost/other +v2 +[0-9a-f]{12} .*( ago) .*[0-9.]+ ?[kMG]B' "$output"
	run -0 kist images -q
	matches '^[0-9a-f]{12}$' "${lines[0]}"
	equal 'localhost/busybox:latest localhost/other:v2' "$(kist images --format '{{.Repository}}:{{.Tag}}' | sort | xargs)"
	run -0 kist images --format json
	equal 2 "$(jq length <<<"$output")"
	jq -e '.[0] | has("Id") and has("Names") and has("Size") and has("Created")' <<<"$output" >/dev/null
	run -0 kist images -q --no-trunc
	matches '[0-9a-f]{64}$' "${lines[0]}"
}

@test "tag: another name for the same image" {
	run -0 kist tag busybox second:v9
	equal "$(kist image inspect --format '{{.Id}}' busybox)" "$(kist image inspect --format '{{.Id}}' second:v9)"
	equal ok "$(kist run --rm second:v9 echo ok)"
	run -125 kist tag nosuch x
	run -0 kist rmi second:v9
	equal ok "$(kist run --rm busybox echo ok)"
}

@test "rmi: by name, by id; the last name takes the layer along" {
	kist_only
	id=$(kist import "$E2E_CACHE/busybox.tar" gone | tail -n 1)
	run -0 kist rmi gone busybox
	equal '' "$(kist images -q)"
	equal '' "$(find "$ROOT/overlay" -mindepth 1 -maxdepth 1 -type d -name '????????????????????????*')"
	run -125 kist run --rm --pull never busybox true
	import_busybox
	id=$(kist images -q)
	run -0 kist rmi "$id"
	run kist rmi busybox
	equal 1 "$status"
}

@test "rmi: an image in use is refused; -f removes its containers" {
	kist create --name c busybox true >/dev/null
	run kist rmi busybox
	equal 2 "$status"
	contains "$output" "$(kist ps -aq)"
	run -0 kist rmi -f busybox
	equal '' "$(kist ps -aq)"
	equal '' "$(kist images -q)"
	clean
}

@test "short names: with and without registry and tag" {
	local name
	for name in busybox busybox:latest localhost/busybox localhost/busybox:latest; do
		equal ok "$(kist run --rm --pull never "$name" echo ok)"
	done
	id=$(kist images -q --no-trunc | head -n 1)
	equal ok "$(kist run --rm "${id#sha256:}" echo ok)"
	equal ok "$(kist run --rm "$(cut -c 1-10 <<<"${id#sha256:}")" echo ok)"
}

@test "import: owners, modes, links, times, xattrs, devices and sparse files come out as they went in" {
	kist_only
	mkdir -p "$STORE/t/dir"
	(
		cd "$STORE/t"
		mkdir bin
		cp "$(command -v busybox)" bin/busybox
		for applet in sh stat readlink test cat echo; do ln -s busybox bin/$applet; done
		echo content >file
		chown 12:34 file
		chmod 4751 file
		ln file hard
		ln -s file soft
		ln -s /absolute/missing dangling
		mkfifo fifo
		mknod null c 1 3
		truncate -s 100M sparse
		echo tail >>sparse
		touch -d '2001-02-03 04:05:06' old
		chmod 1777 dir
		setfattr -n user.test -v value file 2>/dev/null || true
		n=$(printf 'x%.0s' $(seq 150))
		mkdir -p "$n/$n"
		echo deep >"$n/$n/$n"
		printf name >"$(printf 'new\nline')"
	)
	local format
	for format in gnu posix ustar; do
		# ustar knows neither long names nor sparse files.
		local sparse_option=(--sparse)
		[ "$format" != ustar ] || { rm -rf "$STORE/t"/x*; sparse_option=(); }
		tar -C "$STORE/t" --format="$format" "${sparse_option[@]}" -cf "$STORE/t.tar" .
		kist import "$STORE/t.tar" "made-$format" >/dev/null
		run -0 kist run --rm "made-$format" sh -c 'stat -c "%a %u %g %s %h" /file; readlink /soft; readlink /dangling; test -p /fifo && test -c /null && echo special; stat -c %s /sparse; stat -c %Y /old; stat -c %a /dir'
		equal '4751 12 34 8 2' "${lines[0]}" "$format"
		equal file "${lines[1]}"
		equal /absolute/missing "${lines[2]}"
		equal special "${lines[3]}"
		equal 104857605 "${lines[4]}"
		equal "$(date -d '2001-02-03 04:05:06' +%s)" "${lines[5]}"
		equal 1777 "${lines[6]}"
		if [ "$format" != ustar ]; then
			equal deep "$(kist run --rm "made-$format" sh -c 'cat /xxx*/xxx*/xxx*')"
		fi
	done
	# Sparse files stay sparse on disk.
	local sparse
	sparse=$(find "$ROOT/overlay" -name sparse -printf "%b\n" | awk "\$1 < 1000" | wc -l)
	equal 2 "$sparse" "sparse files of the two formats that know them"
}

@test "images: --history, filter intermediate; rmi --no-prune" {
	kist_only
	kist create --name c busybox >/dev/null
	local first
	first=$(kist commit -q c)
	kist rm c >/dev/null
	kist create --name c "$first" >/dev/null
	kist start -a c >/dev/null 2>&1 || true
	kist commit -q c child:1 >/dev/null
	kist rm c >/dev/null
	equal "${first:0:12}" "$(kist images -q --filter intermediate=true)"
	lacks "$(kist images -q --filter intermediate=false)" "${first:0:12}"
	kist tag child:1 child:2
	run -0 kist images --history child:1
	contains "${lines[0]}" HISTORY
	contains "$output" 'localhost/child:1, localhost/child:2'
	kist rmi --no-prune child:1 child:2 >/dev/null
	kist image exists "$first"
	kist rmi "$first" >/dev/null
}

@test "images: run --rmi takes the image with the container, unless another uses it" {
	kist_only
	kist import --change LABEL=once=1 "$E2E_CACHE/busybox.tar" once >/dev/null
	run -3 kist run --rmi once sh -c 'exit 3'
	run -1 kist image exists once
	equal '' "$(kist ps -aq)"
	kist import --change LABEL=once=2 "$E2E_CACHE/busybox.tar" once >/dev/null
	kist create --name other once true >/dev/null
	kist run --rmi once true
	run -0 kist image exists once
	equal "true true" "$(kist inspect --format '{{.HostConfig.AutoRemove}} {{.HostConfig.AutoRemoveImage}}' "$(kist create --rmi once true)")"
	kist rm -a >/dev/null
	# One that runs in the background, and whose name is one of two.
	kist tag once twice
	kist run -d --rmi twice true >/dev/null
	gone() { ! kist image exists twice; }
	until_true 10 gone
	run -0 kist image exists once
	run -125 kist run --rmi --restart always once true
	kist rmi once >/dev/null
}
