/* Values as Go's package fmt prints them: print, println, printf and the result of an action. */
#include "cli/template_internal.h"

#include "cli/columns.h"
#include "core/base/error.h"
#include "core/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One verb with its flags. */
struct verb {
	char verb[5]; /* UTF-8, NUL-terminated */
	bool minus, plus, sharp, space, zero;
	int width;     /* -1: none */
	int precision; /* -1: none */
};

static void format_value(struct kist_str *out, const struct verb *v, struct json_object *j, int depth);

/* --- padding --------------------------------------------------------------------------------------------------- */

static size_t rune_count(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; n++) {
		uint32_t c;
		size_t size = kist_utf8_decode(text + i, len - i, &c);

		i += size ? size : 1;
	}
	return n;
}

static void add_many(struct kist_str *out, char c, size_t n)
{
	while (n-- > 0)
		kist_str_addc(out, c);
}

static void add_padded(struct kist_str *out, const struct verb *v, const char *text, size_t len)
{
	size_t runes = v->width > 0 ? rune_count(text, len) : 0;
	size_t pad = v->width > 0 && (size_t)v->width > runes ? (size_t)v->width - runes : 0;

	if (!v->minus)
		add_many(out, v->zero ? '0' : ' ', pad);
	kist_str_addn(out, text, len);
	if (v->minus)
		add_many(out, ' ', pad);
}

/* Zeros go between the sign and the digits. sign: "" "-" "+" " ". */
static void add_number(struct kist_str *out, const struct verb *v, const char *sign, const char *digits)
{
	KIST_STR struct kist_str s = { 0 };
	size_t have = strlen(sign) + strlen(digits);

	kist_str_add(&s, sign);
	if (v->zero && !v->minus && v->width > 0 && (size_t)v->width > have)
		add_many(&s, '0', (size_t)v->width - have);
	kist_str_add(&s, digits);
	add_padded(out, &(struct verb){ .minus = v->minus, .width = v->width }, kist_str_get(&s), s.len);
}

/* --- strings --------------------------------------------------------------------------------------------------- */

/* strconv.Quote; ascii: strconv.QuoteToASCII (%+q). */
static void add_quoted(struct kist_str *out, const char *text, size_t len, char quote, bool ascii)
{
	static const char from[] = "\a\b\f\n\r\t\v\\";
	static const char to[] = "abfnrtv\\";

	kist_str_addc(out, quote);
	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t size = kist_utf8_decode(text + i, len - i, &c);
		const char *simple;

		if (size == 0) {
			kist_str_addf(out, "\\x%02x", (unsigned char)text[i++]);
			continue;
		}
		simple = c && c < 0x80 ? strchr(from, (int)c) : NULL;
		if (c == (uint32_t)quote)
			kist_str_addf(out, "\\%c", quote);
		else if (simple)
			kist_str_addf(out, "\\%c", to[simple - from]);
		else if (c < ' ' || c == 0x7f)
			kist_str_addf(out, "\\x%02x", c);
		else if (c >= 0x80 && c < 0x10000 && (ascii || c < 0xa0 || kist_codepoint_width(c) == 0))
			kist_str_addf(out, "\\u%04x", c);
		else if (c >= 0x10000 && ascii)
			kist_str_addf(out, "\\U%08x", c);
		else
			kist_str_addn(out, text + i, size);
		i += size;
	}
	kist_str_addc(out, quote);
}

static size_t cut_runes(const char *text, size_t len, int precision)
{
	size_t i = 0;

	for (int n = 0; n < precision && i < len; n++) {
		uint32_t c;
		size_t size = kist_utf8_decode(text + i, len - i, &c);

		i += size ? size : 1;
	}
	return precision < 0 ? len : i;
}

static void add_hex(struct kist_str *out, const struct verb *v, const char *text, size_t len)
{
	KIST_STR struct kist_str s = { 0 };
	const char *format = v->verb[0] == 'X' ? "%02X" : "%02x";
	const char *prefix = v->verb[0] == 'X' ? "0X" : "0x";

	if (v->precision >= 0 && (size_t)v->precision < len)
		len = (size_t)v->precision;
	for (size_t i = 0; i < len; i++) {
		if (v->space && i > 0)
			kist_str_addc(&s, ' ');
		if (v->sharp && (v->space || i == 0))
			kist_str_add(&s, prefix);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		kist_str_addf(&s, format, (unsigned char)text[i]);
#pragma GCC diagnostic pop
	}
	add_padded(out, v, kist_str_get(&s), s.len);
}

