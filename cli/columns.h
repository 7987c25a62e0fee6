/* Columns as podman prints them, and text that is safe to print on a terminal.
 *
 * The alignment is that of Go's text/tabwriter with a least width of 12, a padding of 2 spaces and blanks: every cell
 * but the last of a row is padded to the widest cell of its column, over consecutive rows that have that column. */
#ifndef KIST_COLUMNS_H
#define KIST_COLUMNS_H

#include "core/base/base.h"
#include "core/base/str.h"

/* Appends text with control characters and broken UTF-8 made harmless: C0, DEL and bytes of broken sequences as \xNN,
 * C1, bidirectional controls, invisible format characters and line separators as \uNNNN or \UNNNNNNNN; \t \n \r as
 * themselves written with a backslash. A backslash stays as it is: the result is for eyes, not for parsing. */
void kist_escape_add(struct kist_str *out, const char *text, size_t len);
char *kist_escape(const char *text);      /* the caller frees */
bool kist_is_printable(const char *text); /* whether kist_escape would change nothing */

/* Columns that a valid UTF-8 text takes on a terminal: combining marks 0, East Asian wide and emoji 2, without a
 * locale. An invalid byte counts 1, a control character 0. */
size_t kist_display_width(const char *text, size_t len);
int kist_codepoint_width(uint32_t codepoint);
/* Decodes one code point from at most len bytes; returns its length, or 0 for an invalid sequence. */
size_t kist_utf8_decode(const char *text, size_t len, uint32_t *codepoint);

/* Zero-initialise. */
struct kist_columns {
	struct kist_str text; /* cells parted by tabs, rows by newlines */
	bool in_row;
};
void kist_columns_cell(struct kist_columns *c, const char *text); /* escaped; NULL is "" */
void kist_columns_cellf(struct kist_columns *c, const char *fmt, ...) KIST_PRINTF(2, 3);
void kist_columns_end(struct kist_columns *c); /* of the row */
/* Cells from a NULL-terminated array, and the end of the row: for header rows. */
void kist_columns_row(struct kist_columns *c, const char *const *cells);
void kist_columns_print(const struct kist_columns *c, struct kist_str *out); /* aligned */
void kist_columns_free(struct kist_columns *c);
#define KIST_COLUMNS __attribute__((cleanup(kist_columns_free)))

/* Aligns text whose cells are parted by tabs, as tabwriter does; nothing is escaped. */
void kist_columns_align(const char *text, size_t len, struct kist_str *out);

/* Shortens to at most width columns, the last three "..." where it was cut, as podman does with commands; no cut
 * through a code point. The caller frees. */
char *kist_shorten(const char *text, size_t width);

#endif
