/* The life cycle as one table: which call may be made in which state. */
#include "core/internal.h"

#include <errno.h>

#define IN(state) (1u << KIST_##state)
#define ANY       (IN(CONFIGURED) | IN(CREATED) | IN(RUNNING) | IN(STOPPING) | IN(STOPPED) | IN(PAUSED) | IN(EXITED))

struct call_rule {
	const char *name;
	unsigned allowed; /* states, as bits */
	bool built;       /* this version has it */
	const char *verb; /* "cannot VERB it" */
};

static const struct call_rule rules[KIST_N_CALLS] = {
	[KIST_CALL_INIT] = { "init", IN(CONFIGURED) | IN(STOPPED) | IN(EXITED), true, "initialise" },
	[KIST_CALL_START] = { "start", IN(CONFIGURED) | IN(CREATED) | IN(STOPPED) | IN(EXITED), true, "start" },
	[KIST_CALL_STOP] = { "stop", IN(CREATED) | IN(RUNNING) | IN(STOPPING), true, "stop" },
	[KIST_CALL_KILL] = { "kill", IN(RUNNING) | IN(STOPPING) | IN(PAUSED), true, "send a signal to" },
	[KIST_CALL_ATTACH] = { "attach", IN(CREATED) | IN(RUNNING), true, "attach to" },
	[KIST_CALL_RESIZE] = { "resize", IN(CREATED) | IN(RUNNING), true, "resize" },
	[KIST_CALL_RELOAD_NETWORK] = { "reload-network", IN(CREATED) | IN(RUNNING), true, "reload the network of" },
	[KIST_CALL_EXEC] = { "exec", IN(RUNNING), true, "execute in" },
	[KIST_CALL_PAUSE] = { "pause", IN(RUNNING), true, "pause" },
	[KIST_CALL_UNPAUSE] = { "unpause", IN(PAUSED), true, "unpause" },
	[KIST_CALL_RESTART] = { "restart", IN(CONFIGURED) | IN(CREATED) | IN(RUNNING) | IN(STOPPED) | IN(EXITED), true,
	                        "restart" },
	[KIST_CALL_CLEANUP] = { "cleanup", IN(CONFIGURED) | IN(CREATED) | IN(STOPPING) | IN(STOPPED) | IN(EXITED), true,
	                        "clean up" },
	[KIST_CALL_REMOVE] = { "remove",
	                       IN(CONFIGURED) | IN(CREATED) | IN(STOPPING) | IN(STOPPED) | IN(EXITED) | IN(REMOVING),
	                       true, "remove" },
	[KIST_CALL_REMOVE_FORCE] = { "remove", ANY | IN(UNKNOWN) | IN(REMOVING), true, "remove" },
	[KIST_CALL_MOUNT] = { "mount", ANY, true, "mount" },
	[KIST_CALL_UNMOUNT] = { "unmount", ANY, true, "unmount" },
	[KIST_CALL_EXPORT] = { "export", ANY, true, "export" },
	[KIST_CALL_COPY] = { "copy", ANY, true, "copy from or to" },
	[KIST_CALL_STAT] = { "stat", ANY, true, "look up files in" },
	[KIST_CALL_CHECKPOINT] = { "checkpoint", IN(RUNNING), false, "checkpoint" },
	[KIST_CALL_RESTORE] = { "restore", IN(CONFIGURED) | IN(EXITED), false, "restore" },
	[KIST_CALL_PRUNE] = { "prune", IN(CONFIGURED) | IN(CREATED) | IN(STOPPED) | IN(EXITED), true, "prune" },
};

const char *kist_call_name(enum kist_call call)
{
	return rules[call].name;
}

bool kist_call_built(enum kist_call call)
{
	return rules[call].built;
}

int kist_call_check(enum kist_call call, enum kist_status status, struct kist_error *err)
{
	const struct call_rule *rule = &rules[call];

	if (!rule->built)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, EOPNOTSUPP, "'%s' is not supported by this version",
		                 rule->name);
	if (rule->allowed & (1u << status))
		return 0;
	if (call == KIST_CALL_STOP && (status == KIST_STOPPED || status == KIST_EXITED))
		return kist_fail(err, KIST_ERR_STOPPED, EALREADY, "it is already stopped");

	kist_fail(err, KIST_ERR_STATE, EBUSY, "cannot %s it while it is %s", rule->verb, kist_status_shown(status));
	switch (status) {
	case KIST_RUNNING:
		if (call == KIST_CALL_REMOVE)
			return kist_remedy(err, "stop it first, or use --force");
		break;
	case KIST_PAUSED:
		return kist_remedy(err, "unpause it first");
	case KIST_CONFIGURED:
	case KIST_EXITED:
	case KIST_STOPPED:
		return kist_remedy(err, "start it first");
	default:
		break;
	}
	return -EBUSY;
}
