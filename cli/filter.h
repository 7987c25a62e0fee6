/* --filter key=value: parsed and checked against a table of keys, matched by the command.
 *
 * Values of one key are alternatives, different keys must all hold; the exceptions are as in podman: every label, and
 * every negated filter (key!=value), must hold. */
#ifndef KIST_FILTER_H
#define KIST_FILTER_H

#include "core/base/base.h"

struct kist_error;

enum kist_filter_kind {
	KIST_FILTER_END = 0,
	KIST_FILTER_EXACT,  /* the whole text */
	KIST_FILTER_CHOICE, /* one of choices, checked when parsed */
	KIST_FILTER_PREFIX, /* ids: leading part, case ignored; what is not hexadecimal is a regular expression */
	KIST_FILTER_REGEX,  /* names: POSIX extended, unanchored */
	KIST_FILTER_LABEL,  /* key, key=value; key may hold '*' as in podman */
	KIST_FILTER_NUMBER, /* exited=0 */
	KIST_FILTER_BOOL,   /* dangling=true */
	KIST_FILTER_UNTIL,  /* a time as kist_time_parse takes: before it */
	KIST_FILTER_SINCE,  /* after it */
	KIST_FILTER_OBJECT, /* the name of another container, image ...: the command resolves it; see kist_filter.value
	                     */
};

struct kist_filter_key {
	const char *name; /* NULL ends the table */
	enum kist_filter_kind kind;
	const char *const *choices; /* CHOICE */
	int id;                     /* for the command's match function */
	bool negatable;             /* name!=value is accepted; LABEL always is */
};

struct kist_filter {
	const struct kist_filter_key *key;
	char *value; /* as written, after the '=' */
	bool negated;
	int64_t number; /* NUMBER, BOOL; UNTIL, SINCE: wall nanoseconds */
	void *regex;    /* REGEX: private */
};

/* Zero-initialise. */
struct kist_filters {
	struct kist_filter *items;
	size_t n;
};

/* Each argument is one key=value. Errors: "filter 'foo' is not known; use one of: id, name", "filter 'status': 'x' is
 * not one of ...", "filter 'name' needs a value (name=VALUE)", "filter 'name': bad regular expression '[': ...". On
 * failure *out is untouched. */
int kist_filters_parse(char *const *arguments, const struct kist_filter_key *keys, struct kist_filters *out,
                       struct kist_error *err);
void kist_filters_clear(struct kist_filters *filters);
#define KIST_FILTERS __attribute__((cleanup(kist_filters_clear)))

/* Whether the key was given (for 'ps' which shows all when status is filtered). */
bool kist_filters_has(const struct kist_filters *filters, int id);

/* match: whether one filter holds for the object, negation left out (the caller here applies it). */
typedef bool (*kist_filter_match)(const struct kist_filter *filter, const void *object, void *context);
bool kist_filters_match(const struct kist_filters *filters, kist_filter_match match, const void *object, void *context);

/* Helpers for match functions, one for each group of kinds; the filter's kind decides how. NULL text never matches. */
bool kist_filter_text(const struct kist_filter *filter, const char *text);      /* EXACT CHOICE PREFIX REGEX OBJECT */
bool kist_filter_labels(const struct kist_filter *filter, char *const *labels); /* "key=value" array */
bool kist_filter_number(const struct kist_filter *filter, int64_t number);      /* NUMBER BOOL */
bool kist_filter_time(const struct kist_filter *filter, int64_t wall);          /* UNTIL SINCE */

#endif
