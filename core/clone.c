/* Containers and pods made anew from what others were made with. */
#include "core/pod.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX    "-clone"
#define MAX_TRIES 10000

/* Of what is cloned together: who stood for whom. */
struct clones {
	char **from, **to; /* ids */
	const struct kist_pod *old, *new;
	const struct kist_container *infra; /* the old one; NULL: none */
};

static void drop(char **text)
{
	free(*text);
	*text = NULL;
}

static void set(char **to, const char *value)
{
	free(*to);
	*to = kist_strdup(value);
}

static bool is_taken(struct kist *k, const char *name)
{
	char id[65];

	return kist_name_find(k, KIST_NAMED_CONTAINER, name, id) == 0 ||
	       kist_name_find(k, KIST_NAMED_POD, name, id) == 0;
}

/* web-clone, web-clone1, web-clone2 ... of web, and of its clones too. */
static char *choose_name(struct kist *k, const char *name)
{
	const char *end = NULL;

	for (const char *at = name; (at = strstr(at, SUFFIX)); at++)
		end = at;
	for (const char *digit = end ? end + strlen(SUFFIX) : ""; *digit; digit++)
		if (!isdigit((unsigned char)*digit))
			end = NULL;
	int length = (int)(end ? (size_t)(end - name) : strlen(name));
	char *chosen = kist_asprintf("%.*s" SUFFIX, length, name);
	for (int i = 1; i < MAX_TRIES && is_taken(k, chosen); i++) {
		free(chosen);
		chosen = kist_asprintf("%.*s" SUFFIX "%d", length, name, i);
	}
	return chosen;
}

/* What belongs to one container alone: its identity, the files that it writes, and ids that create gives it. */
static void make_new(struct kist_container_config *config)
{
	drop(&config->id);
	drop(&config->name);
	drop(&config->pidfile);
	drop(&config->cidfile);
	drop(&config->conmon_pidfile);
	drop(&config->log_path);
	kist_strv_free(config->create_command);
	config->create_command = NULL;
	config->infra = false;
}

static const char *clone_of(const struct clones *clones, const char *id)
{
	for (size_t i = 0; clones->from && clones->from[i]; i++)
		if (kist_streq(clones->from[i], id))
			return clones->to[i];
	return NULL;
}

/* What refers to containers of the old pod refers to those of the new one, and so does its cgroup. */
static void move_to_pod(struct kist_container_config *config, const struct clones *clones)
{
	char **modes[] = { &config->pid_ns,  &config->ipc_ns,    &config->uts_ns,
		           &config->user_ns, &config->cgroup_ns, &config->net_ns };
	KIST_FREE char *group = kist_pod_cgroup_path(clones->old);
	const char *hostname = clones->infra ? clones->infra->config.hostname : NULL;

	kist_pod_member_reset(clones->old, clones->infra, clones->new, config);
	for (size_t i = 0; i < KIST_COUNT(modes); i++) {
		const char *id = kist_has_prefix(*modes[i], "container:") ? *modes[i] + strlen("container:") : NULL;
		const char *other = id ? clone_of(clones, id) : NULL;
		if (!other)
			continue;
		free(*modes[i]);
		*modes[i] = kist_asprintf("container:%s", other);
	}
	for (char **id = config->required; id && *id; id++)
		if (clone_of(clones, *id))
			set(id, clone_of(clones, *id));
	if (kist_streq(config->cgroup_parent, group))
		set(&config->cgroup_parent, clones->new->k->settings.cgroup_parent);
	if (hostname && kist_streq(kist_env_get(config->env, "HOSTNAME"), hostname))
		kist_env_unset(&config->env, "HOSTNAME");
	set(&config->pod, clones->new->config.id);
}

static void take_image(struct kist_container_config *config, const struct kist_image *image, const char *name)
{
	set(&config->image, image->id);
	set(&config->image_name, name);
	kist_strv_free(config->layers);
	config->layers = kist_strv_copy(image->layers);
	drop(&config->rootfs);
	config->rootfs_overlay = false;
}

static int clone_container(struct kist_container *c, const struct kist_clone *how, const struct clones *clones,
                           struct kist_container **out, struct kist_error *err)
{
	struct kist_container_config config;
	int r = 0;

	if (c->config.infra)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an infra container is cloned with its pod alone");
	kist_table_copy(&kist_container_config_table, &config, &c->config);
	make_new(&config);
	config.name = how->name ? kist_strdup(how->name) : choose_name(c->k, c->config.name);
	config.create_command = kist_strv_copy(how->create_command);
	if (how->image)
		take_image(&config, how->image, how->image_name);
	if (clones)
		move_to_pod(&config, clones);
	if (how->resources && kist_streq(config.cgroups, "disabled"))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "it was made without a cgroup, which limits need");
	if (r == 0 && how->resources)
		r = kist_resources_merge(&config.resources, how->resources, err);
	if (r == 0 && how->resources && how->resources->pids_limit.set)
		config.pids_limit_default = false;
	if (r == 0)
		r = kist_container_create(c->k, &config, out, err);
	kist_container_config_clear(&config);
	return r < 0 ? kist_context(err, "clone %s", c->config.name) : 0;
}

int kist_container_clone(struct kist_container *c, const struct kist_clone *how, struct kist_container **out,
                         struct kist_error *err)
{
	static const struct kist_clone plain = { 0 };

