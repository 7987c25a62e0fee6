cgroup-sources :=
