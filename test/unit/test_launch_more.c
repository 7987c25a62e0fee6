/* Launches that fail, hooks, and processes that join: containers as in test_launch.c. */
#include "child.h"
#include "launch_help.h"

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
	fails(box, KIST_ERR_INVALID, "/proc must be mounted on ordinary directory: that of the image is none");
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
	pid_t pid = child_fork();
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
	pid_t pid = child_fork();
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
