/* Real containers out of busybox: run as root, or all is skipped. */
#include "ns/ns.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct box {
	char dir[64]; /* the root file system */
	int root;
	struct kist_spec *spec;
	struct kist_error err;
	char out[16384]; /* what the container wrote */
	struct kist_ns_launch launch;
};

static const char *const applets[] = { "sh",   "cat",   "ls",    "mount", "id",   "ps",      "hostname",
	                               "stat", "sleep", "touch", "pwd",   "stty", "true",    "env",
	                               "kill", "mkdir", "chmod", "grep",  "tty",  "ifconfig" };

static void write_file(int dir, const char *name, const char *text, mode_t mode)
{
	assert_int_equal(kist_replace_file(dir, name, text, strlen(text), mode, 0), 0);
}

static void make_rootfs(struct box *box)
{
	static const char *const dirs[] = { "bin", "etc", "tmp", "data", "work" };
	KIST_STR struct kist_str busybox = { 0 };
	KIST_CLOSE int from = open("/bin/busybox", O_RDONLY | O_CLOEXEC);

	snprintf(box->dir, sizeof(box->dir), "/tmp/kist-launch-XXXXXX");
	assert_non_null(mkdtemp(box->dir));
	assert_int_equal(chmod(box->dir, 0755), 0);
	box->root = open(box->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(box->root >= 0);
	for (size_t i = 0; i < KIST_COUNT(dirs); i++)
		assert_int_equal(mkdirat(box->root, dirs[i], 0755), 0);
	assert_int_equal(fchmodat(box->root, "tmp", 01777, 0), 0);
	assert_true(from >= 0);
	assert_int_equal(kist_read_fd(from, 16 << 20, &busybox), 0);
	KIST_CLOSE int bin = openat(box->root, "bin", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_replace_file(bin, "busybox", busybox.data, busybox.len, 0755, 0), 0);
	for (size_t i = 0; i < KIST_COUNT(applets); i++)
		assert_int_equal(symlinkat("busybox", bin, applets[i]), 0);
	write_file(bin, "noexec", "#!/bin/sh\n", 0644);
	write_file(bin, "nointerpreter", "#!/nowhere\n", 0755);
}

static void add_mounts(struct kist_spec *spec)
{
	kist_spec_add_mount(spec, "/proc", "proc", "proc", NULL);
	kist_spec_add_mount(spec, "/dev", "tmpfs", "tmpfs",
	                    (const char *[]){ "nosuid", "strictatime", "mode=755", "size=65536k", NULL });
	kist_spec_add_mount(spec, "/dev/pts", "devpts", "devpts",
	                    (const char *[]){ "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", NULL });
	kist_spec_add_mount(spec, "/dev/shm", "tmpfs", "shm",
	                    (const char *[]){ "nosuid", "noexec", "nodev", "mode=1777", "size=64k", NULL });
	kist_spec_add_mount(spec, "/dev/mqueue", "mqueue", "mqueue",
	                    (const char *[]){ "nosuid", "noexec", "nodev", NULL });
	kist_spec_add_mount(spec, "/sys", "sysfs", "sysfs",
	                    (const char *[]){ "nosuid", "noexec", "nodev", "ro", NULL });
	kist_spec_add_mount(spec, "/sys/fs/cgroup", "cgroup", "cgroup",
	                    (const char *[]){ "nosuid", "noexec", "nodev", "ro", NULL });
}

static void set_args(struct box *box, const char *const *args)
{
	kist_strv_free(box->spec->process->args);
	box->spec->process->args = kist_strv_copy((char *const *)args);
}
#define ARGS(box, ...)    set_args(box, (const char *[]){ __VA_ARGS__, NULL })
#define SCRIPT(box, text) ARGS(box, "sh", "-c", text)

static void set_capabilities(struct kist_spec_process *process)
{
	struct kist_spec_caps *caps = kist_alloc(sizeof(*caps));
	char ***sets[] = { &caps->bounding, &caps->effective, &caps->permitted };

	for (size_t i = 0; i < KIST_COUNT(sets); i++)
		*sets[i] = kist_strv_copy((char *[]){ "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL",
		                                      "CAP_SETGID", "CAP_SETUID", NULL });
	process->capabilities = caps;
}

static int setup(void **state)
{
	static const char *const namespaces[] = { "pid", "network", "mount", "ipc", "uts", "cgroup" };
	struct box *box = kist_alloc(sizeof(*box));

	if (geteuid() != 0) {
		free(box);
		*state = NULL;
		return 0;
	}
	make_rootfs(box);
	box->spec = kist_spec_new();
	if (!box->spec->process)
		box->spec->process = kist_alloc(sizeof(*box->spec->process));
	for (size_t i = 0; i < KIST_COUNT(namespaces); i++)
		kist_spec_add_namespace(box->spec, namespaces[i], NULL);
	add_mounts(box->spec);
	box->spec->process->cwd = kist_strdup("/");
	box->spec->process->env = kist_strv_copy((char *[]){ "PATH=/usr/bin:/bin", "TERM=xterm", NULL });
	set_capabilities(box->spec->process);
	box->spec->hostname = kist_strdup("boxed");
	box->spec->root_path = kist_strdup(box->dir);
	if (!box->spec->oci_version)
		box->spec->oci_version = kist_strdup("1.2.0");
	box->launch = (struct kist_ns_launch){
		.spec = box->spec,
		.rootfs_fd = box->root,
		.cgroup_fd = -1,
		.stdio = { -1, -1, -1 },
		.init_fd = -1,
		.seccomp_cache = -1,
	};
	*state = box;
	return 0;
}

static int teardown(void **state)
{
	struct box *box = *state;

	if (!box)
		return 0;
	kist_spec_free(box->spec);
	close(box->root);
	int r = kist_remove_tree(AT_FDCWD, box->dir);
	if (r == 0) {
		int status;
		r = waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD ? 0 : -EBUSY; /* a process was left behind */
	}
	free(box);
	return r;
}

static struct box *box_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static bool host_has_mount(const char *text)
{
	KIST_STR struct kist_str mountinfo = { 0 };

	assert_int_equal(kist_read_file(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &mountinfo), 0);
	return strstr(kist_str_get(&mountinfo), text) != NULL;
}

static void read_all(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n < size - 1 && ((got = read(fd, out + n, size - 1 - n)) > 0 || (got < 0 && errno == EINTR)))
		n += got > 0 ? (size_t)got : 0;
	out[n] = '\0';
}

