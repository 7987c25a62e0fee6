/* core/oci*.c without containers: ids, records, states, documents, and the gate. */
#include "test/unit/child.h"
#include "core/oci_internal.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "core/internal.h"
#include "ns/launch.h"
#include "ns/stages.h"

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

struct place {
	char path[64], root[80];
	struct kist_oci *oci;
	struct kist_error err;
};

static int setup(void **state)
{
	struct place *p = kist_alloc(sizeof(*p));

	snprintf(p->path, sizeof(p->path), "/tmp/kist-oci-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	snprintf(p->root, sizeof(p->root), "%s/state", p->path);
	struct kist_oci_options options = { .root = p->root };
	assert_int_equal(kist_oci_open(&p->oci, &options, &p->err), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	kist_oci_close(p->oci);
	kist_remove_tree(AT_FDCWD, p->path);
	free(p);
	return 0;
}

/* A record as create leaves it, of a process that we are the parent of. */
static void put_record(struct place *p, const char *id, pid_t pid)
{
	struct kist_proc_id who = { 0 };
	struct kist_oci_state s = { .id = (char *)id, .pid = pid, .bundle = p->path, .oci_version = (char *)"1.1.0" };
	char *annotations[] = { (char *)"a.b=c=d", (char *)"empty=", NULL };

	assert_int_equal(oci_dir_make(p->oci, &p->err), 0);
	assert_int_equal(mkdirat(p->oci->dir, id, 0700), 0);
	KIST_CLOSE int dir = openat(p->oci->dir, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pid > 0)
		assert_int_equal(kist_proc_identify(pid, &who), 0);
	s.pid_start = who.start;
	s.annotations = annotations;
	s.created = 1700000000LL * 1000000000;
	assert_int_equal(kist_record_write(dir, "state", &kist_oci_state_table, &s, NULL, false, &p->err), 0);
}

static pid_t sleeper(void)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void test_ids(void **state)
{
	struct place *p = *state;
	static const char *const good[] = { "a", "A-b_c.d+1", "0" };
	static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "a b", "a\n", "\xc3\xa4" };
	char longest[300];

	for (size_t i = 0; i < KIST_COUNT(good); i++)
		assert_int_equal(oci_id_check(good[i], &p->err), 0);
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		assert_true(oci_id_check(bad[i], &p->err) < 0);
		assert_int_equal(p->err.kind, KIST_ERR_INVALID);
		kist_error_clear(&p->err);
	}
	memset(longest, 'a', sizeof(longest));
	longest[255] = '\0';
	assert_int_equal(oci_id_check(longest, &p->err), 0);
	longest[255] = 'a';
	longest[256] = '\0';
	assert_true(oci_id_check(longest, &p->err) < 0);
}

static void test_missing(void **state)
{
	struct place *p = *state;
	struct kist_oci_container *c = NULL, **list;
	size_t n;

	/* Before anything was written there is no directory, and looking makes none. */
	assert_int_equal(kist_oci_list(p->oci, &list, &n, &p->err), 0);
	assert_int_equal(n, 0);
	assert_true(kist_oci_load(p->oci, "gone", &c, &p->err) < 0);
	assert_int_equal(p->err.kind, KIST_ERR_NOT_FOUND);
	assert_string_equal(p->err.text, "container \"gone\" does not exist");
	kist_error_clear(&p->err);
	assert_true(kist_oci_delete(p->oci, "gone", false, &p->err) < 0);
	assert_int_equal(p->err.kind, KIST_ERR_NOT_FOUND);
	kist_error_clear(&p->err);
	assert_int_equal(kist_oci_delete(p->oci, "gone", true, &p->err), 0);
	assert_int_equal(access(p->root, F_OK), -1);
}

static const char *text_of(struct json_object *json, const char *key)
{
	return json_object_get_string(json_object_object_get(json, key));
}

