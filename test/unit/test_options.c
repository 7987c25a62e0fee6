#include "cli/options.h"

#include "core/base/error.h"
#include "core/base/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct shared {
	char **env;
	const char *name;
};
struct values {
	bool detach, tty, interactive;
	int number;
	int64_t wide, timeout, cpus;
	uint64_t count, size;
	const char *pull, *choice, *text;
	char **filters;
	struct kist_opt tls, memory, oom, swap, grace, nano;
	char *seen;
	int calls;
	struct shared shared;
};
struct globals {
	const char *root;
	bool debug;
};

static int see(void *object, const struct kist_option *option, const char *value, struct kist_error *err)
{
	struct values *v = object;

	if (kist_streq(value, "bad"))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "'%s' is bad for %s", value, option->name);
	free(v->seen);
	v->seen = kist_strdup(value);
	v->calls++;
	return 0;
}

static const char *const colours[] = { "red", "green", NULL };
static const char *const filter_aliases[] = { "select", NULL };
static const struct kist_option rows[] = {
	KIST_OPTION(struct values, FLAG, detach, "detach", 'd'),
	KIST_OPTION(struct values, FLAG, tty, "tty", 't'),
	KIST_OPTION(struct values, FLAG, interactive, "interactive", 'i'),
	KIST_OPTION(struct values, INT, number, "number", 'n', .fallback = "-1"),
	KIST_OPTION(struct values, I64, wide, "wide", 0),
	KIST_OPTION(struct values, DURATION, timeout, "timeout", 'T', .fallback = "10"),
	KIST_OPTION(struct values, NANO, cpus, "cpus", 0),
	KIST_OPTION(struct values, U64, count, "count", 'c'),
	KIST_OPTION(struct values, SIZE, size, "size", 's'),
	KIST_OPTION(struct values, STRING, pull, "pull", 'p', .implied = "missing"),
	KIST_OPTION(struct values, CHOICE, choice, "choice", 0, .choices = colours, .fallback = "red"),
	KIST_OPTION(struct values, STRING, text, "text", 0, .flags = KIST_OPTION_NONEMPTY),
	KIST_OPTION(struct values, COMMAS, filters, "filter", 'f', .aliases = filter_aliases),
	KIST_OPTION(struct values, OPT_BOOL, tls, "tls-verify", 0),
	KIST_OPTION(struct values, OPT_SIZE, memory, "memory", 'm'),
	KIST_OPTION(struct values, OPT_I64, oom, "oom", 0),
	KIST_OPTION(struct values, OPT_SIZE, swap, "swap", 0, .flags = KIST_OPTION_UNLIMITED),
	KIST_OPTION(struct values, OPT_DURATION, grace, "grace", 0),
	KIST_OPTION(struct values, OPT_NANO, nano, "nano", 0),
	{ .name = "see", .type = KIST_O_CALLBACK, .metavar = "WHAT", .set = see },
	{ .name = "touch", .letter = 'x', .type = KIST_O_CALLBACK, .set = see },
	{ 0 },
};
static const struct kist_option shared_rows[] = {
	KIST_OPTION(struct shared, LIST, env, "env", 'e'),
	KIST_OPTION(struct shared, STRING, name, "name", 0),
	{ 0 },
};
static const struct kist_option_set sets[] = { { rows, 0 }, { shared_rows, offsetof(struct values, shared) }, { 0 } };
static const struct kist_option global_rows[] = {
	KIST_OPTION(struct globals, STRING, root, "root", 0),
	KIST_OPTION(struct globals, FLAG, debug, "debug", 'd'),
	{ 0 },
};
static const struct kist_option_set global_sets[] = { { global_rows, 0 }, { 0 } };

struct parsed {
	struct values v;
	struct globals g;
	char **words; /* owns the texts */
	char *argv[32];
	int n;
	struct kist_error err;
};

/* line: words parted by '|'. */
static void parse(struct parsed *p, enum kist_options_mode mode, const char *line)
{
	struct kist_options_target targets[] = { { sets, &p->v }, { global_sets, &p->g } };
	int argc;

	memset(p, 0, sizeof(*p));
	kist_options_init(sets, &p->v);
	p->words = kist_strv_split(line, '|');
	argc = (int)kist_strv_len(p->words) + 1;
	assert_true(argc < 32);
	p->argv[0] = (char *)"run";
	for (int i = 1; i < argc; i++)
		p->argv[i] = p->words[i - 1];
	p->n = kist_options_parse(targets, 2, mode, argc, p->argv, &p->err);
}

