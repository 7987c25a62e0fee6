#include "core/base/table.h"

#include "core/base/str.h"
#include "core/base/table_field.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

/* Room for any scalar, to parse a default into. */
union scalar {
	char *string;
	bool truth;
	int number;
	uint32_t u32;
	int64_t i64;
	uint64_t u64;
	struct kist_opt opt;
};

const char *kist_name_of(const struct kist_name *names, int value)
{
	for (; names->name; names++)
		if (names->value == value)
			return names->name;
	return NULL;
}

int kist_value_of(const struct kist_name *names, const char *name, int *out)
{
	for (; name && names->name; names++) {
		if (strcmp(names->name, name) == 0) {
			*out = names->value;
			return 0;
		}
	}
	return -EINVAL;
}

bool kist_field_is_opt(const struct kist_field *field)
{
	switch (field->type) {
	case KIST_F_OPT_BOOL:
	case KIST_F_OPT_I64:
	case KIST_F_OPT_U64:
	case KIST_F_OPT_U32:
		return true;
	default:
		return false;
	}
}

bool kist_field_is_scalar(const struct kist_field *field)
{
	switch (field->type) {
	case KIST_F_STRV:
	case KIST_F_MAP:
	case KIST_F_STRUCT:
	case KIST_F_POINTER:
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
	case KIST_F_U32S:
		return false;
	default:
		return true;
	}
}

static int parse_opt(enum kist_field_type type, const char *text, struct kist_opt *out)
{
	bool truth;
	int64_t i64;
	uint64_t u64;
	uint32_t u32;
	int r;

	if (!*text) {
		*out = (struct kist_opt){ 0 };
		return 0;
	}
	switch (type) {
	case KIST_F_OPT_BOOL:
		r = kist_parse_bool(text, &truth);
		i64 = r ? 0 : truth;
		break;
	case KIST_F_OPT_U64:
		r = kist_parse_u64(text, &u64);
		i64 = r ? 0 : (int64_t)u64;
		break;
	case KIST_F_OPT_U32:
		r = kist_parse_u32(text, &u32);
		i64 = r ? 0 : u32;
		break;
	default:
		r = kist_parse_i64(text, &i64);
		break;
	}
	if (!r)
		*out = (struct kist_opt){ .set = true, .value = i64 };
	return r;
}

static int parse_int(const char *text, int *out)
{
	int64_t value;
	int r = kist_parse_i64(text, &value);

	if (r)
		return r;
	if (value < INT_MIN || value > INT_MAX)
		return -ERANGE;
	*out = (int)value;
	return 0;
}

static int parse_json(const char *text, struct json_object **out)
{
	struct json_object *json;
	int r = kist_json_parse(text, strlen(text), &json, NULL);

	if (r)
		return r;
	json_object_put(*out);
	*out = json;
	return 0;
}

int kist_field_parse(const struct kist_field *field, void *member, const char *text)
{
	switch (field->type) {
	case KIST_F_STRING: {
		char *copy = kist_strdup(text);

		free(*(char **)member);
		*(char **)member = copy;
		return 0;
	}
	case KIST_F_BOOL:
		return kist_parse_bool(text, member);
	case KIST_F_INT:
		return parse_int(text, member);
	case KIST_F_U32:
		return kist_parse_u32(text, member);
	case KIST_F_I64:
	case KIST_F_TIME:
		return kist_parse_i64(text, member);
	case KIST_F_U64:
		return kist_parse_u64(text, member);
	case KIST_F_ENUM:
		return kist_value_of(field->names, text, member);
	case KIST_F_OPT_BOOL:
	case KIST_F_OPT_I64:
	case KIST_F_OPT_U64:
	case KIST_F_OPT_U32:
		return parse_opt(field->type, text, member);
	case KIST_F_JSON:
		return parse_json(text, member);
	default:
		return -EINVAL;
	}
}

static void text_opt(enum kist_field_type type, const struct kist_opt *opt, struct kist_str *out)
{
	if (!opt->set)
		return;
	if (type == KIST_F_OPT_BOOL)
		kist_str_add(out, opt->value ? "true" : "false");
	else if (type == KIST_F_OPT_U64)
		kist_str_addf(out, "%" PRIu64, (uint64_t)opt->value);
	else
		kist_str_addf(out, "%" PRId64, opt->value);
}

