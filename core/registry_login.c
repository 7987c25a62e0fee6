/* login: an account is tried before it is kept. */
#include "core/registry.h"

#include <errno.h>
#include <string.h>

static int check_account(const struct kist_registry_options *options, struct kist_error *err)
{
	const char *name = options->username;

	if (name && (!*name || strchr(name, ':') || !options->password))
		return kist_fail(err, KIST_ERR_INVALID, 0, "an account has a name without ':' and a password");
	return 0;
}

int kist_registry_login(struct kist *k, const char *name, const struct kist_registry_options *options,
                        struct kist_error *err)
{
	struct kist_credentials account = { .username = (char *)options->username,
		                            .password = (char *)options->password };
	KIST_FREE char *host = kist_strndup(name, strcspn(name, "/"));
	struct kist_registry *registry = NULL;
	struct kist_error problem = { 0 };

	int r = check_account(options, &problem);
	if (r == 0)
		r = kist_registry_open(k, host, name[strlen(host)] ? name + strlen(host) + 1 : NULL, options, &registry,
		                       &problem);
	if (r == 0)
		r = kist_registry_check_login(registry, &problem);
	kist_registry_close(registry);
	if (r < 0 && problem.errnum == EACCES) {
		kist_error_clear(&problem);
		r = kist_fail(&problem, KIST_ERR_INVALID, EACCES, "the name or the password is wrong");
	}
	if (r == 0 && account.username)
		r = kist_auth_store(options->authfile, name, &account, &problem);
	if (r < 0 && err)
		*err = problem;
	return r < 0 ? kist_context(err, "log into %s", name) : 0;
}
