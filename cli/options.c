#include "cli/options.h"
#include "cli/nearest.h"

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const struct kist_name complete_names[] = {
	{ "none", KIST_COMPLETE_NONE },
	{ "file", KIST_COMPLETE_FILE },
	{ "directory", KIST_COMPLETE_DIRECTORY },
	{ "container", KIST_COMPLETE_CONTAINER },
	{ "running", KIST_COMPLETE_RUNNING },
	{ "paused", KIST_COMPLETE_PAUSED },
	{ "stopped", KIST_COMPLETE_STOPPED },
	{ "image", KIST_COMPLETE_IMAGE },
	{ "volume", KIST_COMPLETE_VOLUME },
	{ "network", KIST_COMPLETE_NETWORK },
	{ "pod", KIST_COMPLETE_POD },
	{ "secret", KIST_COMPLETE_SECRET },
	{ "command", KIST_COMPLETE_COMMAND },
	{ NULL, 0 },
};

const char *kist_complete_name(enum kist_complete kind)
{
	return kist_name_of(complete_names, (int)kind);
}

int kist_complete_of(const char *name, enum kist_complete *out)
{
	int value;
	int r = kist_value_of(complete_names, name, &value);

	if (r < 0)
		return r;
	*out = (enum kist_complete)value;
	return 0;
}

/* What a value of each type is called in the help, and in the message about a wrong one. */
static const struct {
	const char *metavar;
	const char *expected;
} types[] = {
	[KIST_O_FLAG] = { "", "true or false" },
	[KIST_O_STRING] = { "string", "a text" },
	[KIST_O_CHOICE] = { "string", "a choice" },
	[KIST_O_LIST] = { "string", "a text" },
	[KIST_O_COMMAS] = { "strings", "a list parted by commas" },
	[KIST_O_INT] = { "int", "a whole number" },
	[KIST_O_I64] = { "int", "a whole number" },
	[KIST_O_U64] = { "uint", "a whole number from 0" },
	[KIST_O_SIZE] = { "size", "a size such as 512, 64m or 1GiB" },
	[KIST_O_DURATION] = { "duration", "a time such as 30, 90s or 1h30m" },
	[KIST_O_NANO] = { "float", "a number such as 2 or 0.5" },
	[KIST_O_OPT_BOOL] = { "", "true or false" },
	[KIST_O_OPT_I64] = { "int", "a whole number" },
	[KIST_O_OPT_U64] = { "uint", "a whole number from 0" },
	[KIST_O_OPT_SIZE] = { "size", "a size such as 512, 64m or 1GiB" },
	[KIST_O_OPT_DURATION] = { "duration", "a time such as 30, 90s or 1h30m" },
	[KIST_O_OPT_NANO] = { "float", "a number such as 2 or 0.5" },
	[KIST_O_CALLBACK] = { "", "a value" },
};

bool kist_option_takes_value(const struct kist_option *option)
{
	if (option->type == KIST_O_CALLBACK)
		return option->metavar != NULL;
	return option->type != KIST_O_FLAG && option->type != KIST_O_OPT_BOOL;
}

const char *kist_option_metavar(const struct kist_option *option)
{
	if (!kist_option_takes_value(option))
		return "";
	return option->metavar ? option->metavar : types[option->type].metavar;
}

int kist_split_commas(const char *text, char ***items)
{
	KIST_STRV char **fields = NULL;
	KIST_STR struct kist_str field = { 0 };
	const char *p = text;

	if (!*text)
		return 0;
	for (;;) {
		kist_str_clear(&field);
		if (*p == '"') {
			for (p++; *p && !(*p == '"' && p[1] != '"'); p++) {
				if (*p == '"')
					p++;
				kist_str_addc(&field, *p);
			}
			if (*p != '"' || (p[1] && p[1] != ','))
				return -EINVAL;
			p++;
		} else {
			for (; *p && *p != ','; p++) {
				if (*p == '"')
					return -EINVAL;
				kist_str_addc(&field, *p);
			}
		}
		kist_strv_add(&fields, kist_str_get(&field));
		if (!*p)
			break;
		p++;
	}
	for (size_t i = 0; fields[i]; i++)
		kist_strv_add(items, fields[i]);
	return 0;
}

