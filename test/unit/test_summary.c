/* What ps says of a container. */
#include "test/unit/view_help.h"

#include <signal.h>

static void expect_status(struct kist_container *c, const char *expected)
{
	KIST_FREE char *text = kist_container_status_text(c);

	assert_string_equal(text, expected);
}

static void test_status(void **state)
{
	struct kist_container c = { .config = { .name = NULL } };
	int64_t now = kist_now_wall();

	(void)state;
	static const struct {
		int status;
		const char *text;
	} plain[] = {
		{ KIST_CONFIGURED, "Created" }, { KIST_CREATED, "Initialized" }, { KIST_STOPPING, "Stopping" },
		{ KIST_REMOVING, "Removing" },  { KIST_UNKNOWN, "Unknown" },
	};
	for (size_t i = 0; i < KIST_COUNT(plain); i++) {
		c.state.status = plain[i].status;
		expect_status(&c, plain[i].text);
	}
	c.state.status = KIST_RUNNING;
	c.state.started = now - 185 * KIST_NSEC_PER_SEC;
	expect_status(&c, "Up 3 minutes");
	c.state.status = KIST_PAUSED;
	expect_status(&c, "Up 3 minutes (Paused)");
	c.state.status = KIST_EXITED;
	c.state.exit_code = 7;
	c.state.finished = now - 2 * 3600 * KIST_NSEC_PER_SEC;
	expect_status(&c, "Exited (7) 2 hours ago");
	c.state.status = KIST_STOPPED;
	expect_status(&c, "Exited (7) 2 hours ago");
	c.state.exit_code = -1;
	expect_status(&c, "Exited (unknown) 2 hours ago");
	/* The clock was set back since. */
	c.state.finished = now + 3600 * KIST_NSEC_PER_SEC;
	expect_status(&c, "Exited (unknown) Less than a second ago");
}

/* A clock that was set at boot does not age containers: the process's own start counts. */
static void test_uptime_is_monotonic(void **state)
{
	struct kist_container c = { .config = { .name = NULL } };
	struct kist_proc_id self;

	(void)state;
	assert_int_equal(kist_proc_identify(getpid(), &self), 0);
	c.state.status = KIST_RUNNING;
	c.state.pid_start = self.start;
	c.state.started = 0; /* 1970 */
	KIST_FREE char *text = kist_container_status_text(&c);
	assert_true(kist_streq(text, "Up Less than a second") || strstr(text, "second"));
}

/* podman ps --format json has these; Labels and Namespaces are objects even when empty. */
static void test_document(void **state)
{
	static const char *const keys[] = { "AutoRemove", "Command",  "CreatedAt",    "CIDFile",   "Exited",
		                            "ExitedAt",   "ExitCode", "ExposedPorts", "Id",        "Image",
		                            "ImageID",    "IsInfra",  "Labels",       "Mounts",    "Names",
		                            "Namespaces", "Networks", "Pid",          "Pod",       "PodName",
		                            "Ports",      "Restarts", "Size",         "StartedAt", "State",
		                            "Status",     "Created" };
	struct kist_container_config config;
	KIST_JSON struct json_object *document = NULL;

	(void)state;
	kist_container_config_init(&config);
	kist_strv_add(&config.labels, "a=b");
	struct kist_container *c = container_make(&config, "summed");
	assert_int_equal(kist_container_summary(c, false, &document, NULL), 0);
	for (size_t i = 0; i < KIST_COUNT(keys); i++)
		json_at(document, keys[i]);
	assert_int_equal(json_object_object_length(document), KIST_COUNT(keys));
	assert_string_equal(text_at(document, "Labels.a"), "b");
	assert_string_equal(text_at(document, "State"), "created");
	assert_string_equal(text_at(document, "Status"), "Created");
	assert_int_equal(json_object_get_int64(json_at(document, "StartedAt")), -62135596800);
	assert_int_equal(json_object_get_int64(json_at(document, "Created")), c->config.created / KIST_NSEC_PER_SEC);
	assert_null(json_at(document, "Size"));
	kist_container_config_clear(&config);
	container_drop(c);
}

