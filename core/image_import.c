/* import: a tar stream, or a file that holds a file system, becomes a layer, the layer an image. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* Everything that can be wrong with what the user wrote, before the tar is read. */
static int check(const struct kist_image_import *import, struct kist_image_config *config, char **name,
                 struct kist_error *err)
{
	KIST_JSON struct json_object *json = NULL;
	KIST_JSON struct json_object *back = NULL;
	int r = import->name ? kist_image_reference(import->name, name, err) : 0;

	for (char *const *change = import->changes; r == 0 && change && *change; change++)
		r = kist_image_change(config, *change, err);
	if (r < 0)
		return r;
	json = kist_image_document(import, config, NULL, 0);
	KIST_FREE char *text = kist_json_text(json, false);
	/* The writer mends broken UTF-8: what comes back would not be what was asked for. */
	if (kist_json_parse(text, strlen(text), &back, NULL) < 0 || !json_object_equal(json, back))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "the message or a change cannot be stored: it is not valid UTF-8");
	if (strlen(text) > KIST_RECORD_MAX / 2)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the image configuration is too large");
	return 0;
}

static int write_image(struct kist_image_draft *draft, const struct kist_image_import *import,
                       const struct kist_image_config *config, const char *layer, struct kist_error *err)
{
	int64_t now = kist_now_wall();
	KIST_JSON struct json_object *document = kist_image_document(import, config, layer, now);
	KIST_FREE char *text = kist_json_text(document, false);
	KIST_STRV char **layers = NULL;

	kist_strv_add(&layers, layer);
	return kist_image_draft_write(
	        draft,
	        &(struct kist_image_parts){
	                .config = text, .config_len = strlen(text), .layers = layers, .created = now },
	        err);
}

static int import_layer(struct kist *k, struct kist_image_draft *draft, const struct kist_image_import *import,
                        const struct kist_image_config *config, const char *name, struct kist_error *err)
{
	struct kist_overlay *store = NULL;
	KIST_STRV char **names = NULL;
	char layer[65];

	int r = kist_store_overlay(k, &store, err);
	if (r == 0)
		r = kist_image_draft_make(k, draft, err);
	if (r == 0)
		r = kist_overlay_import_from(
		        store,
		        &(struct kist_overlay_source){ .fd = import->fd,
		                                       .packed = kist_overlay_packed_type(import->fd) != NULL },
		        layer, NULL, err);
	if (r < 0)
		return r;
	draft->layer = true;
	r = write_image(draft, import, config, layer, err);
	if (r < 0)
		return r;
	if (name)
		kist_strv_add(&names, name);
	return kist_image_draft_publish(draft, names, err);
}

int kist_image_import(struct kist *k, const struct kist_image_import *import, char id[65], struct kist_error *err)
{
	struct kist_image_draft draft = { .dir = -1 };
	struct kist_image_config config = { 0 };
	KIST_FREE char *name = NULL;

	int r = check(import, &config, &name, err);
	if (r == 0)
		r = kist_images_open(k, true, err);
	if (r == 0)
		r = import_layer(k, &draft, import, &config, name, err);
	kist_image_config_clear(&config);
	if (r < 0) {
		kist_image_draft_drop(&draft);
		return r;
	}
	memcpy(id, draft.id, sizeof(draft.id));
	kist_object_event(k, "image", "import", id, import->name);
	return 0;
}
