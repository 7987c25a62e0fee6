#include "cli/columns.h"

#include "core/base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* tabwriter's settings as podman uses them. */
enum { COLUMN_MIN_WIDTH = 12, COLUMN_PADDING = 2 };

size_t kist_utf8_decode(const char *text, size_t len, uint32_t *codepoint)
{
	/* Bounds of the second byte rule out overlong forms, surrogates and what is past U+10FFFF. */
	const unsigned char *b = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t more;
	uint32_t c;

	if (len == 0)
		return 0;
	if (b[0] < 0x80) {
		*codepoint = b[0];
		return 1;
	}
	if (b[0] < 0xc2 || b[0] > 0xf4)
		return 0;
	more = b[0] >= 0xf0 ? 3 : b[0] >= 0xe0 ? 2 : 1;
	c = b[0] & (0x3fU >> more);
	low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
	high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
	if (len <= more)
		return 0;
	for (size_t i = 1; i <= more; i++) {
		if (b[i] < low || b[i] > high)
			return 0;
		c = c << 6 | (b[i] & 0x3f);
		low = 0x80;
		high = 0xbf;
	}
	*codepoint = c;
	return more + 1;
}

struct range {
	uint32_t first, last;
};

static bool in_ranges(const struct range *ranges, size_t n, uint32_t c)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (c > ranges[middle].last)
			low = middle + 1;
		else if (c < ranges[middle].first)
			high = middle;
		else
			return true;
	}
	return false;
}

/* Combining marks and format characters, by block rather than by character: enough to align text. */
static const struct range zero_width[] = {
	{ 0x0300, 0x036f },   { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x05bf, 0x05bf },   { 0x05c1, 0x05c2 },
	{ 0x05c4, 0x05c5 },   { 0x05c7, 0x05c7 }, { 0x0610, 0x061a }, { 0x064b, 0x065f },   { 0x0670, 0x0670 },
	{ 0x06d6, 0x06dc },   { 0x06df, 0x06e4 }, { 0x06e7, 0x06e8 }, { 0x06ea, 0x06ed },   { 0x0900, 0x0902 },
	{ 0x093a, 0x093a },   { 0x093c, 0x093c }, { 0x0941, 0x0948 }, { 0x094d, 0x094d },   { 0x0e31, 0x0e31 },
	{ 0x0e34, 0x0e3a },   { 0x0e47, 0x0e4e }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff },   { 0x200b, 0x200f },
	{ 0x202a, 0x202e },   { 0x2060, 0x206f }, { 0x20d0, 0x20f0 }, { 0x302a, 0x302d },   { 0x3099, 0x309a },
	{ 0xfe00, 0xfe0f },   { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff }, { 0x1f3fb, 0x1f3ff }, { 0xe0001, 0xe007f },
	{ 0xe0100, 0xe01ef },
};