static void text_enum(const struct kist_field *field, int value, struct kist_str *out)
{
	const char *name = kist_name_of(field->names, value);

	/* A value without a name is a defect of the writer; the number makes the reader say so. */
	if (name)
		kist_str_add(out, name);
	else
		kist_str_addf(out, "%d", value);
}

void kist_field_text(const struct kist_field *field, const void *member, struct kist_str *out)
{
	switch (field->type) {
	case KIST_F_STRING:
		kist_str_add(out, *(char *const *)member ? *(char *const *)member : "");
		break;
	case KIST_F_BOOL:
		kist_str_add(out, *(const bool *)member ? "true" : "false");
		break;
	case KIST_F_INT:
		kist_str_addf(out, "%d", *(const int *)member);
		break;
	case KIST_F_U32:
		kist_str_addf(out, "%" PRIu32, *(const uint32_t *)member);
		break;
	case KIST_F_I64:
	case KIST_F_TIME:
		kist_str_addf(out, "%" PRId64, *(const int64_t *)member);
		break;
	case KIST_F_U64:
		kist_str_addf(out, "%" PRIu64, *(const uint64_t *)member);
		break;
	case KIST_F_ENUM:
		text_enum(field, *(const int *)member, out);
		break;
	case KIST_F_JSON: {
		KIST_FREE char *text = kist_json_text(*(struct json_object *const *)member, false);

		kist_str_add(out, text);
		break;
	}
	default:
		if (kist_field_is_opt(field))
			text_opt(field->type, member, out);
		break;
	}
}

static size_t scalar_size(const struct kist_field *field)
{
	switch (field->type) {
	case KIST_F_BOOL:
		return sizeof(bool);
	case KIST_F_INT:
	case KIST_F_ENUM:
		return sizeof(int);
	case KIST_F_U32:
		return sizeof(uint32_t);
	case KIST_F_I64:
	case KIST_F_U64:
	case KIST_F_TIME:
		return sizeof(int64_t);
	default:
		return sizeof(void *);
	}
}

static bool scalar_equal(const struct kist_field *field, const void *a, const void *b)
{
	if (field->type == KIST_F_STRING)
		return kist_streq(*(char *const *)a, *(char *const *)b);
	if (field->type == KIST_F_JSON)
		return json_object_equal(*(struct json_object *const *)a, *(struct json_object *const *)b);
	if (kist_field_is_opt(field)) {
		const struct kist_opt *x = a, *y = b;

		return x->set == y->set && (!x->set || x->value == y->value);
	}
	return memcmp(a, b, scalar_size(field)) == 0;
}

/* Parses the default into a zeroed member. A default that does not parse is a defect of the table. */
static void scalar_default(const struct kist_field *field, void *member)
{
	int r;

	if (!field->fallback)
		return;
	r = kist_field_parse(field, member, field->fallback);
	assert(r == 0);
	(void)r;
}

static void init_fields(const struct kist_table *table, unsigned flags, void *object)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];

		if (!kist_field_is_wanted(field, flags))
			continue;
		if (field->type == KIST_F_STRUCT && flags == 0)
			init_fields(field->table, 0, kist_field_at(field, object));
		else if (field->fallback)
			scalar_default(field, kist_field_at(field, object));
	}
}

void kist_table_init_brief(const struct kist_table *table, unsigned flags, void *object)
{
	memset(object, 0, table->size);
	init_fields(table, flags, object);
}

/* A STRUCT row may lie at offset 0 and describe members of the struct around it (JSON "root", "pids"), so only the
 * outermost call touches memory as a whole. */
void kist_table_init(const struct kist_table *table, void *object)
{
	memset(object, 0, table->size);
	init_fields(table, 0, object);
}

static void unset_fields(const struct kist_table *table, void *object)
{
	for (size_t i = 0; i < table->n_fields; i++)
		kist_field_unset(&table->fields[i], object);
}

static const bool owns_memory[] = {
	[KIST_F_STRING] = true,  [KIST_F_STRV] = true, [KIST_F_MAP] = true,
	[KIST_F_POINTER] = true, [KIST_F_LIST] = true, [KIST_F_PTR_MAP] = true,
	[KIST_F_U32S] = true,    [KIST_F_JSON] = true, [KIST_F_TIME] = false,
};

