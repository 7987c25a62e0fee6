#!/usr/bin/env bats
# Pods: containers that share namespaces, a cgroup and a life.
load helpers

pod_of()
{
	kist pod inspect --format "{{.$2}}" "$1"
}

pod_state_is()
{
	[ "$(pod_of "$1" State)" = "$2" ]
}

pod_in_state()
{
	until_true 10 pod_state_is "$1" "$2" || fail "pod $1 is '$(pod_of "$1" State)', not '$2'"
}

ns_of()
{
	readlink "/proc/$(pid_of "$1")/ns/$2"
}

@test "a pod's containers share its namespaces, its cgroup and its name" {
	limit=()
	if has_controller memory; then
		limit=(--memory 64m)
	fi
	run -0 kist pod create --name box --label tier=web "${limit[@]}"
	matches "$FULL_ID" "$output"
	id=$output infra=$(pod_of box InfraContainerID)
	equal Created "$(pod_of box State)"
	equal "${id:0:12}-infra" "$(kist inspect --format '{{.Name}}' "$infra")"
	sleeper --pod box --name one >/dev/null
	sleeper --pod "${id:0:8}" --name two >/dev/null
	pod_in_state box Running
	for ns in ipc net uts; do
		equal "$(ns_of "$infra" $ns)" "$(ns_of one $ns)" "$ns of one"
		equal "$(ns_of one $ns)" "$(ns_of two $ns)" "$ns of two"
	done
	for ns in pid mnt cgroup; do
		[ "$(ns_of one $ns)" != "$(ns_of two $ns)" ] || fail "$ns is shared"
	done
	equal box "$(kist exec one hostname)"
	equal box "$(kist exec one cat /etc/hostname)"
	equal box "$(kist exec two sh -c 'echo $HOSTNAME')"
	matches "^127.0.0.1[[:space:]]+one" "$(kist exec two grep -w one /etc/hosts)"
	matches "^127.0.0.1[[:space:]]+two" "$(kist exec one grep -w two /etc/hosts)"
	kist exec one sh -c 'echo from one >/dev/shm/file; ln -s /dev/null /dev/shm/other'
	equal 'from one' "$(kist exec two cat /dev/shm/file)"
	kist exec one httpd -p 4444 -h /etc
	until_true 10 kist exec two wget -q -O /dev/null http://one:4444/hostname

	equal "/kist/$id" "$(pod_of box CgroupPath)"
	[ -d "$CGROUP/kist/$id/$(kist inspect --format '{{.Id}}' one)" ]
	if has_controller memory; then
		equal 67108864 "$(cat "$CGROUP/kist/$id/memory.max")"
	fi
	equal "$id" "$(kist inspect --format '{{.Pod}}' one)"
	equal true "$(kist inspect --format '{{.IsInfra}}' "$infra")"
	equal box "$(kist ps --format json | jq -r '.[] | select(.Names[0] == "one").PodName')"
	equal 3 "$(pod_of box NumContainers)"

	# What belongs to the pod cannot be another's, and the infra container goes with the pod alone.
	engine_error kist run --pod box -p 8080:80 busybox true
	contains "$stderr" 'publish'
	engine_error kist run --pod box --network none busybox true
	engine_error kist run --pod box --hostname other busybox true
	engine_error kist run --pod nobody busybox true
	contains "$stderr" 'no such pod: nobody'
	run kist rm -f "$infra"
	equal 2 "$status"
	contains "$output" "cannot be removed without removing the pod"
	run kist pod rm box
	equal 2 "$status"
	contains "$output" 'one, two'
	engine_error kist create --name box busybox true
	contains "$stderr" 'in use by pod'
	engine_error kist pod create --name one
	contains "$stderr" 'in use by container'

	run -0 kist pod stop -t 5 box
	equal "$id" "$output"
	equal Exited "$(pod_of box State)"
	equal exited "$(state_of "$infra")"
	equal 0 "$(kist inspect --format '{{.State.ExitCode}}' "$infra")"
	run -0 kist pod rm box
	equal "$id" "$output"
	run kist pod rm box
	equal 1 "$status"
	run -1 kist pod exists box
	equal '' "$(kist ps -aq)"
	[ ! -e "$CGROUP/kist/$id" ]
}

