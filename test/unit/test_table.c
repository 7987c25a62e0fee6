/* Field tables: one struct with every field type through both codecs. */
#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

struct inner {
	char *key;
	int number;
	char **list;
};

struct every {
	char *string, *named;
	bool truth, on;
	int number, seven;
	uint32_t u32;
	int64_t i64;
	uint64_t u64;
	int color;
	struct kist_opt opt_bool, opt_i64, opt_u64, opt_u32, opt_five;
	char **strv;
	char **map;
	struct inner embedded;
	struct inner *pointer;
	struct inner *items;
	size_t n_items;
	struct inner *keyed;
	size_t n_keyed;
	uint32_t *numbers;
	size_t n_numbers;
	struct json_object *json;
	int64_t time;
	char *kv_only, *json_only;
	int flat; /* JSON and key=value: "around.flat" */
};

static const struct kist_name colors[] = { { "none", 0 }, { "red", 1 }, { "blue", 2 }, { NULL, 0 } };

static const struct kist_field inner_rows[] = {
	KIST_FIELD(struct inner, STRING, key),
	KIST_FIELD(struct inner, INT, number, .fallback = "3"),
	KIST_FIELD(struct inner, STRV, list),
};
static const struct kist_table inner_table = KIST_TABLE("inner", struct inner, inner_rows);

static const struct kist_field around_rows[] = { KIST_FIELD(struct every, INT, flat) };
static const struct kist_table around_table = KIST_TABLE("around", struct every, around_rows);

static const struct kist_field every_rows[] = {
	KIST_FIELD(struct every, STRING, string),
	KIST_FIELD(struct every, STRING, named, .fallback = "unnamed"),
	KIST_FIELD(struct every, BOOL, truth, .json = "Truth"),
	KIST_FIELD(struct every, BOOL, on, .fallback = "true"),
	KIST_FIELD(struct every, INT, number),
	KIST_FIELD(struct every, INT, seven, .fallback = "7"),
	KIST_FIELD(struct every, U32, u32),
	KIST_FIELD(struct every, I64, i64),
	KIST_FIELD(struct every, U64, u64),
	KIST_FIELD(struct every, ENUM, color, .names = colors, .flags = KIST_FIELD_ALWAYS),
	KIST_FIELD(struct every, OPT_BOOL, opt_bool),
	KIST_FIELD(struct every, OPT_I64, opt_i64),
	KIST_FIELD(struct every, OPT_U64, opt_u64),
	KIST_FIELD(struct every, OPT_U32, opt_u32),
	KIST_FIELD(struct every, OPT_I64, opt_five, .fallback = "5"),
	KIST_FIELD(struct every, STRV, strv),
	KIST_FIELD(struct every, MAP, map),
	KIST_FIELD(struct every, STRUCT, embedded, .table = &inner_table),
	KIST_FIELD(struct every, POINTER, pointer, .table = &inner_table),
	KIST_FIELD_LIST(struct every, LIST, items, n_items, .table = &inner_table, .flags = KIST_FIELD_ALWAYS),
	KIST_FIELD_LIST(struct every, PTR_MAP, keyed, n_keyed, .table = &inner_table),
	KIST_FIELD_LIST(struct every, U32S, numbers, n_numbers),
	KIST_FIELD(struct every, JSON, json),
	KIST_FIELD(struct every, TIME, time),
	KIST_FIELD(struct every, STRING, kv_only, .flags = KIST_FIELD_NO_JSON),
	KIST_FIELD(struct every, STRING, json_only, .flags = KIST_FIELD_NO_KV),
	{ .key = "around", .type = KIST_F_STRUCT, .table = &around_table },
};
static const struct kist_table every_table = KIST_TABLE("every type", struct every, every_rows);

static void inner_fill(struct inner *inner, const char *key, int number)
{
	inner->key = kist_strdup(key);
	inner->number = number;
	kist_strv_add(&inner->list, "a");
	kist_strv_add(&inner->list, "b=c");
}

