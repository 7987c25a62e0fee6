#!/bin/bash
# The OCI half of 'make bench': kist-oci beside crun and runc on one busybox bundle in one run, each command in turns.
# Medians of ROUNDS (default 50), and the ratio to crun; RUNTIMES="crun runc" is who is compared. Prints tables; judges nothing. What is not installed is left out.
set -u
cd "$(dirname "$0")/../.." || exit 1
rounds=${ROUNDS:-50}
. test/bench/begin.bash
declare -A program=()
cleanup()
{
	local name id
	for name in "${!program[@]}"; do
		for id in $("${program[$name]}" --root "$work/run/$name" list -q 2>/dev/null); do
			"${program[$name]}" --root "$work/run/$name" delete --force "$id"
		done
	done
	umount -l "$work/run"
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

contrib/busybox-root "$work/root" || exit 1
ln -s "$kist" "$work/kist-oci"
program[kist-oci]=$work/kist-oci
order=(kist-oci)
for name in ${RUNTIMES-crun runc}; do
	command -v "$name" >/dev/null || continue
	program[$name]=$name
	order+=("$name")
done

# What kist-oci proposes, without rules for devices: a host without BPF programs for them refuses those of crun. An
# older crun knows no later version.
bundle()
{
	local directory=$1
	shift
	mkdir "$directory" && "$work/kist-oci" --root "$work/run/kist-oci" spec --bundle "$directory" || return 1
	jq --arg root "$work/root" '.ociVersion = "1.0.0" | .root.path = $root | .root.readonly = true | .process.args = $ARGS.positional
		| .process.terminal = false | del(.linux.resources)' --args "$@" <"$directory/config.json" >"$directory/new" &&
		mv "$directory/new" "$directory/config.json"
}
bundle "$work/short" true || exit 1
bundle "$work/long" sleep 1000 || exit 1

commands=()
add() { commands+=(${commands[0]+--} "$@"); }
# each WORD ARGUMENT...: by every runtime; NAME in the arguments is its name.
each()
{
	local word=$1 name
	shift
	for name in "${order[@]}"; do
		add "$name/$word" "${program[$name]}" --root "$work/run/$name" "${@//NAME/$name}"
	done
}
each run run --bundle "$work/short" NAME-short-%d
each create create --bundle "$work/long" NAME-%d
each start start NAME-%d
each state state NAME-%d
each exec exec NAME-%d true
each kill kill NAME-%d KILL
add pause sleep 0.02
each delete delete NAME-%d

"$top/build/bench/timeit" -n "$rounds" "${commands[@]}" >"$work/results" || exit 1
echo "OCI runtimes: median of $rounds rounds, interleaved, in ms"
awk '
	$1 == "pause" { next }
	{
		split($1, part, "/")
		median[part[2], part[1]] = $2
		failed[part[2], part[1]] = $5
		if (!(part[2] in seen)) { seen[part[2]] = 1; word[++words] = part[2] }
		if (!(part[1] in named)) { named[part[1]] = 1; name[++names] = part[1] }
	}
	END {
		printf "%-10s", ""
		for (n = 1; n <= names; n++)
			printf " %10s", name[n]
		printf " %10s\n", "x crun"
		for (w = 1; w <= words; w++) {
			printf "%-10s", word[w]
			for (n = 1; n <= names; n++)
				printf " %10.2f", median[word[w], name[n]] / 1000
			crun = median[word[w], "crun"]
			printf " %10s", crun ? sprintf("%.2f", median[word[w], "kist-oci"] / crun) : "-"
			for (n = 1; n <= names; n++)
				if (failed[word[w], name[n]])
					printf "   %s: %d FAILED", name[n], failed[word[w], name[n]]
			printf "\n"
		}
	}' "$work/results"
