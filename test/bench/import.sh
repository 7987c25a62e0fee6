#!/bin/bash
# Part of 'make bench': an image of a whole distribution into the store, beside what 'tar -x' of the same archive takes, both
# until it is on the disk. ARCHIVE=FILE.tar (default: the tests' Debian image, else 300 MB that are made up), IMPORT_ROUNDS (3).
# IMPORT_DIRECTORY (/var/tmp) is where. FILE.tar.gz and FILE.tar.zst are used where they are there. Prints medians; judges nothing.
set -u
cd "$(dirname "$0")/../.." || exit 1
kist=$(realpath "${KIST:-build/static/kist}")
rounds=${IMPORT_ROUNDS:-3}
work=$(mktemp -d "${IMPORT_DIRECTORY:-/var/tmp}/kist-bench-import.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

# Files of the sizes that a distribution has, half of what is in them random.
made_up()
{
	local i size
	mkdir "$work/tree"
	for ((i = 0; i < 9000; i++)); do
		((i % 60)) || mkdir "$work/tree/$((i / 60))"
		case $((i % 30)) in
		0) size=600000 ;;
		[1-9]) size=40000 ;;
		*) size=3000 ;;
		esac
		{
			head -c $((size / 2)) /dev/urandom
			head -c $((size / 2)) /dev/zero
		} >"$work/tree/$((i / 60))/file-$i"
	done
	tar -C "$work/tree" --numeric-owner -cf "$work/plain" . && rm -r "$work/tree"
}

archive=${ARCHIVE:-build/cache/debian.tar}
if [ -s "$archive" ]; then cp "$archive" "$work/plain"; else made_up; fi
programs='plain gzip'
if [ -s "$archive.gz" ]; then cp "$archive.gz" "$work/gzip"; else gzip -c "$work/plain" >"$work/gzip"; fi
if command -v zstd >/dev/null; then
	programs+=' zstd'
	if [ -s "$archive.zst" ]; then cp "$archive.zst" "$work/zstd"; else zstd -q -c "$work/plain" >"$work/zstd"; fi
fi

unpack_tar()
{
	mkdir "$work/out"
	tar --numeric-owner --xattrs -C "$work/out" "${flag[@]}" -xf "$work/$1" && sync -f "$work/out"
}
unpack_kist()
{
	"$kist" --root "$work/out/root" --runroot "$work/out/run" import "$work/$1" image >/dev/null
}

# timed WHO WHAT: milliseconds, and what the processors were busy for.
timed()
{
	local TIMEFORMAT='%R %U %S' took
	rm -rf "$work/out"
	sync -f "$work"
	took=$({ time "unpack_$1" "$2" 2>"$work/errors"; } 2>&1) || return 1
	[ ! -s "$work/errors" ] || grep -v 'import\|Getting' "$work/errors"
	echo "$1 $2 $took" >>"$work/results"
}

: >"$work/results"
for ((round = 0; round < rounds; round++)); do
	for what in $programs; do
		flag=()
		[ "$what" != gzip ] || flag=(-z)
		[ "$what" != zstd ] || flag=(--zstd)
		timed tar "$what" && timed kist "$what" || exit 1
	done
done
echo "import of $(($(stat -c %s "$work/plain") / 1000000)) MB, median of $rounds rounds, interleaved; load $(cut -d ' ' -f 1 /proc/loadavg)"
awk '
	{ key = $1 " " $2; n[key]++; real[key, n[key]] = $3; busy[key, n[key]] = $4 + $5; what[$2] = 1 }
	function median(list, key,   i, j, t, v) {
		for (i = 1; i <= n[key]; i++) v[i] = list[key, i]
		for (i = 2; i <= n[key]; i++) for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
		return v[int((n[key] + 1) / 2)]
	}
	END {
		printf "%-8s %10s %10s %16s %14s %14s\n", "", "tar s", "kist s", "speed of tar x", "tar busy s", "kist busy s"
		for (w in what) printf "%-8s %10.2f %10.2f %16.2f %14.2f %14.2f\n", w, median(real, "tar " w), median(real, "kist " w),
			median(real, "tar " w) / median(real, "kist " w), median(busy, "tar " w), median(busy, "kist " w)
	}' "$work/results"
