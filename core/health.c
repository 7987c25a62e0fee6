/* Health checks: what a check is, what its outcomes mean, and the record that they leave. Running them is the monitor's
 * part (monitor_health.c). */
#include "core/attach.h"
#include "core/internal.h"
#include "core/log.h"
#include "core/monitor.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LOG(type, member, ...) KIST_FIELD(struct kist_health_log, type, member, ##__VA_ARGS__)
#define ROW(type, member, ...) KIST_FIELD(struct kist_health, type, member, ##__VA_ARGS__)

#define OUTPUT_MAX   (64u << 10)  /* bytes of one output, whatever was asked for */
#define LOG_MAX      (512u << 10) /* bytes of all of them */
#define LEAST_PERIOD KIST_NSEC_PER_SEC

static const struct kist_name status_names[] = {
	{ "", KIST_HEALTH_UNCHECKED },
	{ "starting", KIST_HEALTH_STARTING },
	{ "healthy", KIST_HEALTH_HEALTHY },
	{ "unhealthy", KIST_HEALTH_UNHEALTHY },
	{ NULL, 0 },
};

static const struct kist_field log_fields[] = {
	LOG(TIME, start),
	LOG(TIME, end),
	LOG(INT, exit_code),
	LOG(STRING, output),
};
static const struct kist_table log_table = KIST_TABLE("outcome of a health check", struct kist_health_log, log_fields);

static const struct kist_field health_fields[] = {
	ROW(ENUM, status, .names = status_names, .fallback = "starting"),
	ROW(U32, failing_streak),
	ROW(BOOL, started),
	ROW(U32, startup_failures),
	ROW(U32, startup_successes),
	KIST_FIELD_LIST(struct kist_health, LIST, log, n_log, .table = &log_table),
};
const struct kist_table kist_health_table = KIST_TABLE("health record", struct kist_health, health_fields);

const char *kist_health_status_name(enum kist_health_status status)
{
	return kist_name_of(status_names, (int)status);
}

static bool is_test(char *const *test)
{
	return test && test[0] && !kist_streq(test[0], "NONE");
}

bool kist_health_is_checked(const struct kist_health_config *config)
{
	return is_test(config->test);
}

void kist_health_clear(struct kist_health *health)
{
	kist_table_release(&kist_health_table, health);
}

void kist_container_health(const struct kist_container *c, struct kist_health *out)
{
	char path[80];

	kist_table_init(&kist_health_table, out);
	out->status = KIST_HEALTH_UNCHECKED;
	snprintf(path, sizeof(path), "%s/" KIST_HEALTH_RECORD, c->config.id);
	if (!kist_health_is_checked(&c->config.health))
		return;
	/* Not written yet, or torn by a full file system: the next check tells. */
	out->status = KIST_HEALTH_STARTING;
	kist_record_read(c->k->run_containers, path, &kist_health_table, out, NULL, NULL);
}

/* --- outcomes -------------------------------------------------------------------------------------------------------
 */

char *const *kist_health_test(const struct kist_health_config *config, const struct kist_health *health)
{
	return health->started || !is_test(config->startup_test) ? config->test : config->startup_test;
}

static void log_drop(struct kist_health *health)
{
	kist_table_release(&log_table, &health->log[0]);
	memmove(health->log, health->log + 1, --health->n_log * sizeof(*health->log));
}

static void log_add(const struct kist_health_config *config, struct kist_health *health, struct kist_health_log *log)
{
	size_t total = 0;

	health->log = kist_grow(health->log, health->n_log + 1, sizeof(*health->log));
	health->log[health->n_log++] = *log;
	*log = (struct kist_health_log){ 0 };
	for (size_t i = 0; i < health->n_log; i++)
		total += sizeof(*log) + (health->log[i].output ? strlen(health->log[i].output) : 0);
	while (health->n_log > 1 && ((config->log_count && health->n_log > config->log_count) || total > LOG_MAX)) {
		total -= sizeof(*log) + (health->log[0].output ? strlen(health->log[0].output) : 0);
		log_drop(health);
	}
}