/* A decimal number times 10^9. Exact: more than nine decimals are refused rather than rounded. */
static int parse_nano(const char *text, int64_t *out)
{
	uint64_t whole, fraction = 0, scale = 1000000000;
	const char *dot = strchr(text, '.');
	KIST_FREE char *head = dot ? kist_strndup(text, (size_t)(dot - text)) : kist_strdup(text);
	int r;

	if (dot && !*head && dot[1]) {
		whole = 0;
	} else {
		r = kist_parse_u64(head, &whole);
		if (r < 0)
			return r;
	}
	for (const char *p = dot ? dot + 1 : ""; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		if (scale == 1 && *p != '0')
			return -ERANGE;
		if (scale == 1)
			continue;
		scale /= 10;
		fraction += scale * (uint64_t)(*p - '0');
	}
	if (whole > (INT64_MAX - fraction) / 1000000000)
		return -ERANGE;
	*out = (int64_t)(whole * 1000000000 + fraction);
	return 0;
}

static int parse_duration(const char *text, int64_t *out)
{
	uint64_t seconds;
	int r = kist_parse_u64(text, &seconds);

	if (r == -ERANGE || (r == 0 && seconds > INT64_MAX / 1000000000))
		return -ERANGE;
	if (r < 0)
		return kist_parse_duration(text, out);
	*out = (int64_t)(seconds * 1000000000);
	return 0;
}

/* The numeric types share one form: parsed to 64 bits, then stored in the member's own width. */
static int parse_number(const struct kist_option *option, const char *value, int64_t *out)
{
	uint64_t u;
	bool b;
	int r;

	switch (option->type) {
	case KIST_O_FLAG:
	case KIST_O_OPT_BOOL:
		r = kist_parse_bool(value, &b);
		if (r == 0)
			*out = b;
		return r;
	case KIST_O_INT:
		r = kist_parse_i64(value, out);
		return r == 0 && *out != (int)*out ? -ERANGE : r;
	case KIST_O_I64:
	case KIST_O_OPT_I64:
		return kist_parse_i64(value, out);
	case KIST_O_U64:
	case KIST_O_OPT_U64:
		r = kist_parse_u64(value, &u);
		break;
	case KIST_O_OPT_SIZE:
		if ((option->flags & KIST_OPTION_UNLIMITED) && kist_streq(value, "-1")) {
			*out = -1;
			return 0;
		}
		r = kist_parse_size(value, &u);
		/* The same member holds -1 for 'unlimited': the upper half is no size. */
		if (r == 0 && u > INT64_MAX)
			r = -ERANGE;
		break;
	case KIST_O_SIZE:
		r = kist_parse_size(value, &u);
		break;
	case KIST_O_DURATION:
	case KIST_O_OPT_DURATION:
		return parse_duration(value, out);
	case KIST_O_NANO:
	case KIST_O_OPT_NANO:
		return parse_nano(value, out);
	default:
		return -EINVAL;
	}
	if (r == 0)
		*out = (int64_t)u;
	return r;
}

static void store_number(const struct kist_option *option, void *member, int64_t number)
{
	switch (option->type) {
	case KIST_O_FLAG:
		*(bool *)member = number != 0;
		return;
	case KIST_O_INT:
		*(int *)member = (int)number;
		return;
	case KIST_O_I64:
	case KIST_O_DURATION:
	case KIST_O_NANO:
		*(int64_t *)member = number;
		return;
	case KIST_O_U64:
	case KIST_O_SIZE:
		*(uint64_t *)member = (uint64_t)number;
		return;
	default:
		*(struct kist_opt *)member = (struct kist_opt){ .set = true, .value = number };
		return;
	}
}

