/* Records of container logs: the two formats, read. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/log.h"

#include <json-c/json.h>
#include <string.h>

static int stream_of(const char *name, size_t len)
{
	if (len == 6 && memcmp(name, "stdout", 6) == 0)
		return 1;
	return len == 6 && memcmp(name, "stderr", 6) == 0 ? 2 : 0;
}

static bool time_of(const char *text, size_t len, int64_t *out)
{
	char when[40];

	/* RFC 3339 alone: the general parser would take durations too. */
	if (len < 20 || len >= sizeof(when) || text[4] != '-' || text[10] != 'T')
		return false;
	memcpy(when, text, len);
	when[len] = '\0';
	return kist_time_parse(when, out) == 0;
}

/* Cuts the next word off; NULL when no blank follows it. */
static const char *word_next(const char **at, size_t *left, size_t *len)
{
	const char *word = *at, *blank = memchr(word, ' ', *left);

	if (!blank)
		return NULL;
	*len = (size_t)(blank - word);
	*at = blank + 1;
	*left -= *len + 1;
	return word;
}

/* TIME STREAM TAGS TEXT; tags are parted by ':' and the first is P or F. */
static bool parse_k8s(const char *text, size_t len, struct kist_log_line *line)
{
	struct kist_log_line out = { 0 };
	const char *word;
	size_t n;

	word = word_next(&text, &len, &n);
	if (!word || !time_of(word, n, &out.time))
		return false;
	word = word_next(&text, &len, &n);
	if (!word || (out.stream = stream_of(word, n)) == 0)
		return false;
	word = word_next(&text, &len, &n);
	if (!word || n == 0 || (word[0] != 'P' && word[0] != 'F') || (n > 1 && word[1] != ':'))
		return false;
	out.partial = word[0] == 'P';
	out.text = text;
	out.len = len;
	*line = out;
	return true;
}

static struct json_object *text_member(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(json, key, &value);
	return json_object_is_type(value, json_type_string) ? value : NULL;
}

static bool parse_json(const char *text, size_t len, struct kist_str *scratch, struct kist_log_line *line)
{
	KIST_JSON struct json_object *json = NULL;
	struct kist_log_line out = { 0 };

	if (kist_json_parse(text, len, &json, NULL) < 0 || !json_object_is_type(json, json_type_object))
		return false;
	struct json_object *log = text_member(json, "log"), *stream = text_member(json, "stream"),
	                   *when = text_member(json, "time");
	if (!log || !stream || !when)
		return false;
	out.stream = stream_of(json_object_get_string(stream), (size_t)json_object_get_string_len(stream));
	if (!out.stream || !time_of(json_object_get_string(when), (size_t)json_object_get_string_len(when), &out.time))
		return false;
	kist_str_clear(scratch);
	kist_str_addn(scratch, json_object_get_string(log), (size_t)json_object_get_string_len(log));
	out.text = kist_str_get(scratch);
	out.len = scratch->len;
	out.partial = out.len == 0 || out.text[out.len - 1] != '\n';
	out.len -= !out.partial;
	*line = out;
	return true;
}

bool kist_log_parse(bool json, const char *text, size_t len, struct kist_str *scratch, struct kist_log_line *line)
{
	return json ? parse_json(text, len, scratch, line) : parse_k8s(text, len, line);
}
