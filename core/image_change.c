/* --change: instructions of a Dockerfile that only touch the configuration. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PORTS_MAX 4096 /* of one range */

typedef int (*change_fn)(struct kist_image_config *config, const char *value, struct kist_error *err);

static int bad(struct kist_error *err, const char *what)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "%s", what);
}

/* ["a", "b"]; *out is untouched unless it is one. */
static int json_words(const char *value, char ***out, struct kist_error *err)
{
	KIST_JSON struct json_object *json = NULL;
	KIST_STRV char **words = NULL;

	if (kist_json_parse(value, strlen(value), &json, NULL) < 0 || !json_object_is_type(json, json_type_array))
		return bad(err, "expected a JSON array of strings, such as [\"a\", \"b\"]");
	for (size_t i = 0; i < json_object_array_length(json); i++) {
		struct json_object *item = json_object_array_get_idx(json, i);

		if (!json_object_is_type(item, json_type_string))
			return bad(err, "expected a JSON array of strings only");
		if (strlen(json_object_get_string(item)) != (size_t)json_object_get_string_len(item))
			return bad(err, "a string must not hold a NUL");
		kist_strv_add(&words, json_object_get_string(item));
	}
	kist_strv_free(*out);
	*out = kist_steal(&words);
	return 0;
}

static int change_command(char ***argv, const char *value, struct kist_error *err)
{
	if (*value == '[')
		return json_words(value, argv, err);
	kist_strv_free(*argv);
	*argv = NULL;
	kist_strv_add(argv, "/bin/sh");
	kist_strv_add(argv, "-c");
	kist_strv_add(argv, value);
	return 0;
}

static int change_cmd(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	return change_command(&config->cmd, value, err);
}

