#!/usr/bin/env bats
# kist-oci: the OCI runtime's command line by itself, and under Debian's podman and containerd.
load helpers

# Bundles in a tmpfs-backed store; containers' ids are the tests' own.
setup()
{
	kist_only
	new_store
	OCI=${KIST%/*}/kist-oci
	[ -x "$OCI" ] || OCI="$KIST oci"
	B=$STORE/bundle
	mkdir -p "$B/rootfs"
	tar -C "$B/rootfs" -xf "$E2E_CACHE/busybox.tar"
	snapshot >"$BATS_TEST_TMPDIR/before"
}

teardown()
{
	local code=0
	is_podman && return 0
	# shellcheck disable=SC2046 # ids
	for id in $(oci list -q); do oci delete -f "$id" || code=1; done
	clean || code=1
	[ -z "$(leftovers)" ] || { ls -la "$ROOT"; code=1; }
	sweep
	return $code
}

oci()
{
	# shellcheck disable=SC2086 # 'kist oci' are two words
	timeout --foreground -k 5 "${E2E_TIMEOUT:-60}" $OCI --root "$ROOT" "$@"
}

# plan JQ-FILTER...: config.json of the bundle.
plan()
{
	rm -f "$B/config.json"
	(cd "$B" && $OCI spec)
	local filter='.process.terminal = false | .root.readonly = false'
	[ $# -eq 0 ] || filter="$filter | $1"
	jq "$filter" "$B/config.json" >"$B/new" && mv "$B/new" "$B/config.json"
}

# program SHELL-TEXT [JQ-FILTER]
program()
{
	plan ".process.args = [\"sh\", \"-c\", $(jq -n --arg t "$1" '$t')] | ${2:-.}"
}

# What is in the state directory besides compiled filters.
leftovers()
{
	[ ! -d "$ROOT" ] || find "$ROOT" -mindepth 1 ! -name 'seccomp-*'
}

status_of()
{
	oci state "$1" | jq -r .status
}

status_is()
{
	[ "$(status_of "$1")" = "$2" ]
}

created()
{
	oci create --bundle "$B" "$@" </dev/null >"$STORE/out" 2>&1 3>&-
}

# A container that waits, and ends on SIGTERM.
waiting()
{
	program 'trap "exit 0" TERM; while :; do sleep 0.1; done' "${2:-.}"
	created "$1" && oci start "$1"
}

# 255 is exec's own: 1 may be the program's.
refused()
{
	local want=$1 code=1
	shift
	[ "$1 $2" != 'oci exec' ] || code=255
	run --separate-stderr "$@"
	equal "$code" "$status" "exit code of '$*' ($stderr)"
	contains "$stderr" "$want"
}

@test "create, start, state, kill, delete: the life of a container" {
	program 'echo started; trap "exit 0" TERM; while :; do sleep 0.1; done' '.annotations = {"a.b": "c=d"}'
	mkfifo "$STORE/fifo"
	cat "$STORE/fifo" >"$STORE/read" 3>&- &
	created --pid-file "$STORE/fifo" fifo
	wait $!
	equal "$(cat "$STORE/read")" "$(oci state fifo | jq -r .pid)"
	[ -p "$STORE/fifo" ]
	oci delete --force fifo
	created --pid-file "$STORE/pid" life
	equal created "$(status_of life)"
	equal "$(cat "$STORE/pid")" "$(oci state life | jq -r .pid)"
	equal "$B" "$(oci state life | jq -r .bundle)"
	equal c=d "$(oci state life | jq -r '.annotations["a.b"]')"
	equal '' "$(cat "$STORE/out")" 'output before start'
	oci start life
	equal running "$(status_of life)"
	until_true 10 grep -q started "$STORE/out"
	oci kill life
	until_true 10 status_is life stopped
	equal 0 "$(oci state life | jq -r .pid)"
	oci delete life
	refused 'container "life" does not exist' oci state life
}

@test "run returns the exit code, and deletes unless told to keep" {
	program 'echo out; echo err >&2; exit 7'
	run --separate-stderr -7 oci run --bundle "$B" one
	equal out "$output"
	equal err "$stderr"
	equal '' "$(oci list -q)"
	run -7 oci run --keep --bundle "$B" two
	equal stopped "$(status_of two)"
	oci delete two
	program 'kill -9 $$' 'del(.linux.namespaces[] | select(.type == "pid"))'
	run -137 oci run --bundle "$B" three
}

@test "run --detach returns at once; list in both forms" {
	program 'sleep 100'
	oci run --detach --pid-file "$STORE/pid" --bundle "$B" back >"$STORE/out" 2>&1 </dev/null 3>&-
	equal running "$(status_of back)"
	matches "back +$(cat "$STORE/pid") +running" "$(oci list)"
	equal back "$(oci list --format json | jq -r '.[0].id')"
	refused 'not stopped: running' oci delete back
	oci delete --force back
	oci delete --force back
}

@test "a container is created once and started once" {
	program 'echo again >>/data/count; sleep 100'
	created only
	refused 'already exists' oci create --bundle "$B" only
	local ok=0 job jobs=()
	for _ in 1 2 3 4 5 6 7 8; do
		oci start only 2>/dev/null 3>&- &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do wait "$job" && ok=$((ok + 1)) || true; done
	equal 1 "$ok" 'starts that succeeded'
	until_true 10 test -s "$B/rootfs/data/count"
	equal 1 "$(wc -l <"$B/rootfs/data/count")"
	refused 'already' oci start only
	oci kill only KILL
	until_true 10 status_is only stopped
	refused 'has stopped' oci start only
	refused 'container not running' oci kill only
}

@test "one who knocks at the gate and leaves does not open it" {
	program 'echo started'
	created gate
	for _ in 1 2 3 4 5; do oci state gate >/dev/null; done
	equal '' "$(cat "$STORE/out")"
	equal created "$(status_of gate)"
	oci start gate
	until_true 10 grep -q started "$STORE/out"
}

@test "delete of a created container kills it" {
	program 'echo never'
	created --pid-file "$STORE/pid" early
	local pid
	pid=$(cat "$STORE/pid")
	oci delete early
	[ ! -d "/proc/$pid/fd" ]
	equal '' "$(cat "$STORE/out")"
}

@test "create that is killed at any moment leaves nothing that delete --force does not take" {
	program 'sleep 100'
	local i pid
	for i in $(seq 50); do
		$OCI --root "$ROOT" create --bundle "$B" "k$i" </dev/null >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "0.0$((i % 3))$((i % 10))"
		kill -9 $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
	done
	for i in $(oci list -q); do oci delete --force "$i"; done
	equal '' "$(oci list -q)"
}

@test "what cannot run is refused at create, by name, and leaves nothing" {
	plan '.process.args = ["nosuch"]'
	refused "executable file 'nosuch' not found in \$PATH" oci create --bundle "$B" bad
	plan '.process.args = ["/etc/text"]'
	refused "cannot execute '/etc/text': Permission denied" oci create --bundle "$B" bad
	plan '.process.cwd = "/dev/null/such" | .root.readonly = true'
	refused "/dev/null/such" oci create --bundle "$B" bad
	plan '.process.cwd = "/etc/text"'
	refused "/etc/text" oci create --bundle "$B" bad
	plan '.linux.namespaces[0].type = "nonsense"'
	refused "linux.namespaces[0].type: 'nonsense' is not a namespace" oci create --bundle "$B" bad
	plan '.linux.intelRdt = {"closID": "x"}'
	refused 'linux.intelRdt' oci create --bundle "$B" bad
	plan '.root.path = "missing"'
	refused 'root.path: missing' oci create --bundle "$B" bad
	rm "$B/config.json"
	refused 'config.json' oci create --bundle "$B" bad
	refused 'only letters' oci create --bundle "$B" ../bad
	refused 'needs at least 1 argument' oci create
	plan '.linux.devices = [{path: "/etc/text", type: "c", major: 1, minor: 3}]'
	refused 'device /etc/text: File exists' oci create --bundle "$B" bad
	plan '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/no/such", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}'
	refused 'linux.seccomp.listenerPath: failed to connect with seccomp agent /no/such' oci create --bundle "$B" bad
	plan '.linux.namespaces[0].path = "/proc/self/ns/uts"'
	refused 'another kind' oci create --bundle "$B" bad
	plan 'del(.process)'
	refused 'process: is required' oci run --bundle "$B" bad
	local command
	for command in state start kill delete; do
		refused 'needs at least 1 argument' oci "$command"
		refused 'container "nobody" does not exist' oci "$command" nobody
	done
	equal '' "$(oci list -q)"
	equal '' "$(leftovers)"
}

@test "a plan without a process is created, entered with a plan of one, and not started" {
	plan 'del(.process) | .hooks = {poststop: [{path: "/bin/sh", args: ["sh", "-c", "cat >>'"$STORE"'/stopped"]}]}'
	created p
	equal created "$(status_of p)"
	refused 'no process to begin with' oci exec p true
	echo '{"cwd": "/", "args": ["/bin/echo", "entered"], "user": {"uid": 0, "gid": 0}}' >"$STORE/process"
	run -0 oci exec --process "$STORE/process" p
	equal entered "$output"
	refused 'process: is required to start' oci start p
	equal stopped "$(status_of p)"
	refused 'cannot start a container that has stopped' oci start p
	oci delete p
	equal p "$(jq -r .id "$STORE/stopped")"
}

@test "the environment is as the plan says: namespaces, mounts in order, devices, limits; what it leaves out is the caller's" {
	mkdir -p "$B/one" "$B/two"
	echo one >"$B/one/file"
	echo two >"$B/two/file"
	# Two mounts in one place, the second is seen; a destination of old tools; a source of the bundle; properties of a
	# later version, a size without a terminal.
	program 'for n in uts ipc net; do readlink /proc/self/ns/$n; done; cat /proc/self/oom_score_adj /in/order/file
		ulimit -Sn; ulimit -Hn; umask; id -G; stat -c "%t:%T %a %u:%g" /opt/zero; head -c 3 /opt/zero | wc -c; head -c 1 /opt/null
		for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; readlink /dev/ptmx
		test -e /dev/console && echo console; touch /x || echo root; uname -n; cat /proc/sys/kernel/domainname' \
		".root.readonly = true | .hostname = \"told\" | .domainname = \"a.test\" | .later = {a: 1} | .linux.later = [] | .process.later = 0
		| .process.consoleSize = {height: 70000, width: 70000} | .process.rlimits = [{type: \"RLIMIT_NOFILE\", soft: 77, hard: 99}]
		| .process.user = {uid: 0, gid: 0, umask: 63, additionalGids: [5, 6]} | .process.oomScoreAdj = null
		| .linux.namespaces |= [.[] | select(.type != \"ipc\") | if .type == \"network\" then .path = \"/proc/self/ns/net\" else . end]
		| .mounts += [{destination: \"in/order\", source: \"one\", options: [\"bind\"]}, {destination: \"/in/order\", type: \"none\", source: \"$B/two\", options: [\"rbind\"]}]
		| .linux.devices = [{path: \"/opt/zero\", type: \"c\", major: 1, minor: 5, fileMode: 420, uid: 7, gid: 8}, {path: \"/opt/null\", type: \"u\", major: 1, minor: 3}]"
	run -0 --separate-stderr oci run --bundle "$B" told
	lacks "${lines[0]}" "$(readlink /proc/self/ns/uts)"
	equal "$(readlink /proc/self/ns/ipc; readlink /proc/self/ns/net; cat /proc/self/oom_score_adj)" "$(sed -n 2,4p <<<"$output")"
	equal "$(printf '%s\n' two 77 99 0077 '0 5 6' '1:5 644 7:8' 3 pts/ptmx root told a.test)" "$(sed 1,4d <<<"$output")"
	rm -r "$B/rootfs/in" "$B/rootfs/opt"
}

@test "what a plan leaves out is made: the working directory, HOME; unknown capabilities are warned of" {
	plan '.process.cwd = "/not/there" | .process.args = ["sh", "-c", "pwd; echo $HOME; grep CapBnd /proc/self/status"] | .process.env = ["PATH=/bin"]
		| .process.capabilities = {bounding: ["CAP_KILL", "UNKNOWN_CAP"]}'
	run -0 --separate-stderr oci run --bundle "$B" made
	equal "$(printf '/not/there\n%s\nCapBnd:\t%016x' "$(awk -F: '$1 == "root" { print $6 }' "$B/rootfs/etc/passwd")" 32)" "$output"
	contains "$stderr" "'UNKNOWN_CAP' is not a capability"
	# In a root that is read-only for the program too.
	plan '.process.cwd = "/nor/here" | .process.args = ["sh", "-c", "pwd; touch x || echo read-only"] | .root.readonly = true'
	run -0 --separate-stderr oci run --bundle "$B" made
	equal "$(printf '/nor/here\nread-only')" "$output"
	rm -r "$B/rootfs/not" "$B/rootfs/nor"
}

@test "a read-only /dev is filled before it becomes so; signal 0 asks whether a container is there" {
	program 'grep " /dev tmpfs ro," /proc/mounts && echo >/dev/null && ! touch /dev/x && test -d /dev/pts' \
		'(.mounts[] | select(.destination == "/dev") | .options) += ["ro"]'
	run -0 oci run --bundle "$B" ro
	waiting z
	oci kill z 0
	oci delete -f z
	refused 'does not exist' oci kill z 0
}

@test "errors go to the log as JSON for callers that parse them" {
	run -1 oci --log "$STORE/log" --log-format json state nosuch
	equal 'container "nosuch" does not exist' "$(jq -r 'select(.level == "error") | .msg' "$STORE/log")"
	matches '^[0-9]{4}-' "$(jq -r .time "$STORE/log")"
	run -1 oci --log "file:$STORE/named" state nosuch
	contains "$(cat "$STORE/named")" 'does not exist'
	refused 'to files alone' oci --log syslog:x state nosuch
	refused 'systemd is not driven' oci --systemd-cgroup list
	refused 'systemd is not driven' oci --cgroup-manager systemd list
	contains "$(oci --version)" 'spec: 1.2.0'
}

@test "changes of config.json after create have no effect" {
	program 'echo first'
	created frozen
	program 'echo second'
	oci start frozen
	until_true 10 grep -q first "$STORE/out"
	lacks "$(cat "$STORE/out")" second
}

@test "hooks run in their order, places and states; what they are told" {
	cat >"$STORE/hook" <<-EOF
		#!/bin/sh
		read -r state
		where=container
		[ "\$(readlink /proc/self/ns/uts)" != "$(readlink /proc/self/ns/uts)" ] || where=host
		echo "\$1 \$(echo "\$state" | jq -r '.status + " " + .id + " " + .bundle') ENV=\$HOOK \$where" >>$STORE/hooks
	EOF
	chmod +x "$STORE/hook"
	local hook
	hook()
	{
		echo "[{\"path\": \"$STORE/hook\", \"args\": [\"hook\", \"$1\"], \"env\": [\"HOOK=$1\", \"PATH=$PATH\"]}]"
	}
	program 'echo program >>/hooks' ".hooks = {prestart: $(hook prestart), createRuntime: $(hook createRuntime),
		createContainer: $(hook createContainer), poststart: $(hook poststart), poststop: $(hook poststop),
		startContainer: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"read -r s; echo startContainer >>/hooks\"]}]}"
	created h
	oci start h
	until_true 10 status_is h stopped
	oci delete h
	equal "$(printf '%s\n' "prestart creating h $B ENV=prestart host" "createRuntime creating h $B ENV=createRuntime host" \
		"createContainer creating h $B ENV=createContainer container" "poststart running h $B ENV=poststart host" \
		"poststop stopped h $B ENV=poststop host")" "$(cat "$STORE/hooks")"
	equal "$(printf 'startContainer\nprogram')" "$(cat "$B/rootfs/hooks")"
}

@test "startContainer hooks have the rights of the program, and no others" {
	local show='grep -E "^(Uid|Groups|CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; umask; mkdir /tmp/made 2>&1; true'
	# pidfd_open: what waits for the hook does without where the profile refuses it.
	local profile='.process.user = {uid: 1000, gid: 1000, umask: 63, additionalGids: [7]} | .process.capabilities |= map_values(["CAP_KILL"]) |
		.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28},
			{names: ["pidfd_open"], action: "SCMP_ACT_ERRNO", errnoRet: 38}]}'
	mkdir -p "$B/rootfs/tmp" && chmod 1777 "$B/rootfs/tmp"
	local nnp
	for nnp in true false; do
		program "($show) >/tmp/program" "$profile | .process.noNewPrivileges = $nnp |
			.hooks = {startContainer: [{path: \"/bin/sh\", timeout: 20, args: [\"sh\", \"-c\", $(jq -n --arg t "($show) >/tmp/hook" '$t')]}]}"
		run -0 oci run --bundle "$B" h
		contains "$(cat "$B/rootfs/tmp/hook")" 'No space left on device'
		contains "$(cat "$B/rootfs/tmp/hook")" "CapBnd:	0000000000000020"
		equal "$(cat "$B/rootfs/tmp/program")" "$(cat "$B/rootfs/tmp/hook")"
		rm "$B/rootfs/tmp/"*
	done
	# Not even as the container's root they read the memory of the engine's child that waits for them.
	program 'echo program' "$profile | .process.user = {uid: 0, gid: 0} |
		.hooks = {startContainer: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"! cat /proc/1/maps /proc/1/environ >/tmp/stolen 2>/dev/null\"]}]}"
	run -0 oci run --bundle "$B" h
	equal program "$output"
	[ -e "$B/rootfs/tmp/stolen" ] && [ ! -s "$B/rootfs/tmp/stolen" ]
	# One that does not end is killed without a pidfd too, and a failure is told.
	program 'echo never' "$profile | .hooks = {startContainer: [{path: \"/bin/sleep\", timeout: 1, args: [\"sleep\", \"100\"]}]}"
	refused 'startContainer hook /bin/sleep: did not end within 1 s and was killed' oci run --bundle "$B" h
	program 'echo never' "$profile | .hooks = {startContainer: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"mkdir /tmp/made\"]}]}"
	refused "startContainer hook /bin/sh: exit code 1: mkdir: can't create directory '/tmp/made': No space left on device" oci run --bundle "$B" h
}

@test "hooks of create see the container's mounts, and what they mount below its root is there" {
	echo mounted >"$STORE/file"
	mkdir -p "$B/rootfs/one" "$B/rootfs/two"
	touch "$B/rootfs/one/file" "$B/rootfs/two/file"
	cat >"$STORE/hook" <<-EOF
		#!/bin/sh
		read -r state
		pid=\$(echo "\$state" | jq -r .pid)
		case \$1 in
		createRuntime)
			grep -c " $B/rootfs/dev/pts .* devpts " "/proc/\$pid/mountinfo" >"$STORE/pts"
			nsenter -t "\$pid" -m mount --bind "$STORE/file" "$B/rootfs/one/file"
			;;
		createContainer) mount --bind "$STORE/file" "$B/rootfs/two/file" ;;
		esac
	EOF
	chmod +x "$STORE/hook"
	hook() { echo "[{\"path\": \"$STORE/hook\", \"args\": [\"hook\", \"$1\"], \"env\": [\"PATH=$PATH\"]}]"; }
	program 'cat /one/file /two/file' ".hooks = {createRuntime: $(hook createRuntime), createContainer: $(hook createContainer)}"
	run -0 oci run --bundle "$B" h
	equal "$(printf 'mounted\nmounted')" "$output"
	equal 1 "$(cat "$STORE/pts")"
	[ ! -s "$B/rootfs/one/file" ]
	run -0 oci run --no-pivot --bundle "$B" h
	equal "$(printf 'mounted\nmounted')" "$output"
	rm -r "$B/rootfs/one" "$B/rootfs/two"
}

@test "a failing hook stops create, and poststop answers; a failing poststart or poststop does not" {
	local stage
	for stage in prestart createRuntime createContainer; do
		program 'echo never' ".hooks = {$stage: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"echo why >&2; exit 3\"]}],
			poststop: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"echo $stage >>$STORE/stopped\"]}]}"
		refused "$stage hook /bin/sh: exit code 3: why" oci create --bundle "$B" f
	done
	equal "$(printf 'prestart\ncreateRuntime\ncreateContainer')" "$(cat "$STORE/stopped")"
	program 'echo never' ".hooks = {startContainer: [{path: \"/bin/false\"}],
		poststop: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"echo startContainer >>$STORE/stopped\"]}]}"
	created f
	refused 'startContainer hook /bin/false' oci start f
	refused 'does not exist' oci state f
	refused 'startContainer hook /bin/false' oci run --bundle "$B" f
	refused 'does not exist' oci state f
	equal "$(printf 'startContainer\nstartContainer')" "$(tail -n +4 "$STORE/stopped")"
	program 'sleep 100' '.hooks = {poststart: [{path: "/bin/false"}], poststop: [{path: "/bin/false"}]}'
	created f
	run -0 --separate-stderr oci start f
	contains "$stderr" 'poststart hook /bin/false: exit code 1'
	equal running "$(status_of f)"
	run -0 --separate-stderr oci delete -f f
	contains "$stderr" 'poststop hook /bin/false: exit code 1'
	program 'true' '.hooks = {prestart: [{path: "/bin/sh", args: ["sh", "-c", "sleep 100 & sleep 100"], timeout: 1}]}'
	refused 'did not end within 1 s' oci create --bundle "$B" slow
	run ! pgrep -f '^sleep 100$'
}

@test "exec: code, user, environment, directory, capabilities, groups" {
	waiting e
	run -3 oci exec e sh -c 'exit 3'
	equal 1000:100 "$(oci exec --user 1000:100 e sh -c 'echo $(id -u):$(id -g)')"
	equal 1 "$(oci exec --user 1 e id -u)"
	refused 'expected UID' oci exec --user 1x e id
	refused 'expected UID' oci exec --user 4294967295 e id
	equal value "$(oci exec --env NAME=value e sh -c 'echo $NAME')"
	# HOME by the container's own passwd, unless the plan has it.
	run -0 oci exec --user 0:0 e sh -c 'test "$HOME" = "$(grep ^root: /etc/passwd | cut -d : -f 6)"'
	equal /given "$(oci exec --env HOME=/given e sh -c 'echo $HOME')"
	equal /data "$(oci exec --cwd /data e pwd)"
	contains "$(oci exec -g 7,8 e id -G)" '7 8'
	lacks "$(oci exec e grep CapEff /proc/self/status)" "$(oci exec --cap CAP_SYS_PTRACE e grep CapEff /proc/self/status)"
	matches 'CapInh:.0+$' "$(oci exec --cap SYS_PTRACE e grep CapInh /proc/self/status)"
	matches 'NoNewPrivs:.1' "$(oci exec --no-new-privs e grep NoNewPrivs /proc/self/status)"
	refused "'nosuch' not found" oci exec e nosuch
	refused 'SELinux' oci exec --process-label system_u:system_r:x_t:s0 e true
	oci exec --detach --pid-file "$STORE/pid" e sleep 50 </dev/null >/dev/null 2>&1 3>&-
	contains " $(oci ps --format json e | jq -r 'join(" ")') " " $(cat "$STORE/pid") "
	echo '{"args": ["sh", "-c", "echo $X; exit 4"], "cwd": "/", "env": ["X=file", "PATH=/bin"]}' >"$STORE/process"
	run -4 oci exec --process "$STORE/process" e
	equal file "$output"
	contains "$(oci ps e)" sleep
	oci exec e sh -c 'kill -TERM 1'
	until_true 10 status_is e stopped
	refused 'container not running' oci exec e true
}

@test "a terminal by the console socket, for create and exec; none without one" {
	program 'tty; stty size; echo done' '.process.terminal = true | .process.consoleSize = {height: 12, width: 34}'
	refused 'give --console-socket' oci create --bundle "$B" t
	need python3
	cat >"$STORE/receive" <<-'EOF'
		import array, os, socket, sys
		s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
		c, _ = s.accept()
		data, extra, _, _ = c.recvmsg(4096, 1024)
		fd = array.array('i', extra[0][2][:4])[0]
		try:
		    while True:
		        b = os.read(fd, 1024)
		        if not b: break
		        os.write(1, b)
		except OSError: pass
	EOF
	timeout 20 python3 "$STORE/receive" "$STORE/tty" >"$STORE/screen" 3>&- &
	until_true 10 test -S "$STORE/tty"
	oci create --bundle "$B" --console-socket "$STORE/tty" t
	oci start t
	wait $!
	equal "$(printf '/dev/pts/0\r\n12 34\r\ndone\r')" "$(cat "$STORE/screen")"
	oci delete t
	waiting t
	refused 'no terminal is asked for' oci exec --console-socket "$STORE/tty" t true
	rm "$STORE/tty"
	timeout 20 python3 "$STORE/receive" "$STORE/tty" >"$STORE/screen" 3>&- &
	until_true 10 test -S "$STORE/tty"
	oci exec --tty --detach --console-socket "$STORE/tty" t tty
	wait $!
	contains "$(cat "$STORE/screen")" /dev/pts/
}

@test "run and exec on the caller's own terminal" {
	program 'tty; echo seen; exit 5' '.process.terminal = true'
	terminal_start "$OCI --root $ROOT run --bundle $B t"
	on_screen seen
	local code=0
	terminal_end || code=$?
	equal 5 $code
	waiting t
	terminal_start "$OCI --root $ROOT exec --tty t sh -c 'echo ready; read x; echo got \$x; exit 6'"
	on_screen ready
	type_keys 'word\r'
	on_screen 'got word'
	code=0
	terminal_end || code=$?
	equal 6 $code
}

@test "pause, resume; exec waits in a paused container when told to" {
	waiting p
	refused 'container not paused' oci resume p
	oci pause p
	equal paused "$(status_of p)"
	refused 'container not running' oci pause p
	refused 'paused' oci exec p true
	refused 'not stopped: paused' oci delete p
	oci resume p
	equal running "$(status_of p)"
	oci pause p
	oci kill p KILL
	until_true 10 status_is p stopped
}

@test "rootfsPropagation: slave takes what the host mounts later, private does not" {
	mount --bind "$B/rootfs" "$B/rootfs"
	mount --make-shared "$B/rootfs"
	local mode
	for mode in slave private; do
		waiting r ".linux.rootfsPropagation = \"$mode\""
		mount -t tmpfs later "$B/rootfs/mnt"
		if [ $mode = slave ]; then
			contains "$(oci exec r cat /proc/self/mountinfo)" 'master:'
			contains "$(oci exec r cat /proc/mounts)" '/mnt tmpfs'
		else
			lacks "$(oci exec r cat /proc/self/mountinfo)" 'master:'
			lacks "$(oci exec r cat /proc/mounts)" '/mnt tmpfs'
		fi
		umount "$B/rootfs/mnt"
		oci delete -f r
	done
	umount "$B/rootfs"
}

@test "kill --all and delete reach all processes, with the host's pid namespace too" {
	waiting a 'del(.linux.namespaces[] | select(.type == "pid"))'
	oci exec --detach a sleep 77 </dev/null >/dev/null 2>&1 3>&-
	[ "$(oci ps --format json a | jq length)" -ge 2 ]
	oci kill --all a KILL
	until_true 10 status_is a stopped
	oci kill --all a 0
	refused 'container not running' oci kill a 0
	none_left() { [ "$(oci ps --format json a)" = '[]' ]; }
	until_true 10 none_left
}

@test "cgroupsPath: absolute, relative and none; the group goes with the container" {
	waiting c '.linux.cgroupsPath = "/oci-test/abs"'
	[ -d "$CGROUP/oci-test/abs" ]
	oci delete -f c
	[ ! -d "$CGROUP/oci-test/abs" ]
	rmdir "$CGROUP/oci-test"
	waiting c '.linux.cgroupsPath = "relative"'
	grep -q '0::.*/relative$' "/proc/$(oci state c | jq .pid)/cgroup"
	oci delete -f c
	waiting c
	[ -d "$CGROUP/kist-oci/c" ]
	# exec may name the group, and one below it.
	mkdir "$CGROUP/kist-oci/c/below"
	run -0 oci exec --cgroup / c grep ^0: /proc/self/cgroup
	equal 0::/ "$output"
	run -0 oci exec --cgroup below c grep ^0: /proc/self/cgroup
	equal 0::/below "$output"
	oci delete -f c
	[ ! -d "$CGROUP/kist-oci" ]
}

@test "limits: at create, by update, in events" {
	waiting l
	if has_controller pids; then
		oci update --pids-limit 33 l
		equal 33 "$(cat "$CGROUP/kist-oci/l/pids.max")"
		echo '{"pids": {"limit": 44}}' | oci update --resources - l
		equal 44 "$(cat "$CGROUP/kist-oci/l/pids.max")"
	else
		refused 'pids' oci update --pids-limit 33 l
		refused 'pids' oci update --resources - l <<<'{"pids": {"limit": 44}}'
	fi
	refused 'cgroup v2 has no such limit' oci update --cpu-rt-period 5 l
	refused 'Intel RDT is not driven' oci update --l3-cache-schema L3:0=f l
	refused 'Intel RDT is not driven' oci update --mem-bw-schema MB:0=20 l
	equal stats "$(oci events --stats l | jq -r .type)"
	[ "$(oci events --stats l | jq .data.cpu.usage.total)" -ge 0 ]
	[ "$(oci events --stats l | jq .data.pids.current)" -ge 1 ]
	timeout 60 "${OCI%% *}" --root "$ROOT" events --interval 100ms l >"$STORE/events" 3>&- &
	until_true 10 test -s "$STORE/events"
	oci kill l KILL
	wait $!
	oci delete l
	program true '.linux.resources.memory = {limit: 64000000}'
	refused 'limits need a cgroup' oci --cgroup-manager disabled create --bundle "$B" l
	program 'cat /proc/self/cgroup'
	run -0 oci --cgroup-manager disabled run --bundle "$B" l
}

@test "devices of a user namespace: by a path that the host does not have, with their owner" {
	program 'stat -c "%F %t:%T %a %u:%g" /dev/other /opt/more; head -c 3 /dev/other | wc -c; id -u; grep -c devices /proc/mounts' '
		.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}] | .linux.gidMappings = .linux.uidMappings
		| .linux.devices = [{path: "/dev/other", type: "c", major: 1, minor: 5, fileMode: 420, uid: 10, gid: 11}, {path: "/opt/more", type: "b", major: 1, minor: 5}]'
	chmod 0755 "$STORE" "$B" "$B/rootfs"
	chown -R 100000:100000 "$B/rootfs"
	run --separate-stderr oci run --bundle "$B" u
	equal "$(printf 'character special file 1:5 644 10:11\nblock special file 1:5 666 0:0\n3\n0\n2')" "$output"
	rm -r "$B/rootfs/opt"
}