static void test_state(void **state)
{
	struct place *p = *state;
	struct kist_oci_container *c = NULL;
	pid_t pid = sleeper();

	put_record(p, "one", pid);
	assert_int_equal(kist_oci_load(p->oci, "one", &c, &p->err), 0);
	assert_int_equal(c->status, KIST_OCI_RUNNING);
	struct json_object *json = kist_oci_state_json(c);
	assert_string_equal(text_of(json, "id"), "one");
	assert_string_equal(text_of(json, "status"), "running");
	assert_string_equal(text_of(json, "ociVersion"), "1.1.0");
	assert_string_equal(text_of(json, "bundle"), p->path);
	assert_string_equal(text_of(json, "created"), "2023-11-14T22:13:20.000000000Z");
	assert_int_equal(json_object_get_int(json_object_object_get(json, "pid")), pid);
	assert_string_equal(text_of(json_object_object_get(json, "annotations"), "a.b"), "c=d");
	assert_string_equal(text_of(json_object_object_get(json, "annotations"), "empty"), "");
	json_object_put(json);
	kist_oci_container_free(c);

	assert_true(kist_oci_delete(p->oci, "one", false, &p->err) < 0);
	assert_non_null(strstr(p->err.text, "that is not stopped: running"));
	kist_error_clear(&p->err);
	kill(pid, SIGKILL);
	assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
	assert_int_equal(kist_oci_load(p->oci, "one", &c, &p->err), 0);
	assert_int_equal(c->status, KIST_OCI_STOPPED);
	json = kist_oci_state_json(c);
	assert_int_equal(json_object_get_int(json_object_object_get(json, "pid")), 0);
	json_object_put(json);
	kist_oci_container_free(c);
	assert_true(kist_oci_kill(p->oci, "one", SIGTERM, false, &p->err) < 0);
	assert_string_equal(p->err.text, "container not running");
}

/* Another process with the same pid is not the container. */
static void test_reused_pid(void **state)
{
	struct place *p = *state;
	struct kist_oci_container *c = NULL;
	struct kist_oci_state s = { .id = (char *)"old", .pid = getpid(), .pid_start = 1 };

	put_record(p, "old", 0);
	KIST_CLOSE int dir = openat(p->oci->dir, "old", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_record_write(dir, "state", &kist_oci_state_table, &s, NULL, false, &p->err), 0);
	assert_int_equal(kist_oci_load(p->oci, "old", &c, &p->err), 0);
	assert_int_equal(c->status, KIST_OCI_STOPPED);
	kist_oci_container_free(c);
	/* It must not be killed either. */
	assert_int_equal(kist_oci_delete(p->oci, "old", true, &p->err), 0);
	assert_true(kist_oci_load(p->oci, "old", &c, NULL) < 0);
}

static void test_creating(void **state)
{
	struct place *p = *state;
	struct kist_oci_container *c = NULL;

	put_record(p, "half", 0);
	KIST_CLOSE int dir = openat(p->oci->dir, "half", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock = kist_lock(dir, "lock", true, false);
	assert_int_equal(kist_oci_load(p->oci, "half", &c, &p->err), 0);
	assert_int_equal(c->status, KIST_OCI_CREATING);
	kist_oci_container_free(c);
	/* Its maker was killed. */
	kist_close_fd(&lock);
	assert_int_equal(kist_oci_load(p->oci, "half", &c, &p->err), 0);
	assert_int_equal(c->status, KIST_OCI_STOPPED);
	kist_oci_container_free(c);
}

static void test_torn_record(void **state)
{
	struct place *p = *state;
	struct kist_oci_container *c = NULL, **list;
	KIST_STR struct kist_str text = { 0 };
	size_t n;

	put_record(p, "torn", 0);
	put_record(p, "whole", 0);
	KIST_CLOSE int dir = openat(p->oci->dir, "torn", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_read_file(dir, "state", 65536, &text), 0);
	for (size_t cut = 0; cut < text.len; cut++) {
		assert_int_equal(kist_replace_file(dir, "state", text.data, cut, 0600, 0), 0);
		assert_true(kist_oci_load(p->oci, "torn", &c, &p->err) < 0);
		assert_int_equal(p->err.kind, KIST_ERR_CORRUPT);
		kist_error_clear(&p->err);
	}
	assert_int_equal(kist_oci_list(p->oci, &list, &n, &p->err), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0]->state.id, "whole");
	kist_oci_container_free(list[0]);
	free(list);
}

/* --- the gate -------------------------------------------------------------------------------------------------------
 */

enum { GATE_EXEC, GATE_FAIL };

