/* JSON documents: a strict reader and a writer, around json-c's objects. Declared in table.h. */
#include "core/base/table.h"

#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <json-c/json.h>

#define DEPTH 64

void kist_cleanup_json(struct json_object **json)
{
	json_object_put(*json);
}

static size_t line_of(const char *text, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

/* Length of the UTF-8 sequence at text, 0 when it is none (overlong, surrogate, past U+10FFFF, cut short). */
static size_t utf8_len(const unsigned char *text, size_t len)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

	if (text[0] < 0x80)
		return 1;
	for (size_t i = 0; i < KIST_COUNT(forms); i++) {
		uint32_t rune;

		if ((text[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (len < i + 2)
			return 0;
		rune = (unsigned char)(text[0] & ~forms[i].mask);
		for (size_t k = 1; k < i + 2; k++) {
			if ((text[k] & 0xc0) != 0x80)
				return 0;
			rune = rune << 6 | (text[k] & 0x3f);
		}
		if (rune < forms[i].least || (rune >= 0xd800 && rune < 0xe000) || rune > 0x10ffff)
			return 0;
		return i + 2;
	}
	return 0;
}

static size_t digits_len(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= '0' && text[n] <= '9')
		n++;
	return n;
}

/* Length of the number at text by RFC 8259; 0 when it is none, or an integer past 64 bits, which json-c would bend to
 * the nearest that fits. */
static size_t number_len(const char *text, size_t len)
{
	size_t sign = text[0] == '-';
	const char *max = sign ? "9223372036854775808" : "18446744073709551615";
	size_t whole = digits_len(text + sign, len - sign);
	size_t n = sign + whole, part;
	bool integer = true;

	if (!whole || (whole > 1 && text[sign] == '0'))
		return 0;
	if (n < len && text[n] == '.') {
		part = digits_len(text + n + 1, len - n - 1);
		n = part ? n + 1 + part : 0;
		integer = false;
	}
	if (n && n < len && (text[n] == 'e' || text[n] == 'E')) {
		n += 1 + (n + 1 < len && (text[n + 1] == '+' || text[n + 1] == '-'));
		part = digits_len(text + n, len - n);
		n = part ? n + part : 0;
		integer = false;
	}
	if (integer && (whole > strlen(max) || (whole == strlen(max) && memcmp(text + sign, max, whole) > 0)))
		return 0;
	return n;
}

/* What json-c 0.16 lets through even when strict: single quotes, capital words (NaN, True), raw control characters in
 * strings, overlong UTF-8; and it cuts a key at an escaped NUL, so that two readers could see two different documents.
 * Returns the offset of the first such place, len when there is none. */
static size_t lax_place(const char *text, size_t len)
{
	static const char plain[] = "{}[],: \t\r\n-0123456789trufalsen";
	bool inside = false, nul = false;

	for (size_t i = 0; i < len; i++) {
		if (!text[i] || (inside && (unsigned char)text[i] < ' '))
			return i;
		if (inside && text[i] == '\\') {
			nul = nul || (len - i > 5 && memcmp(text + i, "\\u0000", 6) == 0);
			i++;
		} else if (text[i] == '"') {
			inside = !inside;
			nul = nul && !inside;
		} else if (inside) {
			size_t n = utf8_len((const unsigned char *)text + i, len - i);

			if (!n)
				return i;
			i += n - 1;
		} else {
			if (!strchr(plain, text[i]) || (text[i] == ':' && nul))
				return i;
			nul = nul && strchr(" \t\r\n", text[i]);
			if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
				size_t n = number_len(text + i, len - i);

				if (!n)
					return i;
				i += n - 1;
			}
		}
	}
	return len;
}

int kist_json_parse(const char *text, size_t len, struct json_object **out, struct kist_error *err)
{
	struct json_tokener *tokener;
	KIST_JSON struct json_object *json = NULL;
	enum json_tokener_error error;
	size_t end;

	if (len > INT_MAX)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "JSON: larger than 2 GiB");
	end = lax_place(text, len);
	if (end < len)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "JSON: line %zu: %s", line_of(text, end),
		                 text[end] && strchr("-0123456789", text[end]) ? "not a number, or past 64 bits"
		                                                               : "a character that cannot be there");
	tokener = json_tokener_new_ex(DEPTH);
	json_tokener_set_flags(tokener,
	                       JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	json = json_tokener_parse_ex(tokener, text, (int)len);
	error = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	if (error == json_tokener_continue) {
		/* A number or word at the very end is complete only now. */
		json = json_tokener_parse_ex(tokener, "", 1);
		error = json_tokener_get_error(tokener);
		end = len;
	}
	json_tokener_free(tokener);
	if (error == json_tokener_continue || error == json_tokener_error_parse_eof)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "JSON: the text ends early");
	if (error != json_tokener_success)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "JSON: line %zu: %s", line_of(text, end),
		                 json_tokener_error_desc(error));
	while (end < len && strchr(" \t\r\n", text[end]))
		end++;
	if (end < len)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "JSON: line %zu: text after the end of the document",
		                 line_of(text, end));
	*out = kist_steal(&json);
	return 0;
}

