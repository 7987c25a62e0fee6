/* system check: what the store holds against what was recorded of it. */
#include "core/image.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAD_PREFIX ".bad-"

struct check {
	struct kist *k;
	struct kist_overlay *store;
	void (*problem)(void *arg, const char *text);
	void *arg;
	const char *layer; /* that is read at the moment */
	int count;
	char **damaged; /* layers */
};

static void KIST_PRINTF(2, 3) tell(struct check *check, const char *fmt, ...)
{
	va_list ap;
	char text[1400];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	check->count++;
	check->problem(check->arg, text);
}

static void changed(void *arg, const char *name, const char *what)
{
	struct check *check = arg;

	if (*name)
		tell(check, "layer %.12s: the file '%.900s' %s", check->layer, name, what);
	else
		tell(check, "layer %.12s: %s", check->layer, what);
}

static int check_layers(struct check *check, struct kist_error *err)
{
	KIST_STRV char **layers = kist_overlay_list(check->store);

	for (char **layer = layers; layer && *layer; layer++) {
		struct kist_error problem = { 0 };

		check->layer = *layer;
		int r = kist_overlay_verify(check->store, *layer, changed, check, &problem);
		if (r > 0) {
			kist_strv_add(&check->damaged, *layer);
		} else if (r < 0 && problem.kind != KIST_ERR_NOT_FOUND && problem.kind != KIST_ERR_UNSUPPORTED) {
			if (err)
				*err = problem;
			return r;
		}
	}
	return 0;
}

/* Under the lock. The names go with the image. */
static int set_aside(struct check *check, const char *id, struct kist_error *err)
{
	KIST_REFS struct kist_refs refs = { 0 };
	char aside[sizeof(BAD_PREFIX) + 64 + 1 + 8];
	int r = 0;

	kist_refs_read_own(check->k, &refs);
	KIST_STRV char **names = kist_refs_of(&refs, id);
	for (char **name = names; name && *name && r == 0; name++)
		r = kist_ref_unset(check->k, *name, err);
	if (r < 0)
		return r;
	snprintf(aside, sizeof(aside), BAD_PREFIX "%s-", id);
	kist_random_hex(aside + strlen(aside), 8);
	if (renameat(check->k->images, id, check->k->images, aside) < 0)
		return kist_fail_errno(err, errno, "set image %.12s aside", id);
	r = kist_sync_dir(check->k->images);
	return r < 0 ? kist_fail_errno(err, -r, "set image %.12s aside", id) : 0;
}

/* 1: it is damaged. */
static int check_image(struct check *check, const char *id)
{
	struct kist_image *image = NULL;
	struct kist_error problem = { 0 };
	int bad = 0;

	if (kist_image_load(check->k, id, NULL, &image, &problem) < 0) {
		if (problem.kind == KIST_ERR_NOT_FOUND)
			return 0;
		tell(check, "%s", problem.text);
		return 1;
	}
	for (char **layer = image->layers; layer && *layer; layer++) {
		if (!kist_overlay_has(check->store, *layer))
			tell(check, "image %.12s: its layer %.12s is missing", id, *layer);
		else if (kist_strv_has(check->damaged, *layer))
			tell(check, "image %.12s: its layer %.12s is damaged", id, *layer);
		else
			continue;
		bad = 1;
	}
	kist_image_free(image);
	return bad;
}

static void tell_container(void *arg, const struct kist_container_config *config)
{
	struct check *check = arg;

	for (char **layer = config->layers; layer && *layer; layer++)
		if (!kist_overlay_has(check->store, *layer) || kist_strv_has(check->damaged, *layer))
			tell(check, "container %s: its layer %.12s is missing or damaged", config->name, *layer);
}

static int check_images(struct check *check, bool repair, struct kist_error *err)
{
	KIST_CLOSE int lock = repair ? kist_images_lock(check->k, err) : -1;
	KIST_STRV char **ids = kist_images_ids(check->k);
	int r = repair && lock < 0 ? lock : 0;

	for (char **id = ids; id && *id && r == 0; id++)
		if (check_image(check, *id) && repair && kist_exists_at(check->k->images, *id))
			r = set_aside(check, *id, err);
	return r;
}

int kist_store_check(struct kist *k, bool repair, void (*problem)(void *arg, const char *text), void *arg,
                     struct kist_error *err)
{
	struct check check = { .k = k, .problem = problem, .arg = arg };

	int r = kist_images_open(k, false, err);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = kist_store_overlay(k, &check.store, err);
	if (r == 0)
		r = check_layers(&check, err);
	if (r == 0)
		r = check_images(&check, repair, err);
	if (r == 0)
		kist_image_each_user(k, tell_container, &check);
	/* Last: an image whose layer is gone already would be set aside for the same reason, but by another call. */
	for (char **layer = check.damaged; r == 0 && repair && layer && *layer; layer++)
		r = kist_overlay_quarantine(check.store, *layer, err);
	kist_strv_free(check.damaged);
	return r < 0 ? r : check.count;
}
