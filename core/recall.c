#include "core/recall.h"

#include "core/internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define NAME      "list"
#define ID_LENGTH 64
#define WANTED    (KIST_FIELD_BRIEF | KIST_FIELD_FILTER)

enum { SHORT_LIST = 256, SETTLED_NS = 2 * 1000000000, MAP_MAX = 1 << 30 };

static const char *const names[] = { [KIST_RECALL_CONFIG] = "config", [KIST_RECALL_STATE] = "state" };

struct identity {
	uint64_t inode;
	int64_t changed; /* nanoseconds */
	int64_t size;    /* -1: there is none */
};

struct part {
	struct identity of;
	uint64_t at; /* in the file */
	uint64_t length;
};

struct entry {
	char id[ID_LENGTH];
	struct part parts[KIST_RECALL_FILES];
};

/* Before the texts; the entries come after them, by id. */
struct head {
	char magic[8];
	uint64_t device;  /* of the records */
	uint64_t entries; /* how many */
	uint32_t fields;  /* a sum of the keys that are kept */
	uint32_t sum;     /* of all that follows */
};

static const char magic[8] = "kistlst1";

struct kist_recall {
	struct kist *k;
	bool on;
	int64_t begun;
	uint64_t device;
	struct kist_str raw; /* a file as it is */
	/* What is there. */
	const char *map;
	size_t map_length, n_old;
	const struct entry *old;
	bool *kept; /* old ones that still hold */
	/* What is new. */
	struct kist_str fresh;
	struct entry *entries;
	size_t n, room;
	/* The container at hand. */
	struct entry now;
	ssize_t was; /* the old entry; -1 */
	size_t next;
	bool sound, changed;
	bool looked[KIST_RECALL_FILES], held[KIST_RECALL_FILES]; /* held: the old text */
};

static uint32_t sum_of(const void *data, size_t length)
{
	return (uint32_t)crc32_z(0, data, length);
}

static uint32_t fields_sum(void)
{
	const struct kist_table *table = &kist_container_config_table;
	uLong sum = 0;

	for (size_t i = 0; i < table->n_fields; i++)
		if (table->fields[i].flags & WANTED)
			sum = crc32_z(sum, (const void *)table->fields[i].key, strlen(table->fields[i].key) + 1);
	return (uint32_t)sum;
}

static size_t aligned(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* --- what is there --------------------------------------------------------------------------------------------------
 */

static bool map_is_sound(const struct kist_recall *recall)
{
	const struct head *head = (const void *)recall->map;
	size_t length = recall->map_length;

	return length >= sizeof(*head) && memcmp(head->magic, magic, sizeof(magic)) == 0 &&
	       head->device == recall->device && head->fields == fields_sum() &&
	       head->entries <= (length - sizeof(*head)) / sizeof(struct entry) &&
	       head->sum == sum_of(recall->map + sizeof(*head), length - sizeof(*head));
}

static void map_open(struct kist_recall *recall)
{
	KIST_CLOSE int fd = openat(recall->k->runroot, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > MAP_MAX)
		return;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return;
	recall->map = map;
	recall->map_length = (size_t)st.st_size;
	if (!map_is_sound(recall)) {
		kist_debug("the list of the run directory is not of this store, or damaged: it is not used");
		return;
	}
	recall->n_old = ((const struct head *)map)->entries;
	recall->old = (const void *)(recall->map + recall->map_length - recall->n_old * sizeof(struct entry));
	recall->kept = kist_alloc(recall->n_old + 1);
}

struct kist_recall *kist_recall_open(struct kist *k, size_t n)
{
	struct kist_recall *recall = kist_alloc(sizeof(*recall));
	struct stat st;

	recall->k = k;
	recall->was = -1;
	if (n < SHORT_LIST || fstat(k->containers, &st) < 0)
		return recall;
	recall->on = true;
	recall->device = st.st_dev;
	recall->begun = kist_now_wall();
	map_open(recall);
	return recall;
}

static int entry_order(const void *a, const void *b)
{
	return memcmp(((const struct entry *)a)->id, ((const struct entry *)b)->id, ID_LENGTH);
}

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){ .inode = st->st_ino,
		                  .changed = st->st_ctim.tv_sec * KIST_NSEC_PER_SEC + st->st_ctim.tv_nsec,
		                  .size = st->st_size };
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->inode == b->inode && a->changed == b->changed && a->size == b->size;
}

