#include "cli/filter.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <fnmatch.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int fail_unknown(const char *name, const struct kist_filter_key *keys, struct kist_error *err)
{
	KIST_STRV char **names = NULL;
	KIST_FREE char *joined = NULL;

	for (; keys->name; keys++)
		kist_strv_add(&names, keys->name);
	joined = kist_strv_join(names, ", ");
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s' is not known; use one of: %s", name, joined);
}

static int parse_regex(struct kist_filter *f, struct kist_error *err)
{
	regex_t *regex = kist_alloc(sizeof(*regex));
	int r = regcomp(regex, f->value, REG_EXTENDED | REG_NOSUB);
	char why[128];

	if (r == 0) {
		f->regex = regex;
		return 0;
	}
	regerror(r, regex, why, sizeof(why));
	free(regex);
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s': bad regular expression '%s': %s", f->key->name,
	                 f->value, why);
}

static int check_choice(const struct kist_filter *f, struct kist_error *err)
{
	KIST_FREE char *choices = NULL;

	if (kist_strv_has((char *const *)f->key->choices, f->value))
		return 0;
	choices = kist_strv_join((char *const *)f->key->choices, ", ");
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s': '%s' is not one of %s", f->key->name, f->value,
	                 choices);
}

/* Checks the value and turns it into what the kind compares. */
static int parse_value(struct kist_filter *f, struct kist_error *err)
{
	const char *expected;
	bool truth = false;
	int r = 0;

	switch (f->key->kind) {
	case KIST_FILTER_CHOICE:
		return check_choice(f, err);
	case KIST_FILTER_REGEX:
		return parse_regex(f, err);
	case KIST_FILTER_PREFIX:
		return f->value[strspn(f->value, "0123456789abcdefABCDEF")] ? parse_regex(f, err) : 0;
	case KIST_FILTER_NUMBER:
		expected = "a whole number";
		r = kist_parse_i64(f->value, &f->number);
		break;
	case KIST_FILTER_BOOL:
		expected = "true or false";
		r = kist_parse_bool(f->value, &truth);
		f->number = truth;
		break;
	case KIST_FILTER_UNTIL:
	case KIST_FILTER_SINCE:
		expected = "a time such as 2026-01-02T15:04:05Z or 10m";
		r = kist_time_parse(f->value, &f->number);
		break;
	default:
		return 0;
	}
	if (r < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s': '%s' is not %s", f->key->name, f->value,
		                 expected);
	return 0;
}

static void clear_item(struct kist_filter *f)
{
	if (f->regex) {
		regfree(f->regex);
		free(f->regex);
	}
	free(f->value);
}

static int parse_one(const char *argument, const struct kist_filter_key *keys, struct kist_filter *f,
                     struct kist_error *err)
{
	const char *equals = strchr(argument, '=');
	size_t len = equals ? (size_t)(equals - argument) : strlen(argument);
	bool negated = equals && len > 0 && argument[len - 1] == '!';
	KIST_FREE char *name = kist_strndup(argument, negated ? len - 1 : len);
	int r;

	while (keys->name && !kist_streq(keys->name, name))
		keys++;
	if (!keys->name)
		return -ENOENT;
	if (!equals || !equals[1])
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s' needs a value (%s=VALUE)", name, name);
	if (negated && !keys->negatable && keys->kind != KIST_FILTER_LABEL)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s' cannot be negated", name);
	*f = (struct kist_filter){ .key = keys, .value = kist_strdup(equals + 1), .negated = negated };
	r = parse_value(f, err);
	if (r < 0)
		clear_item(f);
	return r;
}

int kist_filters_parse(char *const *arguments, const struct kist_filter_key *keys, struct kist_filters *out,
                       struct kist_error *err)
{
	KIST_FILTERS struct kist_filters filters = { 0 };

	for (; arguments && *arguments; arguments++) {
		int r;

		filters.items = kist_grow(filters.items, filters.n + 1, sizeof(*filters.items));
		r = parse_one(*arguments, keys, &filters.items[filters.n], err);
		if (r == -ENOENT) {
			KIST_FREE char *name = kist_strndup(*arguments, strcspn(*arguments, "="));

			if (!strchr(*arguments, '='))
				return kist_fail(err, KIST_ERR_INVALID, EINVAL, "filter '%s': expected KEY=VALUE",
				                 name);
			return fail_unknown(name, keys, err);
		}
		if (r < 0)
			return r;
		filters.n++;
	}
	*out = filters;
	filters = (struct kist_filters){ 0 };
	return 0;
}

void kist_filters_clear(struct kist_filters *filters)
{
	for (size_t i = 0; i < filters->n; i++)
		clear_item(&filters->items[i]);
	free(filters->items);
	*filters = (struct kist_filters){ 0 };
}

bool kist_filters_has(const struct kist_filters *filters, int id)
{
	for (size_t i = 0; i < filters->n; i++)
		if (filters->items[i].key->id == id)
			return true;
	return false;
}

/* Whether one of the alternatives with that key holds. */
static bool any_holds(const struct kist_filters *filters, const struct kist_filter_key *key, kist_filter_match match,
                      const void *object, void *context)
{
	for (size_t i = 0; i < filters->n; i++) {
		const struct kist_filter *f = &filters->items[i];

		if (f->key == key && !f->negated && match(f, object, context))
			return true;
	}
	return false;
}

bool kist_filters_match(const struct kist_filters *filters, kist_filter_match match, const void *object, void *context)
{
	for (size_t i = 0; i < filters->n; i++) {
		const struct kist_filter *f = &filters->items[i];

		if (f->negated || f->key->kind == KIST_FILTER_LABEL) {
			if (match(f, object, context) == f->negated)
				return false;
		} else if (!any_holds(filters, f->key, match, object, context)) {
			return false;
		}
	}
	return true;
}

bool kist_filter_text(const struct kist_filter *filter, const char *text)
{
	if (!text)
		return false;
	switch (filter->key->kind) {
	case KIST_FILTER_PREFIX:
		if (!filter->regex)
			return strncasecmp(text, filter->value, strlen(filter->value)) == 0;
		return regexec(filter->regex, text, 0, NULL, 0) == 0;
	case KIST_FILTER_REGEX:
		return regexec(filter->regex, text, 0, NULL, 0) == 0;
	default:
		return kist_streq(text, filter->value);
	}
}

/* podman: 'key' alone asks that the label exists, 'key=value' for the value; the key may be a pattern with '*'. */
bool kist_filter_labels(const struct kist_filter *filter, char *const *labels)
{
	const char *equals = strchr(filter->value, '=');
	KIST_FREE char *pattern =
	        kist_strndup(filter->value, equals ? (size_t)(equals - filter->value) : strlen(filter->value));

	for (; labels && *labels; labels++) {
		size_t len = strcspn(*labels, "=");
		KIST_FREE char *key = kist_strndup(*labels, len);
		const char *value = (*labels)[len] ? *labels + len + 1 : "";

		if (equals && !kist_streq(value, equals + 1))
			continue;
		if (kist_streq(key, pattern) || (strchr(pattern, '*') && fnmatch(pattern, key, 0) == 0))
			return true;
	}
	return false;
}

bool kist_filter_number(const struct kist_filter *filter, int64_t number)
{
	return filter->number == number;
}

bool kist_filter_time(const struct kist_filter *filter, int64_t wall)
{
	return filter->key->kind == KIST_FILTER_UNTIL ? wall < filter->number : wall > filter->number;
}
