/* history, sizes and changes of images, and the changes of containers. */
#include "core/image.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int kist_image_sizes(struct kist *k, const struct kist_image *image, uint64_t **sizes, struct kist_error *err)
{
	size_t n = kist_strv_len(image->layers);
	KIST_FREE uint64_t *list = kist_alloc((n + 1) * sizeof(*list));
	struct kist_overlay *store = NULL;

	int r = kist_store_overlay(k, &store, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = kist_overlay_size(store, image->layers[i], &list[i], err);
	if (r == 0)
		*sizes = kist_steal(&list);
	return r;
}

static struct json_object *copy_of(struct json_object *from, const char *key)
{
	struct json_object *value = NULL;

	if (json_object_object_get_ex(from, key, &value) && json_object_is_type(value, json_type_string))
		return json_object_get(value);
	return json_object_new_string("");
}

static bool is_empty_layer(struct json_object *entry)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(entry, "empty_layer", &value) && json_object_get_boolean(value);
}

/* --- which image was made from which -------------------------------------------------------------------------------
 */

static struct json_object *history_of(const struct kist_image *image)
{
	struct json_object *history = NULL;

	json_object_object_get_ex(image->document, "history", &history);
	return json_object_is_type(history, json_type_array) ? history : NULL;
}

static size_t history_len(const struct kist_image *image)
{
	struct json_object *history = history_of(image);

	return history ? json_object_array_length(history) : 0;
}

/* The same steps and the same layers from the bottom up. */
static bool begins_with(const struct kist_image *image, const struct kist_image *other)
{
	size_t above = kist_strv_len(image->layers) - kist_strv_len(other->layers);

	for (size_t i = 0; other->layers && other->layers[i]; i++)
		if (!kist_streq(image->layers[above + i], other->layers[i]))
			return false;
	for (size_t i = 0, n = history_len(other); i < n; i++)
		if (!json_object_equal(json_object_array_get_idx(history_of(image), i),
		                       json_object_array_get_idx(history_of(other), i)))
			return false;
	return true;
}

const struct kist_image *kist_image_of_steps(const struct kist_image *image, size_t steps,
                                             struct kist_image *const *list, size_t n)
{
	size_t layers = 0;

	for (size_t i = 0; i < steps; i++)
		layers += !is_empty_layer(json_object_array_get_idx(history_of(image), i));
	if (steps == history_len(image))
		return image;
	if (steps == 0 || layers > kist_strv_len(image->layers))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (history_len(list[i]) == steps && kist_strv_len(list[i]->layers) == layers &&
		    begins_with(image, list[i]))
			return list[i];
	return NULL;
}

const struct kist_image *kist_image_parent(const struct kist_image *image, struct kist_image *const *list, size_t n)
{
	const struct kist_image *parent = NULL;

	/* As podman: across steps without a layer, and across one that made one. */
	for (size_t steps = history_len(image), layers = 0; !parent && steps > 1 && layers < 2; steps--) {
		layers += !is_empty_layer(json_object_array_get_idx(history_of(image), steps - 1));
		if (layers < 2)
			parent = kist_image_of_steps(image, steps - 1, list, n);
	}
	return parent;
}

/* layer: counts from the top; those that a history without enough entries leaves over are not shown. */
static struct json_object *history_item(const struct kist_image *image, struct json_object *entry,
                                        const struct kist_image *made, const uint64_t *sizes, size_t *layer)
{
	struct json_object *json = json_object_new_object();
	uint64_t size = 0;

	if (!is_empty_layer(entry) && *layer < kist_strv_len(image->layers))
		size = sizes[(*layer)++];
	json_object_object_add(json, "id", json_object_new_string(made ? made->id : "<missing>"));
	json_object_object_add(json, "created", copy_of(entry, "created"));
	json_object_object_add(json, "CreatedBy", copy_of(entry, "created_by"));
	json_object_object_add(json, "size", json_object_new_uint64(size));
	json_object_object_add(json, "comment", copy_of(entry, "comment"));
	struct json_object *tags = json_object_new_array();
	for (char **name = made ? made->names : NULL; name && *name; name++)
		json_object_array_add(tags, json_object_new_string(*name));
	json_object_object_add(json, "tags", tags);
	return json;
}

int kist_image_history(struct kist *k, const char *name, struct json_object **out, struct kist_error *err)
{
	struct kist_image *image = NULL, **all = NULL;
	KIST_FREE uint64_t *sizes = NULL;
	size_t layer = 0, n = 0;

	int r = kist_image_open(k, name, &image, err);
	if (r < 0)
		return r;
	r = kist_image_sizes(k, image, &sizes, err);
	if (r == 0)
		r = kist_image_list(k, &all, &n, err);
	if (r == 0) {
		*out = json_object_new_array();
		for (size_t i = history_len(image); i-- > 0;)
			json_object_array_add(*out,
			                      history_item(image, json_object_array_get_idx(history_of(image), i),
			                                   kist_image_of_steps(image, i + 1, all, n), sizes, &layer));
	}
	kist_image_list_free(all, n);
	kist_image_free(image);
	return r;
}

