# modules: overlay
# shellcheck shell=sh
# The life of a container on a root that cannot be pivoted.
check 'run on an initramfs root' 0 hello kist run --rm busybox echo hello
check 'exit code' 7 - kist run --rm busybox sh -c 'exit 7'
check 'missing command' 127 - kist run --rm busybox /no/such
check 'the old root cannot be reached' 0 '' kist run --rm busybox sh -c 'ls / | grep -E "^(init|modules|suite)$"; true'
check 'a detached one' 0 - kist run -d --name c busybox sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
until_true 100 sh -c 'kist logs c | grep -q ready'
check 'exec' 0 inside kist exec c echo inside
check 'pause' 0 c kist pause c
check 'unpause' 0 c kist unpause c
check 'stop' 0 c kist stop c
check 'its code' 0 3 kist inspect --format '{{.State.ExitCode}}' c
check 'logs' 0 ready kist logs c
check 'rm' 0 - kist rm c