/* Of what is freed, or overwritten, as a whole after it: numbers stay. */
static void free_fields(const struct kist_table *table, void *object)
{
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct kist_field *field = &table->fields[i];

		if (field->type == KIST_F_STRUCT)
			free_fields(field->table, kist_field_at(field, object));
		else if (owns_memory[field->type] && *(void **)kist_field_at(field, object))
			kist_field_unset(field, object);
	}
}

static void unset_list(const struct kist_field *field, void *object)
{
	void **items = kist_field_at(field, object);

	for (size_t i = 0; i < *kist_field_count(field, object); i++)
		free_fields(field->table, kist_field_item(field, object, i));
	free(*items);
	*items = NULL;
	*kist_field_count(field, object) = 0;
}

void kist_field_unset(const struct kist_field *field, void *object)
{
	void *member = kist_field_at(field, object);
	void **pointer = member;

	switch (field->type) {
	case KIST_F_STRING:
		free(*pointer);
		*pointer = NULL;
		break;
	case KIST_F_STRV:
	case KIST_F_MAP:
		kist_strv_free(*(char ***)member);
		*pointer = NULL;
		break;
	case KIST_F_STRUCT:
		unset_fields(field->table, member);
		break;
	case KIST_F_POINTER:
		if (*pointer)
			free_fields(field->table, *pointer);
		free(*pointer);
		*pointer = NULL;
		break;
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
		unset_list(field, object);
		break;
	case KIST_F_U32S:
		free(*pointer);
		*pointer = NULL;
		*kist_field_count(field, object) = 0;
		break;
	case KIST_F_JSON:
		json_object_put(*pointer);
		*pointer = NULL;
		break;
	default:
		memset(member, 0, kist_field_is_opt(field) ? sizeof(struct kist_opt) : scalar_size(field));
		break;
	}
}

void kist_table_release(const struct kist_table *table, void *object)
{
	free_fields(table, object);
	memset(object, 0, table->size);
}

void kist_table_clear(const struct kist_table *table, void *object)
{
	free_fields(table, object);
	kist_table_init(table, object);
}

void kist_table_move(const struct kist_table *table, void *to, void *from)
{
	free_fields(table, to);
	memcpy(to, from, table->size);
	memset(from, 0, table->size);
}

void *kist_field_item(const struct kist_field *field, const void *object, size_t index)
{
	return *(char **)kist_field_at(field, object) + index * field->table->size;
}

void *kist_field_append(const struct kist_field *field, void *object)
{
	void **items = kist_field_at(field, object);
	size_t *count = kist_field_count(field, object);

	*items = kist_grow(*items, *count + 1, field->table->size);
	(*count)++;
	kist_table_init(field->table, kist_field_item(field, object, *count - 1));
	return kist_field_item(field, object, *count - 1);
}

void kist_field_append_u32(const struct kist_field *field, void *object, uint32_t value)
{
	uint32_t **items = kist_field_at(field, object);
	size_t *count = kist_field_count(field, object);

	*items = kist_grow(*items, *count + 1, sizeof(**items));
	(*items)[(*count)++] = value;
}

void *kist_field_pointer(const struct kist_field *field, void *object)
{
	void **pointer = kist_field_at(field, object);

	if (!*pointer) {
		*pointer = kist_alloc(field->table->size);
		init_fields(field->table, 0, *pointer);
	}
	return *pointer;
}

static void copy_fields(const struct kist_table *table, void *to, const void *from);

static void copy_list(const struct kist_field *field, void *to, const void *from)
{
	size_t count = *kist_field_count(field, from);
	size_t size = field->type == KIST_F_U32S ? sizeof(uint32_t) : field->table->size;
	void **items = kist_field_at(field, to);

	*items = NULL;
	*kist_field_count(field, to) = count;
	if (!count)
		return;
	*items = kist_grow(NULL, count, size);
	memcpy(*items, *(void **)kist_field_at(field, from), count * size);
	if (field->type == KIST_F_U32S)
		return;
	for (size_t i = 0; i < count; i++)
		copy_fields(field->table, kist_field_item(field, to, i), kist_field_item(field, from, i));
}

