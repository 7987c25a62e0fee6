/* What is seen of containers: health, documents, logs, numbers. Part of kist.h, which has the conventions. */
#ifndef KIST_VIEWS_H
#define KIST_VIEWS_H

#include "core/base/error.h"
#include "core/kist_config.h"

struct json_object;
struct kist_container;
struct kist_image;

/* --- health ---------------------------------------------------------------------------------------------------------
 */

enum kist_health_status { KIST_HEALTH_UNCHECKED, KIST_HEALTH_STARTING, KIST_HEALTH_HEALTHY, KIST_HEALTH_UNHEALTHY };
struct kist_health_log {
	int64_t start, end; /* wall */
	int exit_code;      /* 0: it passed; -1: it took too long */
	char *output;
};
struct kist_health {
	int status;
	uint32_t failing_streak;
	bool started; /* the startup check has passed, or there is none */
	uint32_t startup_failures, startup_successes;
	struct kist_health_log *log; /* oldest first */
	size_t n_log;
};
const char *kist_health_status_name(enum kist_health_status status); /* "" without a check */
/* Whether it has a check. */
bool kist_health_is_checked(const struct kist_health_config *config);
/* What the monitor of this run, or the last one of this boot, found out. */
void kist_container_health(const struct kist_container *c, struct kist_health *out);
void kist_health_clear(struct kist_health *health);
/* "CMD args" and the like as podman's --health-cmd takes it: a JSON array, or a line for the shell. Appends to *test.
 */
int kist_health_parse_test(const char *text, char ***test, struct kist_error *err);
/* The check that an image brings with it, over what is in *config. */
int kist_health_of_image(const struct kist_image *image, struct kist_health_config *config, struct kist_error *err);
/* Runs the check now, and waits for its end. 1: it failed, 0: it passed. */
int kist_container_healthcheck(struct kist_container *c, struct kist_error *err);

/* --- views ----------------------------------------------------------------------------------------------------------
 */

/* podman's inspect document of a container; with_size adds SizeRw and SizeRootFs. */
int kist_container_inspect(struct kist_container *c, bool with_size, struct json_object **out, struct kist_error *err);
/* "Up 3 minutes", "Exited (7) 2 hours ago", "Created": the STATUS column of ps. The caller frees. */
char *kist_container_status_text(const struct kist_container *c);
/* An item of 'ps --format json'. */
int kist_container_summary(struct kist_container *c, bool with_size, struct json_object **out, struct kist_error *err);

struct kist_log_options {
	int64_t since, until; /* wall time; 0: unbounded */
	int64_t tail;         /* lines; -1: all */
	bool follow;
};
struct kist_log_line {
	int64_t time;
	int stream;       /* 1 stdout, 2 stderr */
	bool partial;     /* no newline follows */
	const char *text; /* without the newline; may hold any byte but NUL is kept: use len */
	size_t len;
};
/* Calls back for each line in order; a positive return of the callback ends it. */
int kist_container_logs(struct kist_container *c, const struct kist_log_options *options,
                        int (*line)(void *arg, const struct kist_log_line *line), void *arg, struct kist_error *err);

/* Processes by /proc alone: an array of arrays, the titles first. descriptors as ps names them ("user", "pid", "ppid",
 * "%cpu"/"pcpu", "etime", "tty", "time", "args", "comm", "hpid", "huser", "state", "rss", "vsz", "nice", "pgid",
 * "group"...); NULL: podman's default. */
int kist_container_top(struct kist_container *c, char *const *descriptors, struct json_object **out,
                       struct kist_error *err);
/* What a running container uses, by its cgroup. has_*: whether the host's kernel measures it. Bytes; cpu in
 * microseconds. */
struct kist_stats {
	int64_t time; /* wall */
	bool has_memory, has_pids, has_io, has_net;
	uint64_t cpu, cpu_user, cpu_system;
	uint64_t memory, memory_limit; /* without page cache that was not used lately; UINT64_MAX: unlimited */
	uint64_t pids, pids_limit;     /* UINT64_MAX: unlimited; without has_pids threads are not counted */
	uint64_t io_read, io_write;
	uint64_t net_in, net_out; /* of all its links but loopback; has_net: it has a namespace of its own */
};
int kist_container_stats(struct kist_container *c, struct kist_stats *out, struct kist_error *err);
/* Sizes in bytes: of the writable layer, and of all layers below. */
int kist_container_size(struct kist_container *c, uint64_t *rw, uint64_t *rootfs, struct kist_error *err);

#endif