static void fill(struct every *e)
{
	kist_table_init(&every_table, e);
	e->string = kist_strdup("two\nlines\\n and a\rreturn = \xc3\xa9 \x01");
	free(e->named);
	e->named = NULL;
	e->truth = true;
	e->on = false;
	e->number = -12;
	e->seven = 0;
	e->u32 = UINT32_MAX;
	e->i64 = INT64_MIN;
	e->u64 = UINT64_MAX;
	e->color = 2;
	e->opt_bool = (struct kist_opt){ true, 0 };
	e->opt_i64 = (struct kist_opt){ true, -1 };
	e->opt_u64 = (struct kist_opt){ true, -1 };
	e->opt_u32 = (struct kist_opt){ true, UINT32_MAX };
	e->opt_five = (struct kist_opt){ 0 };
	for (int i = 0; i < 12; i++)
		kist_strv_add(&e->strv, i == 3 ? "" : "item");
	kist_strv_add(&e->map, "k.dotted=v=w");
	kist_strv_add(&e->map, "empty=");
	inner_fill(&e->embedded, "in", 0);
	e->pointer = kist_alloc(sizeof(*e->pointer));
	e->pointer->number = 3; /* all defaults: only there */
	e->items = kist_grow(NULL, 3, sizeof(*e->items));
	memset(e->items, 0, 3 * sizeof(*e->items));
	e->n_items = 3;
	inner_fill(&e->items[0], "zero", 1);
	e->items[1].number = 3;
	e->items[2].number = 4;
	e->keyed = kist_grow(NULL, 2, sizeof(*e->keyed));
	memset(e->keyed, 0, 2 * sizeof(*e->keyed));
	e->n_keyed = 2;
	inner_fill(&e->keyed[0], "first", 9);
	inner_fill(&e->keyed[1], "second/with \"quotes\"", 3);
	e->numbers = kist_grow(NULL, 2, sizeof(*e->numbers));
	e->n_numbers = 2;
	e->numbers[0] = 0;
	e->numbers[1] = UINT32_MAX;
	e->json = json_tokener_parse("{\"x\":[1,null,{\"y\":0.5}],\"text\":\"a\\nb\"}");
	e->time = 1700000000123456789;
	e->flat = 42;
}

static char *kv_of(const struct every *e, char *const *extra)
{
	struct kist_str text = { 0 };

	kist_kv_write(&every_table, e, extra, &text);
	return kist_str_take(&text);
}

static void init_is_default_and_writes_nothing(void **state)
{
	struct every e;
	KIST_FREE char *text = NULL;

	(void)state;
	kist_table_init(&every_table, &e);
	assert_string_equal(e.named, "unnamed");
	assert_true(e.on);
	assert_int_equal(e.seven, 7);
	assert_true(e.opt_five.set);
	assert_int_equal(e.opt_five.value, 5);
	assert_int_equal(e.embedded.number, 3);
	text = kv_of(&e, NULL);
	assert_string_equal(text, "");
	kist_table_release(&every_table, &e);
	assert_null(e.named);
}

static void copies_are_equal_and_own_their_memory(void **state)
{
	struct every a, b;

	(void)state;
	fill(&a);
	kist_table_copy(&every_table, &b, &a);
	assert_true(kist_table_equal(&every_table, &a, &b));
	assert_ptr_not_equal(a.items, b.items);
	b.items[0].list[1][0] = 'x';
	assert_false(kist_table_equal(&every_table, &a, &b));
	kist_table_release(&every_table, &a);
	kist_table_clear(&every_table, &b);
	kist_table_init(&every_table, &a);
	assert_true(kist_table_equal(&every_table, &a, &b));
	kist_table_release(&every_table, &a);
	kist_table_release(&every_table, &b);
}

static void kv_keeps_every_field(void **state)
{
	struct every a, b;
	struct kist_error err = { 0 };
	KIST_FREE char *text = NULL, *again = NULL;

	(void)state;
	fill(&a);
	a.kv_only = kist_strdup("here");
	text = kv_of(&a, NULL);
	kist_table_init(&every_table, &b);
	if (kist_kv_read(&every_table, text, &b, NULL, &err))
		fail_msg("%s\n%s", err.text, text);
	assert_true(kist_table_equal(&every_table, &a, &b));
	again = kv_of(&b, NULL);
	assert_string_equal(text, again);
	assert_non_null(strstr(text, "\nitems.1=\n"));
	assert_non_null(strstr(text, "\npointer=\n"));
	assert_non_null(strstr(text, "named=\\0\n"));
	assert_non_null(strstr(text, "\naround.flat=42\n"));
	assert_non_null(strstr(text, "\nstrv.11=item\n"));
	kist_table_release(&every_table, &a);
	kist_table_release(&every_table, &b);
}

