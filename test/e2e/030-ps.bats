#!/usr/bin/env bats
# ps: what is listed, in which form.
load helpers

@test "ps: running ones only, -a all" {
	sleeper --name up >/dev/null
	kist run --name down busybox true
	kist create --name new busybox true >/dev/null
	equal up "$(kist ps --format '{{.Names}}')"
	equal $'down\nnew\nup' "$(kist ps -a --format '{{.Names}}' | sort)"
}

@test "ps: the table's columns" {
	kist run --name c busybox true
	run -0 kist ps -a
	matches '^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES' "${lines[0]}"
	matches '^[0-9a-f]{12} +localhost/busybox:latest +true +.* ago +Exited \(0\) .* ago +c' "${lines[1]}"
	equal 2 "${#lines[@]}"
	run -0 kist ps
	equal 1 "${#lines[@]}" 'only the head'
	run -0 kist ps -a --noheading
	equal 1 "${#lines[@]}"
}

@test "ps: states as podman shows them" {
	sleeper --name up >/dev/null
	kist run --name down busybox sh -c 'exit 3' || true
	kist create --name new busybox true >/dev/null
	matches '^Up ' "$(kist ps -a --filter name=up --format '{{.Status}}')"
	matches '^Exited \(3\) ' "$(kist ps -a --filter name=down --format '{{.Status}}')"
	equal Created "$(kist ps -a --filter name=new --format '{{.Status}}')"
}

@test "ps: -q, --no-trunc" {
	id=$(kist create --name c busybox true)
	equal "${id:0:12}" "$(kist ps -aq)"
	equal "$id" "$(kist ps -aq --no-trunc)"
	equal "${id:0:12}" "$(kist ps -a --format '{{.ID}}')"
	equal "$id" "$(kist ps -a --no-trunc --format '{{.ID}}')"
}

@test "ps: -n, -l" {
	kist create --name a busybox true >/dev/null
	kist create --name b busybox true >/dev/null
	kist create --name c busybox true >/dev/null
	equal c "$(kist ps -l --format '{{.Names}}')"
	equal $'b\nc' "$(kist ps -n 2 --format '{{.Names}}' | sort)"
	equal $'b\nc' "$(kist ps --last 2 --format '{{.Names}}' | sort)"
}

@test "ps: filters, ANDed; values of one key ORed" {
	sleeper --name up --label color=red --label big >/dev/null
	kist run --name down --label color=blue busybox sh -c 'exit 3' || true
	new=$(kist create --name new --label color=red busybox true)
	names() { kist ps -a --format '{{.Names}}' "$@" | sort | xargs; }
	equal up "$(names --filter status=running)"
	equal 'down up' "$(names --filter status=running --filter status=exited)"
	equal 'new up' "$(names --filter label=color=red)"
	equal 'down new up' "$(names --filter label=color)"
	equal up "$(names --filter label=color=red --filter label=big)"
	equal new "$(names --filter label=color=red --filter status=created)"
	equal down "$(names --filter exited=3)"
	equal new "$(names --filter id="${new:0:10}")"
	equal 'down' "$(names --filter 'name=^do')"
	equal 'down new up' "$(names --filter ancestor=localhost/busybox:latest)"
	equal 'new' "$(names --filter since=down)"
	equal 'up' "$(names --filter before=down)"
	equal '' "$(names --filter name=nothing)"
	run -125 kist ps --filter nosuch=1
	run -125 kist ps --filter status=nosuch
}

@test "ps: --format json" {
	id=$(kist create --name c --label a=b busybox echo 'x y')
	run -0 kist ps -a --format json
	equal 1 "$(jq length <<<"$output")"
	equal "$id" "$(jq -r '.[0].Id' <<<"$output")"
	equal c "$(jq -r '.[0].Names[0]' <<<"$output")"
	equal created "$(jq -r '.[0].State' <<<"$output")"
	equal 'echo,x y' "$(jq -r '.[0].Command | join(",")' <<<"$output")"
	equal b "$(jq -r '.[0].Labels.a' <<<"$output")"
	equal localhost/busybox:latest "$(jq -r '.[0].Image' <<<"$output")"
	local key
	for key in AutoRemove Command Created CreatedAt Exited ExitedAt ExitCode Id Image ImageID IsInfra Labels Mounts Names Networks Pid Pod PodName Ports Size StartedAt State Status; do
		jq -e ".[0] | has(\"$key\")" <<<"$output" >/dev/null || fail "no key $key"
	done
	run -0 kist ps --format json
	equal 0 "$(jq length <<<"$output")"
}

@test "ps: --format with table and fields" {
	kist create --name c --label a=b busybox true >/dev/null
	run -0 kist ps -a --format 'table {{.Names}} {{.Image}}'
	matches '^NAMES +IMAGE' "${lines[0]}"
	matches '^c +localhost/busybox:latest' "${lines[1]}"
	equal 'c|localhost/busybox:latest|true' "$(kist ps -a --format '{{.Names}}|{{.Image}}|{{.Command}}')"
	matches 'a[=:]b' "$(kist ps -a --format '{{.Labels}}')"
	run -125 kist ps -a --format '{{.NoSuchField}}'
	run -125 kist ps -a --format '{{.Names'
}

@test "ps: --sort" {
	kist create --name b busybox true >/dev/null
	kist create --name a busybox true >/dev/null
	equal 'a b' "$(kist ps -a --sort names --format '{{.Names}}' | xargs)"
	equal 'b a' "$(kist ps -a --sort created --format '{{.Names}}' | xargs)"
	run -125 kist ps --sort nosuch
}

