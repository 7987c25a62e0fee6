/* --hooks-dir of run and create. */
#include "cli/create.h"

#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int create_hooks(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                 struct kist_error *err)
{
	if (!o->hooks_dir) {
		config->hooks_dir = kist_strv_copy(kist_settings(cli->k)->hooks_dir);
		return 0;
	}
	KIST_FREE char *here = getcwd(NULL, 0);
	for (size_t i = 0; o->hooks_dir[i]; i++) {
		const char *path = o->hooks_dir[i];
		if (!*path && kist_strv_len(o->hooks_dir) > 1)
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "hooks-dir: an empty name means none, and excludes others");
		/* The start may come from anywhere. */
		if (*path && *path != '/' && !here)
			return kist_fail_errno(err, errno, "hooks-dir %s: working directory", path);
		kist_strv_take(&config->hooks_dir,
		               *path && *path != '/' ? kist_asprintf("%s/%s", here, path) : kist_strdup(path));
	}
	return 0;
}
