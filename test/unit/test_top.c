/* The processes of a container, seen from outside. */
#include "test/unit/view_help.h"

#include <sched.h>
#include <signal.h>

#define COLUMNS(...) ((char *const[]){ __VA_ARGS__, NULL })

static struct kist_container *made;

static int setup(void **state)
{
	if (store_setup(state) < 0)
		return -1;
	struct kist_container_config config;
	kist_container_config_init(&config);
	made = container_make(&config, "shown");
	kist_container_config_clear(&config);
	return 0;
}

static int teardown(void **state)
{
	container_drop(made);
	return store_teardown(state);
}

/* A process of its own pid namespace, whose root is the directory; and a child of it. Returns its pid on the host. */
static pid_t contained(const char *root, pid_t *outer)
{
	int ready[2];
	pid_t pid = -1;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	*outer = fork_bound();
	assert_true(*outer >= 0);
	if (*outer == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		pid = fork_bound();
		if (pid == 0) {
			if (chroot(root) < 0 || chdir("/") < 0)
				_exit(1);
			if (fork_bound() == 0) {
				pause();
				_exit(0);
			}
			if (write(ready[1], &(pid_t){ 0 }, sizeof(pid)) != sizeof(pid))
				_exit(1);
			pause();
			_exit(0);
		}
		if (write(ready[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		waitpid(pid, NULL, 0);
		_exit(0);
	}
	/* Two messages by two writers, in either order: the pid, and 0 from the process that has come to its place. */
	for (int i = 0; i < 2; i++) {
		pid_t said;
		assert_int_equal(read(ready[0], &said, sizeof(said)), sizeof(said));
		pid = said ? said : pid;
	}
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end(pid_t pid, pid_t outer)
{
	kill(pid, SIGKILL);
	waitpid(outer, NULL, 0);
}

static struct json_object *top(char *const *columns)
{
	struct json_object *table = NULL;
	struct kist_error err = { 0 };

	if (kist_container_top(made, columns, &table, &err) < 0)
		fail_msg("top: %s", err.text);
	return table;
}

static const char *cell(struct json_object *table, size_t row, size_t column)
{
	assert_true(row < json_object_array_length(table));
	return json_object_get_string(json_object_array_get_idx(json_object_array_get_idx(table, row), column));
}

static void write_names(const char *text)
{
	KIST_FREE char *etc = kist_asprintf("%s/etc", store.path);
	assert_true(mkdir(etc, 0755) == 0 || errno == EEXIST);
	KIST_CLOSE int dir = open(etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_replace_file(dir, "passwd", text, strlen(text), 0644, 0), 0);
}

static bool is_root(void)
{
	return geteuid() == 0;
}

static void test_namespace(void **state)
{
	pid_t outer;

	(void)state;
	if (!is_root())
		skip();
	/* The first line is no entry for 0, though it begins like one. */
	write_names("other:x:00:0\ncaptain:x:0:0:the root:/:/bin/sh\nlast:x:1:1::/:\n");
	pid_t pid = contained(store.path, &outer);
	container_runs(made, pid, getpid());
	KIST_JSON struct json_object *table = top(COLUMNS("user", "pid,ppid,hpid", "%a", "comm", "state", "huser"));
	assert_int_equal(json_object_array_length(table), 3);
	assert_string_equal(cell(table, 0, 0), "USER");
	assert_string_equal(cell(table, 0, 3), "HPID");
	assert_string_equal(cell(table, 1, 0), "captain");
	assert_string_equal(cell(table, 1, 1), "1");
	assert_string_equal(cell(table, 1, 2), "0"); /* its parent is outside */
	KIST_FREE char *host = kist_asprintf("%d", pid);
	assert_string_equal(cell(table, 1, 3), host);
	assert_non_null(strstr(cell(table, 1, 4), "test_top"));
	assert_string_equal(cell(table, 1, 5), "test_top");
	assert_true(strchr("SR", *cell(table, 1, 6))); /* it may not have come to its pause yet */
	assert_string_equal(cell(table, 1, 7), "root");
	assert_string_equal(cell(table, 2, 1), "2");
	assert_string_equal(cell(table, 2, 2), "1");
	end(pid, outer);
}

/* What a container puts in place of its files neither hangs nor leads out. */
static void test_hostile_names(void **state)
{
	static const char *const makers[] = { "fifo", "link", "directory", "huge", "none" };
	KIST_FREE char *passwd = kist_asprintf("%s/etc/passwd", store.path);
	pid_t outer;

	(void)state;
	if (!is_root())
		skip();
	write_names("");
	alarm(30);
	for (size_t i = 0; i < KIST_COUNT(makers); i++) {
		assert_true(unlink(passwd) == 0 || rmdir(passwd) == 0 || errno == ENOENT);
		if (kist_streq(makers[i], "fifo"))
			assert_int_equal(mkfifo(passwd, 0644), 0);
		else if (kist_streq(makers[i], "link"))
			assert_int_equal(symlink("../../../../../../../../etc/passwd", passwd),
			                 0); /* the host's names root */
		else if (kist_streq(makers[i], "directory"))
			assert_int_equal(mkdir(passwd, 0755), 0);
		else if (kist_streq(makers[i], "huge")) {
			write_names("captain:x:0:0::/:\n");
			assert_int_equal(truncate(passwd, 2 << 20), 0);
		}
		pid_t pid = contained(store.path, &outer);
		container_runs(made, pid, getpid());
		KIST_JSON struct json_object *table = top(COLUMNS("user"));
		assert_string_equal(cell(table, 1, 0), "0");
		end(pid, outer);
		if (kist_streq(makers[i], "directory"))
			assert_int_equal(rmdir(passwd), 0);
	}
	alarm(0);
}

/* Neither a cgroup nor a pid namespace: the descendants. */
static void test_descendants(void **state)
{
	int ready[2];

	(void)state;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork_bound();
	if (pid == 0) {
		pid_t child = fork_bound();
		if (child == 0) {
			pause();
			_exit(0);
		}
		if (write(ready[1], &child, sizeof(child)) != sizeof(child))
			_exit(1);
		pause();
		_exit(0);
	}
	pid_t child;
	assert_int_equal(read(ready[0], &child, sizeof(child)), sizeof(child));
	container_runs(made, pid, getpid());
	KIST_JSON struct json_object *table = top(COLUMNS("pid"));
	assert_int_equal(json_object_array_length(table), 3);
	KIST_FREE char *first = kist_asprintf("%d", pid);
	KIST_FREE char *second = kist_asprintf("%d", child);
	bool straight = kist_streq(cell(table, 1, 0), first) && kist_streq(cell(table, 2, 0), second);
	bool wrapped = kist_streq(cell(table, 1, 0), second) && kist_streq(cell(table, 2, 0), first);
	assert_true(straight || wrapped); /* pids may have wrapped around */
	kill(child, SIGKILL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void test_columns(void **state)
{
	static char *const all[] = { "args",  "capamb", "capbnd", "capeff",  "capinh", "capprm", "comm",  "etime",
		                     "group", "groups", "hgroup", "hgroups", "hpid",   "huser",  "label", "nice",
		                     "pcpu",  "pgid",   "pid",    "ppid",    "rgroup", "rss",    "ruser", "seccomp",
		                     "state", "stime",  "time",   "tty",     "user",   "vsz",    NULL };
	struct json_object *none = NULL;
	struct kist_error err = { 0 };
	pid_t pid = fork_bound();

	(void)state;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	container_runs(made, pid, getpid());
	KIST_JSON struct json_object *table = top(all);
	for (size_t i = 0; i < KIST_COUNT(all) - 1; i++) {
		assert_true(*cell(table, 0, i));
		/* Groups may be none; all else has a text. */
		assert_true(*cell(table, 1, i) || strstr(all[i], "groups"));
	}
	KIST_JSON struct json_object *usual = top(NULL);
	static const char *const titles[] = { "USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND" };
	for (size_t i = 0; i < KIST_COUNT(titles); i++)
		assert_string_equal(cell(usual, 0, i), titles[i]);
	assert_true(kist_container_top(made, COLUMNS("pid", "nonsense"), &none, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	assert_non_null(strstr(err.text, "'nonsense' is not a column"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	made->state.status = KIST_EXITED;
	kist_error_clear(&err);
	assert_true(kist_container_top(made, NULL, &none, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_namespace),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_descendants),
		cmocka_unit_test(test_columns),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
