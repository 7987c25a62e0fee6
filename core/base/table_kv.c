/* The key=value form: see table.h. */
#include "core/base/table.h"

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table_field.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An absent string whose default is not absent. No escaped value can be this. */
#define ABSENT "\\0"
/* Nine digits: no list is as long, and no sum below can overflow. */
#define INDEX_DIGITS 9

/* --- writing ---------------------------------------------------------------------------------------------------- */

static void write_escaped(struct kist_str *out, const char *value)
{
	for (; *value; value++) {
		size_t plain = strcspn(value, "\\\n\r");

		kist_str_addn(out, value, plain);
		value += plain;
		if (!*value)
			break;
		kist_str_addc(out, '\\');
		kist_str_addc(out, *value == '\n' ? 'n' : *value == '\r' ? 'r' : '\\');
	}
}

static void write_line(struct kist_str *out, const char *key, const char *value)
{
	kist_str_add(out, key);
	kist_str_addc(out, '=');
	write_escaped(out, value);
	kist_str_addc(out, '\n');
}

static void write_fields(const struct kist_table *table, const void *object, struct kist_str *key,
                         struct kist_str *out);

/* 'key' is one buffer for the whole walk, cut back after each use. */
static void key_cut(struct kist_str *key, size_t len)
{
	key->len = len;
	if (key->data)
		key->data[len] = '\0';
}

/* What exists but holds only defaults still needs a line, "key=", to exist again. */
static void write_nested(const struct kist_table *table, const void *object, struct kist_str *key, struct kist_str *out)
{
	size_t written = out->len;

	write_fields(table, object, key, out);
	if (out->len == written)
		write_line(out, kist_str_get(key), "");
}

static void write_strv(char *const *strv, struct kist_str *key, struct kist_str *out)
{
	size_t len = key->len;

	for (size_t i = 0; strv && strv[i]; i++) {
		kist_str_addf(key, ".%zu", i);
		write_line(out, kist_str_get(key), strv[i]);
		key_cut(key, len);
	}
}

static void write_list(const struct kist_field *field, const void *object, struct kist_str *key, struct kist_str *out)
{
	size_t len = key->len;

	for (size_t i = 0; i < *kist_field_count(field, object); i++) {
		kist_str_addf(key, ".%zu", i);
		if (field->type == KIST_F_U32S)
			kist_str_addf(out, "%s=%u\n", kist_str_get(key),
			              (*(uint32_t **)kist_field_at(field, object))[i]);
		else
			write_nested(field->table, kist_field_item(field, object, i), key, out);
		key_cut(key, len);
	}
}

static void write_scalar(const struct kist_field *field, const void *member, struct kist_str *key, struct kist_str *out)
{
	KIST_STR struct kist_str text = { 0 };

	if (field->type == KIST_F_STRING && !*(char *const *)member) {
		kist_str_addf(out, "%s=%s\n", kist_str_get(key), ABSENT);
		return;
	}
	kist_field_text(field, member, &text);
	write_line(out, kist_str_get(key), kist_str_get(&text));
}

static void write_field(const struct kist_field *field, const void *object, struct kist_str *key, struct kist_str *out)
{
	void *member = kist_field_at(field, object);

	switch (field->type) {
	case KIST_F_STRV:
	case KIST_F_MAP:
		write_strv(*(char ***)member, key, out);
		break;
	case KIST_F_STRUCT:
		write_fields(field->table, member, key, out);
		break;
	case KIST_F_POINTER:
		write_nested(field->table, *(void **)member, key, out);
		break;
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
	case KIST_F_U32S:
		write_list(field, object, key, out);
		break;
	default:
		write_scalar(field, member, key, out);
		break;
	}
}

static void write_fields(const struct kist_table *table, const void *object, struct kist_str *key, struct kist_str *out)
{
	size_t len = key->len;

	for (size_t i = 0; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];

		if (field->flags & KIST_FIELD_NO_KV)
			continue;
		/* A struct's members have defaults of their own. */
		if (field->type != KIST_F_STRUCT && kist_field_is_default(field, object))
			continue;
		if (len)
			kist_str_addc(key, '.');
		kist_str_add(key, field->key);
		write_field(field, object, key, out);
		key_cut(key, len);
	}
}

void kist_kv_write(const struct kist_table *table, const void *object, char *const *extra, struct kist_str *out)
{
	KIST_STR struct kist_str key = { 0 };

	write_fields(table, object, &key, out);
	for (; extra && *extra; extra++)
		kist_str_addf(out, "%s\n", *extra);
}

