#include "cli/template_internal.h"

#include "cli/columns.h"
#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static int fail(struct kist_error *err, const char *fmt, ...) KIST_PRINTF(2, 3);
static int fail(struct kist_error *err, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = kist_vfail(err, KIST_ERR_INVALID, EINVAL, fmt, ap);
	va_end(ap);
	return r;
}

const char *template_type_name(const struct json_object *j)
{
	switch (json_object_get_type(j)) {
	case json_type_boolean:
		return "bool";
	case json_type_int:
		return json_object_get_uint64(j) > INT64_MAX ? "uint64" : "int";
	case json_type_double:
		return "float64";
	case json_type_string:
		return "string";
	case json_type_array:
		return "[]interface {}";
	case json_type_object:
		return "map[string]interface {}";
	default:
		return "nil";
	}
}

static void set_string(struct template_value *out, const struct kist_str *s)
{
	*out = (struct template_value){ .j = json_object_new_string_len(kist_str_get(s), (int)s->len) };
}

static bool is_string(const struct template_value *v)
{
	return json_object_is_type(v->j, json_type_string);
}

static bool is_int(const struct template_value *v)
{
	return json_object_is_type(v->j, json_type_int);
}

static int want_string(const struct template_value *v, struct kist_error *err)
{
	return is_string(v) ? 0 : fail(err, "expected a string, not a value of type %s", template_type_name(v->j));
}

/* An index or length: a whole number from 0 to max. */
static int want_index(const struct template_value *v, size_t max, size_t *out, struct kist_error *err)
{
	int64_t i;

	if (!is_int(v))
		return fail(err, "expected a whole number, not a value of type %s", template_type_name(v->j));
	i = json_object_get_int64(v->j);
	if (i < 0 || (uint64_t)i > max)
		return fail(err, "index out of range: %" PRId64, i);
	*out = (size_t)i;
	return 0;
}

static const char *bytes(const struct template_value *v, size_t *len)
{
	*len = (size_t)json_object_get_string_len(v->j);
	return json_object_get_string(v->j);
}

/* --- text ------------------------------------------------------------------------------------------------------ */

static int call_print(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	int r;

	r = template_sprint(&s, args, n, false, err);
	if (r == 0)
		set_string(out, &s);
	return r;
}

static int call_println(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	int r;

	r = template_sprint(&s, args, n, true, err);
	if (r == 0)
		set_string(out, &s);
	return r;
}

static int call_printf(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	const char *format;
	size_t len;
	int r = want_string(&args[0], err);

	if (r < 0)
		return r;
	format = bytes(&args[0], &len);
	r = template_sprintf(&s, format, len, args + 1, n - 1, err);
	if (r == 0)
		set_string(out, &s);
	return r;
}

static int call_json(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                     struct kist_error *err KIST_UNUSED)
{
	KIST_FREE char *text = kist_json_text(args[0].j, false);

	*out = (struct template_value){ .j = json_object_new_string(text) };
	return 0;
}

enum letters { LETTERS_UPPER, LETTERS_LOWER, LETTERS_TITLE };

/* ASCII only: what is printed with it are states, drivers and protocols, and there is no locale here. */
static int change_letters(const struct template_value *v, enum letters how, struct template_value *out,
                          struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	const char *text;
	size_t len;
	bool starts = true;
	int r = want_string(v, err);

	if (r < 0)
		return r;
	text = bytes(v, &len);
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool up = c >= 'A' && c <= 'Z', low = c >= 'a' && c <= 'z';

		if (low && (how == LETTERS_UPPER || (how == LETTERS_TITLE && starts)))
			c = (char)(c - 'a' + 'A');
		else if (up && how == LETTERS_LOWER)
			c = (char)(c - 'A' + 'a');
		kist_str_addc(&s, c);
		starts = !(up || low || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80 || c == '\'');
		/* Go's Title takes an apostrophe for a separator. */
		if (c == '\'')
			starts = true;
	}
	set_string(out, &s);
	return 0;
}

static int call_upper(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                      struct kist_error *err)
{
	return change_letters(&args[0], LETTERS_UPPER, out, err);
}

static int call_lower(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                      struct kist_error *err)
{
	return change_letters(&args[0], LETTERS_LOWER, out, err);
}

static int call_title(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                      struct kist_error *err)
{
	return change_letters(&args[0], LETTERS_TITLE, out, err);
}

