/* config.json as anyone may write it: parse, check, write, parse again. */
#include "core/base/error.h"
#include "core/base/spec.h"
#include "test/fuzz/fuzz_main.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KIST_SPEC struct kist_spec *spec = NULL, *again = NULL, *copy = NULL;
	KIST_FREE char *text = NULL;
	struct kist_error err = { 0 };

	if (kist_spec_parse((const char *)data, size, &spec, &err)) {
		if (!kist_error_is_set(&err))
			abort();
		return 0;
	}
	if (kist_spec_check(spec, &err) && !kist_error_is_set(&err))
		abort();
	copy = kist_spec_new();
	kist_table_release(&kist_spec_table, copy);
	kist_table_copy(&kist_spec_table, copy, spec);
	text = kist_spec_text(copy);
	if (kist_spec_parse(text, strlen(text), &again, NULL) || !kist_table_equal(&kist_spec_table, spec, again))
		abort();
	return 0;
}