/* Runs the plan to its end: the exit code, or the negative errno of the launch. Output in box->out. */
static int run(struct box *box)
{
	struct kist_ns_child child = KIST_NS_CHILD_INIT;
	int pipes[2];

	kist_error_clear(&box->err);
	if (kist_spec_check(box->spec, &box->err) < 0)
		fail_msg("%s", box->err.text);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	box->launch.stdio[1] = box->launch.stdio[2] = pipes[1];
	int r = kist_ns_create(&box->launch, &child, &box->err);
	if (r == 0)
		r = kist_ns_start(&child, &box->err);
	close(pipes[1]);
	if (r == 0) {
		read_all(pipes[0], box->out, sizeof(box->out));
		r = kist_wait_pid(child.pid);
	}
	close(pipes[0]);
	kist_ns_child_close(&child);
	assert_false(host_has_mount(box->dir));
	return r;
}

#define RUN(box, script)                                                                                               \
	do {                                                                                                           \
		SCRIPT(box, script);                                                                                   \
		int run_code = run(box);                                                                               \
		if (run_code != 0)                                                                                     \
			fail_msg("code %d, error '%s', output:\n%s", run_code, box->err.text, box->out);               \
	} while (0)

/* In a script: until the shell that is process 1 has become the program it executes, within bounds. */
#define AWAIT_SLEEP "i=0; while [ $i -lt 1000 ] && ! grep -q ^sleep /proc/1/cmdline; do i=$((i+1)); done; "

static void has(const struct box *box, const char *text)
{
	if (!strstr(box->out, text))
		fail_msg("no '%s' in:\n%s", text, box->out);
}

static void has_not(const struct box *box, const char *text)
{
	if (strstr(box->out, text))
		fail_msg("'%s' in:\n%s", text, box->out);
}

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
	has_not(box, box->dir);
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

