/* Containers out of busybox, for tests of ns/: a box is a root file system and a plan for it. Needs root. */
#ifndef LAUNCH_HELP_H
#define LAUNCH_HELP_H

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

static KIST_UNUSED void write_file(int dir, const char *name, const char *text, mode_t mode)
{
	assert_int_equal(kist_replace_file(dir, name, text, strlen(text), mode, 0), 0);
}

static KIST_UNUSED void make_rootfs(struct box *box)
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

static KIST_UNUSED void add_mounts(struct kist_spec *spec)
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

static KIST_UNUSED void set_args(struct box *box, const char *const *args)
{
	kist_strv_free(box->spec->process->args);
	box->spec->process->args = kist_strv_copy((char *const *)args);
}
#define ARGS(box, ...)    set_args(box, (const char *[]){ __VA_ARGS__, NULL })
#define SCRIPT(box, text) ARGS(box, "sh", "-c", text)

static KIST_UNUSED void set_capabilities(struct kist_spec_process *process)
{
	struct kist_spec_caps *caps = kist_alloc(sizeof(*caps));
	char ***sets[] = { &caps->bounding, &caps->effective, &caps->permitted };

	for (size_t i = 0; i < KIST_COUNT(sets); i++)
		*sets[i] = kist_strv_copy((char *[]){ "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL",
		                                      "CAP_SETGID", "CAP_SETUID", NULL });
	process->capabilities = caps;
}

static KIST_UNUSED int setup(void **state)
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

static KIST_UNUSED int teardown(void **state)
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

static KIST_UNUSED struct box *box_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

static KIST_UNUSED bool host_has_mount(const char *text)
{
	KIST_STR struct kist_str mountinfo = { 0 };

	assert_int_equal(kist_read_file(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &mountinfo), 0);
	return strstr(kist_str_get(&mountinfo), text) != NULL;
}

static KIST_UNUSED void read_all(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n < size - 1 && ((got = read(fd, out + n, size - 1 - n)) > 0 || (got < 0 && errno == EINTR)))
		n += got > 0 ? (size_t)got : 0;
	out[n] = '\0';
}

/* Runs the plan to its end: the exit code, or the negative errno of the launch. Output in box->out. */
static KIST_UNUSED int run(struct box *box)
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

static KIST_UNUSED void has(const struct box *box, const char *text)
{
	if (!strstr(box->out, text))
		fail_msg("no '%s' in:\n%s", text, box->out);
}

static KIST_UNUSED void has_not(const struct box *box, const char *text)
{
	if (strstr(box->out, text))
		fail_msg("'%s' in:\n%s", text, box->out);
}

static KIST_UNUSED struct kist_spec_namespace *add_user_namespace(struct box *box)
{
	struct kist_spec_linux *l = &box->spec->linux_;

	l->uid_mappings = kist_alloc(sizeof(*l->uid_mappings));
	l->gid_mappings = kist_alloc(sizeof(*l->gid_mappings));
	*l->uid_mappings = *l->gid_mappings = (struct kist_spec_id_map){ 0, 100000, 65536 };
	l->n_uid_mappings = l->n_gid_mappings = 1;
	assert_int_equal(fchownat(box->root, "", 100000, 100000, AT_EMPTY_PATH), 0);
	return kist_spec_add_namespace(box->spec, "user", NULL);
}

static KIST_UNUSED void set_namespace_path(struct box *box, const char *type, const char *path)
{
	for (size_t i = 0; i < box->spec->linux_.n_namespaces; i++)
		if (kist_streq(box->spec->linux_.namespaces[i].type, type)) {
			free(box->spec->linux_.namespaces[i].path);
			box->spec->linux_.namespaces[i].path = kist_strdup(path);
		}
}

/* With the network namespace of the host: sysfs cannot be mounted then, the host's is shown. */

#define BOXED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
