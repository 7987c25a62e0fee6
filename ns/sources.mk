ns-sources :=
ns-sources += ns/policy.c ns/caps.c ns/limits.c ns/user.c ns/init.c
ns-sources += ns/seccomp.c ns/seccomp_bpf.c ns/seccomp_default.c ns/seccomp_read.c
