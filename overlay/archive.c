#include "overlay/archive.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"
#include "overlay/stream.h"
#include "overlay/tar_header.h"
#include "overlay/tar_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An image has a few hundred layers at most, each with up to three members in older forms. */
#define MAX_MEMBERS 100000
#define MAX_LINKS   8

struct member {
	char *name;
	char *link; /* the name of another member; NULL: a regular file */
	uint64_t offset, length;
	unsigned number; /* of its file in the spool */
};

struct kist_archive {
	int fd, spool;
	bool is_directory;
	bool in_place;
	struct member *members;
	size_t n, room;
};

/* The name that a link's target means: relative to the link's directory, and never above the top. */
static char *join(const char *name, const char *target)
{
	const char *slash = strrchr(name, '/');
	KIST_FREE char *whole = *target == '/' || !slash ? kist_strdup(target)
	                                                 : kist_asprintf("%.*s/%s", (int)(slash - name), name, target);
	KIST_STRV char **parts = kist_strv_split(whole, '/');
	KIST_STR struct kist_str out = { 0 };

	for (char **part = parts; part && *part; part++) {
		if (!**part || kist_streq(*part, "."))
			continue;
		if (kist_streq(*part, "..")) {
			char *last = out.len ? strrchr(out.data, '/') : NULL;

			out.len = last ? (size_t)(last - out.data) : 0;
			if (out.data)
				out.data[out.len] = '\0';
			continue;
		}
		kist_str_addf(&out, "%s%s", out.len ? "/" : "", *part);
	}
	return kist_str_take(&out);
}

/* --- reading the tar -------------------------------------------------------------------------------------------- */

static struct member *add_member(struct kist_archive *archive, const struct kist_tar_entry *entry)
{
	if (archive->n == archive->room) {
		archive->room = archive->room ? 2 * archive->room : 32;
		archive->members = kist_grow(archive->members, archive->room, sizeof(*archive->members));
	}
	struct member *member = &archive->members[archive->n];
	*member = (struct member){ .name = kist_strdup(kist_str_get(&entry->name)),
		                   .length = entry->size,
		                   .number = (unsigned)archive->n };
	archive->n++;
	return member;
}

static void spool_name(char out[16], unsigned number)
{
	snprintf(out, 16, "%u", number);
}

static int spool_member(struct kist_archive *archive, struct kist_tar_reader *reader, unsigned number,
                        struct kist_error *err)
{
	char name[16];

	spool_name(name, number);
	KIST_CLOSE int fd = openat(archive->spool, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return kist_fail_errno(err, errno, "keep '%s'", reader->shown);
	for (;;) {
		const uint8_t *data = NULL;
		ssize_t n = kist_tar_payload(reader, &data, err);

		if (n <= 0)
			return (int)n;
		int r = kist_write_all(fd, data, (size_t)n);
		if (r < 0)
			return kist_fail_errno(err, -r, "keep '%s'", reader->shown);
		kist_tar_consume(reader, (size_t)n);
	}
}

static int take_entry(struct kist_archive *archive, struct kist_tar_reader *reader, off_t start, struct kist_error *err)
{
	const struct kist_tar_entry *entry = &reader->entry;

	if (entry->type == '1' || entry->type == '2') {
		struct member *member = add_member(archive, entry);

		member->link = entry->type == '1' ? kist_strdup(kist_str_get(&entry->link))
		                                  : join(member->name, kist_str_get(&entry->link));
		return 0;
	}
	/* Directories are nothing here, and what else there may be is nobody's. */
	if (entry->type != '0')
		return 0;
	if (entry->map)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "member '%s' is stored as a sparse file", reader->shown);
	struct member *member = add_member(archive, entry);
	if (!archive->in_place)
		return spool_member(archive, reader, member->number, err);
	member->offset = (uint64_t)start + kist_stream_offset(reader->stream);
	return 0;
}

static int read_tar(struct kist_archive *archive, struct kist_error *err)
{
	KIST_STREAM struct kist_stream *stream = NULL;
	KIST_TAR_READER struct kist_tar_reader reader;
	struct kist_tar_limits limits = { .entries = MAX_MEMBERS };
	struct stat st;
	off_t start = lseek(archive->fd, 0, SEEK_CUR);

	kist_tar_reader_init(&reader, NULL, &limits);
	int r = kist_stream_open(archive->fd, &stream, err);
	if (r < 0)
		return r;
	reader.stream = stream;
	archive->in_place = start >= 0 && fstat(archive->fd, &st) == 0 && S_ISREG(st.st_mode) &&
	                    kist_streq(kist_stream_compression(stream), "none");
	while ((r = kist_tar_next(&reader, err)) > 0) {
		r = take_entry(archive, &reader, start, err);
		if (r < 0)
			return r;
	}
	return r;
}

int kist_archive_open(int fd, int spool, struct kist_archive **out, struct kist_error *err)
{
	struct kist_archive *archive = kist_alloc(sizeof(*archive));
	struct stat st;
	int r = 0;

	archive->fd = fd;
	archive->spool = spool;
	if (fstat(fd, &st) < 0)
		r = kist_fail_errno(err, errno, "look at the archive");
	else if (S_ISDIR(st.st_mode))
		archive->is_directory = true;
	else
		r = read_tar(archive, err);
	if (r < 0) {
		kist_archive_close(archive);
		return r;
	}
	*out = archive;
	return 0;
}