static bool format_string(struct kist_str *out, const struct verb *v, const char *text, size_t len)
{
	KIST_STR struct kist_str s = { 0 };

	switch (v->verb[0]) {
	case 'v':
		if (!v->sharp) {
			add_padded(out, v, text, cut_runes(text, len, v->precision));
			return true;
		}
		/* fallthrough */
	case 'q':
		len = cut_runes(text, len, v->precision);
		if (v->sharp && v->verb[0] == 'q' && !memchr(text, '`', len) && kist_is_printable(text)) {
			kist_str_addc(&s, '`');
			kist_str_addn(&s, text, len);
			kist_str_addc(&s, '`');
		} else {
			add_quoted(&s, text, len, '"', v->plus && v->verb[0] == 'q');
		}
		add_padded(out, v, kist_str_get(&s), s.len);
		return true;
	case 's':
		add_padded(out, v, text, cut_runes(text, len, v->precision));
		return true;
	case 'x':
	case 'X':
		add_hex(out, v, text, len);
		return true;
	default:
		return false;
	}
}

/* --- numbers --------------------------------------------------------------------------------------------------- */

static const char *sign_of(const struct verb *v, bool negative)
{
	return negative ? "-" : v->plus ? "+" : v->space ? " " : "";
}

static size_t add_codepoint(char out[5], uint64_t c)
{
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static void int_digits(struct kist_str *digits, uint64_t magnitude, unsigned base, bool upper)
{
	const char *letters = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[65];
	size_t at = sizeof(text);

	do {
		text[--at] = letters[magnitude % base];
		magnitude /= base;
	} while (magnitude > 0);
	kist_str_addn(digits, text + at, sizeof(text) - at);
}

/* Digits in a base: a precision is the least number of digits and switches the zero flag off, as in C and Go. */
static void format_base(struct kist_str *out, const struct verb *v, bool negative, uint64_t magnitude, unsigned base)
{
	KIST_STR struct kist_str digits = { 0 }, whole = { 0 };
	struct verb w = *v;
	char c = v->verb[0];

	if (v->precision == 0 && magnitude == 0) {
		add_padded(out, &(struct verb){ .width = v->width, .minus = v->minus }, "", 0);
		return;
	}
	int_digits(&digits, magnitude, base, c == 'X');
	if (v->precision >= 0) {
		w.zero = false;
		if ((size_t)v->precision > digits.len)
			add_many(&whole, '0', (size_t)v->precision - digits.len);
	} else if (v->zero && !v->minus && v->width > 0) {
		size_t sign = *sign_of(v, negative) ? 1 : 0;

		if ((size_t)v->width > digits.len + sign)
			add_many(&whole, '0', (size_t)v->width - digits.len - sign);
	}
	kist_str_addn(&whole, digits.data, digits.len);
	/* Go counts the zeros before it adds the prefix. */
	KIST_FREE char *text = kist_asprintf("%s%s",
	                                     c == 'O'                             ? "0o"
	                                     : v->sharp && (c == 'x' || c == 'X') ? (c == 'x' ? "0x" : "0X")
	                                     : v->sharp && c == 'b'               ? "0b"
	                                     : v->sharp && c == 'o' && kist_str_get(&whole)[0] != '0' ? "0"
	                                                                                              : "",
	                                     kist_str_get(&whole));
	w.zero = false;
	add_number(out, &w, sign_of(v, negative), text);
}

static bool format_int(struct kist_str *out, const struct verb *v, struct json_object *j)
{
	uint64_t u = json_object_get_uint64(j);
	int64_t i = json_object_get_int64(j);
	bool negative = u <= INT64_MAX && i < 0;
	uint64_t magnitude = negative ? 0 - (uint64_t)i : u;
	KIST_STR struct kist_str s = { 0 };
	char rune[5] = { 0 };
	size_t n;

	switch (v->verb[0]) {
	case 'v':
	case 'd':
		format_base(out, v, negative, magnitude, 10);
		return true;
	case 'b':
		format_base(out, v, negative, magnitude, 2);
		return true;
	case 'o':
	case 'O':
		format_base(out, v, negative, magnitude, 8);
		return true;
	case 'x':
	case 'X':
		format_base(out, v, negative, magnitude, 16);
		return true;
	case 'c':
	case 'q':
		n = add_codepoint(rune, negative ? UINT64_MAX : magnitude);
		if (v->verb[0] == 'c')
			kist_str_addn(&s, rune, n);
		else
			add_quoted(&s, rune, n, '\'', v->plus);
		add_padded(out, v, kist_str_get(&s), s.len);
		return true;
	case 'U':
		kist_str_addf(&s, "U+%04" PRIX64, negative ? (uint64_t)i : magnitude);
		add_padded(out, &(struct verb){ .width = v->width, .minus = v->minus }, kist_str_get(&s), s.len);
		return true;
	default:
		return false;
	}
}

/* The fewest digits that read back as the same number. */
static int shortest_precision(double d, char out[40])
{
	int p = 0;

	for (; p < 17; p++) {
		snprintf(out, 40, "%.*e", p, d);
		double back = strtod(out, NULL);

		if (back <= d && back >= d)
			break;
	}
	return p;
}

static void float_text(struct kist_str *s, const struct verb *v, double d)
{
	char c = v->verb[0], scratch[40];
	int precision = v->precision, exponent;

	if (c == 'v')
		c = 'g';
	if (c == 'F')
		c = 'f';
	if ((c == 'e' || c == 'E' || c == 'f') && precision < 0)
		precision = 6;
	if (c == 'e' || c == 'E') {
		kist_str_addf(s, c == 'e' ? "%.*e" : "%.*E", precision, d);
	} else if (c == 'f') {
		kist_str_addf(s, "%.*f", precision, d);
	} else if (precision >= 0) {
		kist_str_addf(s, c == 'g' ? "%.*g" : "%.*G", precision, d);
	} else {
		/* %g without a precision: shortest digits; the exponent form starts at 10^21, as fmt has it for %v and
		 * %g. */
		int digits = shortest_precision(d, scratch);

		exponent = (int)strtol(strchr(scratch, 'e') + 1, NULL, 10);
		if (exponent < -4 || exponent >= (v->verb[0] == 'v' && v->sharp ? 21 : 6))
			kist_str_addf(s, c == 'g' ? "%.*e" : "%.*E", digits, d);
		else
			kist_str_addf(s, "%.*f", digits > exponent ? digits - exponent : 0, d);
	}
}

static bool format_float(struct kist_str *out, const struct verb *v, double d)
{
	KIST_STR struct kist_str s = { 0 };

	if (!v->verb[0] || v->verb[1] || !strchr("veEfFgG", v->verb[0]))
		return false;
	if (isnan(d) || isinf(d)) {
		struct verb plain = *v;

		plain.zero = false;
		add_number(out, &plain, isnan(d) ? "" : d < 0 ? "-" : "+", isnan(d) ? "NaN" : "Inf");
		return true;
	}
	float_text(&s, v, fabs(d));
	add_number(out, v, sign_of(v, signbit(d)), kist_str_get(&s));
	return true;
}

/* --- values ---------------------------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **template_keys(struct json_object *j, size_t *n)
{
	const char **keys = kist_grow(NULL, (size_t)json_object_object_length(j) + 1, sizeof(*keys));
	struct json_object_iterator at = json_object_iter_begin(j), end = json_object_iter_end(j);

	for (*n = 0; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		keys[(*n)++] = json_object_iter_peek_name(&at);
	qsort(keys, *n, sizeof(*keys), compare_keys);
	return keys;
}

static void format_object(struct kist_str *out, const struct verb *v, struct json_object *j, int depth)
{
	size_t n;
	KIST_FREE const char **keys = template_keys(j, &n);
	bool go = v->verb[0] == 'v' && v->sharp;

	kist_str_add(out, go ? "map[string]interface {}{" : "map[");
	for (size_t i = 0; i < n; i++) {
		struct json_object *key = json_object_new_string(keys[i]), *value = NULL;

		if (i > 0)
			kist_str_add(out, go ? ", " : " ");
		format_value(out, v, key, depth + 1);
		kist_str_addc(out, ':');
		json_object_object_get_ex(j, keys[i], &value);
		format_value(out, v, value, depth + 1);
		json_object_put(key);
	}
	kist_str_addc(out, go ? '}' : ']');
}

static void format_array(struct kist_str *out, const struct verb *v, struct json_object *j, int depth)
{
	bool go = v->verb[0] == 'v' && v->sharp;

	kist_str_add(out, go ? "[]interface {}{" : "[");
	for (size_t i = 0; i < json_object_array_length(j) && out->len <= TEMPLATE_MAX_OUTPUT; i++) {
		if (i > 0)
			kist_str_add(out, go ? ", " : " ");
		format_value(out, v, json_object_array_get_idx(j, i), depth + 1);
	}
	kist_str_addc(out, go ? '}' : ']');
}

/* %!d(string=hi): the verb does not fit. */
static void add_bad_verb(struct kist_str *out, const struct verb *v, struct json_object *j)
{
	static const struct verb plain = { .verb = "v", .width = -1, .precision = -1 };

	kist_str_addf(out, "%%!%s(", v->verb);
	if (!j) {
		kist_str_add(out, "<nil>)");
		return;
	}
	kist_str_addf(out, "%s=", template_type_name(j));
	format_value(out, &plain, j, 0);
	kist_str_addc(out, ')');
}

static void format_value(struct kist_str *out, const struct verb *v, struct json_object *j, int depth)
{
	bool done = true;

	switch (json_object_get_type(j)) {
	case json_type_boolean:
		done = v->verb[0] == 'v' || v->verb[0] == 't';
		if (done)
			add_padded(out, v, json_object_get_boolean(j) ? "true" : "false",
			           json_object_get_boolean(j) ? 4 : 5);
		break;
	case json_type_int:
		done = format_int(out, v, j);
		break;
	case json_type_double:
		done = format_float(out, v, json_object_get_double(j));
		break;
	case json_type_string:
		done = format_string(out, v, json_object_get_string(j), (size_t)json_object_get_string_len(j));
		break;
	case json_type_array:
		format_array(out, v, j, depth);
		break;
	case json_type_object:
		format_object(out, v, j, depth);
		break;
	default:
		done = v->verb[0] == 'v';
		/* %#v of nil, which Go has as an interface inside of a composite. */
		if (done && v->sharp && depth > 0)
			kist_str_add(out, "interface {}(nil)");
		else if (done)
			add_padded(out, v, "<nil>", 5);
		break;
	}
	if (!done)
		add_bad_verb(out, v, j);
}

static const struct verb plain_verb = { .verb = "v", .width = -1, .precision = -1 };

void template_print(struct kist_str *out, struct json_object *j)
{
	format_value(out, &plain_verb, j, 0);
}

static int check_length(const struct kist_str *out, struct kist_error *err)
{
	if (out->len <= TEMPLATE_MAX_OUTPUT)
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the result is longer than 64 MiB");
}

int template_sprint(struct kist_str *out, const struct template_value *args, size_t n, bool line,
                    struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		/* Sprint parts operands when neither side is a string, Sprintln always. */
		if (i > 0 && (line || (!json_object_is_type(args[i].j, json_type_string) &&
		                       !json_object_is_type(args[i - 1].j, json_type_string))))
			kist_str_addc(out, ' ');
		template_print(out, args[i].j);
		r = check_length(out, err);
		if (r < 0)
			return r;
	}
	if (line)
		kist_str_addc(out, '\n');
	return 0;
}

