/* --format: Go's text/template over JSON documents, as far as podman's users write it.
 *
 * Actions: {{.A.B}} {{.}} {{$}} {{$x := PIPE}} {{$x = PIPE}} {{if}} {{else if}} {{else}} {{end}} {{range}} (with
 * {{break}} and {{continue}}) {{with}} pipelines, parentheses (also (...).Field), comments, trim markers {{- -}}.
 * Literals: "..." `...` 'c' numbers true false nil. Functions: and or not eq ne lt le gt ge len index slice print
 * printf println json join split upper lower title truncate pad.
 * Not there, and an error that says so: template, define, block, html, js, urlquery, call.
 *
 * Values print as Go prints them: 64-bit integers exactly, [a b], map[k:v] with sorted keys, <no value> for a missing
 * map key and for null, <nil> inside a composite.
 *
 * A JSON object may stand for a struct or a map of Go's. A missing key of a struct is an error that names the
 * field, of a map it is <no value>: the caller names the keys whose objects are maps.
 *
 * 'index' of a key that a map lacks is "" where all the map's values are strings (labels), else <no value>. Stricter
 * than Go: a pipeline may not end in '|', and parentheses may not declare.
 *
 * Limits: text 1 MiB, nesting 100, output 64 MiB, 10 million steps; past them an error. */
#ifndef KIST_TEMPLATE_H
#define KIST_TEMPLATE_H

#include "core/base/base.h"

struct json_object;
struct kist_error;
struct kist_str;
struct kist_template;

struct kist_template_alias {
	const char *name; /* as the user may write it: "ID"; NULL ends the array */
	const char *key;  /* in the document: "Id" */
};

/* How a command presents its documents. All members may be 0. */
struct kist_template_view {
	const char *const *maps; /* names of keys whose objects are maps: "Labels", "Annotations"; "*": all */
	const struct kist_template_alias *aliases; /* tried for a key that is not there, in every object */
	/* Computed fields and methods ({{.RunningFor}}, {{.Label "k"}}), asked first. receiver: the object that the
	 * field was asked of; args: what followed the name. Returns 1 with a new reference in *out (NULL is null), 0
	 * when there is no such field, or a negative errno with err set. */
	int (*field)(void *context, struct json_object *receiver, const char *name, struct json_object *const *args,
	             size_t n_args, struct json_object **out, struct kist_error *err);
	void *context;
	bool escape; /* control characters of printed values but \n and \t as \xNN (columns.h): set it for a terminal */
};

/* name is for messages: "template: inspect:1:3: unknown field .Foo". Errors are of kind INVALID. */
int kist_template_parse(const char *name, const char *text, struct kist_template **out, struct kist_error *err);
void kist_template_free(struct kist_template *t); /* NULL is fine */
#define KIST_TEMPLATE __attribute__((cleanup(kist_template_cleanup)))
void kist_template_cleanup(struct kist_template **t);

/* Appends to out; on failure what was printed until then is there, as Go leaves it. document may be NULL (null). */
int kist_template_run(const struct kist_template *t, struct json_object *document,
                      const struct kist_template_view *view, struct kist_str *out, struct kist_error *err);

/* The names of the top-level fields that the template reads ({{.Size}} -> "Size"), for commands that compute expensive
 * ones on demand; "." when the whole document is used. */
bool kist_template_uses(const struct kist_template *t, const char *field);

/* --- the --format option -------------------------------------------------------------------------------------- */

struct kist_header {
	const char *field; /* "ID"; NULL ends the array */
	const char *text;  /* "CONTAINER ID" */
};

enum kist_format_kind {
	KIST_FORMAT_TEMPLATE, /* each document through the template, a newline after each */
	KIST_FORMAT_TABLE,    /* "table ...": the same, aligned, with a header row; the documents' control characters
	                         escaped */
	KIST_FORMAT_JSON,     /* "json" or "{{json .}}": one array of all documents, indented, as podman prints it */
};

struct kist_format {
	enum kist_format_kind kind;
	struct kist_template *template; /* NULL for JSON */
	char *header;                   /* TABLE: the header row, cells parted by tabs */
};

/* Parses the option's value: "json", "table {{.ID}}\t{{.Names}}", a template; "\t" and "\n" written as
 * two characters are what they mean, as in podman. A field without a row in headers has its name, split at capitals, as
 * header: CreatedAt -> CREATED AT. headers may be NULL. */
int kist_format_parse(const char *name, const char *text, const struct kist_header *headers, struct kist_format *out,
                      struct kist_error *err);
void kist_format_clear(struct kist_format *format);
/* Prints n documents in that format; TABLE honours noheading. */
int kist_format_run(const struct kist_format *format, struct json_object *const *documents, size_t n,
                    const struct kist_template_view *view, bool noheading, struct kist_str *out,
                    struct kist_error *err);
/* The same one after the other, where thousands of documents need not be there at once: a document's rows, not aligned
 * yet, and then all of a TABLE with its header. Not for JSON. */
int kist_format_add(const struct kist_format *format, struct json_object *document,
                    const struct kist_template_view *view, struct kist_str *rows, struct kist_error *err);
void kist_format_align(const struct kist_format *format, const char *rows, size_t len, bool noheading,
                       struct kist_str *out);
/* The default header of a field: "CreatedAt" -> "CREATED AT". The caller frees. */
char *kist_header_default(const char *field);

#endif
