/* Documents by rows. */
#include "core/view.h"

#include "core/base/clock.h"

#include <json-c/json.h>
#include <string.h>

struct json_object *view_text(const char *text)
{
	return json_object_new_string(text ? text : "");
}

struct json_object *view_list(char *const *strv)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; strv && strv[i]; i++)
		json_object_array_add(list, json_object_new_string(strv[i]));
	return list;
}

struct json_object *view_map(char *const *pairs)
{
	struct json_object *map = json_object_new_object();

	for (size_t i = 0; pairs && pairs[i]; i++) {
		const char *equals = strchrnul(pairs[i], '=');
		KIST_FREE char *key = kist_strndup(pairs[i], (size_t)(equals - pairs[i]));
		json_object_object_add(map, key, json_object_new_string(*equals ? equals + 1 : ""));
	}
	return map;
}

struct json_object *view_time(int64_t wall)
{
	char text[40];

	return json_object_new_string(wall ? kist_time_format(text, wall, true) : "0001-01-01T00:00:00Z");
}

struct json_object *view_int(int64_t number)
{
	return json_object_new_int64(number);
}

static struct json_object *row_value(const struct view *view, const struct view_row *row)
{
	const void *member = (const char *)view->config + row->offset;

	switch (row->kind) {
	case VIEW_NULL:
		return NULL;
	case VIEW_FALSE:
		return json_object_new_boolean(false);
	case VIEW_ZERO:
		return json_object_new_int64(0);
	case VIEW_EMPTY:
		return json_object_new_string("");
	case VIEW_LIST:
		return json_object_new_array();
	case VIEW_OBJECT:
		return json_object_new_object();
	case VIEW_STRING:
		return view_text(*(char *const *)member);
	case VIEW_STRV:
		return view_list(*(char **const *)member);
	case VIEW_MAP:
		return view_map(*(char **const *)member);
	case VIEW_BOOL:
		return json_object_new_boolean(*(const bool *)member);
	case VIEW_U32:
		return json_object_new_int64(*(const uint32_t *)member);
	case VIEW_U64:
		return json_object_new_uint64(*(const uint64_t *)member);
	case VIEW_TIME:
		return view_time(*(const int64_t *)member);
	case VIEW_MADE:
		return row->make(view);
	case VIEW_PART:
		return view_object(view, row->part);
	}
	return NULL;
}

struct json_object *view_object(const struct view *view, const struct view_row *rows)
{
	struct json_object *object = json_object_new_object();

	for (; rows->key; rows++)
		json_object_object_add_ex(object, rows->key, row_value(view, rows),
		                          JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
	return object;
}

bool view_is_live(const struct kist_container *c)
{
	int status = c->state.status;

	return status == KIST_CREATED || status == KIST_RUNNING || status == KIST_STOPPING || status == KIST_PAUSED;
}

void view_refresh(struct kist_container *c)
{
	bool held = c->lock >= 0;

	if (!(view_is_live(c) || c->state.status == KIST_STOPPED) || kist_container_monitor_alive(c))
		return;
	if (!held && kist_container_trylock(c) < 0)
		return; /* somebody is at work on it, and will settle it */
	if (held) {
		if (kist_container_reload(c, NULL) == 0)
			kist_container_settle(c, NULL);
	} else if (kist_container_locked(c, 0, NULL) == 0) {
		kist_container_unlock(c);
	}
}
