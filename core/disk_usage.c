/* What the store takes on disk. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct layer {
	char *name;
	uint64_t size;
	unsigned images; /* that have it */
	bool used;       /* by a container */
};

struct usage {
	struct kist *k;
	struct kist_overlay *store;
	struct kist_image **images;
	size_t n_images;
	struct kist_container **containers;
	size_t n_containers;
	struct layer *layers;
	size_t n_layers;
};

static void add_text(struct json_object *json, const char *key, const char *text)
{
	json_object_object_add(json, key, json_object_new_string(text ? text : ""));
}

static void add_number(struct json_object *json, const char *key, uint64_t number)
{
	json_object_object_add(json, key, json_object_new_uint64(number));
}

static struct layer *layer_of(struct usage *usage, const char *name)
{
	for (size_t i = 0; i < usage->n_layers; i++)
		if (kist_streq(usage->layers[i].name, name))
			return &usage->layers[i];
	return NULL;
}

static int measure_layers(struct usage *usage, struct kist_error *err)
{
	KIST_STRV char **names = kist_overlay_list(usage->store);

	usage->layers = kist_grow(NULL, kist_strv_len(names) + 1, sizeof(*usage->layers));
	for (char **name = names; name && *name; name++) {
		struct layer *layer = &usage->layers[usage->n_layers];
		struct kist_error problem = { 0 };

		*layer = (struct layer){ .name = kist_strdup(*name) };
		usage->n_layers++;
		/* Removed meanwhile: it takes nothing. */
		int r = kist_overlay_size(usage->store, *name, &layer->size, &problem);
		if (r < 0 && problem.kind != KIST_ERR_NOT_FOUND) {
			if (err)
				*err = problem;
			return r;
		}
	}
	for (size_t i = 0; i < usage->n_images; i++)
		for (char **name = usage->images[i]->layers; name && *name; name++) {
			struct layer *layer = layer_of(usage, *name);

			if (layer)
				layer->images++;
		}
	for (size_t i = 0; i < usage->n_containers; i++)
		for (char **name = usage->containers[i]->config.layers; name && *name; name++) {
			struct layer *layer = layer_of(usage, *name);

			if (layer)
				layer->used = true;
		}
	return 0;
}

static uint64_t containers_of(const struct usage *usage, const char *id)
{
	uint64_t n = 0;

	for (size_t i = 0; i < usage->n_containers; i++)
		n += kist_streq(usage->containers[i]->config.image, id);
	return n;
}

static void add_image(struct usage *usage, const struct kist_image *image, const char *name, struct json_object *list)
{
	struct json_object *json = json_object_new_object();
	const char *slash = name ? strrchr(name, '/') : NULL, *colon = name ? strrchr(slash ? slash : name, ':') : NULL;
	KIST_FREE char *repository = colon ? kist_strndup(name, (size_t)(colon - name)) : kist_strdup("<none>");
	uint64_t shared = 0, unique = 0;
	char time[40];

	for (char **each = image->layers; each && *each; each++) {
		const struct layer *layer = layer_of(usage, *each);

		if (layer && layer->images > 1)
			shared += layer->size;
		else if (layer)
			unique += layer->size;
	}
	add_text(json, "Repository", repository);
	add_text(json, "Tag", colon ? colon + 1 : "<none>");
	add_text(json, "ImageID", image->id);
	add_text(json, "Created", kist_time_format(time, image->created, true));
	add_number(json, "Size", shared + unique);
	add_number(json, "SharedSize", shared);
	add_number(json, "UniqueSize", unique);
	add_number(json, "Containers", containers_of(usage, image->id));
	json_object_array_add(list, json);
}

static struct json_object *images_document(struct usage *usage)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < usage->n_images; i++) {
		const struct kist_image *image = usage->images[i];

		for (char **name = image->names; name && *name; name++)
			add_image(usage, image, *name, list);
		if (!image->names)
			add_image(usage, image, NULL, list);
	}
	return list;
}

