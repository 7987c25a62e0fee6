/* What inspect tells of health checks. */
#include "core/view.h"

#include <json-c/json.h>

static void add(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add(object, key, value);
}

struct json_object *view_health(const struct view *v)
{
	struct json_object *json = json_object_new_object(), *log = NULL;
	struct kist_health health;

	kist_container_health(v->c, &health);
	add(json, "Status", view_text(kist_health_status_name((enum kist_health_status)health.status)));
	add(json, "FailingStreak", view_int(health.failing_streak));
	for (size_t i = 0; i < health.n_log; i++) {
		struct json_object *item = json_object_new_object();
		if (!log)
			log = json_object_new_array();
		add(item, "Start", view_time(health.log[i].start));
		add(item, "End", view_time(health.log[i].end));
		add(item, "ExitCode", view_int(health.log[i].exit_code));
		add(item, "Output", view_text(health.log[i].output));
		json_object_array_add(log, item);
	}
	add(json, "Log", log);
	kist_health_clear(&health);
	return json;
}

static struct json_object *check_of(char *const *test, int64_t start_period, int64_t interval, int64_t timeout,
                                    uint32_t retries)
{
	struct json_object *json = json_object_new_object();

	add(json, "Test", view_list(test));
	if (start_period)
		add(json, "StartPeriod", view_int(start_period));
	add(json, "Interval", view_int(interval));
	add(json, "Timeout", view_int(timeout));
	add(json, "Retries", view_int(retries));
	return json;
}

struct json_object *view_health_check(const struct view *v)
{
	const struct kist_health_config *h = &v->config->health;

	return h->test ? check_of(h->test, h->start_period, h->interval, h->timeout, h->retries) : NULL;
}

struct json_object *view_startup_check(const struct view *v)
{
	const struct kist_health_config *h = &v->config->health;

	if (!h->startup_test)
		return NULL;
	struct json_object *json =
	        check_of(h->startup_test, 0, h->startup_interval, h->startup_timeout, h->startup_retries);
	add(json, "Successes", view_int(h->startup_success));
	return json;
}

struct json_object *view_health_action(const struct view *v)
{
	static const char *const names[] = { "none", "kill", "restart", "stop" };
	int action = v->config->health.on_failure;

	return view_text(action >= 0 && action < (int)KIST_COUNT(names) ? names[action] : "none");
}

struct json_object *view_health_log(const struct view *v)
{
	return view_text(v->config->health.log_destination);
}

struct json_object *view_health_log_count(const struct view *v)
{
	return view_int(v->config->health.log_count);
}

struct json_object *view_health_log_size(const struct view *v)
{
	return view_int(v->config->health.log_size);
}