@test "options of a pod: ports, volumes, hosts, sysctls, shares, and what cannot be" {
	mkdir -p "$STORE/www"
	echo page >"$STORE/www/index.html"
	run -0 kist pod create --name web -p 18080:80 --hostname front --add-host gate:10.0.0.1 -v "$STORE/www:/www:ro" -v store:/store \
		--sysctl net.ipv4.ip_default_ttl=99 --shm-size 1m --share +pid --security-opt no-new-privileges --pod-id-file "$STORE/id" \
		--infra-name holder --infra-conmon-pidfile "$STORE/monitor" --label-file <(echo from=file)
	equal "$output" "$(cat "$STORE/id")"
	kist run -d --pod-id-file "$STORE/id" --name httpd busybox httpd -f -p 80 -h /www >/dev/null
	sleeper --pod web --name db -v "$STORE:/www" >/dev/null
	until_true 10 sh -c '[ "$(busybox wget -q -O - http://127.0.0.1:18080/)" = page ]'
	equal front "$(kist exec httpd hostname)"
	contains "$(kist exec db cat /etc/hosts)" '10.0.0.1'
	equal "$(kist inspect --format '{{.State.ConmonPid}}' holder)" "$(cat "$STORE/monitor")"
	equal web "$(kist pod ps --filter network="$(kist network inspect --format '{{.ID}}' kist)" --format '{{.Name}}')"
	equal 99 "$(kist exec db cat /proc/sys/net/ipv4/ip_default_ttl)"
	equal 1024 "$(kist exec db df -k /dev/shm | awk 'NR == 2 { print $2 }')"
	matches '18080->80/tcp' "$(kist ps --filter name=holder --format '{{.Ports}}')"
	contains "$(kist exec db ls /www)" id # its own mount counts first
	kist exec httpd sh -c 'echo shared >/store/file'
	equal shared "$(kist exec db cat /store/file)"
	equal 1 "$(kist exec db grep -c 'NoNewPrivs:.*1' /proc/self/status)"
	# The infra container is process 1 of all, and reaps what is orphaned.
	equal kist-pause "$(kist exec db cat /proc/1/comm)"
	kist exec db sh -c '(sleep 0.01 &) ; sleep 0.1'
	no_zombies() { ! kist exec db ps -o stat | grep -q Z; }
	until_true 10 no_zombies
	equal file "$(kist pod inspect --format '{{index .Labels "from"}}' web)"
	equal '["ipc","net","uts","pid"]' "$(kist pod inspect web | jq -c '.[0].SharedNamespaces')"
	equal 18080 "$(kist pod inspect web | jq -r '.[0].InfraConfig.PortBindings["80/tcp"][0].HostPort')"
	equal "$(kist pod inspect --format '{{.ID}}' web)" "$(kist inspect --format '{{.Pod}}' holder)"
	run -0 kist pod restart web
	pod_in_state web Running
	until_true 10 sh -c '[ "$(busybox wget -q -O - http://127.0.0.1:18080/)" = page ]'
	run -0 kist pod top web pid,args
	contains "$output" httpd
	run -0 kist pod rm -f -t 0 --pod-id-file "$STORE/id"
	kist volume rm store >/dev/null

	engine_error kist pod create --share bad
	engine_error kist pod create --share net,none
	engine_error kist pod create --share ipc -p 80:80
	engine_error kist pod create --infra=false -p 80:80
	engine_error kist pod create --infra=false --share net
	engine_error kist pod create --exit-policy sometimes
	engine_error kist pod create --gpus all
	engine_error kist pod create --network missing
	engine_error kist pod create -v relative/path:x
	engine_error kist run --pod new:broken -p 1:1:1:1 busybox true
	engine_error kist run --pod new:broken missing-image
	engine_error kist run --init-ctr once busybox true
	equal '' "$(kist pod ps -q)$(kist ps -aq)"
}

