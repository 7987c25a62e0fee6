/* Secrets of a container: files in its run directory, which goes with the run, or variables of its process. They are
 * read anew at each start. */
#include "core/plan.h"
#include "core/volume.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "/run/secrets"

int kist_secret_check(const struct kist_secret_config *secret, struct kist_error *err)
{
	const char *target = secret->target;

	if (kist_empty(secret->name))
		return kist_fail(err, KIST_ERR_INVALID, 0, "a secret needs a name");
	if (secret->env && target && (!*target || strchr(target, '=')))
		return kist_fail(err, KIST_ERR_INVALID, 0, "secret %s: '%s' is not a variable's name", secret->name,
		                 target);
	if (!secret->env && target && !*target)
		return kist_fail(err, KIST_ERR_INVALID, 0, "secret %s: target is empty", secret->name);
	if (secret->mode.set && secret->mode.value & ~07777)
		return kist_fail(err, KIST_ERR_INVALID, 0, "secret %s: mode is more than 7777", secret->name);
	return 0;
}

static int read_value(struct kist *k, const char *name, struct kist_str *value, struct kist_error *err)
{
	struct kist_secret *s = NULL;

	int r = kist_secret_open(k, name, &s, err);
	if (r == 0)
		r = kist_secret_read(k, s, value, err);
	kist_secret_free(s);
	return r;
}

static void forget(struct kist_str *value)
{
	if (value->data)
		explicit_bzero(value->data, value->len);
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

static int write_file(struct plan *p, int dir, const char *file, const struct kist_secret_config *secret,
                      struct kist_error *err)
{
	KIST_STR struct kist_str value = { 0 };
	mode_t mode = secret->mode.set ? (mode_t)secret->mode.value : 0444;
	uid_t uid = kist_plan_host_uid(p->config, secret->uid);
	gid_t gid = kist_plan_host_gid(p->config, secret->gid);

	int r = read_value(p->c->k, secret->name, &value, err);
	if (r < 0)
		return r;
	KIST_CLOSE int fd = openat(dir, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : kist_write_all(fd, kist_str_get(&value), value.len);
	forget(&value);
	if (r == 0 && (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0))
		r = -errno;
	return r < 0 ? kist_fail_errno(err, -r, "write secret %s for the container", secret->name) : 0;
}

static int open_directory(struct plan *p, struct kist_error *err)
{
	int r = kist_remove_tree(p->c->run_dir, "secrets");

	if (r == 0 && mkdirat(p->c->run_dir, "secrets", 0700) < 0)
		r = -errno;
	int fd = r < 0 ? r : openat(p->c->run_dir, "secrets", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? kist_fail_errno(err, r < 0 ? -r : errno, "make the directory of the container's secrets") : fd;
}

int kist_secrets_plan(struct plan *p, struct kist_error *err)
{
	static const char *const options[] = { "bind", "ro", "rprivate", "nosuid", "nodev", "noexec", NULL };
	KIST_CLOSE int dir = -1;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->config->n_secrets; i++) {
		const struct kist_secret_config *secret = &p->config->secrets[i];
		const char *target = secret->target ? secret->target : secret->name;
		char file[24];

		if (secret->env)
			continue;
		if (dir < 0)
			dir = open_directory(p, err);
		if (dir < 0)
			return dir;
		snprintf(file, sizeof(file), "%zu", i);
		r = write_file(p, dir, file, secret, err);
		KIST_FREE char *name = kist_asprintf("secrets/%s", file);
		KIST_FREE char *source = kist_container_runpath(p->c, name);
		KIST_FREE char *place = target[0] == '/' ? kist_strdup(target) : kist_asprintf(DIRECTORY "/%s", target);
		if (r == 0)
			kist_spec_add_mount(p->spec, place, "bind", source, options);
	}
	return r;
}

/* --- variables -----------------------------------------------------------------------------------------------------
 */

static const char *variable(const struct kist_secret_config *secret)
{
	return secret->target ? secret->target : secret->name;
}

int kist_secrets_env(struct kist_container *c, char ***env, struct kist_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->config.n_secrets; i++) {
		const struct kist_secret_config *secret = &c->config.secrets[i];
		KIST_STR struct kist_str value = { 0 };

		if (!secret->env)
			continue;
		r = read_value(c->k, secret->name, &value, err);
		if (r == 0 && memchr(kist_str_get(&value), '\0', value.len))
			r = kist_fail(err, KIST_ERR_INVALID, 0, "secret %s has a zero byte: it cannot be a variable",
			              secret->name);
		if (r == 0)
			kist_env_set(env, variable(secret), kist_str_get(&value));
		forget(&value);
	}
	return r;
}

void kist_secrets_strip(const struct kist_container_config *config, char ***env)
{
	for (size_t i = 0; i < config->n_secrets; i++)
		if (config->secrets[i].env)
			kist_env_unset(env, variable(&config->secrets[i]));
}