@test "device rules: what the plan denies cannot be opened, the default nodes can" {
	program 'cat /dev/null && head -c 1 /dev/zero >/dev/null && head -c 1 /dev/urandom >/dev/null && echo nodes;
		mknod /mem c 1 1 && echo made; cat /mem 2>&1 | head -c 60' \
		'.process.capabilities.bounding += ["CAP_MKNOD"] | .process.capabilities.effective += ["CAP_MKNOD"]
		| .process.capabilities.permitted += ["CAP_MKNOD"]'
	run oci run --bundle "$B" d
	contains "$output" nodes
	contains "$output" made
	contains "$output" 'Operation not permitted'
}

@test "fds: three and those that are preserved; LISTEN_FDS" {
	program 'ls /proc/self/fd | tr "\n" " "; cat <&3'
	echo passed >"$STORE/file"
	run -0 oci run --preserve-fds 1 --bundle "$B" fd 3<"$STORE/file"
	matches '^0 1 2 3 [0-9]+ ' "$output"
	contains "$output" passed
	refused 'descriptor 9 is not open' oci run --preserve-fds 7 --bundle "$B" fd 3<"$STORE/file" 4<&3 5<&3 6<&3 7<&3 8<&3
	program 'echo $LISTEN_FDS $LISTEN_PID'
	LISTEN_FDS=1 run -0 oci run --bundle "$B" fd 3<"$STORE/file"
	equal '1 1' "$output"
}

