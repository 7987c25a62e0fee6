/* The image store: its directories, its lock, the links that are names, and what a user's word means. */
#include "core/image.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK        ".lock"
#define LINK_PREFIX "../images/"
#define ID_LENGTH   64

static bool is_hex(const char *text)
{
	return text[strspn(text, "0123456789abcdef")] == '\0';
}

bool kist_image_is_id(const char *text)
{
	return strlen(text) == ID_LENGTH && is_hex(text);
}

static int open_dir(int root, const char *name, bool make)
{
	int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && make) {
		if (mkdirat(root, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

size_t kist_image_n_sources(const struct kist *k)
{
	return kist_strv_len(k->settings.imagestore);
}

static int open_source(struct kist_image_source *source, const char *path, struct kist_error *err)
{
	KIST_CLOSE int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*source = (struct kist_image_source){ .path = path, .images = -1, .refs = -1 };
	/* Not -ENOENT: that would mean that there is no store of our own yet. */
	if (root < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "open image store %s: %s", path, strerror(errno));
	source->images = open_dir(root, "images", false);
	source->refs = open_dir(root, "refs", false);
	if (source->images < 0 || source->refs < 0) {
		int r = source->images < 0 ? source->images : source->refs;
		kist_fail(err, KIST_ERR_INVALID, 0, "open image store %s: %s", path, strerror(-r));
		return kist_remedy(err, "it is a directory that was a --root, with images/ and refs/");
	}
	return 0;
}

static int open_sources(struct kist *k, struct kist_error *err)
{
	size_t n = kist_image_n_sources(k);
	int r = 0;

	if (n == 0 || k->sources)
		return 0;
	k->sources = kist_grow(NULL, n, sizeof(*k->sources));
	for (size_t i = 0; i < n; i++)
		k->sources[i] = (struct kist_image_source){ .images = -1, .refs = -1 };
	for (size_t i = 0; r == 0 && i < n; i++)
		r = open_source(&k->sources[i], k->settings.imagestore[i], err);
	if (r < 0)
		kist_image_sources_close(k);
	return r;
}

void kist_image_sources_close(struct kist *k)
{
	for (size_t i = 0; k->sources && i < kist_image_n_sources(k); i++) {
		kist_close_fd(&k->sources[i].images);
		kist_close_fd(&k->sources[i].refs);
	}
	free(k->sources);
	k->sources = NULL;
}

/* refs/ is made first: where there are images, there are names. */
static int open_own(struct kist *k, bool write, struct kist_error *err)
{
	KIST_CLOSE int refs = open_dir(k->root, "refs", write);
	if (refs == -ENOENT && !write)
		return -ENOENT;
	if (refs < 0)
		return kist_fail_errno(err, -refs, "open %s/refs", k->settings.root);
	KIST_CLOSE int images = open_dir(k->root, "images", write);
	if (images == -ENOENT && !write)
		return -ENOENT;
	if (images < 0)
		return kist_fail_errno(err, -images, "open %s/images", k->settings.root);
	k->refs = kist_steal_fd(&refs);
	k->images = kist_steal_fd(&images);
	return 0;
}

/* Where there are further stores our own is there, too, though it may be empty. */
int kist_images_open(struct kist *k, bool write, struct kist_error *err)
{
	if (k->images >= 0)
		return 0;
	int r = open_sources(k, err);
	return r < 0 ? r : open_own(k, write || k->sources, err);
}

int kist_image_open_dir(struct kist *k, const char *id)
{
	int fd = openat(k->images, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int errnum = errno;

	for (size_t i = 0; fd < 0 && errnum == ENOENT && k->sources && i < kist_image_n_sources(k); i++) {
		fd = openat(k->sources[i].images, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		errnum = errno;
	}
	return fd < 0 ? -errnum : fd;
}

static const struct kist_image_source *source_of(struct kist *k, const char *id)
{
	for (size_t i = 0; k->sources && i < kist_image_n_sources(k); i++)
		if (kist_exists_at(k->sources[i].images, id))
			return &k->sources[i];
	return NULL;
}

bool kist_image_exists(struct kist *k, const char *id)
{
	return kist_exists_at(k->images, id) || source_of(k, id);
}

int kist_image_check_owned(struct kist *k, const char *id, struct kist_error *err)
{
	const struct kist_image_source *source = kist_exists_at(k->images, id) ? NULL : source_of(k, id);

	return source ? kist_fail(err, KIST_ERR_STATE, EROFS,
	                          "image %.12s is in the image store %s, which is only read", id, source->path)
	              : 0;
}

int kist_images_lock(struct kist *k, struct kist_error *err)
{
	int fd = kist_lock(k->images, LOCK, true, false);

	return fd < 0 ? kist_fail_errno(err, -fd, "lock %s/images", k->settings.root) : fd;
}

static DIR *open_list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list)
		kist_close_fd(&fd);
	return list;
}

static void add_ids(int images, bool check, char ***ids)
{
	DIR *list = open_list(images);

	for (const struct dirent *entry; list && (entry = readdir(list));)
		if (kist_image_is_id(entry->d_name) && !(check && kist_strv_has(*ids, entry->d_name)))
			kist_strv_add(ids, entry->d_name);
	if (list)
		closedir(list);
}

char **kist_images_ids(struct kist *k)
{
	char **ids = NULL;

	add_ids(k->images, false, &ids);
	for (size_t i = 0; k->sources && i < kist_image_n_sources(k); i++)
		add_ids(k->sources[i].images, true, &ids);
	return ids;
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static int read_link(int refs, const char *file, char id[65])
{
	char target[sizeof(LINK_PREFIX) + ID_LENGTH];
	ssize_t n = readlinkat(refs, file, target, sizeof(target));

	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(target) - 1 || memcmp(target, LINK_PREFIX, sizeof(LINK_PREFIX) - 1) != 0)
		return -EBADMSG;
	target[n] = '\0';
	if (!kist_image_is_id(target + sizeof(LINK_PREFIX) - 1))
		return -EBADMSG;
	memcpy(id, target + sizeof(LINK_PREFIX) - 1, ID_LENGTH + 1);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct kist_ref *x = a, *y = b;
	int order = strcmp(x->id, y->id);

	return order ? order : strcmp(x->name, y->name);
}

static bool has_ref(const struct kist_refs *refs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (kist_streq(refs->items[i].name, name))
			return true;
	return false;
}

/* A name that is there already counts: what the store itself says goes before what a further one says. */
static void add_refs(int dir, struct kist_refs *refs, size_t *room)
{
	DIR *list = open_list(dir);
	size_t before = refs->n;

	for (const struct dirent *entry; list && (entry = readdir(list));) {
		struct kist_ref ref;

		if (entry->d_name[0] == '.' || read_link(dir, entry->d_name, ref.id) < 0)
			continue;
		ref.name = kist_reference_unescape(entry->d_name);
		if (!ref.name)
			continue;
		if (has_ref(refs, before, ref.name)) {
			free(ref.name);
			continue;
		}
		if (refs->n == *room) {
			*room = *room ? 2 * *room : 16;
			refs->items = kist_grow(refs->items, *room, sizeof(*refs->items));
		}
		refs->items[refs->n++] = ref;
	}
	if (list)
		closedir(list);
}

static void sort_refs(struct kist_refs *refs)
{
	if (refs->n)
		qsort(refs->items, refs->n, sizeof(*refs->items), by_id);
}

void kist_refs_read_own(struct kist *k, struct kist_refs *refs)
{
	size_t room = 0;

	*refs = (struct kist_refs){ 0 };
	add_refs(k->refs, refs, &room);
	sort_refs(refs);
}

void kist_refs_read(struct kist *k, struct kist_refs *refs)
{
	size_t room = 0;

	*refs = (struct kist_refs){ 0 };
	add_refs(k->refs, refs, &room);
	for (size_t i = 0; k->sources && i < kist_image_n_sources(k); i++)
		add_refs(k->sources[i].refs, refs, &room);
	sort_refs(refs);
}

void kist_refs_clear(struct kist_refs *refs)
{
	for (size_t i = 0; i < refs->n; i++)
		free(refs->items[i].name);
	free(refs->items);
	*refs = (struct kist_refs){ 0 };
}

char **kist_refs_of(const struct kist_refs *refs, const char *id)
{
	size_t low = 0, high = refs->n;
	char **names = NULL;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(refs->items[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < refs->n && kist_streq(refs->items[low].id, id); low++)
		kist_strv_add(&names, refs->items[low].name);
	return names;
}

int kist_ref_find(struct kist *k, const char *name, char id[65])
{
	KIST_FREE char *file = kist_reference_escape(name);
	int r = read_link(k->refs, file, id);

	for (size_t i = 0; r == -ENOENT && k->sources && i < kist_image_n_sources(k); i++)
		r = read_link(k->sources[i].refs, file, id);
	/* A link that is no name of ours is as good as none, and so is one to an image that went. */
	if (r == -EBADMSG || r == -EINVAL || r == -ENAMETOOLONG)
		return -ENOENT;
	return r == 0 && !kist_image_exists(k, id) ? -ENOENT : r;
}

int kist_ref_set(struct kist *k, const char *name, const char *id, struct kist_error *err)
{
	KIST_FREE char *file = kist_reference_escape(name);
	char target[sizeof(LINK_PREFIX) + ID_LENGTH];
	char temporary[sizeof(KIST_TMP_PREFIX) + 16] = KIST_TMP_PREFIX;

	snprintf(target, sizeof(target), LINK_PREFIX "%s", id);
	kist_random_hex(temporary + strlen(KIST_TMP_PREFIX), 16);
	if (symlinkat(target, k->refs, temporary) < 0)
		return kist_fail_errno(err, errno, "give the image the name %s", name);
	if (renameat(k->refs, temporary, k->refs, file) < 0) {
		int error = errno;

		unlinkat(k->refs, temporary, 0);
		return kist_fail_errno(err, error, "give the image the name %s", name);
	}
	int r = kist_sync_dir(k->refs);
	return r < 0 ? kist_fail_errno(err, -r, "give the image the name %s", name) : 0;
}

int kist_ref_unset(struct kist *k, const char *name, struct kist_error *err)
{
	KIST_FREE char *file = kist_reference_escape(name);

	if (unlinkat(k->refs, file, 0) < 0 && errno != ENOENT)
		return kist_fail_errno(err, errno, "remove the name %s", name);
	int r = kist_sync_dir(k->refs);
	return r < 0 ? kist_fail_errno(err, -r, "remove the name %s", name) : 0;
}

/* --- what a word means ------------------------------------------------------------------------------------------ */

static int find_prefix(struct kist *k, const char *prefix, char id[65], struct kist_error *err)
{
	KIST_STRV char **ids = kist_images_ids(k);
	size_t found = 0;

	for (char **item = ids; item && *item; item++)
		if (kist_has_prefix(*item, prefix) && ++found == 1)
			memcpy(id, *item, ID_LENGTH + 1);
	if (found > 1)
		return kist_fail(err, KIST_ERR_AMBIGUOUS, 0, "'%s' is the beginning of more than one image's id",
		                 prefix);
	return found ? 0 : -ENOENT;
}

/* NAME@DIGEST as it was pulled by: it may be the digest of an index, and the image may have no name. */
static int find_pulled(struct kist *k, const struct kist_reference *reference, char **repositories, char id[65])
{
	KIST_STRV char **ids = kist_images_ids(k);

	for (char **item = ids; item && *item; item++) {
		struct kist_image *image = NULL;
		bool found = false;

		if (kist_image_load(k, *item, NULL, &image, NULL) < 0)
			continue;
		for (char **repository = repositories; *repository && !found; repository++) {
			KIST_FREE char *name = kist_asprintf("%s@%s", *repository, reference->digest);

			found = kist_strv_has(image->repo_digests, name);
		}
		kist_image_free(image);
		if (found) {
			memcpy(id, *item, ID_LENGTH + 1);
			return 0;
		}
	}
	return -ENOENT;
}

/* NAME@DIGEST: an image of that repository, whatever its tag, whose manifest it is. */
static int find_digest(struct kist *k, const struct kist_reference *reference, char **repositories, char id[65])
{
	KIST_REFS struct kist_refs refs = { 0 };

	kist_refs_read(k, &refs);
	for (size_t i = 0; i < refs.n; i++) {
		KIST_FREE char *repository = kist_reference_repository(refs.items[i].name);
		struct kist_image *image = NULL;
		bool found;

		if (!kist_strv_has(repositories, repository) ||
		    kist_image_load(k, refs.items[i].id, NULL, &image, NULL) < 0)
			continue;
		found = kist_streq(image->digest, reference->digest);
		kist_image_free(image);
		if (found) {
			memcpy(id, refs.items[i].id, ID_LENGTH + 1);
			return 0;
		}
	}
	return find_pulled(k, reference, repositories, id);
}

static int find_name(struct kist *k, const char *text, char id[65], char **name, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };

	int r = kist_reference_parse(text, &reference, err);
	if (r < 0)
		return r;
	KIST_STRV char **repositories = kist_reference_repositories(&reference);
	/* Names without registry that were pulled by the setting 'registries'. */
	for (char **registry = reference.domain ? NULL : k->settings.registries; registry && *registry; registry++) {
		struct kist_reference other = { .domain = *registry, .path = reference.path };
		KIST_STRV char **more = kist_reference_repositories(&other);

		kist_strv_add(&repositories, more[0]);
	}
	if (reference.digest)
		return find_digest(k, &reference, repositories, id);
	for (char **repository = repositories; *repository; repository++) {
		KIST_FREE char *full = kist_asprintf("%s:%s", *repository, reference.tag ? reference.tag : "latest");

		r = kist_ref_find(k, full, id);
		if (r == 0 && name)
			*name = kist_steal(&full);
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

static int find(struct kist *k, const char *text, char id[65], char **name, struct kist_error *err)
{
	const char *hex = kist_has_prefix(text, "sha256:") ? text + strlen("sha256:") : text;
	struct kist_error problem = { 0 };
	int r = -ENOENT;

	if (kist_image_is_id(hex)) {
		memcpy(id, hex, ID_LENGTH + 1);
		return kist_image_exists(k, id) ? 0 : -ENOENT;
	}
	if (hex == text)
		r = find_name(k, text, id, name, &problem);
	if (r == -ENOENT && *hex && strlen(hex) < ID_LENGTH && is_hex(hex))
		return find_prefix(k, hex, id, err);
	if (r < 0 && kist_error_is_set(&problem) && err)
		*err = problem;
	return r;
}

/* Full id, then name, then a prefix of an id, as containers are looked up. */
int kist_image_find(struct kist *k, const char *text, char id[65], char **name, struct kist_error *err)
{
	struct kist_error problem = { 0 };

	if (name)
		*name = NULL;
	int r = kist_images_open(k, false, &problem);
	if (r == 0)
		r = find(k, text, id, name, &problem);
	if (r == -ENOENT && !kist_error_is_set(&problem))
		kist_fail(&problem, KIST_ERR_NOT_FOUND, 0, "no such image: %s", text);
	else if (r < 0 && !kist_error_is_set(&problem))
		kist_fail_errno(&problem, -r, "look up image %s", text);
	if (r < 0 && err)
		*err = problem;
	return r;
}