@test "ps: --sort size, of images and of directories with an overlay" {
	kist_only
	mkdir "$STORE/rootfs"
	tar -C "$STORE/rootfs" -xf "$E2E_CACHE/busybox.tar"
	kist run --name small busybox true
	kist run --name large --rootfs "$STORE/rootfs:O" sh -c 'head -c 200000 /dev/zero >/big'
	kist run --name middle busybox sh -c 'head -c 100000 /dev/zero >/big'
	equal 'small middle large' "$(kist ps -a --sort size --format '{{.Names}}' | xargs)"
	equal 'small middle large' "$(kist ps -a --sort size --noheading | awk '{ print $NF }' | xargs)"
	equal '["small"] ["middle"] ["large"]' "$(kist ps -a --sort size --format json | jq -c '.[].Names' | xargs -d '\n')"
	equal '200000' "$(kist ps -a --size --format json | jq '.[] | select(.Names == ["large"]) | .Size.rwSize | . - . % 100000')"
}

@test "ps: -s adds the size" {
	kist run --name c busybox sh -c 'head -c 100000 /dev/zero >/big'
	run -0 kist ps -a -s
	contains "${lines[0]}" SIZE
	matches '[0-9]+(\.[0-9]+)?kB' "${lines[1]}"
}

@test "ps: --pod, --ns columns" {
	sleeper --name c >/dev/null
	run -0 kist ps --ns
	matches 'PID +CGROUPNS +IPC +MNT +NET +PIDNS +USERNS +UTS' "${lines[0]}"
}

@test "ps: pods, their column and their filter; command, restart-policy, network by id, id by expression" {
	kist_only
	local network pod
	pod=$(kist pod create --name shop)
	kist create --name in --pod shop --restart always busybox true >/dev/null
	kist network create net >/dev/null
	network=$(kist network inspect --format '{{.ID}}' net)
	kist create --name out --network net --restart on-failure:3 busybox sh -c true >/dev/null
	names() { kist ps -a --format '{{.Names}}' "$@" | sort | xargs; }
	run -0 kist ps -a --pod
	matches 'NAMES +POD ID +PODNAME$' "${lines[0]}"
	grep -qE " <none> .*-infra +${pod:0:12} +shop *\$" <<<"$output"
	grep -qE " in +${pod:0:12} +shop *\$" <<<"$output"
	grep -qE ' out *$' <<<"$output"
	equal "${pod:0:12}-infra in" "$(names --filter pod=shop)"
	equal "${pod:0:12}-infra in" "$(names --filter "pod=${pod:0:9}")"
	equal '' "$(names --filter pod=nothing)"
	equal out "$(names --filter 'pod!=shop')"
	equal in "$(names --filter restart-policy=always)"
	equal in "$(names --filter should-start-on-boot=true)"
	equal out "$(names --filter command='^s')"
	equal out "$(names --filter "network=$network")"
	equal out "$(names --filter id="^$(kist inspect --format '{{.Id}}' out)\$")"
	run -125 kist ps --filter restart-policy=sometimes
	kist rm out >/dev/null
	kist pod rm -f shop >/dev/null
	kist network rm net >/dev/null
}

@test "ps: --watch shows again what changed, --sync what is true" {
	kist_only
	kist create --name first busybox true >/dev/null
	"$KIST" --root "$ROOT" --runroot "$RUNROOT" ps -a --watch 1 --format '{{.Names}}' >"$STORE/watched" &
	local watch=$!
	seen() { grep -q "$1" "$STORE/watched"; }
	until_true 10 seen first
	kist rename first second >/dev/null
	until_true 10 seen second
	kill "$watch"
	run -125 kist ps --watch 1 --latest
	sleeper --name c >/dev/null
	kill -9 "$(kist inspect --format '{{.State.ConmonPid}}' c)"
	# The signal takes effect when the monitor gets the processor.
	ended() { [[ $(kist ps -a --sync --filter name=^c\$ --format '{{.Status}}') == 'Exited (unknown)'* ]]; }
	until_true 10 ended
	grep -q '^exit_code=-1$' "$ROOT/containers/$(kist inspect --format '{{.Id}}' c)/state"
}

@test "ps: --external shows writable layers whose record is damaged, and exists --external finds them" {
	kist_only
	local id
	id=$(kist create --name lost busybox touch /written)
	kist create --name sound busybox true >/dev/null
	kist start -a lost
	sed -i 's/^image_name=.*/image_name=torn/' "$ROOT/containers/$id/config" # its checksum is wrong now
	run --separate-stderr kist ps -a --noheading
	equal 1 "${#lines[@]}"
	run --separate-stderr kist ps -a --external
	equal 3 "${#lines[@]}"
	matches "^${id:0:12} +.* storage +.* ago +storage +" "${lines[2]}"
	equal "${id:0:12}" "$(kist ps -a --external --format '{{.ID}} {{.Status}}' 2>/dev/null | sed -n 's/ storage$//p')"
	equal "$id" "$(kist ps -a --external --format json 2>/dev/null | jq -r '.[] | select(.State == "storage").Id')"
	contains "$(kist ps -aq --external --no-trunc 2>/dev/null)" "$id"
	run -0 kist container exists --external "$id"
	run -1 kist container exists --external "${id/[0-9]/x}"
	run -0 kist container exists --external sound
	# What it had written can be looked at.
	run -0 --separate-stderr kist mount "${id:0:12}"
	local path=$output
	[ -e "$path/written" ]
	run -0 kist unmount "$id"
	[ ! -e "$path/written" ]
	kist rm -f "$id" >/dev/null
	kist rm sound >/dev/null
}
