/* Names: the rule, taking them against others, and the generator. */
#include "child.h"
#include "store_help.h"

static const char id_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char id_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static void test_rule(void **state)
{
	static const char *const good[] = { "a", "0", "web", "web-1", "a.b_c-d", "Z9", "a--", "abc." };
	static const char *const bad[] = { "",     "-a",       ".a",  "_a",    "a b", "a/b",
		                           "a\nb", "\xc3\xa9", "a:b", "a\x7f", "..",  "a@b" };
	char longest[257];

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(good); i++)
		assert_int_equal(kist_name_check(good[i], NULL), 0);
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_error err = { 0 };
		assert_true(kist_name_check(bad[i], &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
	}
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_true(kist_name_check(longest, NULL) < 0);
	longest[255] = '\0';
	assert_int_equal(kist_name_check(longest, NULL), 0);
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, longest, id_a, NULL), 0);
	kist_name_release(k, longest, id_a);
}

static void test_claim_find_release(void **state)
{
	struct kist_container *c = make("taken", "true");
	struct kist_error err = { 0 };
	char id[65];

	(void)state;
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "taken", id), 0);
	assert_string_equal(id, kist_container_id(c));
	assert_true(kist_name_claim(k, KIST_NAMED_CONTAINER, "taken", id_b, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	/* The text names the holder. */
	KIST_FREE char *shortened = kist_strndup(kist_container_id(c), 12);
	assert_non_null(strstr(err.text, shortened));
	/* Only the holder can give it back. */
	kist_name_release(k, "taken", id_b);
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "taken", id), 0);
	kist_name_release(k, "taken", kist_container_id(c));
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "taken", id), -ENOENT);
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "../containers", id), -ENOENT);
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, ".lock", id), -ENOENT);
	remove_one(c);
}

static void test_stale_is_taken_over(void **state)
{
	char id[65];

	(void)state;
	/* A link to a container that is not there, and one of a container that has another name by now. */
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "stale", id_a, NULL), 0);
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "stale", id_b, NULL), 0);
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "stale", id), 0);
	assert_string_equal(id, id_b);
	kist_name_release(k, "stale", id_b);

	struct kist_container *c = make("current", "true");
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "former", kist_container_id(c), NULL), 0);
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "former", id_b, NULL), 0);
	kist_name_release(k, "former", id_b);
	/* While somebody is at work on the holder its name is not stale: it may be about to get it. */
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "former", kist_container_id(c), NULL), 0);
	assert_int_equal(kist_container_lock(c, NULL), 0);
	assert_true(kist_name_claim(k, KIST_NAMED_CONTAINER, "former", id_b, NULL) < 0);
	kist_container_unlock(c);
	kist_name_release(k, "former", kist_container_id(c));
	remove_one(c);
}

static void test_damaged_holder_keeps_it(void **state)
{
	struct kist_container *c = make("held", "true");
	char id[65];

	(void)state;
	file_put(kist_container_dir(c), "config", "name=held\n", 10);
	assert_true(kist_name_claim(k, KIST_NAMED_CONTAINER, "held", id_b, NULL) < 0);
	assert_int_equal(kist_container_evict(k, "held", id, NULL), 0);
	assert_string_equal(id, kist_container_id(c));
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "held", id), -ENOENT);
	kist_container_free(c);
}

/* What is no link of ours in names/ is not followed, and gives way. */
static void test_foreign_entries(void **state)
{
	char id[65];

	(void)state;
	file_put(k->names, "file", "x", 1);
	assert_int_equal(symlinkat("/etc/passwd", k->names, "link"), 0);
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "file", id), -ENOENT);
	assert_int_equal(kist_name_find(k, KIST_NAMED_CONTAINER, "link", id), -ENOENT);
	assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "link", id_a, NULL), 0);
	kist_name_release(k, "link", id_a);
	assert_int_equal(unlinkat(k->names, "file", 0), 0);
}

/* The holder of a claim keeps its lock, as a container that is being made does: else its name would count as stale. */
_Noreturn static void claimer(int go, int done)
{
	struct kist *mine = store_open();
	char id[65], ch = 0;

	kist_random_hex(id, 64);
	int run = mkdirat(mine->run_containers, id, 0700) < 0
	                  ? -1
	                  : openat(mine->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock = run < 0 ? -1 : kist_lock(run, "lock", true, false);
	if (lock < 0 || read(go, &ch, 1) < 0)
		_exit(2);
	int r = kist_name_claim(mine, KIST_NAMED_CONTAINER, "contested", id, NULL);
	/* Nobody lets go before all have tried. */
	char result = r == 0 ? 'y' : r == -EEXIST ? 'n' : '?';
	if (write(done, &result, 1) != 1)
		_exit(2);
	pause();
	_exit(2);
}

static void race(bool stale)
{
	enum { N = 16 };
	pid_t pids[N];
	int go[2], done[2], won = 0;

	if (stale)
		assert_int_equal(kist_name_claim(k, KIST_NAMED_CONTAINER, "contested", id_a, NULL), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	for (int i = 0; i < N; i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			close(go[1]);
			claimer(go[0], done[1]);
		}
	}
	close(go[1]); /* the end of file starts them all at once */
	for (int i = 0; i < N; i++) {
		char result = 0;
		assert_int_equal(read(done[0], &result, 1), 1);
		assert_true(result == 'y' || result == 'n');
		won += result == 'y';
	}
	for (int i = 0; i < N; i++) {
		kill(pids[i], SIGKILL);
		kist_wait_pid(pids[i]);
	}
	close(go[0]);
	close(done[0]);
	close(done[1]);
	assert_int_equal(won, 1);
	/* They died as by a crash: all they left is swept. */
	kist_containers_sweep(k);
	expect_nothing_left();
}

static void test_race(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		race(false);
}

static void test_race_for_a_stale_name(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		race(true);
}

static void test_generator(void **state)
{
	enum { N = 300 };
	KIST_STRV char **names = NULL;
	char ids[N][65];

	(void)state;
	for (int i = 0; i < N; i++) {
		char *name = NULL;
		kist_random_hex(ids[i], 64);
		/* Claims without containers would be stale at once. */
		assert_int_equal(mkdirat(k->containers, ids[i], 0700), 0);
		assert_int_equal(kist_name_generate(k, KIST_NAMED_CONTAINER, ids[i], &name, NULL), 0);
		assert_int_equal(kist_name_check(name, NULL), 0);
		const char *middle = strchr(name, '_');
		assert_non_null(middle);
		assert_true(middle > name && middle[1]);
		kist_strv_take(&names, name);
	}
	/* adjective_surname, seldom the same twice: it is random. */
	KIST_STRV char **different = NULL;
	for (int i = 0; i < N; i++)
		if (!kist_strv_has(different, names[i]))
			kist_strv_add(&different, names[i]);
	assert_true(kist_strv_len(different) > N - 30);
	for (int i = 0; i < N; i++) {
		kist_name_release(k, names[i], ids[i]);
		unlinkat(k->containers, ids[i], AT_REMOVEDIR);
	}
	expect_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_claim_find_release),
		cmocka_unit_test(test_stale_is_taken_over),
		cmocka_unit_test(test_damaged_holder_keeps_it),
		cmocka_unit_test(test_foreign_entries),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_race_for_a_stale_name),
		cmocka_unit_test(test_generator),
	};
	return cmocka_run_group_tests_name("names", tests, store_setup, store_teardown);
}
