/* What the documents of a container (inspect, ps, info) share. */
#ifndef KIST_VIEW_H
#define KIST_VIEW_H

#include "core/internal.h"

struct json_object;

struct json_object *view_text(const char *text);  /* NULL is "" */
struct json_object *view_list(char *const *strv); /* NULL is [] */
struct json_object *view_map(char *const *pairs); /* "key=value" array; NULL is {} */
struct json_object *view_time(int64_t wall);      /* RFC 3339, UTC; 0 is Go's zero time */
struct json_object *view_int(int64_t number);

/* One key of a document. A document is a const array of them, in the order in which they are printed: its keys are a
 * promise to users, and the array shows them at a glance. */
enum view_kind {
	VIEW_NULL,
	VIEW_FALSE,
	VIEW_ZERO,
	VIEW_EMPTY,  /* "" */
	VIEW_LIST,   /* [] */
	VIEW_OBJECT, /* {} */
	/* members of the configuration, at offset */
	VIEW_STRING, /* char *; NULL is "" */
	VIEW_STRV,   /* [] when NULL */
	VIEW_MAP,    /* {} when NULL */
	VIEW_BOOL,
	VIEW_U32,
	VIEW_U64,
	VIEW_TIME,
	VIEW_MADE, /* by make() */
	VIEW_PART, /* an object by the rows of part */
};

struct view {
	struct kist_container *c;
	const struct kist_container_config *config;
	const struct kist_container_state *state;
	struct json_object *plan; /* the plan of the last start (config.json), NULL before the first */
	char **caps;              /* as the container gets them */
};

struct view_row {
	const char *key;
	enum view_kind kind;
	size_t offset;
	struct json_object *(*make)(const struct view *view);
	const struct view_row *part; /* ended by a row without a key */
};

struct json_object *view_object(const struct view *view, const struct view_row *rows);

/* Rows: CONSTANT("Bridge", EMPTY), MEMBER("Name", STRING, name), MADE("Pid", function), PART("State", rows) */
#define VIEW_CONSTANT(key_, kind_)                                                                                     \
	{                                                                                                              \
		.key = (key_), .kind = VIEW_##kind_                                                                    \
	}
#define VIEW_MEMBER(key_, kind_, member)                                                                               \
	{                                                                                                              \
		.key = (key_), .kind = VIEW_##kind_, .offset = offsetof(struct kist_container_config, member)          \
	}
#define VIEW_FROM(key_, function)                                                                                      \
	{                                                                                                              \
		.key = (key_), .kind = VIEW_MADE, .make = function                                                     \
	}
#define VIEW_ROWS(key_, rows)                                                                                          \
	{                                                                                                              \
		.key = (key_), .kind = VIEW_PART, .part = rows                                                         \
	}

extern const struct view_row view_host_rows[];                      /* inspect_host.c: HostConfig */
struct json_object *view_network_settings(const struct view *view); /* network_view.c */
struct json_object *view_port_bindings(const struct view *view);
struct json_object *view_network_names(const struct kist_container_config *config);
struct json_object *view_ports(const struct kist_container *c); /* NULL when there are none */
/* health_view.c */
struct json_object *view_health(const struct view *view);
struct json_object *view_health_check(const struct view *view);
struct json_object *view_startup_check(const struct view *view);
struct json_object *view_health_action(const struct view *view);
struct json_object *view_health_log(const struct view *view);
struct json_object *view_health_log_count(const struct view *view);
struct json_object *view_health_log_size(const struct view *view);
struct json_object *view_mounts(const struct view *view); /* inspect_host.c */

/* Takes an exit that was recorded and a monitor that died into the snapshot, without waiting for a lock. */
void view_refresh(struct kist_container *c);
/* Whether it has processes. */
bool view_is_live(const struct kist_container *c);

#endif