static void json_keeps_every_field(void **state)
{
	struct every a, b;
	struct kist_error err = { 0 };
	KIST_JSON struct json_object *json = NULL, *parsed = NULL;
	KIST_FREE char *text = NULL;

	(void)state;
	fill(&a);
	a.json_only = kist_strdup("there");
	json = kist_json_write(&every_table, &a);
	text = kist_json_text(json, true);
	if (kist_json_parse(text, strlen(text), &parsed, &err))
		fail_msg("%s\n%s", err.text, text);
	kist_table_init(&every_table, &b);
	if (kist_json_read(&every_table, parsed, &b, "", &err))
		fail_msg("%s\n%s", err.text, text);
	assert_true(kist_table_equal(&every_table, &a, &b));
	assert_non_null(strstr(text, "\"u64\": 18446744073709551615"));
	assert_non_null(strstr(text, "\"i64\": -9223372036854775808"));
	assert_non_null(strstr(text, "\"time\": \"2023-11-14T22:13:20.123456789Z\""));
	assert_non_null(strstr(text, "\"second/with \\\"quotes\\\"\": {"));
	kist_table_release(&every_table, &a);
	kist_table_release(&every_table, &b);
}

static void json_leaves_out_what_is_empty_unless_always(void **state)
{
	struct every e;
	KIST_JSON struct json_object *json = NULL;
	KIST_FREE char *text = NULL;

	(void)state;
	kist_table_init(&every_table, &e);
	json = kist_json_write(&every_table, &e);
	text = kist_json_text(json, false);
	assert_string_equal(text, "{\"named\":\"unnamed\",\"on\":true,\"seven\":7,\"color\":\"none\",\"opt_five\":5,"
	                          "\"embedded\":{\"number\":3},\"items\":[]}");
	kist_table_release(&every_table, &e);
}

static void unknown_keys_survive(void **state)
{
	static const char text[] = "# a comment\n\nnumber=5\nfuture=a\\nb\nitems.0.newer=1\npointer.other=x\n";
	struct every e;
	struct kist_error err = { 0 };
	KIST_STRV char **extra = NULL;
	KIST_FREE char *out = NULL;

	(void)state;
	kist_table_init(&every_table, &e);
	assert_int_equal(kist_kv_read(&every_table, text, &e, &extra, &err), 0);
	assert_int_equal(e.number, 5);
	assert_int_equal(kist_strv_len(extra), 3);
	out = kv_of(&e, extra);
	assert_string_equal(out, "number=5\npointer=\nitems.0=\nfuture=a\\nb\nitems.0.newer=1\npointer.other=x\n");
	assert_int_equal(kist_kv_read(&every_table, text, &e, NULL, &err), -ENOENT);
	assert_string_equal(err.text, "line 4: future: no such key");
	kist_table_release(&every_table, &e);
}