static void test_running_document(void **state)
{
	struct kist_container_config config;
	KIST_JSON struct json_object *document = NULL;
	char link[64];

	(void)state;
	kist_container_config_init(&config);
	struct kist_container *c = container_make(&config, "running");
	container_runs(c, getpid(), getpid());
	assert_int_equal(kist_container_summary(c, true, &document, NULL), 0);
	assert_int_equal(json_object_get_int64(json_at(document, "Pid")), getpid());
	ssize_t n = readlink("/proc/self/ns/mnt", link, sizeof(link) - 1);
	assert_true(n > 0);
	link[n] = '\0';
	assert_non_null(strstr(link, text_at(document, "Namespaces.Mnt")));
	assert_int_equal(json_object_get_int64(json_at(document, "Size.rwSize")), 0); /* a directory of the user's */
	kist_container_config_clear(&config);
	container_drop(c);
}

/* A list's handle has all that a summary shows: the record is not read once more. */
static void test_brief(void **state)
{
	struct kist_container_config config;
	struct kist_container **list = NULL;
	KIST_JSON struct json_object *whole = NULL, *brief = NULL, *read = NULL;
	size_t n = 0;

	(void)state;
	kist_container_config_init(&config);
	kist_strv_add(&config.labels, "a=b");
	kist_strv_add(&config.expose, "99/tcp");
	config.cidfile = kist_strdup("/run/cid");
	config.auto_remove = true;
	config.image_name = kist_strdup("localhost/busybox:latest");
	config.mounts = kist_alloc(sizeof(*config.mounts));
	config.mounts[config.n_mounts++] = (struct kist_mount_config){ .source = kist_strdup("/tmp"),
		                                                       .destination = kist_strdup("/there"),
		                                                       .type = kist_strdup("bind") };
	free(config.net_ns);
	config.net_ns = kist_strdup("private");
	config.networks = kist_alloc(sizeof(*config.networks));
	config.networks[config.n_networks++] = (struct kist_network_config){ .name = kist_strdup("kist") };
	config.ports = kist_alloc(sizeof(*config.ports));
	config.ports[config.n_ports++] = (struct kist_port_config){
		.host_port = 8080, .container_port = 80, .count = 3, .protocol = kist_strdup("udp")
	};
	struct kist_container *c = container_make(&config, "brief");
	assert_int_equal(kist_container_summary(c, false, &whole, NULL), 0);
	assert_string_equal(text_at(whole, "CIDFile"), "/run/cid");
	assert_int_equal(json_object_array_length(json_at(whole, "Ports")), 1);
	assert_int_equal(json_object_array_length(json_at(whole, "ExposedPorts")), 1);
	assert_int_equal(json_object_array_length(json_at(whole, "Mounts")), 1);
	assert_int_equal(json_object_array_length(json_at(whole, "Networks")), 1);

	assert_int_equal(kist_container_list_brief(store.k, true, &list, &n, NULL, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(renameat(kist_container_dir(c), "config", kist_container_dir(c), "away"), 0);
	assert_int_equal(kist_container_summary(list[0], false, &brief, NULL), 0);
	assert_true(json_object_equal(whole, brief));
	assert_int_equal(renameat(kist_container_dir(c), "away", kist_container_dir(c), "config"), 0);
	kist_container_list_free(list, n);
	/* Without those fields it is read. */
	assert_int_equal(kist_container_list_brief(store.k, false, &list, &n, NULL, NULL), 0);
	assert_int_equal(kist_container_summary(list[0], false, &read, NULL), 0);
	assert_true(json_object_equal(whole, read));
	kist_container_list_free(list, n);
	kist_container_config_clear(&config);
	container_drop(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),   cmocka_unit_test(test_uptime_is_monotonic),
		cmocka_unit_test(test_document), cmocka_unit_test(test_running_document),
		cmocka_unit_test(test_brief),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