/* --- printf ---------------------------------------------------------------------------------------------------- */

struct formatting {
	const char *at, *end;
	const struct template_value *args;
	size_t n, next;
	struct kist_str *out;
};

/* Digits or '*'. -1: none given. Too large: *bad. */
static int take_count(struct formatting *f, bool *bad)
{
	int64_t value = -1;

	if (f->at < f->end && *f->at == '*') {
		f->at++;
		*bad = f->next >= f->n || !json_object_is_type(f->args[f->next].j, json_type_int);
		if (f->next < f->n)
			value = json_object_get_int64(f->args[f->next++].j);
		if (value > TEMPLATE_MAX_WIDTH || value < -TEMPLATE_MAX_WIDTH)
			*bad = true;
		return *bad ? -1 : (int)value;
	}
	for (; f->at < f->end && *f->at >= '0' && *f->at <= '9'; f->at++) {
		value = (value < 0 ? 0 : value * 10) + (*f->at - '0');
		if (value > TEMPLATE_MAX_WIDTH)
			*bad = true;
		if (*bad)
			value = 0;
	}
	return (int)value;
}

static void take_flags(struct formatting *f, struct verb *v)
{
	for (; f->at < f->end; f->at++) {
		switch (*f->at) {
		case '-':
			v->minus = true;
			v->zero = false;
			break;
		case '+':
			v->plus = true;
			break;
		case '#':
			v->sharp = true;
			break;
		case ' ':
			v->space = true;
			break;
		case '0':
			v->zero = !v->minus;
			break;
		default:
			return;
		}
	}
}