static void bad_kv_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "number=1\nnonsense\n", "line 2: expected key=value, not 'nonsense'" },
		{ "=x\n", "line 1: expected key=value, not '=x'" },
		{ "number=1\nnumber=1\n", "line 2: number: is there twice" },
		{ "number=one\n", "line 1: number: expected a number, not 'one'" },
		{ "number=2147483648\n", "line 1: number: 2147483648 is out of range" },
		{ "number=\n", "line 1: number: expected a number, not ''" },
		{ "u32=-1\n", "line 1: u32: " },
		{ "u64=18446744073709551616\n", "line 1: u64: 18446744073709551616 is out of range" },
		{ "truth=maybe\n", "line 1: truth: expected true or false, not 'maybe'" },
		{ "color=green\n", "line 1: color: expected one of its names, not 'green'" },
		{ "string=a\\tb\n", "line 1: string: the value has" },
		{ "string=a\\\n", "line 1: string: the value has" },
		{ "string=a\r\n", "line 1: string: the value has" },
		{ "number=\\0\n", "line 1: number: expected a number" },
		{ "strv.1=x\n", "line 1: strv.1: items are counted from 0 without gaps, the next is 0" },
		{ "strv.00=x\n", "line 1: strv.00: not an index" },
		{ "strv.99999999999999999999=x\n", "line 1: strv.99999999999999999999: not an index" },
		{ "items.999999999.key=x\n", "line 1: items.999999999.key: items are counted" },
		{ "numbers.4294967295=1\n", "line 1: numbers.4294967295: not an index" },
		{ "numbers.0=4294967296\n", "line 1: numbers.0: 4294967296 is out of range" },
		{ "strv=x\n", "line 1: strv: no such key" },
		{ "strv.0.1=x\n", "line 1: strv.0.1: no such key" },
		{ "string.0=x\n", "line 1: string.0: no such key" },
		{ "embedded=x\n", "line 1: embedded: no such key" },
		{ "pointer=x\n", "line 1: pointer: expected nothing, not 'x'" },
		{ "map.0=nothing\n", "line 1: map.0: expected key=value, not 'nothing'" },
		{ "json={\n", "line 1: json: expected JSON, not '{'" },
		{ "json_only=1\n", "line 1: json_only: no such key" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct kist_error err = { 0 };
		struct every e, before;

		kist_table_init(&every_table, &e);
		kist_table_init(&every_table, &before);
		assert_true(kist_kv_read(&every_table, cases[i].text, &e, NULL, &err) < 0);
		if (strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0)
			fail_msg("'%s' gives '%s', not '%s'", cases[i].text, err.text, cases[i].message);
		assert_true(kist_table_equal(&every_table, &e, &before));
		kist_table_release(&every_table, &e);
		kist_table_release(&every_table, &before);
	}
}

static void nul_in_kv_is_an_error(void **state)
{
	static const char text[] = "number=1\nstring=a\0b\n";
	struct kist_error err = { 0 };
	struct every e;

	(void)state;
	kist_table_init(&every_table, &e);
	assert_int_equal(kist_kv_read_bytes(&every_table, text, sizeof(text) - 1, &e, NULL, &err), -EINVAL);
	assert_int_equal(e.number, 0);
	assert_int_equal(kist_kv_read_bytes(&every_table, text, 9, &e, NULL, NULL), 0);
	assert_int_equal(e.number, 1);
	kist_table_release(&every_table, &e);
}

static void unknown_key_at_the_end_takes_no_more_than_the_text(void **state)
{
	static const char text[] = "number=1\nfuture=yes and more";
	KIST_STRV char **extra = NULL;
	struct every e;

	(void)state;
	kist_table_init(&every_table, &e);
	assert_int_equal(kist_kv_read_bytes(&every_table, text, strlen("number=1\nfuture=yes"), &e, &extra, NULL), 0);
	assert_int_equal(kist_strv_len(extra), 1);
	assert_string_equal(extra[0], "future=yes");
	kist_table_release(&every_table, &e);
}

static void set_assigns_one_key(void **state)
{
	struct kist_error err = { 0 };
	struct every e;

	(void)state;
	kist_table_init(&every_table, &e);
	assert_int_equal(kist_kv_set(&every_table, &e, "string", "a\\b", &err), 0);
	assert_string_equal(e.string, "a\\b");
	assert_int_equal(kist_kv_set(&every_table, &e, "items.0.list.0", "x", &err), 0);
	assert_int_equal(kist_kv_set(&every_table, &e, "items.0.list.0", "y", &err), 0);
	assert_int_equal(e.n_items, 1);
	assert_string_equal(e.items[0].list[0], "y");
	assert_int_equal(kist_kv_set(&every_table, &e, "pointer.nothing", "x", &err), -ENOENT);
	assert_null(e.pointer);
	kist_error_clear(&err);
	assert_int_equal(kist_kv_set(&every_table, &e, "number", "x", &err), -EINVAL);
	assert_string_equal(err.text, "number: expected a number, not 'x'");
	kist_table_release(&every_table, &e);
}

