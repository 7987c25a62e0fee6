/* /proc/PID/mountinfo and /proc/PID/cgroup: proc(5). */
#include "cgroup/internal.h"

#include "core/base/base.h"
#include "core/base/str.h"

#include <stdlib.h>
#include <string.h>

/* The kernel writes space, tab, newline and backslash as three octal digits. */
static char *unescape(const char *text, size_t len)
{
	char *out = kist_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && len - i > 3 && text[i + 1] >= '0' && text[i + 1] <= '3' && text[i + 2] >= '0' &&
		    text[i + 2] <= '7' && text[i + 3] >= '0' && text[i + 3] <= '7') {
			int c = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');

			/* No path holds a NUL; such a line is damaged and its path will not be found. */
			out[n++] = c ? (char)c : '?';
			i += 3;
		} else {
			out[n++] = text[i] ? text[i] : '?';
		}
	}
	out[n] = '\0';
	return out;
}

struct word {
	const char *text;
	size_t len;
};

static bool next_word(const char **cursor, const char *end, struct word *out)
{
	const char *start = *cursor;

	while (start < end && *start == ' ')
		start++;
	if (start == end)
		return false;
	const char *stop = memchr(start, ' ', (size_t)(end - start));
	if (!stop)
		stop = end;
	*out = (struct word){ start, (size_t)(stop - start) };
	*cursor = stop;
	return true;
}

static bool word_is(const struct word *w, const char *text)
{
	return w->len == strlen(text) && memcmp(w->text, text, w->len) == 0;
}

enum { MOUNT_ID, PARENT_ID, DEVICE, MOUNT_ROOT, MOUNT_POINT, MOUNT_OPTIONS, FIXED_WORDS };

static bool parse_line(const char *line, const char *end, struct kist_cgroup_mount *out)
{
	struct word fixed[FIXED_WORDS], w = { 0 };

	for (size_t i = 0; i < FIXED_WORDS; i++) {
		if (!next_word(&line, end, &fixed[i]))
			return false;
	}
	do {
		if (!next_word(&line, end, &w))
			return false;
	} while (!word_is(&w, "-"));
	if (!next_word(&line, end, &w) || !word_is(&w, "cgroup2"))
		return false;
	if (*fixed[MOUNT_ROOT].text != '/' || *fixed[MOUNT_POINT].text != '/')
		return false;

	KIST_FREE char *id = kist_strndup(fixed[MOUNT_ID].text, fixed[MOUNT_ID].len);
	KIST_FREE char *root = unescape(fixed[MOUNT_ROOT].text, fixed[MOUNT_ROOT].len);
	int64_t number;

	if (kist_parse_i64(id, &number) < 0 || kist_has_suffix(root, "//deleted"))
		return false;
	const struct word *options = &fixed[MOUNT_OPTIONS];
	out->id = number;
	out->root = kist_steal(&root);
	out->point = unescape(fixed[MOUNT_POINT].text, fixed[MOUNT_POINT].len);
	/* The mount's own options begin with ro or rw. */
	out->read_only = options->len >= 2 && memcmp(options->text, "ro", 2) == 0 &&
	                 (options->len == 2 || options->text[2] == ',');
	return true;
}

int kist_cgroup_mountinfo_next(const char **cursor, const char *end, struct kist_cgroup_mount *out)
{
	while (*cursor < end) {
		const char *line = *cursor;
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		*cursor = stop ? stop + 1 : end;
		if (parse_line(line, stop ? stop : end, out))
			return 1;
	}
	return 0;
}

void kist_cgroup_mount_clear(struct kist_cgroup_mount *mount)
{
	free(mount->root);
	free(mount->point);
	*mount = (struct kist_cgroup_mount){ 0 };
}

char *kist_cgroup_self_parse(const char *text, const char *prefix)
{
	const char *line = text;

	while (line && !kist_has_prefix(line, "0::/")) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return NULL;
	line += strlen("0::");

	KIST_FREE char *path = kist_strndup(line, strcspn(line, "\n"));
	/* "/.." is what a process outside its own cgroup namespace sees: no name below our root. */
	if (kist_streq(path, "/..") || kist_has_prefix(path, "/../") || kist_has_suffix(path, " (deleted)"))
		return NULL;
	if (kist_streq(prefix, "/"))
		return kist_steal(&path);
	if (!kist_has_prefix(path, prefix))
		return NULL;
	const char *rest = path + strlen(prefix);
	if (*rest && *rest != '/')
		return NULL;
	return kist_strdup(*rest ? rest : "/");
}