static int fail_value(const struct kist_option *option, const char *spelt, const char *value, int reason,
                      struct kist_error *err)
{
	if (option->type == KIST_O_CHOICE) {
		KIST_FREE char *choices = kist_strv_join((char *const *)option->choices, ", ");

		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "option '%s': '%s' is not one of %s", spelt, value,
		                 choices);
	}
	if (reason == -ERANGE)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "option '%s': '%s' is out of range", spelt, value);
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "option '%s': '%s' is not %s", spelt, value,
	                 types[option->type].expected);
}

static int set_value(const struct kist_option *option, void *object, const char *spelt, const char *value,
                     struct kist_error *err)
{
	void *member = (char *)object + option->offset;
	int64_t number = 0;
	int r;

	switch (option->type) {
	case KIST_O_CALLBACK:
		r = option->set(object, option, value, err);
		return r < 0 ? kist_context(err, "option '%s'", spelt) : 0;
	case KIST_O_CHOICE:
		if (!kist_strv_has((char *const *)option->choices, value))
			return fail_value(option, spelt, value, -EINVAL, err);
		*(const char **)member = value;
		return 0;
	case KIST_O_STRING:
		if ((option->flags & KIST_OPTION_NONEMPTY) && !*value)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "option '%s' needs a value that is not empty",
			                 spelt);
		*(const char **)member = value;
		return 0;
	case KIST_O_LIST:
		kist_strv_add(member, value);
		return 0;
	case KIST_O_COMMAS:
		r = kist_split_commas(value, member);
		return r < 0 ? fail_value(option, spelt, value, r, err) : 0;
	default:
		r = parse_number(option, value, &number);
		if (r < 0)
			return fail_value(option, spelt, value, r, err);
		store_number(option, member, number);
		return 0;
	}
}

int kist_option_set_value(const struct kist_option *option, void *object, const char *value, struct kist_error *err)
{
	KIST_FREE char *spelt =
	        option->name ? kist_asprintf("--%s", option->name) : kist_asprintf("-%c", option->letter);

	return set_value(option, object, spelt, value, err);
}

void kist_options_init(const struct kist_option_set *sets, void *object)
{
	for (; sets && sets->rows; sets++)
		for (const struct kist_option *o = sets->rows; o->type != KIST_O_END; o++) {
			int r KIST_UNUSED;

			if (!o->fallback)
				continue;
			/* A default list could not be told from a given one, and would be added to. */
			assert(o->type != KIST_O_LIST && o->type != KIST_O_COMMAS);
			r = kist_option_set_value(o, (char *)object + sets->offset, o->fallback, NULL);
			assert(r == 0);
		}
}

void kist_options_clear(const struct kist_option_set *sets, void *object)
{
	for (; sets && sets->rows; sets++)
		for (const struct kist_option *o = sets->rows; o->type != KIST_O_END; o++) {
			char ***list = (void *)((char *)object + sets->offset + o->offset);

			if (o->type == KIST_O_LIST || o->type == KIST_O_COMMAS)
				kist_strv_free(kist_steal(list));
		}
}

static bool names_option(const struct kist_option *option, const char *name, size_t len)
{
	if (option->name && strlen(option->name) == len && memcmp(option->name, name, len) == 0)
		return true;
	for (const char *const *a = option->aliases; a && *a; a++)
		if (strlen(*a) == len && memcmp(*a, name, len) == 0)
			return true;
	return false;
}

/* By long name, or by letter when name is NULL. *object: the struct that the row's offset counts from. */
static const struct kist_option *find_option(const struct kist_options_target *targets, size_t n_targets,
                                             const char *name, size_t len, char letter, void **object)
{
	for (size_t t = 0; t < n_targets; t++)
		for (const struct kist_option_set *set = targets[t].sets; set && set->rows; set++)
			for (const struct kist_option *o = set->rows; o->type != KIST_O_END; o++) {
				if (name ? !names_option(o, name, len) : o->letter != letter)
					continue;
				*object = (char *)targets[t].object + set->offset;
				return o;
			}
	return NULL;
}

struct scan {
	const struct kist_options_target *targets;
	size_t n_targets;
	int argc;
	char **argv;
	int at; /* the argument being read */
	struct kist_error *err;
};