static void bad_json_is_refused_with_its_path(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "{\"strv\":[\"a\",\"b\",3]}", "strv[2]: expected a string, not a number" },
		{ "{\"strv\":{}}", "strv: expected an array, not an object" },
		{ "{\"Truth\":1}", "Truth: expected true or false, not a number" },
		{ "{\"number\":2147483648}", "number: 2147483648 is out of range" },
		{ "{\"number\":1.0}", "number: expected a whole number, not a fraction" },
		{ "{\"u32\":4294967296}", "u32: 4294967296 is out of range" },
		{ "{\"u32\":-1}", "u32: -1 is out of range" },
		{ "{\"u64\":-1}", "u64: -1 is out of range" },
		{ "{\"i64\":9223372036854775808}", "i64: 9223372036854775808 is out of range" },
		{ "{\"opt_u32\":-1}", "opt_u32: -1 is out of range" },
		{ "{\"color\":\"green\"}", "color: 'green' is not one of its names" },
		{ "{\"map\":{\"a\":1}}", "map[\"a\"]: expected a string, not a number" },
		{ "{\"map\":{\"a=b\":\"1\"}}", "map[\"a=b\"]: the name holds a '='" },
		{ "{\"items\":[{},{\"list\":[null]}]}", "items[1].list[0]: expected a string, not null" },
		{ "{\"items\":[null]}", "items[0]: expected an object, not null" },
		{ "{\"keyed\":{\"k\\n\":{\"number\":\"x\"}}}",
		  "keyed[\"k?\"].number: expected a whole number, not a string" },
		{ "{\"numbers\":[1,4294967296]}", "numbers[1]: 4294967296 is out of range" },
		{ "{\"string\":\"a\\u0000b\"}", "string: the string holds a NUL character" },
		{ "{\"time\":\"5m\"}", "time: '5m' is not an RFC 3339 time" },
		{ "{\"embedded\":[]}", "embedded: expected an object, not an array" },
		{ "[]", "expected an object, not an array" },
		{ "null", "expected an object, not null" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct kist_error err = { 0 };
		KIST_JSON struct json_object *json = NULL;
		struct every e, before;

		kist_table_init(&every_table, &e);
		kist_table_init(&every_table, &before);
		if (kist_json_parse(cases[i].text, strlen(cases[i].text), &json, &err))
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_int_equal(kist_json_read(&every_table, json, &e, "", &err), -EINVAL);
		assert_string_equal(err.text, cases[i].message);
		assert_true(kist_table_equal(&every_table, &e, &before));
		kist_error_clear(&err);
		kist_json_read(&every_table, json, &e, "plan", &err);
		assert_int_equal(strncmp(err.text, "plan", 4), 0);
		kist_table_release(&every_table, &e);
		kist_table_release(&every_table, &before);
	}
}

static void json_documents_are_strict(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"{\"a\":1,}",
		"[1,]",
		"{'a':1}",
		"{a:1}",
		"{\"a\":1} x",
		"{\"a\":1}{}",
		"[1 2]",
		"nul",
		"NaN",
		"Infinity",
		"/* c */ 1",
		"\"\xff\"",
		"\"a\nb",
		"{\"a\\u0000b\":1}",
		"99999999999999999999999",
		"\"\\x\"",
		"tru",
		"{\"a\" 1}",
		"{\"a\":\"\xc3\"}",
		"True",
		"\"\xc1\xbe\"",
		"\"\xed\xa0\x80\"",
		"18446744073709551616",
		"-9223372036854775809",
		"NULL",
		"\"a\tb\"",
		"+1",
		"01",
		"-01",
		"-",
		"1e",
		".5",
		"1.",
		"1\f",
		"[1,,2]",
		"{\"a\":}",
		"{,}",
		"\"a\\u12\"",
	};
	static const char *const good[] = { "18446744073709551615",
		                            "-9223372036854775808",
		                            "1234567890123456789012345.5",
		                            "0.1234567890123456789012345",
		                            "[0,-0,1e05,0.05,1e5,1E-5,0.5]",
		                            "1",
		                            " {} ",
		                            "[]\n",
		                            "null",
		                            "true",
		                            "\"\\u0000\"",
		                            "-1",
		                            "{\"a\":{\"a\":[1,2]}}\n\n" };
	KIST_STR struct kist_str deep = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		KIST_JSON struct json_object *json = NULL;

		kist_error_clear(&err);
		if (kist_json_parse(bad[i], strlen(bad[i]), &json, &err) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_null(json);
	}
	kist_error_clear(&err);
	for (size_t i = 0; i < KIST_COUNT(good); i++) {
		KIST_JSON struct json_object *json = NULL;

		if (kist_json_parse(good[i], strlen(good[i]), &json, &err))
			fail_msg("refused: %s: %s", good[i], err.text);
	}
	for (int i = 0; i < 100; i++)
		kist_str_add(&deep, "[");
	assert_int_equal(kist_json_parse(deep.data, deep.len, &(struct json_object *){ NULL }, &err), -EINVAL);
	kist_error_clear(&err);
	assert_int_equal(kist_json_parse("{\"a\":1\0}", 8, &(struct json_object *){ NULL }, &err), -EINVAL);
}