@test "pods without an infra container, made on the way, and with users of their own" {
	run -0 kist pod create --infra=false bare
	equal '' "$(pod_of bare InfraContainerID)"
	engine_error kist pod start bare
	contains "$stderr" 'no containers'
	sleeper --pod bare --name alone >/dev/null
	pod_in_state bare Running
	equal 1 "$(pod_of bare NumContainers)"
	kist pod rm -f bare >/dev/null

	# The ports given to the container are the pod's.
	kist run -d --pod new:quick --name q -p 18081:80 busybox httpd -f -p 80 -h /etc >/dev/null
	until_true 10 busybox wget -q -O /dev/null http://127.0.0.1:18081/hostname
	equal quick "$(kist exec q hostname)"
	engine_error kist run --pod new:quick busybox true
	equal 2 "$(pod_of quick NumContainers)"
	kist rm -f -t 0 -a >/dev/null # all containers: the infra container, and with it the pod
	run -1 kist pod exists quick

	kist pod create --name users --uidmap 0:100000:65536 --network none >/dev/null
	sleeper --pod users --name mapped >/dev/null
	equal '0 100000 65536' "$(kist exec mapped cat /proc/self/uid_map | xargs)"
	equal "$(ns_of mapped user)" "$(ns_of "$(pod_of users InfraContainerID)" user)"
	equal 0 "$(kist exec mapped stat -c %u /etc)"
	equal 100000 "$(stat -c %u "/proc/$(pid_of mapped)")"
	kist pod rm -f users >/dev/null
	engine_error kist pod create --share none --hostname x
}

@test "init containers: once and always, before the others" {
	kist pod create --network none box >/dev/null
	kist create --pod box --init-ctr always --name first busybox sh -c 'echo first >>/dev/shm/log' >/dev/null
	kist create --pod box --init-ctr once --name second busybox sh -c 'sleep 0.1; echo second >>/dev/shm/log' >/dev/null
	kist create --pod box --name work busybox sh -c 'cat /dev/shm/log; trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null
	run -0 kist pod start box
	until_true 10 log_has work second
	equal 'first second' "$(kist logs work | xargs)"
	equal Running "$(pod_of box State)"
	equal exited "$(state_of first)"
	run kist container exists second
	equal 1 "$status"
	engine_error kist create --pod box --init-ctr once busybox true
	contains "$stderr" 'running pod'
	run -0 kist pod logs -n box
	contains "$output" 'work first'
	run -0 kist pod logs -c work --tail 1 box
	equal second "$output"
	engine_error kist pod logs -c nobody box
	kist pod restart box >/dev/null
	last_is_first() { [ "$(kist logs --tail 1 work)" = first ]; }
	until_true 10 last_is_first
	kist pod rm -f box >/dev/null
}

