/* A store of its own with one hand-made container, for the tests of what shows containers. */
#ifndef KIST_TEST_VIEW_HELP_H
#define KIST_TEST_VIEW_HELP_H

#include "test/unit/child.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A process that does not outlive its parent: an assertion that fails leaves nothing behind. */
KIST_UNUSED static pid_t fork_bound(void)
{
	pid_t pid = child_fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

struct store {
	char path[64];
	struct kist *k;
};

static struct store store;

/* -1 where this machine does not let us: not root. */
KIST_UNUSED static int store_setup(void **state)
{
	(void)state;
	snprintf(store.path, sizeof(store.path), "/tmp/kist-view-XXXXXX");
	if (!mkdtemp(store.path))
		return -1;
	KIST_FREE char *root = kist_asprintf("%s/root", store.path);
	KIST_FREE char *run = kist_asprintf("%s/run", store.path);
	struct kist_error err = { 0 };
	if (kist_open_at(&store.k, root, run, false, &err) == 0)
		return 0;
	print_error("%s\n", err.text);
	return -1;
}

KIST_UNUSED static int store_teardown(void **state)
{
	(void)state;
	kist_close(store.k);
	return kist_remove_tree(AT_FDCWD, store.path);
}

/* A container over a plain directory, by whatever the caller put into config. */
KIST_UNUSED static struct kist_container *container_make(struct kist_container_config *config, const char *name)
{
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	free(config->name);
	config->name = kist_strdup(name);
	if (!config->rootfs)
		config->rootfs = kist_strdup("/tmp");
	if (!config->command) {
		kist_strv_add(&config->command, "/bin/sh");
		kist_strv_add(&config->command, "-c");
		kist_strv_add(&config->command, "true");
	}
	if (kist_container_create(store.k, config, &c, &err) < 0)
		fail_msg("create: %s", err.text);
	return c;
}

KIST_UNUSED static void container_drop(struct kist_container *c)
{
	assert_int_equal(kist_remove_tree(store.k->containers, kist_container_id(c)), 0);
	kist_name_release(store.k, kist_container_name(c), kist_container_id(c));
	kist_container_free(c);
}

/* Says in the record that the container runs, as process pid, watched by monitor. */
KIST_UNUSED static void container_runs(struct kist_container *c, pid_t pid, pid_t monitor)
{
	struct kist_proc_id id;

	c->state.status = KIST_RUNNING;
	c->state.started = kist_now_wall();
	assert_int_equal(kist_proc_identify(pid, &id), 0);
	c->state.pid = id.pid;
	c->state.pid_start = id.start;
	assert_int_equal(kist_proc_identify(monitor, &id), 0);
	c->state.monitor_pid = id.pid;
	c->state.monitor_start = id.start;
	assert_int_equal(kist_container_save(c, NULL), 0);
}

KIST_UNUSED static struct json_object *json_at(struct json_object *json, const char *path)
{
	KIST_STRV char **parts = kist_strv_split(path, '.');

	for (size_t i = 0; parts && parts[i]; i++) {
		struct json_object *child = NULL;
		if (!json_object_object_get_ex(json, parts[i], &child))
			fail_msg("no key %s in %s", parts[i], path);
		json = child;
	}
	return json;
}

KIST_UNUSED static const char *text_at(struct json_object *json, const char *path)
{
	return json_object_get_string(json_at(json, path));
}

#endif
