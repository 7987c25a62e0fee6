/* Real containers out of busybox: run as root, or all is skipped. */
#include "child.h"
#include "launch_help.h"

/* --- launch --------------------------------------------------------------------------------------------------------
 */

static void test_exit_code(void **state)
{
	struct box *box = box_of(state);

	SCRIPT(box, "exit 7");
	assert_int_equal(run(box), 7);
	SCRIPT(box, "kill -9 $$; sleep 1; exit 3"); /* pid 1 is immune to its own signals */
	assert_int_equal(run(box), 3);
}

static void test_namespaces(void **state)
{
	struct box *box = box_of(state);
	char self[64], line[96];
	static const char *const names[] = { "pid", "net", "mnt", "ipc", "uts", "cgroup" };

	RUN(box,
	    "echo pid=$$; hostname; cd /proc/self/ns; for i in *; do echo $i $(stat -L -c %i $i); done; ifconfig lo");
	has(box, "pid=1\n");
	has(box, "boxed\n");
	has(box, "UP LOOPBACK RUNNING");
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		struct stat st;
		snprintf(self, sizeof(self), "/proc/self/ns/%s", names[i]);
		assert_int_equal(stat(self, &st), 0);
		snprintf(line, sizeof(line), "\n%s %llu\n", names[i], (unsigned long long)st.st_ino);
		has_not(box, line);
	}
}

static void test_mounts(void **state)
{
	struct box *box = box_of(state);

	kist_spec_add_mount(box->spec, "/data", "bind", "/etc", (const char *[]){ "rbind", "ro", "nosuid", NULL });
	kist_spec_add_mount(box->spec, "/new/deep/file", "bind", "/etc/passwd", (const char *[]){ "bind", "ro", NULL });
	kist_spec_add_mount(box->spec, "/tmp", "tmpfs", "tmpfs", (const char *[]){ "size=64k", NULL });
	/* What fsconfig(2) has no word for goes by mount(2). */
	kist_spec_add_mount(box->spec, "work", "tmpfs", "tmpfs",
	                    (const char *[]){ "iversion", "sync", "dirsync", "nosuid", NULL });
	kist_spec_add_mount(box->spec, "/work", "tmpfs", "tmpfs", (const char *[]){ "remount", "noexec", NULL });
	RUN(box, "mount; ls /data/passwd; cat /new/deep/file | grep -c root:; touch /data/x || echo refused; stat -c "
	         "%a /tmp");
	has(box, "proc on /proc type proc (rw,relatime)");
	has(box, "tmpfs on /dev type tmpfs (rw,nosuid,");
	has(box, "devpts on /dev/pts type devpts (rw,nosuid,noexec,relatime,mode=620,ptmxmode=666)");
	has(box, "shm on /dev/shm type tmpfs (rw,nosuid,nodev,noexec,relatime,size=64k");
	has(box, "mqueue on /dev/mqueue type mqueue (rw,nosuid,nodev,noexec,relatime)");
	has(box, "sysfs on /sys type sysfs (ro,nosuid,nodev,noexec,relatime)");
	has(box, " on /sys/fs/cgroup type cgroup2 (ro,nosuid,nodev,noexec,relatime");
	has(box, " on /data type ");
	has(box, "/data/passwd\n");
	has(box, "refused");
	has(box, "1777\n"); /* a tmpfs keeps the mode of what it covers */
	has(box, "tmpfs on /work type tmpfs (rw,sync,dirsync,nosuid,noexec,");
	has_not(box, box->dir);
	if (access("/sys/fs/selinux", F_OK) < 0) {
		box->spec->linux_.mount_label = kist_strdup("system_u:object_r:container_file_t:s0");
		assert_true(run(box) < 0);
		assert_non_null(strstr(box->err.text, "linux.mountLabel: 'system_u:"));
	}
}

