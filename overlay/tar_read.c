#include "overlay/tar_read.h"

#include "core/base/error.h"
#include "overlay/stream.h"
#include "overlay/tar_header.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Extended headers are held in memory: attributes are 64 KiB each at most, sparse maps 20 bytes a segment. */
#define MAX_PAX       (4U << 20)
#define MAX_LONG_NAME (64U << 10)

#define DEFAULT_ENTRIES 10000000ULL
#define DEFAULT_BYTES   (1ULL << 40)

void kist_tar_reader_init(struct kist_tar_reader *reader, struct kist_stream *stream,
                          const struct kist_tar_limits *limits)
{
	memset(reader, 0, sizeof(*reader));
	reader->stream = stream;
	if (limits)
		reader->limits = *limits;
	if (!reader->limits.entries)
		reader->limits.entries = DEFAULT_ENTRIES;
	if (!reader->limits.bytes)
		reader->limits.bytes = DEFAULT_BYTES;
	if (!reader->limits.name_length)
		reader->limits.name_length = PATH_MAX;
}

void kist_tar_reader_clear(struct kist_tar_reader *reader)
{
	kist_tar_pax_clear(&reader->global);
	kist_tar_pax_clear(&reader->local);
	kist_str_free(&reader->long_name);
	kist_str_free(&reader->long_link);
	kist_str_free(&reader->entry.name);
	kist_str_free(&reader->entry.link);
	free(reader->map.segments);
	reader->map = (struct kist_tar_map){ 0 };
}

static int fail_cut_off(struct kist_tar_reader *reader, const char *where, struct kist_error *err)
{
	reader->cut_off = true;
	if (!*reader->shown)
		return kist_fail(err, KIST_ERR_INVALID, 0, "unexpected end of archive at its beginning");
	return kist_fail(err, KIST_ERR_INVALID, 0, "unexpected end of archive %s entry '%s'", where, reader->shown);
}

int kist_tar_block(struct kist_tar_reader *reader, const uint8_t **block, struct kist_error *err)
{
	ssize_t have = kist_stream_fill(reader->stream, KIST_TAR_BLOCK, block, err);

	if (have < 0)
		return (int)have;
	if (have < KIST_TAR_BLOCK)
		return fail_cut_off(reader, "after", err);
	return 0;
}

ssize_t kist_tar_payload(struct kist_tar_reader *reader, const uint8_t **data, struct kist_error *err)
{
	ssize_t have;

	if (reader->payload == 0)
		return 0;
	have = kist_stream_fill(reader->stream, 1, data, err);
	if (have < 0)
		return have;
	if (have == 0)
		return fail_cut_off(reader, "in", err);
	return (uint64_t)have > reader->payload ? (ssize_t)reader->payload : have;
}

void kist_tar_consume(struct kist_tar_reader *reader, size_t n)
{
	kist_stream_consume(reader->stream, n);
	reader->payload -= n;
}

static void set_payload(struct kist_tar_reader *reader, uint64_t size)
{
	reader->payload = size;
	reader->padding = (KIST_TAR_BLOCK - size % KIST_TAR_BLOCK) % KIST_TAR_BLOCK;
}

/* What the caller left of the entry, and the padding after it. */
static int skip_payload(struct kist_tar_reader *reader, struct kist_error *err)
{
	reader->payload += reader->padding; /* sizes are below 2^63 */
	reader->padding = 0;
	while (reader->payload) {
		const uint8_t *data;
		ssize_t n = kist_tar_payload(reader, &data, err);

		if (n < 0)
			return (int)n;
		kist_tar_consume(reader, (size_t)n);
	}
	return 0;
}

static int read_text(struct kist_tar_reader *reader, uint64_t size, uint64_t max, const char *what,
                     struct kist_str *out, struct kist_error *err)
{
	kist_str_clear(out);
	if (size > max)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "a %s of %llu bytes is too long", what,
		                 (unsigned long long)size);
	set_payload(reader, size);
	while (reader->payload) {
		const uint8_t *data;
		ssize_t n = kist_tar_payload(reader, &data, err);

		if (n < 0)
			return (int)n;
		kist_str_addn(out, data, (size_t)n);
		kist_tar_consume(reader, (size_t)n);
	}
	return skip_payload(reader, err);
}

static int read_pax(struct kist_tar_reader *reader, struct kist_tar_pax *pax, uint64_t size, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	int r = read_text(reader, size, MAX_PAX, "pax header", &text, err);

	if (r < 0)
		return r;
	return kist_tar_pax_parse(pax, kist_str_get(&text), text.len, err);
}

/* Drops '.', empty components and what '..' takes back; '..' at the top stays at the top. Doing this on the text,
 * before the kernel sees the name, gives each object one name, which the caching of parents depends on. */
static void clean_name(const char *name, struct kist_str *out)
{
	kist_str_clear(out);
	kist_str_add(out, "");
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 2 && name[0] == '.' && name[1] == '.') {
			char *slash = strrchr(out->data, '/');

			out->len = slash ? (size_t)(slash - out->data) : 0;
			out->data[out->len] = '\0';
		} else if (n > 1 || (n == 1 && name[0] != '.')) {
			if (out->len)
				kist_str_addc(out, '/');
			kist_str_addn(out, name, n);
		}
		name += n;
		name += *name == '/';
	}
}

