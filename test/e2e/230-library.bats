# libkist as 'make install' leaves it, and the example program, compiled against nothing else.
load helpers

setup_file()
{
	top=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	TREE=$E2E_WORK/tree
	export TREE
	[ -e "$top/build/libkist.a" ] || return 0
	[[ ${KIST##*/} == kist ]] || return 0
	make -s -C "$top" install-lib "DESTDIR=$TREE" PREFIX=/usr/local >&2 || return 1
	export PKG_CONFIG_PATH=$TREE/usr/local/lib/pkgconfig
	mkdir "$TREE/bin"
	# shellcheck disable=SC2046 # flags are words
	cc -Wall -Wextra -Werror -o "$TREE/bin/shared" "$top/contrib/example.c" $(pkg-config --cflags --libs libkist) || return 1
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror -o "$TREE/bin/api" "$BATS_TEST_DIRNAME/api.c" $(pkg-config --cflags --libs libkist) || return 1
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror -o "$TREE/bin/static" "$top/contrib/example.c" $(pkg-config --cflags libkist) \
		"$TREE/usr/local/lib/libkist.a" $(pkg-config --static --libs libkist | sed 's/-lkist//') || return 1
}

teardown_file()
{
	rm -rf "$TREE"
}

setup()
{
	kist_only
	if [ ! -d "$TREE" ]; then
		[ -n "${KIST_TEST_FULL:-}" ] && fail 'no library: make lib'
		skip 'no library: make lib'
	fi
	setup_store
	export KIST_BINARY=$KIST KIST_ROOT=$ROOT KIST_RUNROOT=$RUNROOT LD_LIBRARY_PATH=$TREE/usr/local/lib
}

@test "library: the example runs a container by the shared and by the static library, and leaves nothing" {
	local example
	for example in shared static; do
		run -7 --separate-stderr "$TREE/bin/$example" busybox sh -c 'echo out; echo err >&2; exit 7'
		equal 'out' "$output" "$example"
		contains "$stderr" 'err'
		contains "$stderr" 'is exited'
		equal '' "$(kist ps -aq)"
		run -125 --separate-stderr "$TREE/bin/$example" no-such-image true
		contains "$stderr" 'no-such-image'
		clean
	done
}

@test "library: without the kist program, or with another than it is, a start fails, says why, and leaves nothing" {
	run -125 --separate-stderr env -u KIST_BINARY "$TREE/bin/shared" busybox true
	contains "$stderr" '/usr/local/bin/kist'
	contains "$stderr" 'KIST_BINARY'
	run -125 --separate-stderr env KIST_BINARY=/bin/false "$TREE/bin/shared" busybox true
	contains "$stderr" 'start'
	clean
}

@test "library: it shows what kist.h declares and nothing else; each header compiles alone" {
	local header
	equal '' "$(nm -D --defined-only "$TREE/usr/local/lib/libkist.so" | awk '{ print $3 }' | grep -v -e '^kist_' -e '^LIBKIST_0$')"
	equal '' "$(nm --defined-only --extern-only "$TREE/usr/local/lib/libkist.a" | awk 'NF == 3 { print $3 }' | grep -v '^kist_')"
	equal 'libkist.so.0' "$(readelf -d "$TREE/usr/local/lib/libkist.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
	for header in "$TREE/usr/local/include/kist"/*.h; do
		echo "#include <kist/${header##*/}>" >"$STORE/one.c"
		cc -Wall -Wextra -Werror -I"$TREE/usr/local/include" -fsyntax-only "$STORE/one.c"
	done
	# Every function of kist.h is there.
	cat "$TREE/usr/local/include/kist"/{kist*,oci}.h | sed -nE 's/.*[ *](kist_[a-z0-9_]+)\(.*/\1/p' | sort -u >"$STORE/declared"
	nm -D --defined-only "$TREE/usr/local/lib/libkist.so" | awk '{ sub("@.*", "", $3); print $3 }' | sort -u >"$STORE/shown"
	equal '' "$(comm -23 "$STORE/declared" "$STORE/shown")" 'declared and missing'
}

no_sessions()
{
	! compgen -G "$RUNROOT/containers/*/exec" >/dev/null
}

@test "library: exec sessions are recorded, found, waited for, resized, stopped and forgotten, and end with their container" {
	kist run -d --name c busybox sleep 1000 >/dev/null
	"$TREE/bin/api" exec c
	equal '44 99' "$(kist exec c cat /size)" "the terminal's size"
	# One that runs is left; attached ones leave no record.
	equal 1 "$(kist inspect --format '{{len .ExecIDs}}' c)"
	pgrep -f 'sleep 1000' >/dev/null
	run -3 kist exec c sh -c 'exit 3'
	ls "$RUNROOT"/containers/*/exec >"$STORE/sessions"
	equal 2 "$(wc -l <"$STORE/sessions")" 'records: one that ended, one that runs'
	kist stop -t 0 c >/dev/null
	no_sleep() { ! pgrep -f 'sleep 1000' >/dev/null; }
	until_true 10 no_sleep || fail 'a session outlives its container'
	equal '[]' "$(kist inspect --format '{{.ExecIDs}}' c)"
	no_sessions
	# The monitor killed: neither process nor record is left.
	kist start c >/dev/null
	kist exec -d c sleep 1001 >/dev/null
	kill -9 "$(awk '/^PPid:/ { print $2 }' "/proc/$(pid_of c)/status")"
	in_state c exited
	no_other() { ! pgrep -f 'sleep 1001' >/dev/null; }
	until_true 10 no_other || fail 'a session outlives the monitor'
	no_sessions
}

@test "install: pages of all commands, completions, service files, the library; uninstall leaves nothing" {
	local top=$BATS_TEST_DIRNAME/../.. tree=$STORE/tree page file
	[ "$(realpath "$KIST")" = "$(realpath "$top/build/static/kist")" ] || skip 'another program is tested'
	make -s -C "$top" install "DESTDIR=$tree" PREFIX=/usr/local >&2
	matches '^kist version' "$("$tree/usr/local/bin/kist" --version)"
	matches 'kist-oci' "$("$tree/usr/local/bin/kist-oci" --version | head -n 1)"
	for page in "$top"/man/*.[1-9] "$top"/man/*.in; do
		file=$(basename "${page%.in}")
		[ -s "$tree/usr/local/share/man/man${file##*.}/$file" ] || fail "no page $file"
	done
	# Every command has one.
	commands() { "$KIST" "$@" --help | sed -n '/^Available Commands:/,/^Options:/s/^  \([a-z]*\) .*/\1/p'; }
	[ "$(commands | wc -l)" -gt 50 ]
	for page in $(commands); do
		[ -e "$tree/usr/local/share/man/man1/kist-$page.1" ] || fail "no page of kist $page"
		for file in $(commands "$page"); do
			compgen -G "$tree/usr/local/share/man/man1/kist-$page-$file.1" >/dev/null ||
				[ -e "$tree/usr/local/share/man/man1/kist-$file.1" ] ||
				contains "$(cat "$tree"/usr/local/share/man/man1/*.1)" "kist $page $file"
		done
	done
	bash -n "$tree/usr/local/share/bash-completion/completions/kist"
	[ -s "$tree/usr/local/share/zsh/site-functions/_kist" ] && [ -s "$tree/usr/local/share/fish/vendor_completions.d/kist.fish" ]
	equal '' "$(diff -r "$top/contrib/init" "$tree/usr/local/share/doc/kist/init")"
	[ -x "$tree/usr/local/share/doc/kist/init/sysvinit/kist" ]
	[ -e "$tree/usr/local/include/kist/oci.h" ] && [ -e "$tree/usr/local/lib/libkist.so" ]
	make -s -C "$top" uninstall "DESTDIR=$tree" PREFIX=/usr/local >&2
	equal '' "$(find "$tree" ! -type d)"
}