@test "the binary is not the host's file: a write through /proc fails" {
	program 'sleep 100' 'del(.linux.namespaces[] | select(.type == "pid"))'
	created w
	local pid
	pid=$(oci state w | jq .pid)
	[ "$(readlink "/proc/$pid/exe")" != "$(realpath "${OCI%% *}")" ] || ! : 2>/dev/null >>"/proc/$pid/exe"
	run ! sh -c ": >>/proc/$pid/exe"
}

@test "mounts add and remove, in a container that runs; links end inside" {
	waiting m '.process.capabilities = {}'
	mkdir -p "$STORE/given" "$STORE/outside"
	echo given >"$STORE/given/file"
	ln -s "$STORE/outside" "$B/rootfs/way-out"
	jq -n --arg s "$STORE/given" '[{destination:"/added/dir",source:$s,options:["bind","ro"]},{destination:"/added/tmp",type:"tmpfs",source:"t",options:["size=64k"]},
		{destination:"/added/file",type:"bind",source:($s+"/file")},{destination:"/way-out/in",type:"tmpfs"}]' >"$STORE/list"
	oci mounts add m "$STORE/list"
	equal given "$(oci exec m cat /added/dir/file)"
	equal given "$(oci exec m cat /added/file)"
	run ! oci exec m touch /added/dir/x
	contains "$(oci exec m cat /proc/mounts)" '/added/tmp tmpfs rw,relatime,size=64k'
	[ -z "$(ls -A "$STORE/outside")" ]
	oci mounts remove m "$STORE/list"
	lacks "$(oci exec m cat /proc/mounts)" /added
	refused 'not a mount point' oci mounts remove m "$STORE/list"
	# All or none.
	jq '. + [{destination:"/last",source:"/no/such",type:"bind"}]' "$STORE/list" >"$STORE/bad"
	refused /no/such oci mounts add m "$STORE/bad"
	jq '. + [{destination:"/bin/sh/under-a-file",type:"tmpfs"}]' "$STORE/list" >"$STORE/bad"
	refused under-a-file oci mounts add m "$STORE/bad"
	lacks "$(oci exec m cat /proc/mounts)" /added
	for what in '[]' '{}' '[{"source":"/x"}]' '[{"destination":"relative","type":"tmpfs"}]' '[{"destination":"/x","source":"relative","type":"bind"}]' \
		'[{"destination":"/x","type":"tmpfs","options":["tmpcopyup"]}]' '[{"destination":"/x","source":"/tmp","options":["bind","rshared"]}]'; do
		echo "$what" >"$STORE/bad"
		run -1 oci mounts add m "$STORE/bad"
	done
	refused 'does not exist' oci mounts add nobody "$STORE/list"
	oci kill m KILL
	until_true 10 status_is m stopped
	refused 'not running' oci mounts add m "$STORE/list"
	oci delete m
}

