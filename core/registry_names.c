/* Which registries a name is looked for in, and what is not a registry at all. */
#include "core/registry.h"

#include <string.h>

int kist_registry_fail_built(struct kist_error *err)
{
	kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "this build has no registry client");
	return kist_remedy(err, "build kist with libcurl, or bring images by 'kist load'");
}

/* Without a setting docker.io is what names without a registry mean, as in the rules of look-up. */
char **kist_registry_candidates(struct kist *k, const struct kist_reference *reference)
{
	KIST_STRV char **known = kist_reference_repositories(reference);
	char **list = NULL;

	if (reference->domain) {
		kist_strv_add(&list, known[0]);
		return list;
	}
	if (!k->settings.registries)
		kist_strv_add(&list, known[1]);
	for (char **registry = k->settings.registries; registry && *registry; registry++) {
		struct kist_reference full = { .domain = *registry, .path = reference->path };
		KIST_STRV char **one = kist_reference_repositories(&full);

		kist_strv_add(&list, one[0]);
	}
	return list;
}

int kist_registry_transport(const char *text, const char **name, struct kist_error *err)
{
	static const char *const others[] = { "containers-storage:",
		                              "dir:",
		                              "docker-archive:",
		                              "docker-daemon:",
		                              "oci:",
		                              "oci-archive:",
		                              "ostree:",
		                              "sif:",
		                              "tarball:" };

	if (kist_has_prefix(text, "docker://")) {
		*name = text + strlen("docker://");
		return 0;
	}
	for (size_t i = 0; i < KIST_COUNT(others); i++)
		if (kist_has_prefix(text, others[i])) {
			/* "dir:1" is an image of that tag as well; no registry is spoken to for either. */
			kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "'%.200s': the transport '%s' is not supported", text,
			          others[i]);
			return kist_remedy(err, "'kist load' and 'kist save' read and write archives and directories");
		}
	*name = text;
	return 0;
}
