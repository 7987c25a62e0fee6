/* Input: a template, a NUL, a JSON document. Without a NUL the document is a small one of ours. */
#include "cli/template.h"

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"
#include "test/fuzz/fuzz_main.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static const char usual[] =
        "{\"Id\":\"4f1bb2\",\"Pid\":42,\"F\":0.5,\"Big\":18446744073709551615,\"On\":true,\"Null\":null,"
        "\"Args\":[\"sh\",\"-c\",1,null,{\"k\":[\"v\"]}],\"Labels\":{\"a\":\"b\",\"c\":\"\\u0007d\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const maps[] = { "Labels", NULL };
	struct kist_template_view view = { .maps = maps, .escape = size % 2 == 0 };
	KIST_FREE char *text = kist_strndup((const char *)data, size);
	size_t len = strlen(text);
	const char *json = len < size ? (const char *)data + len + 1 : usual;
	size_t json_len = len < size ? size - len - 1 : sizeof(usual) - 1;
	KIST_JSON struct json_object *document = NULL;
	struct kist_error err = { 0 };
	KIST_TEMPLATE struct kist_template *t = NULL;
	struct kist_format format = { 0 };
	KIST_STR struct kist_str out = { 0 };

	if (kist_json_parse(json, json_len, &document, NULL) < 0)
		return 0;
	if (kist_template_parse("fuzz", text, &t, &err) == 0)
		kist_template_run(t, document, &view, &out, &err);
	kist_error_clear(&err);
	kist_str_clear(&out);
	if (kist_format_parse("fuzz", text, NULL, &format, &err) == 0)
		kist_format_run(&format, &document, 1, &view, false, &out, &err);
	kist_format_clear(&format);
	return 0;
}
