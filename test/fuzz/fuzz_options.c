/* Input: one byte for the mode, then the arguments, each ended by a NUL or a newline. */
#include "cli/options.h"

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"
#include "test/fuzz/fuzz_main.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct values {
	bool flag;
	const char *text, *choice, *implied;
	char **list, **commas;
	int number;
	int64_t wide, duration, nano;
	uint64_t count, size;
	struct kist_opt truth, bytes;
};

static const char *const choices[] = { "a", "b", NULL };
static const struct kist_option rows[] = {
	KIST_OPTION(struct values, FLAG, flag, "flag", 'f'),
	KIST_OPTION(struct values, STRING, text, "text", 't'),
	KIST_OPTION(struct values, CHOICE, choice, "choice", 'c', .choices = choices),
	KIST_OPTION(struct values, STRING, implied, "implied", 'p', .implied = "x"),
	KIST_OPTION(struct values, LIST, list, "list", 'e'),
	KIST_OPTION(struct values, COMMAS, commas, "commas", 'l'),
	KIST_OPTION(struct values, INT, number, "number", 'n', .fallback = "7"),
	KIST_OPTION(struct values, I64, wide, "wide", 'w'),
	KIST_OPTION(struct values, DURATION, duration, "duration", 'd'),
	KIST_OPTION(struct values, NANO, nano, "nano", 'o'),
	KIST_OPTION(struct values, U64, count, "count", 'u'),
	KIST_OPTION(struct values, SIZE, size, "size", 's'),
	KIST_OPTION(struct values, OPT_BOOL, truth, "truth", 'b'),
	KIST_OPTION(struct values, OPT_SIZE, bytes, "bytes", 'm', .flags = KIST_OPTION_UNLIMITED),
	{ 0 },
};
static const struct kist_option_set sets[] = { { rows, 0 }, { 0 } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct values values = { 0 };
	struct kist_options_target target = { sets, &values };
	struct kist_error err = { 0 };
	KIST_STRV char **owned = NULL;
	KIST_FREE char **argv = NULL;
	int argc, n;

	if (size == 0)
		return 0;
	kist_strv_add(&owned, "fuzz");
	for (size_t from = 1, at = 1; at <= size; at++)
		if (at == size || data[at] == 0 || data[at] == '\n') {
			kist_strv_take(&owned, kist_strndup((const char *)data + from, at - from));
			from = at + 1;
		}
	argc = (int)kist_strv_len(owned);
	argv = kist_grow(NULL, (size_t)argc + 1, sizeof(*argv));
	for (int i = 0; i <= argc; i++)
		argv[i] = owned[i];
	kist_options_init(sets, &values);
	n = kist_options_parse(&target, 1, data[0] % 2 ? KIST_OPTIONS_STOP : KIST_OPTIONS_PERMUTE, argc, argv, &err);
	assert(n < argc);
	assert(n >= 0 ? argv[n + 1] == NULL : kist_error_is_set(&err) == (n != -ECANCELED));
	kist_options_clear(sets, &values);
	return 0;
}
