/* The JSON form: see table.h. */
#include "core/base/table.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table_field.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

/* Go's zero time, which readers of inspect know as 'never'. */
#define TIME_NEVER "0001-01-01T00:00:00Z"

static const char *json_key(const struct kist_field *field)
{
	return field->json ? field->json : field->key;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static struct json_object *write_object(const struct kist_table *table, const void *object, size_t first);

static struct json_object *write_strv(char *const *strv)
{
	struct json_object *array = json_object_new_array();

	for (; strv && *strv; strv++)
		json_object_array_add(array, json_object_new_string(*strv));
	return array;
}

static struct json_object *write_map(char *const *map)
{
	struct json_object *json = json_object_new_object();

	for (; map && *map; map++) {
		const char *equals = strchr(*map, '=');
		KIST_FREE char *key = equals ? kist_strndup(*map, (size_t)(equals - *map)) : kist_strdup(*map);

		json_object_object_add(json, key, json_object_new_string(equals ? equals + 1 : ""));
	}
	return json;
}

static struct json_object *write_list(const struct kist_field *field, const void *object)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < *kist_field_count(field, object); i++) {
		if (field->type == KIST_F_U32S)
			json_object_array_add(array,
			                      json_object_new_int64((*(uint32_t **)kist_field_at(field, object))[i]));
		else
			json_object_array_add(array, write_object(field->table, kist_field_item(field, object, i), 0));
	}
	return array;
}

static struct json_object *write_ptr_map(const struct kist_field *field, const void *object)
{
	struct json_object *json = json_object_new_object();

	for (size_t i = 0; i < *kist_field_count(field, object); i++) {
		const void *item = kist_field_item(field, object, i);
		const char *key = *(char **)kist_field_at(&field->table->fields[0], item);

		json_object_object_add(json, key ? key : "", write_object(field->table, item, 1));
	}
	return json;
}

static struct json_object *write_time(int64_t wall)
{
	char text[40];

	return json_object_new_string(wall ? kist_time_format(text, wall, true) : TIME_NEVER);
}

static struct json_object *write_enum(const struct kist_field *field, int value)
{
	const char *name = kist_name_of(field->names, value);

	return name ? json_object_new_string(name) : json_object_new_int(value);
}

static struct json_object *write_opt(enum kist_field_type type, const struct kist_opt *opt)
{
	if (!opt->set)
		return NULL;
	if (type == KIST_F_OPT_BOOL)
		return json_object_new_boolean(opt->value != 0);
	if (type == KIST_F_OPT_U64)
		return json_object_new_uint64((uint64_t)opt->value);
	return json_object_new_int64(opt->value);
}

static struct json_object *write_scalar(const struct kist_field *field, void *member)
{
	switch (field->type) {
	case KIST_F_STRING:
		if (!*(char **)member && field->fallback)
			return NULL;
		return json_object_new_string(*(char **)member ? *(char **)member : "");
	case KIST_F_BOOL:
		return json_object_new_boolean(*(bool *)member);
	case KIST_F_INT:
		return json_object_new_int(*(int *)member);
	case KIST_F_U32:
		return json_object_new_int64(*(uint32_t *)member);
	case KIST_F_I64:
		return json_object_new_int64(*(int64_t *)member);
	case KIST_F_U64:
		return json_object_new_uint64(*(uint64_t *)member);
	case KIST_F_ENUM:
		return write_enum(field, *(int *)member);
	case KIST_F_TIME:
		return write_time(*(int64_t *)member);
	case KIST_F_JSON:
		return json_object_get(*(struct json_object **)member);
	default:
		return write_opt(field->type, member);
	}
}

static struct json_object *write_field(const struct kist_field *field, const void *object)
{
	void *member = kist_field_at(field, object);

	switch (field->type) {
	case KIST_F_STRV:
		return write_strv(*(char ***)member);
	case KIST_F_MAP:
		return write_map(*(char ***)member);
	case KIST_F_STRUCT:
		return write_object(field->table, member, 0);
	case KIST_F_POINTER:
		return *(void **)member ? write_object(field->table, *(void **)member, 0) : NULL;
	case KIST_F_LIST:
	case KIST_F_U32S:
		return write_list(field, object);
	case KIST_F_PTR_MAP:
		return write_ptr_map(field, object);
	default:
		return write_scalar(field, member);
	}
}