static void end(struct parsed *p)
{
	kist_options_clear(sets, &p->v);
	assert_null(p->v.filters);
	assert_null(p->v.shared.env);
	free(p->v.seen);
	kist_strv_free(p->words);
}

static void test_spellings(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, KIST_OPTIONS_PERMUTE, "--number|5|--wide=-9|-itd|-eA=1|-e|B=2|-e=C=3|-n7|img|--name=x|--|-i|--foo");
	assert_int_equal(p.n, 3);
	assert_string_equal(p.argv[1], "img");
	assert_string_equal(p.argv[2], "-i");
	assert_string_equal(p.argv[3], "--foo");
	assert_null(p.argv[4]);
	assert_int_equal(p.v.number, 7);
	assert_int_equal(p.v.wide, -9);
	assert_true(p.v.detach && p.v.tty && p.v.interactive);
	assert_string_equal(p.v.shared.env[0], "A=1");
	assert_string_equal(p.v.shared.env[1], "B=2");
	assert_string_equal(p.v.shared.env[2], "C=3");
	assert_null(p.v.shared.env[3]);
	assert_string_equal(p.v.shared.name, "x");
	end(&p);
	/* The first target wins 'd'; a bundle may end in an option with a value; a lone '-' is an argument. */
	parse(&p, KIST_OPTIONS_PERMUTE, "-|-ditn|3|--root|/r|--debug|--detach=false");
	assert_int_equal(p.n, 1);
	assert_string_equal(p.argv[1], "-");
	assert_int_equal(p.v.number, 3);
	assert_false(p.v.detach);
	assert_true(p.g.debug);
	assert_string_equal(p.g.root, "/r");
	end(&p);
	parse(&p, KIST_OPTIONS_PERMUTE, "--name=|-d=false|-n|-4");
	assert_string_equal(p.v.shared.name, "");
	assert_false(p.v.detach);
	assert_int_equal(p.v.number, -4);
	end(&p);
}

static void test_stop(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, KIST_OPTIONS_STOP, "-d|img|-i|--foo|--|x");
	assert_int_equal(p.n, 5);
	assert_string_equal(p.argv[1], "img");
	assert_string_equal(p.argv[2], "-i");
	assert_string_equal(p.argv[4], "--");
	assert_true(p.v.detach);
	assert_false(p.v.interactive);
	end(&p);
	parse(&p, KIST_OPTIONS_STOP, "-d|--|--foo|-i");
	assert_int_equal(p.n, 2);
	assert_string_equal(p.argv[1], "--foo");
	end(&p);
	parse(&p, KIST_OPTIONS_STOP, "img|--help");
	assert_int_equal(p.n, 2);
	end(&p);
}

