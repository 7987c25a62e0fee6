/* hooks/: files, matching, running. */
#include "hooks/hooks.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct place {
	char path[64];
	char one[80], two[80], script[96];
};

static void put(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(kist_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->path, sizeof(p->path), "/tmp/kist-hooks-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	snprintf(p->one, sizeof(p->one), "%s/one", p->path);
	snprintf(p->two, sizeof(p->two), "%s/two", p->path);
	snprintf(p->script, sizeof(p->script), "%s/hook", p->path);
	mkdir(p->one, 0700);
	mkdir(p->two, 0700);
	put(p->path, "hook", "#!/bin/sh\nexit 0\n", 0755);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	kist_remove_tree(tmp, p->path + 5);
	close(tmp);
	free(p);
	return 0;
}

static void hook_file(struct place *p, const char *dir, const char *name, const char *when, const char *stages)
{
	KIST_FREE char *text = kist_asprintf(
	        "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"%s\",\"args\":[\"%s\"]},\"when\":%s,\"stages\":%s}",
	        p->script, name, when, stages);

	put(dir, name, text, 0644);
}

static struct kist_hooks *read_both(struct place *p)
{
	const char *const dirs[] = { p->one, "/nonexistent/hooks.d", p->two, NULL };
	struct kist_hooks *hooks = NULL;
	struct kist_error err = { 0 };

	if (kist_hooks_read(dirs, &hooks, &err) < 0)
		fail_msg("%s", err.text);
	return hooks;
}

static size_t applied(struct place *p, const struct kist_hooks_subject *subject)
{
	struct kist_hooks *hooks = read_both(p);
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	struct kist_spec_hook *pre;
	size_t n_pre;

	assert_int_equal(kist_hooks_apply(hooks, subject, spec, &pre, &n_pre, NULL), 0);
	size_t n = spec->hooks ? spec->hooks->n_prestart : 0;
	kist_spec_hook_list_free(pre, n_pre);
	kist_hooks_free(hooks);
	return n;
}

static void matching(void **state)
{
	struct place *p = *state;
	char *notes[] = { (char *)"io.example.gpu=yes please", (char *)"other=1", NULL };
	struct kist_hooks_subject subject = { .annotations = notes,
		                              .command = "/usr/bin/python3",
		                              .has_bind_mounts = true };
	const struct {
		const char *when;
		size_t n;
	} rows[] = {
		{ "{}", 0 }, /* an empty 'when' never matches */
		{ "{\"always\":true}", 1 },
		{ "{\"always\":false}", 0 },
		{ "{\"annotations\":{\"gpu$\":\"^yes\"}}", 1 },
		{ "{\"annotations\":{\"gpu$\":\"^no\"}}", 0 },
		{ "{\"annotations\":{\"gpu\":\"yes\",\"other\":\"2\"}}", 0 }, /* all must hold */
		{ "{\"commands\":[\"ruby\",\"python\"]}", 1 },                /* any one of commands; unanchored */
		{ "{\"commands\":[\"^python\"]}", 0 },
		{ "{\"hasBindMounts\":true}", 1 },
		{ "{\"hasBindMounts\":false}", 0 },
		{ "{\"always\":true,\"commands\":[\"ruby\"]}", 0 },
		{ "{\"always\":true,\"hasBindMounts\":false}", 0 },
	};

	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		hook_file(p, p->one, "a.json", rows[i].when, "[\"prestart\"]");
		if (applied(p, &subject) != rows[i].n)
			fail_msg("when %s: expected %zu", rows[i].when, rows[i].n);
	}
	/* False is no word for 'without': such a hook never applies. */
	subject.has_bind_mounts = false;
	hook_file(p, p->one, "a.json", "{\"hasBindMounts\":false}", "[\"prestart\"]");
	assert_int_equal(applied(p, &subject), 0);
}

static void override_and_order(void **state)
{
	struct place *p = *state;
	struct kist_hooks_subject subject = { .command = "x" };
	struct kist_spec_hook *pre;
	size_t n_pre;

	hook_file(p, p->one, "10-a.json", "{\"always\":true}", "[\"prestart\"]");
	hook_file(p, p->two, "10-a.json", "{\"always\":true}", "[\"poststop\",\"precreate\"]");
	hook_file(p, p->one, "10-Z.json", "{\"always\":true}", "[\"poststop\"]");
	put(p->one, "ignored.txt", "not a hook", 0644);
	/* One that is masked is not looked at. */
	put(p->one, "20-b.json", "{", 0644);
	hook_file(p, p->two, "20-b.json", "{\"always\":true}", "[\"poststop\"]");
	struct kist_hooks *hooks = read_both(p);
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	assert_int_equal(kist_hooks_count(hooks), 3);
	assert_int_equal(kist_hooks_apply(hooks, &subject, spec, &pre, &n_pre, NULL), 0);
	assert_int_equal(spec->hooks->n_prestart, 0); /* the later directory's file took its place */
	assert_int_equal(spec->hooks->n_poststop, 3);
	assert_string_equal(spec->hooks->poststop[0].args[0], "10-a.json");
	assert_string_equal(spec->hooks->poststop[1].args[0], "10-Z.json"); /* in lower case */
	assert_string_equal(spec->hooks->poststop[2].args[0], "20-b.json");
	assert_int_equal(n_pre, 1);
	kist_spec_hook_list_free(pre, n_pre);
	kist_hooks_free(hooks);
}