@test "spec, features, and what is not supported" {
	(cd "$B" && oci spec && run ! oci spec)
	equal 1.2.0 "$(jq -r .ociVersion "$B/config.json")"
	rm "$B/config.json"
	(cd "$B" && oci spec --rootless)
	contains "$(jq -r '.linux.namespaces[].type' "$B/config.json")" user
	equal 1.2.0 "$(oci features | jq -r .ociVersionMax)"
	equal false "$(oci features | jq .linux.cgroup.v1)"
	refused 'not supported' oci checkpoint x
	refused 'not supported' oci restore x
	refused 'unknown command' oci nonsense
}

@test "kill --regex and delete --regex take all that match" {
	waiting left
	waiting right
	waiting other
	oci kill --regex '^(left|right)$'
	until_true 10 status_is left stopped
	until_true 10 status_is right stopped
	equal running "$(status_of other)"
	# One that cannot be killed is an error, and the others have their turn.
	refused 'container not running' oci kill --regex . KILL
	until_true 10 status_is other stopped
	refused 'not a regular expression' oci kill --regex '(' KILL
	oci delete --regex .
	equal '' "$(oci list -q)"
	program 'true'
	created --no-subreaper one
	created two
	created other
	oci delete --regex '^(one|two)$'
	equal other "$(oci list -q)"
}