static struct kist_spec_namespace *add_user_namespace(struct box *box)
{
	struct kist_spec_linux *l = &box->spec->linux_;

	l->uid_mappings = kist_alloc(sizeof(*l->uid_mappings));
	l->gid_mappings = kist_alloc(sizeof(*l->gid_mappings));
	*l->uid_mappings = *l->gid_mappings = (struct kist_spec_id_map){ 0, 100000, 65536 };
	l->n_uid_mappings = l->n_gid_mappings = 1;
	assert_int_equal(fchownat(box->root, "", 100000, 100000, AT_EMPTY_PATH), 0);
	return kist_spec_add_namespace(box->spec, "user", NULL);
}

static void set_namespace_path(struct box *box, const char *type, const char *path)
{
	for (size_t i = 0; i < box->spec->linux_.n_namespaces; i++)
		if (kist_streq(box->spec->linux_.namespaces[i].type, type)) {
			free(box->spec->linux_.namespaces[i].path);
			box->spec->linux_.namespaces[i].path = kist_strdup(path);
		}
}

/* With the network namespace of the host: sysfs cannot be mounted then, the host's is shown. */
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
	pid_t pid = fork();
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
	pid = fork();
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
	pid = fork();
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
	pid_t pid = fork();
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

static void test_rootfs_target(void **state)
{
	struct box *box = box_of(state);
	char target[64] = "/tmp/kist-target-XXXXXX";

	assert_non_null(mkdtemp(target));
	box->launch.rootfs_target = target;
	RUN(box, "mount; ls /bin/sh");
	has_not(box, target);
	box->launch.no_pivot = true;
	RUN(box, "mount; ls /bin/sh");
	has_not(box, target);
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

/* --- failures ------------------------------------------------------------------------------------------------------
 */

static void fails(struct box *box, enum kist_error_kind kind, const char *text)
{
	int r = run(box);

	if (r >= 0 || box->err.kind != kind || !strstr(box->err.text, text))
		fail_msg("code %d, kind %s, text '%s'", r, kist_error_kind_name(box->err.kind), box->err.text);
}

static void test_command_errors(void **state)
{
	struct box *box = box_of(state);

	ARGS(box, "nope");
	fails(box, KIST_ERR_EXEC_MISSING, "executable file 'nope' not found in $PATH");
	ARGS(box, "/bin/nope");
	fails(box, KIST_ERR_EXEC_MISSING, "'/bin/nope' not found");
	ARGS(box, "/bin/nointerpreter");
	fails(box, KIST_ERR_EXEC_MISSING, "nointerpreter");
	ARGS(box, "noexec");
	fails(box, KIST_ERR_EXEC_ACCESS, "noexec");
	ARGS(box, "/etc");
	fails(box, KIST_ERR_EXEC_ACCESS, "Permission denied");
	SCRIPT(box, "true");
	free(box->spec->process->cwd);
	box->spec->process->cwd = kist_strdup("/missing");
	fails(box, KIST_ERR_SYSTEM, "working directory '/missing': No such file or directory");
}

static void test_leaked_cwd(void **state)
{
	struct box *box = box_of(state);
	char cwd[64];

	SCRIPT(box, "pwd; ls");
	int host = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int fd = 3; fd < 20; fd++) {
		snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", fd);
		free(box->spec->process->cwd);
		box->spec->process->cwd = kist_strdup(cwd);
		assert_true(run(box) < 0);
	}
	close(host);
}

static void test_hostile_mount_points(void **state)
{
	struct box *box = box_of(state);

	SCRIPT(box, "true");
	assert_int_equal(symlinkat("/tmp", box->root, "proc"), 0);
	fails(box, KIST_ERR_INVALID, "/proc of the image is not a directory");
	assert_int_equal(unlinkat(box->root, "proc", 0), 0);

	/* A link that leads out of the root stays inside. */
	assert_int_equal(symlinkat("../../../../../../tmp/kist-escape", box->root, "dev"), 0);
	RUN(box, "ls /tmp/kist-escape/null");
	assert_int_equal(access("/tmp/kist-escape", F_OK), -1);
	assert_int_equal(unlinkat(box->root, "dev", 0), 0);

	kist_spec_add_mount(box->spec, "/etc/resolv.conf", "bind", "/etc/passwd",
	                    (const char *[]){ "bind", "ro", NULL });
	assert_int_equal(symlinkat("../run/resolve/stub.conf", box->root, "etc/resolv.conf"), 0);
	RUN(box, "grep -c root: /etc/resolv.conf; ls -l /etc/resolv.conf; ls /run/resolve");
	has(box, "stub.conf");

	kist_spec_add_mount(box->spec, "/proc", "bind", "/etc", (const char *[]){ "rbind", NULL });
	fails(box, KIST_ERR_INVALID, "mount /proc");
}