static void test_devices(void **state)
{
	struct box *box = box_of(state);

	kist_spec_add_device(box->spec, "/dev/sub/fuse", 'c', 10, 229, 0640, 5, 6);
	kist_spec_add_device(box->spec, "/dev/pipe", 'p', 0, 0, 0600, 0, 0);
	RUN(box, "for i in null zero full random urandom tty sub/fuse pipe; do echo $i $(stat -c '%F %t:%T %a %u:%g' "
	         "/dev/$i); done; "
	         "for i in fd stdin stdout stderr ptmx; do ls -l /dev/$i; done; echo x > /dev/null && cat /dev/null");
	has(box, "null character special file 1:3 666 0:0\n");
	has(box, "zero character special file 1:5 666 0:0\n");
	has(box, "full character special file 1:7 666 0:0\n");
	has(box, "random character special file 1:8 666 0:0\n");
	has(box, "urandom character special file 1:9 666 0:0\n");
	has(box, "tty character special file 5:0 666 0:0\n");
	has(box, "sub/fuse character special file a:e5 640 5:6\n");
	has(box, "pipe fifo 0:0 600 0:0\n");
	has(box, "/dev/ptmx -> pts/ptmx");
	has(box, "/dev/fd -> /proc/self/fd");

	/* What the image has there is not the device, and is not hidden. */
	kist_spec_add_device(box->spec, "/bin/sh", 'c', 1, 3, 0666, 0, 0);
	assert_true(run(box) < 0);
	assert_non_null(strstr(box->err.text, "device /bin/sh: File exists"));
}

static void test_masked_and_readonly(void **state)
{
	struct box *box = box_of(state);

	box->spec->linux_.masked_paths =
	        kist_strv_copy((char *[]){ "/proc/timer_list", "/sys/firmware", "/proc/none", "/proc/irq", NULL });
	box->spec->linux_.readonly_paths = kist_strv_copy((char *[]){ "/proc/sys", "/proc/none", NULL });
	box->spec->root_readonly = true;
	RUN(box, "cat /proc/timer_list | grep -c . ; echo files $(ls -A /sys/firmware /proc/irq | grep -c -v :); "
	         "echo 1 > /proc/sys/kernel/hostname || echo readonly; touch /sys/firmware/x || echo masked; touch /x "
	         "|| echo root; "
	         "touch /dev/shm/x && echo shm; grep -c tmpfs.*firmware /proc/mounts");
	has(box, "0\nfiles ");
	has(box, "readonly");
	has(box, "masked");
	has(box, "root");
	has(box, "shm");
}

static void test_user_namespace_and_host_network(void **state)
{
	struct box *box = box_of(state);
	struct kist_spec_linux *l = &box->spec->linux_;

	add_user_namespace(box);
	set_namespace_path(box, "network", "/proc/self/ns/net");
	kist_spec_add_namespace(box->spec, "time", NULL);
	l->time_offsets = kist_alloc(sizeof(*l->time_offsets));
	l->time_offsets[0] = (struct kist_spec_time_offset){ kist_strdup("boottime"), 172800000, 0 };
	l->n_time_offsets = 1;
	char line[64];
	struct stat st;
	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	snprintf(line, sizeof(line), "net %llu\n", (unsigned long long)st.st_ino);
	RUN(box, "mount; stat -L -c 'net %i' /proc/self/ns/net; cat /proc/uptime; touch /sys/x || echo readonly");
	has(box, line);
	has(box, "sysfs on /sys type sysfs (ro,nosuid,nodev,noexec,relatime)");
	has(box, "\n1728");
	has(box, "readonly");
}

static void test_user_namespace_terminal(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child child = KIST_NS_CHILD_INIT;

	add_user_namespace(box);
	box->spec->process->terminal = true;
	box->spec->process->user.uid = 1000;
	box->launch.rows = 3;
	box->launch.cols = 7;
	SCRIPT(box, "stty size; tty; echo again > /dev/tty; stat -c %u /dev/pts/0");
	assert_int_equal(kist_ns_create(&box->launch, &child, &box->err), 0);
	assert_int_equal(kist_ns_start(&child, &box->err), 0);
	read_all(child.console, box->out, sizeof(box->out));
	assert_int_equal(kist_wait_pid(child.pid), 0);
	kist_ns_child_close(&child);
	has(box, "3 7\r\n/dev/pts/0\r\nagain\r\n1000\r\n");
}