/* The header that decides one key: the entry's own before the global one; NULL: neither. */
static const struct kist_tar_pax *pax_with(const struct kist_tar_reader *reader, unsigned key)
{
	if (reader->local.set & key)
		return &reader->local;
	if (!(reader->local.cleared & key) && (reader->global.set & key))
		return &reader->global;
	return NULL;
}

static int resolve_names(struct kist_tar_reader *reader, const struct kist_tar_header *header, struct kist_error *err)
{
	const struct kist_tar_pax *sparse = pax_with(reader, KIST_PAX_SPARSE_NAME);
	const struct kist_tar_pax *path = pax_with(reader, KIST_PAX_PATH);
	const struct kist_tar_pax *link = pax_with(reader, KIST_PAX_LINK);
	struct kist_tar_entry *entry = &reader->entry;
	const char *name = header->name;
	const char *target = header->link;

	if (sparse)
		name = sparse->sparse_name;
	else if (path)
		name = path->path;
	else if (reader->long_name.len)
		name = kist_str_get(&reader->long_name);
	if (link)
		target = link->link;
	else if (reader->long_link.len)
		target = kist_str_get(&reader->long_link);
	kist_tar_show(reader->shown, *name ? name : "");
	if (!*name)
		return kist_fail(err, KIST_ERR_INVALID, 0, "an entry has no name");
	if (strlen(name) > reader->limits.name_length || strlen(target) > reader->limits.name_length)
		return kist_fail(err, KIST_ERR_INVALID, ENAMETOOLONG, "its name is longer than %zu bytes",
		                 reader->limits.name_length);
	/* v7 had no type for directories, and some writers never learned it. */
	if (entry->type == '0' && kist_has_suffix(name, "/"))
		entry->type = '5';
	clean_name(name, &entry->name);
	if (entry->type == '1') {
		clean_name(target, &entry->link);
	} else {
		kist_str_clear(&entry->link);
		kist_str_add(&entry->link, target);
	}
	return 0;
}

static void resolve_owner(struct kist_tar_reader *reader, const struct kist_tar_header *header)
{
	const struct kist_tar_pax *uid = pax_with(reader, KIST_PAX_UID);
	const struct kist_tar_pax *gid = pax_with(reader, KIST_PAX_GID);
	const struct kist_tar_pax *mtime = pax_with(reader, KIST_PAX_MTIME);
	struct kist_tar_entry *entry = &reader->entry;

	entry->mode = header->mode;
	entry->uid = uid ? (uint32_t)uid->uid : header->uid;
	entry->gid = gid ? (uint32_t)gid->gid : header->gid;
	entry->mtime = mtime ? mtime->mtime : header->mtime;
	entry->mtime_nsec = mtime ? mtime->mtime_nsec : 0;
	entry->major = header->major;
	entry->minor = header->minor;
	entry->xattrs[0] = reader->global.xattrs;
	entry->n_xattrs[0] = reader->global.n_xattrs;
	entry->xattrs[1] = reader->local.xattrs;
	entry->n_xattrs[1] = reader->local.n_xattrs;
}

/* The size, the map of a sparse file, and where the contents begin. */
static int resolve_contents(struct kist_tar_reader *reader, const struct kist_tar_header *header, const uint8_t *block,
                            struct kist_error *err)
{
	const struct kist_tar_pax *size = pax_with(reader, KIST_PAX_SIZE);
	const struct kist_tar_pax *real = pax_with(reader, KIST_PAX_SPARSE_SIZE);
	const struct kist_tar_pax *map = pax_with(reader, KIST_PAX_SPARSE_MAP);
	const struct kist_tar_pax *major = pax_with(reader, KIST_PAX_SPARSE_MAJOR);
	const struct kist_tar_pax *minor = pax_with(reader, KIST_PAX_SPARSE_MINOR);
	struct kist_tar_entry *entry = &reader->entry;
	bool front = major && major->sparse_major == 1;
	int r = 0;

	set_payload(reader, size ? size->size : header->size);
	entry->size = reader->payload;
	entry->map = NULL;
	if (major && (major->sparse_major > 1 || (front && minor && minor->sparse_minor > 0)))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "its form of sparse file is not supported");
	if (header->type == 'S') {
		r = kist_tar_sparse_old(reader, block, &entry->size, err);
		entry->map = &reader->map;
	} else if (front && real) {
		r = kist_tar_sparse_front(reader, err);
		entry->size = real->sparse_size;
		entry->map = &reader->map;
	} else if (map && real) {
		entry->size = real->sparse_size;
		entry->map = &map->map;
	}
	if (r == 0 && entry->map)
		r = kist_tar_sparse_check(entry->map, entry->size, reader->payload, err);
	return r;
}

