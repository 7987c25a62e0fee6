/* The second reader of a long list. It begins a part of it ahead of the first, which makes more of each record than it
 * does, so that nobody waits, and the first reads itself what it comes to before this one. What it reads is in memory
 * that both processes have, so it allocates nothing else: the program that this library is a part of may have threads.
 */
#include "core/recall_internal.h"

#include "core/internal.h"

#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_LIST = 1000, LEAD = 4, TEXT_EACH = 1024, RECORD = 16384 };

/* Of each container. Who takes it from FREE reads it. */
enum { FREE, OURS, TAKEN, READ, GIVEN_UP };

struct recall_ahead {
	struct kist *k;
	const char (*ids)[RECALL_ID + 1];
	size_t n, length, used, room; /* of the memory; of the texts */
	pid_t pid;
	_Atomic unsigned char *turns;
	struct recall_entry *entries;
	char *texts;
};

static bool has_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

/* --- in the second process ------------------------------------------------------------------------------------------
 */

static int read_part(struct recall_ahead *ahead, const char *id, enum kist_recall_file file, struct recall_part *part)
{
	char buffer[RECORD];
	struct kist_str raw = { .data = buffer, .cap = sizeof(buffer) };
	struct kist_str text = { .data = ahead->texts + ahead->used, .cap = ahead->room - ahead->used };

	int r = recall_load(ahead->k, id, file, true, &raw);
	if (r == -ENOENT) {
		part->length = RECALL_ABSENT;
		return 0;
	}
	if (r < 0 || raw.len >= text.cap)
		return r < 0 ? r : -ENOSPC;
	recall_take(file, &raw, &text);
	*part = (struct recall_part){ ahead->used, (int64_t)text.len };
	ahead->used += text.len;
	return 0;
}

/* A state of another boot is judged by the exit record. */
static bool asks_for_exit(const struct recall_ahead *ahead, const struct recall_part *state)
{
	char line[64];

	if (state->length < 0)
		return true;
	int n = snprintf(line, sizeof(line), "\nboot=%s\n", ahead->k->boot);
	return !memmem(ahead->texts + state->at, (size_t)state->length, line, (size_t)n);
}

static int read_one(struct recall_ahead *ahead, size_t i)
{
	struct recall_entry *entry = &ahead->entries[i];
	const char *id = ahead->ids[i];

	memcpy(entry->id, id, RECALL_ID);
	for (int file = 0; file < KIST_RECALL_FILES; file++)
		entry->parts[file].length = RECALL_UNKNOWN;
	recall_identify(ahead->k, id, &entry->of);
	for (int file = 0; file < KIST_RECALL_FILES; file++) {
		if (file == KIST_RECALL_EXIT && !asks_for_exit(ahead, &entry->parts[KIST_RECALL_STATE]))
			continue;
		int r = read_part(ahead, id, (enum kist_recall_file)file, &entry->parts[file]);
		if (r < 0 || (file == KIST_RECALL_CONFIG && entry->parts[file].length < 0))
			return -EBADMSG; /* the other has more to say of it */
	}
	return 0;
}

static void read_all(struct recall_ahead *ahead)
{
	for (size_t i = ahead->n / LEAD; i < ahead->n; i++) {
		unsigned char turn = FREE;
		if (atomic_compare_exchange_strong(&ahead->turns[i], &turn, TAKEN))
			atomic_store(&ahead->turns[i], read_one(ahead, i) < 0 ? GIVEN_UP : READ);
	}
}

/* --- in the first ---------------------------------------------------------------------------------------------------
 */

struct recall_ahead *recall_ahead_start(struct kist *k, const char (*ids)[RECALL_ID + 1], size_t n)
{
	struct clone_args args = { .exit_signal = 0 }; /* nobody else's wait sees it */

	if (n < LONG_LIST || n > (1 << 20) || !has_processors())
		return NULL;
	size_t texts = n * sizeof(struct recall_entry), turns = texts + n * TEXT_EACH;
	size_t length = turns + n;
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	struct recall_ahead *ahead = kist_alloc(sizeof(*ahead));
	*ahead = (struct recall_ahead){
		.k = k,
		.ids = ids,
		.n = n,
		.length = length,
		.room = n * TEXT_EACH,
		.entries = memory,
		.texts = (char *)memory + texts,
		.turns = (void *)((char *)memory + turns),
	};
	ahead->pid = kist_clone3(&args, sizeof(args));
	if (ahead->pid == 0) {
		read_all(ahead);
		_exit(0);
	}
	if (ahead->pid > 0)
		return ahead;
	munmap(memory, length);
	free(ahead);
	return NULL;
}

pid_t recall_ahead_pid(const struct recall_ahead *ahead)
{
	return ahead->pid;
}

/* A dead one leaves what it was at TAKEN. */
static bool has_ended(struct recall_ahead *ahead)
{
	if (ahead->pid > 0 && waitpid(ahead->pid, NULL, __WALL | WNOHANG) != 0)
		ahead->pid = 0;
	return ahead->pid == 0;
}

bool recall_ahead_has(struct recall_ahead *ahead, size_t i, struct recall_entry *entry, const char **texts)
{
	unsigned char turn = FREE;

	if (!ahead || atomic_compare_exchange_strong(&ahead->turns[i], &turn, OURS))
		return false;
	/* It is at it. */
	while (turn == TAKEN) {
		bool ended = has_ended(ahead);
		turn = atomic_load(&ahead->turns[i]);
		if (ended || turn != TAKEN)
			break;
		sched_yield();
	}
	if (turn != READ)
		return false;
	*entry = ahead->entries[i];
	*texts = ahead->texts;
	return true;
}

void recall_ahead_end(struct recall_ahead *ahead)
{
	if (!ahead)
		return;
	/* Where the list was left before its end, it is not to read the rest. */
	for (size_t i = 0; i < ahead->n; i++) {
		unsigned char turn = FREE;
		atomic_compare_exchange_strong(&ahead->turns[i], &turn, OURS);
	}
	while (!has_ended(ahead))
		if (waitpid(ahead->pid, NULL, __WALL) == ahead->pid)
			ahead->pid = 0;
	munmap(ahead->entries, ahead->length);
	free(ahead);
}