/* --- one assignment --------------------------------------------------------------------------------------------- */

struct assignment {
	const char *key;
	const char *value; /* NULL: absent */
};

static int assign(const struct kist_table *table, void *object, const char *rest, const struct assignment *a,
                  struct kist_error *err);

static int unknown_key(const struct assignment *a, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_INVALID, ENOENT, "%s: no such key", a->key);
}

static int bad_value(const struct kist_field *field, const struct assignment *a, int r, struct kist_error *err)
{
	static const char *const expected[] = {
		[KIST_F_BOOL] = "true or false",
		[KIST_F_OPT_BOOL] = "true or false",
		[KIST_F_INT] = "a number",
		[KIST_F_U32] = "a number from 0",
		[KIST_F_OPT_U32] = "a number from 0",
		[KIST_F_U64] = "a number from 0",
		[KIST_F_OPT_U64] = "a number from 0",
		[KIST_F_I64] = "a number",
		[KIST_F_OPT_I64] = "a number",
		[KIST_F_U32S] = "a number from 0",
		[KIST_F_TIME] = "a number of nanoseconds",
		[KIST_F_ENUM] = "one of its names",
		[KIST_F_JSON] = "JSON",
		[KIST_F_MAP] = "key=value",
		[KIST_F_STRING] = "text",
		[KIST_F_STRV] = "text",
		[KIST_F_POINTER] = "nothing",
		[KIST_F_LIST] = "nothing",
		[KIST_F_PTR_MAP] = "nothing",
	};
	const char *value = a->value ? a->value : ABSENT;

	if (r == -ERANGE)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "%s: %s is out of range", a->key, value);
	return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: expected %s, not '%.100s'", a->key, expected[field->type],
	                 value);
}

/* Takes ".N" off *rest; N is an item of the list or the next one. */
static int take_index(const char **rest, size_t count, size_t *out, const struct assignment *a, struct kist_error *err)
{
	const char *digits = *rest + 1;
	size_t n, index = 0;

	if (**rest != '.')
		return unknown_key(a, err);
	n = strspn(digits, "0123456789");
	if (n == 0 || (digits[n] && digits[n] != '.'))
		return unknown_key(a, err);
	if (n > INDEX_DIGITS || (n > 1 && digits[0] == '0'))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: not an index", a->key);
	for (size_t i = 0; i < n; i++)
		index = index * 10 + (size_t)(digits[i] - '0');
	if (index > count)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "%s: items are counted from 0 without gaps, the next is %zu", a->key, count);
	*rest = digits + n;
	*out = index;
	return 0;
}

static int assign_strv(const struct kist_field *field, char ***strv, const char *rest, const struct assignment *a,
                       struct kist_error *err)
{
	size_t index, count = kist_strv_len(*strv);
	int r = take_index(&rest, count, &index, a, err);

	if (r)
		return r;
	if (*rest)
		return unknown_key(a, err);
	if (!a->value || (field->type == KIST_F_MAP && !strchr(a->value, '=')))
		return bad_value(field, a, -EINVAL, err);
	if (index == count) {
		kist_strv_add(strv, a->value);
		return 0;
	}
	free((*strv)[index]);
	(*strv)[index] = kist_strdup(a->value);
	return 0;
}

static int assign_u32s(const struct kist_field *field, void *object, const char *rest, const struct assignment *a,
                       struct kist_error *err)
{
	size_t index, count = *kist_field_count(field, object);
	uint32_t value;
	int r = take_index(&rest, count, &index, a, err);

	if (r)
		return r;
	if (*rest)
		return unknown_key(a, err);
	r = a->value ? kist_parse_u32(a->value, &value) : -EINVAL;
	if (r)
		return bad_value(field, a, r, err);
	if (index == count)
		kist_field_append_u32(field, object, value);
	else
		(*(uint32_t **)kist_field_at(field, object))[index] = value;
	return 0;
}

/* The rest of the key after something nested: ".member", or nothing and an empty value, which only says that it exists.
 */
static int assign_nested(const struct kist_field *field, void *nested, const char *rest, const struct assignment *a,
                         struct kist_error *err)
{
	if (*rest == '.')
		return assign(field->table, nested, rest + 1, a, err);
	if (!a->value || *a->value)
		return bad_value(field, a, -EINVAL, err);
	return 0;
}

static int assign_list(const struct kist_field *field, void *object, const char *rest, const struct assignment *a,
                       struct kist_error *err)
{
	size_t index, count = *kist_field_count(field, object);
	int r = take_index(&rest, count, &index, a, err);

