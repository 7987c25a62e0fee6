/* Pods: core/pod*.c; with real containers. Run as root. */
#include "store_help.h"

#include "core/pod.h"

#include <json-c/json.h>
#include <sys/file.h>

static struct kist_pod *pod_make(const char *name, const char *const *share, const char *exit_policy)
{
	struct kist_pod_config config;
	struct kist_container_config infra;
	struct kist_error err = { 0 };
	struct kist_pod *pod = NULL;

	kist_pod_config_init(&config);
	kist_container_config_init(&infra);
	config.name = kist_strdup(name);
	for (; share && *share; share++)
		kist_strv_add(&config.share, *share);
	if (exit_policy) {
		free(config.exit_policy);
		config.exit_policy = kist_strdup(exit_policy);
	}
	if (kist_pod_create(k, &config, &infra, &pod, &err) < 0)
		fail_msg("%s", err.text);
	kist_pod_config_clear(&config);
	kist_container_config_clear(&infra);
	return pod;
}

#define SHARE(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int member_make(const char *pod, const char *name, const char *script, const char *init_ctr,
                       struct kist_container **out, struct kist_error *err)
{
	struct kist_container_config config;

	config_make(&config, name, script);
	config.pod = kist_strdup(pod);
	config.init_ctr = kist_strdup(init_ctr);
	char **const modes[] = { &config.pid_ns,  &config.ipc_ns,    &config.uts_ns,
		                 &config.user_ns, &config.cgroup_ns, &config.net_ns };
	for (size_t i = 0; i < KIST_COUNT(modes) - 1; i++) {
		free(*modes[i]);
		*modes[i] = kist_strdup("pod");
	}
	int r = kist_container_create(k, &config, out, err);
	kist_container_config_clear(&config);
	return r;
}

static void remove_pod(struct kist_pod *pod)
{
	struct kist_error err = { 0 };

	if (kist_pod_remove(pod, KIST_REMOVE_FORCE, 0, &err) < 0)
		fail_msg("%s", err.text);
	kist_pod_free(pod);
	expect_nothing_left();
	assert_int_equal(count_entries(k->pods), 0);
}

/* --- records --------------------------------------------------------------------------------------------------------
 */

