# modules: overlay ext4 xfs quota_v2
# programs: /usr/sbin/mkfs.ext4 /usr/sbin/mkfs.xfs
# disk: ext4 64M
# disk: xfs 320M
# shellcheck shell=sh disable=SC2016
# Limits of writable layers by project quota, on the file systems that have it; and the refusal where it is off.

quota_store()
{
	kist --root "/tmp/quota/$type/root" --runroot "/tmp/quota/$type/run" "$@"
}

remounted()
{
	umount "/tmp/quota/$type"
	mount -t "$type" "$(disk "$type")" "/tmp/quota/$type" && ! grep "/tmp/quota/$type .*prjquota" /proc/mounts
}

quota_suite()
{
	mkdir -p "/tmp/quota/$type"
	check "$type: mounted" 0 '' mount -t "$type" -o "$options" "$(disk "$type")" "/tmp/quota/$type"
	check "$type: import" 0 - quota_store import --change CMD=/bin/sh /busybox.tar busybox
	check "$type: as much as it may write" 0 - quota_store run --name c --storage-opt size=8m busybox dd if=/dev/zero of=/f bs=1M count=6
	check_has "$type: no more, in another run" 1 'dd: error writing' quota_store run --name d --storage-opt size=8m busybox dd if=/dev/zero of=/f bs=1M count=20
	check_has "$type: nor a file of the image" 1 'cp: write error' quota_store run --rm --storage-opt size=1m busybox sh -c 'cp /bin/busybox /b; cp /bin/busybox /c'
	check "$type: the limit stays over a stop" 1 - quota_store start -a d
	check "$type: the container sees its limit" 0 8192 quota_store run --rm --storage-opt size=8m busybox sh -c 'df -k / | awk "NR == 2 { print \$2 }"'
	check "$type: others are not limited" 0 - quota_store run --rm busybox dd if=/dev/zero of=/f bs=1M count=20
	check "$type: inodes" 1 - quota_store run --rm --storage-opt inodes=20 busybox sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do echo >/$i || exit 1; done'
	check "$type: a rename between the directories of an overlay" 0 x quota_store run --rm --storage-opt size=8m busybox sh -c 'mkdir /n; echo x >/n/f; mv /n /m; mv /etc/passwd /m; cat /m/f'
	check "$type: rm frees it" 0 - quota_store rm c d
	check "$type: the records of a full container are written" 0 - quota_store run --name full --storage-opt size=1m busybox sh -c 'dd if=/dev/zero of=/f bs=1M count=5; sync; true'
	check "$type: rm of a full one" 0 - quota_store rm full
	check "$type: in a user namespace, unlimited" 0 - quota_store run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 busybox true
	check "$type: in a user namespace" 1 - quota_store run --rm --storage-opt size=2m --uidmap 0:100000:65536 --gidmap 0:100000:65536 busybox dd if=/dev/zero of=/f bs=1M count=5
	check "$type: a volume with limits" 0 v quota_store volume create -o o=size=8m,inodes=20 v
	check "$type: a volume sees its limit" 0 8192 quota_store run --rm -v v:/v busybox sh -c 'df -k /v | awk "NR == 2 { print \$2 }"'
	check_has "$type: and holds no more" 1 'dd: error writing' quota_store run --rm -v v:/v busybox dd if=/dev/zero of=/v/f bs=1M count=20
	check "$type: nor when its limit was reached before" 1 - quota_store run --rm -v v:/v busybox dd if=/dev/zero of=/v/g bs=1M count=1
	check "$type: inodes of a volume" 1 - quota_store run --rm -v v:/v busybox sh -c 'rm /v/*; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do echo >/v/$i || exit 1; done'
	check "$type: another volume is not limited" 0 - quota_store run --rm -v w:/v busybox dd if=/dev/zero of=/v/f bs=1M count=20
	check "$type: volume rm" 0 - quota_store volume rm v w
	check "$type: of that name anew, without" 0 - quota_store run --rm -v v:/v busybox dd if=/dev/zero of=/v/f bs=1M count=20
	check "$type: volume rm again" 0 - quota_store volume rm v
	# Its superblock lives until the last container's mount is freed, which the kernel does a little later.
	until_true 100 remounted || fail "$type: mounted without prjquota" "$(grep /tmp/quota /proc/mounts)"
	check_has "$type: refused without prjquota" 125 'prjquota' quota_store run --storage-opt size=8m busybox true
	check_has "$type: a volume's limit refused without prjquota" 125 'prjquota' quota_store volume create -o o=size=8m v
	check "$type: no volume left" 0 '' quota_store volume ls -q
	check "$type: nothing left" 0 '' quota_store ps -aq
	umount "/tmp/quota/$type"
}

check 'mkfs.ext4' 0 - mkfs.ext4 -Fq -O quota,project -E quotatype=prjquota "$(disk ext4)"
check 'mkfs.xfs' 0 - mkfs.xfs -fq "$(disk xfs)"
type=ext4 options=prjquota
quota_suite
type=xfs options=prjquota
quota_suite
rm -rf /tmp/quota