static void test_user_namespace(void **state)
{
	struct box *box = box_of(state);

	add_user_namespace(box);
	kist_spec_set_rlimit(box->spec->process, "RLIMIT_NOFILE", 600, 700);
	kist_spec_add_mount(box->spec, "/data", "bind", "/root", (const char *[]){ "rbind", "ro", NULL });
	assert_int_equal(fchownat(box->root, "work", 100000, 100000, 0), 0);
	RUN(box, "cat /proc/self/uid_map; id; echo x > /dev/null && echo null; stat -c '%t:%T' /dev/zero; touch "
	         "/work/x; ulimit -n; ulimit -Hn; "
	         "ls /data 2>&1; true");
	has(box, "100000      65536");
	has(box, "uid=0 gid=0");
	has(box, "null\n1:5\n");
	has(box, "600\n700\n");
	has(box, "ermission denied"); /* /root was reached by the caller; its content stays the host's */
	struct stat st;
	assert_int_equal(fstatat(box->root, "work/x", &st, 0), 0);
	assert_int_equal(st.st_uid, 100000);
}

static void test_user_and_caps(void **state)
{
	struct box *box = box_of(state);

	box->spec->process->user.uid = 1000;
	box->spec->process->user.gid = 1001;
	box->spec->process->no_new_privileges = true;
	free(box->spec->process->cwd);
	box->spec->process->cwd = kist_strdup("/work");
	RUN(box,
	    "id; pwd; grep -E 'Cap|NoNew' /proc/self/status; stat -L -c %u /proc/self/fd/1; echo again > /dev/stdout");
	has(box, "uid=1000 gid=1001");
	has(box, "/work\n");
	has(box, "CapEff:\t0000000000000000");
	has(box, "CapInh:\t0000000000000000");
	has(box, "NoNewPrivs:\t1");
	has(box, "\n1000\nagain\n");
}

static void test_fds(void **state)
{
	struct box *box = box_of(state);

	int leak = open("/etc", O_RDONLY | O_DIRECTORY); /* not close-on-exec, on purpose */
	RUN(box, "ls -l /proc/self/fd");
	has_not(box, " 3 -> /");
	has_not(box, "/etc");
	close(leak);

	if (fcntl(3, F_GETFD) < 0) {
		assert_int_equal(open("/etc/passwd", O_RDONLY | O_CLOEXEC), 3);
		box->launch.listen_fds = 1;
		RUN(box, "grep -c root: <&3");
		has(box, "1\n");
		close(3);
	}
	pid_t pid = child_fork();
	if (pid == 0) {
		close(0);
		struct kist_ns_child child = KIST_NS_CHILD_INIT;
		_exit(kist_ns_create(&box->launch, &child, &box->err) == -EBADF ? 0 : 1);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
	box->launch.listen_fds = 50;
	SCRIPT(box, "true");
	assert_true(run(box) < 0);
	assert_non_null(strstr(box->err.text, "preserved fd"));
}

static void test_terminal(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child child = KIST_NS_CHILD_INIT;

	box->spec->process->terminal = true;
	box->launch.rows = 33;
	box->launch.cols = 77;
	SCRIPT(box, "stty size; tty; stat -c '%F %t' /dev/console; exit 4");
	assert_int_equal(kist_ns_create(&box->launch, &child, &box->err), 0);
	assert_true(child.console >= 0);
	assert_int_equal(kist_ns_start(&child, &box->err), 0);
	read_all(child.console, box->out, sizeof(box->out));
	assert_int_equal(kist_wait_pid(child.pid), 4);
	kist_ns_child_close(&child);
	has(box, "33 77\r\n");
	has(box, "/dev/pts/0\r\n");
	has(box, "character special file 88\r\n");
}

static void test_no_pivot(void **state)
{
	struct box *box = box_of(state);

	box->launch.no_pivot = true;
	RUN(box, "mount; ls /; cd /; cd ../../..; ls bin/sh");
	has(box, "proc on /proc type proc");
	has_not(box, "/sys/fs/cgroup/unified");
	has_not(box, "devtmpfs");
	has(box, "bin/sh\n");
}

/* The caller in a chroot that is no mount point. */
static void test_in_chroot(void **state)
{
	struct box *box = box_of(state);
	char host[64] = "/tmp/kist-chroot-XXXXXX", path[128];
	pid_t pid;

	assert_non_null(mkdtemp(host));
	snprintf(path, sizeof(path), "%s/proc", host);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/dev", host);
	assert_int_equal(mkdir(path, 0755), 0);
	SCRIPT(box, "exit 9");
	pid = child_fork();
	if (pid == 0) {
		struct kist_ns_child child = KIST_NS_CHILD_INIT;
		snprintf(path, sizeof(path), "%s/proc", host);
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("proc", path, "proc", 0, NULL) < 0)
			_exit(99);
		snprintf(path, sizeof(path), "%s/dev", host);
		box->launch.rootfs_fd = open(box->dir, O_PATH | O_DIRECTORY | O_CLOEXEC); /* in this mount namespace */
		if (mount("/dev", path, NULL, MS_BIND, NULL) < 0 || chroot(host) < 0 || chdir("/") < 0)
			_exit(98);
		if (kist_ns_create(&box->launch, &child, &box->err) < 0 || kist_ns_start(&child, &box->err) < 0) {
			fprintf(stderr, "%s\n", box->err.text);
			_exit(97);
		}
		_exit(kist_wait_pid(child.pid));
	}
	assert_int_equal(kist_wait_pid(pid), 9);
	assert_int_equal(kist_remove_tree(AT_FDCWD, host), 0);
}

