/* Filters of containers: for ps, and for the commands that act on many. */
#include "cli/select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNRESOLVED 0 /* no container was created then */
#define MISSING    INT64_MIN

static const char *const statuses[] = { "created", "initialized", "running", "paused",     "stopping", "stopped",
	                                "exited",  "removing",    "unknown", "configured", NULL };

static const char *const policies[] = { "no", "on-failure", "always", "unless-stopped", NULL };

static const char *const healths[] = { "starting", "healthy", "unhealthy", "none", NULL };

const struct kist_filter_key kist_container_filter_keys[] = {
	{ .name = "ancestor", .kind = KIST_FILTER_EXACT, .id = KIST_FILTER_BY_ANCESTOR, .negatable = true },
	{ .name = "before", .kind = KIST_FILTER_OBJECT, .id = KIST_FILTER_BY_BEFORE },
	{ .name = "command", .kind = KIST_FILTER_REGEX, .id = KIST_FILTER_BY_COMMAND, .negatable = true },
	{ .name = "exited", .kind = KIST_FILTER_NUMBER, .id = KIST_FILTER_BY_EXITED, .negatable = true },
	{ .name = "health",
	  .kind = KIST_FILTER_CHOICE,
	  .choices = healths,
	  .id = KIST_FILTER_BY_HEALTH,
	  .negatable = true },
	{ .name = "id", .kind = KIST_FILTER_PREFIX, .id = KIST_FILTER_BY_ID, .negatable = true },
	{ .name = "label", .kind = KIST_FILTER_LABEL, .id = KIST_FILTER_BY_LABEL, .negatable = true },
	{ .name = "name", .kind = KIST_FILTER_REGEX, .id = KIST_FILTER_BY_NAME, .negatable = true },
	{ .name = "network", .kind = KIST_FILTER_EXACT, .id = KIST_FILTER_BY_NETWORK, .negatable = true },
	{ .name = "pod", .kind = KIST_FILTER_EXACT, .id = KIST_FILTER_BY_POD, .negatable = true },
	{ .name = "restart-policy",
	  .kind = KIST_FILTER_CHOICE,
	  .choices = policies,
	  .id = KIST_FILTER_BY_RESTART,
	  .negatable = true },
	{ .name = "should-start-on-boot", .kind = KIST_FILTER_BOOL, .id = KIST_FILTER_BY_BOOT, .negatable = true },
	{ .name = "since", .kind = KIST_FILTER_OBJECT, .id = KIST_FILTER_BY_SINCE },
	{ .name = "status",
	  .kind = KIST_FILTER_CHOICE,
	  .choices = statuses,
	  .id = KIST_FILTER_BY_STATUS,
	  .negatable = true },
	{ .name = "until", .kind = KIST_FILTER_UNTIL, .id = KIST_FILTER_BY_UNTIL },
	{ .name = "volume", .kind = KIST_FILTER_EXACT, .id = KIST_FILTER_BY_VOLUME, .negatable = true },
	{ 0 },
};

/* When the container that the filter names was created: looked up once, and kept in the filter's number. */
static int resolve(struct kist_cli *cli, struct kist_filter *filter, struct kist_error *err)
{
	struct kist_container *c = NULL;

	if (filter->number != UNRESOLVED)
		return 0;
	filter->number = MISSING;
	int r = kist_container_open(cli->k, filter->value, &c, err);
	if (r < 0)
		return kist_context(err, "filter '%s'", filter->key->name);
	filter->number = kist_container_config(c)->created;
	kist_container_free(c);
	return 0;
}

/* A pod or a network that is meant by its id, or a part of it, is looked up once: records have a pod's id and a
 * network's name. One that is not there matches nothing. */
static void resolve_name(struct kist_cli *cli, struct kist_filter *filter)
{
	char *found = NULL;

	if (filter->key->id == KIST_FILTER_BY_NETWORK) {
		kist_network_find(cli->k, filter->value, &found, NULL);
	} else if (filter->key->id == KIST_FILTER_BY_POD) {
		struct kist_pod *pod = NULL;
		if (kist_pod_open(cli->k, filter->value, &pod, NULL) == 0)
			found = kist_strdup(kist_pod_id(pod));
		kist_pod_free(pod);
	}
	if (!found)
		return;
	free(filter->value);
	filter->value = found;
}

/* By id, by the name that was given to create, or by what such a name means. */
static bool is_of_image(const struct kist_container_config *config, const char *value)
{
	KIST_FREE char *reference = NULL;
	const char *id = kist_has_prefix(value, "sha256:") ? value + strlen("sha256:") : value;

	if (!config->image)
		return false;
	if (kist_streq(config->image_name, value) || (strlen(id) >= 3 && kist_has_prefix(config->image, id)))
		return true;
	return kist_image_reference(value, &reference, NULL) == 0 && kist_streq(config->image_name, reference);
}

static bool has_status(const struct kist_container *c, const char *value)
{
	enum kist_status wanted, status = (enum kist_status)kist_container_state(c)->status;

	if (kist_status_parse(value, &wanted) < 0)
		return false;
	/* Stopped is exited but for the clean-up: nobody who asks for one means not the other. */
	if (wanted == KIST_STOPPED || wanted == KIST_EXITED)
		return status == KIST_STOPPED || status == KIST_EXITED;
	if (kist_streq(value, "configured"))
		wanted = KIST_CONFIGURED;
	return status == wanted;
}

