/* What lists keep of records between calls: when it holds, when it does not, and that nothing in it is ever believed
 * against the records. A kept text is told from one that was read by a mark, which the test changes in the list alone.
 */
#include "child.h"
#include "store_help.h"

#include "core/recall_internal.h"

#include "core/base/clock.h"

#include <signal.h>
#include <sys/resource.h>
#include <zlib.h>

enum { MANY = 300, FEW = 255 };

/* The file: head, texts, entries by id. */
struct head {
	char magic[8];
	uint64_t device, entries;
	uint32_t fields, sum;
};

static char ids[MANY][65];

static int container_dir(size_t i)
{
	return openat(k->containers, ids[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* state: NULL, a container that has none. */
static void record_put(size_t i, const char *file, const char *text)
{
	int dir KIST_CLOSE = container_dir(i);
	KIST_STR struct kist_str record = { 0 };

	kist_str_add(&record, text);
	kist_sum_append(&record);
	assert_true(dir >= 0);
	assert_int_equal(kist_replace_file(dir, file, record.data, record.len, 0600, 0), 0);
}

static void config_put(size_t i, const char *name)
{
	KIST_FREE char *text =
	        kist_asprintf("id=%s\nname=%s\nenv=MODE=production\nlabels=mark=-%s-\n", ids[i], name, name);

	record_put(i, "config", text);
}

/* Every third was never started. */
static bool has_state(size_t i)
{
	return i % 3 != 0;
}

static void state_put(size_t i, const char *error)
{
	KIST_FREE char *text = kist_asprintf("status=exited\nerror=%s\n", error);

	record_put(i, "state", text);
}

static void container_put(size_t i)
{
	assert_int_equal(mkdirat(k->containers, ids[i], 0700), 0);
	config_put(i, "true");
	if (has_state(i))
		state_put(i, "true");
}

static void container_remove(size_t i)
{
	assert_int_equal(kist_remove_tree(k->containers, ids[i]), 0);
}

/* What changed less than two seconds before a list is not kept by it. */
static void settle(void)
{
	usleep(2100000);
}

static int setup(void **state)
{
	if (store_setup(state) < 0)
		return -1;
	for (size_t i = 0; i < MANY; i++) {
		/* With room for others between them. */
		snprintf(ids[i], sizeof(ids[i]), "%03zx%060x0", i * 8, 0);
		container_put(i);
	}
	settle();
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < MANY; i++)
		kist_remove_tree(k->containers, ids[i]);
	return store_teardown(state);
}

/* --- the list -------------------------------------------------------------------------------------------------------
 */

struct seen {
	int config, state; /* what reading returned */
	bool config_kept, state_kept;
};

static bool is_kept(const struct kist_str *text, const char *key)
{
	KIST_FREE char *kept = kist_asprintf("%s=kept\n", key), *read = kist_asprintf("%s=true\n", key);

	if (strstr(text->data, kept))
		return true;
	assert_non_null(strstr(text->data, read));
	return false;
}

static struct seen look(struct kist_recall *recall, const char *id)
{
	KIST_STR struct kist_str text = { 0 };
	struct seen seen = { 0 };

	seen.config = kist_recall_read(recall, id, KIST_RECALL_CONFIG, &text);
	if (seen.config < 0)
		return seen;
	seen.config_kept = is_kept(&text, "name");
	assert_null(strstr(text.data, "env=")); /* nobody asks for it */
	assert_non_null(strstr(text.data, id));
	seen.state = kist_recall_read(recall, id, KIST_RECALL_STATE, &text);
	if (seen.state == 0)
		seen.state_kept = is_kept(&text, "error");
	else
		assert_string_equal(text.data, "");
	return seen;
}

/* A list of all that are there; how many texts of it were kept ones. */
static size_t list(void)
{
	struct kist_recall *recall = kist_recall_open(k, ids, MANY);
	size_t kept = 0;

	for (size_t i = 0; i < MANY; i++) {
		struct seen seen = look(recall, ids[i]);
		assert_int_equal(seen.config, 0);
		assert_int_equal(seen.state, has_state(i) ? 0 : -ENOENT);
		kept += (size_t)seen.config_kept + seen.state_kept;
	}
	kist_recall_close(recall);
	return kept;
}

static void list_remove(void)
{
	assert_true(unlinkat(k->runroot, "list", 0) == 0 || errno == ENOENT);
}

static void list_read(struct kist_str *data)
{
	kist_str_clear(data);
	assert_true(kist_read_file(k->runroot, "list", 1 << 24, data) >= 0);
	assert_true(data->len > sizeof(struct head));
}

static struct head *head_of(struct kist_str *data)
{
	return (void *)data->data;
}

static struct recall_entry *entries_of(struct kist_str *data)
{
	return (void *)(data->data + data->len - head_of(data)->entries * sizeof(struct recall_entry));
}

/* NULL: it is not in the list. */
static struct recall_entry *entry_of(struct kist_str *data, const char *id)
{
	for (size_t i = 0; i < head_of(data)->entries; i++)
		if (memcmp(entries_of(data)[i].id, id, 64) == 0)
			return &entries_of(data)[i];
	return NULL;
}

/* As the program would have written it. */
static void list_write(struct kist_str *data)
{
	head_of(data)->sum =
	        (uint32_t)crc32_z(0, (const void *)(data->data + sizeof(struct head)), data->len - sizeof(struct head));
	file_put(k->runroot, "list", data->data, data->len);
}

static void mark(struct kist_str *data)
{
	for (char *at = data->data; (at = memmem(at, (size_t)(data->data + data->len - at), "=true\n", 6)); at += 6)
		memcpy(at, "=kept\n", 6);
}

/* A list as it was made of all, with the marks that tell it. */
static void list_make(struct kist_str *data)
{
	list_remove();
	assert_int_equal(list(), 0);
	list_read(data);
	mark(data);
	list_write(data);
}

enum { ALL_KEPT = MANY + MANY - MANY / 3 };

/* --- tests ----------------------------------------------------------------------------------------------------------
 */

static void test_kept(void **state)
{
	KIST_STR struct kist_str data = { 0 }, again = { 0 };

	(void)state;
	list_make(&data);
	assert_int_equal(head_of(&data)->entries, MANY);
	for (size_t i = 1; i < MANY; i++)
		assert_true(memcmp(entries_of(&data)[i - 1].id, entries_of(&data)[i].id, 64) < 0);
	assert_int_equal(list(), ALL_KEPT);
	/* Nothing was new: it is not written again. */
	list_read(&again);
	assert_true(again.len == data.len && memcmp(again.data, data.data, data.len) == 0);
}

static void test_short_lists(void **state)
{
	KIST_STR struct kist_str data = { 0 };
	struct kist_recall *recall;

	(void)state;
	list_make(&data);
	recall = kist_recall_open(k, ids, FEW);
	for (size_t i = 0; i < FEW; i++)
		assert_false(look(recall, ids[i]).config_kept);
	kist_recall_close(recall);
	list_remove();
	recall = kist_recall_open(k, ids, FEW);
	for (size_t i = 0; i < FEW; i++)
		look(recall, ids[i]);
	kist_recall_close(recall);
	assert_int_equal(faccessat(k->runroot, "list", F_OK, 0), -1);
	kist_recall_close(NULL);
}

/* Each part of what identifies a directory counts by itself, and each part of a text's place. */
static void test_identity(void **state)
{
	KIST_STR struct kist_str data = { 0 };

	(void)state;
	list_make(&data);
	struct recall_entry *entry = entry_of(&data, ids[7]), was = *entry;
	const struct recall_identity other[] = {
		{ was.of.inode + 1, was.of.changed },
		{ was.of.inode, was.of.changed + 1 },
		{ was.of.inode, was.of.changed - 1 },
		{ was.of.inode, -1 },
	};
	for (size_t i = 0; i < KIST_COUNT(other); i++) {
		entry->of = other[i];
		list_write(&data);
		assert_int_equal(list(), ALL_KEPT - 2);
	}
	entry->of = was.of;
	/* What no program wrote, with the right checksum. */
	const struct recall_part places[] = {
		{ data.len + 1, 0 },      { was.parts[0].at, (int64_t)data.len },
		{ UINT64_MAX, 2 },        { was.parts[0].at, INT64_MAX },
		{ 0, RECALL_ABSENT - 1 },
	};
	for (int file = 0; file < KIST_RECALL_FILES; file++) {
		for (size_t i = 0; i < KIST_COUNT(places); i++) {
			entry->parts[file] = places[i];
			list_write(&data);
			assert_int_equal(list(), ALL_KEPT - 2);
		}
		entry->parts[file] = was.parts[file];
	}
	entry->parts[KIST_RECALL_CONFIG].length = RECALL_ABSENT;
	list_write(&data);
	assert_int_equal(list(), ALL_KEPT - 2);
	/* One that was not asked for is read, and the others are kept. */
	*entry = was;
	entry->parts[KIST_RECALL_STATE].length = RECALL_UNKNOWN;
	list_write(&data);
	assert_int_equal(list(), ALL_KEPT - 1);
	*entry = was;
	list_write(&data);
	assert_int_equal(list(), ALL_KEPT);
}

/* It was made by another version, or of another store: none of it is used, and a new one takes its place. */
static void test_other_version(void **state)
{
	KIST_STR struct kist_str data = { 0 }, again = { 0 };

	(void)state;
	for (int what = 0; what < 6; what++) {
		list_make(&data);
		struct head *head = head_of(&data);
		switch (what) {
		case 0:
			head->magic[7]++;
			break;
		case 1:
			head->device++;
			break;
		case 2:
			head->fields++;
			break;
		case 3:
			head->entries = UINT64_MAX / sizeof(struct recall_entry);
			break;
		case 4:
			head->entries = UINT64_MAX;
			break;
		default:
			head->entries = (data.len - sizeof(*head)) / sizeof(struct recall_entry) + 1;
			break;
		}
		head->sum = (uint32_t)crc32_z(0, (const void *)(data.data + sizeof(*head)), data.len - sizeof(*head));
		file_put(k->runroot, "list", data.data, data.len);
		assert_int_equal(list(), 0);
		list_read(&again);
		assert_int_equal(head_of(&again)->entries, MANY);
		mark(&again);
		list_write(&again);
		assert_int_equal(list(), ALL_KEPT);
	}
}

/* Whether anything of the list is used. */
static bool is_used(void)
{
	struct kist_recall *recall = kist_recall_open(k, ids, MANY);
	struct seen seen = look(recall, ids[1]);

	assert_int_equal(seen.config, 0);
	assert_int_equal(seen.state, 0);
	assert_int_equal(seen.config_kept, seen.state_kept);
	kist_recall_close(recall);
	return seen.config_kept;
}

static void test_cut_anywhere(void **state)
{
	KIST_STR struct kist_str data = { 0 };

	(void)state;
	list_make(&data);
	assert_true(is_used());
	int fd KIST_CLOSE = openat(k->runroot, "list", O_RDWR | O_CLOEXEC);
	for (size_t n = data.len; n-- > 0;) {
		assert_int_equal(ftruncate(fd, (off_t)n), 0);
		assert_false(is_used());
	}
	/* Longer than it was. */
	assert_int_equal(pwrite(fd, data.data, data.len, 0), data.len);
	assert_true(is_used());
	assert_int_equal(ftruncate(fd, (off_t)data.len + 1), 0);
	assert_false(is_used());
}

static void test_damaged_anywhere(void **state)
{
	KIST_STR struct kist_str data = { 0 };

	(void)state;
	list_make(&data);
	int fd KIST_CLOSE = openat(k->runroot, "list", O_RDWR | O_CLOEXEC);
	for (size_t n = 0; n < data.len; n++) {
		char wrong = (char)(data.data[n] ^ (1 << n % 8));
		assert_int_equal(pwrite(fd, &wrong, 1, (off_t)n), 1);
		assert_false(is_used());
		assert_int_equal(pwrite(fd, data.data + n, 1, (off_t)n), 1);
	}
	assert_true(is_used());
}

static void test_changed(void **state)
{
	KIST_STR struct kist_str data = { 0 };

	(void)state;
	list_make(&data);
	config_put(1, "true"); /* another file with the same text */
	state_put(2, "true");  /* and of the state alone */
	state_put(3, "true");  /* one that had none */
	int fourth KIST_CLOSE = container_dir(4);
	assert_int_equal(unlinkat(fourth, "state", 0), 0);
	struct kist_recall *recall = kist_recall_open(k, ids, MANY);
	for (size_t i = 0; i < MANY; i++) {
		struct seen seen = look(recall, ids[i]);
		assert_int_equal(seen.config, 0);
		assert_int_equal(seen.state, (has_state(i) || i == 3) && i != 4 ? 0 : -ENOENT);
		bool same = i == 0 || i > 4;
		assert_int_equal(seen.config_kept, same);
		assert_int_equal(seen.state_kept, has_state(i) && same);
	}
	kist_recall_close(recall);
	state_put(4, "true");
	int third KIST_CLOSE = container_dir(3);
	assert_int_equal(unlinkat(third, "state", 0), 0);
	settle();
}

/* A new list takes over what holds of the old one, in its place among what is new. */
static void test_written_anew(void **state)
{
	KIST_STR struct kist_str data = { 0 };
	size_t old = 0;

	(void)state;
	list_make(&data);
	for (size_t i = 0; i < MANY; i++) {
		if (i % 8 == 0)
			old++;
		else
			config_put(i, "true");
	}
	assert_true(MANY - old > FEW);
	settle();
	size_t states = 0;
	for (size_t i = 0; i < MANY; i += 8)
		states += has_state(i);
	assert_int_equal(list(), old + states);
	list_read(&data);
	assert_int_equal(head_of(&data)->entries, MANY);
	for (size_t i = 1; i < MANY; i++)
		assert_true(memcmp(entries_of(&data)[i - 1].id, entries_of(&data)[i].id, 64) < 0);
	assert_int_equal(list(), old + states);
	mark(&data);
	list_write(&data);
	assert_int_equal(list(), ALL_KEPT);
}

/* What has only just changed may change again at the same time: the list is without it. */
static void test_unsettled(void **state)
{
	KIST_STR struct kist_str data = { 0 };

	(void)state;
	list_remove();
	config_put(10, "true");
	state_put(11, "true");
	assert_int_equal(list(), 0);
	list_read(&data);
	assert_null(entry_of(&data, ids[10]));
	assert_null(entry_of(&data, ids[11]));
	assert_int_equal(head_of(&data)->entries, MANY - 2);
	settle();
	/* Two are no reason to write it; they are read each time. */
	mark(&data);
	list_write(&data);
	assert_int_equal(list(), ALL_KEPT - 4);
	assert_int_equal(list(), ALL_KEPT - 4);
}

static void test_removed_and_made(void **state)
{
	KIST_STR struct kist_str data = { 0 };
	struct kist_recall *recall;
	char last[65];

	(void)state;
	list_make(&data);
	for (size_t i = 20; i < 30; i++)
		container_remove(i);
	/* Those that a list named before they went away. */
	recall = kist_recall_open(k, ids, MANY);
	for (size_t i = 15; i < 35; i++) {
		bool gone = i >= 20 && i < 30;
		struct seen seen = look(recall, ids[i]);
		assert_int_equal(seen.config, gone ? -ENOENT : 0);
		assert_int_equal(seen.config_kept, !gone);
	}
	kist_recall_close(recall);
	/* One that came between those that the list knows, and one after them all. */
	memcpy(last, ids[20], 65);
	ids[20][63] = '1';
	container_put(20);
	recall = kist_recall_open(k, ids, MANY);
	assert_true(look(recall, ids[19]).config_kept);
	assert_int_equal(look(recall, ids[20]).config, 0);
	assert_true(look(recall, ids[31]).config_kept);
	kist_recall_close(recall);
	/* The next one that is written has forgotten them. */
	container_remove(20);
	memcpy(ids[20], last, 65);
	list_remove();
	recall = kist_recall_open(k, ids, MANY);
	for (size_t i = 0; i < MANY; i++)
		if (i < 20 || i >= 30)
			look(recall, ids[i]);
	kist_recall_close(recall);
	list_read(&data);
	assert_int_equal(head_of(&data)->entries, MANY - 10);
	assert_null(memmem(data.data, data.len, ids[20], 64));
	for (size_t i = 20; i < 30; i++)
		container_put(i);
	settle();
}

/* A list that is replaced while it is in use stays as it was for who has it. */
static void test_replaced_meanwhile(void **state)
{
	KIST_STR struct kist_str data = { 0 };
	size_t kept = 0;

	(void)state;
	list_make(&data);
	struct kist_recall *recall = kist_recall_open(k, ids, MANY);
	assert_true(look(recall, ids[0]).config_kept);
	list_remove();
	assert_int_equal(list(), 0);
	for (size_t i = 1; i < MANY; i++)
		kept += look(recall, ids[i]).config_kept;
	assert_int_equal(kept, MANY - 1);
	kist_recall_close(recall);
	assert_int_equal(list(), 0); /* the one without marks */
}

/* Several make and use it at once. */
static void test_at_once(void **state)
{
	pid_t children[3];

	(void)state;
	list_remove();
	for (size_t c = 0; c < KIST_COUNT(children); c++) {
		children[c] = child_fork();
		if (children[c] == 0) {
			for (int round = 0; round < 20; round++) {
				unlinkat(k->runroot, "list", 0);
				list();
			}
			_exit(0);
		}
		assert_true(children[c] > 0);
	}
	for (int round = 0; round < 20; round++)
		assert_int_equal(list(), 0);
	for (size_t c = 0; c < KIST_COUNT(children); c++) {
		int code = -1;
		assert_int_equal(waitpid(children[c], &code, 0), children[c]);
		assert_int_equal(code, 0);
	}
	list();
	assert_true(faccessat(k->runroot, "list", F_OK, 0) == 0);
}

/* Temporary files of a list that could not be written. */
static size_t leftovers(void)
{
	DIR *stream = fdopendir(openat(k->runroot, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	size_t n = 0;

	assert_non_null(stream);
	for (struct dirent *entry; (entry = readdir(stream));)
		n += kist_has_prefix(entry->d_name, KIST_TMP_PREFIX);
	closedir(stream);
	return n;
}

static void test_not_writable(void **state)
{
	const struct rlimit none = { 0, RLIM_INFINITY };
	struct rlimit was;

	(void)state;
	list_remove();
	/* No room. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(list(), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(faccessat(k->runroot, "list", F_OK, 0), -1);
	assert_int_equal(leftovers(), 0);
	/* Something else has its place. */
	assert_int_equal(mkdirat(k->runroot, "list", 0700), 0);
	assert_int_equal(list(), 0);
	assert_int_equal(unlinkat(k->runroot, "list", AT_REMOVEDIR), 0);
	assert_int_equal(leftovers(), 0);
	/* A link is not followed, neither to read nor to write. */
	KIST_STR struct kist_str data = { 0 }, target = { 0 };
	list_make(&data);
	assert_int_equal(renameat(k->runroot, "list", k->runroot, "elsewhere"), 0);
	assert_int_equal(symlinkat("elsewhere", k->runroot, "list"), 0);
	assert_int_equal(list(), 0);
	assert_true(kist_read_file(k->runroot, "elsewhere", 1 << 24, &target) >= 0);
	assert_true(target.len == data.len && memcmp(target.data, data.data, data.len) == 0);
	assert_int_equal(unlinkat(k->runroot, "elsewhere", 0), 0);
}

/* A record that is damaged is told of each time, and not kept. */
static void test_damaged_record(void **state)
{
	KIST_STR struct kist_str data = { 0 };

	(void)state;
	list_remove();
	int dir KIST_CLOSE = container_dir(40);
	file_put(dir, "config", "id=torn", 7);
	settle();
	for (int round = 0; round < 2; round++) {
		struct kist_recall *recall = kist_recall_open(k, ids, MANY);
		for (size_t i = 0; i < MANY; i++) {
			struct seen seen = look(recall, ids[i]);
			assert_int_equal(seen.config, i == 40 ? -EBADMSG : 0);
		}
		kist_recall_close(recall);
		list_read(&data);
		assert_null(entry_of(&data, ids[40]));
		assert_int_equal(head_of(&data)->entries, MANY - 1);
	}
	config_put(40, "true");
	settle();
}

/* Exit records are read when they are asked for, and kept from then on, also that there is none. */
static void test_exit(void **state)
{
	KIST_STR struct kist_str data = { 0 }, text = { 0 };
	struct kist_recall *recall;

	(void)state;
	record_put(9, "exit", "code=3\nrun=1\n");
	settle();
	list_make(&data);
	assert_int_equal(entry_of(&data, ids[9])->parts[KIST_RECALL_EXIT].length, RECALL_UNKNOWN);
	for (int round = 0; round < 2; round++) {
		recall = kist_recall_open(k, ids, MANY);
		for (size_t i = 0; i < MANY; i++) {
			look(recall, ids[i]);
			int r = kist_recall_read(recall, ids[i], KIST_RECALL_EXIT, &text);
			assert_int_equal(r, i == 9 ? 0 : -ENOENT);
			assert_string_equal(text.data, i != 9 ? "" : round ? "code=4\nrun=1\n" : "code=3\nrun=1\n");
		}
		kist_recall_close(recall);
		list_read(&data);
		struct recall_part *part = &entry_of(&data, ids[9])->parts[KIST_RECALL_EXIT];
		assert_int_equal(entry_of(&data, ids[10])->parts[KIST_RECALL_EXIT].length, RECALL_ABSENT);
		assert_int_equal(part->length, strlen("code=3\nrun=1\n"));
		data.data[part->at + strlen("code=")] = '4';
		list_write(&data);
	}
	/* The rest of the entry is there, too. */
	assert_int_equal(list(), ALL_KEPT);
	/* It comes, and it goes. */
	record_put(10, "exit", "code=5\n");
	int ninth KIST_CLOSE = container_dir(9);
	assert_int_equal(unlinkat(ninth, "exit", 0), 0);
	recall = kist_recall_open(k, ids, MANY);
	look(recall, ids[9]);
	assert_int_equal(kist_recall_read(recall, ids[9], KIST_RECALL_EXIT, &text), -ENOENT);
	look(recall, ids[10]);
	assert_int_equal(kist_recall_read(recall, ids[10], KIST_RECALL_EXIT, &text), 0);
	assert_string_equal(text.data, "code=5\n");
	kist_recall_close(recall);
	int tenth KIST_CLOSE = container_dir(10);
	assert_int_equal(unlinkat(tenth, "exit", 0), 0);
	settle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_short_lists),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_damaged_anywhere),
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_written_anew),
		cmocka_unit_test(test_unsettled),
		cmocka_unit_test(test_removed_and_made),
		cmocka_unit_test(test_replaced_meanwhile),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_not_writable),
		cmocka_unit_test(test_damaged_record),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