static enum kist_health_step startup_take(const struct kist_health_config *config, struct kist_health *health,
                                          bool passed)
{
	uint32_t wanted = config->startup_success ? config->startup_success : 1;

	if (passed) {
		health->failing_streak = 0;
		health->started = ++health->startup_successes >= wanted;
		return KIST_HEALTH_GOES_ON;
	}
	health->startup_successes = 0;
	health->startup_failures++;
	return config->startup_retries && health->startup_failures >= config->startup_retries ? KIST_HEALTH_HOPELESS
	                                                                                      : KIST_HEALTH_GOES_ON;
}

enum kist_health_step kist_health_take(const struct kist_health_config *config, struct kist_health *health,
                                       struct kist_health_log *log, bool early)
{
	bool passed = log->exit_code == 0;

	log_add(config, health, log);
	if (!health->started && is_test(config->startup_test))
		return startup_take(config, health, passed);
	health->started = true;
	if (passed) {
		health->failing_streak = 0;
		health->status = KIST_HEALTH_HEALTHY;
		return KIST_HEALTH_GOES_ON;
	}
	if (early)
		return KIST_HEALTH_GOES_ON;
	if (++health->failing_streak < config->retries)
		return KIST_HEALTH_GOES_ON;
	health->status = KIST_HEALTH_UNHEALTHY;
	return KIST_HEALTH_FAILING;
}

char *kist_health_output(const char *data, size_t len, uint32_t size)
{
	KIST_STR struct kist_str out = { 0 };
	size_t room = size && size < OUTPUT_MAX ? size : OUTPUT_MAX;

	while (len) {
		size_t n = *data ? kist_utf8_length(data, len) : 0;
		if (out.len + (n ? n : 1) > room)
			break;
		if (n)
			kist_str_addn(&out, data, n);
		else
			kist_str_addc(&out, '?');
		data += n ? n : 1;
		len -= n ? n : 1;
	}
	return kist_str_take(&out);
}

/* --- what users write -----------------------------------------------------------------------------------------------
 */

static int parse_array(const char *text, char ***out)
{
	KIST_JSON struct json_object *json = NULL;

	if (text[0] != '[' || kist_json_parse(text, strlen(text), &json, NULL) < 0 ||
	    !json_object_is_type(json, json_type_array))
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(json); i++) {
		struct json_object *item = json_object_array_get_idx(json, i);
		if (!json_object_is_type(item, json_type_string))
			return -EINVAL;
		kist_strv_add(out, json_object_get_string(item));
	}
	return 0;
}

/* Words of a line, parted by blanks, as podman takes "CMD a b". */
static char **words_of(const char *text)
{
	char **words = NULL;

	while (*(text += strspn(text, " \t\n"))) {
		size_t n = strcspn(text, " \t\n");
		kist_strv_take(&words, kist_strndup(text, n));
		text += n;
	}
	return words;
}

int kist_health_parse_test(const char *text, char ***test, struct kist_error *err)
{
	KIST_STRV char **words = NULL;
	bool array = parse_array(text, &words) == 0;

	if (!array) {
		kist_strv_free(words);
		words = words_of(text);
	}
	if (!words || !words[0] || !words[0][0])
		return kist_fail(err, KIST_ERR_INVALID, 0, "health check '%s': expected a command", text);
	if (strcasecmp(words[0], "none") == 0) {
		kist_strv_add(test, "NONE");
		return 0;
	}
	bool shell = strcasecmp(words[0], "CMD-SHELL") == 0, direct = strcasecmp(words[0], "CMD") == 0;
	if ((shell || direct) && !words[1])
		return kist_fail(err, KIST_ERR_INVALID, 0, "health check '%s': no command follows %s", text, words[0]);
	/* A line goes to the shell as it was written, an array of several words to execve. */
	if (shell || (!direct && (!array || !words[1]))) {
		KIST_FREE char *joined = kist_strv_join(words + (shell ? 1 : 0), " ");
		kist_strv_add(test, "CMD-SHELL");
		if (array)
			kist_strv_add(test, joined);
		else
			kist_strv_add(test, shell ? text + strspn(text, " \t\n") + strlen("CMD-SHELL ") : text);
		return 0;
	}
	kist_strv_add(test, "CMD");
	for (char **word = words + (direct ? 1 : 0); *word; word++)
		kist_strv_add(test, *word);
	return 0;
}