/* Whether at this path is what the old entry tells of. */
static bool is_unchanged(const struct kist_recall *recall, const char *path, enum kist_recall_file file)
{
	const struct part *part = &recall->old[recall->was].parts[file];
	struct identity here = { .size = -1 };
	struct stat st;

	if (fstatat(recall->k->containers, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		here = identity_of(&st);
	else if (errno != ENOENT)
		return false;
	return is_same(&here, &part->of) && part->at <= recall->map_length &&
	       part->length <= recall->map_length - part->at;
}

/* Most records fit into one read. They are regular files, which are replaced whole: a short read is their end. */
static int read_whole(struct kist_recall *recall, const char *path, struct identity *is)
{
	struct kist_str *raw = &recall->raw;
	struct stat st;
	KIST_CLOSE int fd = openat(recall->k->containers, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (recall->on && fstat(fd, &st) < 0)
		return -errno;
	kist_str_clear(raw);
	kist_str_reserve(raw, 4096);
	ssize_t n = read(fd, raw->data, raw->cap - 1);
	if (n < 0)
		return -errno;
	if ((size_t)n == raw->cap - 1) {
		int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : kist_read_fd(fd, KIST_RECORD_MAX, raw);
		if (r < 0)
			return r;
	} else {
		raw->len = (size_t)n;
		raw->data[n] = '\0';
	}
	if (recall->on)
		*is = identity_of(&st);
	return kist_sum_check(raw) < 0 || strlen(raw->data) != raw->len ? -EBADMSG : 0;
}

static void take_lines(const struct kist_str *raw, struct kist_str *text)
{
	for (const char *line = raw->data, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if (kist_kv_is_wanted(&kist_container_config_table, WANTED, line))
			kist_str_addn(text, line, (size_t)(next - line));
	}
}

static void keep_new(struct kist_recall *recall, enum kist_recall_file file, const struct identity *is,
                     const struct kist_str *text)
{
	recall->changed = true;
	/* Later than the clock, too: a clock that was set back meets old times again. */
	if (is->size >= 0 && is->changed > recall->begun - SETTLED_NS)
		recall->sound = false;
	if (!recall->sound)
		return;
	recall->now.parts[file] = (struct part){ *is, sizeof(struct head) + recall->fresh.len, text->len };
	kist_str_addn(&recall->fresh, kist_str_get(text), text->len);
	recall->looked[file] = true;
}

/* Copies what holds of an entry that has changed otherwise. */
static void keep_old(struct kist_recall *recall, const struct part *part, struct part *to)
{
	*to = *part;
	to->at = sizeof(struct head) + recall->fresh.len;
	kist_str_addn(&recall->fresh, recall->map + part->at, part->length);
}

static void entry_add(struct kist_recall *recall, const struct entry *entry)
{
	if (recall->n == recall->room) {
		recall->room = recall->room ? recall->room * 2 : SHORT_LIST;
		recall->entries = kist_grow(recall->entries, recall->room, sizeof(*recall->entries));
	}
	recall->entries[recall->n++] = *entry;
}

/* An entry counts once both of its files were looked at. */
static void entry_end(struct kist_recall *recall)
{
	bool whole = recall->looked[KIST_RECALL_CONFIG] && recall->looked[KIST_RECALL_STATE];

	if (whole && !recall->changed) {
		recall->kept[recall->was] = true;
	} else if (whole && recall->sound) {
		for (int file = 0; file < KIST_RECALL_FILES; file++)
			if (recall->held[file])
				keep_old(recall, &recall->old[recall->was].parts[file], &recall->now.parts[file]);
		entry_add(recall, &recall->now);
	}
}

static void entry_begin(struct kist_recall *recall, const char *id)
{
	entry_end(recall);
	memset(recall->looked, 0, sizeof(recall->looked));
	memset(recall->held, 0, sizeof(recall->held));
	recall->sound = true;
	recall->changed = false;
	memcpy(recall->now.id, id, ID_LENGTH);
	/* Both are in order. */
	while (recall->next < recall->n_old && entry_order(&recall->old[recall->next], &recall->now) < 0)
		recall->next++;
	recall->was = recall->next < recall->n_old && entry_order(&recall->old[recall->next], &recall->now) == 0
	                      ? (ssize_t)recall->next++
	                      : -1;
}

int kist_recall_read(struct kist_recall *recall, const char *id, enum kist_recall_file file, struct kist_str *text)
{
	struct identity is = { .size = -1 };
	char path[ID_LENGTH + 16];

	snprintf(path, sizeof(path), "%.64s/%s", id, names[file]);
	kist_str_clear(text);
	kist_str_reserve(text, 1);
	if (recall->on && file == KIST_RECALL_CONFIG)
		entry_begin(recall, id);
	if (recall->on && recall->was >= 0 && is_unchanged(recall, path, file)) {
		const struct part *part = &recall->old[recall->was].parts[file];
		recall->looked[file] = recall->held[file] = true;
		kist_str_addn(text, recall->map + part->at, part->length);
		return part->of.size < 0 ? -ENOENT : 0;
	}
	int r = read_whole(recall, path, &is);
	if (r < 0 && !(r == -ENOENT && file == KIST_RECALL_STATE))
		return r;
	if (r == 0 && file == KIST_RECALL_CONFIG)
		take_lines(&recall->raw, text);
	else if (r == 0)
		kist_str_addn(text, recall->raw.data, recall->raw.len);
	if (recall->on)
		keep_new(recall, file, &is, text);
	return r;
}

/* --- writing down ---------------------------------------------------------------------------------------------------
 */

/* Not for the odd change: what is new is read again the next time. */
static bool is_worth_it(const struct kist_recall *recall)
{
	return recall->on && recall->n >= SHORT_LIST && recall->n >= recall->n_old / 8;
}

static void write_down(struct kist_recall *recall)
{
	struct head head = { .device = recall->device, .fields = fields_sum() };
	KIST_STR struct kist_str out = { 0 };

	for (size_t i = 0; i < recall->n_old; i++) {
		if (!recall->kept[i])
			continue;
		struct entry entry = recall->old[i];
		for (int file = 0; file < KIST_RECALL_FILES; file++)
			keep_old(recall, &recall->old[i].parts[file], &entry.parts[file]);
		entry_add(recall, &entry);
	}
	qsort(recall->entries, recall->n, sizeof(*recall->entries), entry_order);
	memcpy(head.magic, magic, sizeof(magic));
	head.entries = recall->n;
	kist_str_addn(&recall->fresh, "\0\0\0\0\0\0\0", aligned(recall->fresh.len) - recall->fresh.len);
	kist_str_reserve(&out, sizeof(head) + recall->fresh.len + recall->n * sizeof(*recall->entries));
	kist_str_addn(&out, &head, sizeof(head));
	kist_str_addn(&out, recall->fresh.data, recall->fresh.len);
	kist_str_addn(&out, recall->entries, recall->n * sizeof(*recall->entries));
	((struct head *)(void *)out.data)->sum = sum_of(out.data + sizeof(head), out.len - sizeof(head));
	int r = kist_replace_file(recall->k->runroot, NAME, out.data, out.len, 0600, 0);
	if (r < 0)
		kist_debug("the list of the run directory is not written: %s", strerror(-r));
}

void kist_recall_close(struct kist_recall *recall)
{
	if (!recall)
		return;
	if (recall->on)
		entry_end(recall);
	if (is_worth_it(recall))
		write_down(recall);
	if (recall->map)
		munmap((void *)(uintptr_t)recall->map, recall->map_length);
	kist_str_free(&recall->raw);
	kist_str_free(&recall->fresh);
	free(recall->entries);
	free(recall->kept);
	free(recall);
}