/* A process of the image's side swaps a directory for a link that leads out, as fast as it can (CVE-2021-30465). */
static void test_racing_links(void **state)
{
	struct box *box = box_of(state);
	char outside[64] = "/tmp/kist-outside-XXXXXX", link[96];

	assert_non_null(mkdtemp(outside));
	snprintf(link, sizeof(link), "../../../../../..%s", outside);
	assert_int_equal(mkdirat(box->root, "race", 0755), 0);
	assert_int_equal(symlinkat(link, box->root, "swap"), 0);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			renameat2(box->root, "race", box->root, "swap", RENAME_EXCHANGE);
	kist_spec_add_mount(box->spec, "/race/made", "bind", "/etc", (const char *[]){ "rbind", NULL });
	kist_spec_add_mount(box->spec, "/race/file", "bind", "/etc/passwd", (const char *[]){ "bind", NULL });
	SCRIPT(box, "true");
	for (int i = 0; i < 60; i++) {
		int r = run(box); /* it may fail, when the link's target is missing in the root */
		if (r > 0)
			fail_msg("code %d", r);
	}
	kill(pid, SIGKILL);
	kist_wait_pid(pid);
	assert_int_equal(rmdir(outside), 0); /* empty: nothing was made in it */
}

static void test_mount_errors(void **state)
{
	struct box *box = box_of(state);

	SCRIPT(box, "true");
	kist_spec_add_mount(box->spec, "/data", "bind", "/no/such/source", (const char *[]){ "rbind", NULL });
	fails(box, KIST_ERR_SYSTEM, "mount /data: source /no/such/source: No such file or directory");
	struct kist_spec_mount *mount = &box->spec->mounts[box->spec->n_mounts - 1];
	kist_strv_free(mount->options);
	free(mount->type);
	mount->type = kist_strdup("tmpfs");
	mount->options = kist_strv_copy((char *[]){ "size=xyz", NULL });
	fails(box, KIST_ERR_SYSTEM, "mount /data: tmpfs size=xyz");
	free(mount->type);
	mount->type = kist_strdup("nosuchfs");
	fails(box, KIST_ERR_UNSUPPORTED, "nosuchfs");
}

/* The container dies with its creator: EOF at the gate. */
static void test_gate_eof(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child child = KIST_NS_CHILD_INIT;

	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &child, &box->err), 0);
	assert_int_equal(kill(child.pid, 0), 0);
	kist_close_fd(&child.sync);
	assert_int_equal(kist_wait_pid(child.pid), 1);
	assert_true(kist_ns_start(&child, &box->err) < 0);
	kist_ns_child_close(&child);
}

static void test_killed_before_start(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child child = KIST_NS_CHILD_INIT;
	siginfo_t info;

	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &child, &box->err), 0);
	kist_pidfd_signal(child.pidfd, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	assert_true(kist_ns_start(&child, &box->err) < 0);
	assert_int_equal(child.pid, -1);
}

/* --- hooks and points ----------------------------------------------------------------------------------------------
 */

struct trace {
	char text[256];
	pid_t pid;
	const char *fail_at;
};