	if (r)
		return r;
	if (index == count)
		kist_field_append(field, object);
	return assign_nested(field, kist_field_item(field, object, index), rest, a, err);
}

static int assign_scalar(const struct kist_field *field, void *object, const char *rest, const struct assignment *a,
                         struct kist_error *err)
{
	int r;

	if (*rest)
		return unknown_key(a, err);
	if (!a->value) {
		if (field->type != KIST_F_STRING)
			return bad_value(field, a, -EINVAL, err);
		kist_field_unset(field, object);
		return 0;
	}
	r = kist_field_parse(field, kist_field_at(field, object), a->value);
	return r ? bad_value(field, a, r, err) : 0;
}

static int assign_field(const struct kist_field *field, void *object, const char *rest, const struct assignment *a,
                        struct kist_error *err)
{
	void *member = kist_field_at(field, object);

	switch (field->type) {
	case KIST_F_STRV:
	case KIST_F_MAP:
		return assign_strv(field, member, rest, a, err);
	case KIST_F_STRUCT:
		return *rest == '.' ? assign(field->table, member, rest + 1, a, err) : unknown_key(a, err);
	case KIST_F_POINTER:
		return assign_nested(field, kist_field_pointer(field, object), rest, a, err);
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
		return assign_list(field, object, rest, a, err);
	case KIST_F_U32S:
		return assign_u32s(field, object, rest, a, err);
	default:
		return assign_scalar(field, object, rest, a, err);
	}
}

static int assign(const struct kist_table *table, void *object, const char *rest, const struct assignment *a,
                  struct kist_error *err)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];
		size_t len;

		if (field->key[0] != rest[0] || (field->flags & KIST_FIELD_NO_KV))
			continue;
		len = strlen(field->key);
		if (strncmp(field->key, rest, len) == 0 && (rest[len] == '\0' || rest[len] == '.'))
			return assign_field(field, object, rest + len, a, err);
	}
	return unknown_key(a, err);
}

int kist_kv_set(const struct kist_table *table, void *object, const char *key, const char *value,
                struct kist_error *err)
{
	KIST_FREE void *copy = kist_alloc(table->size);
	int r;

	kist_table_copy(table, copy, object);
	r = assign(table, copy, key, &(struct assignment){ key, value }, err);
	if (r == 0)
		kist_table_move(table, object, copy);
	else
		kist_table_release(table, copy);
	return r;
}

/* --- reading a text --------------------------------------------------------------------------------------------- */

/* The keys met so far: open addressing, sized for all lines at once, so that a record is read in linear time. */
struct seen {
	const char **keys;
	size_t size; /* a power of two, at least twice the lines */
};

static uint32_t hash_key(const char *key)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619u;
	return hash;
}

/* False when it was there. */
static bool seen_add(struct seen *seen, const char *key)
{
	size_t i = hash_key(key) & (seen->size - 1);

	for (; seen->keys[i]; i = (i + 1) & (seen->size - 1))
		if (strcmp(seen->keys[i], key) == 0)
			return false;
	seen->keys[i] = key;
	return true;
}

/* In place; the result is never longer. */
static int unescape(char *value)
{
	char *to = value + strcspn(value, "\\\r");

	for (const char *from = to; *from; from++) {
		if (*from == '\r')
			return -EINVAL;
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		from++;
		if (*from == '\\')
			*to++ = '\\';
		else if (*from == 'n')
			*to++ = '\n';
		else if (*from == 'r')
			*to++ = '\r';
		else
			return -EINVAL;
	}
	*to = '\0';
	return 0;
}

/* raw: the line as it was written, of the same length; what comes after it is not the caller's. */
static int read_line(const struct kist_table *table, char *line, const char *raw, void *object, struct seen *seen,
                     char ***extra, struct kist_error *err)
{
	const size_t raw_len = strlen(line);
	struct kist_error local;
	char *equals = strchr(line, '=');
	struct assignment a;
	int r;

	/* Not all of its kilobyte: this is done for each line of thousands of records. */
	local.kind = KIST_ERR_NONE;
	local.errnum = 0;
	local.text[0] = '\0';

	if (!equals || equals == line)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "expected key=value, not '%.60s'", line);
	*equals = '\0';
	a = (struct assignment){ line, equals + 1 };
	if (!seen_add(seen, line))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: is there twice", line);
	if (strcmp(a.value, ABSENT) == 0)
		a.value = NULL;
	else if (unescape(equals + 1))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "%s: the value has a carriage return, or a '\\' that is not \\\\, \\n or \\r", line);
	r = assign(table, object, a.key, &a, &local);
	if (r == -ENOENT && extra) {
		kist_strv_take(extra, kist_strndup(raw, raw_len));
		return 0;
	}
	return r ? kist_fail(err, local.kind, local.errnum, "%s", local.text) : 0;
}

