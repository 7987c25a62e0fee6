/* Images as handles: loading, listing, naming. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW(type, member) KIST_FIELD(struct kist_image_record, type, member)

static const struct kist_field record_fields[] = {
	ROW(STRV, layers), ROW(I64, created), ROW(U64, size), ROW(STRING, digest), ROW(STRV, repo_digests),
};
const struct kist_table kist_image_record_table = KIST_TABLE("image record", struct kist_image_record, record_fields);

void kist_image_free(struct kist_image *image)
{
	if (!image)
		return;
	free(image->id);
	kist_strv_free(image->names);
	kist_strv_free(image->layers);
	free(image->digest);
	kist_strv_free(image->repo_digests);
	free(image->architecture);
	free(image->os);
	free(image->author);
	free(image->comment);
	kist_image_config_clear(&image->config);
	json_object_put(image->document);
	free(image);
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static int corrupt(struct kist_error *err, const char *what)
{
	return kist_fail(err, KIST_ERR_CORRUPT, 0, "%s", what);
}

/* The id is the checksum. */
static int load_document(int dir, struct kist_image *image, char ***diff_ids, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_error problem = { 0 };
	char sum[65];

	int r = kist_read_file(dir, "config.json", KIST_RECORD_MAX, &text);
	if (r == -ENOENT || r == -EFBIG)
		return corrupt(err, r == -ENOENT ? "config.json is missing" : "config.json is too large");
	if (r < 0)
		return kist_fail_errno(err, -r, "read config.json");
	kist_sha256_hex(kist_str_get(&text), text.len, sum);
	if (!kist_streq(sum, image->id))
		return corrupt(err, "config.json is damaged: its digest is not the image's id");
	if (kist_json_parse(kist_str_get(&text), text.len, &image->document, &problem) < 0)
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "config.json is damaged: %s", problem.text);
	return kist_image_document_read(image->document, image, diff_ids, err);
}

static bool same(char *const *a, char *const *b)
{
	for (; a && *a && b && *b; a++, b++)
		if (!kist_streq(*a, *b))
			return false;
	return !(a && *a) && !(b && *b);
}

static int load_record(int dir, struct kist_image *image, char *const *diff_ids, struct kist_error *err)
{
	struct kist_image_record record;
	char **extra = NULL;

	kist_table_init(&kist_image_record_table, &record);
	int r = kist_record_read(dir, "record", &kist_image_record_table, &record, &extra, err);
	kist_strv_free(extra);
	if (r == -ENOENT && err)
		err->kind = KIST_ERR_CORRUPT;
	if (r == 0 && !same(record.layers, diff_ids))
		r = corrupt(err, "the record is damaged: its layers are not those of config.json");
	if (r == 0) {
		image->layers = kist_steal(&record.layers);
		image->digest = kist_steal(&record.digest);
		image->repo_digests = kist_steal(&record.repo_digests);
		image->created = record.created;
		image->size = record.size;
	}
	kist_table_clear(&kist_image_record_table, &record);
	return r == -ENOENT ? -EBADMSG : r;
}

static int load(struct kist *k, struct kist_image *image, struct kist_error *err)
{
	KIST_STRV char **diff_ids = NULL;
	KIST_CLOSE int dir = kist_image_open_dir(k, image->id);

	if (dir < 0)
		return dir == -ENOENT ? kist_fail(err, KIST_ERR_NOT_FOUND, 0, "no such image")
		                      : kist_fail_errno(err, -dir, "open its directory");
	image->read_only = !kist_exists_at(k->images, image->id);
	int r = load_document(dir, image, &diff_ids, err);
	if (r == 0)
		r = load_record(dir, image, diff_ids, err);
	/* Gone while it was read: not damaged. */
	if (r == -EBADMSG && !kist_image_exists(k, image->id)) {
		kist_error_clear(err);
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "no such image");
	}
	return r;
}

int kist_image_load(struct kist *k, const char *id, const struct kist_refs *refs, struct kist_image **out,
                    struct kist_error *err)
{
	struct kist_image *image = kist_alloc(sizeof(*image));
	struct kist_error problem = { 0 };

	image->id = kist_strdup(id);
	int r = load(k, image, &problem);
	if (r < 0) {
		kist_image_free(image);
		kist_context(&problem, "image %.12s", id);
		if (problem.kind == KIST_ERR_CORRUPT)
			kist_remedy(&problem, "'kist rmi %.12s' removes it; then import it again", id);
		if (err)
			*err = problem;
		return r;
	}
	if (refs)
		image->names = kist_refs_of(refs, id);
	*out = image;
	return 0;
}

