/* Exit records: durable before clean-up begins, and found after the container is gone. */
#include "core/internal.h"
#include "core/recall.h"

#include "core/base/clock.h"
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

#define KEEP_SECONDS  300 /* how long a removed container's code can be asked for, as libpod */
#define PRUNE_SECONDS 60  /* at most one look at all records in that time */
#define PRUNE_MARK    ".pruned"

int kist_exit_write(struct kist_container *c, const struct kist_exit *record, struct kist_error *err)
{
	/* What removes itself is gone after a power cut, with its code: its record need only outlive processes. */
	if (!c->config.auto_remove && kist_record_write(kist_container_dir(c), "exit", &kist_exit_table, record, NULL,
	                                                !c->k->settings.volatile_, NULL) == 0)
		return 0;
	/* A full or broken disk: the run directory is memory, and better than nothing until the next boot. */
	int run = kist_container_rundir(c, err);
	return run < 0 ? run : kist_record_write(run, "exit", &kist_exit_table, record, NULL, false, err);
}

static int exit_read(int dir, const char *name, struct kist_exit *record)
{
	struct kist_exit found;

	/* What has its default value is not in the file. */
	kist_table_init(&kist_exit_table, &found);
	int r = dir < 0 ? -ENOENT : kist_record_read(dir, name, &kist_exit_table, &found, NULL, NULL);
	if (r == 0)
		*record = found;
	return r;
}

int kist_exit_read(struct kist_container *c, struct kist_exit *record)
{
	struct kist_exit here = { 0 }, fallback;
	char path[80];

	/* By path: a list of thousands would open two directories for each. */
	snprintf(path, sizeof(path), "%.64s/exit", c->config.id);
	int r = c->dir >= 0 ? exit_read(c->dir, "exit", &here) : exit_read(c->k->containers, path, &here);
	/* The fall-back of a full disk, when it is of a later run. */
	if (exit_read(c->k->run_containers, path, &fallback) == 0 && (r < 0 || fallback.run > here.run)) {
		here = fallback;
		r = 0;
	}
	if (r == 0)
		*record = here;
	return r;
}

/* Codes of removed containers that removed themselves: of this boot only. An fd or a negative errno. */
static int run_exits_open(struct kist *k, bool make)
{
	int fd = openat(k->runroot, "exits", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && make) {
		if (mkdirat(k->runroot, "exits", 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(k->runroot, "exits", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

int kist_exit_read_brief(struct kist_container *c, struct kist_recall *recall, bool marked, struct kist_exit *record)
{
	struct kist_exit found;
	KIST_STR struct kist_str text = { 0 };

	/* One in the run directory keeps the mark. */
	if (marked)
		return kist_exit_read(c, record);
	int r = kist_recall_read(recall, c->config.id, KIST_RECALL_EXIT, &text);
	if (r < 0)
		return r;
	kist_table_init(&kist_exit_table, &found);
	r = kist_kv_read_brief(&kist_exit_table, text.data, 0, &found, NULL);
	if (r == 0)
		*record = found;
	return r;
}

int kist_exit_find(struct kist *k, const char *id, struct kist_exit *record)
{
	KIST_CLOSE int run = run_exits_open(k, false);
	int r = exit_read(run, id, record);

	return r < 0 ? exit_read(k->exits, id, record) : r;
}

static void exits_prune(int exits)
{
	struct stat st;
	int64_t now = kist_now_wall() / KIST_NSEC_PER_SEC;

	if (fstatat(exits, PRUNE_MARK, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtime <= now &&
	    now - st.st_mtime < PRUNE_SECONDS)
		return;
	if (kist_replace_file(exits, PRUNE_MARK, "", 0, 0600, 0) < 0)
		return;
	int fd = openat(exits, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		kist_close_fd(&fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (kist_streq(entry->d_name, ".") || kist_streq(entry->d_name, "..") ||
		    kist_streq(entry->d_name, PRUNE_MARK))
			continue;
		/* ctime: the rename into this directory set it. */
		if (fstatat(exits, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && now - st.st_ctime > KEEP_SECONDS)
			unlinkat(exits, entry->d_name, 0);
	}
	closedir(dir);
}

void kist_exit_keep(struct kist_container *c)
{
	struct kist *k = c->k;
	struct kist_exit last = { 0 }, kept = { 0 };

	if (c->config.auto_remove && c->run_dir >= 0) {
		KIST_CLOSE int run = run_exits_open(k, true);
		if (run >= 0 && renameat(c->run_dir, "exit", run, c->config.id) == 0) {
			exits_prune(run);
			return;
		}
	}
	if (kist_exit_read(c, &last) < 0)
		return;
	if (renameat(kist_container_dir(c), "exit", k->exits, c->config.id) < 0 && errno != ENOENT)
		kist_debug("keep exit code of %s: %m", c->config.id);
	/* On a full disk the last one is in the run directory: by now there may be room again. */
	if ((kist_exit_find(k, c->config.id, &kept) < 0 || kept.run != last.run) &&
	    kist_record_write(k->exits, c->config.id, &kist_exit_table, &last, NULL, false, NULL) < 0)
		kist_debug("keep exit code of %s: %m", c->config.id);
	exits_prune(k->exits);
}