static void bad_files(void **state)
{
	struct place *p = *state;
	const char *const dirs[] = { p->one, NULL };
	const struct {
		const char *text, *message;
	} rows[] = {
		{ "{", "bad.json" },
		{ "{\"version\":\"0.1.0\",\"hook\":{\"path\":\"/bin/sh\"},\"when\":{},\"stages\":[\"prestart\"]}",
		  "version '0.1.0'" },
		{ "{\"hook\":\"/bin/sh\",\"cmds\":[\"x\"],\"stages\":[\"prestart\"]}", "version '0.1.0'" },
		{ "[]", "bad.json" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/bin/"
		  "sh\",\"env\":[\"A\"]},\"when\":{},\"stages\":[\"prestart\"]}",
		  "hook.env[0] 'A'" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"sh\"},\"when\":{},\"stages\":[\"prestart\"]}",
		  "absolute" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/nonexistent\"},\"when\":{},\"stages\":[\"prestart\"]}",
		  "No such file" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/bin/sh\"},\"when\":{},\"stages\":[\"later\"]}",
		  "'later' is not a stage" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/bin/sh\"},\"when\":{},\"stages\":[]}",
		  "stages is empty" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/bin/"
		  "sh\"},\"when\":{\"commands\":[\"[\"]},\"stages\":[\"prestart\"]}",
		  "bad regular expression" },
		{ "{\"version\":\"1.0.0\",\"hook\":{\"path\":\"/bin/"
		  "sh\",\"timeout\":0},\"when\":{},\"stages\":[\"prestart\"]}",
		  "timeout" },
		{ "{\"version\":\"1.0.0\",\"when\":{},\"stages\":[\"prestart\"]}", "hook" },
	};

	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_hooks *hooks = NULL;
		struct kist_error err = { 0 };
		put(p->one, "bad.json", rows[i].text, 0644);
		assert_true(kist_hooks_read(dirs, &hooks, &err) < 0);
		assert_null(hooks);
		if (!strstr(err.text, rows[i].message) || !strstr(err.text, "bad.json"))
			fail_msg("%s: got '%s'", rows[i].text, err.text);
	}
}

static int run_script(struct place *p, const char *script, const char *input, int64_t timeout, struct kist_str *output,
                      struct kist_error *err)
{
	char *env[] = { (char *)"ONLY=this", NULL };
	struct kist_spec_hook hook = { .path = p->script, .env = env, .timeout = { timeout > 0, timeout } };
	struct kist_hook_run run = {
		.hook = &hook, .stage = "prestart", .input = input, .output = output, .output_max = 1 << 20, .cwd = -1
	};

	put(p->path, "hook", script, 0755);
	return kist_hook_execute(&run, err);
}

static void running(void **state)
{
	struct place *p = *state;
	struct kist_error err = { 0 };
	KIST_STR struct kist_str out = { 0 };

	assert_int_equal(run_script(p, "#!/bin/sh\ncat; echo \"$ONLY $HOME\"; ls /proc/self/fd | wc -l\n",
	                            "{\"id\":\"x\"}", 0, &out, &err),
	                 0);
	/* stdin whole, its own environment and no other, no descriptor but stdio (and ls's own directory) */
	assert_string_equal(out.data, "{\"id\":\"x\"}this \n4\n");
	assert_int_equal(run_script(p, "#!/bin/sh\nexec <&-\nexit 0\n", "not read", 0, NULL, &err), 0);
	assert_true(run_script(p, "#!/bin/sh\necho out; echo why >&2; exit 3\n", NULL, 0, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "prestart hook"));
	assert_non_null(strstr(err.text, "exit code 3: why"));
}

static void large_input_and_output(void **state)
{
	struct place *p = *state;
	struct kist_error err = { 0 };
	KIST_STR struct kist_str out = { 0 };
	size_t n = 900000;
	KIST_FREE char *input = malloc(n + 1);

	memset(input, 'x', n);
	input[n] = '\0';
	assert_int_equal(run_script(p, "#!/bin/sh\ncat\n", input, 0, &out, &err), 0);
	assert_int_equal(out.len, n);
	assert_memory_equal(out.data, input, n);
	kist_str_clear(&out);
	assert_true(run_script(p, "#!/bin/sh\nwhile :; do echo yes; done\n", NULL, 0, &out, &err) < 0);
	assert_non_null(strstr(err.text, "wrote more than"));
}

