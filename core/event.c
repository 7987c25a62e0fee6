/* Events: what happened, one JSON object a line, for who watches. Each is appended by one write, which the kernel keeps
 * whole among writers (O_APPEND), so that nothing is locked. */
#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTRIBUTES_MAX (32u << 10) /* bytes; more is left out: a label is not what an event is read for */

static void add_text(struct json_object *json, const char *key, const char *text)
{
	if (!kist_empty(text))
		json_object_object_add(json, key, json_object_new_string(text));
}

static struct json_object *attributes_of(char *const *pairs)
{
	struct json_object *map = json_object_new_object();
	size_t room = ATTRIBUTES_MAX;

	for (; pairs && *pairs; pairs++) {
		size_t len = strlen(*pairs), key_len = strcspn(*pairs, "=");
		if (len > room)
			continue;
		room -= len;
		KIST_FREE char *key = kist_strndup(*pairs, key_len);
		json_object_object_add(map, key, json_object_new_string(key_len < len ? *pairs + key_len + 1 : ""));
	}
	return map;
}

static struct json_object *document_of(const struct kist_event *event)
{
	struct json_object *json = json_object_new_object();
	char time[40];

	if (event->exit_code.set)
		json_object_object_add(json, "ContainerExitCode", json_object_new_int64(event->exit_code.value));
	add_text(json, "ID", event->id);
	add_text(json, "Image", event->image);
	add_text(json, "Name", event->name);
	add_text(json, "network", event->network);
	add_text(json, "Status", event->status);
	add_text(json, "Time", kist_time_format(time, event->time ? event->time : kist_now_wall(), true));
	add_text(json, "Type", event->type);
	add_text(json, "health_status", event->health_status);
	if (event->health_status)
		json_object_object_add(json, "health_failing_streak", json_object_new_int64(event->failing_streak));
	if (event->oom_killed)
		json_object_object_add(json, "OOMKilled", json_object_new_boolean(true));
	add_text(json, "error", event->error);
	add_text(json, "PodID", event->pod);
	if (event->attributes && event->attributes[0])
		json_object_object_add(json, "Attributes", attributes_of(event->attributes));
	return json;
}

/* --- the file -------------------------------------------------------------------------------------------------------
 */

static int log_open(struct kist *k)
{
	if (k->events < 0)
		k->events = openat(k->runroot, KIST_EVENTS_LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		                   0600);
	return k->events;
}

/* Puts a full file aside, unless another writer did or is at it. */
static void log_rotate(struct kist *k)
{
	struct stat st;
	KIST_CLOSE int lock = kist_lock(k->runroot, "events.lock", true, true);

	if (lock >= 0 && fstatat(k->runroot, KIST_EVENTS_LOG, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_size >= KIST_EVENTS_MAX && renameat(k->runroot, KIST_EVENTS_LOG, k->runroot, KIST_EVENTS_OLD) < 0)
		kist_debug("rotate events: %m");
}

/* Ready to be appended to, and below the bound. Who keeps it open (a monitor, for years) finds out here that the file
 * was rotated: only a full one is. */
static int log_ready(struct kist *k)
{
	struct stat st;

	for (int i = 0; i < 2; i++) {
		if (log_open(k) < 0)
			return -errno;
		if (fstat(k->events, &st) == 0 && st.st_nlink > 0 && st.st_size < KIST_EVENTS_MAX)
			return 0;
		if (st.st_nlink > 0)
			log_rotate(k);
		kist_close_fd(&k->events);
	}
	/* Another is about to rotate it. It may grow a little meanwhile, and never without bound. */
	if (log_open(k) < 0 || fstat(k->events, &st) < 0)
		return -errno;
	return st.st_size < 2 * KIST_EVENTS_MAX ? 0 : -EFBIG;
}

/* A full file system takes a part of a line: it is cut off again, so that the next one does not run into it. */
static void undo_part(int fd, ssize_t written)
{
	off_t end = lseek(fd, 0, SEEK_CUR);
	struct stat st;

	if (written > 0 && end >= written && fstat(fd, &st) == 0 && st.st_size == end &&
	    ftruncate(fd, end - written) < 0)
		kist_debug("events: %m");
}

void kist_event_write(struct kist *k, const struct kist_event *event)
{
	if (k->settings.events == KIST_EVENTS_NONE)
		return;
	int r = log_ready(k);
	if (r < 0) {
		kist_debug("event %s of %s is lost: %s", event->status, event->type, strerror(-r));
		return;
	}
	KIST_JSON struct json_object *json = document_of(event);
	KIST_STR struct kist_str line = { 0 };
	KIST_FREE char *text = kist_json_text(json, false);
	kist_str_add(&line, text);
	kist_str_addc(&line, '\n');
	ssize_t n = write(k->events, line.data, line.len);
	if (n != (ssize_t)line.len) {
		kist_debug("event %s of %s is lost: %m", event->status, event->type);
		undo_part(k->events, n);
	}
}

void kist_object_event(struct kist *k, const char *type, const char *status, const char *id, const char *name)
{
	struct kist_event event = { .type = type, .status = status, .id = id, .name = name };

	kist_event_write(k, &event);
}

/* --- of containers --------------------------------------------------------------------------------------------------
 */

static struct kist_event event_of(const struct kist_container *c, const char *status)
{
	return (struct kist_event){
		.type = "container",
		.status = status,
		.id = c->config.id,
		.name = c->config.name,
		.image = c->config.image_name,
		.attributes = c->config.labels,
		.pod = c->config.pod,
	};
}

void kist_container_event(struct kist_container *c, const char *status)
{
	struct kist_event event = event_of(c, status);

	kist_event_write(c->k, &event);
}

void kist_container_event_code(struct kist_container *c, const char *status, int code, bool oom)
{
	struct kist_event event = event_of(c, status);

	event.exit_code = (struct kist_opt){ .set = true, .value = code };
	event.oom_killed = oom;
	kist_event_write(c->k, &event);
}
