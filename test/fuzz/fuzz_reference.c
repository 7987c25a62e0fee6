/* Image references, the names of their links, and --change instructions: the input is one text for all. */
#include "core/image.h"

#include "core/base/error.h"
#include "test/fuzz/fuzz_main.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static void fuzz_name(const char *text)
{
	KIST_FREE char *full = NULL;
	KIST_FREE char *direct = kist_reference_unescape(text);
	KIST_REFERENCE struct kist_reference reference = { 0 };

	/* A file name that is taken is the only one of its name. */
	if (direct) {
		KIST_FREE char *file = kist_reference_escape(direct);
		assert(kist_streq(file, text));
	}
	kist_reference_parse(text, &reference, NULL);
	if (kist_image_reference(text, &full, NULL) < 0)
		return;
	KIST_FREE char *file = kist_reference_escape(full), *back = kist_reference_unescape(file), *again = NULL;
	assert(!strchr(file, '/') && file[0] != '.' && strlen(file) <= 255);
	assert(kist_streq(back, full));
	assert(kist_image_reference(full, &again, NULL) == 0 && kist_streq(again, full));
}

static void fuzz_change(const char *text)
{
	struct kist_image_config config = { 0 };
	struct kist_image_import import = { 0 };

	if (kist_image_change(&config, text, NULL) == 0) {
		KIST_JSON struct json_object *json = kist_image_document(&import, &config, NULL, 0);
		struct kist_image *image = kist_alloc(sizeof(*image));
		char **diff_ids = NULL;

		/* What can be said can be read back. */
		assert(kist_image_document_read(json, image, &diff_ids, NULL) == 0);
		kist_strv_free(diff_ids);
		kist_image_free(image);
	}
	kist_image_config_clear(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = kist_strndup((const char *)data, size);

	fuzz_name(text);
	fuzz_change(text);
	free(text);
	return 0;
}
