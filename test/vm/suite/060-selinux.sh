# alone
# kernel: selinux=1 security=selinux enforcing=1
# policies: test/vm/selinux.cil
# modules: overlay
# shellcheck shell=sh disable=SC2016
# Labels of SELinux: in force for the program and what is mounted, where a policy is.
mount -t selinuxfs none /sys/fs/selinux
check 'a policy' 0 '' sh -c 'cat /src/test/vm/selinux.cil >/sys/fs/selinux/load'
check 'in force' 0 1 cat /sys/fs/selinux/enforce

bundle=/run/bundle
mkdir -p "$bundle/rootfs"
tar -C "$bundle/rootfs" -xf /busybox.tar

# plan SHELL-TEXT [SED-COMMAND...]: config.json of the bundle.
plan()
{
	text=$1
	shift
	(cd "$bundle" && rm -f config.json && kist oci spec && sed -i "s/\"terminal\": true/\"terminal\": false/; s/\"readonly\": true/\"readonly\": false/; s|\"sh\"\$|\"sh\", \"-c\", \"$text\"|" config.json)
	for command in "$@"; do
		sed -i "$command" "$bundle/config.json"
	done
}

in_bundle()
{
	(cd "$bundle" && kist oci "$@")
}
label='s|^    "process": {|&"selinuxLabel": "u:r:container:s0",|'
mounts='s|^    "linux": {|&"mountLabel": "u:object_r:files:s0",|'
plan 'cat /proc/self/attr/current' "$label"
check 'the label of the program' 0 u:r:container:s0 sh -c "cd $bundle && kist oci run a | tr -d '\\000'"
plan 'cat /proc/self/attr/current'
check 'none' 0 u:r:host:s0 sh -c "cd $bundle && kist oci run a | tr -d '\\000'"
plan 'true' 's|^    "process": {|&"selinuxLabel": "u:r:nonsense:s0",|'
check_has 'a label that the policy does not have' 1 "SELinux label 'u:r:nonsense:s0': Invalid argument" in_bundle run a

# The policy lets a container write to files of that type, and to no file of the host's.
plan 'echo x >/made' "$label"
check_has 'a denied write' 1 'Permission denied' in_bundle run a
plan 'echo x >/made'
check 'the write without the label' 0 '' in_bundle run a
plan 'echo x >/dev/shm/made' "$label"
check_has 'a denied write to a mount' 1 'Permission denied' in_bundle run a
plan 'echo x >/dev/shm/made' "$label" "$mounts"
check 'the write with the label of the mount' 0 '' in_bundle run a
plan 'grep -c context=u:object_r:files:s0 /proc/self/mountinfo' "$mounts"
check 'mounts that have it' 0 - in_bundle run a
plan 'sleep 100' "$label"
in_bundle run -d e </dev/null >/dev/null 2>&1 # not in a substitution, which waits for its output to be closed
check 'exec has it too' 0 u:r:container:s0 sh -c 'kist oci exec e cat /proc/self/attr/current | tr -d "\000"'
check_has 'exec: a denied write' 1 'Permission denied' kist oci exec e sh -c 'echo x >/made'
check 'exec: a label of its own' 0 u:r:host:s0 sh -c 'kist oci exec --process-label u:r:host:s0 e cat /proc/self/attr/current | tr -d "\000"'
check 'the end' 0 '' kist oci delete --force e
# The engine's own containers have no labels, which 'disable' says.
check 'label=disable' 0 u:r:host:s0 sh -c 'kist run --rm --security-opt label=disable busybox cat /proc/self/attr/current | tr -d "\000"'
check_has 'label=type:container' 125 "security-opt 'label=type:container' is not supported: containers have no labels" kist run --rm --security-opt label=type:container busybox true
