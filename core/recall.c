#include "core/recall_internal.h"

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

#define NAME   "list"
#define WANTED (KIST_FIELD_BRIEF | KIST_FIELD_FILTER)

enum { SHORT_LIST = 256, SETTLED_NS = 2 * 1000000000, MAP_MAX = 1 << 30 };

static const char *const names[] = {
	[KIST_RECALL_CONFIG] = "config",
	[KIST_RECALL_STATE] = "state",
	[KIST_RECALL_EXIT] = "exit",
};

/* Before the texts; the entries come after them, by id. */
struct head {
	char magic[8];
	uint64_t device;  /* of the records */
	uint64_t entries; /* how many */
	uint32_t fields;  /* a sum of the keys that are kept */
	uint32_t sum;     /* of all that follows */
};

static const char magic[8] = "kistlst2";

struct kist_recall {
	struct kist *k;
	bool on;
	int64_t begun;
	uint64_t device;
	struct kist_str raw; /* a record as it is */
	const char (*ids)[RECALL_ID + 1];
	size_t n_ids;
	/* What is there. */
	const char *map;
	size_t map_length, n_old;
	const struct recall_entry *old;
	bool *kept; /* old ones that still hold */
	struct recall_ahead *ahead;
	/* What is new: the file as it will be, without its entries. */
	struct kist_str fresh;
	struct recall_entry *entries;
	size_t n, room;
	/* The container at hand. */
	struct recall_entry now;
	const char *texts[KIST_RECALL_FILES]; /* what each part lies in; NULL: fresh */
	size_t before;                        /* what fresh had */
	size_t at, next;                      /* among ids, and among old ones */
	ssize_t was;                          /* the old entry that holds; -1 */
	bool changed;
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

/* --- records --------------------------------------------------------------------------------------------------------
 */

void recall_identify(struct kist *k, const char *id, struct recall_identity *out)
{
	struct stat st;

	*out = (struct recall_identity){ .changed = -1 };
	if (fstatat(k->containers, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		*out = (struct recall_identity){
			.inode = st.st_ino,
			.changed = st.st_ctim.tv_sec * KIST_NSEC_PER_SEC + st.st_ctim.tv_nsec,
		};
}

/* Most records fit into one read. They are regular files, which are replaced whole: a short read is their end. */
int recall_load(struct kist *k, const char *id, enum kist_recall_file file, bool fixed, struct kist_str *raw)
{
	char path[RECALL_ID + 16];

	snprintf(path, sizeof(path), "%.64s/%s", id, names[file]);
	KIST_CLOSE int fd = openat(k->containers, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	raw->len = 0;
	if (!fixed)
		kist_str_reserve(raw, 4096);
	ssize_t n = read(fd, raw->data, raw->cap - 1);
	if (n < 0)
		return -errno;
	if ((size_t)n < raw->cap - 1) {
		raw->len = (size_t)n;
		raw->data[n] = '\0';
	} else if (fixed) {
		return -EFBIG;
	} else {
		int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : kist_read_fd(fd, KIST_RECORD_MAX, raw);
		if (r < 0)
			return r;
	}
	return kist_sum_check(raw) < 0 || strlen(raw->data) != raw->len ? -EBADMSG : 0;
}

void recall_take(enum kist_recall_file file, const struct kist_str *raw, struct kist_str *text)
{
	size_t at = 0;

	if (file != KIST_RECALL_CONFIG) {
		kist_str_addn(text, raw->data, raw->len);
		return;
	}
	for (const char *line = raw->data, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		next += *next == '\n';
		if (kist_kv_is_wanted(&kist_container_config_table, WANTED, line, &at))
			kist_str_addn(text, line, (size_t)(next - line));
	}
}

/* --- what is there --------------------------------------------------------------------------------------------------
 */

static bool map_is_sound(const struct kist_recall *recall)
{
	const struct head *head = (const void *)recall->map;
	size_t length = recall->map_length;

	return length >= sizeof(*head) && memcmp(head->magic, magic, sizeof(magic)) == 0 &&
	       head->device == recall->device && head->fields == fields_sum() &&
	       head->entries <= (length - sizeof(*head)) / sizeof(struct recall_entry) &&
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
	recall->old = (const void *)(recall->map + recall->map_length - recall->n_old * sizeof(struct recall_entry));
	recall->kept = kist_alloc(recall->n_old + 1);
}

struct kist_recall *kist_recall_open(struct kist *k, const char (*ids)[RECALL_ID + 1], size_t n)
{
	struct kist_recall *recall = kist_alloc(sizeof(*recall));
	const struct head head = { 0 };
	struct stat st;

	recall->k = k;
	recall->was = -1;
	if (n < SHORT_LIST || fstat(k->containers, &st) < 0)
		return recall;
	recall->on = true;
	recall->device = st.st_dev;
	recall->begun = kist_now_wall();
	recall->ids = ids;
	recall->n_ids = n;
	kist_str_addn(&recall->fresh, &head, sizeof(head));
	recall->before = recall->fresh.len;
	recall->now.parts[KIST_RECALL_CONFIG].length = RECALL_UNKNOWN;
	map_open(recall);
	if (recall->n_old == 0)
		recall->ahead = recall_ahead_start(k, ids, n);
	return recall;
}

static int entry_order(const void *a, const void *b)
{
	return memcmp(((const struct recall_entry *)a)->id, ((const struct recall_entry *)b)->id, RECALL_ID);
}

/* --- one container --------------------------------------------------------------------------------------------------
 */

static bool is_whole(const struct kist_recall *recall, const struct recall_entry *entry)
{
	for (int file = 0; file < KIST_RECALL_FILES; file++) {
		const struct recall_part *part = &entry->parts[file];
		if (part->length < RECALL_ABSENT || (part->length >= 0 && part->at > recall->map_length) ||
		    (part->length >= 0 && (uint64_t)part->length > recall->map_length - part->at))
			return false;
	}
	return entry->parts[KIST_RECALL_CONFIG].length >= 0;
}

static const struct recall_entry *old_of(struct kist_recall *recall)
{
	/* Both are in order. */
	while (recall->next < recall->n_old && entry_order(&recall->old[recall->next], &recall->now) < 0)
		recall->next++;
	if (recall->next == recall->n_old || entry_order(&recall->old[recall->next], &recall->now) != 0)
		return NULL;
	return &recall->old[recall->next];
}

static void texts_set(struct kist_recall *recall, const char *texts)
{
	for (int file = 0; file < KIST_RECALL_FILES; file++)
		recall->texts[file] = texts;
}

static void entry_add(struct kist_recall *recall, const struct recall_entry *entry)
{
	if (recall->n == recall->room) {
		recall->room = recall->room ? recall->room * 2 : SHORT_LIST;
		recall->entries = kist_grow(recall->entries, recall->room, sizeof(*recall->entries));
	}
	recall->entries[recall->n++] = *entry;
}

static void part_copy(struct kist_recall *recall, const char *texts, struct recall_part *part)
{
	const char *text = texts + part->at;

	if (part->length < 0)
		return;
	part->at = recall->fresh.len;
	kist_str_addn(&recall->fresh, text, (size_t)part->length);
}

static void entry_end(struct kist_recall *recall)
{
	struct recall_entry *now = &recall->now;
	/* Not later than the clock, either: one that was set back meets old times again. */
	bool sound = now->of.changed >= 0 && now->of.changed <= recall->begun - SETTLED_NS;

	if (now->parts[KIST_RECALL_CONFIG].length < 0 || !recall->changed || !sound) {
		if (recall->was >= 0)
			recall->kept[recall->was] = !recall->changed;
		recall->fresh.len = recall->before;
		return;
	}
	for (int file = 0; file < KIST_RECALL_FILES; file++)
		if (recall->texts[file])
			part_copy(recall, recall->texts[file], &now->parts[file]);
	entry_add(recall, now);
}

static void entry_begin(struct kist_recall *recall, const char *id)
{
	const struct recall_entry *old;
	const char *texts;

	memset(&recall->now, 0, sizeof(recall->now));
	memcpy(recall->now.id, id, RECALL_ID);
	for (int file = 0; file < KIST_RECALL_FILES; file++)
		recall->now.parts[file].length = RECALL_UNKNOWN;
	recall->before = recall->fresh.len;
	recall->was = -1;
	recall->changed = true;
	while (recall->at < recall->n_ids && memcmp(recall->ids[recall->at], id, RECALL_ID) < 0)
		recall->at++;
	if (recall->at < recall->n_ids && memcmp(recall->ids[recall->at], id, RECALL_ID) == 0 &&
	    recall_ahead_has(recall->ahead, recall->at, &recall->now, &texts)) {
		texts_set(recall, texts);
		return;
	}
	/* Before the records: what changes after this look has a later time. */
	recall_identify(recall->k, id, &recall->now.of);
	old = old_of(recall);
	if (!old || old->of.inode != recall->now.of.inode || old->of.changed != recall->now.of.changed ||
	    !is_whole(recall, old))
		return;
	recall->now = *old;
	recall->was = old - recall->old;
	recall->changed = false;
	texts_set(recall, recall->map);
}

int kist_recall_read(struct kist_recall *recall, const char *id, enum kist_recall_file file, struct kist_str *text)
{
	struct recall_part *part = &recall->now.parts[file];

	kist_str_clear(text);
	kist_str_reserve(text, 1);
	if (recall->on && file == KIST_RECALL_CONFIG) {
		entry_end(recall);
		entry_begin(recall, id);
	}
	if (recall->on && part->length == RECALL_ABSENT)
		return -ENOENT;
	if (recall->on && part->length >= 0) {
		const char *texts = recall->texts[file] ? recall->texts[file] : recall->fresh.data;
		kist_str_addn(text, texts + part->at, (size_t)part->length);
		return 0;
	}
	int r = recall_load(recall->k, id, file, false, &recall->raw);
	if (r == 0)
		recall_take(file, &recall->raw, text);
	if (!recall->on || (r < 0 && !(r == -ENOENT && file != KIST_RECALL_CONFIG)))
		return r;
	recall->changed = true;
	recall->texts[file] = NULL;
	*part = (struct recall_part){ recall->fresh.len, r == 0 ? (int64_t)text->len : RECALL_ABSENT };
	kist_str_addn(&recall->fresh, kist_str_get(text), text->len);
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
	struct kist_str *out = &recall->fresh;
	struct head head = { .device = recall->device, .fields = fields_sum() };
	size_t n_new = recall->n; /* in order */

	for (size_t i = 0; i < recall->n_old; i++) {
		if (!recall->kept[i])
			continue;
		struct recall_entry entry = recall->old[i];
		for (int file = 0; file < KIST_RECALL_FILES; file++)
			part_copy(recall, recall->map, &entry.parts[file]);
		entry_add(recall, &entry);
	}
	if (recall->n > n_new)
		qsort(recall->entries, recall->n, sizeof(*recall->entries), entry_order);
	kist_str_addn(out, "\0\0\0\0\0\0\0", aligned(out->len) - out->len);
	kist_str_addn(out, recall->entries, recall->n * sizeof(*recall->entries));
	memcpy(head.magic, magic, sizeof(magic));
	head.entries = recall->n;
	head.sum = sum_of(out->data + sizeof(head), out->len - sizeof(head));
	memcpy(out->data, &head, sizeof(head));
	int r = kist_replace_file(recall->k->runroot, NAME, out->data, out->len, 0600, 0);
	if (r < 0)
		kist_debug("the list of the run directory is not written: %s", strerror(-r));
}

void kist_recall_close(struct kist_recall *recall)
{
	if (!recall)
		return;
	if (recall->on)
		entry_end(recall);
	recall_ahead_end(recall->ahead);
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
