/* Every call in every state, against the table of the design, written out here once more. */
#include "core/internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* One letter a state, in the order of the columns: unknown, configured (n), created, running, stopping (g), stopped
 * (d), paused, exited, removing (m). */
static const struct {
	enum kist_status status;
	char letter;
} columns[] = {
	{ KIST_UNKNOWN, 'u' }, { KIST_CONFIGURED, 'n' }, { KIST_CREATED, 'c' },
	{ KIST_RUNNING, 'r' }, { KIST_STOPPING, 'g' },   { KIST_STOPPED, 'd' },
	{ KIST_PAUSED, 'p' },  { KIST_EXITED, 'e' },     { KIST_REMOVING, 'm' },
};

/* built: calls of this version. The others answer 'not supported' in every state, whatever the table says. */
static const struct {
	enum kist_call call;
	const char *name;
	const char *allowed;
	bool built;
} table[] = {
	{ KIST_CALL_INIT, "init", "nde", true },
	{ KIST_CALL_START, "start", "ncde", true },
	{ KIST_CALL_STOP, "stop", "crg", true },
	{ KIST_CALL_KILL, "kill", "rgp", true },
	{ KIST_CALL_ATTACH, "attach", "cr", true },
	{ KIST_CALL_RESIZE, "resize", "cr", true },
	{ KIST_CALL_RELOAD_NETWORK, "reload-network", "cr", true },
	{ KIST_CALL_EXEC, "exec", "r", true },
	{ KIST_CALL_PAUSE, "pause", "r", true },
	{ KIST_CALL_UNPAUSE, "unpause", "p", true },
	{ KIST_CALL_RESTART, "restart", "ncrde", true },
	{ KIST_CALL_CLEANUP, "cleanup", "ncgde", true },
	{ KIST_CALL_REMOVE, "remove", "ncgdem", true },
	{ KIST_CALL_REMOVE_FORCE, "remove", "uncrgdpem", true },
	{ KIST_CALL_MOUNT, "mount", "ncrgdpe", true },
	{ KIST_CALL_UNMOUNT, "unmount", "ncrgdpe", true },
	{ KIST_CALL_EXPORT, "export", "ncrgdpe", true },
	{ KIST_CALL_COPY, "copy", "ncrgdpe", true },
	{ KIST_CALL_STAT, "stat", "ncrgdpe", true },
	{ KIST_CALL_CHECKPOINT, "checkpoint", "r", false },
	{ KIST_CALL_RESTORE, "restore", "ne", false },
	{ KIST_CALL_PRUNE, "prune", "ncde", true },
};

static void test_has_every_call_and_state(void **state)
{
	bool seen[KIST_N_CALLS] = { false };

	(void)state;
	assert_int_equal(KIST_COUNT(table), KIST_N_CALLS);
	for (size_t i = 0; i < KIST_COUNT(table); i++) {
		assert_false(seen[table[i].call]);
		seen[table[i].call] = true;
		assert_string_equal(kist_call_name(table[i].call), table[i].name);
	}
	/* Another state would need a column. */
	assert_int_equal(KIST_COUNT(columns), KIST_REMOVING + 1);
	assert_null(kist_status_name((enum kist_status)(KIST_REMOVING + 1)));
}

static void check_cell(size_t row, size_t column)
{
	struct kist_error err = { 0 };
	enum kist_status status = columns[column].status;
	bool ended = status == KIST_STOPPED || status == KIST_EXITED;

	int r = kist_call_check(table[row].call, status, &err);
	enum kist_error_kind wanted = !table[row].built                                    ? KIST_ERR_UNSUPPORTED
	                              : strchr(table[row].allowed, columns[column].letter) ? KIST_ERR_NONE
	                              : table[row].call == KIST_CALL_STOP && ended         ? KIST_ERR_STOPPED
	                                                                                   : KIST_ERR_STATE;
	if (err.kind != wanted || (r == 0) != (wanted == KIST_ERR_NONE) || r > 0)
		fail_msg("%s while %s: %s (%d), expected %s", table[row].name, kist_status_name(status),
		         kist_error_kind_name(err.kind), r, kist_error_kind_name(wanted));
	/* Without an object the answer is the same. */
	assert_int_equal(kist_call_check(table[row].call, status, NULL), r);
	/* A refusal says what it is about: the state as a user knows it. */
	if (wanted == KIST_ERR_STATE)
		assert_non_null(strstr(err.text, kist_status_shown(status)));
}

static void test_every_cell(void **state)
{
	(void)state;
	for (size_t row = 0; row < KIST_COUNT(table); row++) {
		assert_int_equal(kist_call_built(table[row].call), table[row].built);
		for (size_t column = 0; column < KIST_COUNT(columns); column++)
			check_cell(row, column);
	}
}

static void test_names_of_states(void **state)
{
	enum kist_status status;

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(columns); i++) {
		assert_int_equal(kist_status_parse(kist_status_shown(columns[i].status), &status), 0);
		assert_int_equal(status, columns[i].status);
	}
	/* podman's words for the two that differ. */
	assert_string_equal(kist_status_shown(KIST_CONFIGURED), "created");
	assert_string_equal(kist_status_shown(KIST_CREATED), "initialized");
	assert_int_equal(kist_status_parse("configured", &status), 0);
	assert_int_equal(status, KIST_CONFIGURED);
	assert_int_equal(kist_status_parse("Running", &status), -EINVAL);
	assert_int_equal(kist_status_parse("", &status), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has_every_call_and_state),
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_names_of_states),
	};
	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
