/* The key=value reader over the plan's tables, which have every field type but TIME and ENUM. What is taken must be
 * written and taken again, unchanged. */
#include "core/base/spec.h"
#include "core/base/str.h"
#include "test/fuzz/fuzz_main.h"

#include <stdlib.h>

static const struct kist_name sizes[] = { { "small", 0 }, { "large", 7 }, { NULL, 0 } };

struct record {
	struct kist_spec spec;
	int size;
	int64_t time;
	char *name;
	struct kist_opt count;
};

static const struct kist_field rows[] = {
	KIST_FIELD(struct record, ENUM, size, .names = sizes, .fallback = "large"),
	KIST_FIELD(struct record, TIME, time),
	KIST_FIELD(struct record, STRING, name, .fallback = "nobody"),
	KIST_FIELD(struct record, OPT_U64, count, .fallback = "5"),
	KIST_FIELD(struct record, STRUCT, spec, .table = &kist_spec_table),
};
static const struct kist_table table = KIST_TABLE("record", struct record, rows);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_STRV char **extra = NULL;
	KIST_STRV char **more = NULL;
	struct record a, b;

	kist_table_init(&table, &a);
	kist_table_init(&table, &b);
	if (kist_kv_read_bytes(&table, (const char *)data, size, &a, &extra, NULL) == 0) {
		kist_kv_write(&table, &a, extra, &text);
		if (kist_kv_read_bytes(&table, kist_str_get(&text), text.len, &b, &more, NULL))
			abort();
		if (!kist_table_equal(&table, &a, &b) || kist_strv_len(extra) != kist_strv_len(more))
			abort();
	}
	kist_table_release(&table, &a);
	kist_table_release(&table, &b);
	return 0;
}
