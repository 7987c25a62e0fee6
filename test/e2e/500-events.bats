#!/usr/bin/env bats
# events: what is told of a container's life, filters, following.
load helpers

statuses()
{
	kist events --stream=false --filter container="$1" --format '{{.Status}}' | xargs
}

@test "events: a container's life, in order, with codes and labels" {
	kist_only
	kist create --name c --label tier=web busybox sh -c 'exit 7' >/dev/null
	kist start c >/dev/null
	kist wait c >/dev/null
	kist rename c d
	kist rm d >/dev/null
	local id
	id=$(kist events --stream=false --filter event=create --filter container=c --format '{{.ID}}')
	matches "$FULL_ID" "$id"
	equal 'create init start died cleanup rename remove' "$(statuses "$id")"
	run -0 kist events --since 10m --until 0s --filter event=died --format json
	equal "7 container c web $id" "$(jq -r '"\(.ContainerExitCode) \(.Type) \(.Name) \(.Attributes.tier) \(.ID)"' <<<"$output")"
	run -0 kist events --stream=false --filter type=container --filter event=start --filter label=tier=web --no-trunc=false
	matches "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+ \+0000 UTC container start ${id:0:12} \(image=localhost/busybox:latest, name=c, tier=web\)$" "$output"
	equal '' "$(kist events --stream=false --filter label=tier=db)"
	# A foreground run, exec, stop, kill, pause.
	kist run --rm --name e busybox true
	equal 'attach create died init remove start' "$(statuses e | tr ' ' '\n' | sort | xargs)"
	sleeper --name f >/dev/null
	kist exec f sh -c 'exit 3' || true
	kist pause f >/dev/null
	kist unpause f >/dev/null
	kist stop f >/dev/null
	equal 'create init start exec exec_died pause unpause died cleanup stop' "$(statuses f)"
	equal 3 "$(kist events --stream=false --filter event=exec_died --format '{{.ContainerExitCode}}')"
	engine_error kist events --filter nosuch=1
	engine_error kist events --since nonsense
	engine_error kist events --stream=false --format '{{.Nosuch}}'
}

@test "events: events=none writes nothing, the monitor neither" {
	kist_only
	kist --set events=none run --rm busybox true
	[ ! -s "$RUNROOT/events" ] || lacks "$(cat "$RUNROOT/events")" container
	engine_error kist --set events=none events
}

@test "events: a stream follows, and ends with its time or its reader" {
	kist_only
	# shellcheck disable=SC2046 # a command line
	$(kist_command) events --format '{{.Status}} {{.Name}}' >"$STORE/stream" 3>&- &
	local stream=$!
	watching() { grep -q inotify /proc/$stream/fdinfo/* 2>/dev/null; }
	until_true 10 watching || fail 'no watch'
	kist run --name c busybox true
	has_all() { grep -q 'cleanup c' "$STORE/stream"; }
	until_true 10 has_all || fail "$(cat "$STORE/stream")"
	kill $stream
	wait $stream || true
	equal 'create c init c start c died c cleanup c' "$(grep -v '^attach' "$STORE/stream" | xargs)"
	# Ends by itself.
	kist events --since 1m --until "$(date -u -d '+1 second' +%FT%TZ)" --filter event=died --format '{{.Name}}' >"$STORE/bounded"
	equal c "$(cat "$STORE/bounded")"
}

@test "events: of images, volumes, networks and secrets" {
	kist_only
	kist tag busybox other
	kist save -o "$STORE/other.tar" other
	kist untag busybox other
	kist load -q -i "$STORE/other.tar" >/dev/null
	kist rmi other >/dev/null
	equal 'import tag save untag loadfromarchive untag' "$(kist events --stream=false --filter type=image --format '{{.Status}}' | xargs)"
	kist volume create v >/dev/null
	kist volume rm v >/dev/null
	equal 'create v remove v' "$(kist events --stream=false --filter volume=v --format '{{.Status}} {{.Name}}' | xargs)"
	kist network create front >/dev/null
	kist create --name c busybox true >/dev/null
	kist network connect front c
	kist network disconnect front c
	kist network rm front >/dev/null
	equal 'create connect disconnect remove' "$(kist events --stream=false --filter network=front --format '{{.Status}}' | xargs)"
	echo hush | kist secret create s - >/dev/null
	kist secret rm s >/dev/null
	equal 'create remove' "$(kist events --stream=false --filter type=secret --format '{{.Status}}' | xargs)"
	lacks "$(cat "$RUNROOT/events")" hush
}