static int check_limits(struct kist_tar_reader *reader, struct kist_error *err)
{
	uint64_t size = reader->entry.size > reader->payload ? reader->entry.size : reader->payload;

	if (reader->entries >= reader->limits.entries)
		return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the archive has more than %llu entries",
		                 (unsigned long long)reader->limits.entries);
	if (size > reader->limits.bytes - reader->bytes)
		return kist_fail(err, KIST_ERR_INVALID, EFBIG, "the archive unpacks to more than %llu bytes",
		                 (unsigned long long)reader->limits.bytes);
	reader->entries++;
	reader->bytes += size;
	return 0;
}

/* The header of an entry itself; block is still in the stream's window and goes with the next fill. */
static int take_entry(struct kist_tar_reader *reader, const struct kist_tar_header *header, struct kist_error *err)
{
	uint8_t block[KIST_TAR_BLOCK];
	const uint8_t *window;
	int r = kist_tar_block(reader, &window, err);

	if (r < 0)
		return r;
	memcpy(block, window, sizeof(block));
	kist_stream_consume(reader->stream, KIST_TAR_BLOCK);
	reader->entry.type = header->type;
	if (header->type == '7' || header->type == 'S')
		reader->entry.type = '0';
	else if (header->type == 'D')
		reader->entry.type = '5'; /* GNU dump directory: its contents are a listing of names */
	r = resolve_names(reader, header, err);
	if (r < 0)
		return *reader->shown ? kist_context(err, "entry '%s'", reader->shown) : r;
	resolve_owner(reader, header);
	if (strchr("07SD", header->type))
		r = resolve_contents(reader, header, block, err);
	else if (!strchr("123456", header->type))
		r = kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "entries of type '%c' are not supported",
		              header->type > ' ' && header->type < 0x7f ? header->type : '?');
	else
		reader->entry.size = 0; /* some writers give links and directories a size, and no contents */
	if (r == 0)
		r = check_limits(reader, err);
	if (r < 0)
		return reader->cut_off ? r : kist_context(err, "entry '%s'", reader->shown);
	return 1;
}

/* Headers that tell about the next one. Returns 1 when it was one of them. */
static int take_extension(struct kist_tar_reader *reader, const struct kist_tar_header *header, struct kist_error *err)
{
	int r;

	if (!strchr("xXgLKV", header->type))
		return 0;
	kist_stream_consume(reader->stream, KIST_TAR_BLOCK);
	switch (header->type) {
	case 'x':
	case 'X': /* Solaris */
		kist_tar_pax_clear(&reader->local);
		r = read_pax(reader, &reader->local, header->size, err);
		break;
	case 'g':
		r = read_pax(reader, &reader->global, header->size, err);
		break;
	case 'L':
		r = read_text(reader, header->size, MAX_LONG_NAME, "long name", &reader->long_name, err);
		break;
	case 'K':
		r = read_text(reader, header->size, MAX_LONG_NAME, "long link name", &reader->long_link, err);
		break;
	default: /* 'V': the label of a volume */
		set_payload(reader, 0);
		r = 0;
		break;
	}
	if (r < 0 && !reader->cut_off && *reader->shown)
		return kist_context(err, "after entry '%s'", reader->shown);
	return r < 0 ? r : 1;
}

/* Two zero blocks are the end; one and the end of the stream is what careless writers leave. */
static int check_end(struct kist_tar_reader *reader, struct kist_error *err)
{
	const uint8_t *block;
	ssize_t have;

	kist_stream_consume(reader->stream, KIST_TAR_BLOCK);
	have = kist_stream_fill(reader->stream, KIST_TAR_BLOCK, &block, err);
	if (have < 0)
		return (int)have;
	if (have > 0 && have < KIST_TAR_BLOCK)
		return fail_cut_off(reader, "after", err);
	if (have > 0 && !kist_tar_is_zero(block))
		return kist_fail(err, KIST_ERR_INVALID, 0, "a lone zero block in the middle of the archive");
	return 0;
}

int kist_tar_next(struct kist_tar_reader *reader, struct kist_error *err)
{
	int r = skip_payload(reader, err);

	if (r < 0)
		return r;
	kist_tar_pax_clear(&reader->local);
	kist_str_clear(&reader->long_name);
	kist_str_clear(&reader->long_link);
	reader->payload = reader->padding = 0;
	for (;;) {
		struct kist_tar_header header;
		const uint8_t *block;

		r = kist_tar_block(reader, &block, err);
		if (r < 0)
			return r;
		if (kist_tar_is_zero(block))
			return check_end(reader, err);
		/* Extended headers are not entries, but a stream of nothing else must end too. */
		if (reader->headers++ / 4 > reader->limits.entries)
			return kist_fail(err, KIST_ERR_INVALID, E2BIG, "the archive has too many headers");
		r = kist_tar_header_parse(block, &header, err);
		if (r < 0)
			return *reader->shown ? kist_context(err, "after entry '%s'", reader->shown) : r;
		r = take_extension(reader, &header, err);
		if (r < 0)
			return r;
		if (r == 0)
			return take_entry(reader, &header, err);
	}
}