static int change_entrypoint(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	return change_command(&config->entrypoint, value, err);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word: "..." with \ before " and \, '...' without, \ before any character elsewhere. *p is moved past it. */
static int next_word(const char **p, struct kist_str *word, struct kist_error *err)
{
	const char *s = *p;
	char quote = 0;

	for (; *s && (quote || !is_blank(*s)); s++) {
		if (quote ? *s == quote : *s == '"' || *s == '\'') {
			quote = quote ? 0 : *s;
			continue;
		}
		if (*s == '\\' && s[1] && quote != '\'' && (!quote || s[1] == '"' || s[1] == '\\'))
			s++;
		kist_str_addc(word, *s);
	}
	if (quote)
		return bad(err, "a quote is not closed");
	while (is_blank(*s))
		s++;
	*p = s;
	return 0;
}

/* A=b C="d e", or A with all that follows as its value. */
static int change_pairs(char ***map, const char *value, struct kist_error *err)
{
	KIST_STRV char **copy = kist_strv_copy(*map);
	KIST_STR struct kist_str first = { 0 };
	const char *rest = value;
	int r = next_word(&rest, &first, err);

	if (r < 0)
		return r;
	if (!strchr(kist_str_get(&first), '=')) {
		if (!*rest || first.len == 0)
			return bad(err, "expected KEY=VALUE");
		kist_env_set(map, kist_str_get(&first), rest);
		return 0;
	}
	while (*value) {
		KIST_STR struct kist_str word = { 0 };

		r = next_word(&value, &word, err);
		if (r < 0)
			return r;
		const char *pair = kist_str_get(&word);
		if (*pair == '=' || !strchr(pair, '='))
			return kist_fail(err, KIST_ERR_INVALID, 0, "'%s': expected KEY=VALUE", pair);
		kist_env_put(&copy, pair);
	}
	kist_strv_free(*map);
	*map = kist_steal(&copy);
	return 0;
}

static int change_env(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	return change_pairs(&config->env, value, err);
}

static int change_label(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	return change_pairs(&config->labels, value, err);
}

static int change_user(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	if (value[strcspn(value, " \t\n\r")])
		return bad(err, "expected USER[:GROUP]");
	free(config->user);
	config->user = kist_strdup(value);
	return 0;
}

/* A relative directory is taken from the one before, as in a Dockerfile. */
static int change_workdir(struct kist_image_config *config, const char *value, KIST_UNUSED struct kist_error *err)
{
	const char *base = *value == '/' ? "" : config->workdir ? config->workdir : "/";
	bool slash = *base && !kist_has_suffix(base, "/");
	char *workdir = kist_asprintf("%s%s%s", base, slash ? "/" : "", value);

	free(config->workdir);
	config->workdir = workdir;
	return 0;
}

static int parse_port(const char *text, uint32_t *port, struct kist_error *err)
{
	if (kist_parse_u32(text, port) < 0 || *port == 0 || *port > 65535)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a port (1 to 65535)", text);
	return 0;
}

/* PORT[-PORT][/PROTOCOL] */
static int add_ports(char ***ports, const char *word, struct kist_error *err)
{
	KIST_FREE char *range = kist_strdup(word);
	char *slash = strchr(range, '/');
	const char *protocol = slash ? slash + 1 : "tcp";
	uint32_t low = 0, high = 0;

	if (slash)
		*slash = '\0';
	if (!kist_streq(protocol, "tcp") && !kist_streq(protocol, "udp") && !kist_streq(protocol, "sctp"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s': the protocol must be tcp, udp or sctp", word);
	char *dash = strchr(range, '-');
	if (dash)
		*dash++ = '\0';
	int r = parse_port(range, &low, err);
	if (r == 0)
		r = parse_port(dash ? dash : range, &high, err);
	if (r < 0)
		return r;
	if (high < low)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s': the range is upside down", word);
	if (high - low >= PORTS_MAX)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s': a range has at most %d ports", word, PORTS_MAX);
	for (uint32_t port = low; port <= high; port++) {
		KIST_FREE char *item = kist_asprintf("%u/%s", port, protocol);

		if (!kist_strv_has(*ports, item))
			kist_strv_take(ports, kist_steal(&item));
	}
	return 0;
}

static int change_expose(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	KIST_STRV char **ports = kist_strv_copy(config->exposed_ports);

	while (*value) {
		KIST_STR struct kist_str word = { 0 };
		int r = next_word(&value, &word, err);

		if (r == 0)
			r = add_ports(&ports, kist_str_get(&word), err);
		if (r < 0)
			return r;
	}
	kist_strv_free(config->exposed_ports);
	config->exposed_ports = kist_steal(&ports);
	return 0;
}

static int change_volume(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	KIST_STRV char **paths = NULL;
	int r = 0;

	if (*value == '[') {
		r = json_words(value, &paths, err);
	} else {
		while (r == 0 && *value) {
			KIST_STR struct kist_str word = { 0 };

			r = next_word(&value, &word, err);
			if (r == 0)
				kist_strv_add(&paths, kist_str_get(&word));
		}
	}
	if (r < 0)
		return r;
	for (char **path = paths; path && *path; path++)
		if (**path != '/')
			return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not an absolute path", *path);
	for (char **path = paths; path && *path; path++)
		if (!kist_strv_has(config->volumes, *path))
			kist_strv_add(&config->volumes, *path);
	return 0;
}

static int change_stopsignal(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	if (kist_parse_signal(value) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not a signal", value);
	free(config->stop_signal);
	config->stop_signal = kist_strdup(value);
	return 0;
}

static int check_number(const char *text, uint32_t *out, struct kist_error *err)
{
	return kist_parse_u32(text, out) < 0 || *out == 0
	               ? kist_fail(err, KIST_ERR_INVALID, 0, "--retries '%s': expected a number from 1 on", text)
	               : 0;
}

static int check_time(const char *name, const char *text, int64_t *out, struct kist_error *err)
{
	return kist_parse_duration(text, out) < 0 || *out < KIST_NSEC_PER_SEC / 1000
	               ? kist_fail(err, KIST_ERR_INVALID, 0, "--%s '%s': expected a time such as 30s", name, text)
	               : 0;
}

static int check_option(struct kist_image_config *check, const char *option, struct kist_error *err)
{
	const struct {
		const char *name;
		int64_t *time;
	} times[] = { { "interval", &check->health_interval },
		      { "timeout", &check->health_timeout },
		      { "start-period", &check->health_start_period } };
	const char *value = strchr(option, '=');
	size_t len = value ? (size_t)(value - option) : 0;

	for (size_t i = 0; value && i < KIST_COUNT(times); i++)
		if (len == strlen(times[i].name) && strncmp(option, times[i].name, len) == 0)
			return check_time(times[i].name, value + 1, times[i].time, err);
	if (kist_has_prefix(option, "retries="))
		return check_number(value + 1, &check->health_retries, err);
	return kist_fail(err, KIST_ERR_INVALID, 0,
	                 "option '--%s' is not known: use --interval, --timeout, --start-period or --retries", option);
}

/* [--OPTION=VALUE]... CMD COMMAND, or NONE */
static int change_healthcheck(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	struct kist_image_config check = { 0 };
	KIST_STRV char **words = NULL;
	KIST_STRV char **test = NULL;
	int r = 0;

	while (r == 0 && kist_has_prefix(value, "--")) {
		size_t len = strcspn(value, " \t\n\r");
		KIST_FREE char *option = kist_strndup(value + 2, len - 2);

		r = check_option(&check, option, err);
		value += len + strspn(value + len, " \t\n\r");
	}
	if (r < 0)
		return r;
	if (strcasecmp(value, "NONE") == 0) {
		kist_strv_add(&test, "NONE");
	} else {
		if (strncasecmp(value, "CMD", 3) != 0 || !is_blank(value[3]))
			return bad(err, "expected [--OPTION=VALUE]... CMD COMMAND, or NONE");
		value += 3 + strspn(value + 3, " \t\n\r");
		r = *value == '[' ? json_words(value, &words, err) : 0;
		if (r < 0)
			return r;
		if (*value == '[' && !words)
			return bad(err, "the command is empty");
		kist_strv_add(&test, words ? "CMD" : "CMD-SHELL");
		if (!words)
			kist_strv_add(&test, value);
		for (char **word = words; word && *word; word++)
			kist_strv_add(&test, *word);
	}
	kist_strv_free(config->health_test);
	config->health_test = kist_steal(&test);
	config->health_interval = check.health_interval;
	config->health_timeout = check.health_timeout;
	config->health_start_period = check.health_start_period;
	config->health_retries = check.health_retries;
	return 0;
}

/* Kept for who builds on the image; that it is an instruction is theirs to check, but for the three that cannot be. */
static int change_onbuild(struct kist_image_config *config, const char *value, struct kist_error *err)
{
	static const char *const refused[] = { "ONBUILD", "FROM", "MAINTAINER" };
	size_t len = strcspn(value, " \t");

	for (size_t i = 0; i < KIST_COUNT(refused); i++)
		if (len == strlen(refused[i]) && strncasecmp(value, refused[i], len) == 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s cannot be one of its instructions", refused[i]);
	kist_strv_add(&config->onbuild, value);
	return 0;
}

static const struct {
	const char *name;
	change_fn change;
} instructions[] = {
	{ "CMD", change_cmd },
	{ "ENTRYPOINT", change_entrypoint },
	{ "ENV", change_env },
	{ "EXPOSE", change_expose },
	{ "LABEL", change_label },
	{ "STOPSIGNAL", change_stopsignal },
	{ "HEALTHCHECK", change_healthcheck },
	{ "ONBUILD", change_onbuild },
	{ "USER", change_user },
	{ "VOLUME", change_volume },
	{ "WORKDIR", change_workdir },
};

static int fail_unknown(const char *name, struct kist_error *err)
{
	KIST_STRV char **names = NULL;

	for (size_t i = 0; i < KIST_COUNT(instructions); i++)
		kist_strv_add(&names, instructions[i].name);
	KIST_FREE char *list = kist_strv_join(names, ", ");
	return kist_fail(err, KIST_ERR_INVALID, 0, "unknown instruction '%s'; use one of: %s", name, list);
}

/* "CMD x" and "CMD=x": the name ends at the first character that is not a letter. */
int kist_image_change(struct kist_image_config *config, const char *instruction, struct kist_error *err)
{
	const char *start = instruction + strspn(instruction, " \t");
	size_t n = strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	KIST_FREE char *name = kist_strndup(start, n ? n : strcspn(start, " \t="));
	size_t blanks = strspn(start + n, " \t");
	const char *rest = start + n + blanks;

	if (*rest == '=' && n > 0)
		rest += 1 + strspn(rest + 1, " \t");
	else if (*rest && blanks == 0)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "'%s' is not an instruction: expected NAME VALUE or NAME=VALUE", instruction);
	for (size_t i = 0; i < KIST_COUNT(instructions); i++) {
		KIST_FREE char *value = kist_strdup(rest);
		size_t len = strlen(value);

		if (strcasecmp(instructions[i].name, name) != 0)
			continue;
		while (len > 0 && is_blank(value[len - 1]))
			value[--len] = '\0';
		if (len == 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s needs a value", instructions[i].name);
		int r = instructions[i].change(config, value, err);
		return r < 0 ? kist_context(err, "%s", instructions[i].name) : 0;
	}
	return fail_unknown(name, err);
}
