#!/usr/bin/env bats
# Copying files into and out of containers; the rules are those of podman-cp(1).
load helpers

prepare()
{
	cd "$STORE" || return 1
	mkdir -p d/sub
	echo hi >f
	echo x >d/sub/x
	ln -s x d/sub/l
	ln -s f lf
	ln -s d ld
	chmod 4755 f
	chmod 700 d
	RUNNING=$(sleeper --name run --user 5:6 --workdir /tmp)
	until_true 10 log_has run ready
	kist create --name cre --user 5:6 busybox true >/dev/null
}

inside()
{
	kist exec --user 0 run "$@"
}

@test "a file to a container: new name, directory, replaced, links" {
	prepare
	kist cp f run:/new
	equal '5 6 4755' "$(inside stat -c '%u %g %a' /new)"
	kist cp f run:/etc
	equal hi "$(inside cat /etc/f)"
	kist cp f run:relative
	equal hi "$(inside cat /tmp/relative)"
	inside sh -c 'ln -s /target /dangling; mkdir /q; ln -s /q /lq; echo old >/q/file; ln -s q/file /lfile'
	kist cp f run:/dangling
	equal hi "$(inside cat /target)"
	kist cp f run:/lq
	equal hi "$(inside cat /q/f)"
	kist cp f run:/lfile
	equal hi "$(inside cat /q/file)"
	kist cp lf run:/q
	[ "$(inside readlink /q/lf)" = '' ] || fail 'the link of the host was not followed'
	kist cp -a=false f run:/kept
	equal '0 0' "$(inside stat -c '%u %g' /kept)"
	kist cp f cre:/stopped
	kist cp cre:/stopped back
	cmp f back
	clean_up_containers
}

clean_up_containers()
{
	kist rm -f -t 0 run cre >/dev/null
	clean
}

@test "a directory to a container: missing, there, contents" {
	prepare
	kist cp d run:/missing
	equal x "$(inside cat /missing/sub/x)"
	equal '5 6 700' "$(inside stat -c '%u %g %a' /missing)"
	kist cp d run:/missing
	equal x "$(inside cat /missing/d/sub/x)"
	kist cp d/. run:/contents
	equal x "$(inside cat /contents/sub/l)"
	inside mkdir -m 777 /there
	kist cp d/. run:/there
	equal '0 0 777' "$(inside stat -c '%u %g %a' /there)"
	equal x "$(inside cat /there/sub/x)"
	kist cp ld run:/there
	equal x "$(inside cat /there/ld/sub/x)"
	clean_up_containers
}

@test "from a container to the host" {
	prepare
	kist cp d run:/d
	inside sh -c 'ln -s /d/sub /ls; ln -s /etc/passwd /d/abs'
	kist cp run:/d h1
	equal x "$(cat h1/sub/x)"
	equal '0 0 700' "$(stat -c '%u %g %a' h1)"
	equal /etc/passwd "$(readlink h1/abs)"
	kist cp run:/d h1
	[ -d h1/d/sub ]
	kist cp run:/d/. h2
	equal x "$(cat h2/sub/x)"
	mkdir h3
	kist cp run:/ls h3
	equal sub "$(ls h3)"
	kist cp run:/d/sub/l h3
	equal x "$(cat h3/x)"
	kist cp run:/ whole
	[ -x whole/bin/sh ] && [ ! -e whole/proc ] && [ ! -e whole/dev ]
	clean_up_containers
}

@test "between containers and inside one" {
	prepare
	kist cp d run:/d
	kist cp run:/d cre:/d
	kist cp cre:/d run:/again
	equal x "$(inside cat /again/sub/x)"
	is_podman || kist cp run:/d run:/copy
	is_podman || equal x "$(inside cat /copy/sub/x)"
	kist_only
	engine_error kist cp run:/d run:/d/sub
	contains "$stderr" 'into itself'
	clean_up_containers
}