static void time_out_kills_the_group(void **state)
{
	struct place *p = *state;
	struct kist_error err = { 0 };
	char pidfile[128];
	KIST_FREE char *script = NULL;
	KIST_STR struct kist_str text = { 0 };

	snprintf(pidfile, sizeof(pidfile), "%s/pid", p->path);
	script = kist_asprintf("#!/bin/sh\nsleep 600 &\necho $! > %s\nwait\n", pidfile);
	int64_t before = kist_now_boot();
	assert_true(run_script(p, script, NULL, 1, NULL, &err) < 0);
	assert_true(kist_now_boot() - before < 30 * KIST_NSEC_PER_SEC);
	assert_int_equal(err.kind, KIST_ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "1 s"));
	int fd = open(pidfile, O_RDONLY | O_CLOEXEC);
	assert_int_equal(kist_read_fd(fd, 64, &text), 0);
	close(fd);
	text.data[strcspn(text.data, "\n")] = '\0';
	int64_t pid;
	assert_int_equal(kist_parse_i64(text.data, &pid), 0);
	bool gone = false;
	for (int i = 0; i < 200 && !gone; i++) {
		struct kist_proc_id id;
		gone = kist_proc_identify((pid_t)pid, &id) == -ESRCH;
		if (!gone)
			kist_sleep_ns(10 * KIST_NSEC_PER_MSEC);
	}
	assert_true(gone);
}

static void several(void **state)
{
	struct place *p = *state;
	struct kist_error err = { 0 };
	struct kist_spec_hook hooks[2] = { { .path = (char *)"/bin/false" }, { .path = p->script } };
	char mark[128];
	KIST_FREE char *script = NULL;

	snprintf(mark, sizeof(mark), "%s/ran", p->path);
	script = kist_asprintf("#!/bin/sh\ntouch %s\n", mark);
	put(p->path, "hook", script, 0755);
	assert_true(kist_hooks_execute(hooks, 2, "createRuntime", "{}", -1, false, &err) < 0);
	assert_int_equal(access(mark, F_OK), -1);
	assert_int_equal(kist_hooks_execute(hooks, 2, "poststop", "{}", -1, true, NULL), 0);
	assert_int_equal(access(mark, F_OK), 0);
}

static struct kist_spec *small_spec(void)
{
	struct kist_spec *spec = NULL;
	static const char text[] =
	        "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"],"
	        "\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}";
	struct kist_error err = { 0 };

	if (kist_spec_parse(text, strlen(text), &spec, &err) < 0)
		fail_msg("%s", err.text);
	return spec;
}

static void precreate(void **state)
{
	struct place *p = *state;
	struct kist_error err = { 0 };
	struct kist_spec_hook hook = { .path = p->script };
	KIST_SPEC struct kist_spec *spec = small_spec();

	put(p->path, "hook", "#!/bin/sh\nsed 's/\"sh\"/\"changed\"/'\n", 0755);
	if (kist_hooks_precreate(&hook, 1, &spec, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(spec->process->args[0], "changed");
	put(p->path, "hook", "#!/bin/sh\nsed 's/\"cwd\": *\"[^\"]*\"/\"cwd\":\"relative\"/'\n", 0755);
	assert_true(kist_hooks_precreate(&hook, 1, &spec, &err) < 0);
	assert_non_null(strstr(err.text, "cwd"));
	kist_error_clear(&err);
	put(p->path, "hook", "#!/bin/sh\necho nonsense\n", 0755);
	assert_true(kist_hooks_precreate(&hook, 1, &spec, &err) < 0);
	assert_string_equal(spec->process->args[0], "changed"); /* kept when the filter failed */
}

static void state_document(void **state)
{
	char *notes[] = { (char *)"a=b=c", (char *)"empty=", NULL };
	KIST_FREE char *text = kist_hooks_state("id1", "created", 42, "/b", notes);

	(void)state;
	assert_string_equal(
	        text, "{\"ociVersion\":\"1.2.0\",\"id\":\"id1\",\"status\":\"created\",\"pid\":42,\"bundle\":\"/b\","
	              "\"annotations\":{\"a\":\"b=c\",\"empty\":\"\"}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(matching, setup, teardown),
		cmocka_unit_test_setup_teardown(override_and_order, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files, setup, teardown),
		cmocka_unit_test_setup_teardown(running, setup, teardown),
		cmocka_unit_test_setup_teardown(large_input_and_output, setup, teardown),
		cmocka_unit_test_setup_teardown(time_out_kills_the_group, setup, teardown),
		cmocka_unit_test_setup_teardown(several, setup, teardown),
		cmocka_unit_test_setup_teardown(precreate, setup, teardown),
		cmocka_unit_test(state_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