/* How many bytes stand for themselves. */
static size_t plain_len(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= ' ' && text[n] <= '~' && text[n] != '"' && text[n] != '\\')
		n++;
	return n;
}

/* Environment and paths may hold any bytes, JSON may not: what is no UTF-8 becomes U+FFFD, as in Go. */
static void text_string(struct kist_str *out, const char *text, size_t len)
{
	static const char escaped[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";

	kist_str_addc(out, '"');
	for (size_t i = 0, n; i < len; i += n) {
		n = plain_len(text + i, len - i);
		if (n) {
			kist_str_addn(out, text + i, n);
			continue;
		}
		const char *special = text[i] ? strchr(escaped, text[i]) : NULL;
		n = utf8_len((const unsigned char *)text + i, len - i);
		if (special) {
			kist_str_addc(out, '\\');
			kist_str_addc(out, letters[special - escaped]);
		} else if ((unsigned char)text[i] < ' ') {
			kist_str_addf(out, "\\u%04x", text[i]);
		} else if (n) {
			kist_str_addn(out, text + i, n);
		} else {
			kist_str_add(out, "\xef\xbf\xbd");
			n = 1;
		}
	}
	kist_str_addc(out, '"');
}

/* A new line, indented, when pretty. */
static void text_break(struct kist_str *out, bool pretty, unsigned depth)
{
	if (!pretty)
		return;
	kist_str_addc(out, '\n');
	for (unsigned i = 0; i < depth; i++)
		kist_str_add(out, "    ");
}

static void text_value(struct kist_str *out, struct json_object *json, bool pretty, unsigned depth);

static void text_array(struct kist_str *out, struct json_object *json, bool pretty, unsigned depth)
{
	size_t n = json_object_array_length(json);

	kist_str_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			kist_str_addc(out, ',');
		text_break(out, pretty, depth + 1);
		text_value(out, json_object_array_get_idx(json, i), pretty, depth + 1);
	}
	if (n)
		text_break(out, pretty, depth);
	kist_str_addc(out, ']');
}

static void text_object(struct kist_str *out, struct json_object *json, bool pretty, unsigned depth)
{
	bool any = false;

	kist_str_addc(out, '{');
	json_object_object_foreach(json, key, value)
	{
		if (any)
			kist_str_addc(out, ',');
		any = true;
		text_break(out, pretty, depth + 1);
		text_string(out, key, strlen(key));
		kist_str_add(out, pretty ? ": " : ":");
		text_value(out, value, pretty, depth + 1);
	}
	if (any)
		text_break(out, pretty, depth);
	kist_str_addc(out, '}');
}

static void text_value(struct kist_str *out, struct json_object *json, bool pretty, unsigned depth)
{
	switch (json_object_get_type(json)) {
	case json_type_array:
		text_array(out, json, pretty, depth);
		break;
	case json_type_object:
		text_object(out, json, pretty, depth);
		break;
	case json_type_string:
		text_string(out, json_object_get_string(json), (size_t)json_object_get_string_len(json));
		break;
	default:
		kist_str_add(out, json ? json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN) : "null");
		break;
	}
}

char *kist_json_text(struct json_object *json, bool pretty)
{
	KIST_STR struct kist_str out = { 0 };

	text_value(&out, json, pretty, 0);
	return kist_str_take(&out);
}

void kist_json_item_add(struct kist_str *out, struct json_object *item)
{
	kist_str_addc(out, ',');
	text_break(out, true, 1);
	text_value(out, item, true, 1);
}

void kist_json_list_end(struct kist_str *out, size_t start)
{
	bool empty = out->len == start;

	if (!empty)
		out->data[start] = '[';
	kist_str_add(out, empty ? "[]" : "\n]");
}

const char *kist_json_text_at(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(json, key, &value) || !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

struct json_object *kist_json_array_at(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(json, key, &value) || !json_object_is_type(value, json_type_array))
		return NULL;
	return value;
}