@test "tar streams both ways" {
	prepare
	tar cf a.tar d
	gzip -k a.tar
	kist cp - run:/tmp <a.tar
	equal x "$(inside cat /tmp/d/sub/x)"
	kist cp - cre:/tmp <a.tar.gz
	equal 'd/ d/sub/ d/sub/l d/sub/x' "$(kist cp cre:/tmp/d - | tar tf - | sed 's,^\(d\|d/sub\)$,&/,' | tr '\n' ' ' | sed 's/ $//')"
	equal x "$(kist cp run:/tmp/d/sub/x - | tar xOf -)"
	equal sub "$(kist cp run:/tmp/d/. - | tar tf - | sed 's,/.*,,' | sort -u)"
	engine_error kist cp - run:/nowhere <a.tar
	engine_error kist cp - run:/etc/passwd <a.tar
	engine_error kist cp - run:/tmp <f
	engine_error kist cp - run:/tmp </dev/null
	clean_up_containers
}

@test "what is refused" {
	prepare
	kist cp d run:/d
	kist cp f run:/f
	local arguments
	for arguments in 'f run:/nodir/' 'f run:/nodir/x' 'f run:/new/.' 'd run:/f' 'run:/d f' 'run:/none f' 'run:/f h/' 'run:/f nd/x' \
		'nof run:/x' 'f nocon:/x' 'nocon:/x f' 'f f' 'f run:' 'f/ run:/x' 'run:/proc/version v' 'run:/dev/null n'; do
		# shellcheck disable=SC2086 # words
		engine_error kist cp $arguments
	done
	[ ! -e h ] && [ ! -e nd ] && [ ! -e v ] && [ ! -e n ]
	clean_up_containers
}

# nodes DIRECTORY: those of a host that no copy may take the place of
nodes()
{
	mkdir "$1"
	mknod "$1/device" c 1 3
	mkfifo "$1/fifo"
	ln -s device "$1/ldevice"
	ln -s fifo "$1/lfifo"
}