@test "states: pause, kill, degraded, exit policies, filters, prune" {
	kist pod create --network none --exit-policy stop --restart on-failure:1 one >/dev/null
	kist run -d --pod one --name again busybox sh -c 'exit 3' >/dev/null
	ended_twice() { [ "$(kist inspect --format '{{.RestartCount}} {{.State.Status}}' again)" = '1 exited' ]; }
	until_true 10 ended_twice
	pod_in_state one Exited
	equal 1 "$(kist pod ps --format '{{.Restarts}}')"
	kist rm again >/dev/null
	kist pod create --network none --label tier=db two >/dev/null
	sleeper --pod one --name a >/dev/null
	sleeper --pod one --name b >/dev/null
	sleeper --pod two --name c >/dev/null
	run -0 kist pod pause one
	equal Paused "$(pod_of one State)"
	equal paused "$(state_of a)"
	run -0 kist pod unpause one
	equal Running "$(pod_of one State)"
	kist kill a >/dev/null
	pod_in_state one Degraded
	kist kill b >/dev/null
	pod_in_state one Exited # nothing but the infra container was left
	run -0 kist pod kill -s TERM two
	pod_in_state two Exited
	run -0 kist pod start two
	kist stop c >/dev/null
	pod_in_state two Degraded # continue

	run -0 kist pod ps --filter status=exited --format '{{.Name}} {{.NumberOfContainers}}'
	equal 'one 3' "$output"
	run -0 kist pod ps --filter label=tier=db --filter ctr-names=c --ctr-names --ctr-status --noheading
	contains "$output" 'exited'
	equal two "$(kist pod ps --filter ctr-status=running --format '{{.Name}}')"
	equal 'two one' "$(kist pod ps --sort status --format '{{.Name}}' | xargs)"
	equal 2 "$(kist pod ps --format json | jq length)"
	run -0 kist pod stats --no-stream two
	contains "$output" 'POD'
	equal 'BlockIO CID CPU Mem MemUsage MemUsageBytes Name NetIO PIDS Pod' "$(kist pod stats --no-stream --format json two | jq -r '.[0] | keys[]' | xargs)"
	equal "$(kist pod ps --filter name=two --format '{{.Id}} {{.Id}}-infra')" "$(kist pod stats --no-stream --format '{{.Pod}} {{.Name}}' two)"
	equal 2 "$(kist pod ps -q | wc -l)"
	equal 'create kill start' "$(kist events --stream=false --filter type=pod --format '{{.Name}} {{.Status}}' | sed -n 's/^two //p' | sort -u | xargs)"
	kist pod create idle >/dev/null
	run -0 kist pod prune -f
	equal 'idle two' "$(kist pod ps --sort name --format '{{.Name}}' | xargs)"
	run -0 kist pod stop -a
	run -0 kist system prune -f
	equal idle "$(kist pod ps --format '{{.Name}}')"
	run -0 kist pod rm -a
	equal '' "$(kist ps -aq)"
}

@test "ports: of a pod, its members show as their own, with its address" {
	local pod
	kist pod create --name p -p 127.0.0.1:8090:80 >/dev/null
	kist run -d --pod p --name c --stop-timeout 0 busybox sleep 1000 >/dev/null
	pod=$(kist pod inspect --format '{{.InfraContainerID}}' p)
	equal '80/tcp -> 127.0.0.1:8090' "$(kist port c)"
	equal 127.0.0.1:8090 "$(kist port c 80)"
	run -125 kist port c 81
	equal '127.0.0.1:8090->80/tcp' "$(kist ps --filter name='^c$' --format '{{.Ports}}')"
	equal "$(kist ps -a --format json | jq -cS --arg id "$pod" '.[] | select(.Id == $id) | .Ports')" \
		"$(kist ps -a --format json | jq -cS --arg id "$pod" '.[] | select(.Id != $id) | .Ports')"
	equal "$(kist inspect "$pod" | jq -cS '.[0].NetworkSettings | [.Ports, .IPAddress, .MacAddress]')" \
		"$(kist inspect c | jq -cS '.[0].NetworkSettings | [.Ports, .IPAddress, .MacAddress]')"
	matches '^10\.' "$(kist inspect --format '{{.NetworkSettings.IPAddress}}' c)"
	equal '{}' "$(kist inspect c | jq -c '.[0].HostConfig.PortBindings')"
	kist_only
	# Who shares with who shares has them too.
	kist create --name further --network container:c busybox true >/dev/null
	equal '80/tcp -> 127.0.0.1:8090' "$(kist port further)"
	equal "$(kist port c)" "$(kist port -a | sed -n "s/^$(kist inspect --format '{{.Id}}' c | cut -c 1-12)\t//p")"
	kist rm further >/dev/null
	kist pod rm -f p >/dev/null
}

