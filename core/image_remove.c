/* rmi: a name, and with the last name the image. */
#include "core/image.h"
#include "core/image_mount.h"
#include "core/stop.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES 16

/* --- containers of an image ------------------------------------------------------------------------------------- */

struct users {
	const char *image;
	char **ids;   /* full */
	char **shown; /* "id (name)" */
};

static void add_user(void *arg, const struct kist_container_config *config)
{
	struct users *users = arg;

	bool uses = kist_streq(config->image, users->image);

	for (size_t i = 0; i < config->n_mounts; i++)
		uses |= kist_streq(config->mounts[i].type, "image") &&
		        kist_streq(config->mounts[i].source, users->image);
	if (!uses)
		return;
	kist_strv_add(&users->ids, config->id);
	kist_strv_take(&users->shown, kist_asprintf("%.12s (%s)", config->id, config->name ? config->name : ""));
}

static void users_clear(struct users *users)
{
	kist_strv_free(users->ids);
	kist_strv_free(users->shown);
}

static int fail_in_use(const char *image, const struct users *users, struct kist_error *err)
{
	size_t n = kist_strv_len(users->shown);
	KIST_FREE char *list = kist_strv_join(users->shown, ", ");

	kist_fail(err, KIST_ERR_IN_USE, 0, "image %s is in use by %s %.600s%s", image,
	          n > 1 ? "containers" : "container", list, strlen(list) > 600 ? "..." : "");
	return kist_remedy(err, "remove %s first, or use --force", n > 1 ? "them" : "it");
}

/* --- removal ---------------------------------------------------------------------------------------------------- */

struct removal {
	char id[65];
	char *name;   /* the name that the user's word matched; NULL: it was an id */
	char **names; /* all of the image */
};

static void removal_clear(struct removal *removal)
{
	free(removal->name);
	kist_strv_free(removal->names);
	*removal = (struct removal){ 0 };
}

static int untag(struct kist *k, const char *name, char ***report, struct kist_error *err)
{
	int r = kist_ref_unset(k, name, err);

	if (r == 0)
		kist_strv_take(report, kist_asprintf("Untagged: %s", name));
	return r;
}

/* Under the lock. The names go first: a crash leaves an image with fewer of them. Then one rename takes the image away;
 * what is left of it, and its layers, are removed by the mark, now or by the next writer. */
static int delete_image(struct kist *k, const struct removal *removal, char ***report, struct kist_error *err)
{
	char aside[sizeof(KIST_TMP_PREFIX) + 16] = KIST_TMP_PREFIX;
	struct kist_error problem = { 0 };
	int r = 0;

	for (char **name = removal->names; name && *name && r == 0; name++)
		r = untag(k, *name, report, err);
	if (r == 0)
		r = kist_images_mark(k, err);
	if (r < 0)
		return r;
	kist_random_hex(aside + strlen(KIST_TMP_PREFIX), 16);
	if (renameat(k->images, removal->id, k->images, aside) < 0)
		return kist_fail_errno(err, errno, "remove image %.12s", removal->id);
	r = kist_sync_dir(k->images);
	if (r < 0)
		return kist_fail_errno(err, -r, "remove image %.12s", removal->id);
	kist_strv_take(report, kist_asprintf("Deleted: %s", removal->id));
	if (kist_images_tidy(k, &problem) < 0)
		kist_debug("%s", problem.text);
	return 0;
}

static int fail_many_names(const char *image, const struct removal *removal, struct kist_error *err)
{
	KIST_FREE char *list = kist_strv_join(removal->names, ", ");

	kist_fail(err, KIST_ERR_STATE, 0, "image %s has more than one name: %.600s", image, list);
	return kist_remedy(err, "remove it by its names, or use --force");
}

/* What 'image mount' has on the host: layers must not be removed below a mount. */
static int let_go(struct kist *k, const char *id, const char *image, unsigned flags, struct kist_error *err)
{
	KIST_FREE char *path = kist_image_mountpoint(k, id);

	if (path && !(flags & KIST_IMAGE_FORCE)) {
		kist_fail(err, KIST_ERR_IN_USE, 0, "image %s is mounted at %s", image, path);
		return kist_remedy(err, "unmount it first, or use --force");
	}
	int r = path ? kist_image_unmount_id(k, id, err) : 0;
	return r < 0 ? r : 0;
}

/* One try, under the lock. Returns 1 when the image is gone or untagged, 0 when users must go first. */
static int try_remove(struct kist *k, const char *image, unsigned flags, struct removal *removal, struct users *users,
                      char ***report, struct kist_error *err)
{
	KIST_REFS struct kist_refs refs = { 0 };

	KIST_CLOSE int lock = kist_images_lock(k, err);
	if (lock < 0)
		return lock;
	int r = kist_image_find(k, image, removal->id, &removal->name, err);
	if (r < 0)
		return r;
	kist_refs_read_own(k, &refs);
	removal->names = kist_refs_of(&refs, removal->id);
	/* Of an image that is only read, the names that were given to it here can be taken away. */
	r = kist_strv_has(removal->names, removal->name) ? 0 : kist_image_check_owned(k, removal->id, err);
	if (r < 0)
		return r;
	if (!kist_exists_at(k->images, removal->id)) {
		r = untag(k, removal->name, report, err);
		return r < 0 ? r : 1;
	}
	if (kist_strv_len(removal->names) > 1) {
		if (removal->name) {
			r = untag(k, removal->name, report, err);
			return r < 0 ? r : 1;
		}
		if (!(flags & (KIST_IMAGE_FORCE | KIST_IMAGE_ALL_NAMES)))
			return fail_many_names(image, removal, err);
	}
	users->image = removal->id;
	kist_image_each_user(k, add_user, users);
	if (users->ids)
		return flags & KIST_IMAGE_FORCE ? 0 : fail_in_use(image, users, err);
	r = let_go(k, removal->id, image, flags, err);
	if (r < 0)
		return r;
	r = delete_image(k, removal, report, err);
	return r < 0 ? r : 1;
}

int kist_image_remove(struct kist *k, const char *image, unsigned flags, char ***removed, struct kist_error *err)
{
	KIST_STRV char **report = NULL;
	int r = 0;

	if (kist_images_open(k, false, NULL) < 0)
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "no such image: %s", image);
	/* Again when users had to go: new ones may have come, and the name may have moved. */
	for (unsigned i = 0; i < TRIES && r == 0; i++) {
		struct removal removal = { 0 };
		struct users users = { 0 };

		r = try_remove(k, image, flags, &removal, &users, &report, err);
		/* Without the lock: killing a container may take its time. */
		if (r == 0)
			r = kist_remove_all(k, users.ids, KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND, -1, err);
		users_clear(&users);
		removal_clear(&removal);
	}
	if (r == 0)
		return kist_fail(err, KIST_ERR_IN_USE, 0, "image %s is in use by containers that keep being created",
		                 image);
	for (char **line = report; r > 0 && line && *line; line++) {
		const char *what = strchr(*line, ' ');
		bool gone = kist_has_prefix(*line, "Deleted:");
		if (what)
			kist_object_event(k, "image", gone ? "remove" : "untag", gone ? what + 1 : NULL,
			                  gone ? NULL : what + 1);
	}
	if (r > 0 && removed)
		*removed = kist_steal(&report);
	return r < 0 ? r : 0;
}