/* 'to' holds the same bytes as 'from': only what is owned is left to duplicate. */
static void copy_field(const struct kist_field *field, void *to, const void *from)
{
	void *target = kist_field_at(field, to);
	void *source = kist_field_at(field, from);

	switch (field->type) {
	case KIST_F_STRING:
		*(char **)target = kist_strdup(*(char **)source);
		break;
	case KIST_F_STRV:
	case KIST_F_MAP:
		*(char ***)target = kist_strv_copy(*(char ***)source);
		break;
	case KIST_F_STRUCT:
		copy_fields(field->table, target, source);
		break;
	case KIST_F_POINTER:
		if (!*(void **)source)
			break;
		*(void **)target = kist_alloc(field->table->size);
		memcpy(*(void **)target, *(void **)source, field->table->size);
		copy_fields(field->table, *(void **)target, *(void **)source);
		break;
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
	case KIST_F_U32S:
		copy_list(field, to, from);
		break;
	case KIST_F_JSON:
		*(struct json_object **)target = NULL;
		if (*(struct json_object **)source)
			json_object_deep_copy(*(struct json_object **)source, target, NULL);
		break;
	default:
		break;
	}
}

static void copy_fields(const struct kist_table *table, void *to, const void *from)
{
	for (size_t i = 0; i < table->n_fields; i++)
		copy_field(&table->fields[i], to, from);
}

void kist_table_copy(const struct kist_table *table, void *to, const void *from)
{
	memcpy(to, from, table->size);
	copy_fields(table, to, from);
}

static bool strv_equal(char *const *a, char *const *b)
{
	size_t n = kist_strv_len(a);

	if (n != kist_strv_len(b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static bool list_equal(const struct kist_field *field, const void *a, const void *b)
{
	size_t count = *kist_field_count(field, a);

	if (count != *kist_field_count(field, b))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!kist_table_equal(field->table, kist_field_item(field, a, i), kist_field_item(field, b, i)))
			return false;
	return true;
}

static bool u32s_equal(const struct kist_field *field, const void *a, const void *b)
{
	size_t count = *kist_field_count(field, a);

	if (count != *kist_field_count(field, b))
		return false;
	return !count || memcmp(*(void **)kist_field_at(field, a), *(void **)kist_field_at(field, b),
	                        count * sizeof(uint32_t)) == 0;
}

static bool field_equal(const struct kist_field *field, const void *a, const void *b)
{
	void *x = kist_field_at(field, a);
	void *y = kist_field_at(field, b);

	switch (field->type) {
	case KIST_F_STRV:
	case KIST_F_MAP:
		return strv_equal(*(char ***)x, *(char ***)y);
	case KIST_F_STRUCT:
		return kist_table_equal(field->table, x, y);
	case KIST_F_POINTER:
		if (!*(void **)x || !*(void **)y)
			return *(void **)x == *(void **)y;
		return kist_table_equal(field->table, *(void **)x, *(void **)y);
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
		return list_equal(field, a, b);
	case KIST_F_U32S:
		return u32s_equal(field, a, b);
	default:
		return scalar_equal(field, x, y);
	}
}

bool kist_table_equal(const struct kist_table *table, const void *a, const void *b)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (!field_equal(&table->fields[i], a, b))
			return false;
	return true;
}

static bool table_is_empty(const struct kist_table *table, const void *object)
{
	for (size_t i = 0; i < table->n_fields; i++)
		if (!kist_field_is_empty(&table->fields[i], object))
			return false;
	return true;
}

bool kist_field_is_empty(const struct kist_field *field, const void *object)
{
	void *member = kist_field_at(field, object);
	union scalar zero = { 0 };

	switch (field->type) {
	case KIST_F_STRV:
	case KIST_F_MAP:
		return kist_strv_len(*(char ***)member) == 0;
	case KIST_F_STRUCT:
		return table_is_empty(field->table, member);
	case KIST_F_POINTER:
		return !*(void **)member;
	case KIST_F_LIST:
	case KIST_F_PTR_MAP:
	case KIST_F_U32S:
		return *kist_field_count(field, object) == 0;
	default:
		return scalar_equal(field, member, &zero);
	}
}

bool kist_field_is_default(const struct kist_field *field, const void *object)
{
	union scalar fallback = { 0 };
	bool equal;

	if (!field->fallback)
		return kist_field_is_empty(field, object);
	scalar_default(field, &fallback);
	equal = scalar_equal(field, kist_field_at(field, object), &fallback);
	if (field->type == KIST_F_STRING)
		free(fallback.string);
	else if (field->type == KIST_F_JSON)
		json_object_put((struct json_object *)(void *)fallback.string);
	return equal;
}