void kist_archive_close(struct kist_archive *archive)
{
	if (!archive)
		return;
	for (size_t i = 0; i < archive->n; i++) {
		free(archive->members[i].name);
		free(archive->members[i].link);
	}
	free(archive->members);
	free(archive);
}

/* --- members ---------------------------------------------------------------------------------------------------- */

/* The last of a name, as unpacking would leave it. */
static const struct member *find_name(const struct kist_archive *archive, const char *name)
{
	for (size_t i = archive->n; i-- > 0;)
		if (kist_streq(archive->members[i].name, name))
			return &archive->members[i];
	return NULL;
}

static const struct member *find_file(const struct kist_archive *archive, const char *name)
{
	KIST_FREE char *clean = join("", name);
	const struct member *member = find_name(archive, clean);

	for (unsigned i = 0; member && member->link; i++)
		member = i < MAX_LINKS ? find_name(archive, member->link) : NULL;
	return member;
}

static int fail_missing(const char *name, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "the archive has no file '%.200s'", name);
}

/* Only looked at until it is known to be a file: opening a device can do things. */
static int find_in_directory(const struct kist_archive *archive, const char *name, struct kist_archive_member *out,
                             struct kist_error *err)
{
	KIST_CLOSE int path = kist_open_beneath(archive->fd, name, O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (path == -ENOENT || path == -ENOTDIR)
		return fail_missing(name, err);
	if (path < 0 || fstat(path, &st) < 0)
		return kist_fail_errno(err, path < 0 ? -path : errno, "open '%.200s'", name);
	if (!S_ISREG(st.st_mode))
		return fail_missing(name, err);
	int fd = kist_reopen(path, O_RDONLY);
	if (fd < 0)
		return kist_fail_errno(err, -fd, "open '%.200s'", name);
	*out = (struct kist_archive_member){ fd, 0, (uint64_t)st.st_size };
	return 0;
}

bool kist_archive_has(const struct kist_archive *archive, const char *name)
{
	if (!archive->is_directory)
		return find_file(archive, name) != NULL;
	struct kist_archive_member member = { .fd = -1 };
	if (find_in_directory(archive, name, &member, NULL) < 0)
		return false;
	close(member.fd);
	return true;
}

int kist_archive_find(const struct kist_archive *archive, const char *name, struct kist_archive_member *out,
                      struct kist_error *err)
{
	char file[16];

	if (archive->is_directory)
		return find_in_directory(archive, name, out, err);
	const struct member *member = find_file(archive, name);
	if (!member)
		return fail_missing(name, err);
	spool_name(file, member->number);
	int fd = archive->in_place ? fcntl(archive->fd, F_DUPFD_CLOEXEC, 3)
	                           : openat(archive->spool, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return kist_fail_errno(err, errno, "open '%.200s'", name);
	*out = (struct kist_archive_member){ fd, member->offset, member->length };
	return 0;
}

int kist_archive_read(const struct kist_archive *archive, const char *name, size_t max, struct kist_str *out,
                      struct kist_error *err)
{
	struct kist_archive_member member = { .fd = -1 };

	int r = kist_archive_find(archive, name, &member, err);
	if (r < 0)
		return r;
	KIST_CLOSE int fd = member.fd;
	if (member.length > max)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "'%.200s' is longer than %zu bytes", name, max);
	KIST_STR struct kist_str text = { 0 };
	kist_str_reserve(&text, (size_t)member.length);
	kist_str_add(&text, "");
	while (text.len < member.length) {
		ssize_t n = pread(fd, text.data + text.len, (size_t)member.length - text.len,
		                  (off_t)(member.offset + text.len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kist_fail_errno(err, errno, "read '%.200s'", name);
		if (n == 0)
			return kist_fail(err, KIST_ERR_INVALID, 0, "'%.200s' ends too early", name);
		text.len += (size_t)n;
	}
	text.data[text.len] = '\0';
	kist_str_free(out);
	*out = text;
	text = (struct kist_str){ 0 };
	return 0;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

int kist_archive_put_header(int to, const char *name, uint64_t size)
{
	uint8_t block[KIST_TAR_BLOCK] = { 0 };
	unsigned sum = 0;
	char number[16];

	if (strlen(name) > 100)
		return -ENAMETOOLONG;
	memcpy(block, name, strlen(name));
	memcpy(block + 100, "0000644", 8);
	memcpy(block + 108, "0000000", 8);
	memcpy(block + 116, "0000000", 8);
	if (size < 1ULL << 33) {
		snprintf(number, sizeof(number), "%011llo", (unsigned long long)size);
		memcpy(block + 124, number, 12);
	} else { /* base-256, as GNU and star have it */
		block[124] = 0x80;
		for (unsigned i = 0; i < 8; i++)
			block[135 - i] = (uint8_t)(size >> (8 * i));
	}
	/* No time: the same image is the same archive. */
	memcpy(block + 136, "00000000000", 12);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += block[i];
	snprintf(number, sizeof(number), "%06o", sum);
	memcpy(block + 148, number, 7);
	return kist_write_all(to, block, sizeof(block));
}

int kist_archive_put_padding(int to, uint64_t size)
{
	static const uint8_t zeros[KIST_TAR_BLOCK];

	return kist_write_all(to, zeros, (KIST_TAR_BLOCK - size % KIST_TAR_BLOCK) % KIST_TAR_BLOCK);
}

int kist_archive_put_end(int to)
{
	static const uint8_t zeros[2 * KIST_TAR_BLOCK];

	return kist_write_all(to, zeros, sizeof(zeros));
}