/* A filter around the engine that knows neither fsopen(2) nor mount_setattr(2). */
static void test_without_new_mount_calls(void **state)
{
	struct box *box = box_of(state);
	pid_t pid;

	box->spec->linux_.masked_paths =
	        kist_strv_copy((char *[]){ "/proc/timer_list", "/sys/firmware", "/proc/irq", NULL });
	box->spec->linux_.readonly_paths = kist_strv_copy((char *[]){ "/proc/sys", NULL });
	kist_spec_add_mount(box->spec, "/data", "bind", "/etc", (const char *[]){ "rbind", "ro", "nosuid", NULL });
	SCRIPT(box, "mount");
	pid = child_fork();
	if (pid == 0) {
		scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
		if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(fsopen), 0) < 0 ||
		    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(mount_setattr), 0) < 0 ||
		    seccomp_load(filter) < 0)
			_exit(99);
		int code = run(box);
		if (code != 0)
			fprintf(stderr, "%s\n", box->err.text);
		static const char *const lines[] = {
			"proc on /proc type proc (rw,relatime)",
			"tmpfs on /dev type tmpfs (rw,nosuid,",
			"shm on /dev/shm type tmpfs (rw,nosuid,nodev,noexec,relatime,size=64k)",
			"sysfs on /sys type sysfs (ro,nosuid,nodev,noexec,relatime)",
			"on /data type ",
			"on /proc/sys type proc (ro,",
			"on /proc/irq type tmpfs (ro,nosuid,nodev,noexec,relatime,size=0k,mode=755)",
		};
		for (size_t i = 0; i < KIST_COUNT(lines) && code == 0; i++)
			if (!strstr(box->out, lines[i])) {
				fprintf(stderr, "no '%s' in:\n%s", lines[i], box->out);
				code = 98;
			}
		if (code == 0 && !strstr(strstr(box->out, "on /data type "), "(ro,nosuid,"))
			code = 97;
		_exit(code);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
}

static void test_time_offsets(void **state)
{
	struct box *box = box_of(state);
	struct kist_spec_linux *l = &box->spec->linux_;

	kist_spec_add_namespace(box->spec, "time", NULL);
	l->time_offsets = kist_alloc(2 * sizeof(*l->time_offsets));
	l->time_offsets[0] = (struct kist_spec_time_offset){ kist_strdup("monotonic"), 86400, 0 };
	l->time_offsets[1] = (struct kist_spec_time_offset){ kist_strdup("boottime"), 172800000, 5 };
	l->n_time_offsets = 2;
	RUN(box, "cat /proc/self/timens_offsets; cat /proc/uptime");
	has(box, "86400");
	has(box, "\n1728"); /* uptime */
	l->n_time_offsets = 0;
	RUN(box, "stat -L -c %i /proc/self/ns/time");
	free(l->time_offsets[0].clock);
	free(l->time_offsets[1].clock);
}

