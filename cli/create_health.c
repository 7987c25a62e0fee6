/* The health check of a container, from options and image. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>

#define OPT(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct create_options, type, member, name, letter, ##__VA_ARGS__)

const struct kist_option create_health_rows[] = {
	OPT(STRING, health_cmd, "health-cmd", 0, .metavar = "command",
	    .help = "Check of its health: a line for its shell, a JSON array, or none"),
	OPT(STRING, health_interval, "health-interval", 0, .metavar = "duration",
	    .help = "Time between two checks, or disable (default 30s)"),
	OPT(STRING, health_log_destination, "health-log-destination", 0, .metavar = "place",
	    .help = "Where outcomes are kept: local, events_logger, or a directory to write a file in (default local)"),
	OPT(OPT_U64, health_log_count, "health-max-log-count", 0, .metavar = "number",
	    .help = "Outcomes that are kept; 0: as many as fit (default 5)"),
	OPT(OPT_U64, health_log_size, "health-max-log-size", 0, .metavar = "bytes",
	    .help = "What is kept of an output; 0: as much as fits (default 500)"),
	OPT(CHOICE, health_on_failure, "health-on-failure", 0, .metavar = "action",
	    .choices = (const char *const[]){ "none", "kill", "restart", "stop", NULL },
	    .help = "What is done when it becomes unhealthy: none, kill, restart or stop (default none)"),
	OPT(OPT_U64, health_retries, "health-retries", 0, .metavar = "number",
	    .help = "Failures in a row that make it unhealthy (default 3)"),
	OPT(STRING, health_start_period, "health-start-period", 0, .metavar = "duration",
	    .help = "Time after the start in which failures do not count (default 0s)"),
	OPT(STRING, health_startup_cmd, "health-startup-cmd", 0, .metavar = "command",
	    .help = "Check that comes first, until it passes"),
	OPT(STRING, health_startup_interval, "health-startup-interval", 0, .metavar = "duration",
	    .help = "Time between two startup checks (default 30s)"),
	OPT(OPT_U64, health_startup_retries, "health-startup-retries", 0, .metavar = "number",
	    .help = "Failed startup checks that have it restarted; 0: never (default 0)"),
	OPT(OPT_U64, health_startup_success, "health-startup-success", 0, .metavar = "number",
	    .help = "Startup checks in a row that must pass; 0: one (default 0)"),
	OPT(STRING, health_startup_timeout, "health-startup-timeout", 0, .metavar = "duration",
	    .help = "Time after which a startup check is killed (default 30s)"),
	OPT(STRING, health_timeout, "health-timeout", 0, .metavar = "duration",
	    .help = "Time after which a check is killed, and has failed (default 30s)"),
	OPT(FLAG, no_healthcheck, "no-healthcheck", 0, .help = "Leave out the image's health check"),
	{ 0 },
};

static int set_duration(const char *option, const char *text, bool may_disable, int64_t *out, struct kist_error *err)
{
	int64_t seconds;

	if (!text)
		return 0;
	if (may_disable && kist_streq(text, "disable")) {
		*out = 0;
		return 0;
	}
	if (kist_parse_i64(text, &seconds) == 0 && seconds >= 0 && seconds <= INT32_MAX) {
		*out = seconds * 1000000000;
		return 0;
	}
	if (kist_parse_duration(text, out) < 0 || *out < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': expected a duration such as 30s or 1m30s", option,
		                 text);
	return 0;
}

static int set_number(const char *option, const struct kist_opt *given, uint32_t *out, struct kist_error *err)
{
	if (!given->set)
		return 0;
	if ((uint64_t)given->value > UINT32_MAX)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "%s is out of range", option);
	*out = (uint32_t)given->value;
	return 0;
}

static int set_test(const char *option, const char *text, char ***test, struct kist_error *err)
{
	if (!text)
		return 0;
	kist_strv_free(*test);
	*test = NULL;
	return kist_health_parse_test(text, test, err) < 0 ? kist_context(err, "%s", option) : 0;
}

static int set_times(const struct create_options *o, struct kist_health_config *config, struct kist_error *err)
{
	const struct {
		const char *option, *text;
		bool may_disable;
		int64_t *out;
	} times[] = {
		{ "health-interval", o->health_interval, true, &config->interval },
		{ "health-timeout", o->health_timeout, false, &config->timeout },
		{ "health-start-period", o->health_start_period, false, &config->start_period },
		{ "health-startup-interval", o->health_startup_interval, true, &config->startup_interval },
		{ "health-startup-timeout", o->health_startup_timeout, false, &config->startup_timeout },
	};
	const struct {
		const char *option;
		const struct kist_opt *given;
		uint32_t *out;
	} numbers[] = {
		{ "health-retries", &o->health_retries, &config->retries },
		{ "health-startup-retries", &o->health_startup_retries, &config->startup_retries },
		{ "health-startup-success", &o->health_startup_success, &config->startup_success },
		{ "health-max-log-count", &o->health_log_count, &config->log_count },
		{ "health-max-log-size", &o->health_log_size, &config->log_size },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < KIST_COUNT(times); i++)
		r = set_duration(times[i].option, times[i].text, times[i].may_disable, times[i].out, err);
	for (size_t i = 0; r == 0 && i < KIST_COUNT(numbers); i++)
		r = set_number(numbers[i].option, numbers[i].given, numbers[i].out, err);
	return r;
}

static bool is_detailed(const struct create_options *o)
{
	return o->health_interval || o->health_timeout || o->health_start_period || o->health_retries.set ||
	       (o->health_on_failure && !kist_streq(o->health_on_failure, "none")) || o->health_startup_cmd ||
	       o->health_startup_interval || o->health_startup_timeout || o->health_startup_retries.set ||
	       o->health_startup_success.set;
}

static int action_of(const char *text)
{
	static const struct kist_name actions[] = { { "none", KIST_HEALTH_NONE },
		                                    { "kill", KIST_HEALTH_KILL },
		                                    { "restart", KIST_HEALTH_RESTART },
		                                    { "stop", KIST_HEALTH_STOP },
		                                    { NULL, 0 } };
	int action = KIST_HEALTH_NONE;

	if (text)
		kist_value_of(actions, text, &action);
	return action;
}

bool create_health_given(const struct create_options *o)
{
	return o->no_healthcheck || o->health_cmd || o->health_on_failure || o->health_log_destination ||
	       o->health_log_count.set || o->health_log_size.set || is_detailed(o);
}

static void set_none(struct kist_health_config *config)
{
	char ***const tests[] = { &config->test, &config->startup_test };

	for (size_t i = 0; i < KIST_COUNT(tests); i++) {
		kist_strv_free(*tests[i]);
		*tests[i] = NULL;
	}
	kist_strv_add(&config->test, "NONE");
}

int create_health(const struct create_options *o, const struct kist_image *image, struct kist_health_config *config,
                  struct kist_error *err)
{
	if (o->no_healthcheck && (o->health_cmd || is_detailed(o)))
		return kist_fail(err, KIST_ERR_INVALID, 0, "--no-healthcheck excludes the other --health options");
	if (o->no_healthcheck) {
		set_none(config);
		return 0;
	}
	int r = image ? kist_health_of_image(image, config, err) : 0;
	if (r == 0)
		r = set_test("health-cmd", o->health_cmd, &config->test, err);
	if (r == 0)
		r = set_test("health-startup-cmd", o->health_startup_cmd, &config->startup_test, err);
	if (r == 0)
		r = set_times(o, config, err);
	if (r < 0)
		return r;
	if (o->health_on_failure)
		config->on_failure = action_of(o->health_on_failure);
	if (o->health_log_destination) {
		free(config->log_destination);
		config->log_destination = kist_strdup(o->health_log_destination);
	}
	if (is_detailed(o) && !kist_health_is_checked(config))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "there is no health check to set up: use --health-cmd, or an image that has one");
	return 0;
}
