#!/usr/bin/env bats
# Archives that lie, which 'hostile-tars' makes, through every door that takes one: import, load (as a layer, and as the archive
# itself), cp, volume import. Each is taken and harms nobody, or is refused with one line; nothing outside of the place that
# it is unpacked to changes, and nothing is left behind.
load helpers

setup_file()
{
	export OUT=$E2E_WORK/outside TARS=$E2E_WORK/tars CORPUS
	mkdir "$TARS"
	"$BATS_TEST_DIRNAME/hostile-tars" "$TARS" "$OUT"
	CORPUS=$(ls "$TARS")
}

setup()
{
	kist_only
	setup_store
	mkdir -m 700 "$OUT"
	echo secret >"$OUT/secret"
	outside >"$STORE/before"
}

teardown()
{
	rm -rf "$OUT"
	teardown_store
}

# Everything that may not change: what is beside the store, and what the store is in.
outside()
{
	local file
	find "$OUT" -printf '%p %y %m %U %G %n %l %s %T@\n'
	cat "$OUT/secret"
	for file in /escape /b /new /f /h /x /l "$STORE"/{escape,b,f,h,x,l} "$E2E_WORK"/{escape,b,f,h,x,l}; do
		[ ! -e "$file" ] || echo "$file"
	done
	find "$ROOT" "$RUNROOT" \( -name '.tmp-*' -o -name '.bad-*' \) -print
	find "$ROOT" \( -path '*/overlay/*' -o -path '*/upper/*' -o -path '*/data/*' \) -prune -o \( -name escape -o -name secret -o -name new \) -print
	stat -c '%t %T %a' /dev/null
}

unharmed()
{
	outside >"$STORE/after"
	cmp -s "$STORE/before" "$STORE/after" || fail "$1: $(diff "$STORE/before" "$STORE/after" | head -20)"
}

# door WHAT COMMAND...: taken, or refused in one line.
door()
{
	local what=$1 code=0
	shift
	"$@" >/dev/null 2>"$STORE/err" </dev/null || code=$?
	case $code in
	0) taken=$((taken + 1)) ;;
	125 | 1)
		refused=$((refused + 1))
		one_line "$(cat "$STORE/err")" || fail "$what: $(cat -v "$STORE/err")"
		;;
	*) fail "$what: exit code $code: $(cat -v "$STORE/err")" ;;
	esac
	unharmed "$what"
}

# Some are fine, some are not: a test where all end in the same way tests nothing.
both_ways()
{
	echo "# $1: $taken taken, $refused refused" >&3
	if [ "$taken" -lt 5 ] || [ "$refused" -lt 10 ] || [ $((taken + refused)) -lt 50 ]; then
		fail "$1: $taken taken, $refused refused"
	fi
}

@test "hostile archives: import" {
	local name taken=0 refused=0
	for name in $CORPUS; do
		door "import $name" kist import "$TARS/$name" "i-${name//_/-}"
	done
	both_ways import
	equal $((taken + 1)) "$(kist images -q | wc -l)"
	kist system check >/dev/null
	kist image prune -a -f >/dev/null
	# l/ has the layers' short names.
	equal '' "$(find "$ROOT/overlay" -mindepth 1 ! -path '*/.*' ! -name lock ! -path "$ROOT/overlay/l")" 'layers'
}

@test "hostile archives: load, as a layer and as the archive" {
	local name taken=0 refused=0 digest
	for name in $CORPUS; do
		rm -rf "$STORE/layer" "$STORE/archive"
		mkdir "$STORE/layer"
		cp "$TARS/$name" "$STORE/layer/layer.tar"
		digest=$(zcat -f "$STORE/layer/layer.tar" 2>/dev/null | sha256sum | cut -d ' ' -f 1)
		echo '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:'"$digest"'"]}}' >"$STORE/layer/config.json"
		echo '[{"Config":"config.json","RepoTags":["localhost/loaded:latest"],"Layers":["layer.tar"]}]' >"$STORE/layer/manifest.json"
		tar -C "$STORE/layer" -cf "$STORE/archive" manifest.json config.json layer.tar
		door "load a layer $name" kist load -q -i "$STORE/archive"
		! kist image exists loaded || kist rmi loaded >/dev/null
	done
	both_ways load
	for name in $CORPUS; do
		run kist load -q -i "$TARS/$name"
		equal 125 "$status" "load $name ($output)"
	done
	unharmed load
	equal localhost/busybox:latest "$(kist images --format '{{.Repository}}:{{.Tag}}')"
	kist system check >/dev/null
}

# shellcheck disable=SC2317 # called by name
into_container() { kist cp - "$1:/in" <"$2"; }

@test "hostile archives: cp into containers that run and that do not" {
	local name taken=0 refused=0
	kist run -d --name running busybox sh -c 'mkdir /in && exec sleep 1000' >/dev/null
	until_true 10 kist exec running test -d /in
	kist create --name still busybox true >/dev/null
	kist cp "$TARS" still:/in
	for name in $CORPUS; do
		door "cp $name, running" into_container running "$TARS/$name"
		door "cp $name, not running" into_container still "$TARS/$name"
	done
	both_ways cp
	# Nothing of the container beside that place either.
	equal '' "$(kist diff running | grep -vE ' /(in|root|dev|etc|run|proc|sys)(/|$)')"
	kist rm -f -t 0 running still >/dev/null
}

# shellcheck disable=SC2317 # called by name
into_volume() { kist volume import v "$1"; }

@test "hostile archives: volume import" {
	local name taken=0 refused=0
	for name in $CORPUS; do
		kist volume create v >/dev/null
		door "volume import $name" into_volume "$TARS/$name"
		# What is in it is in its data.
		equal "$(printf '%s\n' config data users | sort)" "$(ls "$ROOT/volumes/v")" "after $name"
		kist volume rm v >/dev/null
	done
	both_ways 'volume import'
}