static void test_tmpcopyup(void **state)
{
	struct box *box = box_of(state);
	KIST_CLOSE int data = openat(box->root, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	write_file(data, "file", "content\n", 0640);
	assert_int_equal(mkdirat(data, "sub", 0750), 0);
	assert_int_equal(symlinkat("file", data, "link"), 0);
	assert_int_equal(fchownat(data, "sub", 12, 34, 0), 0);
	assert_int_equal(fchmod(data, 0711), 0);
	kist_spec_add_mount(box->spec, "/data", "tmpfs", "tmpfs",
	                    (const char *[]){ "tmpcopyup", "size=1m", "ro", NULL });
	RUN(box, "cat /data/link; stat -c '%n %a %u:%g' /data /data/sub /data/file; touch /data/x || echo readonly");
	has(box, "content\n");
	has(box, "/data 711 0:0\n/data/sub 750 12:34\n/data/file 640 0:0\n");
	has(box, "readonly");
}

static void test_join(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child first = KIST_NS_CHILD_INIT;
	char path[64], text[64];
	struct stat st;

	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &first, &box->err), 0);
	assert_int_equal(kist_ns_start(&first, &box->err), 0);
	for (size_t i = 0; i < box->spec->linux_.n_namespaces; i++) {
		struct kist_spec_namespace *ns = &box->spec->linux_.namespaces[i];
		if (kist_streq(ns->type, "mount") || kist_streq(ns->type, "cgroup"))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", first.pid,
		         kist_streq(ns->type, "network") ? "net" : ns->type);
		ns->path = kist_strdup(path);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/net", first.pid);
	assert_int_equal(stat(path, &st), 0);
	RUN(box, AWAIT_SLEEP "ps; stat -L -c 'net %i' /proc/self/ns/net");
	has(box, "sleep 100"); /* pid namespace */
	snprintf(text, sizeof(text), "net %llu\n", (unsigned long long)st.st_ino);
	has(box, text);
	/* The caller's own children are unaffected. */
	pid_t pid = child_fork();
	if (pid == 0)
		_exit(getpid() > 2 ? 0 : 1);
	assert_int_equal(kist_wait_pid(pid), 0);

	kist_pidfd_signal(first.pidfd, SIGKILL);
	assert_int_equal(kist_wait_pid(first.pid), 137);
	kist_ns_child_close(&first);
	SCRIPT(box, "true");
	assert_true(run(box) < 0); /* the paths are gone */
	for (size_t i = 0; i < box->spec->linux_.n_namespaces; i++) {
		free(box->spec->linux_.namespaces[i].path);
		box->spec->linux_.namespaces[i].path = NULL;
	}
	box->spec->linux_.namespaces[0].path = kist_strdup("/proc/self/ns/uts");
	assert_true(run(box) < 0);
	assert_non_null(strstr(box->err.text, "another kind"));
	free(box->spec->linux_.namespaces[0].path);
	box->spec->linux_.namespaces[0].path = kist_strdup("/etc/passwd");
	assert_true(run(box) < 0);
	assert_non_null(strstr(box->err.text, "not a namespace"));
}

static void test_join_user_namespace(void **state)
{
	struct box *box = box_of(state);
	struct kist_spec_linux *l = &box->spec->linux_;
	struct kist_ns_child first = KIST_NS_CHILD_INIT;
	char path[64];

	struct kist_spec_namespace *user = add_user_namespace(box);
	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &first, &box->err), 0);
	assert_int_equal(kist_ns_start(&first, &box->err), 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", first.pid);
	user->path = kist_strdup(path);
	l->n_uid_mappings = l->n_gid_mappings = 0;
	kist_spec_set_rlimit(box->spec->process, "RLIMIT_NOFILE", 600, 700);
	RUN(box, "echo pid=$$; cat /proc/self/uid_map; hostname; ulimit -Hn; mount");
	has(box, "pid=1\n");
	has(box, "100000      65536");
	has(box, "700\n");
	has(box, "proc on /proc type proc");
	l->n_uid_mappings = l->n_gid_mappings = 1;
	kist_pidfd_signal(first.pidfd, SIGKILL);
	assert_int_equal(kist_wait_pid(first.pid), 137);
	kist_ns_child_close(&first);
}