static void test_values(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, KIST_OPTIONS_PERMUTE, "");
	assert_int_equal(p.v.number, -1);
	assert_int_equal(p.v.timeout, 10000000000);
	assert_string_equal(p.v.choice, "red");
	assert_null(p.v.text);
	assert_false(p.v.tls.set || p.v.memory.set || p.v.oom.set);
	end(&p);
	parse(&p, KIST_OPTIONS_PERMUTE,
	      "-T|1m30s|--cpus|1.5|-c|18446744073709551615|-s64m|--pull|--choice|green|--tls-verify=false|-m1g|--swap=-"
	      "1|--oom|-7");
	assert_int_equal(p.v.timeout, 90000000000);
	assert_int_equal(p.v.cpus, 1500000000);
	assert_true(p.v.count == UINT64_MAX);
	assert_int_equal(p.v.size, 64 << 20);
	assert_string_equal(p.v.pull, "missing");
	assert_string_equal(p.v.choice, "green");
	assert_true(p.v.tls.set);
	assert_int_equal(p.v.tls.value, 0);
	assert_int_equal(p.v.memory.value, 1 << 30);
	assert_int_equal(p.v.swap.value, -1);
	assert_int_equal(p.v.oom.value, -7);
	end(&p);
	parse(&p, KIST_OPTIONS_PERMUTE,
	      "--filter|a=b,c=d|-f|\"x,\"\"y\"|--select=z|--pull=always|-p|--nano=.25|--grace=2");
	assert_string_equal(p.v.filters[0], "a=b");
	assert_string_equal(p.v.filters[1], "c=d");
	assert_string_equal(p.v.filters[2], "x,\"y");
	assert_string_equal(p.v.filters[3], "z");
	assert_string_equal(p.v.pull, "missing");
	assert_int_equal(p.v.nano.value, 250000000);
	assert_int_equal(p.v.grace.value, 2000000000);
	end(&p);
	parse(&p, KIST_OPTIONS_PERMUTE, "--see|one|-x|--see=two");
	assert_string_equal(p.v.seen, "two");
	assert_int_equal(p.v.calls, 3);
	end(&p);
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "--foo", "unknown option '--foo'" },
		{ "--foo=bar", "unknown option '--foo'" },
		{ "--det", "unknown option '--det'" },
		{ "-Z", "unknown option '-Z'" },
		{ "-iZt", "unknown option '-Z' in '-iZt'" },
		{ "--number", "option '--number' needs a value" },
		{ "-in", "option '-n' needs a value" },
		{ "--number=abc", "option '--number': 'abc' is not a whole number" },
		{ "-nabc", "option '-n': 'abc' is not a whole number" },
		{ "--number=", "option '--number': '' is not a whole number" },
		{ "--number=3000000000", "option '--number': '3000000000' is out of range" },
		{ "--count=-1", "option '--count': '-1' is not a whole number from 0" },
		{ "--size=12q", "option '--size': '12q' is not a size such as 512, 64m or 1GiB" },
		{ "--memory=-1", "option '--memory': '-1' is not a size such as 512, 64m or 1GiB" },
		{ "--timeout=soon", "option '--timeout': 'soon' is not a time such as 30, 90s or 1h30m" },
		{ "--timeout=99999999999999", "option '--timeout': '99999999999999' is out of range" },
		{ "--cpus=1,5", "option '--cpus': '1,5' is not a number such as 2 or 0.5" },
		{ "--cpus=.", "option '--cpus': '.' is not a number such as 2 or 0.5" },
		{ "--cpus=0.0000000001", "option '--cpus': '0.0000000001' is out of range" },
		{ "--choice=blue", "option '--choice': 'blue' is not one of red, green" },
		{ "--detach=maybe", "option '--detach': 'maybe' is not true or false" },
		{ "--text=", "option '--text' needs a value that is not empty" },
		{ "--touch=x", "option '--touch' takes no value" },
		{ "--see=bad", "option '--see': 'bad' is bad for see" },
		{ "-f\"x", "option '-f': '\"x' is not a list parted by commas" },
		{ "--=x", "unknown option '--'" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct parsed p;

		parse(&p, KIST_OPTIONS_PERMUTE, cases[i].line);
		if (p.n != -EINVAL)
			fail_msg("%s is accepted", cases[i].line);
		assert_string_equal(p.err.text, cases[i].message);
		assert_int_equal(p.err.kind, KIST_ERR_INVALID);
		end(&p);
	}
}

static void test_help(void **state)
{
	static const char *const lines[] = { "--help", "-h", "-ih", "x|--help" };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(lines); i++) {
		struct parsed p;

		parse(&p, KIST_OPTIONS_PERMUTE, lines[i]);
		assert_int_equal(p.n, -ECANCELED);
		assert_false(kist_error_is_set(&p.err));
		end(&p);
	}
}

static void test_kinds(void **state)
{
	enum kist_complete kind;

	(void)state;
	for (int k = KIST_COMPLETE_NONE; k <= KIST_COMPLETE_COMMAND; k++) {
		assert_int_equal(kist_complete_of(kist_complete_name((enum kist_complete)k), &kind), 0);
		assert_int_equal((int)kind, k);
	}
	assert_int_equal(kist_complete_of("nonsense", &kind), -EINVAL);
	assert_string_equal(kist_option_metavar(&rows[0]), "");
	assert_string_equal(kist_option_metavar(&rows[3]), "int");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings), cmocka_unit_test(test_stop), cmocka_unit_test(test_values),
		cmocka_unit_test(test_mistakes),  cmocka_unit_test(test_help), cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