@test "kill -9 of the command line at any moment of a pod's life: the next call cleans up" {
	local i front
	for i in $(seq 60); do
		case $((i % 6)) in
		0) $(kist_command) pod create --network none "p$i" >/dev/null 2>&1 3>&- & ;;
		1) $(kist_command) run -d --pod "new:p$i" --network none --name "c$i" busybox sleep 1000 >/dev/null 2>&1 3>&- & ;;
		2) $(kist_command) pod start "p$((i - 2))" >/dev/null 2>&1 3>&- & ;;
		3) $(kist_command) pod stop -t 0 "p$((i - 2))" >/dev/null 2>&1 3>&- & ;;
		4) $(kist_command) run -d --pod "p$((i - 4))" busybox sleep 1000 >/dev/null 2>&1 3>&- & ;;
		5) $(kist_command) pod rm -f -t 0 "p$((i - 5))" "p$((i - 4))" >/dev/null 2>&1 3>&- & ;;
		esac
		front=$!
		sleep "0.0$(printf %02d $((RANDOM % 90)))"
		kill -9 $front 2>/dev/null || true
		wait $front 2>/dev/null || true
	done
	run -0 --separate-stderr kist pod ps
	equal '' "$stderr"
	run -0 --separate-stderr kist ps -a
	equal '' "$stderr"
	run -0 kist pod rm -fa -t 0
	run -0 kist rm -fa -t 0
	equal '' "$(kist ps -aq)$(kist pod ps -q)"
	clean
}

@test "killed monitors and a reboot: a pod starts again" {
	kist pod create --network none --exit-policy stop box >/dev/null
	sleeper --pod box --name c >/dev/null
	local infra monitor
	infra=$(pod_of box InfraContainerID)
	monitor_of() { awk '/^PPid:/ { print $2 }' "/proc/$(pid_of "$1")/status"; }
	kill -9 "$(monitor_of "$infra")"
	in_state "$infra" exited
	pod_in_state box Degraded
	kill -9 "$(monitor_of c)"
	pod_in_state box Exited
	run -0 kist pod start box
	pod_in_state box Running
	# The last one's monitor is killed: the policy is applied by who finds it.
	kill -9 "$(monitor_of c)"
	pod_in_state box Exited
	run -0 kist start c
	pod_in_state box Running

	kill -9 "$(monitor_of c)" "$(monitor_of "$infra")" "$(pid_of c)" "$(pid_of "$infra")"
	until_true 10 bash -c "! grep -q populated.1 $CGROUP/kist/cgroup.events"
	find "$CGROUP/kist" -mindepth 1 -depth -type d -exec rmdir {} +
	rm -rf "$RUNROOT"
	cat /proc/sys/kernel/random/uuid >"$STORE/boot_id"
	mount --bind "$STORE/boot_id" /proc/sys/kernel/random/boot_id
	run kist pod ps --format '{{.Name}} {{.Status}}'
	local listed=$output
	run kist pod start box
	local code=$status what=$output
	run kist exec c hostname
	local name=$output
	run kist pod rm -f -t 0 box
	umount /proc/sys/kernel/random/boot_id
	contains "$listed" box
	equal 0 "$code" "start: $what"
	equal box "$name"
	equal 0 "$status" "rm: $output"
}

@test "an infra container's arguments tell nothing of the engine, with libraries in the binary or not" {
	local infra
	for KIST in "$KIST" "$E2E_DYNAMIC"; do
		kist pod create --share pid box >/dev/null
		run -0 kist run --rm --network none --pod box busybox sh -c 'tr -d "\0" </proc/1/cmdline'
		equal kist-pause "$output"
		infra=$(pod_of box InfraContainerID)
		equal kist-pause "$(tr -d '\0' <"/proc/$(pid_of "$infra")/cmdline")"
		run -0 kist pod rm -f -t 0 box
	done
}

