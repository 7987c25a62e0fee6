/* Field tables: one table describes a struct, and everything that must know its fields runs on it:
 * the key=value codec of the state files, the JSON codec of config.json and inspect, copy, free, equality.
 *
 * key=value form: one "key=value" a line. Nested fields join with dots, items of lists count from 0:
 *   name=web
 *   env.0=PATH=/bin
 *   mounts.1.options.0=ro
 * In values '\' is written \\, a newline \n, a carriage return \r. Fields equal to their default are left out.
 * Lines that start with '#' and empty lines are skipped on reading. What exists but holds only defaults is a line
 * "key="; a string that is absent although it has a default is "key=\0". */
#ifndef KIST_TABLE_H
#define KIST_TABLE_H

#include "core/base/base.h"

struct json_object;
struct kist_error;
struct kist_str;
struct kist_table;

/* A number or truth value that may be absent, which is different from 0. */
struct kist_opt {
	bool set;
	int64_t value; /* OPT_U64 stores the same bits */
};

enum kist_field_type {
	KIST_F_STRING,   /* char *; NULL is absent */
	KIST_F_BOOL,     /* bool */
	KIST_F_INT,      /* int */
	KIST_F_U32,      /* uint32_t */
	KIST_F_I64,      /* int64_t */
	KIST_F_U64,      /* uint64_t */
	KIST_F_ENUM,     /* int, by names */
	KIST_F_OPT_BOOL, /* struct kist_opt */
	KIST_F_OPT_I64,  /* struct kist_opt */
	KIST_F_OPT_U64,  /* struct kist_opt */
	KIST_F_OPT_U32,  /* struct kist_opt, range of uint32_t */
	KIST_F_STRV,     /* char **, NULL-terminated: JSON array of strings */
	KIST_F_MAP,      /* char ** of "key=value", cut at the first '=': JSON object of strings */
	KIST_F_STRUCT,   /* embedded struct, by table */
	KIST_F_POINTER,  /* pointer to a struct, NULL is absent, by table */
	KIST_F_LIST,     /* pointer to an array of structs and a size_t count, by table */
	KIST_F_PTR_MAP,  /* as LIST, but in JSON an object whose keys are the items' first field (a string) */
	KIST_F_U32S,     /* uint32_t * and a size_t count: JSON array of numbers */
	KIST_F_JSON,     /* struct json_object *, kept as it is (key=value: its text in one line) */
	KIST_F_TIME,     /* int64_t wall nanoseconds; key=value: the number; JSON: RFC 3339 text */
};

struct kist_name {
	const char *name; /* NULL ends the array */
	int value;
};
const char *kist_name_of(const struct kist_name *names, int value);           /* NULL when unknown */
int kist_value_of(const struct kist_name *names, const char *name, int *out); /* -EINVAL; exact match */

enum kist_field_flags {
	KIST_FIELD_REQUIRED = 1, /* JSON: absent is an error */
	KIST_FIELD_ALWAYS = 2,   /* JSON: written even when empty (null, [], {}, 0, "") */
	KIST_FIELD_NO_JSON = 4,  /* only in key=value form */
	KIST_FIELD_NO_KV = 8,    /* only in JSON */
	KIST_FIELD_BRIEF = 16,   /* what a list shows: kist_kv_read_brief reads it */
	KIST_FIELD_FILTER = 32,  /* what filters of lists, and their JSON, ask for beyond that */
};

struct kist_field {
	const char *key; /* key=value key; also the JSON key unless json is set */
	const char *json;
	enum kist_field_type type;
	size_t offset;
	size_t count_offset;            /* LIST, PTR_MAP, U32S */
	const struct kist_table *table; /* STRUCT, POINTER, LIST, PTR_MAP */
	const struct kist_name *names;  /* ENUM */
	const char *fallback;           /* the default, in text form; scalars only */
	unsigned flags;
};

struct kist_table {
	const char *what; /* for messages: "container config" */
	size_t size;
	const struct kist_field *fields;
	size_t n_fields;
};

/* Shorthand for rows: KIST_FIELD(struct foo, STRING, name), KIST_FIELD(struct foo, BOOL, tty, .json = "Tty") */
#define KIST_FIELD(s, t, member, ...)                                                                                  \
	{                                                                                                              \
		.key = #member, .type = KIST_F_##t, .offset = offsetof(s, member), ##__VA_ARGS__                       \
	}