/* Shared with the container's first process, which runs some of the hooks. */
static struct trace *mmap_trace(void)
{
	struct trace *trace = mmap(NULL, sizeof(*trace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(trace, MAP_FAILED);
	return trace;
}

static void note(struct trace *trace, const char *word)
{
	size_t n = strlen(trace->text);

	snprintf(trace->text + n, sizeof(trace->text) - n, "%s ", word);
}

static int trace_at(void *arg, enum kist_ns_point point, pid_t pid, struct kist_error *err)
{
	struct trace *trace = arg;

	note(trace, point == KIST_NS_NAMESPACES ? "namespaces" : "mounted");
	trace->pid = pid;
	if (trace->fail_at && kist_streq(trace->fail_at, "namespaces"))
		return kist_fail(err, KIST_ERR_SYSTEM, ENETDOWN, "no network today");
	return 0;
}

static int trace_hook(void *arg, const struct kist_spec_hook *hooks, size_t n, const char *stage, pid_t pid,
                      struct kist_error *err)
{
	struct trace *trace = arg;

	(void)hooks;
	(void)n;
	note(trace, stage);
	if (trace->pid && pid != trace->pid)
		return kist_fail(err, KIST_ERR_INTERNAL, EINVAL, "pid %d, not %d", pid, trace->pid);
	if (kist_streq(trace->fail_at, stage))
		return kist_fail(err, KIST_ERR_SYSTEM, EIO, "hook of %s", stage);
	return 0;
}

static void test_hooks(void **state)
{
	struct box *box = box_of(state);
	struct trace *trace = mmap_trace();
	static const char *const stages[] = { "namespaces", "prestart", "createRuntime", "createContainer",
		                              "startContainer" };
	struct kist_spec_hooks *hooks = kist_alloc(sizeof(*hooks));
	struct kist_spec_hook **lists[] = { &hooks->prestart, &hooks->create_runtime, &hooks->create_container,
		                            &hooks->start_container };

	for (size_t i = 0; i < KIST_COUNT(lists); i++) {
		*lists[i] = kist_alloc(sizeof(struct kist_spec_hook));
		(*lists[i])->path = kist_strdup("/bin/true");
	}
	hooks->n_prestart = hooks->n_create_runtime = hooks->n_create_container = hooks->n_start_container = 1;
	box->spec->hooks = hooks;
	SCRIPT(box, "true");
	assert_true(run(box) < 0); /* nobody runs them */
	box->launch.hooks.run = trace_hook;
	box->launch.hooks.arg = box->launch.at_arg = trace;
	box->launch.at = trace_at;
	RUN(box, "true");
	assert_string_equal(trace->text, "namespaces prestart createRuntime mounted createContainer startContainer ");
	for (size_t i = 0; i < KIST_COUNT(stages); i++) {
		*trace = (struct trace){ .fail_at = stages[i] };
		assert_true(run(box) < 0);
		assert_non_null(strstr(box->err.text, i ? stages[i] : "no network today"));
	}
}

/* --- exec ----------------------------------------------------------------------------------------------------------
 */

static int exec_run(struct box *box, struct kist_ns_exec *exec)
{
	struct kist_ns_child child = KIST_NS_CHILD_INIT;
	int pipes[2];

	kist_error_clear(&box->err);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	exec->stdio[0] = -1;
	exec->stdio[1] = exec->stdio[2] = pipes[1];
	int r = kist_ns_exec(exec, &child, &box->err);
	close(pipes[1]);
	if (r == 0) {
		assert_int_equal(child.sync, -1);
		read_all(child.console >= 0 ? child.console : pipes[0], box->out, sizeof(box->out));
		r = kist_wait_pid(child.pid);
	}
	close(pipes[0]);
	kist_ns_child_close(&child);
	return r;
}

static void test_exec(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child first = KIST_NS_CHILD_INIT;
	struct kist_spec_process *process = box->spec->process;

	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &first, &box->err), 0);
	assert_int_equal(kist_ns_start(&first, &box->err), 0);
	struct kist_ns_exec exec = { .process = process,
		                     .spec = box->spec,
		                     .pidfd = first.pidfd,
		                     .cgroup_fd = -1,
		                     .seccomp_cache = -1,
		                     .rows = 20,
		                     .cols = 50 };
	int leak = open("/etc", O_RDONLY | O_DIRECTORY); /* not close-on-exec, on purpose */
	SCRIPT(box, AWAIT_SLEEP "hostname; ps; ls -l /proc/self/fd; exit 5");
	assert_int_equal(exec_run(box, &exec), 5);
	close(leak);
	has(box, "boxed\n");
	has(box, "    1 0        sleep 100");
	has_not(box, "/etc");
	ARGS(box, "nope");
	assert_true(exec_run(box, &exec) < 0);
	assert_int_equal(box->err.kind, KIST_ERR_EXEC_MISSING);
	process->user.uid = 1000;
	SCRIPT(box, "id; grep CapEff /proc/self/status; cat /proc/self/oom_score_adj");
	process->oom_score_adj = (struct kist_opt){ true, 77 };
	assert_int_equal(exec_run(box, &exec), 0);
	has(box, "uid=1000");
	has(box, "CapEff:\t0000000000000000");
	has(box, "\n77\n");
	process->terminal = true;
	SCRIPT(box, "stty size; tty; id");
	assert_int_equal(exec_run(box, &exec), 0);
	has(box, "20 50\r\n/dev/pts/0\r\nuid=1000");
	process->terminal = false;

