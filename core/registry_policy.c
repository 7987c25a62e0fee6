/* Whether an image is pulled before it is used: --pull of run and create. */
#include "core/registry.h"

#include "core/base/log.h"

#include <errno.h>
#include <string.h>

static bool wants_pull(struct kist *k, const struct kist_image_pull *what, enum kist_pull_policy policy,
                       const struct kist_image *image)
{
	const char *hex = kist_has_prefix(what->name, "sha256:") ? what->name + strlen("sha256:") : what->name;

	if (policy == KIST_PULL_NEVER)
		return false;
	if (!image || policy == KIST_PULL_ALWAYS)
		return !kist_image_is_id(hex);
	return policy == KIST_PULL_NEWER && kist_registry_built() && kist_registry_is_newer(k, what, image);
}

/* An image of another platform than the one that was named is as good as none. */
static int drop_other(const struct kist_image_pull *what, struct kist_image **image, struct kist_error *problem)
{
	struct kist_platform platform = what->platform;

	if (!platform.os && !platform.architecture && !platform.variant)
		return 0;
	struct kist_error error = { 0 };
	int r = kist_platform_complete(&platform, &error);
	if (r < 0) {
		kist_image_free(*image);
		*image = NULL;
		*problem = error;
		return r;
	}
	if (!*image || kist_image_is_meant(*image, &what->platform, &platform))
		return 0;
	kist_error_clear(problem);
	kist_fail(problem, KIST_ERR_NOT_FOUND, 0, "image %s is for %s/%s here, not for %s/%s%s%s", what->name,
	          kist_empty((*image)->os) ? "linux" : (*image)->os, (*image)->architecture, platform.os,
	          platform.architecture, platform.variant ? "/" : "", platform.variant ? platform.variant : "");
	kist_image_free(*image);
	*image = NULL;
	return 0;
}

int kist_image_get(struct kist *k, const struct kist_image_pull *what, enum kist_pull_policy policy,
                   struct kist_image **out, struct kist_error *err)
{
	struct kist_image *image = NULL;
	struct kist_error problem = { 0 };
	KIST_STRV char **ids = NULL;
	const char *name = what->name;

	int r = kist_registry_transport(name, &name, err);
	if (r < 0)
		return r;
	struct kist_image_pull pull = *what;
	pull.name = name;
	r = kist_image_open_meant(k, name, &image, &problem);
	if (r < 0 && problem.kind != KIST_ERR_NOT_FOUND) {
		if (err)
			*err = problem;
		return r;
	}
	int other = drop_other(&pull, &image, &problem);
	if (other < 0) {
		if (err)
			*err = problem;
		return other;
	}
	r = image ? 0 : r < 0 ? r : -ENOENT;
	bool wanted = wants_pull(k, &pull, policy, image);
	/* Without a client an image that is not there is just that. */
	if (!wanted || (!image && policy != KIST_PULL_ALWAYS && !kist_registry_built())) {
		if (image) {
			*out = image;
			return 0;
		}
		if (err)
			*err = problem;
		return policy == KIST_PULL_NEVER || kist_registry_built()
		               ? r
		               : kist_remedy(err, "this build has no registry client to pull it: 'kist load' and 'kist "
		                                  "import' bring images, 'kist images' lists them");
	}
	r = kist_image_pull(k, &pull, &ids, err);
	/* A newer one that cannot be had leaves the one that is here. */
	if (r < 0 && image && policy == KIST_PULL_NEWER) {
		kist_debug("%s", err ? err->text : "pull failed");
		if (err)
			kist_error_clear(err);
		*out = image;
		return 0;
	}
	kist_image_free(image);
	if (r == 0)
		r = kist_image_open(k, ids[0], out, err);
	return r;
}