/* As the engine does it: an overlay that is attached nowhere. */
static void test_detached_overlay(void **state)
{
	struct box *box = box_of(state);
	char upper[] = "/tmp/kist-upper-XXXXXX", options[64];

	assert_non_null(mkdtemp(upper));
	/* An upper directory cannot be on an overlay itself: a tmpfs is made for it. */
	assert_int_equal(mount("tmpfs", upper, "tmpfs", 0, NULL), 0);
	KIST_CLOSE int dir = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "up", 0755) | mkdirat(dir, "work", 0755), 0);
	int context = fsopen("overlay", FSOPEN_CLOEXEC);
	assert_true(context >= 0);
	assert_int_equal(fsconfig(context, FSCONFIG_SET_STRING, "lowerdir", box->dir, 0), 0);
	snprintf(options, sizeof(options), "%s/up", upper);
	assert_int_equal(fsconfig(context, FSCONFIG_SET_STRING, "upperdir", options, 0), 0);
	snprintf(options, sizeof(options), "%s/work", upper);
	assert_int_equal(fsconfig(context, FSCONFIG_SET_STRING, "workdir", options, 0), 0);
	assert_int_equal(fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	box->launch.rootfs_fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	assert_true(box->launch.rootfs_fd >= 0);
	close(context);
	RUN(box, "touch /made; mount");
	has(box, "none on / type overlay (rw,");
	close(box->launch.rootfs_fd);
	assert_int_equal(faccessat(dir, "up/made", F_OK, 0), 0);
	assert_int_equal(faccessat(box->root, "made", F_OK, 0), -1);
	kist_close_fd(&dir);
	assert_int_equal(umount2(upper, 0), 0); /* not busy: nothing of the container is left */
	assert_int_equal(rmdir(upper), 0);
}

static void runs_on(struct box *box, char *target, bool no_pivot)
{
	box->launch.rootfs_target = target;
	box->launch.no_pivot = no_pivot;
	RUN(box, "mount; ls /bin/sh");
	has_not(box, target);
}

static void test_rootfs_target(void **state)
{
	struct box *box = box_of(state);
	char target[64] = "/tmp/kist-target-XXXXXX";

	assert_non_null(mkdtemp(target));
	runs_on(box, target, false);
	runs_on(box, target, true);
	/* On a mount of its own, which goes with the old root. */
	assert_int_equal(mount("tmpfs", target, "tmpfs", 0, NULL), 0);
	char *below = kist_asprintf("%s/rootfs", target);
	assert_int_equal(mkdir(below, 0755), 0);
	runs_on(box, below, true);
	runs_on(box, below, false);
	free(below);
	box->launch.rootfs_target = target;
	assert_int_equal(umount2(target, 0), 0);
	assert_int_equal(rmdir(target), 0);
	SCRIPT(box, "true");
	assert_true(run(box) < 0);
	assert_non_null(strstr(box->err.text, target));
}

static void test_propagation(void **state)
{
	struct box *box = box_of(state);

	kist_spec_add_mount(box->spec, "/data", "bind", "/tmp", (const char *[]){ "rbind", "rslave", NULL });
	RUN(box, "grep -E ' / / | /data ' /proc/self/mountinfo; grep -c shared: /proc/self/mountinfo || true");
	has(box, "\n0\n");
	box->spec->linux_.rootfs_propagation = kist_strdup("shared");
	RUN(box, "cat /proc/self/mountinfo");
	has(box, " / rw,relatime shared:");
	free(box->spec->linux_.rootfs_propagation);
	box->spec->linux_.rootfs_propagation = kist_strdup("unbindable");
	RUN(box, "cat /proc/self/mountinfo");
	has(box, " / rw,relatime unbindable");
}