@test "an infra container that was killed: nobody splits the pod, restart and boot give it back" {
	local infra before
	kist pod create --network none box >/dev/null
	for name in one two; do
		sleeper --pod box --name $name --restart always >/dev/null
	done
	infra=$(pod_of box InfraContainerID)
	started() { kist inspect --format '{{.State.StartedAt}}' "$@"; }
	monitor_of() { awk '/^PPid:/ { print $2 }' "/proc/$(pid_of "$1")/status"; }
	equal "$(ns_of one net)" "$(ns_of two net)"

	# The others go on: what is started now would be in other namespaces than they are.
	before=$(started one two)
	kill -9 "$(pid_of "$infra")"
	in_state "$infra" exited
	for call in "restart one" "restart $infra" "start $infra" "pod start box" "run --rm --pod box busybox true"; do
		# shellcheck disable=SC2086 # words
		run -125 kist $call
		contains "$output" 'infra container of pod box has ended'
		contains "$output" 'kist pod restart box'
	done
	run -125 kist boot
	contains "$output" 'kist pod restart box'
	equal "$before" "$(started one two)"
	equal exited "$(kist inspect --format '{{.State.Status}}' "$infra")"
	run -0 kist pod restart box
	pod_in_state box Running
	equal "$(ns_of one net)" "$(ns_of two net)"
	equal "$(ns_of one net)" "$(ns_of "$infra" net)"

	# Alone, one takes it along.
	run -0 kist stop -t 0 two
	kill -9 "$(pid_of "$infra")"
	in_state "$infra" exited
	run -0 kist restart -t 0 one
	equal "$(ns_of one net)" "$(ns_of "$infra" net)"
	run -0 kist start two
	equal "$(ns_of one net)" "$(ns_of two net)"

	# All monitors at once: what waits for its next run waits for what only boot starts.
	kill -9 "$(monitor_of one)" "$(monitor_of two)" "$(monitor_of "$infra")"
	in_state one stopped
	in_state two stopped
	in_state "$infra" exited
	run -0 kist boot
	pod_in_state box Running
	equal "$(ns_of one net)" "$(ns_of two net)"
	equal "$(ns_of one net)" "$(ns_of "$infra" net)"
	run -0 kist pod rm -f -t 0 box
}

@test "as a newcomer would: a web server with a volume, a health check and a restart policy beside a database" {
	kist volume create site >/dev/null
	kist pod create --name shop -p 18082:80 >/dev/null
	kist run -d --init --pod shop --name db --restart always -v shopdata:/data busybox sh -c 'echo 42 >/data/stock; exec httpd -f -p 5432 -h /data' >/dev/null
	kist run --rm -v site:/site busybox sh -c 'echo welcome >/site/index.html'
	kist run -d --init --pod shop --name site-web -v site:/www:ro --restart on-failure --health-interval 1s \
		--health-cmd 'wget -q -O /dev/null http://127.0.0.1/' busybox httpd -f -p 80 -h /www >/dev/null
	until_true 10 sh -c '[ "$(busybox wget -q -O - http://127.0.0.1:18082/)" = welcome ]'
	equal 42 "$(kist exec site-web wget -q -O - http://db:5432/stock)"
	is_healthy() { [ "$(kist inspect --format '{{.State.Health.Status}}' site-web)" = healthy ]; }
	until_true 15 is_healthy
	# Both come back.
	kist exec site-web sh -c 'kill -9 $(pidof httpd)' || true
	until_true 15 sh -c '[ "$(busybox wget -q -O - http://127.0.0.1:18082/)" = welcome ]'
	until_true 15 pod_state_is shop Running
	kist pod stop -t 5 shop >/dev/null
	equal Exited "$(pod_of shop State)"
	kist pod rm shop >/dev/null
	kist volume rm site shopdata >/dev/null
}
