#!/usr/bin/env bats
# inspect: the document, and templates over it.
load helpers

@test "inspect: every key podman has" {
	id=$(kist create --name c --label a=b -e X=y -w /tmp -h host1 busybox echo hi)
	run -0 kist inspect c
	equal 1 "$(jq length <<<"$output")"
	local key
	for key in Id Created Path Args State Image ImageName Rootfs Pod ResolvConfPath HostnamePath HostsPath StaticDir OCIRuntime \
		ConmonPidFile PidFile RestartCount Driver MountLabel ProcessLabel EffectiveCaps BoundingCaps ExecIDs GraphDriver \
		Mounts Dependencies NetworkSettings Namespace IsInfra Config HostConfig; do
		jq -e ".[0] | has(\"$key\")" <<<"$output" >/dev/null || fail "no key $key"
	done
	for key in Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt; do
		jq -e ".[0].State | has(\"$key\")" <<<"$output" >/dev/null || fail "no key State.$key"
	done
	for key in Hostname User Tty OpenStdin Env Cmd Image WorkingDir Entrypoint Labels StopSignal StopTimeout Umask; do
		jq -e ".[0].Config | has(\"$key\")" <<<"$output" >/dev/null || fail "no key Config.$key"
	done
	for key in Binds LogConfig NetworkMode RestartPolicy AutoRemove CapAdd CapDrop IpcMode Cgroup Privileged PidMode ReadonlyRootfs \
		SecurityOpt Tmpfs UTSMode UsernsMode ShmSize Memory NanoCpus CgroupParent CpuPeriod CpuQuota CpuShares CpusetCpus \
		Devices MemoryReservation MemorySwap PidsLimit Ulimits; do
		jq -e ".[0].HostConfig | has(\"$key\")" <<<"$output" >/dev/null || fail "no key HostConfig.$key"
	done
	equal "$id" "$(jq -r '.[0].Id' <<<"$output")"
	equal echo "$(jq -r '.[0].Path' <<<"$output")"
	equal hi "$(jq -r '.[0].Args[0]' <<<"$output")"
	equal host1 "$(jq -r '.[0].Config.Hostname' <<<"$output")"
	equal /tmp "$(jq -r '.[0].Config.WorkingDir' <<<"$output")"
	equal b "$(jq -r '.[0].Config.Labels.a' <<<"$output")"
	jq -e '.[0].Config.Env | index("X=y")' <<<"$output" >/dev/null
}

@test "inspect: the state of a running and of an ended container" {
	sleeper --name c >/dev/null
	equal 'running true false' "$(kist inspect --format '{{.State.Status}} {{.State.Running}} {{.State.Paused}}' c)"
	pid=$(pid_of c)
	[ -d "/proc/$pid" ]
	kist run --name d busybox sh -c 'exit 3' || true
	equal 'exited false 3 0 false' "$(kist inspect --format '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Pid}} {{.State.OOMKilled}}' d)"
	local started finished
	started=$(kist inspect d | jq -r '.[0].State.StartedAt')
	finished=$(kist inspect d | jq -r '.[0].State.FinishedAt')
	[ "$(date -d "$finished" +%s%N)" -ge "$(date -d "$started" +%s%N)" ]
	[ $(($(date +%s) - $(date -d "$started" +%s))) -lt 60 ]
}

