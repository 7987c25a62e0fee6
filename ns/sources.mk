ns-sources :=
ns-sources += ns/policy.c ns/caps.c ns/limits.c ns/user.c ns/init.c
ns-sources += ns/pause.c
ns-sources += ns/seccomp.c ns/seccomp_bpf.c ns/seccomp_default.c ns/seccomp_read.c
ns-sources += ns/launch.c ns/child.c ns/gate.c ns/exec.c ns/program.c ns/stages.c ns/namespaces.c ns/userns.c
ns-sources += ns/rootfs.c ns/mounts.c ns/mounts_cgroup.c ns/mount_options.c ns/mount_fd.c ns/mount_make.c ns/copy_up.c ns/dev.c ns/paths.c ns/console.c ns/net_lo.c
ns-sources += ns/userns_read.c ns/apparmor.c ns/mounts_enter.c