#define KIST_FIELD_LIST(s, t, member, count, ...)                                                                      \
	{                                                                                                              \
		.key = #member, .type = KIST_F_##t, .offset = offsetof(s, member), .count_offset = offsetof(s, count), \
		##__VA_ARGS__                                                                                          \
	}
#define KIST_TABLE(what_, s, rows)                                                                                     \
	{                                                                                                              \
		.what = what_, .size = sizeof(s), .fields = rows, .n_fields = KIST_COUNT(rows)                         \
	}

void kist_table_init(const struct kist_table *table, void *object); /* zero, then defaults */
/* With flags, without the defaults of what is in embedded structs. */
void kist_table_init_brief(const struct kist_table *table, unsigned flags, void *object);
void kist_table_clear(const struct kist_table *table, void *object); /* frees what it owns, then init */
void kist_table_release(const struct kist_table *table,
                        void *object); /* frees what it owns and leaves zeros: before free(object) */
void kist_table_copy(const struct kist_table *table, void *to,
                     const void *from); /* deep; 'to' is overwritten, not freed */
bool kist_table_equal(const struct kist_table *table, const void *a, const void *b);

/* key=value. The object must be initialised; a failed read leaves it as it was. Several texts can be read one over the
 * other. A line without '=', a key twice, a list with a gap, an unknown escape are errors with the line number. extra:
 * the lines that no field took, kept for the next write (NULL: they are an error that names the key). */
void kist_kv_write(const struct kist_table *table, const void *object, char *const *extra, struct kist_str *out);
int kist_kv_read(const struct kist_table *table, const char *text, void *object, char ***extra, struct kist_error *err);
/* Whether a line is of a field with one of these flags; without flags, of any. at: where it looks first, and then where
 * the line's field is: lines come in the order of the table. Starts at 0. */
bool kist_kv_is_wanted(const struct kist_table *table, unsigned flags, const char *line, size_t *at);
/* Of a text whose checksum is right, into an object of zeros: what kist_kv_is_wanted, for lists of thousands. Other
 * fields, and embedded structs that no line is of, stay zero and have no default; lines that no field takes are passed
 * over. The text is used up. */
int kist_kv_read_brief(const struct kist_table *table, char *text, unsigned flags, void *object,
                       struct kist_error *err);
/* The same for bytes that may hold a NUL, which is an error. */
int kist_kv_read_bytes(const struct kist_table *table, const char *text, size_t len, void *object, char ***extra,
                       struct kist_error *err);
/* One assignment, for --set like options and kist.conf. -ENOENT: no such key. */
int kist_kv_set(const struct kist_table *table, void *object, const char *key, const char *value,
                struct kist_error *err);

/* JSON. Messages name the path: "process.args[2]: expected a string, not a number". Unknown keys are skipped, as the
 * OCI runtime specification asks (config.md, Extensibility), null is absent. The object must be initialised; a failed
 * read leaves it as it was. path: prefix for messages, "" at the top. */
struct json_object *kist_json_write(const struct kist_table *table, const void *object);
int kist_json_read(const struct kist_table *table, struct json_object *json, void *object, const char *path,
                   struct kist_error *err);

/* Strict parse of a whole document: depth 64, valid UTF-8, no trailing text. The caller puts *out. */
int kist_json_parse(const char *text, size_t len, struct json_object **out, struct kist_error *err);
/* A member of an object, NULL when there is none of that type; it belongs to the object. */
const char *kist_json_text_at(struct json_object *json, const char *key);
struct json_object *kist_json_array_at(struct json_object *json, const char *key);
/* Serialised without spaces / indented by four as podman prints; no '/' escapes. The caller frees. */
char *kist_json_text(struct json_object *json, bool pretty);
/* The text of an indented list from its items one by one, for thousands that need not be there at once. Each begins
 * with a comma, of which the end makes the bracket at the beginning; start is where that is. */
void kist_json_item_add(struct kist_str *out, struct json_object *item);
void kist_json_list_end(struct kist_str *out, size_t start);

#define KIST_JSON __attribute__((cleanup(kist_cleanup_json)))
void kist_cleanup_json(struct json_object **json);

#endif