@test "twenty containers at once" {
	program 'exit 9'
	local i bad=0 job code jobs=()
	for i in $(seq 20); do
		$OCI --root "$ROOT" run --bundle "$B" "m$i" </dev/null 3>&- &
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do
		code=0
		wait "$job" || code=$?
		[ "$code" -eq 9 ] || bad=$((bad + 1))
	done
	equal 0 "$bad" 'wrong exit codes'
}

# --- under other engines --------------------------------------------------------------------------------------------

podman_on_oci()
{
	timeout 60 podman --log-level error --runtime "$OCI" --cgroup-manager cgroupfs --storage-driver overlay \
		--root "$STORE/podman" --runroot "$STORE/podman-run" --tmpdir "$STORE/podman-tmp" "$@"
}

@test "Debian's podman runs, execs, attaches, pauses, updates, health-checks, stops and removes containers and pods on it" {
	command -v podman >/dev/null || skip 'podman is not installed'
	printf '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\npids_limit = 0\n' >"$STORE/conf"
	export CONTAINERS_CONF=$STORE/conf
	mount --bind "$STORE" "$STORE"
	podman_on_oci import "$E2E_CACHE/busybox.tar" busybox >/dev/null 2>&1
	run --separate-stderr -7 podman_on_oci run --rm --network none busybox sh -c 'echo hi; exit 7'
	equal hi "$output"
	run -127 podman_on_oci run --rm --network none busybox nosuch
	run -126 podman_on_oci run --rm --network none busybox /etc/text
	podman_on_oci run -d --name w --network none busybox sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done' 3>&-
	run -3 podman_on_oci exec w sh -c 'exit 3'
	run -127 podman_on_oci exec w nosuch
	run -4 script -qec "podman --log-level error --runtime $OCI --cgroup-manager cgroupfs --storage-driver overlay --root $STORE/podman --runroot $STORE/podman-run --tmpdir $STORE/podman-tmp exec -it w sh -c 'tty; exit 4'" /dev/null
	contains "$output" /dev/pts/
	contains "$(podman_on_oci logs w)" up
	podman_on_oci pause w
	equal paused "$(podman_on_oci inspect --format '{{.State.Status}}' w)"
	podman_on_oci unpause w
	if has_controller cpu; then
		podman_on_oci update --cpus 0.5 w >/dev/null
		equal '50000 100000' "$(podman_on_oci exec w cat /sys/fs/cgroup/cpu.max)"
	fi
	podman_on_oci stop -t 10 w
	equal 0 "$(podman_on_oci inspect --format '{{.State.ExitCode}}' w)"
	podman_on_oci start w 3>&-
	podman_on_oci kill w
	equal 137 "$(podman_on_oci wait w)"
	podman_on_oci rm -f w
	run -0 script -qec "podman --log-level error --runtime $OCI --cgroup-manager cgroupfs --storage-driver overlay --root $STORE/podman --runroot $STORE/podman-run --tmpdir $STORE/podman-tmp run --rm -it --network none busybox tty" /dev/null
	contains "$output" /dev/pts/0
	podman_on_oci run -di --name a --network none busybox sh -c 'read line; echo "got $line"; exit 5' 3>&-
	# What comes back at once depends on which end closes first; that it arrived does not.
	podman_on_oci attach a <<<hello || true
	equal 5 "$(podman_on_oci wait a)"
	contains "$(podman_on_oci logs a)" 'got hello'
	podman_on_oci run -d --name h --network none --health-cmd 'test -e /tmp/well' --health-interval disable busybox sleep 100 3>&-
	run -1 podman_on_oci healthcheck run h
	podman_on_oci exec h touch /tmp/well
	run -0 podman_on_oci healthcheck run h
	podman_on_oci rm -f -t 0 a h
	podman_on_oci pod create --name p --network none 3>&-
	podman_on_oci run -d --pod p --name q busybox sleep 100 3>&-
	equal Running "$(podman_on_oci pod inspect --format '{{.State}}' p)"
	podman_on_oci exec q true
	podman_on_oci pod stop -t 0 p
	podman_on_oci pod rm -f p
	podman_on_oci rm -fa -t 0
	# Its monitors call it once more for each container that ended, and that call mounts its store again.
	podman_gone() { [ -z "$(find /proc/[0-9]*/exe -maxdepth 0 \( -lname '*/podman' -o -lname '*/conmon' \) 2>/dev/null)" ]; }
	until_true 30 podman_gone
	grep -oE " $STORE/podman[^ ]*" /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
	umount -l "$STORE"
	ls "$CGROUP"/libpod_parent >/dev/null 2>&1 && find "$CGROUP/libpod_parent" -depth -type d -exec rmdir {} + 2>/dev/null
	rm -rf /run/kist-oci
}

