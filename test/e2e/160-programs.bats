#!/usr/bin/env bats
# Real programs from Debian, in the image that debootstrap made.
load helpers

setup()
{
	setup_store disk
	import_debian
}

# ask PORT TEXT: sends it to the loopback port and prints the answer.
ask()
{
	timeout 20 bash -c 'exec 9<>/dev/tcp/127.0.0.1/$0 && printf "$1" >&9 && cat <&9' "$1" "$2" 2>/dev/null
}

@test "nginx on the host's network answers, and stops by its own signal" {
	kist run -d --name web --network host --stop-signal QUIT --stop-timeout 100 debian \
		sh -c 'sed -i "/\[::\]/d;s/listen 80/listen 127.0.0.1:17480/" /etc/nginx/sites-enabled/default; exec nginx -g "daemon off;"' >/dev/null
	answers() { ask 17480 'GET / HTTP/1.0\r\n\r\n' | grep -q 'nginx'; }
	until_true 40 answers || { kist logs web; fail 'no answer'; }
	contains "$(ask 17480 'HEAD / HTTP/1.0\r\n\r\n')" '200 OK'
	local start=$SECONDS
	run -0 kist stop web
	[ $((SECONDS - start)) -lt 90 ]
	equal 0 "$(kist inspect --format '{{.State.ExitCode}}' web)"
	run ! ask 17480 'GET / HTTP/1.0\r\n\r\n'
}

@test "redis keeps what it was given, across a restart" {
	mkdir -p "$STORE/redis"
	chmod 777 "$STORE/redis"
	kist run -d --name db --network host --stop-timeout 100 -u redis -v "$STORE/redis:/var/lib/redis" -w /var/lib/redis debian \
		redis-server --port 17479 --bind 127.0.0.1 --dir /var/lib/redis --appendonly yes >/dev/null
	pong() { ask 17479 'PING\r\nQUIT\r\n' | grep -q PONG; }
	until_true 40 pong || { kist logs db; fail 'no answer'; }
	contains "$(ask 17479 'SET key value\r\nQUIT\r\n')" OK
	run -0 kist exec db redis-cli -p 17479 get key
	equal value "$output"
	local start=$SECONDS
	run -0 kist restart db
	[ $((SECONDS - start)) -lt 90 ]
	until_true 40 pong
	contains "$(ask 17479 'GET key\r\nQUIT\r\n')" value
	run -0 kist stop db
	equal 0 "$(kist inspect --format '{{.State.ExitCode}}' db)"
}

@test "Debian's own tools work inside" {
	run -0 kist run --rm debian sh -c 'dpkg --audit && su -s /bin/sh www-data -c id && perl -e "print 6 * 7, \"\n\"" && ls -l /bin/su'
	contains "$output" 'uid=33(www-data)'
	contains "$output" 42
	matches '^-rwsr-xr-x' "${lines[-1]}"
	run -0 kist run --rm debian sh -c 'mkdir /tmp/d && cd /tmp/d && echo x >f && chown 1:2 f && tar cf - f | tar tvf - && getconf _NPROCESSORS_ONLN && date && bash -c "echo <(true)"'
	run -0 kist run --rm -t debian bash -lc 'tty && echo $HOME'
}

@test "three services at once, then all stopped" {
	local i
	for i in 1 2 3; do
		kist run -d --name "r$i" --network host debian redis-server --port 1748$i --bind 127.0.0.1 --save '' >/dev/null
	done
	for i in 1 2 3; do
		pong() { ask 1748$i 'PING\r\nQUIT\r\n' | grep -q PONG; }
		until_true 40 pong
	done
	equal 3 "$(kist ps -q | wc -l)"
	run -0 kist stop -a
	equal 0 "$(kist ps -q | wc -l)"
}

# Named volumes: what was committed is there after stop, after rm and run, and after kill -9 of the container and of its monitor.

server()
{
	kist run -d --name "$1" --network host -v "$1:/data" -w /data "${@:2}" >/dev/null
}

# Each way in turn; then what was written before it must be read again. by CHECK: starts it anew and waits for it.
ends_of()
{
	local name=$1 anew=$2 wrote=$3 reads=$4 way
	for way in stop kill rm monitor; do
		$wrote "$way"
		case $way in
		stop) kist stop "$name" >/dev/null && kist start "$name" >/dev/null ;;
		kill)
			kist kill -s KILL "$name" >/dev/null
			in_state "$name" exited
			kist start "$name" >/dev/null
			;;
		rm) kist rm -f "$name" >/dev/null && $anew ;;
		monitor)
			kill -9 "$(ps -o ppid= -p "$(pid_of "$name")")"
			kist rm -f "$name" >/dev/null
			$anew
			;;
		esac
		$reads "$way"
	done
	kist rm -f "$name" >/dev/null
	kist volume rm "$name" >/dev/null
}

@test "PostgreSQL in a named volume keeps its data over stop, kill -9, rm and run, a killed monitor" {
	local bin
	bin=$(kist run --rm debian sh -c 'echo /usr/lib/postgresql/*/bin')
	kist run --rm -v pg:/data:U -u postgres debian "$bin/initdb" -D /data/db -A trust --no-locale >/dev/null
	sql() { kist exec -u postgres pg "$bin/psql" -h /tmp -Atc "$1" postgres; }
	anew() { server pg -u postgres debian "$bin/postgres" -D /data/db -k /tmp -c listen_addresses= -c jit=off; }
	ready() { sql 'select 1' >/dev/null 2>&1; }
	wrote() { until_true 30 ready && sql "insert into t values ('$1')" >/dev/null; }
	reads() { until_true 30 ready || { kist logs pg; fail "$1: no answer"; }; equal "$1" "$(sql "select v from t where v = '$1'")" "after $1"; }
	anew
	until_true 30 ready || { kist logs pg; fail 'no answer'; }
	sql 'create table t (v text)' >/dev/null
	ends_of pg anew wrote reads
}

@test "Redis in a named volume keeps its data over stop, kill -9, rm and run, a killed monitor" {
	cli() { kist exec db redis-cli -p 17478 "$@"; }
	anew() { server db -u redis debian redis-server --port 17478 --bind 127.0.0.1 --dir /data --appendonly yes --appendfsync always; }
	ready() { [ "$(cli ping 2>/dev/null)" = PONG ]; }
	wrote() { until_true 30 ready && cli set "$1" "value-$1" >/dev/null; }
	reads() { until_true 30 ready || { kist logs db; fail "$1: no answer"; }; equal "value-$1" "$(cli get "$1")" "after $1"; }
	kist volume create db >/dev/null
	kist run --rm -v db:/data:U -u redis debian true
	anew
	ends_of db anew wrote reads
}