static struct json_object *containers_document(struct usage *usage)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < usage->n_containers; i++) {
		struct kist_container *c = usage->containers[i];
		struct json_object *json = json_object_new_object();
		KIST_FREE char *command = kist_strv_join(c->config.command, " ");
		uint64_t rw = 0, below = 0;
		char time[40];

		/* Of what cannot be measured (it was removed meanwhile) nothing is counted. */
		if (kist_container_size(c, &rw, &below, NULL) < 0)
			rw = 0;
		add_text(json, "ContainerID", c->config.id);
		add_text(json, "Image", c->config.image);
		add_text(json, "Command", command);
		add_number(json, "LocalVolumes", c->config.n_named_volumes);
		add_number(json, "Size", rw);
		add_number(json, "RWSize", rw);
		add_text(json, "Created", kist_time_format(time, c->config.created, true));
		add_text(json, "Status", kist_status_shown((enum kist_status)c->state.status));
		add_text(json, "Names", c->config.name);
		json_object_array_add(list, json);
	}
	return list;
}

static uint64_t volume_size(struct kist *k, const char *name)
{
	KIST_FREE char *path = kist_asprintf("%s/data", name);
	uint64_t bytes = 0;

	if (kist_store_directory(k, "volumes", false, &k->volumes) < 0)
		return 0;
	KIST_CLOSE int data = openat(k->volumes, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return data >= 0 && kist_overlay_du(data, &bytes, NULL) == 0 ? bytes : 0;
}

static int volumes_document(struct kist *k, struct json_object **out, struct kist_error *err)
{
	struct kist_volume **volumes = NULL;
	size_t n = 0;

	int r = kist_volume_list(k, &volumes, &n, NULL, err);
	if (r < 0)
		return r;
	*out = json_object_new_array();
	for (size_t i = 0; i < n; i++) {
		struct json_object *json = json_object_new_object();
		KIST_STRV char **users = kist_volume_users(k, volumes[i]->name);
		uint64_t size = volume_size(k, volumes[i]->name);

		add_text(json, "VolumeName", volumes[i]->name);
		add_number(json, "Links", kist_strv_len(users));
		add_number(json, "Size", size);
		add_number(json, "ReclaimableSize", users ? 0 : size);
		json_object_array_add(*out, json);
		kist_volume_free(volumes[i]);
	}
	free(volumes);
	return 0;
}

int kist_disk_usage(struct kist *k, struct json_object **out, struct kist_error *err)
{
	struct usage usage = { .k = k };
	struct json_object *volumes = NULL;
	uint64_t total = 0, unused = 0;

	int r = kist_store_overlay(k, &usage.store, err);
	if (r == 0)
		r = kist_image_list(k, &usage.images, &usage.n_images, err);
	if (r == 0)
		r = kist_container_list(k, &usage.containers, &usage.n_containers, NULL, err);
	if (r == 0)
		r = measure_layers(&usage, err);
	if (r == 0)
		r = volumes_document(k, &volumes, err);
	if (r == 0) {
		*out = json_object_new_object();
		json_object_object_add(*out, "Images", images_document(&usage));
		json_object_object_add(*out, "Containers", containers_document(&usage));
		json_object_object_add(*out, "Volumes", volumes);
		for (size_t i = 0; i < usage.n_layers; i++) {
			total += usage.layers[i].size;
			unused += usage.layers[i].used ? 0 : usage.layers[i].size;
		}
		add_number(*out, "LayersSize", total);
		add_number(*out, "LayersReclaimable", unused);
	}
	for (size_t i = 0; i < usage.n_images; i++)
		kist_image_free(usage.images[i]);
	free(usage.images);
	kist_container_list_free(usage.containers, usage.n_containers);
	for (size_t i = 0; i < usage.n_layers; i++)
		free(usage.layers[i].name);
	free(usage.layers);
	return r;
}
