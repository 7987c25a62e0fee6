/* Records of exec sessions, and what they stand in the way of. */
#include "child.h"
#include "store_help.h"

#include "core/exec_session.h"

#include <signal.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A session of a process of ours, in a container that does not run: as after a monitor's death without a cgroup. */
static pid_t session_make(struct kist_container *c, const char *id)
{
	struct kist_exec_session session;
	struct kist_proc_id process = { 0 };
	pid_t pid = child_fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(kist_proc_identify(pid, &process), 0);
	kist_table_init(&kist_exec_session_table, &session);
	session.id = kist_strdup(id);
	kist_strv_add(&session.args, "a \\ b\n=c");
	session.running = true;
	session.pid = pid;
	session.pid_start = process.start;
	session.started = 7;
	assert_int_equal(kist_exec_session_save(c, &session, NULL), 0);
	kist_table_release(&kist_exec_session_table, &session);
	return pid;
}

static void test_ids(void **state)
{
	static const char *const bad[] = { "", "abc", "../x", ID "0", "g" ID };

	(void)state;
	assert_true(kist_exec_id_ok(ID));
	assert_false(kist_exec_id_ok(NULL));
	for (size_t i = 0; i < KIST_COUNT(bad); i++)
		assert_false(kist_exec_id_ok(bad[i]));
	assert_false(kist_exec_id_ok("0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"));
}

static void test_active_refuses(void **state)
{
	struct kist_container *c = make("web", "true");
	struct kist_error err = { 0 };
	struct kist_exec_session *session = NULL;

	(void)state;
	pid_t pid = session_make(c, ID);
	assert_int_equal(kist_exec_open(c, "0123", &session, NULL), 0);
	assert_string_equal(session->id, ID);
	assert_string_equal(session->args[0], "a \\ b\n=c");
	assert_true(session->running);
	kist_exec_session_free(session);
	KIST_STRV char **ids = kist_exec_sessions_active(c);
	assert_int_equal(kist_strv_len(ids), 1);
	assert_true(kist_container_cleanup(c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	assert_non_null(strstr(err.text, "active exec sessions: 0123456789ab"));
	kist_error_clear(&err);
	assert_true(kist_container_unmount(c, false, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	kist_error_clear(&err);
	assert_true(kist_container_remove(c, 0, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	assert_int_equal(kill(pid, 0), 0);
	/* With force they end with it. */
	assert_int_equal(kist_container_remove(c, KIST_REMOVE_FORCE, 0, NULL), 0);
	assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
	kist_container_free(c);
	expect_nothing_left();
}

static void test_dead_is_no_obstacle(void **state)
{
	struct kist_container *c = make("web", "true");
	struct kist_exec_session *session = NULL;

	(void)state;
	pid_t pid = session_make(c, ID);
	kill(pid, SIGKILL);
	kist_wait_pid(pid);
	/* Nobody wrote its end down, and nobody will. */
	assert_int_equal(kist_exec_open(c, ID, &session, NULL), 0);
	assert_false(session->running);
	assert_int_equal(session->exit_code, -1);
	kist_exec_session_free(session);
	assert_null(kist_exec_sessions_active(c));
	kist_exec_sessions_prune(c);
	assert_true(kist_exec_open(c, ID, &session, NULL) < 0);
	assert_int_equal(kist_container_remove(c, 0, 0, NULL), 0);
	kist_container_free(c);
	expect_nothing_left();
}

static void test_damaged(void **state)
{
	struct kist_container *c = make("web", "true");
	struct kist_exec_session **list = NULL, *session = NULL;
	struct kist_error err = { 0 };
	size_t n = 9;

	(void)state;
	pid_t pid = session_make(c, ID);
	kill(pid, SIGKILL);
	kist_wait_pid(pid);
	KIST_CLOSE int file = openat(c->run_dir, "exec/" ID, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(file, "x", 1), 1);
	assert_true(kist_exec_open(c, ID, &session, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_CORRUPT);
	assert_int_equal(kist_exec_list(c, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	kist_exec_list_free(list, n);
	assert_int_equal(kist_container_remove(c, 0, 0, NULL), 0);
	kist_container_free(c);
	expect_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_active_refuses),
		cmocka_unit_test(test_dead_is_no_obstacle),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests_name("exec sessions", tests, store_setup, store_teardown);
}