static int read_lines(const struct kist_table *table, char *text, const char *original, void *object, struct seen *seen,
                      char ***extra, struct kist_error *err)
{
	size_t number = 1;
	char *next;

	for (char *line = text; line; line = next, number++) {
		int r;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!*line || *line == '#')
			continue;
		r = read_line(table, line, original + (line - text), object, seen, extra, err);
		if (r) {
			kist_context(err, "line %zu", number);
			return r;
		}
	}
	return 0;
}

int kist_kv_read_bytes(const struct kist_table *table, const char *text, size_t len, void *object, char ***extra,
                       struct kist_error *err)
{
	KIST_FREE char *copy = kist_strndup(text, len);
	KIST_FREE void *fresh = kist_alloc(table->size);
	KIST_FREE const char **keys = NULL;
	KIST_STRV char **more = NULL;
	struct seen seen = { .size = 4 };
	size_t lines = 1;
	int r;

	if (memchr(text, '\0', len))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: a NUL byte in the text", table->what);
	for (const char *p = text; (p = memchr(p, '\n', len - (size_t)(p - text))); p++)
		lines++;
	while (seen.size < 2 * lines)
		seen.size *= 2;
	seen.keys = keys = kist_grow(NULL, seen.size, sizeof(*keys));
	memset(keys, 0, seen.size * sizeof(*keys));

	kist_table_copy(table, fresh, object);
	r = read_lines(table, copy, text, fresh, &seen, extra ? &more : NULL, err);
	if (r) {
		kist_table_release(table, fresh);
		return r;
	}
	kist_table_move(table, object, fresh);
	if (extra) {
		kist_strv_free(*extra);
		*extra = kist_steal(&more);
	}
	return 0;
}

int kist_kv_read(const struct kist_table *table, const char *text, void *object, char ***extra, struct kist_error *err)
{
	return kist_kv_read_bytes(table, text, strlen(text), object, extra, err);
}

/* --- for lists -------------------------------------------------------------------------------------------------- */

static bool is_of(const struct kist_field *field, const char *line)
{
	const char *key = field->key;

	while (*key && *key == *line)
		key++, line++;
	return !*key && (*line == '=' || *line == '.' || *line == '\n' || !*line);
}

bool kist_kv_is_wanted(const struct kist_table *table, unsigned flags, const char *line, size_t *at)
{
	for (size_t n = 0; n < table->n_fields; n++) {
		size_t i = *at + n < table->n_fields ? *at + n : *at + n - table->n_fields;
		const struct kist_field *field = &table->fields[i];
		if (is_of(field, line) && !(field->flags & KIST_FIELD_NO_KV)) {
			*at = i;
			return kist_field_is_wanted(field, flags);
		}
	}
	return false;
}

static bool is_zero(const char *bytes, size_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

int kist_kv_read_brief(const struct kist_table *table, char *text, unsigned flags, void *object, struct kist_error *err)
{
	const struct kist_field *begun = NULL;
	struct kist_error problem;
	size_t at = 0;

	kist_table_init_brief(table, flags, object);
	for (char *line = text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		if (!kist_kv_is_wanted(table, flags, line, &at))
			continue;
		const struct kist_field *field = &table->fields[at];
		if (field->type == KIST_F_STRUCT && field != begun && flags) {
			/* The engine writes its lines one after the other. */
			if (!is_zero(kist_field_at(field, object), field->table->size))
				return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s: its lines are apart", field->key);
			kist_table_init(field->table, kist_field_at(field, object));
			begun = field;
		}
		char *equals = strchr(line, '=');
		struct assignment a = { line, equals ? equals + 1 : NULL };
		if (equals)
			*equals = '\0';
		if (a.value && strcmp(a.value, ABSENT) == 0)
			a.value = NULL;
		else if (!equals || unescape(equals + 1))
			return kist_fail(err, KIST_ERR_INVALID, EINVAL, "a line that is not key=value");
		problem.kind = KIST_ERR_NONE;
		problem.errnum = 0;
		problem.text[0] = '\0';
		int r = assign_field(field, object, a.key + strlen(field->key), &a, &problem);
		if (r)
			return kist_fail(err, problem.kind, problem.errnum, "%s", problem.text);
	}
	return 0;
}