@test "devices and FIFOs of the host stay what they are" {
	prepare
	nodes nodes
	local name before
	before=$(stat -c '%n %F %i' nodes/*)
	kist cp f run:/f
	for name in device fifo ldevice lfifo; do
		engine_error kist cp run:/f "nodes/$name"
		contains "$stderr" 'must be a directory or a regular file'
		engine_error kist cp --overwrite cre:/etc/passwd "nodes/$name"
		engine_error kist cp run:/tmp "nodes/$name"
	done
	equal "$before" "$(stat -c '%n %F %i' nodes/*)"
	ln -s nowhere nodes/dangling
	kist cp run:/f nodes/dangling
	equal hi "$(cat nodes/nowhere)"
	# Among the files of a directory too; podman's lose them.
	if ! is_podman; then
		inside sh -c 'mkdir -p /tree; echo x >/tree/device; echo x >/tree/fifo'
		engine_error kist cp run:/tree/. nodes
		contains "$stderr" 'it would replace a'
		equal "$before" "$(stat -c '%n %F %i' nodes/{device,fifo,ldevice,lfifo})"
	fi
	clean_up_containers
}

@test "devices and FIFOs of a container are replaced with --overwrite alone" {
	kist_only
	prepare
	inside mkfifo /fifo
	inside sh -c 'mkdir /in; mkfifo /in/f; ln -s /fifo /lfifo'
	local to
	for to in /dev/null /fifo /lfifo; do
		engine_error kist cp f "run:$to"
		contains "$stderr" '--overwrite'
	done
	engine_error kist cp f run:/in
	contains "$stderr" 'it would replace a FIFO'
	inside sh -c 'test -c /dev/null && test -p /fifo && test -p /in/f'
	# The same again is none.
	mkdir same
	mkfifo same/f
	kist cp same/. run:/in
	inside test -p /in/f
	kist cp --overwrite f run:/fifo
	kist cp --overwrite f run:/in
	equal 'hi hi' "$(inside cat /fifo /in/f | xargs)"
	clean_up_containers
}

@test "--overwrite: directories and other files for each other" {
	prepare
	inside sh -c 'mkdir -p /o/f /o2; touch /o2/d'
	engine_error kist cp f run:/o
	engine_error kist cp d run:/o2
	inside test -d /o/f
	kist cp --overwrite f run:/o
	equal hi "$(inside cat /o/f)"
	kist cp --overwrite d run:/o2
	equal x "$(inside cat /o2/d/sub/x)"
	clean_up_containers
}

@test "mounts: binds and volumes, of running and of stopped containers" {
	kist_only
	cd "$STORE"
	mkdir b ro
	echo bound >b/file
	echo hi >f
	local id
	id=$(sleeper --name run -v "$STORE/b:/b" -v "$STORE/ro:/ro:ro" -v vol:/vol --tmpfs /t)
	until_true 10 log_has run ready
	kist cp f run:/b/in
	kist cp f run:/vol/in
	kist cp f run:/t/in
	equal hi "$(cat b/in)"
	equal hi "$(kist exec run cat /t/in)"
	engine_error kist cp f run:/ro/in
	# A file that is mounted over another is written, not replaced.
	echo '1.2.3.4 name' >hosts
	kist cp hosts run:/etc/hosts
	equal '1.2.3.4 name' "$(kist exec run cat /etc/hosts)"
	kist cp run:/ all
	equal hi "$(cat all/vol/in)"
	equal bound "$(cat all/b/file)"
	kist stop -t 1 run >/dev/null
	kist cp f run:/b/after
	kist cp f run:/vol/after
	equal hi "$(cat b/after)"
	engine_error kist cp f run:/ro/in
	kist cp run:/vol back
	equal 'after in' "$(ls back | tr '\n' ' ' | sed 's/ $//')"
	kist start run >/dev/null
	equal hi "$(kist exec run cat /vol/after)"
	kist rm -f -t 0 run >/dev/null
	kist volume rm vol >/dev/null
	clean
}

@test "a container cannot lead a copy out: links to the host's files" {
	prepare
	mkdir outside
	echo secret >outside/secret
	inside sh -c "ln -s '$STORE/outside/secret' /leak; ln -s '$STORE/outside' /dirleak; ln -s ../../../../../..$STORE/outside /up"
	run kist cp run:/leak got
	run kist cp run:/dirleak got
	run kist cp run:/up/secret got
	[ ! -e got ]
	run kist cp f run:/leak
	run kist cp f run:/dirleak/in
	run kist cp f run:/up/in
	run kist cp d run:/dirleak
	equal secret "$(cat outside/secret)"
	equal secret "$(ls outside)"
	kist stop -t 0 run >/dev/null
	run kist cp run:/leak got
	run kist cp run:/up/secret got
	run kist cp f run:/dirleak/in
	[ ! -e got ]
	equal secret "$(ls outside)"
	# An archive out of a container that would leave its directory: names and links are resolved in the destination.
	mkdir -p evil && ln -s "$STORE/outside" evil/l
	tar cf evil.tar -P evil/l --transform 's,^evil/l,l,' && mkdir l2 && echo bad >l2/owned
	tar rf evil.tar --transform 's,^l2,l,' l2/owned
	run kist cp - run:/tmp <evil.tar
	equal secret "$(ls outside)"
	clean_up_containers
}

@test "a container cannot lead a copy out: a process swaps links meanwhile" {
	prepare
	mkdir -p outside
	echo secret >outside/secret
	inside sh -c 'mkdir -p /race/real; echo own >/race/real/secret'
	kist exec -d --user 0 run sh -c "cd /race; ln -s '$STORE/outside' link; while :; do mv real a; mv link real; mv real link; mv a real; done"
	local i
	for ((i = 0; i < 60; i++)); do
		rm -rf got
		kist cp run:/race/real/secret got >/dev/null 2>&1 || true
		[ ! -e got ] || [ "$(cat got)" = own ] || fail 'a file of the host came out'
		kist cp f run:/race/real/put >/dev/null 2>&1 || true
		kist cp d run:/race/real >/dev/null 2>&1 || true
		equal secret "$(ls outside)"
	done
	clean_up_containers
}

@test "killed at any moment, a copy leaves no mount and no process" {
	kist_only
	prepare
	dd if=/dev/zero of=big bs=1M count=64 2>/dev/null
	local i
	for ((i = 1; i <= 20; i++)); do
		# shellcheck disable=SC2046 # a command line
		timeout -s KILL "0.0$((i * 4 % 9 + 1))" $(kist_command) cp big cre:/big >/dev/null 2>&1 || true
	done
	kist cp f cre:/fine
	kist start cre >/dev/null
	clean_up_containers
}