/* East Asian Wide and Fullwidth, and emoji that terminals draw over two columns. */
static const struct range double_width[] = {
	{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x2329, 0x232a },   { 0x23e9, 0x23ec },   { 0x23f0, 0x23f0 },
	{ 0x23f3, 0x23f3 },   { 0x25fd, 0x25fe },   { 0x2614, 0x2615 },   { 0x2648, 0x2653 },   { 0x267f, 0x267f },
	{ 0x2693, 0x2693 },   { 0x26a1, 0x26a1 },   { 0x26aa, 0x26ab },   { 0x26bd, 0x26be },   { 0x26c4, 0x26c5 },
	{ 0x26ce, 0x26ce },   { 0x26d4, 0x26d4 },   { 0x26ea, 0x26ea },   { 0x26f2, 0x26f3 },   { 0x26f5, 0x26f5 },
	{ 0x26fa, 0x26fa },   { 0x26fd, 0x26fd },   { 0x2705, 0x2705 },   { 0x270a, 0x270b },   { 0x2728, 0x2728 },
	{ 0x274c, 0x274c },   { 0x274e, 0x274e },   { 0x2753, 0x2755 },   { 0x2757, 0x2757 },   { 0x2795, 0x2797 },
	{ 0x27b0, 0x27b0 },   { 0x27bf, 0x27bf },   { 0x2b1b, 0x2b1c },   { 0x2b50, 0x2b50 },   { 0x2b55, 0x2b55 },
	{ 0x2e80, 0x303e },   { 0x3041, 0x33ff },   { 0x3400, 0x4dbf },   { 0x4e00, 0xa4cf },   { 0xa960, 0xa97c },
	{ 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe10, 0xfe19 },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
	{ 0xffe0, 0xffe6 },   { 0x16fe0, 0x18cff }, { 0x1b000, 0x1b2ff }, { 0x1f004, 0x1f004 }, { 0x1f0cf, 0x1f0cf },
	{ 0x1f18e, 0x1f18e }, { 0x1f191, 0x1f19a }, { 0x1f200, 0x1f320 }, { 0x1f32d, 0x1f335 }, { 0x1f337, 0x1f37c },
	{ 0x1f37e, 0x1f393 }, { 0x1f3a0, 0x1f3ca }, { 0x1f3cf, 0x1f3d3 }, { 0x1f3e0, 0x1f3f0 }, { 0x1f3f4, 0x1f3f4 },
	{ 0x1f3f8, 0x1f43e }, { 0x1f440, 0x1f440 }, { 0x1f442, 0x1f4fc }, { 0x1f4ff, 0x1f53d }, { 0x1f54b, 0x1f54e },
	{ 0x1f550, 0x1f567 }, { 0x1f57a, 0x1f57a }, { 0x1f595, 0x1f596 }, { 0x1f5a4, 0x1f5a4 }, { 0x1f5fb, 0x1f64f },
	{ 0x1f680, 0x1f6c5 }, { 0x1f6cc, 0x1f6cc }, { 0x1f6d0, 0x1f6d2 }, { 0x1f6d5, 0x1f6d7 }, { 0x1f6eb, 0x1f6ec },
	{ 0x1f6f4, 0x1f6fc }, { 0x1f7e0, 0x1f7eb }, { 0x1f90c, 0x1f93a }, { 0x1f93c, 0x1f945 }, { 0x1f947, 0x1f9ff },
	{ 0x1fa70, 0x1faff }, { 0x20000, 0x3fffd },
};

int kist_codepoint_width(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return 0;
	if (c < 0x300)
		return 1;
	if (in_ranges(zero_width, KIST_COUNT(zero_width), c))
		return 0;
	return in_ranges(double_width, KIST_COUNT(double_width), c) ? 2 : 1;
}

/* How much of the text is plain: most of what is shown is, by the thousand, and need not be decoded. */
static size_t plain_length(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && text[n] >= 0x20 && text[n] < 0x7f)
		n++;
	return n;
}

size_t kist_display_width(const char *text, size_t len)
{
	size_t width = plain_length(text, len);

	text += width;
	len -= width;

	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t size = kist_utf8_decode(text + i, len - i, &c);

		width += size ? (size_t)kist_codepoint_width(c) : 1;
		i += size ? size : 1;
	}
	return width;
}

/* Characters that move the cursor, reorder or hide text. */
static bool is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

void kist_escape_add(struct kist_str *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t plain = plain_length(text + i, len - i);
		kist_str_addn(out, text + i, plain);
		i += plain;
		if (i == len)
			break;
		size_t size = kist_utf8_decode(text + i, len - i, &c);

		if (size == 0)
			kist_str_addf(out, "\\x%02x", (unsigned char)text[i]);
		else if (!is_harmful(c))
			kist_str_addn(out, text + i, size);
		else if (c == '\t' || c == '\n' || c == '\r')
			kist_str_add(out, c == '\t' ? "\\t" : c == '\n' ? "\\n" : "\\r");
		else if (c < 0x80)
			kist_str_addf(out, "\\x%02x", c);
		else
			kist_str_addf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
		i += size ? size : 1;
	}
}

char *kist_escape(const char *text)
{
	KIST_STR struct kist_str s = { 0 };

	kist_escape_add(&s, text, strlen(text));
	return kist_str_take(&s);
}

bool kist_is_printable(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t size = kist_utf8_decode(text + i, len - i, &c);

		if (size == 0 || is_harmful(c))
			return false;
		i += size;
	}
	return true;
}

char *kist_shorten(const char *text, size_t width)
{
	size_t len = strlen(text), at = 0, used = 0;
	size_t room = width > 3 ? width - 3 : 0;

	if (kist_display_width(text, len) <= width)
		return kist_strdup(text);
	while (at < len) {
		uint32_t c;
		size_t size = kist_utf8_decode(text + at, len - at, &c);
		size_t columns = size ? (size_t)kist_codepoint_width(c) : 1;

		if (used + columns > room)
			break;
		used += columns;
		at += size ? size : 1;
	}
	return kist_asprintf("%.*s%.*s", (int)at, text, (int)(width < 3 ? width : 3), "...");
}