static bool has_volume(const struct kist_container_config *config, const char *value)
{
	for (size_t i = 0; i < config->n_named_volumes; i++)
		if (kist_streq(config->named_volumes[i].destination, value) ||
		    kist_streq(config->named_volumes[i].name, value))
			return true;
	for (size_t i = 0; i < config->n_mounts; i++)
		if (kist_streq(config->mounts[i].destination, value) || kist_streq(config->mounts[i].source, value))
			return true;
	return false;
}

static bool has_exited(const struct kist_filter *filter, const struct kist_container *c)
{
	const struct kist_container_state *state = kist_container_state(c);

	return (state->status == KIST_EXITED || state->status == KIST_STOPPED) &&
	       kist_filter_number(filter, state->exit_code);
}

static bool has_health(const struct kist_container *c, const char *value)
{
	struct kist_health health;
	bool live = kist_container_state(c)->status == KIST_RUNNING || kist_container_state(c)->status == KIST_PAUSED;

	kist_container_health(c, &health);
	int status = live ? health.status : KIST_HEALTH_UNCHECKED;
	kist_health_clear(&health);
	if (status == KIST_HEALTH_UNCHECKED)
		return kist_streq(value, "none");
	return kist_streq(kist_health_status_name((enum kist_health_status)status), value);
}

static bool on_network(const struct kist_filter *filter, const struct kist_container_config *config)
{
	for (size_t i = 0; i < config->n_networks; i++)
		if (kist_filter_text(filter, config->networks[i].name))
			return true;
	return config->n_networks == 0 && kist_filter_text(filter, config->net_ns);
}

/* What 'kist boot' would start. */
static bool starts_on_boot(const struct kist_container *c)
{
	const char *policy = kist_container_config(c)->restart_policy;

	return kist_streq(policy, "always") ||
	       (kist_streq(policy, "unless-stopped") && !kist_container_state(c)->stopped_by_user);
}

static bool match(const struct kist_filter *filter, const void *object, void *context)
{
	const struct kist_container *c = object;
	const struct kist_container_config *config = kist_container_config(c);
	const char *value = filter->value;

	(void)context;
	switch (filter->key->id) {
	case KIST_FILTER_BY_ANCESTOR:
		return is_of_image(config, value);
	case KIST_FILTER_BY_BEFORE:
		return filter->number != MISSING && config->created < filter->number;
	case KIST_FILTER_BY_SINCE:
		return filter->number != MISSING && config->created > filter->number;
	case KIST_FILTER_BY_BOOT:
		return starts_on_boot(c) == (filter->number != 0);
	case KIST_FILTER_BY_COMMAND:
		return kist_filter_text(filter, config->command[0]);
	case KIST_FILTER_BY_POD:
		return kist_filter_text(filter, config->pod);
	case KIST_FILTER_BY_RESTART:
		return kist_streq(config->restart_policy ? config->restart_policy : "no", value);
	case KIST_FILTER_BY_EXITED:
		return has_exited(filter, c);
	case KIST_FILTER_BY_HEALTH:
		return has_health(c, value);
	case KIST_FILTER_BY_ID:
		return kist_filter_text(filter, config->id);
	case KIST_FILTER_BY_LABEL:
		return kist_filter_labels(filter, config->labels);
	case KIST_FILTER_BY_NAME:
		return kist_filter_text(filter, config->name);
	case KIST_FILTER_BY_NETWORK:
		return on_network(filter, config);
	case KIST_FILTER_BY_STATUS:
		return has_status(c, value);
	case KIST_FILTER_BY_UNTIL:
		return kist_filter_time(filter, config->created);
	case KIST_FILTER_BY_VOLUME:
		return has_volume(config, value);
	default:
		return false;
	}
}

static bool names_container(const struct kist_filter *filter)
{
	return filter->key->id == KIST_FILTER_BY_BEFORE || filter->key->id == KIST_FILTER_BY_SINCE;
}

bool kist_container_passes(struct kist_cli *cli, const struct kist_filters *filters, struct kist_container *c)
{
	for (size_t i = 0; i < filters->n; i++)
		if (names_container(&filters->items[i]))
			resolve(cli, &filters->items[i], NULL);
	return kist_filters_match(filters, match, c, cli);
}

int kist_container_filters(struct kist_cli *cli, char *const *arguments, struct kist_filters *out,
                           struct kist_error *err)
{
	int r = arguments ? kist_filters_parse(arguments, kist_container_filter_keys, out, err) : 0;

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < out->n; i++) {
		resolve_name(cli, &out->items[i]);
		if (names_container(&out->items[i]))
			r = resolve(cli, &out->items[i], err);
	}
	if (r < 0)
		kist_filters_clear(out);
	return r;
}

int cli_storage_find(struct kist_cli *cli, const char *name_or_id, char id[65], struct kist_error *err)
{
	struct kist_storage_container *list = NULL;
	size_t n = 0, found = 0;

	int r = kist_storage_container_list(cli->k, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!kist_streq(list[i].name, name_or_id) && !kist_has_prefix(list[i].id, name_or_id))
			continue;
		memcpy(id, list[i].id, sizeof(list[i].id));
		found++;
	}
	kist_storage_container_list_free(list, n);
	if (r == 0 && found > 1)
		return kist_fail(err, KIST_ERR_AMBIGUOUS, EINVAL, "'%s' is the beginning of several ids", name_or_id);
	return r < 0 ? r : found == 0;
}