/* attached: the text after '=' or, for a letter, right behind it; NULL when there is none. */
static int take_option(struct scan *s, const struct kist_option *option, void *object, const char *spelt,
                       const char *attached)
{
	const char *value = attached;

	if (!kist_option_takes_value(option)) {
		if (option->type == KIST_O_CALLBACK && attached)
			return kist_fail(s->err, KIST_ERR_INVALID, EINVAL, "option '%s' takes no value", spelt);
		if (option->type != KIST_O_CALLBACK && !attached)
			value = "true";
	} else if (!attached && option->implied) {
		value = option->implied;
	} else if (!attached) {
		if (s->at + 1 >= s->argc)
			return kist_fail(s->err, KIST_ERR_INVALID, EINVAL, "option '%s' needs a value", spelt);
		value = s->argv[++s->at];
	}
	return set_value(option, object, spelt, value, s->err);
}

int kist_option_refuse(void *object, const struct kist_option *option, const char *value, struct kist_error *err)
{
	(void)object;
	(void)value;
	return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "not supported: %s", option->help);
}

static int fail_unknown(struct scan *s, const char *spelt)
{
	struct kist_nearest nearest = { .word = spelt + 2 };

	for (size_t i = 0; i < s->n_targets; i++)
		for (const struct kist_option_set *set = s->targets[i].sets; set && set->rows; set++)
			for (const struct kist_option *row = set->rows; row->type != KIST_O_END; row++)
				if (row->name && !(row->flags & KIST_OPTION_HIDDEN))
					kist_nearest_offer(&nearest, row->name);
	kist_fail(s->err, KIST_ERR_INVALID, EINVAL, "unknown option '%s'", spelt);
	return nearest.best ? kist_remedy(s->err, "did you mean '--%s'?", nearest.best) : -EINVAL;
}

static int scan_long(struct scan *s, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	KIST_FREE char *spelt = kist_strndup(text - 2, len + 2);
	const struct kist_option *option;
	void *object;

	option = find_option(s->targets, s->n_targets, text, len, 0, &object);
	if (option)
		return take_option(s, option, object, spelt, equals ? equals + 1 : NULL);
	if (kist_streq(spelt, "--help"))
		return -ECANCELED;
	return fail_unknown(s, spelt);
}

static int scan_letters(struct scan *s, const char *text)
{
	for (const char *p = text; *p; p++) {
		char spelt[3] = { '-', *p, 0 };
		const char *attached = NULL;
		const struct kist_option *option;
		void *object;
		int r;

		option = find_option(s->targets, s->n_targets, NULL, 0, *p, &object);
		if (!option && *p == 'h')
			return -ECANCELED;
		if (!option && p == text && !p[1])
			return kist_fail(s->err, KIST_ERR_INVALID, EINVAL, "unknown option '%s'", spelt);
		if (!option)
			return kist_fail(s->err, KIST_ERR_INVALID, EINVAL, "unknown option '-%c' in '-%s'", *p, text);
		if (p[1] == '=')
			attached = p + 2;
		else if (p[1] && kist_option_takes_value(option) && !option->implied)
			attached = p + 1;
		r = take_option(s, option, object, spelt, attached);
		if (r < 0 || attached)
			return r;
	}
	return 0;
}

int kist_options_parse(const struct kist_options_target *targets, size_t n_targets, enum kist_options_mode mode,
                       int argc, char **argv, struct kist_error *err)
{
	struct scan s = { .targets = targets, .n_targets = n_targets, .argc = argc, .argv = argv, .err = err };
	bool ended = false;
	int n = 0;

	for (s.at = 1; s.at < argc; s.at++) {
		char *arg = argv[s.at];
		int r = 0;

		if (ended || arg[0] != '-' || !arg[1]) {
			ended = ended || mode == KIST_OPTIONS_STOP;
			argv[1 + n++] = arg;
		} else if (kist_streq(arg, "--")) {
			ended = true;
		} else if (arg[1] == '-') {
			r = scan_long(&s, arg + 2);
		} else {
			r = scan_letters(&s, arg + 1);
		}
		if (r < 0)
			return r;
	}
	if (argc > 0)
		argv[1 + n] = NULL;
	return n;
}