	return clone_container(c, how ? how : &plain, NULL, out, err);
}

/* --- pods -----------------------------------------------------------------------------------------------------------
 */

static void set_given(char **to, const char *value)
{
	if (value)
		set(to, value);
}

/* The namespace with the maps that belong to it. */
static void set_userns(struct kist_container_config *to, const struct kist_container_config *from)
{
	struct kist_container_config copy;

	if (!from->user_ns)
		return;
	kist_table_copy(&kist_container_config_table, &copy, from);
	set(&to->user_ns, from->user_ns);
	free(to->uid_map);
	free(to->gid_map);
	to->uid_map = kist_steal(&copy.uid_map);
	to->gid_map = kist_steal(&copy.gid_map);
	to->n_uid_map = copy.n_uid_map;
	to->n_gid_map = copy.n_gid_map;
	copy.n_uid_map = copy.n_gid_map = 0;
	kist_container_config_clear(&copy);
}

static void change_infra(struct kist_container_config *config, const struct kist_pod_clone *how)
{
	const struct kist_container_config *by = how->infra;

	if (how->shm_size.set)
		config->shm_size = (uint64_t)how->shm_size.value;
	if (!by)
		return;
	kist_container_config_override(config, by);
	for (size_t i = 0; by->sysctl && by->sysctl[i]; i++)
		kist_env_put(&config->sysctl, by->sysctl[i]);
	set_given(&config->pid_ns, by->pid_ns);
	set_given(&config->uts_ns, by->uts_ns);
	set_given(&config->conmon_pidfile, by->conmon_pidfile);
	set_userns(config, by);
}

static int change_pod(struct kist_pod_config *config, const struct kist_pod_clone *how, struct kist_error *err)
{
	set_given(&config->hostname, how->hostname);
	set_given(&config->infra_name, how->infra_name);
	set_given(&config->cgroup_parent, how->cgroup_parent);
	for (size_t i = 0; how->labels && how->labels[i]; i++)
		kist_env_put(&config->labels, how->labels[i]);
	for (size_t i = 0; how->share && how->share[i]; i++)
		if (!kist_strv_has(config->share, how->share[i]))
			kist_strv_add(&config->share, how->share[i]);
	if (how->restart_policy) {
		set(&config->restart_policy, how->restart_policy);
		config->restart_retries = how->restart_retries;
	}
	return how->resources ? kist_resources_merge(&config->resources, how->resources, err) : 0;
}

static int make_pod(struct kist_pod *pod, const struct kist_pod_clone *how, struct kist_container *infra,
                    struct kist_pod **out, struct kist_error *err)
{
	struct kist_container_config infra_config;
	struct kist_pod_config config;

	kist_table_copy(&kist_pod_config_table, &config, &pod->config);
	if (infra)
		kist_table_copy(&kist_container_config_table, &infra_config, &infra->config);
	else
		kist_container_config_init(&infra_config);
	make_new(&infra_config);
	drop(&infra_config.pod);
	drop(&infra_config.hostname);
	set(&infra_config.cgroup_parent, pod->k->settings.cgroup_parent);
	change_infra(&infra_config, how);
	drop(&config.infra_name);
	free(config.name);
	config.name = how->name ? kist_strdup(how->name) : choose_name(pod->k, pod->config.name);
	kist_strv_free(config.create_command);
	config.create_command = kist_strv_copy(how->create_command);
	int r = change_pod(&config, how, err);
	if (r == 0)
		r = kist_pod_create(pod->k, &config, &infra_config, out, err);
	kist_pod_config_clear(&config);
	kist_container_config_clear(&infra_config);
	return r;
}

static int clone_members(struct clones *clones, struct kist_container **list, size_t n, struct kist_error *err)
{
	static const struct kist_clone plain = { 0 };
	int r = 0;

	/* By creation: who is referred to comes first. */
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct kist_container *member = NULL;
		if (list[i]->config.infra)
			continue;
		r = clone_container(list[i], &plain, clones, &member, err);
		if (r < 0)
			break;
		kist_strv_add(&clones->from, list[i]->config.id);
		kist_strv_add(&clones->to, member->config.id);
		kist_container_free(member);
	}
	return r;
}

int kist_pod_clone(struct kist_pod *pod, const struct kist_pod_clone *how, struct kist_pod **out,
                   struct kist_error *err)
{
	static const struct kist_pod_clone plain = { 0 };
	struct kist_container **list = NULL, *infra = NULL;
	struct kist_pod *made = NULL;
	size_t n = 0;

	int r = kist_pod_containers(pod, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		infra = list[i]->config.infra ? list[i] : infra;
	r = make_pod(pod, how ? how : &plain, infra, &made, err);
	if (r == 0) {
		struct clones clones = { .old = pod, .new = made, .infra = infra };
		if (infra) {
			kist_strv_add(&clones.from, pod->config.infra_id);
			kist_strv_add(&clones.to, made->config.infra_id);
		}
		r = clone_members(&clones, list, n, err);
		kist_strv_free(clones.from);
		kist_strv_free(clones.to);
	}
	kist_container_list_free(list, n);
	if (r < 0 && made) {
		kist_pod_remove(made, KIST_REMOVE_FORCE, 0, NULL);
		kist_pod_free(made);
		made = NULL;
	}
	if (r < 0)
		return kist_context(err, "clone pod %s", pod->config.name);
	*out = made;
	return 0;
}