	kist_pidfd_signal(first.pidfd, SIGKILL);
	assert_int_equal(kist_wait_pid(first.pid), 137);
	assert_true(exec_run(box, &exec) < 0);
	assert_int_equal(box->err.kind, KIST_ERR_STATE);
	kist_ns_child_close(&first);
	/* This process is where it was. */
	pid_t pid = fork();
	if (pid == 0)
		_exit(getpid() > 2 ? 0 : 1);
	assert_int_equal(kist_wait_pid(pid), 0);
}

/* There the root of the mount namespace is the host's, covered by the container's. */
static void test_exec_without_pivot(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child first = KIST_NS_CHILD_INIT;

	box->launch.no_pivot = true;
	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &first, &box->err), 0);
	assert_int_equal(kist_ns_start(&first, &box->err), 0);
	struct kist_ns_exec exec = { .process = box->spec->process,
		                     .spec = box->spec,
		                     .pidfd = first.pidfd,
		                     .cgroup_fd = -1,
		                     .seccomp_cache = -1 };
	SCRIPT(box, "ls /bin/nointerpreter; ls -A /etc; cd ../../..; pwd; ls -d usr; true");
	assert_int_equal(exec_run(box, &exec), 0);
	has(box, "/bin/nointerpreter\n/\n");
	has(box, "usr: No such file");
	kist_pidfd_signal(first.pidfd, SIGKILL);
	assert_int_equal(kist_wait_pid(first.pid), 137);
	kist_ns_child_close(&first);
}

static void test_exec_user_namespace(void **state)
{
	struct box *box = box_of(state);
	struct kist_ns_child first = KIST_NS_CHILD_INIT;

	add_user_namespace(box);
	kist_spec_set_rlimit(box->spec->process, "RLIMIT_NOFILE", 600, 700);
	SCRIPT(box, "sleep 100");
	assert_int_equal(kist_ns_create(&box->launch, &first, &box->err), 0);
	assert_int_equal(kist_ns_start(&first, &box->err), 0);
	struct kist_ns_exec exec = { .process = box->spec->process,
		                     .spec = box->spec,
		                     .pidfd = first.pidfd,
		                     .cgroup_fd = -1,
		                     .seccomp_cache = -1 };
	SCRIPT(box, AWAIT_SLEEP "id; cat /proc/self/uid_map; ulimit -Hn; ps; echo again > /dev/stdout");
	assert_int_equal(exec_run(box, &exec), 0);
	has(box, "uid=0 gid=0");
	has(box, "100000      65536");
	has(box, "700\n");
	has(box, "sleep 100");
	has(box, "again\n");
	kist_pidfd_signal(first.pidfd, SIGKILL);
	assert_int_equal(kist_wait_pid(first.pid), 137);
	kist_ns_child_close(&first);
}

#define BOXED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

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
		BOXED(test_command_errors),
		BOXED(test_leaked_cwd),
		BOXED(test_hostile_mount_points),
		BOXED(test_racing_links),
		BOXED(test_mount_errors),
		BOXED(test_gate_eof),
		BOXED(test_killed_before_start),
		BOXED(test_hooks),
		BOXED(test_exec),
		BOXED(test_exec_without_pivot),
		BOXED(test_exec_user_namespace),
	};

	if (geteuid() != 0)
		print_message("[  SKIPPED ] launching containers: not root\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