/* --- alignment --------------------------------------------------------------------------------------------------- */

struct cell {
	const char *text;
	size_t len;
	size_t padding; /* none after the last of a line */
};

struct line {
	struct cell *cells;
	size_t n; /* the last one is not ended by a tab */
};

/* The width of column 'column' over the block of consecutive lines that have it, from line 'from'. Returns the line
 * after. */
static size_t set_column(struct line *lines, size_t n_lines, size_t from, size_t column)
{
	size_t width = COLUMN_MIN_WIDTH, to = from;

	for (; to < n_lines && column + 1 < lines[to].n; to++) {
		struct cell *c = &lines[to].cells[column];

		c->padding = kist_display_width(c->text, c->len); /* for now */
		if (c->padding + COLUMN_PADDING > width)
			width = c->padding + COLUMN_PADDING;
	}
	for (size_t i = from; i < to; i++)
		lines[i].cells[column].padding = width - lines[i].cells[column].padding;
	return to;
}

static void set_widths(struct line *lines, size_t n_lines)
{
	size_t columns = 0;

	for (size_t i = 0; i < n_lines; i++)
		if (lines[i].n > columns)
			columns = lines[i].n;
	for (size_t column = 0; column + 1 < columns; column++)
		for (size_t i = 0; i < n_lines;) {
			size_t next = set_column(lines, n_lines, i, column);

			i = next > i ? next : i + 1;
		}
}

/* The lines and all their cells in two arrays; *cells is the second. */
static struct line *split_lines(const char *text, size_t len, size_t *n_lines, struct cell **cells)
{
	size_t lines_max = 1, cells_max = 1, line = 0, cell = 0;
	struct line *lines;

	for (size_t i = 0; i < len; i++) {
		lines_max += text[i] == '\n';
		cells_max += text[i] == '\n' || text[i] == '\t';
	}
	lines = kist_grow(NULL, lines_max, sizeof(*lines));
	*cells = kist_grow(NULL, cells_max, sizeof(**cells));
	lines[0] = (struct line){ .cells = *cells };
	for (size_t i = 0, start = 0; i <= len; i++) {
		if (i < len && text[i] != '\n' && text[i] != '\t')
			continue;
		(*cells)[cell++] = (struct cell){ .text = text + start, .len = i - start };
		lines[line].n++;
		start = i + 1;
		if (i < len && text[i] == '\n')
			lines[++line] = (struct line){ .cells = *cells + cell };
	}
	*n_lines = line + 1;
	return lines;
}

void kist_columns_align(const char *text, size_t len, struct kist_str *out)
{
	KIST_FREE struct cell *cells = NULL;
	KIST_FREE struct line *lines = NULL;
	size_t n_lines;

	lines = split_lines(text, len, &n_lines, &cells);
	set_widths(lines, n_lines);
	for (size_t i = 0; i < n_lines; i++) {
		for (size_t k = 0; k < lines[i].n; k++) {
			const struct cell *c = &lines[i].cells[k];

			kist_str_reserve(out, c->len + c->padding);
			kist_str_addn(out, c->text, c->len);
			memset(out->data + out->len, ' ', c->padding);
			out->len += c->padding;
		}
		if (i + 1 < n_lines)
			kist_str_addc(out, '\n');
	}
	if (out->data)
		out->data[out->len] = '\0';
}

/* --- rows of cells -------------------------------------------------------------------------------------------------
 */

void kist_columns_cell(struct kist_columns *c, const char *text)
{
	if (c->in_row)
		kist_str_addc(&c->text, '\t');
	if (text)
		kist_escape_add(&c->text, text, strlen(text));
	c->in_row = true;
}

void kist_columns_cellf(struct kist_columns *c, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	kist_columns_cell(c, text);
	free(text);
}

void kist_columns_end(struct kist_columns *c)
{
	kist_str_addc(&c->text, '\n');
	c->in_row = false;
}

void kist_columns_row(struct kist_columns *c, const char *const *cells)
{
	for (; *cells; cells++)
		kist_columns_cell(c, *cells);
	kist_columns_end(c);
}

void kist_columns_print(const struct kist_columns *c, struct kist_str *out)
{
	kist_columns_align(kist_str_get(&c->text), c->text.len, out);
}

void kist_columns_free(struct kist_columns *c)
{
	kist_str_free(&c->text);
	*c = (struct kist_columns){ 0 };
}