@test "inspect: templates" {
	is_podman || {
		kist create --name alone --network none busybox true >/dev/null
		equal 'map[] {}' "$(kist inspect --format '{{.NetworkSettings.Networks}}{{range .NetworkSettings.Networks}}x{{end}} {{json .NetworkSettings.Networks}}' alone)"
		kist rm alone >/dev/null
	}
	kist create --name c --label a=b --label c=d -e ONE=1 busybox echo x y >/dev/null
	f() { kist inspect --format "$1" c; }
	equal c "$(f '{{.Name}}')"
	equal '[x y]' "$(f '{{.Args}}')"
	equal '["x","y"]' "$(f '{{json .Args}}')"
	equal 2 "$(f '{{len .Args}}')"
	equal y "$(f '{{index .Args 1}}')"
	equal b "$(f '{{index .Config.Labels "a"}}')"
	equal b "$(f '{{.Config.Labels.a}}')"
	equal 'x,y,' "$(f '{{range .Args}}{{.}},{{end}}')"
	equal '0=x 1=y ' "$(f '{{range $i, $e := .Args}}{{$i}}={{$e}} {{end}}')"
	equal 'a=b c=d ' "$(f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}')"
	equal no "$(f '{{if .State.Running}}yes{{else}}no{{end}}')"
	equal yes "$(f '{{if eq .Name "c"}}yes{{end}}')"
	equal yes "$(f '{{if and (not .State.Running) (ne .Name "x")}}yes{{end}}')"
	equal 'yes' "$(f '{{if or .State.Running (gt (len .Args) 1)}}yes{{end}}')"
	equal '"c"' "$(f '{{.Name | printf "%q"}}')"
	equal 'c-2' "$(f '{{printf "%s-%d" .Name (len .Args)}}')"
	equal 'C' "$(f '{{upper .Name}}')"
	equal 'x y' "$(f '{{join .Args " "}}')"
	equal $'c\nx' "$(f '{{println .Name}}{{index .Args 0}}')"
	equal 'created' "$(f '{{with .State}}{{.Status}}{{end}}')"
	equal 'ab' "$(f $'a{{- /* a comment */ -}} b')"
	equal '{{' "$(f '{{"{{"}}')"
	equal 'echo' "$(f '{{$x := .Path}}{{$x}}')"
	equal "$(kist inspect c | jq -c '.[0].State.Status')" "$(f '{{json .State.Status}}')"
}

@test "inspect: a template that is wrong is one line and 125" {
	kist create --name c busybox true >/dev/null
	local template
	for template in '{{' '{{.Name' '{{.NoSuchField}}' '{{if}}' '{{range .Args}}' '{{end}}' '{{nosuch .Name}}' \
		'{{index .Args 99}}' '{{"unclosed}}' '{{len}}'; do
		run --separate-stderr kist inspect --format "$template" c
		equal 125 "$status" "template $template ($stderr)"
		is_podman || one_line "$stderr"
	done
}

@test "inspect: several, images, and what is missing" {
	kist create --name a busybox true >/dev/null
	kist create --name b busybox true >/dev/null
	equal 'a b' "$(kist inspect --format '{{.Name}}' a b | xargs)"
	run -0 kist inspect --type image busybox
	run -0 kist inspect busybox
	equal localhost/busybox:latest "$(jq -r '.[0].RepoTags[0]' <<<"$output")"
	run --separate-stderr kist inspect nosuch
	equal 125 "$status"
	contains "$stderr" nosuch
	run -125 kist inspect --type container busybox
}

@test "inspect: mounts and limits as they were asked for" {
	mkdir "$STORE/v"
	kist create --name c -v "$STORE/v:/v:ro" --tmpfs /t --cap-add NET_ADMIN --cap-drop CHOWN --read-only --stop-signal INT busybox true >/dev/null
	equal "bind $STORE/v /v false" "$(kist inspect --format '{{range .Mounts}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}}{{end}}' c)"
	equal true "$(kist inspect --format '{{.HostConfig.ReadonlyRootfs}}' c)"
	contains "$(kist inspect --format '{{.EffectiveCaps}}' c)" CAP_NET_ADMIN
	lacks "$(kist inspect --format '{{.EffectiveCaps}}' c)" CAP_CHOWN
	contains "$(kist inspect --format '{{json .HostConfig.CapAdd}}' c)" CAP_NET_ADMIN
	equal 2 "$(kist inspect --format '{{.Config.StopSignal}}' c)"
}

@test "inspect: -l, --size, --format json" {
	kist create --name a busybox true >/dev/null
	kist create --name b busybox true >/dev/null
	equal b "$(kist inspect -l --format '{{.Name}}')"
	run -0 kist inspect -s a
	jq -e '.[0] | has("SizeRw") and has("SizeRootFs")' <<<"$output" >/dev/null
	equal a "$(kist inspect --format json a | jq -r '.[0].Name')"
}

@test "inspect: what podman's newer versions tell too: name servers, secrets, exposed ports, volumes of others, who stopped it" {
	kist_only
	echo x | kist secret create s - >/dev/null
	kist create --name other -v data:/data busybox true >/dev/null
	kist run -d --name c --init --dns 9.9.9.9 --dns-search a.b --dns-option ndots:2 --secret s,uid=5,mode=0440 --expose 99 --timeout 100 \
		--volumes-from other:ro --annotation k=v --no-hosts --network none busybox sleep 1000 >/dev/null
	equal '["9.9.9.9"] ["a.b"] ["ndots:2"] 100 true ["other:ro"] v true false' "$(kist inspect c | jq -rc '.[0] |
		[(.HostConfig | .Dns, .DnsSearch, .DnsOptions), .Config.Timeout, (.HostConfig | .Init, .VolumesFrom, .Annotations.k),
		.UseImageHosts, .State.StoppedByUser] | map(tostring) | join(" ")')"
	equal '{"Name":"s","UID":5,"GID":0,"Mode":288}' "$(kist inspect c | jq -c '.[0].Config.Secrets[0] | del(.ID)')"
	equal "$(kist secret inspect --format '{{.ID}}' s)" "$(kist inspect --format '{{(index .Config.Secrets 0).ID}}' c)"
	equal '{"99/tcp":{}}' "$(kist inspect c | jq -c '.[0].Config.ExposedPorts')"
	kist stop -t 0 c >/dev/null
	equal true "$(kist inspect --format '{{.State.StoppedByUser}}' c)"
	kist rm c other >/dev/null
	kist volume rm data >/dev/null
	kist secret rm s >/dev/null
}