/* Leaves out what is empty, unless the row says ALWAYS or an absent key would be read as a default. */
static struct json_object *write_object(const struct kist_table *table, const void *object, size_t first)
{
	struct json_object *json = json_object_new_object();

	for (size_t i = first; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];
		struct json_object *value;

		if (field->flags & KIST_FIELD_NO_JSON)
			continue;
		if (field->type == KIST_F_STRUCT) {
			value = write_field(field, object);
			if (!(field->flags & KIST_FIELD_ALWAYS) && json_object_object_length(value) == 0) {
				json_object_put(value);
				continue;
			}
		} else if (!(field->flags & KIST_FIELD_ALWAYS) && !field->fallback &&
		           kist_field_is_empty(field, object)) {
			continue;
		} else {
			value = write_field(field, object);
		}
		json_object_object_add(json, json_key(field), value);
	}
	return json;
}

struct json_object *kist_json_write(const struct kist_table *table, const void *object)
{
	return write_object(table, object, 0);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Where the reader is; made into text only for a message. */
struct where {
	const struct where *up;
	const char *key; /* NULL: an index */
	size_t index;
	bool quoted; /* a key that the document chose */
};

static void where_text(const struct where *where, struct kist_str *out)
{
	if (where->up)
		where_text(where->up, out);
	if (!where->key) {
		kist_str_addf(out, "[%zu]", where->index);
		return;
	}
	if (where->quoted)
		kist_str_add(out, "[\"");
	else if (out->len && where->key[0])
		kist_str_addc(out, '.');
	for (const char *c = where->key; *c && out->len < 300; c++)
		kist_str_addc(out, (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c);
	if (where->quoted)
		kist_str_add(out, "\"]");
}

static int fail_at(const struct where *where, struct kist_error *err, const char *fmt, ...) KIST_PRINTF(3, 4);
static int fail_at(const struct where *where, struct kist_error *err, const char *fmt, ...)
{
	KIST_STR struct kist_str path = { 0 };
	va_list ap;

	va_start(ap, fmt);
	kist_vfail(err, KIST_ERR_INVALID, EINVAL, fmt, ap);
	va_end(ap);
	where_text(where, &path);
	if (path.len)
		kist_context(err, "%s", kist_str_get(&path));
	return -EINVAL;
}

static const char *type_name(const struct json_object *json)
{
	static const char *const names[] = {
		[json_type_null] = "null",       [json_type_boolean] = "a boolean", [json_type_double] = "a fraction",
		[json_type_int] = "a number",    [json_type_object] = "an object",  [json_type_array] = "an array",
		[json_type_string] = "a string",
	};

	return names[json_object_get_type(json)];
}

static int expect(struct json_object *json, enum json_type type, const struct where *where, struct kist_error *err)
{
	static const char *const names[] = {
		[json_type_boolean] = "true or false", [json_type_int] = "a whole number",
		[json_type_object] = "an object",      [json_type_array] = "an array",
		[json_type_string] = "a string",
	};

	if (json_object_is_type(json, type))
		return 0;
	return fail_at(where, err, "expected %s, not %s", names[type], type_name(json));
}

/* NULL after an error. */
static const char *read_string(struct json_object *json, const struct where *where, struct kist_error *err)
{
	const char *text;

	if (expect(json, json_type_string, where, err))
		return NULL;
	text = json_object_get_string(json);
	if (strlen(text) != (size_t)json_object_get_string_len(json)) {
		fail_at(where, err, "the string holds a NUL character");
		return NULL;
	}
	return text;
}

static int out_of_range(struct json_object *json, const struct where *where, struct kist_error *err)
{
	fail_at(where, err, "%s is out of range", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	return -EINVAL;
}

static int read_i64(struct json_object *json, int64_t min, int64_t max, int64_t *out, const struct where *where,
                    struct kist_error *err)
{
	int64_t value;

	if (expect(json, json_type_int, where, err))
		return -EINVAL;
	/* json-c keeps what is past INT64_MAX as unsigned and saturates here. */
	value = json_object_get_int64(json);
	if (value < min || value > max || (value == INT64_MAX && json_object_get_uint64(json) > INT64_MAX))
		return out_of_range(json, where, err);
	*out = value;
	return 0;
}

static int read_u64(struct json_object *json, uint64_t *out, const struct where *where, struct kist_error *err)
{
	if (expect(json, json_type_int, where, err))
		return -EINVAL;
	if (json_object_get_int64(json) < 0)
		return out_of_range(json, where, err);
	*out = json_object_get_uint64(json);
	return 0;
}

static int read_bool(struct json_object *json, bool *out, const struct where *where, struct kist_error *err)
{
	if (expect(json, json_type_boolean, where, err))
		return -EINVAL;
	*out = json_object_get_boolean(json);
	return 0;
}

static int read_time(struct json_object *json, int64_t *out, const struct where *where, struct kist_error *err)
{
	const char *text = read_string(json, where, err);

	if (!text)
		return -EINVAL;
	if (strcmp(text, TIME_NEVER) == 0) {
		*out = 0;
		return 0;
	}
	/* The parser of --since takes durations and plain seconds too, which are no RFC 3339. */
	if (!strchr(text, 'T') || kist_time_parse(text, out))
		return fail_at(where, err, "'%.60s' is not an RFC 3339 time", text);
	return 0;
}

static int read_enum(const struct kist_field *field, struct json_object *json, int *out, const struct where *where,
                     struct kist_error *err)
{
	const char *text = read_string(json, where, err);

	if (!text)
		return -EINVAL;
	if (kist_value_of(field->names, text, out))
		return fail_at(where, err, "'%.60s' is not one of its names", text);
	return 0;
}

static int read_opt(enum kist_field_type type, struct json_object *json, struct kist_opt *out,
                    const struct where *where, struct kist_error *err)
{
	int64_t value = 0;
	uint64_t u64 = 0;
	bool truth = false;
	int r;

	if (type == KIST_F_OPT_BOOL) {
		r = read_bool(json, &truth, where, err);
		value = truth;
	} else if (type == KIST_F_OPT_U64) {
		r = read_u64(json, &u64, where, err);
		value = (int64_t)u64;
	} else if (type == KIST_F_OPT_U32) {
		r = read_i64(json, 0, UINT32_MAX, &value, where, err);
	} else {
		r = read_i64(json, INT64_MIN, INT64_MAX, &value, where, err);
	}
	if (!r)
		*out = (struct kist_opt){ .set = true, .value = value };
	return r;
}

static int read_scalar(const struct kist_field *field, struct json_object *json, void *member,
                       const struct where *where, struct kist_error *err)
{
	const char *text;
	int64_t value = 0;
	int r;

	switch (field->type) {
	case KIST_F_STRING:
		text = read_string(json, where, err);
		return text ? kist_field_parse(field, member, text) : -EINVAL;
	case KIST_F_BOOL:
		return read_bool(json, member, where, err);
	case KIST_F_INT:
		r = read_i64(json, INT_MIN, INT_MAX, &value, where, err);
		if (!r)
			*(int *)member = (int)value;
		return r;
	case KIST_F_U32:
		r = read_i64(json, 0, UINT32_MAX, &value, where, err);
		if (!r)
			*(uint32_t *)member = (uint32_t)value;
		return r;
	case KIST_F_I64:
		return read_i64(json, INT64_MIN, INT64_MAX, member, where, err);
	case KIST_F_U64:
		return read_u64(json, member, where, err);
	case KIST_F_ENUM:
		return read_enum(field, json, member, where, err);
	case KIST_F_TIME:
		return read_time(json, member, where, err);
	case KIST_F_JSON:
		json_object_put(*(struct json_object **)member);
		*(struct json_object **)member = json_object_get(json);
		return 0;
	default:
		return read_opt(field->type, json, member, where, err);
	}
}

static int read_object(const struct kist_table *table, struct json_object *json, void *object, size_t first,
                       const struct where *where, struct kist_error *err);

static int read_strv(struct json_object *json, char ***out, const struct where *where, struct kist_error *err)
{
	size_t n;

	if (expect(json, json_type_array, where, err))
		return -EINVAL;
	n = json_object_array_length(json);
	kist_strv_free(*out);
	*out = kist_grow(NULL, n + 1, sizeof(**out));
	memset(*out, 0, (n + 1) * sizeof(**out));
	for (size_t i = 0; i < n; i++) {
		const char *text = read_string(json_object_array_get_idx(json, i),
		                               &(struct where){ .up = where, .index = i }, err);

		if (!text)
			return -EINVAL;
		(*out)[i] = kist_strdup(text);
	}
	return 0;
}

static int read_map(struct json_object *json, char ***out, const struct where *where, struct kist_error *err)
{
	size_t n = 0;

	if (expect(json, json_type_object, where, err))
		return -EINVAL;
	kist_strv_free(*out);
	*out = kist_grow(NULL, (size_t)json_object_object_length(json) + 1, sizeof(**out));
	memset(*out, 0, ((size_t)json_object_object_length(json) + 1) * sizeof(**out));
	json_object_object_foreach(json, key, value)
	{
		struct where here = { .up = where, .key = key, .quoted = true };
		const char *text = read_string(value, &here, err);

		if (!text)
			return -EINVAL;
		if (strchr(key, '='))
			return fail_at(&here, err, "the name holds a '='");
		(*out)[n++] = kist_asprintf("%s=%s", key, text);
	}
	return 0;
}

static int read_list(const struct kist_field *field, struct json_object *json, void *object, const struct where *where,
                     struct kist_error *err)
{
	if (expect(json, json_type_array, where, err))
		return -EINVAL;
	kist_field_unset(field, object);
	for (size_t i = 0; i < json_object_array_length(json); i++) {
		struct json_object *value = json_object_array_get_idx(json, i);
		struct where here = { .up = where, .index = i };
		int64_t number;
		int r;

		if (field->type == KIST_F_U32S) {
			r = read_i64(value, 0, UINT32_MAX, &number, &here, err);
			if (!r)
				kist_field_append_u32(field, object, (uint32_t)number);
		} else {
			r = read_object(field->table, value, kist_field_append(field, object), 0, &here, err);
		}
		if (r)
			return r;
	}
	return 0;
}

static int read_ptr_map(const struct kist_field *field, struct json_object *json, void *object,
                        const struct where *where, struct kist_error *err)
{
	if (expect(json, json_type_object, where, err))
		return -EINVAL;
	kist_field_unset(field, object);
	json_object_object_foreach(json, key, value)
	{
		struct where here = { .up = where, .key = key, .quoted = true };
		void *item = kist_field_append(field, object);
		int r = kist_field_parse(&field->table->fields[0], kist_field_at(&field->table->fields[0], item), key);

		if (!r)
			r = read_object(field->table, value, item, 1, &here, err);
		if (r)
			return r;
	}
	return 0;
}

static int read_field(const struct kist_field *field, struct json_object *json, void *object, const struct where *where,
                      struct kist_error *err)
{
	void *member = kist_field_at(field, object);

	switch (field->type) {
	case KIST_F_STRV:
		return read_strv(json, member, where, err);
	case KIST_F_MAP:
		return read_map(json, member, where, err);
	case KIST_F_STRUCT:
		return read_object(field->table, json, member, 0, where, err);
	case KIST_F_POINTER:
		return read_object(field->table, json, kist_field_pointer(field, object), 0, where, err);
	case KIST_F_LIST:
	case KIST_F_U32S:
		return read_list(field, json, object, where, err);
	case KIST_F_PTR_MAP:
		return read_ptr_map(field, json, object, where, err);
	default:
		return read_scalar(field, json, member, where, err);
	}
}

static int read_object(const struct kist_table *table, struct json_object *json, void *object, size_t first,
                       const struct where *where, struct kist_error *err)
{
	if (expect(json, json_type_object, where, err))
		return -EINVAL;
	for (size_t i = first; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];
		struct where here = { .up = where, .key = json_key(field) };
		struct json_object *value = NULL;
		bool found;
		int r;

		if (field->flags & KIST_FIELD_NO_JSON)
			continue;
		found = json_object_object_get_ex(json, json_key(field), &value);
		if (!value) {
			if (field->flags & KIST_FIELD_REQUIRED)
				return fail_at(&here, err, "is required");
			if (found && field->fallback)
				kist_field_unset(field, object);
			continue;
		}
		r = read_field(field, value, object, &here, err);
		if (r)
			return r;
	}
	return 0;
}

int kist_json_read(const struct kist_table *table, struct json_object *json, void *object, const char *path,
                   struct kist_error *err)
{
	KIST_FREE void *fresh = kist_alloc(table->size);
	struct where where = { .key = path };
	int r;

	kist_table_copy(table, fresh, object);
	r = read_object(table, json, fresh, 0, &where, err);
	if (r == 0)
		kist_table_move(table, object, fresh);
	else
		kist_table_release(table, fresh);
	return r;
}
