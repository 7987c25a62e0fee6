/* Accounts at registries, and whether there is a client at all. */
#include "core/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *kist_registry_client(void)
{
#ifdef KIST_CURL
	return kist_http_library();
#else
	return NULL;
#endif
}

char *kist_registry_host(struct kist *k, const char *text)
{
	const char *first = k->settings.registries ? k->settings.registries[0] : "docker.io";
	const char *host = text ? text : first, *scheme = strstr(host, "://");

	if (scheme)
		host = scheme + 3;
	KIST_FREE char *name = kist_strndup(host, scheme ? strcspn(host, "/") : strlen(host));
	while (kist_has_suffix(name, "/"))
		name[strlen(name) - 1] = '\0';
	return kist_strdup(kist_streq(name, "index.docker.io") ? "docker.io" : name);
}

int kist_registry_logout(const char *registry, const char *authfile, struct kist_error *err)
{
	int r = kist_auth_remove(authfile, registry, err);

	if (r > 0 && registry)
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "not logged into %s", registry);
	return r < 0 ? r : 0;
}

int kist_registry_account(const char *registry, const char *authfile, char **name, struct kist_error *err)
{
	KIST_CREDENTIALS struct kist_credentials account = { 0 };
	KIST_FREE char *host = kist_strndup(registry, strcspn(registry, "/"));
	const char *path = registry[strlen(host)] ? registry + strlen(host) + 1 : NULL;

	int r = kist_auth_find(authfile, host, path, &account, err);
	if (r < 0)
		return r;
	if (r > 0 || !account.username)
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "not logged into %s", registry);
	*name = kist_steal(&account.username);
	return 0;
}

#ifndef KIST_CURL

int kist_image_pull(struct kist *k, const struct kist_image_pull *pull, char ***ids, struct kist_error *err)
{
	(void)k;
	(void)pull;
	(void)ids;
	return kist_registry_fail_built(err);
}

int kist_image_push(struct kist *k, const struct kist_image_push *push, char digest[65], struct kist_error *err)
{
	(void)k;
	(void)push;
	(void)digest;
	return kist_registry_fail_built(err);
}

int kist_registry_login(struct kist *k, const char *registry, const struct kist_registry_options *options,
                        struct kist_error *err)
{
	(void)k;
	(void)registry;
	(void)options;
	return kist_registry_fail_built(err);
}

bool kist_registry_is_newer(struct kist *k, const struct kist_image_pull *pull, const struct kist_image *image)
{
	(void)k;
	(void)pull;
	(void)image;
	return false;
}

#endif
