#!/usr/bin/env bats
# Registries: docker-registry on the loopback with accounts and TLS, skopeo as the other engine, and one that lies.
load helpers

# The program with the client is the one with shared libraries.
setup()
{
	kist_only
	local program
	for program in docker-registry skopeo htpasswd openssl jq; do
		command -v "$program" >/dev/null || absent "$program is not installed"
	done
	[ -x "$E2E_DYNAMIC" ] && [ -n "$("$E2E_DYNAMIC" version --format '{{.Client.RegistryClient}}')" ] ||
		absent 'build/kist has no registry client'
	KIST=$E2E_DYNAMIC
	setup_store
	export REGISTRY_AUTH_FILE=$STORE/accounts/auth.json
}

absent()
{
	[ -z "${KIST_TEST_FULL:-}" ] || fail "$1"
	skip "$1"
}

teardown()
{
	local pid
	for pid in ${SERVERS:-}; do
		kill -9 "$pid" 2>/dev/null
	done
	teardown_store
}

is_open()
{
	(exec 9<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# registry PORT [LINES of its http section]: docker-registry with a directory of its own.
registry()
{
	mkdir -p "$STORE/data$1"
	cat >"$STORE/$1.yml" <<-END
		version: 0.1
		log: {level: error}
		storage: {filesystem: {rootdirectory: $STORE/data$1}, delete: {enabled: true}}
		${2:-}
		http:
		  addr: 127.0.0.1:$1
		  ${3:-}
	END
	env -u REGISTRY_AUTH_FILE docker-registry serve "$STORE/$1.yml" >"$STORE/$1.log" 2>&1 3>&- &
	SERVERS+=" $!"
	until_true 20 is_open "$1" || fail "no registry: $(cat "$STORE/$1.log")"
}

id_of()
{
	kist image inspect --format '{{.Id}}' "$1"
}

elsewhere()
{
	timeout --foreground -k 5 60 "$KIST" --root "$STORE/root2" --runroot "$STORE/run2" "$@"
}

@test "an account and TLS: login, push, pull, skopeo agrees, logout" {
	mkdir "$STORE/ca"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$STORE/key.pem" -out "$STORE/ca/ca.crt" 2>/dev/null
	htpasswd -Bbc "$STORE/htpasswd" me 's:ecret' 2>/dev/null
	registry 5001 "auth: {htpasswd: {realm: test, path: $STORE/htpasswd}}" \
		"tls: {certificate: $STORE/ca/ca.crt, key: $STORE/key.pem}"
	local r=127.0.0.1:5001 tls=(--cert-dir "$STORE/ca")

	engine_error kist push busybox "$r/a/b"
	contains "$stderr" '--cert-dir'
	# shellcheck disable=SC2046 # a command line
	without_certificates() { unshare -m sh -c 'mount -t tmpfs tmpfs /etc/ssl/certs && exec "$@"' sh $(kist_command) "$@"; }
	engine_error without_certificates push busybox "$r/a/b"
	contains "$stderr" 'the package ca-certificates'
	contains "$stderr" '--cert-dir'
	engine_error without_certificates push "${tls[@]}" busybox "$r/a/b"
	contains "$stderr" "kist login $r"
	engine_error kist push "${tls[@]}" busybox "$r/a/b"
	contains "$stderr" "kist login $r"
	engine_error kist login "${tls[@]}" -u me -p wrong $r
	contains "$stderr" 'the name or the password is wrong'
	[ ! -e "$REGISTRY_AUTH_FILE" ]
	engine_error kist login --get-login $r
	run -0 kist login "${tls[@]}" -u me --password-stdin $r <<<'s:ecret'
	equal 'Login Succeeded!' "$output"
	equal 600 "$(stat -c %a "$REGISTRY_AUTH_FILE")"
	equal me "$(kist login --get-login $r)"
	run -0 kist login "${tls[@]}" $r
	contains "$output" 'Already logged in'

	kist push "${tls[@]}" --digestfile "$STORE/digest" busybox "$r/a/b:1" 2>"$STORE/err"
	contains "$(cat "$STORE/err")" 'Copying blob sha256:'
	equal "$(cat "$STORE/digest")" "$(skopeo inspect --cert-dir "$STORE/ca" "docker://$r/a/b:1" | jq -r .Digest)"
	equal "$(id_of busybox)" "$(skopeo inspect --config --raw --cert-dir "$STORE/ca" "docker://$r/a/b:1" | sha256sum | cut -d ' ' -f 1)"
	run -0 elsewhere pull -q "${tls[@]}" "docker://$r/a/b:1"
	equal "$(id_of busybox)" "$output"
	equal "$r/a/b@$(cat "$STORE/digest")" "$(elsewhere image inspect --format '{{index .RepoDigests 0}}' "$r/a/b:1")"
	contains "$(elsewhere images --digests)" "$(cat "$STORE/digest")"
	equal hello "$(elsewhere run --rm --network none "$r/a/b:1" echo hello)"
	elsewhere system check

	# Other ways to the account; what skopeo pushes is pulled as it is.
	rm "$REGISTRY_AUTH_FILE"
	mkdir -p "$STORE/home/.docker"
	jq -n --arg auth "$(printf me:s:ecret | base64)" '{auths: {"https://127.0.0.1:5001/v1/": {auth: $auth}}}' >"$STORE/home/.docker/config.json"
	HOME=$STORE/home REGISTRY_AUTH_FILE='' kist pull -q "${tls[@]}" "$r/a/b:1"
	skopeo copy -q --dest-cert-dir "$STORE/ca" --dest-creds me:s:ecret --dest-compress-format zstd -f oci \
		"docker-archive:$(kist save -o "$STORE/a.tar" busybox && echo "$STORE/a.tar")" "docker://$r/z:zst"
	elsewhere pull -q "${tls[@]}" --creds me:s:ecret "$r/z:zst"
	contains "$(elsewhere image inspect "$r/z:zst")" \
		"$r/z@$(skopeo inspect --cert-dir "$STORE/ca" --creds me:s:ecret "docker://$r/z:zst" | jq -r .Digest)"
	jq -n '{credHelpers: {"127.0.0.1:5001": "pass"}}' >"$STORE/helper.json"
	engine_error kist pull -q "${tls[@]}" --authfile "$STORE/helper.json" "$r/a/b:1"
	contains "$stderr" 'credential helpers'
	kist login "${tls[@]}" -u me -p s:ecret $r
	run -0 kist logout $r
	engine_error kist logout $r
	equal '{}' "$(jq -c .auths "$REGISTRY_AUTH_FILE")"
}

@test "layers go once, blobs are mounted from other repositories, digests stay, formats change" {
	registry 5002
	local r=127.0.0.1:5002 set=(--set insecure_registries.0=127.0.0.1:5002) digest
	kist run --network none --name c busybox touch /new
	kist commit -q c two >/dev/null
	kist rm c
	cp -r "$STORE/data5002" "$STORE/empty"
	k() { timeout --foreground -k 5 60 "$KIST" --root "$ROOT" --runroot "$RUNROOT" "${set[@]}" "$@"; }

	run -0 k push two "$r/a/two"
	equal 2 "$(grep -c 'Copying blob' <<<"$output")"
	lacks "$output" skipped
	run -0 k push two "$r/a/two:again"
	equal 2 "$(grep -c 'skipped: already exists' <<<"$output")"
	digest=$(skopeo inspect --tls-verify=false "docker://$r/a/two" | jq -r .Digest)
	equal "$digest" "$(skopeo inspect --tls-verify=false "docker://$r/a/two:again" | jq -r .Digest)"

	# The lower layer is here.
	k rmi two >/dev/null
	run -0 k pull "$r/a/two"
	equal 1 "$(grep -c 'skipped: already exists' <<<"$output")"
	run -0 k pull -q -a "$r/a/two"
	equal 2 "${#lines[@]}"
	equal "$digest" "$(k image inspect --format '{{.Digest}}' "$r/a/two:again")"

	# To another repository: no blob is sent, the manifest is the same.
	k push -q "$r/a/two" "$r/b/two"
	equal "$digest" "$(skopeo inspect --tls-verify=false "docker://$r/b/two" | jq -r .Digest)"
	equal 0 "$(find "$STORE/data5002" -path '*_uploads/*' -type f | wc -l)"
	equal 2 "$(find "$STORE/data5002" -path '*/b/two/_layers/*' -name link | grep -vc "$(k image inspect --format '{{.Id}}' "$r/a/two")")"

	k push -q -f v2s2 "$r/a/two" "$r/c:docker"
	equal application/vnd.docker.distribution.manifest.v2+json "$(skopeo inspect --raw --tls-verify=false "docker://$r/c:docker" | jq -r .mediaType)"
	k push -q --compression-format zstd --force-compression "$r/a/two" "$r/c:zstd"
	contains "$(skopeo inspect --raw --tls-verify=false "docker://$r/c:zstd" | jq -r '.layers[0].mediaType')" tar+zstd
	engine_error k push -q -f v2s2 --compression-format zstd "$r/a/two" "$r/c:no"
	skopeo copy -q --src-tls-verify=false "docker://$r/c:docker" "dir:$STORE/copy"
	elsewhere "${set[@]}" pull -q "$r/c:docker" "$r/c:zstd"
	equal 1 "$(elsewhere images -q | wc -l)"
	elsewhere run --rm --network none "$r/c:docker" test -e /new
	elsewhere system check

	engine_error k pull -q "$r/nosuch"
	contains "$stderr" 'does not have it'
	engine_error k push busybox dir:/tmp/x
	contains "$stderr" "'dir:'"
	engine_error k push "$(id_of busybox)"
	engine_error k pull -q nosuch.example:bad:tag
	equal '' "$(find "$ROOT" "$STORE/root2" -name '.tmp-*')"
}

@test "platforms of an index, digests as names, short names, --pull" {
	registry 5003
	local r=127.0.0.1:5003 index arm
	k() { timeout --foreground -k 5 60 "$KIST" --root "$ROOT" --runroot "$RUNROOT" --set registries.0=$r --set insecure_registries.0=$r "$@"; }
	two_platforms
	skopeo copy -q --all --dest-tls-verify=false "oci:$STORE/layout:multi" "docker://$r/multi"
	index=$(skopeo inspect --raw --tls-verify=false "docker://$r/multi" | sha256sum | cut -d ' ' -f 1)

	run -0 k create --name short multi
	contains "$output" "Trying to pull $r/multi:latest"
	equal "$(id_of busybox)" "$(k inspect --format '{{.Image}}' short)"
	equal "$r/multi:latest" "$(k inspect --format '{{.ImageName}}' short)"
	arm=$(k pull -q --platform linux/aarch64 multi)
	equal arm64 "$(k image inspect --format '{{.Architecture}}' "$arm")"
	run -0 k create -q --pull missing --arch x86_64 multi
	equal "$(id_of busybox)" "$(k image inspect --format '{{.Id}}' multi)"
	engine_error k pull -q --arch s390x multi
	contains "$stderr" 'only for linux/amd64, linux/arm64'
	engine_error k pull -q --os windows multi
	k rm -a >/dev/null
	k rmi -f "$(id_of busybox)" "$arm" >/dev/null

	# By digest: of the index, without a tag; the name finds it again and is not 'dangling'.
	k pull -q "multi@sha256:$index"
	equal '[]' "$(k image inspect "multi@sha256:$index" | jq -c '.[0].RepoTags')"
	equal 2 "$(k image inspect "multi@sha256:$index" | jq -c '.[0].RepoDigests | length')"
	k image prune -f
	equal ok "$(k run --rm --pull never --network none "multi@sha256:$index" echo ok)"
	engine_error k run --pull never --network none multi true
	contains "$stderr" 'no such image'

	# always, newer, missing: what the tag means now, or what is here.
	k run --rm --network none --pull missing multi true
	kist import -q --change CMD='["/bin/sh"]' --change ENV=NEW=1 "$E2E_CACHE/busybox.tar" changed >/dev/null
	k push -q changed "$r/multi"
	equal '' "$(k run -q --rm --network none multi sh -c 'echo $NEW')"
	equal 1 "$(k run -q --rm --network none --pull newer multi sh -c 'echo $NEW')"
	run -0 k run --rm --network none --pull newer multi true
	lacks "$output" 'Trying to pull'
	run -0 k run --rm --network none --pull always multi true
	contains "$output" 'Trying to pull'
	kill -9 ${SERVERS##* }
	until_true 10 eval '! is_open 5003'
	k run --rm --network none --pull newer multi true
	engine_error k run -q --rm --network none --pull always multi true
	engine_error k pull -q multi
}

# A layout with one index of two platforms.
two_platforms()
{
	kist import -q --arch arm64 "$E2E_CACHE/busybox.tar" arm >/dev/null
	kist save --format oci-dir -o "$STORE/layout" busybox
	kist save --format oci-dir -o "$STORE/layout2" arm
	cp "$STORE"/layout2/blobs/sha256/* "$STORE/layout/blobs/sha256/"
	jq -c -n --slurpfile a "$STORE/layout/index.json" --slurpfile b "$STORE/layout2/index.json" \
		'def d($i; $p): $i[0].manifests[0] | {mediaType, digest, size, platform: {os: "linux", architecture: $p}};
		{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [d($a; "amd64"), d($b; "arm64")]}' \
		>"$STORE/index"
	index=$(sha256sum <"$STORE/index" | cut -d ' ' -f 1)
	cp "$STORE/index" "$STORE/layout/blobs/sha256/$index"
	jq -c -n --arg d "sha256:$index" --argjson s "$(stat -c %s "$STORE/index")" \
		'{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $s, annotations: {"org.opencontainers.image.ref.name": "multi"}}]}' \
		>"$STORE/layout/index.json"
	kist rmi arm >/dev/null
}

# liar PORT: answers by the file $STORE/answer, a shell script that sees $method, $path, $auth, $range.
liar()
{
	cat >"$STORE/liar$1" <<-'END'
		#!/bin/bash
		# TLS is not spoken here.
		IFS= read -r -N 1 first && [[ $first == [A-Z] ]] || exit 0
		read -r method path _
		method=$first$method
		auth= range=
		while read -r line && line=${line%$'\r'} && [ -n "$line" ]; do
			case ${line,,} in
			authorization:*) auth=${line#*: } ;;
			range:*) range=${line#*=} ;;
			esac
		done
		echo "${0##*liar} $method $path auth=$auth range=$range" >>"$STORE/asked"
		reply() { printf 'HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %s\r\n' "$1" "${#2}"; shift 2; printf '%s\r\n' "$@" ''; }
		body() { reply "200 OK" "$1" "Content-Type: ${2:-application/json}"; printf %s "$1"; }
		file() { printf 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %s\r\n\r\n' "${2:-$(stat -c %s "$1")}"; cat "$1"; }
		usual()
		{
			case $path in
			/v2/) body {} ;;
			*/manifests/*) body "$(cat "$BLOBS/$manifest")" application/vnd.oci.image.manifest.v1+json ;;
			*/blobs/sha256:*) file "$BLOBS/${path##*:}" ;;
			esac
		}
		. "$STORE/answer"
	END
	chmod +x "$STORE/liar$1"
	busybox nc -ll -p "$1" -e "$STORE/liar$1" 3>&- 2>/dev/null &
	SERVERS+=" $!"
	until_true 10 is_open "$1"
}

@test "a registry that lies: nothing is believed, nothing is left, nothing is given away" {
	kist save --format oci-dir -o "$STORE/image" busybox
	local manifest config layer r=127.0.0.1:5004 case
	manifest=$(jq -r '.manifests[0].digest' "$STORE/image/index.json" | cut -d : -f 2)
	config=$(id_of busybox)
	layer=$(jq -r '.layers[0].digest' "$STORE/image/blobs/sha256/$manifest" | cut -d : -f 2)
	export manifest config layer BLOBS=$STORE/image/blobs/sha256 STORE
	liar 5004
	liar 5005
	try() { elsewhere --set insecure_registries.0=$r pull -q --retry-delay 10ms "$@"; }
	# Whatever it says, nothing stays.
	refuses()
	{
		local want=$1
		shift
		cat >"$STORE/answer"
		engine_error try "${@:-$r/x}"
		contains "$stderr" "$want"
		equal '' "$(find "$STORE/root2/images" "$STORE/root2/overlay" "$STORE/root2/refs" -mindepth 1 -maxdepth 1 ! -name .lock ! -name lock ! -name l 2>/dev/null)"
	}

	refuses 'is not a registry' <<<'reply "404 Not Found" ""'
	refuses 'schema 1' <<<'case $path in /v2/) body {} ;; *) body "{\"schemaVersion\":1,\"name\":\"x\"}" ;; esac'
	refuses 'bytes' <<<'case $path in */manifests/*) printf "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"; head -c 5000000 /dev/zero ;; *) usual ;; esac'
	refuses 'the digest of the manifest' "$r/x@sha256:$layer" <<<'usual'
	refuses 'the digest of the blob' <<<'case $path in */blobs/*$config) sed s/amd64/amd63/ $BLOBS/$config >$STORE/other; file $STORE/other ;; *) usual ;; esac'
	refuses 'the digest of the blob' <<<'case $path in */blobs/*$layer) size=$(stat -c %s $BLOBS/$layer); file <(head -c $((size - 9)) $BLOBS/$layer; echo 12345678) $size ;; *) usual ;; esac'
	refuses 'more than its' <<<'case $path in */blobs/*$layer) printf "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"; cat $BLOBS/$layer; head -c 100000 /dev/zero ;; *) usual ;; esac'
	refuses 'redirects too often' <<<'case $path in /v2/) body {} ;; *) reply "302 Found" "" "Location: $path" ;; esac'
	refuses 'no address for tokens' <<<'reply "401 No" "" "WWW-Authenticate: Bearer realm=\"file:///etc/passwd\""'
	refuses 'no image for' <<<'case $path in */manifests/*) body "{\"schemaVersion\":2,\"manifests\":[]}" ;; *) usual ;; esac'
	refuses 'not an image of containers' <<<'case $path in */manifests/*) body "$(sed s/image.config.v1/artifact.v7/ $BLOBS/$manifest)" ;; *) usual ;; esac'

	# The connection breaks twice: it goes on where it was. The account goes to the registry, and not to where it redirects.
	rm -f "$STORE/asked" "$STORE/broke"
	cat >"$STORE/answer" <<-'END'
		size=$(stat -c %s $BLOBS/$layer)
		token='{"token":"good"}'
		case $path in
		/token*) body "$token" ;;
		/else/*) start=${range%-}; [ -z "$range" ] && file $BLOBS/$layer | head -c 200000 && exit
			[ -e $STORE/broke ] || { touch $STORE/broke; reply '206 Partial' '' "Content-Range: bytes $start-$((size - 1))/$size" | sed "s/Length: 0/Length: $((size - start))/"; tail -c +$((start + 1)) $BLOBS/$layer | head -c 200000; exit; }
			printf 'HTTP/1.1 206 Partial\r\nConnection: close\r\nContent-Range: bytes %s-%s/%s\r\nContent-Length: %s\r\n\r\n' $start $((size - 1)) $size $((size - start)); tail -c +$((start + 1)) $BLOBS/$layer ;;
		*) if [ "$auth" != 'Bearer good' ]; then
				reply '401 Unauthorized' '' 'WWW-Authenticate: Bearer realm="http://127.0.0.1:5005/token",service="it"'
			elif [[ $path == */blobs/*$layer ]]; then
				reply '307 Temporary Redirect' '' "Location: http://127.0.0.1:5005/else/$layer"
			else
				usual
			fi ;;
		esac
	END
	run -0 try --creds me:secret $r/x
	equal "$config" "$output"
	contains "$(grep /token "$STORE/asked")" "service=it&scope=repository%3Ax%3Apull&account=me auth=Basic $(printf me:secret | base64)"
	equal 3 "$(grep -c '5005 GET /else' "$STORE/asked")"
	equal '' "$(grep '5005 GET /else' "$STORE/asked" | grep -v 'auth= ')"
	matches 'range= range=1[0-9]{5}- range=3[0-9]{5}-' "$(grep -o 'range=.*' <(grep '5005 GET /else' "$STORE/asked") | paste -sd ' ')"
	elsewhere system check
}

@test "without the client: said by name; what needs none works" {
	KIST=$(dirname "$E2E_DYNAMIC")/static/kist
	[ -x "$KIST" ] || absent 'there is no static build'
	equal '' "$(kist version --format '{{.Client.RegistryClient}}')"
	local command
	for command in 'pull x' 'push busybox' 'login -u a -p b x' 'run --pull always busybox true'; do
		engine_error kist $command
		contains "$stderr" 'this build has no registry client'
	done
	engine_error kist run nosuch
	contains "$stderr" 'no registry client'
	engine_error kist logout quay.io
	contains "$stderr" 'not logged into quay.io'
	kist run --rm --network none --pull newer busybox true
}
