/* The --format option: json, table, template. */
#include "cli/columns.h"
#include "cli/template_internal.h"

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/base/table.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

char *kist_header_default(const char *field)
{
	KIST_STR struct kist_str s = { 0 };

	for (const char *p = field; *p; p++) {
		/* A word starts at a capital after a small letter (CreatedAt) or at the last of several (IDShort). */
		if (p > field && is_upper(*p) && (is_lower(p[-1]) || (is_upper(p[-1]) && is_lower(p[1]))))
			kist_str_addc(&s, ' ');
		kist_str_addc(&s, *p == '_' ? ' ' : is_lower(*p) ? (char)(*p - 'a' + 'A') : *p);
	}
	return kist_str_take(&s);
}

/* --- the header row: the template with names for values --------------------------------------------------------- */

/* The last name of the first field that a pipeline reads. */
static const char *pipe_field(const struct template_pipe *pipe)
{
	for (size_t i = 0; i < pipe->n; i++)
		for (size_t k = 0; k < pipe->commands[i].n; k++) {
			const struct template_operand *o = &pipe->commands[i].operands[k];
			const char *inner = o->kind == OPERAND_PIPE ? pipe_field(o->pipe) : NULL;

			if (o->n_chain > 0)
				return o->chain[o->n_chain - 1];
			if (inner)
				return inner;
		}
	return NULL;
}

static void add_header(struct kist_str *out, const char *field, const struct kist_header *headers)
{
	KIST_FREE char *text = NULL;

	for (const struct kist_header *h = headers; h && h->field; h++)
		if (kist_streq(h->field, field)) {
			kist_str_add(out, h->text);
			return;
		}
	text = kist_header_default(field);
	kist_str_add(out, text);
}

static void header_row(struct kist_str *out, const struct template_node *node, const struct kist_header *headers)
{
	for (; node; node = node->next) {
		const char *field = node->pipe ? pipe_field(node->pipe) : NULL;

		if (node->kind == NODE_TEXT)
			kist_str_addn(out, node->text, node->len);
		else if (node->kind == NODE_RANGE && field)
			/* One header for all elements of a list. */
			add_header(out, field, headers);
		else if (node->kind == NODE_ACTION && field && node->pipe->n_variables == 0)
			add_header(out, field, headers);
		else if (node->kind == NODE_IF || node->kind == NODE_WITH)
			header_row(out, node->body, headers);
	}
}

/* --- --format --------------------------------------------------------------------------------------------------- */

/* Takes the word, and the blanks around it, from *text. */
static bool take(const char **text, const char *word)
{
	const char *at = *text + strspn(*text, " \t");

	if (!kist_has_prefix(at, word))
		return false;
	at += strlen(word);
	*text = at + strspn(at, " \t");
	return true;
}

/* "json", and "{{json .}}", which podman takes for the same. */
static bool is_json_word(const char *text)
{
	bool braces = take(&text, "{{");

	if (!take(&text, "json"))
		return false;
	if (braces) {
		take(&text, ".");
		if (!take(&text, "}}"))
			return false;
	}
	return *text == 0;
}

int kist_format_parse(const char *name, const char *text, const struct kist_header *headers, struct kist_format *out,
                      struct kist_error *err)
{
	struct kist_format format = { .kind = KIST_FORMAT_TEMPLATE };
	KIST_STR struct kist_str header = { 0 };
	int r;

	if (is_json_word(text)) {
		*out = (struct kist_format){ .kind = KIST_FORMAT_JSON };
		return 0;
	}
	KIST_FREE char *tabbed = NULL;
	if (kist_has_prefix(text, "table ")) {
		format.kind = KIST_FORMAT_TABLE;
		/* As podman has it, a space parts columns too, wherever it is. */
		text = tabbed = kist_strdup(text + 6);
		for (char *space = tabbed; (space = strchr(space, ' '));)
			*space = '\t';
	}
	r = template_parse(name, text, true, &format.template, err);
	if (r < 0)
		return r;
	if (format.kind == KIST_FORMAT_TABLE) {
		header_row(&header, format.template->nodes, headers);
		if (header.len == 0 || header.data[header.len - 1] != '\n')
			kist_str_addc(&header, '\n');
		format.header = kist_str_take(&header);
	}
	*out = format;
	return 0;
}

void kist_format_clear(struct kist_format *format)
{
	kist_template_free(format->template);
	free(format->header);
	*format = (struct kist_format){ 0 };
}