static void take_time(struct json_object *check, const char *key, int64_t *out)
{
	struct json_object *value = NULL;

	if (json_object_object_get_ex(check, key, &value) && json_object_get_int64(value) > 0)
		*out = json_object_get_int64(value);
}

int kist_health_of_image(const struct kist_image *image, struct kist_health_config *config, struct kist_error *err)
{
	struct json_object *inner = NULL, *check = NULL, *test = NULL, *value = NULL;

	if (!json_object_object_get_ex(image->document, "config", &inner) ||
	    !json_object_object_get_ex(inner, "Healthcheck", &check) ||
	    !json_object_object_get_ex(check, "Test", &test) || !json_object_is_type(test, json_type_array) ||
	    json_object_array_length(test) == 0)
		return 0;
	KIST_STRV char **words = NULL;
	for (size_t i = 0; i < json_object_array_length(test); i++)
		kist_strv_add(&words, json_object_get_string(json_object_array_get_idx(test, i)));
	if (!words)
		return 0;
	if (!kist_streq(words[0], "NONE") && !kist_streq(words[0], "CMD") && !kist_streq(words[0], "CMD-SHELL"))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the image's health check begins with '%s': expected CMD",
		                 words[0]);
	kist_strv_free(config->test);
	config->test = kist_steal(&words);
	take_time(check, "Interval", &config->interval);
	take_time(check, "Timeout", &config->timeout);
	take_time(check, "StartPeriod", &config->start_period);
	if (json_object_object_get_ex(check, "Retries", &value) && json_object_get_int64(value) > 0)
		config->retries = (uint32_t)json_object_get_int64(value);
	return 0;
}

int kist_health_check(const struct kist_health_config *config, struct kist_error *err)
{
	const char *to = config->log_destination;

	if (!is_test(config->test)) {
		if (is_test(config->startup_test))
			return kist_fail(err, KIST_ERR_INVALID, 0, "a startup health check needs a health check");
		return 0;
	}
	if (config->timeout < LEAST_PERIOD || config->startup_timeout < LEAST_PERIOD)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the timeout of a health check is at least 1 second");
	if (config->interval < 0 || config->startup_interval < 0 || config->start_period < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "the times of a health check cannot be negative");
	if (config->retries < 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "a health check has at least 1 retry");
	if (!kist_streq(to, "local") && !kist_streq(to, "events_logger") && to[0] != '/')
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "health-log-destination '%s': expected local, events_logger or a directory", to);
	return 0;
}

/* --- asking for one -------------------------------------------------------------------------------------------------
 */

int kist_container_healthcheck(struct kist_container *c, struct kist_error *err)
{
	struct kist_error failure;
	union {
		char bytes[KIST_MSG_DATA];
		int32_t code;
	} message;
	char type;

	if (!kist_health_is_checked(&c->config.health))
		return kist_fail(err, KIST_ERR_STATE, 0, "container %s has no health check", c->config.name);
	int r = kist_container_sync(c, err);
	if (r == 0 && c->state.status != KIST_RUNNING)
		r = kist_fail(err, KIST_ERR_STATE, 0, "container %s is not running", c->config.name);
	KIST_CLOSE int sock = r < 0 ? -1 : kist_attach_connect(c, err);
	if (sock < 0)
		return r < 0 ? r : sock;
	r = kist_msg_send(sock, KIST_MSG_HEALTH, NULL, 0);
	while (r >= 0) {
		r = (int)kist_msg_recv(sock, &type, &message, sizeof(message));
		if (r < 0)
			break;
		if (type == KIST_MSG_EXITED)
			return message.code != 0;
		if (type == KIST_MSG_FAILED && r == (int)sizeof(failure)) {
			memcpy(&failure, message.bytes, sizeof(failure));
			if (err)
				*err = failure;
			return failure.errnum > 0 ? -failure.errnum : -EIO;
		}
		if (type == 0)
			return kist_fail(err, KIST_ERR_STATE, EPIPE, "container %s ended", c->config.name);
	}
	return kist_fail_errno(err, -r, "ask the monitor of container %s", c->config.name);
}