static void json_text_is_always_utf8(void **state)
{
	static const char bytes[] = "a\xff\xc3\xa9\xed\xa0\x80/\x7f\x01\"\\\n\t\xf0\x9f\x98\x80\xc3";
	KIST_JSON struct json_object *json = json_object_new_object(), *back = NULL;
	KIST_FREE char *text = NULL, *pretty = NULL;

	(void)state;
	json_object_object_add(json, "s", json_object_new_string_len(bytes, sizeof(bytes)));
	json_object_object_add(json, "empty", json_object_new_object());
	json_object_object_add(json, "list", json_object_new_array());
	json_object_array_add(json_object_object_get(json, "list"), NULL);
	text = kist_json_text(json, false);
	assert_string_equal(
	        text, "{\"s\":\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd/\x7f\\u0001\\\"\\\\\\n\\t"
	              "\xf0\x9f\x98\x80\xef\xbf\xbd\\u0000\",\"empty\":{},\"list\":[null]}");
	assert_int_equal(kist_json_parse(text, strlen(text), &back, NULL), 0);
	json_object_object_del(json, "s");
	pretty = kist_json_text(json, true);
	assert_string_equal(pretty, "{\n    \"empty\": {},\n    \"list\": [\n        null\n    ]\n}");
}

static void json_lists_can_be_made_piece_by_piece(void **state)
{
	KIST_JSON struct json_object *list = json_object_new_array();
	KIST_STR struct kist_str out = { 0 };

	(void)state;
	kist_str_add(&out, "before ");
	for (int n = 0; n < 4; n++) {
		KIST_FREE char *whole = kist_json_text(list, true);
		size_t start = out.len;

		for (int i = 0; i < n; i++)
			kist_json_item_add(&out, json_object_array_get_idx(list, (size_t)i));
		kist_json_list_end(&out, start);
		assert_string_equal(out.data + start, whole);
		struct json_object *item = json_object_new_object();
		json_object_object_add(item, "n", json_object_new_int(n));
		json_object_object_add(item, "none", json_object_new_array());
		json_object_array_add(list, n == 2 ? (json_object_put(item), NULL) : item);
	}
	assert_int_equal(strncmp(out.data, "before [][", 10), 0);
}

/* Whatever a disk or a hand does to a record: an error, or an object that can be written and read again. */
static void read_back(const char *text, size_t len)
{
	struct every e, again;
	KIST_STRV char **extra = NULL;
	KIST_STRV char **more = NULL;
	KIST_FREE char *out = NULL;
	struct kist_error err = { 0 };

	kist_table_init(&every_table, &e);
	if (kist_kv_read_bytes(&every_table, text, len, &e, &extra, &err)) {
		assert_true(kist_error_is_set(&err));
		kist_table_release(&every_table, &e);
		return;
	}
	out = kv_of(&e, extra);
	kist_table_init(&every_table, &again);
	if (kist_kv_read(&every_table, out, &again, &more, &err))
		fail_msg("%s\n%.*s\n-- was written as\n%s", err.text, (int)len, text, out);
	assert_true(kist_table_equal(&every_table, &e, &again));
	kist_table_release(&every_table, &again);
	kist_table_release(&every_table, &e);
}