static void test_idmap(void **state)
{
	struct box *box = box_of(state);
	KIST_CLOSE int data = openat(box->root, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char source[96];

	write_file(data, "file", "content\n", 0640);
	snprintf(source, sizeof(source), "%s/data", box->dir);
	struct kist_spec_mount *mount =
	        kist_spec_add_mount(box->spec, "/work", "bind", source, (const char *[]){ "bind", "idmap", NULL });
	mount->uid_mappings = kist_alloc(sizeof(*mount->uid_mappings));
	mount->gid_mappings = kist_alloc(sizeof(*mount->gid_mappings));
	*mount->uid_mappings = (struct kist_spec_id_map){ 0, 4000, 10 };
	*mount->gid_mappings = (struct kist_spec_id_map){ 0, 5000, 10 };
	mount->n_uid_mappings = mount->n_gid_mappings = 1;
	RUN(box, "stat -c '%n %u:%g' /data/file /work/file");
	has(box, "/data/file 0:0\n/work/file 4000:5000\n");
	/* Without maps there are those of the user namespace, and here is none. */
	mount->n_uid_mappings = mount->n_gid_mappings = 0;
	assert_true(run(box) < 0);
	assert_non_null(strstr(box->err.text, "mount /work: idmap"));
	mount->n_uid_mappings = mount->n_gid_mappings = 1;
}

static void test_init_program(void **state)
{
	struct box *box = box_of(state);
	KIST_CLOSE int init = openat(box->root, "bin/busybox", O_PATH | O_CLOEXEC);

	box->launch.init_fd = init;
	ARGS(box, "sh", "-c", "exit 3");
	/* busybox goes by its name, which is kist-init: it complains, and so proves what it was called. */
	assert_int_equal(run(box), 127);
	has(box, "kist-init: applet not found");
}

/* In the cgroup from the first moment, so that its namespace has it as root. */
static void test_cgroup(void **state)
{
	struct box *box = box_of(state);
	const char *mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	char path[96];

	for (size_t i = 0; i < KIST_COUNT(mounts); i++) {
		KIST_CLOSE int hierarchy = open(mounts[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (hierarchy < 0 || !kist_is_fs(hierarchy, 0x63677270))
			continue;
		snprintf(path, sizeof(path), "kist-test-launch-%d", getpid());
		assert_int_equal(mkdirat(hierarchy, path, 0755), 0);
		KIST_CLOSE int group = openat(hierarchy, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		box->launch.cgroup_fd = group;
		RUN(box, "cat /proc/self/cgroup; grep -c . /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x || echo "
		         "readonly");
		has(box, "0::/\n");
		has(box, "readonly");
		/* Without the namespace: its own group alone is to be seen. */
		for (size_t n = 0; n < box->spec->linux_.n_namespaces; n++)
			if (kist_streq(box->spec->linux_.namespaces[n].type, "cgroup")) {
				free(box->spec->linux_.namespaces[n].type);
				box->spec->linux_.namespaces[n] =
				        box->spec->linux_.namespaces[--box->spec->linux_.n_namespaces];
				break;
			}
		RUN(box, "cat /proc/self/cgroup; grep -c . /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x || echo "
		         "readonly");
		has(box, path);
		has(box, "readonly");
		assert_int_equal(unlinkat(hierarchy, path, AT_REMOVEDIR), 0);
		return;
	}
	skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOXED(test_exit_code),
		BOXED(test_namespaces),
		BOXED(test_mounts),
		BOXED(test_devices),
		BOXED(test_masked_and_readonly),
		BOXED(test_user_namespace),
		BOXED(test_user_namespace_and_host_network),
		BOXED(test_user_namespace_terminal),
		BOXED(test_user_and_caps),
		BOXED(test_fds),
		BOXED(test_terminal),
		BOXED(test_no_pivot),
		BOXED(test_in_chroot),
		BOXED(test_without_new_mount_calls),
		BOXED(test_time_offsets),
		BOXED(test_tmpcopyup),
		BOXED(test_join),
		BOXED(test_join_user_namespace),
		BOXED(test_detached_overlay),
		BOXED(test_rootfs_target),
		BOXED(test_propagation),
		BOXED(test_idmap),
		BOXED(test_init_program),
		BOXED(test_cgroup),
	};

	if (geteuid() != 0)
		print_message("[  SKIPPED ] launching containers: not root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