static void add_json(struct kist_str *out, struct json_object *const *documents, size_t n)
{
	size_t start = out->len;

	for (size_t i = 0; i < n; i++)
		kist_json_item_add(out, documents[i]);
	kist_json_list_end(out, start);
	kist_str_addc(out, '\n');
}

/* --- documents that are safe in a table ------------------------------------------------------------------------- */

/* A hostile name must not add cells or rows to a table, nor drive the terminal: strings and keys with control
 * characters are escaped before the template sees them. Returns a new reference: the document itself when it is
 * harmless, as nearly all are. */
static bool is_harmless(struct json_object *j)
{
	switch (json_object_get_type(j)) {
	case json_type_string:
		return kist_is_printable(json_object_get_string(j)) &&
		       strlen(json_object_get_string(j)) == (size_t)json_object_get_string_len(j);
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(j); i++)
			if (!is_harmless(json_object_array_get_idx(j, i)))
				return false;
		return true;
	case json_type_object: {
		json_object_object_foreach(j, key, child)
		{
			if (!kist_is_printable(key) || !is_harmless(child))
				return false;
		}
		return true;
	}
	default:
		return true;
	}
}

static struct json_object *make_harmless(struct json_object *j)
{
	struct json_object *copy;

	if (is_harmless(j))
		return json_object_get(j);
	if (json_object_is_type(j, json_type_string)) {
		KIST_STR struct kist_str s = { 0 };

		kist_escape_add(&s, json_object_get_string(j), (size_t)json_object_get_string_len(j));
		return json_object_new_string(kist_str_get(&s));
	}
	if (json_object_is_type(j, json_type_array)) {
		copy = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(j); i++)
			json_object_array_add(copy, make_harmless(json_object_array_get_idx(j, i)));
		return copy;
	}
	copy = json_object_new_object();
	json_object_object_foreach(j, key, child)
	{
		KIST_FREE char *safe = kist_escape(key);

		json_object_object_add(copy, safe, make_harmless(child));
	}
	return copy;
}

/* The caller's computed fields, made harmless too. */
static int harmless_field(void *context, struct json_object *receiver, const char *name,
                          struct json_object *const *args, size_t n_args, struct json_object **out,
                          struct kist_error *err)
{
	const struct kist_template_view *view = context;
	struct json_object *value = NULL;
	int r = view->field(view->context, receiver, name, args, n_args, &value, err);

	if (r > 0) {
		*out = make_harmless(value);
		json_object_put(value);
	}
	return r;
}

int kist_format_add(const struct kist_format *format, struct json_object *document,
                    const struct kist_template_view *view, struct kist_str *rows, struct kist_error *err)
{
	static const struct kist_template_view plain;
	struct kist_template_view used = view ? *view : plain;
	bool table = format->kind == KIST_FORMAT_TABLE;
	KIST_JSON struct json_object *shown = table ? make_harmless(document) : json_object_get(document);

	if (table && used.field) {
		used.field = harmless_field;
		used.context = (void *)view;
	}
	size_t before = rows->len;
	int r = kist_template_run(format->template, shown, &used, rows, err);
	/* What failed before it said anything has no line. */
	if (!format->template->ends_line && (r == 0 || rows->len > before))
		kist_str_addc(rows, '\n');
	return r;
}

void kist_format_align(const struct kist_format *format, const char *rows, size_t len, bool noheading,
                       struct kist_str *out)
{
	KIST_STR struct kist_str all = { 0 };

	if (noheading) {
		kist_columns_align(rows, len, out);
		return;
	}
	kist_str_add(&all, format->header);
	kist_str_addn(&all, rows, len);
	kist_columns_align(kist_str_get(&all), all.len, out);
}

static int add_rows(const struct kist_format *format, struct json_object *const *documents, size_t n,
                    const struct kist_template_view *view, struct kist_str *out, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = kist_format_add(format, documents[i], view, out, err);
	return r;
}

int kist_format_run(const struct kist_format *format, struct json_object *const *documents, size_t n,
                    const struct kist_template_view *view, bool noheading, struct kist_str *out, struct kist_error *err)
{
	KIST_STR struct kist_str rows = { 0 };
	int r;

	switch (format->kind) {
	case KIST_FORMAT_JSON:
		add_json(out, documents, n);
		return 0;
	case KIST_FORMAT_TEMPLATE:
		return add_rows(format, documents, n, view, out, err);
	case KIST_FORMAT_TABLE:
		break;
	}
	r = add_rows(format, documents, n, view, &rows, err);
	kist_format_align(format, kist_str_get(&rows), rows.len, noheading, out);
	return r;
}