/* --- changes ---------------------------------------------------------------------------------------------------- */

/* The lower layers as one directory, mounted nowhere; -1: there are none. */
static int mount_below(struct kist_overlay *store, char *const *layers, int *mount, struct kist_error *err)
{
	struct kist_overlay_mount how = { .layers = layers, .lower_fd = -1, .dir = -1 };

	*mount = -1;
	if (!layers || !*layers)
		return 0;
	*mount = kist_overlay_mount(store, &how, err);
	return *mount < 0 ? *mount : 0;
}

static int changes_over(struct kist_overlay *store, int upper, char *const *below, kist_change_fn change, void *arg,
                        struct kist_error *err)
{
	int fd = -1;

	int r = mount_below(store, below, &fd, err);
	KIST_CLOSE int mount = fd;
	return r < 0 ? r : kist_overlay_changes(upper, mount, change, arg, err);
}

/* The engine's own files in every container. */
struct container_changes {
	kist_change_fn change;
	void *arg;
	const struct kist_container_config *config;
};

static bool is_below(const char *path, const char *directory)
{
	size_t n = strlen(directory);

	return kist_has_prefix(path, directory) && (path[n] == '\0' || path[n] == '/');
}

static int container_change(void *arg, char kind, const char *path)
{
	static const char *const own[] = { "/dev",         "/proc",      "/sys",          "/run/.containerenv",
		                           "/run/secrets", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
		                           "/etc/mtab" };
	const struct container_changes *changes = arg;

	for (size_t i = 0; i < KIST_COUNT(own); i++)
		if (is_below(path, own[i]))
			return 0;
	for (size_t i = 0; i < changes->config->n_mounts; i++)
		if (is_below(path, changes->config->mounts[i].destination))
			return 0;
	for (size_t i = 0; i < changes->config->n_named_volumes; i++)
		if (is_below(path, changes->config->named_volumes[i].destination))
			return 0;
	return changes->change(changes->arg, kind, path);
}

int kist_container_changes(struct kist_container *c, kist_change_fn change, void *arg, struct kist_error *err)
{
	struct container_changes changes = { change, arg, &c->config };
	struct kist_overlay *store = NULL;

	if (c->config.rootfs)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "changes of container %s: it was not made from an image",
		                 c->config.name);
	KIST_CLOSE int upper = openat(kist_container_dir(c), "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0 && errno == ENOENT)
		return 0;
	int r = upper < 0 ? kist_fail_errno(err, errno, "open the writable layer")
	                  : kist_store_overlay(c->k, &store, err);
	if (r == 0)
		r = changes_over(store, upper, c->config.layers, container_change, &changes, err);
	return r < 0 ? kist_context(err, "changes of container %s", c->config.name) : 0;
}

/* Two whole images: everything of the first that the second has not, or has otherwise; by the layers they do not share.
 */
static int changes_between(struct kist_overlay *store, const struct kist_image *image, const struct kist_image *other,
                           kist_change_fn change, void *arg, struct kist_error *err)
{
	size_t n = kist_strv_len(image->layers), m = kist_strv_len(other->layers);

	if (n <= m || !kist_streq(image->layers[n - m], other->layers[0]))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "the one image is not made from the other");
	KIST_STRV char **above = NULL;
	for (size_t i = 0; i < n - m; i++)
		kist_strv_add(&above, image->layers[i]);
	if (n - m > 1)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		                 "the one image is %zu layers away from the other; one is supported", n - m);
	KIST_CLOSE int upper = kist_overlay_open_diff(store, above[0]);
	if (upper < 0)
		return kist_fail_errno(err, -upper, "open layer %.12s", above[0]);
	return changes_over(store, upper, other->layers, change, arg, err);
}

int kist_image_changes(struct kist *k, const char *name, const char *below, kist_change_fn change, void *arg,
                       struct kist_error *err)
{
	struct kist_image *image = NULL, *other = NULL;
	struct kist_overlay *store = NULL;

	int r = kist_image_open(k, name, &image, err);
	if (r == 0 && below)
		r = kist_image_open(k, below, &other, err);
	if (r == 0)
		r = kist_store_overlay(k, &store, err);
	if (r == 0 && other) {
		r = changes_between(store, image, other, change, arg, err);
	} else if (r == 0) {
		KIST_CLOSE int upper = kist_overlay_open_diff(store, image->layers[0]);

		r = upper < 0 ? kist_fail_errno(err, -upper, "open layer %.12s", image->layers[0])
		              : changes_over(store, upper, image->layers + 1, change, arg, err);
	}
	if (r < 0)
		kist_context(err, "changes of image %s", name);
	kist_image_free(image);
	kist_image_free(other);
	return r;
}