static void a_record_says_it_all(void **state)
{
	struct kist_pod *pod = pod_make("box", SHARE("ipc", "uts"), "stop"), *again = NULL;
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_pod_open(k, "box", &again, &err), 0);
	assert_true(kist_table_equal(&kist_pod_config_table, &pod->config, &again->config));
	assert_true(kist_pod_shares(again, "uts"));
	assert_false(kist_pod_shares(again, "net"));
	kist_pod_free(again);
	char prefix[9] = "";
	memcpy(prefix, pod->config.id, 8);
	assert_int_equal(kist_pod_open(k, prefix, &again, &err), 0);
	kist_pod_free(again);
	/* It is no container, and no container is it. */
	struct kist_container *c = NULL;
	assert_true(kist_container_open(k, "box", &c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_error_clear(&err);
	assert_true(kist_pod_open(k, pod->config.infra_name, &again, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	remove_pod(pod);
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *name, *share, *exit_policy;
		bool infra;
	} cases[] = {
		{ "-bad", NULL, "continue", true },
		{ "good", "mnt", "continue", true },
		{ "good", "net", "continue", false },
		{ "good", NULL, "restart", true },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct kist_pod_config config;
		struct kist_error err = { 0 };
		struct kist_pod *pod = NULL;
		kist_pod_config_init(&config);
		config.name = kist_strdup(cases[i].name);
		config.infra = cases[i].infra;
		if (cases[i].share)
			kist_strv_add(&config.share, cases[i].share);
		free(config.exit_policy);
		config.exit_policy = kist_strdup(cases[i].exit_policy);
		assert_true(kist_pod_create(k, &config, NULL, &pod, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		kist_pod_config_clear(&config);
	}
	expect_nothing_left();
	assert_int_equal(kist_pods_open(k, true, NULL), 0);
	assert_int_equal(count_entries(k->pods), 0);
}

static void a_crash_while_it_is_made_leaves_nothing(void **state)
{
	struct kist_pod *pod = pod_make("box", SHARE("ipc"), NULL), **list = NULL;
	struct kist_error err = { 0 };
	size_t n = 0;

	(void)state;
	/* The record is the last step. With its maker at work nobody touches it. */
	assert_int_equal(unlinkat(pod->dir, "config", 0), 0);
	int maker = openat(k->pods, pod->config.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(maker, LOCK_EX), 0);
	assert_int_equal(kist_pod_list(k, &list, &n, NULL, &err), 0);
	assert_int_equal(n, 0);
	kist_pod_list_free(list, n);
	assert_int_equal(count_entries(k->pods), 1);
	close(maker);
	kist_pod_free(pod);
	assert_int_equal(kist_pod_list(k, &list, &n, NULL, &err), 0);
	kist_pod_list_free(list, n);
	assert_int_equal(count_entries(k->pods), 0);
	expect_nothing_left();
}

static void a_name_outlives_nobody(void **state)
{
	struct kist_pod *pod = pod_make("box", NULL, NULL);
	struct kist_error err = { 0 };
	char id[65];

	(void)state;
	assert_true(kist_name_claim(k, KIST_NAMED_CONTAINER, "box", "x", &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	kist_error_clear(&err);
	/* A damaged record keeps its name, and can be evicted. */
	file_put(pod->dir, "config", "id=x\n", 5);
	struct kist_pod *again = NULL;
	assert_true(kist_pod_open(k, "box", &again, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_CORRUPT);
	kist_error_clear(&err);
	assert_true(kist_name_claim(k, KIST_NAMED_POD, "box", pod->config.infra_id, &err) < 0);
	kist_error_clear(&err);
	char **broken = NULL;
	struct kist_pod **list = NULL;
	size_t n = 0;
	assert_int_equal(kist_pod_list(k, &list, &n, &broken, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(kist_strv_len(broken), 1);
	kist_strv_free(broken);
	kist_pod_list_free(list, n);
	if (kist_pod_evict(k, "box", id, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(id, pod->config.id);
	kist_pod_free(pod);
	assert_int_equal(count_entries(k->pods), 0);
	expect_nothing_left();
}

/* --- containers -----------------------------------------------------------------------------------------------------
 */

static void a_container_joins_what_is_shared(void **state)
{
	struct kist_pod *pod = pod_make("box", SHARE("ipc", "pid"), NULL);
	struct kist_container *c = NULL, *infra = NULL;
	struct kist_error err = { 0 };

	(void)state;
	if (member_make("box", "one", "true", NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	KIST_FREE char *joined = kist_asprintf("container:%s", pod->config.infra_id);
	KIST_FREE char *parent = kist_asprintf("/kist/%s", pod->config.id);
	assert_string_equal(c->config.pod, pod->config.id);
	assert_string_equal(c->config.pid_ns, joined);
	assert_string_equal(c->config.ipc_ns, joined);
	assert_string_equal(c->config.uts_ns, "private");
	assert_string_equal(c->config.user_ns, "host");
	assert_string_equal(c->config.cgroup_ns, "private");
	assert_string_equal(c->config.net_ns, "none");
	assert_string_equal(c->config.cgroup_parent, parent);
	KIST_STRV char **marks = kist_pod_marks(pod->dir);
	assert_int_equal(kist_strv_len(marks), 2);
	/* The infra container goes with the pod alone. */
	assert_int_equal(kist_container_load(k, pod->config.infra_id, &infra, &err), 0);
	assert_true(kist_container_remove(infra, KIST_REMOVE_FORCE | KIST_REMOVE_DEPEND, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	kist_container_free(infra);
	remove_one(c);
	kist_strv_free(marks);
	marks = kist_pod_marks(pod->dir);
	assert_int_equal(kist_strv_len(marks), 1);
	remove_pod(pod);
}

static void nobody_joins_while_it_is_removed(void **state)
{
	struct kist_pod *pod = pod_make("box", NULL, NULL);
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	(void)state;
	int removing = kist_lock(pod->dir, "removing", true, true);
	assert_true(removing >= 0);
	assert_true(member_make("box", "one", "true", NULL, &c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	close(removing);
	kist_error_clear(&err);
	assert_true(member_make("box", "one", "true", "sometimes", &c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	remove_pod(pod);
}

static void what_the_infra_container_has_is_inherited(void **state)
{
	struct kist_container_config mine, infra;

	(void)state;
	kist_container_config_init(&mine);
	kist_container_config_init(&infra);
	infra.mounts = kist_grow(NULL, 2, sizeof(*infra.mounts));
	infra.n_mounts = 2;
	infra.mounts[0] = (struct kist_mount_config){ .destination = kist_strdup("/a"), .type = kist_strdup("tmpfs") };
	infra.mounts[1] = (struct kist_mount_config){ .destination = kist_strdup("/b"), .type = kist_strdup("tmpfs") };
	infra.named_volumes = kist_grow(NULL, 1, sizeof(*infra.named_volumes));
	infra.n_named_volumes = 1;
	infra.named_volumes[0] = (struct kist_volume_mount_config){ .destination = kist_strdup("/v"),
		                                                    .name = kist_strdup("data"),
		                                                    .anonymous = true };
	infra.seccomp = kist_strdup("unconfined");
	infra.no_new_privileges = true;
	mine.mounts = kist_grow(NULL, 1, sizeof(*mine.mounts));
	mine.n_mounts = 1;
	mine.mounts[0] = (struct kist_mount_config){ .destination = kist_strdup("/b"), .type = kist_strdup("ramfs") };
	kist_container_config_inherit(&mine, &infra);
	assert_int_equal(mine.n_mounts, 2);
	assert_string_equal(mine.mounts[0].type, "ramfs"); /* one's own counts first */
	assert_string_equal(mine.mounts[1].destination, "/a");
	assert_int_equal(mine.n_named_volumes, 1);
	assert_false(mine.named_volumes[0].anonymous);
	assert_string_equal(mine.seccomp, "unconfined");
	assert_true(mine.no_new_privileges);
	kist_container_config_clear(&mine);
	kist_container_config_clear(&infra);
}

/* --- state ----------------------------------------------------------------------------------------------------------
 */

static void the_state_follows_from_the_containers(void **state)
{
	static const struct {
		enum kist_pod_status want;
		int states[4]; /* ended by -1 */
	} cases[] = {
		{ KIST_POD_CREATED, { -1 } },
		{ KIST_POD_CREATED, { KIST_CONFIGURED, KIST_CREATED, -1 } },
		{ KIST_POD_RUNNING, { KIST_RUNNING, KIST_STOPPING, -1 } },
		{ KIST_POD_DEGRADED, { KIST_RUNNING, KIST_EXITED, KIST_PAUSED, -1 } },
		{ KIST_POD_DEGRADED, { KIST_RUNNING, KIST_CONFIGURED, -1 } },
		{ KIST_POD_PAUSED, { KIST_PAUSED, KIST_PAUSED, -1 } },
		{ KIST_POD_STOPPED, { KIST_EXITED, KIST_CONFIGURED, -1 } },
		{ KIST_POD_EXITED, { KIST_EXITED, KIST_STOPPED, -1 } },
		{ KIST_POD_ERROR, { KIST_UNKNOWN, KIST_CONFIGURED, -1 } },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(cases); i++) {
		struct kist_container containers[4] = { 0 }, *list[4];
		size_t n = 0;
		for (; n < 3 && cases[i].states[n] >= 0; n++) {
			containers[n].state.status = cases[i].states[n];
			list[n] = &containers[n];
		}
		if (kist_pod_status(list, n) != cases[i].want)
			fail_msg("case %zu: %s", i, kist_pod_status_name(kist_pod_status(list, n)));
		/* One that only prepares does not count. */
		containers[n].config.init_ctr = (char *)"always";
		containers[n].state.status = KIST_EXITED;
		list[n] = &containers[n];
		assert_int_equal(kist_pod_status(list, n + 1), cases[i].want);
	}
}

static enum kist_pod_status status_of_pod(struct kist_pod *pod)
{
	struct kist_container **list = NULL;
	size_t n = 0;

	assert_int_equal(kist_pod_containers(pod, &list, &n, NULL), 0);
	enum kist_pod_status status = kist_pod_status(list, n);
	kist_container_list_free(list, n);
	return status;
}

static bool reaches(struct kist_pod *pod, enum kist_pod_status wanted)
{
	for (int i = 0; i < 500; i++) {
		if (status_of_pod(pod) == wanted)
			return true;
		usleep(20000);
	}
	return false;
}

static void a_pod_lives(void **state)
{
	struct kist_pod *pod = pod_make("box", SHARE("ipc", "uts"), "stop");
	struct kist_container *one = NULL, *two = NULL;
	struct kist_error err = { 0 };
	struct json_object *document = NULL, *value = NULL;

	(void)state;
	assert_int_equal(
	        member_make("box", "one", "trap 'exit 0' TERM; while :; do sleep 0.05; done", NULL, &one, &err), 0);
	assert_int_equal(
	        member_make("box", "two", "trap 'exit 0' TERM; while :; do sleep 0.05; done", NULL, &two, &err), 0);
	assert_int_equal(status_of_pod(pod), KIST_POD_CREATED);
	/* One of them starts: the infra container comes along, nothing else. */
	if (kist_container_start(one, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(status_of_pod(pod), KIST_POD_DEGRADED);
	if (kist_pod_start(pod, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(status_of_pod(pod), KIST_POD_RUNNING);
	assert_int_equal(kist_pod_inspect(pod, &document, &err), 0);
	assert_true(json_object_object_get_ex(document, "NumContainers", &value));
	assert_int_equal(json_object_get_int(value), 3);
	assert_true(json_object_object_get_ex(document, "State", &value));
	assert_string_equal(json_object_get_string(value), "Running");
	json_object_put(document);
	assert_true(kist_pod_remove(pod, 0, -1, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	kist_error_clear(&err);
	/* Exit policy stop: the infra container ends when nothing else is left. */
	assert_int_equal(kist_container_kill(one, SIGKILL, &err), 0);
	assert_int_equal(kist_container_kill(two, SIGKILL, &err), 0);
	assert_true(reaches(pod, KIST_POD_EXITED));
	if (kist_pod_start(pod, &err) < 0 || kist_pod_stop(pod, 5, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(reaches(pod, KIST_POD_EXITED));
	assert_int_equal(kist_pod_stop(pod, 5, &err), 0); /* again is no error */
	kist_container_free(one);
	kist_container_free(two);
	remove_pod(pod);
}

static void init_containers_run_first_and_to_their_end(void **state)
{
	struct kist_pod *pod = pod_make("box", SHARE("ipc"), NULL);
	struct kist_container *first = NULL, *second = NULL, *usual = NULL;
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(member_make("box", "first", "echo 1 >/dev/shm/log; sleep 0.1", "always", &first, &err), 0);
	assert_int_equal(member_make("box", "second", "grep -q 1 /dev/shm/log && exit 3; echo 2 >>/dev/shm/log", "once",
	                             &second, &err),
	                 0);
	assert_int_equal(member_make("box", "usual", "sleep 1000", NULL, &usual, &err), 0);
	assert_true(kist_pod_start(pod, &err) < 0);
	assert_non_null(strstr(err.text, "init container second ended with exit code"));
	assert_int_equal(status_of("usual"), KIST_CONFIGURED);
	assert_int_equal(status_of("first"), KIST_EXITED);
	kist_container_free(first);
	kist_container_free(second);
	kist_container_free(usual);
	remove_pod(pod);
}

int main(int argc, char **argv)
{
	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, NULL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_says_it_all),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(a_crash_while_it_is_made_leaves_nothing),
		cmocka_unit_test(a_name_outlives_nobody),
		cmocka_unit_test(a_container_joins_what_is_shared),
		cmocka_unit_test(nobody_joins_while_it_is_removed),
		cmocka_unit_test(what_the_infra_container_has_is_inherited),
		cmocka_unit_test(the_state_follows_from_the_containers),
		cmocka_unit_test(a_pod_lives),
		cmocka_unit_test(init_containers_run_first_and_to_their_end),
	};

	return cmocka_run_group_tests_name("pod", tests, store_setup, store_teardown);
}
