/* What keeps a container up, and what it waits for. */
#include "cli/create.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int create_supervise(struct kist_cli *cli, const struct create_options *o, struct kist_container_config *config,
                     struct kist_error *err)
{
	const struct kist_settings *settings = kist_settings(cli->k);

	config->restart_delay = settings->restart_delay;
	config->restart_delay_max = settings->restart_delay_max;
	if (o->restart) {
		int r = kist_restart_parse(o->restart, &config->restart_policy, &config->restart_retries, err);
		if (r < 0)
			return r;
	}
	if (o->timeout.set && (uint64_t)o->timeout.value > UINT32_MAX)
		return kist_fail(err, KIST_ERR_INVALID, ERANGE, "timeout is out of range");
	config->timeout = (uint32_t)o->timeout.value;
	if (o->sdnotify)
		kist_sdnotify_parse(o->sdnotify, &config->sdnotify);
	KIST_FREE char *here = getcwd(NULL, 0);
	if (o->conmon_pidfile)
		config->conmon_pidfile = o->conmon_pidfile[0] == '/'
		                                 ? kist_strdup(o->conmon_pidfile)
		                                 : kist_asprintf("%s/%s", here ? here : "", o->conmon_pidfile);
	/* Names become ids when the container is made. */
	config->required = kist_strv_copy(o->required);
	return 0;
}