static void damaged_records_never_crash(void **state)
{
	static const char flips[] = { 0, '\n', '=', '.', '\\', '0', '9', '#', '\xff', '\r' };
	struct every e;
	KIST_FREE char *text = NULL;
	size_t len;

	(void)state;
	fill(&e);
	text = kv_of(&e, NULL);
	len = strlen(text);
	for (size_t cut = 0; cut < len; cut++)
		read_back(text, cut);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		for (size_t k = 0; k < sizeof(flips); k++) {
			text[i] = flips[k];
			read_back(text, len);
		}
		for (int bit = 0; bit < 8; bit++) {
			text[i] = (char)(was ^ 1 << bit);
			read_back(text, len);
		}
		text[i] = was;
	}
	kist_table_release(&every_table, &e);
}

static void damaged_json_never_crashes(void **state)
{
	struct every e;
	KIST_JSON struct json_object *json = NULL;
	KIST_FREE char *text = NULL;
	size_t len;

	(void)state;
	fill(&e);
	json = kist_json_write(&every_table, &e);
	text = kist_json_text(json, false);
	len = strlen(text);
	for (size_t i = 0; i < 2 * len; i++) {
		KIST_JSON struct json_object *parsed = NULL;
		KIST_FREE char *copy = kist_strndup(text, i < len ? i : len);
		struct every read;

		if (i >= len)
			copy[i - len] = (char)(copy[i - len] ^ 0x15);
		kist_table_init(&every_table, &read);
		if (kist_json_parse(copy, i < len ? i : len, &parsed, NULL) == 0)
			kist_json_read(&every_table, parsed, &read, "", NULL);
		kist_table_release(&every_table, &read);
	}
	kist_table_release(&every_table, &e);
}

static void long_lists_are_read_in_time(void **state)
{
	KIST_STR struct kist_str text = { 0 };
	struct every e;

	(void)state;
	for (int i = 0; i < 20000; i++)
		kist_str_addf(&text, "numbers.%d=%d\n", i, i);
	kist_table_init(&every_table, &e);
	assert_int_equal(kist_kv_read(&every_table, text.data, &e, NULL, NULL), 0);
	assert_int_equal(e.n_numbers, 20000);
	assert_int_equal(e.numbers[19999], 19999);
	kist_table_release(&every_table, &e);
}

static void names_go_both_ways(void **state)
{
	int value = 77;

	(void)state;
	assert_string_equal(kist_name_of(colors, 1), "red");
	assert_null(kist_name_of(colors, 9));
	assert_int_equal(kist_value_of(colors, "blue", &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(kist_value_of(colors, "Blue", &value), -EINVAL);
	assert_int_equal(kist_value_of(colors, NULL, &value), -EINVAL);
	assert_int_equal(value, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_go_both_ways),
		cmocka_unit_test(init_is_default_and_writes_nothing),
		cmocka_unit_test(copies_are_equal_and_own_their_memory),
		cmocka_unit_test(kv_keeps_every_field),
		cmocka_unit_test(json_keeps_every_field),
		cmocka_unit_test(json_leaves_out_what_is_empty_unless_always),
		cmocka_unit_test(unknown_keys_survive),
		cmocka_unit_test(bad_kv_is_refused_with_its_line),
		cmocka_unit_test(nul_in_kv_is_an_error),
		cmocka_unit_test(unknown_key_at_the_end_takes_no_more_than_the_text),
		cmocka_unit_test(set_assigns_one_key),
		cmocka_unit_test(bad_json_is_refused_with_its_path),
		cmocka_unit_test(json_documents_are_strict),
		cmocka_unit_test(json_text_is_always_utf8),
		cmocka_unit_test(json_lists_can_be_made_piece_by_piece),
		cmocka_unit_test(damaged_records_never_crash),
		cmocka_unit_test(damaged_json_never_crashes),
		cmocka_unit_test(long_lists_are_read_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