/* With all of its names, or with the one that was meant: to find the others is to read those of all images. */
static int image_open(struct kist *k, const char *name, bool all, struct kist_image **out, struct kist_error *err)
{
	KIST_REFS struct kist_refs refs = { 0 };
	KIST_FREE char *meant = NULL;
	struct kist_error problem = { 0 };
	char id[65];

	int r = kist_image_find(k, name, id, &meant, &problem);
	if (r == 0 && (all || !meant)) {
		kist_refs_read(k, &refs);
		r = kist_image_load(k, id, &refs, out, &problem);
	} else if (r == 0) {
		r = kist_image_load(k, id, NULL, out, &problem);
		if (r == 0)
			kist_strv_take(&(*out)->names, kist_steal(&meant));
	}
	if (r < 0 && problem.kind == KIST_ERR_NOT_FOUND) {
		/* A removal may come in between: the user's word is the better text. */
		kist_error_clear(&problem);
		kist_fail(&problem, KIST_ERR_NOT_FOUND, 0, "no such image: %s", name);
	}
	if (r < 0 && err)
		*err = problem;
	return r;
}

int kist_image_open(struct kist *k, const char *name, struct kist_image **out, struct kist_error *err)
{
	return image_open(k, name, true, out, err);
}

int kist_image_open_meant(struct kist *k, const char *name, struct kist_image **out, struct kist_error *err)
{
	return image_open(k, name, false, out, err);
}

static int newest_first(const void *a, const void *b)
{
	const struct kist_image *x = *(struct kist_image *const *)a, *y = *(struct kist_image *const *)b;

	if (x->created != y->created)
		return x->created > y->created ? -1 : 1;
	return strcmp(x->id, y->id);
}

int kist_image_list(struct kist *k, struct kist_image ***out, size_t *n, struct kist_error *err)
{
	KIST_REFS struct kist_refs refs = { 0 };
	struct kist_image **list = NULL;
	size_t count = 0;

	int r = kist_images_open(k, false, err);
	if (r < 0 && r != -ENOENT)
		return r;
	KIST_STRV char **ids = r < 0 ? NULL : kist_images_ids(k);
	if (ids) {
		kist_refs_read(k, &refs);
		list = kist_grow(NULL, kist_strv_len(ids), sizeof(struct kist_image *));
	}
	for (char **id = ids; id && *id; id++) {
		struct kist_error problem = { 0 };

		if (kist_image_load(k, *id, &refs, &list[count], &problem) == 0)
			count++;
		else
			kist_debug("left out of the list: %s", problem.text);
	}
	if (count)
		qsort(list, count, sizeof(struct kist_image *), newest_first);
	*out = list;
	*n = count;
	return 0;
}

void kist_image_list_free(struct kist_image **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kist_image_free(list[i]);
	free(list);
}

/* --- naming ----------------------------------------------------------------------------------------------------- */

int kist_image_tag(struct kist *k, const char *image, const char *name, struct kist_error *err)
{
	KIST_FREE char *full = NULL;
	char id[65];

	int r = kist_image_reference(name, &full, err);
	if (r < 0)
		return r;
	r = kist_image_find(k, image, id, NULL, err);
	if (r < 0)
		return r;
	KIST_CLOSE int lock = kist_images_lock(k, err);
	if (lock < 0)
		return lock;
	if (!kist_image_exists(k, id))
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "no such image: %s", image);
	r = kist_ref_set(k, full, id, err);
	if (r == 0)
		kist_object_event(k, "image", "tag", id, full);
	return r;
}

/* The name of this image that the user's word means: by the look-up rules, so that a short name finds docker.io's. */
static int name_of(const char *image, char *const *names, const char *word, char **out, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };

	int r = kist_reference_parse(word, &reference, err);
	if (r < 0)
		return r;
	KIST_STRV char **repositories = kist_reference_repositories(&reference);
	for (char **repository = repositories; !reference.digest && *repository; repository++) {
		KIST_FREE char *full = kist_asprintf("%s:%s", *repository, reference.tag ? reference.tag : "latest");

		if (kist_strv_has(names, full)) {
			*out = kist_steal(&full);
			return 0;
		}
	}
	return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "image %s does not have the name %s", image, word);
}

int kist_image_untag(struct kist *k, const char *image, const char *name, struct kist_error *err)
{
	KIST_REFS struct kist_refs refs = { 0 };
	KIST_FREE char *one = NULL;
	char id[65];

	int r = kist_image_find(k, image, id, NULL, err);
	if (r < 0)
		return r;
	KIST_CLOSE int lock = kist_images_lock(k, err);
	if (lock < 0)
		return lock;
	kist_refs_read_own(k, &refs);
	KIST_STRV char **names = kist_refs_of(&refs, id);
	if (name) {
		r = name_of(image, names, name, &one, err);
		if (r == 0)
			r = kist_ref_unset(k, one, err);
		if (r == 0)
			kist_object_event(k, "image", "untag", id, one);
		return r;
	}
	if (!names)
		r = kist_image_check_owned(k, id, err);
	for (char **each = names; each && *each && r == 0; each++) {
		r = kist_ref_unset(k, *each, err);
		if (r == 0)
			kist_object_event(k, "image", "untag", id, *each);
	}
	return r;
}