static pid_t gate_child(int gate, int how)
{
	pid_t pid = child_fork();

	if (pid)
		return pid;
	int fd = kist_ns_gate_await(gate);
	if (how == GATE_FAIL) {
		struct kist_error err = { 0 };
		kist_fail(&err, KIST_ERR_EXEC_MISSING, ENOENT, "no such program");
		kist_ns_stage_send_error(fd, &err);
		_exit(1);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl("/bin/sleep", "sleep", "100", (char *)NULL);
	_exit(1);
}

static void run_gate(struct place *p, int how)
{
	KIST_CLOSE int dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int gate = kist_ns_gate_listen(dir, "gate", &p->err);

	assert_true(gate >= 0);
	assert_int_equal(fstatat(dir, "gate", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	pid_t pid = gate_child(gate, how);
	kist_close_fd(&gate);
	/* Who knocks and leaves opens nothing. */
	for (int i = 0; i < 50; i++) {
		int fd = kist_ns_gate_connect(dir, "gate");
		assert_true(fd >= 0);
		kist_close_fd(&fd);
	}
	int fd = kist_ns_gate_connect(dir, "gate");
	assert_true(fd >= 0);
	int r = kist_ns_gate_start(fd, &p->err);
	if (how == GATE_EXEC) {
		assert_int_equal(r, 0);
	} else {
		assert_int_equal(p->err.kind, KIST_ERR_EXEC_MISSING);
		assert_string_equal(p->err.text, "no such program");
		kist_error_clear(&p->err);
		assert_int_equal(kist_wait_pid(pid), 1);
	}
	/* Nobody waits there any more, though the name is there. */
	int knock = -EAGAIN;
	for (int i = 0; i < 4000 && knock != -ECONNREFUSED; i++) {
		/* The kernel closes the two sockets of execve(2) in an order of its own. */
		knock = kist_ns_gate_connect(dir, "gate");
		if (knock >= 0)
			close(knock);
		kist_sleep_ns(5 * KIST_NSEC_PER_MSEC);
	}
	assert_int_equal(knock, -ECONNREFUSED);
	assert_int_equal(kist_ns_gate_connect(dir, "other"), -ENOENT);
	if (how == GATE_EXEC) {
		kill(pid, SIGKILL);
		assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
	}
}

static void test_gate(void **state)
{
	run_gate(*state, GATE_EXEC);
}

static void test_gate_error(void **state)
{
	run_gate(*state, GATE_FAIL);
}

/* --- documents ------------------------------------------------------------------------------------------------------
 */

static void test_spec(void **state)
{
	struct place *p = *state;

	for (int rootless = 0; rootless < 2; rootless++) {
		KIST_SPEC struct kist_spec *spec = NULL;
		KIST_FREE char *text = kist_oci_spec_text(rootless);
		assert_int_equal(kist_spec_parse(text, strlen(text), &spec, &p->err), 0);
		assert_int_equal(kist_spec_check(spec, &p->err), 0);
		assert_int_equal(kist_spec_namespace(spec, "user") != NULL, rootless);
	}
}

static void test_features(void **state KIST_UNUSED)
{
	KIST_JSON struct json_object *json = kist_oci_features();
	struct json_object *l = json_object_object_get(json, "linux"),
	                   *options = json_object_object_get(json, "mountOptions");

	assert_string_equal(text_of(json, "ociVersionMin"), "1.0.0");
	assert_false(json_object_get_boolean(json_object_object_get(json_object_object_get(l, "cgroup"), "v1")));
	assert_string_equal(
	        json_object_get_string(json_object_array_get_idx(json_object_object_get(l, "capabilities"), 0)),
	        "CAP_CHOWN");
	/* Every option that is told is one that is taken. */
	for (size_t i = 0; i < json_object_array_length(options); i++) {
		struct kist_ns_mount_options out = { 0 };
		struct kist_error err = { 0 };
		char *one[] = { (char *)json_object_get_string(json_object_array_get_idx(options, i)), NULL };
		static const char *const file_system[] = { "tmpcopyup", "sync",     "dirsync",
			                                   "mand",      "lazytime", "iversion" };
		const char *type = "bind";
		for (size_t k = 0; k < KIST_COUNT(file_system); k++)
			if (kist_streq(one[0], file_system[k]))
				type = "tmpfs";
		if (kist_ns_mount_options_parse(one, type, "mounts[0]", &out, &err) < 0)
			fail_msg("%s: %s", one[0], err.text);
		kist_ns_mount_options_free(&out);
	}
}

/* The properties that features.md and features-linux.md of version 1.2 have, and those that they require. */
static void test_features_document(void **state KIST_UNUSED)
{
	static const char *const top[] = { "ociVersionMin", "ociVersionMax", "hooks", "mountOptions",
		                           "linux",         "annotations",   NULL };
	static const char *const linux_keys[] = { "namespaces", "capabilities",    "cgroup",
		                                  "seccomp",    "apparmor",        "selinux",
		                                  "intelRdt",   "mountExtensions", NULL };
	KIST_JSON struct json_object *json = kist_oci_features();
	struct json_object *l = json_object_object_get(json, "linux"), *of[] = { json, l };
	const char *const *known[] = { top, linux_keys };

	for (size_t i = 0; i < KIST_COUNT(of); i++) {
		json_object_object_foreach(of[i], key, value)
		{
			size_t k = 0;
			while (known[i][k] && !kist_streq(known[i][k], key))
				k++;
			if (!known[i][k] || !value)
				fail_msg("'%s' is not a property of version 1.2, or has no value", key);
		}
		assert_int_equal(json_object_object_length(of[i]), i ? 8 : 6);
	}
	json_object_object_foreach(json_object_object_get(json, "annotations"), name, text)
	{
		assert_true(*name && json_object_is_type(text, json_type_string));
	}
}

/* The template with one value of the document in its place must pass. */
static void takes(const char *pattern, const char *value)
{
	KIST_FREE char *template = kist_oci_spec_text(false);
	KIST_JSON struct json_object *json = NULL, *extra = NULL;
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	KIST_STR struct kist_str text = { 0 };
	struct kist_error err = { 0 };

	for (const char *p = pattern; *p; p++)
		if (*p == '@')
			kist_str_add(&text, value);
		else
			kist_str_addf(&text, "%c", *p);
	assert_int_equal(kist_json_parse(template, strlen(template), &json, NULL), 0);
	assert_int_equal(kist_json_parse(text.data, text.len, &extra, NULL), 0);
	json_object_object_foreach(extra, key, part)
	{
		struct json_object *section = json_object_object_get(json, key);
		if (!section || !json_object_is_type(part, json_type_object)) {
			json_object_object_add(json, key, json_object_get(part));
			continue;
		}
		json_object_object_foreach(part, inner, inner_value)
		{
			json_object_object_add(section, inner, json_object_get(inner_value));
		}
	}
	if (kist_json_read(&kist_spec_table, json, spec, "", &err) < 0 || kist_spec_check(spec, &err) < 0)
		fail_msg("features has '%s': %s", value, err.text);
}

static void take_each(struct json_object *list, const char *pattern)
{
	assert_true(json_object_array_length(list) > 0);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		takes(pattern, json_object_get_string(json_object_array_get_idx(list, i)));
}

/* What the document names must be recognized in config.json. */
static void test_features_are_taken(void **state KIST_UNUSED)
{
	KIST_JSON struct json_object *json = kist_oci_features();
	struct json_object *l = json_object_object_get(json, "linux"), *s = json_object_object_get(l, "seccomp"),
	                   *caps = json_object_object_get(l, "capabilities"),
	                   *spaces = json_object_object_get(l, "namespaces"), *actions;

	takes("{\"ociVersion\":\"@\"}", text_of(json, "ociVersionMin"));
	takes("{\"ociVersion\":\"@\"}", text_of(json, "ociVersionMax"));
	assert_true(strcmp(text_of(json, "ociVersionMin"), text_of(json, "ociVersionMax")) <= 0);
	take_each(json_object_object_get(json, "hooks"), "{\"hooks\":{\"@\":[{\"path\":\"/bin/true\"}]}}");
	for (size_t i = 0; i < json_object_array_length(caps); i++)
		assert_true(kist_ns_cap_known(json_object_get_string(json_object_array_get_idx(caps, i))));
	for (size_t i = 0; i < json_object_array_length(spaces); i++) {
		const char *type = json_object_get_string(json_object_array_get_idx(spaces, i));
		if (kist_streq(type, "user")) /* needs maps */
			takes("{\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"@\"}],"
			      "\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}],"
			      "\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]}}",
			      type);
		else
			takes(kist_streq(type, "mount") || kist_streq(type, "uts")
			              ? "{\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"uts\"}]}}"
			              : "{\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"uts\"},"
			                "{\"type\":\"@\"}]}}",
			      type);
	}
#define SECCOMP "{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\","
	actions = json_object_object_get(s, "actions");
	take_each(actions,
	          SECCOMP "\"listenerPath\":\"/l\",\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"@\"}]}}}");
	take_each(json_object_object_get(s, "operators"),
	          SECCOMP "\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_LOG\","
	                  "\"args\":[{\"index\":0,\"value\":1,\"op\":\"@\"}]}]}}}");
	take_each(json_object_object_get(s, "archs"), SECCOMP "\"architectures\":[\"@\"]}}}");
	take_each(json_object_object_get(s, "knownFlags"), SECCOMP "\"flags\":[\"@\"]}}}");
	take_each(json_object_object_get(s, "supportedFlags"), SECCOMP "\"flags\":[\"@\"]}}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reused_pid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_creating, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gate_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spec, setup, teardown),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_features_document),
		cmocka_unit_test(test_features_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
