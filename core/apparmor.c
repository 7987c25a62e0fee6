/* Which AppArmor profile a container gets; the default one is loaded once after each boot. */
#include "core/apparmor.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"
#include "ns/ns.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define NOTE "apparmor" /* in the run directory, lost with the boot as the kernel's policy is: what was loaded */

const char *kist_apparmor_of(const struct kist_container_config *config)
{
	if (config->privileged || kist_streq(config->apparmor, "unconfined"))
		return NULL;
	if (!kist_empty(config->apparmor))
		return config->apparmor;
	return kist_ns_apparmor_enabled() ? KIST_APPARMOR_DEFAULT : NULL;
}

int kist_apparmor_load(struct kist *k, struct kist_error *err)
{
	KIST_STR struct kist_str noted = { 0 };
	char digest[20];

	int n = snprintf(digest, sizeof(digest), "%016" PRIx64 "\n", kist_ns_apparmor_default_digest());
	if (kist_read_file(k->runroot, NOTE, sizeof(digest), &noted) == 0 && kist_streq(kist_str_get(&noted), digest))
		return 0;
	int r = kist_ns_apparmor_load_default(err);
	if (r < 0)
		return r;
	r = kist_replace_file(k->runroot, NOTE, digest, (size_t)n, 0600, 0);
	if (r < 0)
		kist_debug("note the AppArmor profile: %s", strerror(-r));
	return 0;
}

int kist_apparmor_plan(struct kist *k, const struct kist_container_config *config, char **profile,
                       struct kist_error *err)
{
	struct kist_error problem = { 0 };
	const char *name = kist_apparmor_of(config);

	if (!name)
		return 0;
	bool chosen = !kist_empty(config->apparmor);
	if (kist_streq(name, KIST_APPARMOR_DEFAULT) && kist_apparmor_load(k, &problem) < 0) {
		if (chosen) {
			if (err)
				*err = problem;
			return -problem.errnum;
		}
		/* Not allowed (inside of a container, without CAP_MAC_ADMIN), or a kernel of another policy version:
		 * one of several defences is missing, which is said, and no reason to run nothing. */
		kist_log(KIST_LOG_WARN, "container %.12s runs without an AppArmor profile: %s", config->id,
		         problem.text);
		return 0;
	}
	*profile = kist_strdup(name);
	return 0;
}
