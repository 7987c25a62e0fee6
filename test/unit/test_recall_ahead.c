/* The second reader of a long list: what two read is what one reads, whichever gets how far. */
#include "store_help.h"

#include "core/recall_internal.h"

#include <sched.h>

enum { MANY = 1100, BIG = 40000 };

static char ids[MANY][65];

static void record_put(size_t i, const char *file, const char *text)
{
	int dir KIST_CLOSE = openat(k->containers, ids[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KIST_STR struct kist_str record = { 0 };

	kist_str_add(&record, text);
	kist_sum_append(&record);
	assert_true(dir >= 0);
	assert_int_equal(kist_replace_file(dir, file, record.data, record.len, 0600, 0), 0);
}

/* Every third has run in this boot, every fifth in another one and left an exit record; some have a long label. */
static bool has_state(size_t i)
{
	return i % 3 == 0 || i % 5 == 0;
}

static void texts_of(size_t i, char **config, char **state, char **ended)
{
	KIST_FREE char *label = kist_alloc(BIG + 1);

	memset(label, 'x', i % 97 == 1 ? BIG : 5);
	*config = kist_asprintf("id=%s\nname=n%zu\nlabels=a=%s\n", ids[i], i, label);
	*state = has_state(i) ? kist_asprintf("status=exited\nrun=1\nboot=%s\n", i % 5 == 0 ? "other" : k->boot) : NULL;
	*ended = i % 5 == 0 ? kist_asprintf("code=%zu\nrun=1\n", i % 200) : NULL;
}

static void texts_free(char *config, char *state, char *ended)
{
	free(config);
	free(state);
	free(ended);
}

static int setup(void **state)
{
	if (store_setup(state) < 0)
		return -1;
	for (size_t i = 0; i < MANY; i++) {
		char *config, *status, *ended;
		snprintf(ids[i], sizeof(ids[i]), "%03zx%061x", i, 0);
		assert_int_equal(mkdirat(k->containers, ids[i], 0700), 0);
		texts_of(i, &config, &status, &ended);
		record_put(i, "config", config);
		if (status)
			record_put(i, "state", status);
		if (ended)
			record_put(i, "exit", ended);
		texts_free(config, status, ended);
	}
	usleep(2100000); /* until then it is not kept */
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < MANY; i++)
		kist_remove_tree(k->containers, ids[i]);
	return store_teardown(state);
}

static void expect(struct kist_recall *recall, size_t i, enum kist_recall_file file, const char *text)
{
	KIST_STR struct kist_str found = { 0 };

	assert_int_equal(kist_recall_read(recall, ids[i], file, &found), text ? 0 : -ENOENT);
	assert_string_equal(found.data, text ? text : "");
}

static void expect_all(struct kist_recall *recall, size_t i)
{
	char *config, *state, *ended;

	texts_of(i, &config, &state, &ended);
	expect(recall, i, KIST_RECALL_CONFIG, config);
	expect(recall, i, KIST_RECALL_STATE, state);
	expect(recall, i, KIST_RECALL_EXIT, ended);
	texts_free(config, state, ended);
}

static void list_remove(void)
{
	assert_true(unlinkat(k->runroot, "list", 0) == 0 || errno == ENOENT);
}

static struct recall_ahead *start(void)
{
	struct recall_ahead *ahead = recall_ahead_start(k, ids, MANY);
	cpu_set_t set;

	if (!ahead) {
		assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
		assert_int_equal(CPU_COUNT(&set), 1);
		skip();
	}
	return ahead;
}

/* Of those that no signal tells of: the store has another. */
static bool has_child(void)
{
	return waitpid(-1, NULL, __WCLONE | WNOHANG) == 0 || errno != ECHILD;
}

/* --- tests ----------------------------------------------------------------------------------------------------------
 */

static void test_same(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		if (round % 2 == 0)
			list_remove();
		struct kist_recall *recall = kist_recall_open(k, ids, MANY);
		for (size_t i = 0; i < MANY; i++) {
			expect_all(recall, i);
			/* In each round they meet somewhere else. */
			if (i == (size_t)round * 50)
				usleep(20000);
		}
		kist_recall_close(recall);
		assert_false(has_child());
		assert_int_equal(faccessat(k->runroot, "list", F_OK, 0), 0);
	}
}

static void test_left_early(void **state)
{
	(void)state;
	for (size_t n = 0; n < 5; n++) {
		list_remove();
		struct kist_recall *recall = kist_recall_open(k, ids, MANY);
		for (size_t i = 0; i < n; i++)
			expect_all(recall, i);
		kist_recall_close(recall);
		assert_false(has_child());
	}
}

/* The second one is killed at any moment: the first reads what it has not. */
static void test_killed(void **state)
{
	(void)state;
	for (int round = 0; round < 40; round++) {
		struct recall_ahead *ahead = start();
		struct recall_entry entry;
		const char *texts;
		size_t n = 0;

		usleep((useconds_t)round * 100);
		assert_int_equal(kill(recall_ahead_pid(ahead), SIGKILL), 0);
		for (size_t i = 0; i < MANY; i++) {
			if (!recall_ahead_has(ahead, i, &entry, &texts))
				continue;
			assert_memory_equal(entry.id, ids[i], 64);
			const struct recall_part *part = &entry.parts[KIST_RECALL_CONFIG];
			KIST_FREE char *text = kist_strndup(texts + part->at, (size_t)part->length);
			assert_non_null(strstr(text, ids[i]));
			n++;
		}
		assert_true(n < MANY);
		recall_ahead_end(ahead);
		assert_false(has_child());
	}
}

/* A record that it cannot have, or that is damaged or gone, is left to the first, who tells of it. */
static void test_not_for_it(void **state)
{
	(void)state;
	list_remove();
	int dir KIST_CLOSE = openat(k->containers, ids[MANY - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file_put(dir, "config", "id=torn", 7);
	int other KIST_CLOSE = openat(k->containers, ids[MANY - 2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(renameat(other, "config", other, "away"), 0);

	struct recall_ahead *ahead = start();
	struct recall_entry entry;
	const char *texts;
	usleep(200000);
	for (size_t i = 0; i < MANY; i++) {
		bool has = recall_ahead_has(ahead, i, &entry, &texts);
		if (has)
			assert_true(i % 97 != 1 && i < MANY - 2);
	}
	recall_ahead_end(ahead);

	struct kist_recall *recall = kist_recall_open(k, ids, MANY);
	KIST_STR struct kist_str text = { 0 };
	usleep(200000);
	for (size_t i = 0; i < MANY - 2; i++)
		expect_all(recall, i);
	assert_int_equal(kist_recall_read(recall, ids[MANY - 2], KIST_RECALL_CONFIG, &text), -ENOENT);
	assert_int_equal(kist_recall_read(recall, ids[MANY - 1], KIST_RECALL_CONFIG, &text), -EBADMSG);
	kist_recall_close(recall);
	assert_false(has_child());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_left_early),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_not_for_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
