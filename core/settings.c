/* kist.conf and its defaults. */
#include "core/internal.h"

#define ROW(type, member, ...) KIST_FIELD(struct kist_settings, type, member, ##__VA_ARGS__)

static const struct kist_name events_names[] = {
	{ "file", KIST_EVENTS_FILE },
	{ "none", KIST_EVENTS_NONE },
	{ NULL, 0 },
};

static const struct kist_field settings_fields[] = {
	ROW(STRING, root, .fallback = "/var/lib/kist"),
	ROW(STRING, runroot, .fallback = "/run/kist"),
	ROW(STRING, cgroup_parent, .fallback = "/kist"),
	ROW(STRING, log_driver, .fallback = "k8s-file"),
	ROW(U64, log_max_size, .fallback = "10000000"),
	ROW(U32, log_max_files, .fallback = "3"),
	ROW(U32, stop_timeout, .fallback = "10"),
	ROW(U32, restart_delay, .fallback = "100"),
	ROW(U32, restart_delay_max, .fallback = "60000"),
	ROW(U32, pids_limit, .fallback = "2048"),
	ROW(U64, shm_size, .fallback = "67108864"),
	ROW(STRING, network, .fallback = "kist"),
	{ .key = "volatile", .type = KIST_F_BOOL, .offset = offsetof(struct kist_settings, volatile_) },
	ROW(ENUM, events, .names = events_names, .fallback = "file"),
	ROW(STRING, seccomp_profile),
	ROW(STRING, detach_keys, .fallback = "ctrl-p,ctrl-q"),
	ROW(STRV, env),
	ROW(STRV, imagestore),
	ROW(STRV, hooks_dir),
	ROW(STRV, registries),
	ROW(STRV, insecure_registries),
	ROW(STRV, overlay_options),
	ROW(STRING, userns_range, .fallback = "2147483648:2147352576"),
};

const struct kist_table kist_settings_table = KIST_TABLE("kist.conf", struct kist_settings, settings_fields);
