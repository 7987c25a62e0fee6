/* A store of its own below /tmp for tests of the engine, with a busybox root to run containers from. */
#ifndef STORE_HELP_H
#define STORE_HELP_H

#include "test/unit/child.h"
#include "core/internal.h"

#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/monitor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/kist-test-XXXXXX";
static char root_path[64], run_path[64], rootfs_path[64];
static struct kist *k;

static KIST_UNUSED struct kist *store_open(void)
{
	struct kist *opened = NULL;
	struct kist_error err = { 0 };
	struct kist_options options = {
		.root = root_path, .runroot = run_path, .config_file = "/dev/null", .binary = KIST_SELF
	};

	if (kist_open(&opened, &options, &err) < 0)
		fail_msg("%s", err.text);
	return opened;
}

/* Not every test runs containers: without busybox those that do are skipped by have_rootfs. */
static bool make_rootfs(void)
{
	static const char *const dirs[] = { "", "/bin", "/proc", "/sys", "/dev", "/etc", "/run", "/tmp" };
	static const char *const tools[] = { "sh", "sleep", "cat", "true", "false", "kill", "echo" };
	char path[128];
	KIST_STR struct kist_str text = { 0 };
	int from KIST_CLOSE = open("/bin/busybox", O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < KIST_COUNT(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", rootfs_path, dirs[i]);
		if (mkdir(path, 0755) < 0)
			return false;
	}
	if (from < 0 || kist_read_fd(from, 16u << 20, &text) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/bin/busybox", rootfs_path);
	int to KIST_CLOSE = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (to < 0 || kist_write_all(to, text.data, text.len) < 0)
		return false;
	for (size_t i = 0; i < KIST_COUNT(tools); i++) {
		snprintf(path, sizeof(path), "%s/bin/%s", rootfs_path, tools[i]);
		if (symlink("busybox", path) < 0)
			return false;
	}
	return true;
}

/* A test that is killed leaves monitors, which are meant to outlive who started them: this process waits for its end,
 * and takes away what is there then. */
static void store_guard(void)
{
	struct kist_container **list = NULL;
	size_t n = 0;
	char byte;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0 || child_fork() != 0) {
		close(ends[0]); /* the other end is open as long as the test lives */
		return;
	}
	close(ends[1]);
	setsid();
	for (int fd = 0; fd < 3; fd++)
		close(fd); /* who reads the test's output does not wait for us */
	while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
		continue;
	if (access(top, F_OK) == 0) {
		kist_open(&k,
		          &(struct kist_options){ .root = root_path,
		                                  .runroot = run_path,
		                                  .config_file = "/dev/null",
		                                  .binary = KIST_SELF },
		          NULL);
		if (k && kist_container_list(k, &list, &n, NULL, NULL) == 0)
			for (size_t i = 0; i < n; i++)
				kist_container_remove(list[i], KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND, 0, NULL);
		kist_remove_tree(AT_FDCWD, top);
	}
	_exit(0);
}

static int store_setup(void **state)
{
	(void)state;
	umask(022);
	if (!mkdtemp(top))
		return -1;
	snprintf(root_path, sizeof(root_path), "%s/root", top);
	snprintf(run_path, sizeof(run_path), "%s/run", top);
	snprintf(rootfs_path, sizeof(rootfs_path), "%s/rootfs", top);
	if (!make_rootfs())
		return -1;
	store_guard();
	k = store_open();
	return 0;
}

static KIST_UNUSED void remove_all(void)
{
	struct kist_container **list = NULL;
	char **broken = NULL;
	size_t n = 0;
	char id[65];

	assert_int_equal(kist_container_list(k, &list, &n, &broken, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		struct kist_error err = { 0 };
		if (kist_container_remove(list[i], KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND, 0, &err) < 0 &&
		    err.kind != KIST_ERR_REMOVED)
			fail_msg("%s", err.text);
	}
	kist_container_list_free(list, n);
	for (size_t i = 0; broken && broken[i]; i++)
		assert_int_equal(kist_container_evict(k, broken[i], id, NULL), 0);
	kist_strv_free(broken);
}

static int store_teardown(void **state)
{
	(void)state;
	remove_all();
	kist_close(k);
	return kist_remove_tree(AT_FDCWD, top);
}

static size_t count_entries(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fdopendir(fd);
	size_t n = 0;

	assert_non_null(stream);
	for (struct dirent *entry; (entry = readdir(stream));)
		n += entry->d_name[0] != '.' || kist_has_prefix(entry->d_name, KIST_TMP_PREFIX);
	closedir(stream);
	return n;
}

/* A monitor that removes its container tells so as soon as the container is gone for everybody, and deletes the files
 * after that. */
static KIST_UNUSED void expect_nothing_left(void)
{
	assert_int_equal(count_entries(k->names), 0);
	for (int i = 0; i < 3000 && (count_entries(k->containers) || count_entries(k->run_containers)); i++)
		usleep(10000);
	assert_int_equal(count_entries(k->containers), 0);
	assert_int_equal(count_entries(k->run_containers), 0);
}

static void config_make(struct kist_container_config *config, const char *name, const char *script)
{
	kist_container_config_init(config);
	config->name = kist_strdup(name);
	config->rootfs = kist_strdup(rootfs_path);
	kist_strv_add(&config->command, "/bin/sh");
	kist_strv_add(&config->command, "-c");
	kist_strv_add(&config->command, script);
}

static KIST_UNUSED struct kist_container *make(const char *name, const char *script)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, name, script);
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return c;
}

static KIST_UNUSED struct kist_container *run(const char *name, const char *script)
{
	struct kist_container *c = make(name, script);
	struct kist_error err = { 0 };

	if (kist_container_start(c, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static KIST_UNUSED void remove_one(struct kist_container *c)
{
	struct kist_error err = { 0 };

	if (kist_container_remove(c, KIST_REMOVE_FORCE, 0, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_free(c);
}

static KIST_UNUSED int status_of(const char *name)
{
	struct kist_container *c = NULL;

	assert_int_equal(kist_container_open(k, name, &c, NULL), 0);
	assert_int_equal(kist_container_sync(c, NULL), 0);
	int status = c->state.status;
	kist_container_free(c);
	return status;
}

/* Cuts or replaces a file of a record. */
static KIST_UNUSED void file_put(int dir, const char *name, const char *data, size_t len)
{
	int fd KIST_CLOSE = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(kist_write_all(fd, data, len), 0);
}

#endif