static void take_width(struct formatting *f, struct verb *v)
{
	bool star = f->at < f->end && *f->at == '*', bad = false;

	v->width = take_count(f, &bad);
	if (bad) {
		kist_str_add(f->out, "%!(BADWIDTH)");
		v->width = -1;
	}
	if (star && v->width < 0 && !bad) {
		v->width = -v->width;
		v->minus = true;
		v->zero = false;
	}
	bad = false;
	if (f->at < f->end && *f->at == '.') {
		f->at++;
		v->precision = take_count(f, &bad);
		if (v->precision < 0 && !bad)
			v->precision = f->at[-1] == '*' ? -1 : 0;
		if (bad) {
			kist_str_add(f->out, "%!(BADPREC)");
			v->precision = -1;
		}
	}
}

/* Behind a '%'. */
static int format_directive(struct formatting *f, struct kist_error *err)
{
	struct verb v = { .width = -1, .precision = -1 };
	uint32_t codepoint;
	size_t size;

	take_flags(f, &v);
	if (f->at < f->end && *f->at == '[')
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "argument numbers such as %%[1]d are not available");
	take_width(f, &v);
	if (f->at >= f->end) {
		kist_str_add(f->out, "%!(NOVERB)");
		return 0;
	}
	size = kist_utf8_decode(f->at, (size_t)(f->end - f->at), &codepoint);
	size = size ? size : 1;
	memcpy(v.verb, f->at, size);
	f->at += size;
	/* As in Go, + and # of %v ask for another form of the whole value, not of its numbers. */
	if (v.verb[0] == 'v')
		v.plus = false;
	if (v.verb[0] == '%') {
		kist_str_addc(f->out, '%');
	} else if (f->next >= f->n) {
		kist_str_addf(f->out, "%%!%s(MISSING)", v.verb);
	} else if (v.verb[0] == 'T') {
		const char *type = f->args[f->next].j ? template_type_name(f->args[f->next].j) : "<nil>";

		add_padded(f->out, &v, type, strlen(type));
		f->next++;
	} else {
		format_value(f->out, &v, f->args[f->next++].j, 0);
	}
	return 0;
}

int template_sprintf(struct kist_str *out, const char *format, size_t len, const struct template_value *args, size_t n,
                     struct kist_error *err)
{
	struct formatting f = { .at = format, .end = format + len, .args = args, .n = n, .out = out };
	int r = 0;

	while (f.at < f.end && r == 0) {
		const char *percent = memchr(f.at, '%', (size_t)(f.end - f.at));

		kist_str_addn(out, f.at, (size_t)((percent ? percent : f.end) - f.at));
		f.at = percent ? percent + 1 : f.end;
		if (percent)
			r = format_directive(&f, err);
		if (r == 0)
			r = check_length(out, err);
	}
	if (r < 0 || f.next >= n)
		return r;
	kist_str_add(out, "%!(EXTRA ");
	for (size_t i = f.next; i < n; i++) {
		if (i > f.next)
			kist_str_add(out, ", ");
		if (args[i].j)
			kist_str_addf(out, "%s=", template_type_name(args[i].j));
		template_print(out, args[i].j);
	}
	kist_str_addc(out, ')');
	return check_length(out, err);
}