@test "Debian's containerd runs, execs, pauses, kills and removes tasks on it" {
	command -v containerd ctr >/dev/null || skip 'containerd is not installed'
	local W=$STORE/c
	mkdir -p "$W"
	# Its shims keep their sockets and the runtime's state below /run.
	mount -t tmpfs tmpfs /run
	cat >"$W/config.toml" <<-EOF
		version = 2
		root = "$W/root"
		state = "$W/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
			"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
		[grpc]
		  address = "$W/sock"
		[ttrpc]
		  address = "$W/sock.ttrpc"
	EOF
	containerd -c "$W/config.toml" >"$W/log" 2>&1 3>&- &
	local daemon=$!
	ctr_() { timeout 60 ctr -a "$W/sock" "$@"; }
	until_true 20 ctr_ version >/dev/null 2>&1 || { cat "$W/log"; fail 'containerd does not answer'; }
	run -7 ctr_ run --rm --runc-binary "$OCI" --rootfs "$B/rootfs" one sh -c 'echo hi; exit 7'
	contains "$output" hi
	run -1 ctr_ run --rm --runc-binary "$OCI" --rootfs "$B/rootfs" two nosuch
	contains "$output" "executable file 'nosuch' not found"
	ctr_ run -d --runc-binary "$OCI" --rootfs "$B/rootfs" t sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' 3>&-
	run -3 ctr_ task exec --exec-id e1 t sh -c 'exit 3'
	run -4 script -qec "ctr -a $W/sock task exec -t --exec-id e2 t sh -c 'tty; exit 4'" /dev/null
	contains "$output" /dev/pts/
	contains "$(ctr_ task metrics t)" pids
	ctr_ task exec --detach --exec-id e3 t sleep 77
	contains "$(ctr_ task ps t)" e3
	ctr_ task pause t
	contains "$(ctr_ task ls)" PAUSED
	ctr_ task resume t
	contains "$(ctr_ task ps t)" "$(ctr_ task ls | awk '$1 == "t" { print $2 }')"
	ctr_ task kill t
	stopped() { ctr_ task ls | grep -q STOPPED; }
	until_true 10 stopped
	ctr_ task rm t
	ctr_ container rm t
	# A root and a group of its own, removed while it runs; limits.
	ctr_ run -d --runc-binary "$OCI" --read-only --cgroup /ctr-test/u --rootfs "$B/rootfs" u sleep 100 3>&-
	run -1 ctr_ task exec --exec-id e4 u touch /x
	contains "$(ctr_ task exec --exec-id e5 u cat /proc/1/cgroup)" ctr-test
	[ -d "$CGROUP/ctr-test/u" ]
	ctr_ task rm --force u
	ctr_ container rm u
	[ ! -d "$CGROUP/ctr-test/u" ]
	if has_controller memory; then
		run -0 ctr_ run --rm --runc-binary "$OCI" --memory-limit 67108864 --rootfs "$B/rootfs" l cat /sys/fs/cgroup/memory.max
		equal 67108864 "$output"
	fi
	rmdir "$CGROUP/ctr-test"
	run -0 ctr_ run --rm --runc-binary "$OCI" --env A=b --cwd /data --rootfs "$B/rootfs" v sh -c 'echo $A; pwd'
	equal "$(printf 'b\n/data')" "$output"
	kill $daemon
	wait $daemon || true
	umount -l /run
	find "$CGROUP/default" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
