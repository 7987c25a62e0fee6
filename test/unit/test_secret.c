/* Secrets: core/secret.c, secret_mount.c; with real containers. Run as root. */
#include "child.h"
#include "store_help.h"

#include "core/volume.h"

#include <json-c/json.h>
#include <signal.h>
#include <time.h>

#define VALUE "the-hidden-value"
/* The same for a shell: the command itself is in the records. */
#define SPELT "the-''hidden-value"

static char *create_with(const char *name, const char *value, bool replace)
{
	struct kist_secret config = { .name = (char *)name };
	struct kist_error err = { 0 };
	char id[26];

	if (kist_secret_create(k, &config, value, strlen(value), replace, id, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(strlen(id), 25);
	return kist_strdup(id);
}

static char *value_of(const char *name)
{
	KIST_STR struct kist_str value = { 0 };
	struct kist_secret *s = NULL;

	assert_int_equal(kist_secret_open(k, name, &s, NULL), 0);
	assert_int_equal(kist_secret_read(k, s, &value, NULL), 0);
	kist_secret_free(s);
	return kist_str_take(&value);
}

static void remove_secret(const char *name)
{
	char id[26];

	assert_int_equal(kist_secret_remove(k, name, id, NULL), 0);
}

static void expect_no_secrets(void)
{
	struct kist_secret **list = NULL;
	size_t n;

	assert_int_equal(kist_secret_list(k, &list, &n, NULL, NULL), 0);
	assert_int_equal(n, 0);
	free(list);
	assert_int_equal(count_entries(k->secrets), 0);
}

static void test_create_find_remove(void **state)
{
	KIST_FREE char *id = create_with("password", VALUE, false);
	KIST_FREE char *prefix = kist_strndup(id, 8);
	struct kist_error err = { 0 };
	struct kist_secret *s = NULL;
	struct stat st;
	char gone[26];

	(void)state;
	const char *const words[] = { "password", id, prefix };
	for (size_t i = 0; i < KIST_COUNT(words); i++) {
		assert_int_equal(kist_secret_open(k, words[i], &s, NULL), 0);
		assert_string_equal(s->id, id);
		assert_string_equal(s->driver, "file");
		kist_secret_free(s);
	}
	KIST_FREE char *value = value_of("password");
	assert_string_equal(value, VALUE);
	/* Nobody else may read it. */
	KIST_FREE char *data = kist_asprintf("%s/data", id);
	assert_int_equal(fstatat(k->secrets, data, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstat(k->secrets, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	static const char *const unknown[] = { "", "pass", "../password", "zzz" };
	for (size_t i = 0; i < KIST_COUNT(unknown); i++) {
		kist_error_clear(&err);
		assert_true(kist_secret_open(k, unknown[i], &s, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	}
	assert_int_equal(kist_secret_remove(k, prefix, gone, NULL), 0);
	assert_string_equal(gone, id);
	kist_error_clear(&err);
	assert_true(kist_secret_remove(k, "password", gone, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	expect_no_secrets();
}

static void test_refused(void **state)
{
	KIST_FREE char *large = kist_alloc(KIST_SECRET_MAX + 2);
	const struct {
		const char *name, *driver, *value;
		size_t len;
		enum kist_error_kind kind;
	} rows[] = {
		{ "-a", NULL, "x", 1, KIST_ERR_INVALID },
		{ "a/b", NULL, "x", 1, KIST_ERR_INVALID },
		{ "", NULL, "x", 1, KIST_ERR_INVALID },
		{ "a", NULL, "", 0, KIST_ERR_INVALID },
		{ "a", NULL, large, KIST_SECRET_MAX + 1, KIST_ERR_INVALID },
		{ "a", "pass", "x", 1, KIST_ERR_UNSUPPORTED },
	};
	char id[26];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_secret config = { .name = (char *)rows[i].name, .driver = (char *)rows[i].driver };
		struct kist_error err = { 0 };
		assert_true(kist_secret_create(k, &config, rows[i].value, rows[i].len, false, id, &err) < 0);
		assert_int_equal(err.kind, rows[i].kind);
	}
	struct kist_secret most = { .name = (char *)"most" };
	assert_int_equal(kist_secret_create(k, &most, large, KIST_SECRET_MAX, false, id, NULL), 0);
	remove_secret("most");
	expect_no_secrets();
}

static void test_replace(void **state)
{
	KIST_FREE char *old = create_with("a", "old", false);
	struct kist_secret config = { .name = (char *)"a" };
	struct kist_error err = { 0 };
	char id[26];

	(void)state;
	assert_true(kist_secret_create(k, &config, "x", 1, false, id, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	KIST_FREE char *new = create_with("a", "new", true);
	KIST_FREE char *value = value_of("a");
	assert_string_equal(value, "new");
	assert_true(strcmp(old, new) != 0);
	assert_false(kist_exists_at(k->secrets, old));
	remove_secret("a");
	expect_no_secrets();
}

/* A crash between the two steps of a replacement leaves both: the newer counts, and the next change removes the older.
 */
static void test_two_of_one_name(void **state)
{
	KIST_FREE char *old = create_with("a", "old", false);
	struct kist_secret **list = NULL;
	size_t n;

	(void)state;
	assert_int_equal(renameat(k->secrets, old, k->root, "aside"), 0);
	KIST_FREE char *new = create_with("a", "new", false);
	assert_int_equal(renameat(k->root, "aside", k->secrets, old), 0);
	assert_int_equal(mkdirat(k->secrets, ".tmp-half", 0700), 0);
	KIST_FREE char *value = value_of("a");
	assert_string_equal(value, "new");
	assert_int_equal(kist_secret_list(k, &list, &n, NULL, NULL), 0);
	assert_int_equal(n, 1);
	kist_secret_free(list[0]);
	free(list);
	free(create_with("b", "x", false));
	assert_false(kist_exists_at(k->secrets, old));
	assert_int_equal(count_entries(k->secrets), 2);
	remove_secret("a");
	remove_secret("b");
	expect_no_secrets();
}

static void test_damaged(void **state)
{
	KIST_FREE char *id = create_with("torn", VALUE, false);
	struct kist_secret **list = NULL;
	char **broken = NULL;
	size_t n;

	(void)state;
	free(create_with("good", "x", false));
	int dir KIST_CLOSE = openat(k->secrets, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file_put(dir, "config", "id=x\n", 5);
	assert_int_equal(kist_secret_list(k, &list, &n, &broken, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(broken[0], id);
	kist_strv_free(broken);
	kist_secret_free(list[0]);
	free(list);
	remove_secret(id);
	remove_secret("good");
	expect_no_secrets();
}

static void test_inspect(void **state)
{
	struct json_object *json = NULL;
	struct kist_secret *s = NULL;

	(void)state;
	free(create_with("a", VALUE, false));
	assert_int_equal(kist_secret_open(k, "a", &s, NULL), 0);
	assert_int_equal(kist_secret_inspect(k, s, false, &json, NULL), 0);
	assert_null(strstr(json_object_to_json_string(json), VALUE));
	json_object_put(json);
	assert_int_equal(kist_secret_inspect(k, s, true, &json, NULL), 0);
	assert_string_equal(json_object_get_string(json_object_object_get(json, "SecretData")), VALUE);
	json_object_put(json);
	kist_secret_free(s);
	remove_secret("a");
}

/* --- in containers --------------------------------------------------------------------------------------------------
 */

/* Whether any file below the directory has the value. */
static bool holds_value(const char *path)
{
	KIST_FREE char *script = kist_asprintf("grep -rqsF %s %s", VALUE, path);
	pid_t pid = child_fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(127);
	}
	int code = kist_wait_pid(pid);
	assert_true(code == 0 || code == 1);
	return code == 0;
}

static struct kist_container *make_secret(const char *script, const struct kist_secret_config *secrets, size_t n)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, "c", script);
	config.secrets = kist_alloc(n * sizeof(*config.secrets));
	config.n_secrets = n;
	for (size_t i = 0; i < n; i++) {
		config.secrets[i] = secrets[i];
		config.secrets[i].name = kist_strdup(secrets[i].name);
		config.secrets[i].target = kist_strdup(secrets[i].target);
	}
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return c;
}

static int end_of(struct kist_container *c, struct kist_error *err)
{
	int code = -1;

	int r = kist_container_start(c, NULL, NULL, err);
	if (r < 0)
		return r;
	assert_int_equal(kist_container_wait(k, kist_container_id(c), 0, &code, NULL), 0);
	return code;
}

static void test_files_and_variables(void **state)
{
	static const struct kist_secret_config secrets[] = {
		{ .name = (char *)"s" },
		{ .name = (char *)"s", .target = (char *)"other", .uid = 5, .gid = 6, .mode = { true, 0440 } },
		{ .name = (char *)"s", .target = (char *)"/etc/deep/file" },
		{ .name = (char *)"s", .env = true },
		{ .name = (char *)"s", .env = true, .target = (char *)"NAMED" },
	};
	struct kist_error err = { 0 };

	(void)state;
	free(create_with("s", VALUE, false));
	struct kist_container *c = make_secret(
	        "test \"$(cat /run/secrets/s)\" = " SPELT
	        " && test \"$(busybox stat -c '%a %u %g' /run/secrets/other)\" = '440 5 6' && "
	        "test \"$(busybox stat -c %a /run/secrets/s)\" = 444 && test \"$(cat /etc/deep/file)\" = \"$NAMED\" && "
	        "test \"$s\" = \"$NAMED\" && ! echo x 2>/dev/null >/run/secrets/s && while test ! -e /tmp/go; do sleep "
	        "0.02; done",
	        secrets, KIST_COUNT(secrets));
	assert_int_equal(kist_container_start(c, NULL, NULL, &err), 0);
	/* In the run directory while it runs, and in no record. */
	KIST_FREE char *record = kist_container_path(c, NULL);
	KIST_FREE char *running = kist_container_runpath(c, "secrets");
	assert_false(holds_value(record));
	assert_true(holds_value(running));
	/* A process that is added later has the variables too. */
	char *const args[] = { (char *)"/bin/sh", (char *)"-c", (char *)"test \"$NAMED\" = " SPELT " && echo >/tmp/go",
		               NULL };
	struct kist_exec exec = { .args = args };
	char session[65];
	int code = -1;
	if (kist_container_exec(c, &exec, session, &code, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(code, 0);
	assert_int_equal(kist_container_wait(k, "c", 0, &code, NULL), 0);
	assert_int_equal(code, 0);
	for (int i = 0; i < 200 && access(running, F_OK) == 0; i++)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	assert_false(holds_value(run_path));
	assert_false(holds_value(record));
	remove_one(c);
	remove_secret("s");
	expect_nothing_left();
}

static void test_a_new_start_has_the_new_value(void **state)
{
	static const struct kist_secret_config secret = { .name = (char *)"s" };
	struct kist_error err = { 0 };

	(void)state;
	free(create_with("s", "one", false));
	struct kist_container *c = make_secret("test \"$(cat /run/secrets/s)\" = two", &secret, 1);
	assert_int_equal(end_of(c, &err), 1);
	free(create_with("s", "two", true));
	assert_int_equal(end_of(c, &err), 0);
	remove_secret("s");
	assert_true(end_of(c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "no such secret: s"));
	remove_one(c);
}

static void test_no_zero_bytes_in_variables(void **state)
{
	static const struct kist_secret_config secret = { .name = (char *)"s", .env = true };
	struct kist_secret config = { .name = (char *)"s" };
	struct kist_error err = { 0 };
	char id[26];

	(void)state;
	assert_int_equal(kist_secret_create(k, &config, "a\0b", 3, false, id, NULL), 0);
	struct kist_container *c = make_secret("true", &secret, 1);
	assert_true(end_of(c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	remove_one(c);
	remove_secret("s");
}

/* kill -9 at random moments of create, replace and remove. */
static void test_killed_at_any_moment(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		uint32_t random;
		pid_t pid = child_fork();
		if (pid == 0) {
			struct kist *mine = store_open();
			struct kist_secret config = { .name = (char *)"s" };
			char id[26];
			for (;;)
				if (kist_secret_create(mine, &config, VALUE, strlen(VALUE), true, id, NULL) < 0 ||
				    kist_secret_create(mine, &config, VALUE, strlen(VALUE), true, id, NULL) < 0 ||
				    kist_secret_remove(mine, "s", id, NULL) < 0)
					_exit(1);
		}
		kist_random(&random, sizeof(random));
		nanosleep(&(struct timespec){ 0, random % 10000000 }, NULL);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		struct kist_secret **list = NULL;
		char **broken = NULL;
		size_t n;
		assert_int_equal(kist_secret_list(k, &list, &n, &broken, NULL), 0);
		assert_null(broken);
		assert_true(n <= 1);
		if (n == 1) {
			KIST_FREE char *value = value_of("s");
			assert_string_equal(value, VALUE);
			kist_secret_free(list[0]);
		}
		free(list);
		free(create_with("last", "x", true));
		assert_int_equal(count_entries(k->secrets), n + 1);
		remove_secret("last");
		if (n == 1)
			remove_secret("s");
		expect_no_secrets();
	}
}

int main(int argc, char **argv)
{
	/* The engine executes this program again to be a monitor. */
	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, NULL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_find_remove),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_two_of_one_name),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_inspect),
		cmocka_unit_test(test_files_and_variables),
		cmocka_unit_test(test_a_new_start_has_the_new_value),
		cmocka_unit_test(test_no_zero_bytes_in_variables),
		cmocka_unit_test(test_killed_at_any_moment),
	};
	return cmocka_run_group_tests_name("secret", tests, store_setup, store_teardown);
}