static int call_html(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                     struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	size_t len;
	int r = want_string(&args[0], err);

	if (r < 0)
		return r;
	const char *text = bytes(&args[0], &len);
	for (size_t i = 0; i < len; i++) {
		static const struct {
			char plain;
			const char *shown;
		} names[] = { { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&#34;" }, { '\'', "&#39;" } };
		const char *shown = NULL;

		for (size_t k = 0; k < KIST_COUNT(names); k++)
			if (text[i] == names[k].plain)
				shown = names[k].shown;
		if (shown)
			kist_str_add(&s, shown);
		else
			kist_str_addc(&s, text[i]);
	}
	set_string(out, &s);
	return 0;
}

/* join LIST SEPARATOR */
static int call_join(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                     struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	int r = want_string(&args[1], err);

	if (r < 0)
		return r;
	if (args[0].j && !json_object_is_type(args[0].j, json_type_array))
		return fail(err, "expected a list, not a value of type %s", template_type_name(args[0].j));
	for (size_t i = 0; args[0].j && i < json_object_array_length(args[0].j); i++) {
		size_t len;
		const char *separator = bytes(&args[1], &len);

		if (i > 0)
			kist_str_addn(&s, separator, len);
		template_print(&s, json_object_array_get_idx(args[0].j, i));
		if (s.len > TEMPLATE_MAX_OUTPUT)
			return fail(err, "the result is too long");
	}
	set_string(out, &s);
	return 0;
}

static void add_piece(struct json_object *list, const char *from, size_t len)
{
	json_object_array_add(list, json_object_new_string_len(from, (int)len));
}

/* split TEXT SEPARATOR; an empty separator parts the characters. */
static int call_split(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                      struct kist_error *err)
{
	const char *text, *separator, *end;
	size_t len, separator_len;
	struct json_object *list;
	int r = want_string(&args[0], err);

	if (r == 0)
		r = want_string(&args[1], err);
	if (r < 0)
		return r;
	text = bytes(&args[0], &len);
	separator = bytes(&args[1], &separator_len);
	end = text + len;
	list = json_object_new_array();
	while (separator_len == 0 && text < end) {
		uint32_t codepoint;
		size_t size = kist_utf8_decode(text, (size_t)(end - text), &codepoint);

		add_piece(list, text, size ? size : 1);
		text += size ? size : 1;
	}
	while (separator_len > 0) {
		const char *at = memmem(text, (size_t)(end - text), separator, separator_len);

		add_piece(list, text, (size_t)((at ? at : end) - text));
		if (!at)
			break;
		text = at + separator_len;
	}
	*out = (struct template_value){ .j = list };
	return 0;
}

/* truncate TEXT LENGTH, in bytes as in podman but never through a character. */
static int call_truncate(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                         struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	size_t len, max;
	const char *text;
	int r = want_string(&args[0], err);

	if (r == 0)
		r = want_index(&args[1], INT32_MAX, &max, err);
	if (r < 0)
		return r;
	text = bytes(&args[0], &len);
	if (len > max) {
		len = max;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	kist_str_addn(&s, text, len);
	set_string(out, &s);
	return 0;
}

/* pad TEXT BEFORE AFTER: so many blanks; an empty text stays empty. */
static int call_pad(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                    struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	size_t before, after, len;
	const char *text;
	int r = want_string(&args[0], err);

	if (r == 0)
		r = want_index(&args[1], TEMPLATE_MAX_WIDTH, &before, err);
	if (r == 0)
		r = want_index(&args[2], TEMPLATE_MAX_WIDTH, &after, err);
	if (r < 0)
		return r;
	text = bytes(&args[0], &len);
	for (size_t i = 0; len > 0 && i < before; i++)
		kist_str_addc(&s, ' ');
	kist_str_addn(&s, text, len);
	for (size_t i = 0; len > 0 && i < after; i++)
		kist_str_addc(&s, ' ');
	set_string(out, &s);
	return 0;
}

/* --- lists and maps -------------------------------------------------------------------------------------------- */

static int call_len(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                    struct kist_error *err)
{
	int64_t len;

	switch (json_object_get_type(args[0].j)) {
	case json_type_string:
		len = json_object_get_string_len(args[0].j);
		break;
	case json_type_array:
		len = (int64_t)json_object_array_length(args[0].j);
		break;
	case json_type_object:
		len = json_object_object_length(args[0].j);
		break;
	default:
		return fail(err, "a value of type %s has no length", template_type_name(args[0].j));
	}
	*out = (struct template_value){ .j = json_object_new_int64(len) };
	return 0;
}

/* The zero value of a map's elements: "" where all of them are strings, as podman's labels are map[string]string. */
static struct json_object *map_zero(struct json_object *map)
{
	struct json_object_iterator at = json_object_iter_begin(map), end = json_object_iter_end(map);

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		if (!json_object_is_type(json_object_iter_peek_value(&at), json_type_string))
			return NULL;
	return json_object_new_string("");
}

static int index_once(struct template_value *value, const struct template_value *key, struct kist_error *err)
{
	struct template_value next = { 0 };
	size_t i, len;
	int r;

	switch (json_object_get_type(value->j)) {
	case json_type_array:
		r = want_index(key, SIZE_MAX, &i, err);
		if (r < 0)
			return r;
		if (i >= json_object_array_length(value->j))
			return fail(err, "index out of range: %zu", i);
		next.j = json_object_get(json_object_array_get_idx(value->j, i));
		break;
	case json_type_string:
		r = want_index(key, SIZE_MAX, &i, err);
		if (r < 0)
			return r;
		bytes(value, &len);
		if (i >= len)
			return fail(err, "index out of range: %zu", i);
		next.j = json_object_new_int64((unsigned char)bytes(value, &len)[i]);
		break;
	case json_type_object:
		r = want_string(key, err);
		if (r < 0)
			return r;
		if (json_object_object_get_ex(value->j, json_object_get_string(key->j), &next.j))
			json_object_get(next.j);
		else if (value->map || json_object_object_length(value->j) == 0)
			next.j = map_zero(value->j);
		else
			return fail(err, "there is no '%s'", json_object_get_string(key->j));
		break;
	case json_type_null:
		return fail(err, "index of a null value");
	default:
		return fail(err, "a value of type %s cannot be indexed", template_type_name(value->j));
	}
	next.map = value->map;
	template_value_put(value);
	*value = next;
	return 0;
}

static int call_index(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err)
{
	struct template_value value = template_value_get(&args[0]);

	for (size_t i = 1; i < n; i++) {
		int r = index_once(&value, &args[i], err);

		if (r < 0) {
			template_value_put(&value);
			return r;
		}
	}
	*out = value;
	return 0;
}

static int call_slice(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err)
{
	KIST_STR struct kist_str s = { 0 };
	bool text = is_string(&args[0]);
	struct json_object *list;
	size_t from = 0, to;
	int r = 0;

	if (!text && !json_object_is_type(args[0].j, json_type_array))
		return fail(err, "a value of type %s cannot be sliced", template_type_name(args[0].j));
	if (n > 3)
		return fail(err, "a slice takes at most two indexes");
	to = text ? (size_t)json_object_get_string_len(args[0].j) : json_object_array_length(args[0].j);
	if (n > 1)
		r = want_index(&args[1], to, &from, err);
	if (r == 0 && n > 2)
		r = want_index(&args[2], to, &to, err);
	if (r < 0)
		return r;
	if (from > to)
		return fail(err, "invalid slice index: %zu > %zu", from, to);
	if (text) {
		kist_str_addn(&s, json_object_get_string(args[0].j) + from, to - from);
		set_string(out, &s);
		return 0;
	}
	list = json_object_new_array();
	for (; from < to; from++)
		json_object_array_add(list, json_object_get(json_object_array_get_idx(args[0].j, from)));
	*out = (struct template_value){ .j = list };
	return 0;
}

/* --- truth and comparison -------------------------------------------------------------------------------------- */

static void set_bool(struct template_value *out, bool b)
{
	*out = (struct template_value){ .j = json_object_new_boolean(b) };
}

static int call_not(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                    struct kist_error *err KIST_UNUSED)
{
	set_bool(out, !template_is_true(&args[0]));
	return 0;
}

/* An int of json-c is signed or, past INT64_MAX, unsigned. */
static int compare_ints(const struct json_object *a, const struct json_object *b)
{
	uint64_t ua = json_object_get_uint64(a), ub = json_object_get_uint64(b);
	int64_t ia = json_object_get_int64(a), ib = json_object_get_int64(b);

	if (ua > INT64_MAX || ub > INT64_MAX)
		return ua < ub ? -1 : ua > ub;
	return ia < ib ? -1 : ia > ib;
}

static int compare_strings(const struct template_value *a, const struct template_value *b)
{
	size_t la, lb;
	const char *ta = bytes(a, &la), *tb = bytes(b, &lb);
	int r = memcmp(ta, tb, la < lb ? la : lb);

	return r ? r : la < lb ? -1 : la > lb;
}

static int comparable(const struct template_value *v, struct kist_error *err)
{
	enum json_type type = json_object_get_type(v->j);

	if (type == json_type_array || type == json_type_object)
		return fail(err, "a value of type %s cannot be compared", template_type_name(v->j));
	return 0;
}

static int equal(const struct template_value *a, const struct template_value *b, bool *out, struct kist_error *err)
{
	enum json_type type = json_object_get_type(a->j);
	int r = comparable(a, err);

	if (r == 0)
		r = comparable(b, err);
	if (r < 0)
		return r;
	if (!a->j || !b->j) {
		*out = a->j == b->j;
		return 0;
	}
	if (json_object_get_type(b->j) != type)
		return fail(err, "values of types %s and %s cannot be compared", template_type_name(a->j),
		            template_type_name(b->j));
	switch (type) {
	case json_type_boolean:
		*out = json_object_get_boolean(a->j) == json_object_get_boolean(b->j);
		break;
	case json_type_int:
		*out = compare_ints(a->j, b->j) == 0;
		break;
	case json_type_double: {
		double x = json_object_get_double(a->j), y = json_object_get_double(b->j);

		*out = x <= y && x >= y;
		break;
	}
	default:
		*out = compare_strings(a, b) == 0;
	}
	return 0;
}

/* eq A B C...: whether A equals any of the others. */
static int call_eq(const struct template_value *args, size_t n, struct template_value *out, struct kist_error *err)
{
	bool same = false;

	for (size_t i = 1; i < n && !same; i++) {
		int r = equal(&args[0], &args[i], &same, err);

		if (r < 0)
			return r;
	}
	set_bool(out, same);
	return 0;
}

static int call_ne(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,
                   struct kist_error *err)
{
	bool same;
	int r = equal(&args[0], &args[1], &same, err);

	if (r == 0)
		set_bool(out, !same);
	return r;
}

static int order(const struct template_value *args, bool *less, bool *same, struct kist_error *err)
{
	enum json_type type = json_object_get_type(args[0].j);
	int r = equal(&args[0], &args[1], same, err);

	if (r < 0)
		return r;
	if (!args[0].j || !args[1].j || type == json_type_boolean)
		return fail(err, "values of types %s and %s have no order", template_type_name(args[0].j),
		            template_type_name(args[1].j));
	if (type == json_type_int)
		*less = compare_ints(args[0].j, args[1].j) < 0;
	else if (type == json_type_double)
		*less = json_object_get_double(args[0].j) < json_object_get_double(args[1].j);
	else
		*less = compare_strings(&args[0], &args[1]) < 0;
	return 0;
}

#define ORDER_FUNCTION(name, expression)                                                                               \
	static int call_##name(const struct template_value *args, size_t n KIST_UNUSED, struct template_value *out,    \
	                       struct kist_error *err)                                                                 \
	{                                                                                                              \
		bool less, same;                                                                                       \
		int r = order(args, &less, &same, err);                                                                \
                                                                                                                       \
		if (r == 0)                                                                                            \
			set_bool(out, expression);                                                                     \
		return r;                                                                                              \
	}
ORDER_FUNCTION(lt, less)
ORDER_FUNCTION(le, less || same)
ORDER_FUNCTION(gt, !less && !same)
ORDER_FUNCTION(ge, !less)

static const struct template_function functions[] = {
	{ "and", 1, -1, NULL, .lazy = true },
	{ "eq", 2, -1, call_eq },
	{ "ge", 2, 2, call_ge },
	{ "gt", 2, 2, call_gt },
	{ "html", 1, 1, call_html },
	{ "index", 1, -1, call_index },
	{ "join", 2, 2, call_join },
	{ "json", 1, 1, call_json },
	{ "le", 2, 2, call_le },
	{ "len", 1, 1, call_len },
	{ "lower", 1, 1, call_lower },
	{ "lt", 2, 2, call_lt },
	{ "ne", 2, 2, call_ne },
	{ "not", 1, 1, call_not },
	{ "or", 1, -1, NULL, .lazy = true },
	{ "pad", 3, 3, call_pad },
	{ "print", 0, -1, call_print },
	{ "printf", 1, -1, call_printf },
	{ "println", 0, -1, call_println },
	{ "slice", 1, -1, call_slice },
	{ "split", 2, 2, call_split },
	{ "title", 1, 1, call_title },
	{ "truncate", 2, 2, call_truncate },
	{ "upper", 1, 1, call_upper },
};

const struct template_function *template_function_find(const char *name, size_t len)
{
	for (size_t i = 0; i < KIST_COUNT(functions); i++)
		if (strlen(functions[i].name) == len && memcmp(functions[i].name, name, len) == 0)
			return &functions[i];
	return NULL;
}
