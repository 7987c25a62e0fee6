# modules: overlay
# shellcheck shell=sh disable=SC2016
# The OCI runtime, and the engine, where cgroup v2 has all controllers.

bundle=/run/bundle
mkdir -p "$bundle/rootfs"
tar -C "$bundle/rootfs" -xf /busybox.tar

# plan ARGS [SED-COMMAND...]: config.json of the bundle; ARGS as JSON, without the brackets.
plan()
{
	args=$1
	shift
	(cd "$bundle" && rm -f config.json && kist oci spec && sed -i 's/"terminal": true/"terminal": false/' config.json) || return
	sed -i "s|\"sh\"\$|$args|" "$bundle/config.json"
	for command in "$@"; do
		sed -i "$command" "$bundle/config.json"
	done
}

in_bundle()
{
	(cd "$bundle" && kist oci "$@")
}
controllers=$(cat /sys/fs/cgroup/cgroup.controllers)
plan '"cat", "/sys/fs/cgroup/cgroup.controllers"'
check 'every controller is there without a limit' 0 "$controllers" in_bundle run c
check 'in containers of the engine too' 0 "$controllers" kist run --rm busybox cat /sys/fs/cgroup/cgroup.controllers
check 'and what it measures' 0 - sh -c 'kist run -d --name s busybox sleep 100 >/dev/null && kist stats --no-stream --format "{{.MemUsage}}" s | grep -q "^[0-9.]*kB / "; r=$?; kist rm -f -t 0 s >/dev/null; exit $r'
# A service manager in a container of the engine: it keeps processes in groups of its own, and gives controllers to them.
kist run -d --name m --privileged busybox sh -c 'mkdir /sys/fs/cgroup/own && echo 1 >/sys/fs/cgroup/own/cgroup.procs &&
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control; echo given; sleep 100' >/dev/null
until_true 100 sh -c 'kist logs m | grep -q given'
check 'exec goes where its first process is' 0 '0::/own' kist exec m cat /proc/self/cgroup
check 'and ends with it' 0 m kist rm -f -t 0 m

# update: what it is not given stays, in one file too.
plan '"sleep", "100"' 's|^    "linux": {|&"cgroupsPath": "/t/u",|' \
	's|^        "resources": {|&"memory": {"limit": 33554432, "reservation": 25165824}, "pids": {"limit": 20}, "cpu": {"quota": 500000, "period": 1000000},|'
in_bundle run -d u </dev/null >/dev/null 2>&1 # not in a substitution, which waits for its output to be closed
group=/sys/fs/cgroup/t/u
# updated FILE OPTION...
updated()
{
	file=$1
	shift
	kist oci update "$@" u && cat "$group/$file"
}
check 'cpu.max' 0 '500000 1000000' cat $group/cpu.max
check 'memory.low' 0 25165824 cat $group/memory.low
check 'update: the period' 0 '500000 900000' updated cpu.max --cpu-period 900000
check 'update: the quota' 0 '600000 900000' updated cpu.max --cpu-quota 600000
check 'update: no quota' 0 'max 900000' updated cpu.max --cpu-quota -1
check 'update: both' 0 '20000 50000' updated cpu.max --cpu-quota 20000 --cpu-period 50000
check 'update: memory' 0 50331648 updated memory.max --memory 50331648
check 'update: what was not told' 0 20 cat $group/pids.max
check 'update: from a file' 0 '30000 60000' sh -c 'echo "{\"cpu\": {\"quota\": 30000, \"period\": 60000}, \"unified\": {\"pids.max\": \"10\"}}" | kist oci update -r - u && cat '$group/cpu.max
check 'update: unified' 0 10 cat $group/pids.max
check_has 'update: a file that is not there' 1 'No such file or directory' sh -c 'echo "{\"unified\": {\"memory.nonsense\": \"10\"}}" | kist oci update -r - u'

# A service manager in the container.
mkdir $group/own
for pid in $(cat $group/cgroup.procs); do echo "$pid" >$group/own/cgroup.procs; done
check 'exec joins the group' 0 '0::/' kist oci exec u cat /proc/self/cgroup
echo +memory >$group/cgroup.subtree_control
check 'and that of the first process where it cannot' 0 '0::/own' kist oci exec u cat /proc/self/cgroup
check 'a group of one that is named' 0 '0::/own' kist oci exec --cgroup own u cat /proc/self/cgroup
check_has 'the group itself, where it takes none' 255 'Device or resource busy' kist oci exec --cgroup / u true
check_has 'none above' 255 '..' kist oci exec --cgroup .. u true
check_has 'none that is not there' 255 'none' kist oci exec --cgroup none u true
check 'delete takes all groups below' 0 '' kist oci delete --force u
check 'none is left' 1 - test -e $group
