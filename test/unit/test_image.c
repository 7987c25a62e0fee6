/* The image store: imports of real archives, names, removal, crashes, races, damage. */
#include "test/unit/child.h"
#include "core/image.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "overlay/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct store {
	char path[64];
	int dir; /* holds root/, run/ and archives a.tar, b.tar, a.tgz, a.tzst */
	struct kist *k;
};

static void run(const char *const *argv)
{
	pid_t pid = child_fork();

	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
}

static struct kist *store_open(const struct store *s)
{
	struct kist_error err = { 0 };
	struct kist *k = NULL;
	KIST_FREE char *root = kist_asprintf("%s/root", s->path), *run_root = kist_asprintf("%s/run", s->path);

	if (kist_open(&k, &(struct kist_options){ .root = root, .runroot = run_root }, &err) < 0)
		fail_msg("%s", err.text);
	return k;
}

static void make_archive(const struct store *s, const char *name, const char *text, const char *option)
{
	KIST_FREE char *tree = kist_asprintf("%s/tree", s->path), *file = kist_asprintf("%s/%s", s->path, name);
	KIST_CLOSE int dir = kist_mkdirs(tree, 0755);

	assert_true(dir >= 0);
	assert_int_equal(kist_replace_file(dir, "file", text, strlen(text), 0644, 0), 0);
	run((const char *const[]){ "tar", "-C", tree, "--mtime=@0", option, "-cf", file, ".", NULL });
}

static int setup(void **state)
{
	struct store *s = calloc(1, sizeof(*s));

	snprintf(s->path, sizeof(s->path), "/tmp/kist-image-XXXXXX");
	assert_non_null(mkdtemp(s->path));
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_archive(s, "a.tar", "one\n", "--format=gnu");
	make_archive(s, "a.tgz", "one\n", "-z");
	make_archive(s, "a.tzst", "one\n", "--zstd");
	make_archive(s, "b.tar", "two\n", "--format=posix");
	s->k = store_open(s);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct store *s = *state;

	kist_close(s->k);
	assert_int_equal(kist_remove_tree(AT_FDCWD, s->path), 0);
	close(s->dir);
	free(s);
	return 0;
}

static int import_to(struct kist *k, const struct store *s, const char *archive, const char *name, char *const *changes,
                     char id[65], struct kist_error *err)
{
	KIST_CLOSE int fd = openat(s->dir, archive, O_RDONLY | O_CLOEXEC);
	struct kist_image_import import = { .fd = fd, .name = name, .changes = changes, .message = "made by a test" };

	return kist_image_import(k, &import, id, err);
}

static void import(struct store *s, const char *archive, const char *name, char id[65])
{
	struct kist_error err = { 0 };

	if (import_to(s->k, s, archive, name, NULL, id, &err) < 0)
		fail_msg("%s", err.text);
}

static size_t count_images(struct store *s)
{
	struct kist_image **list = NULL;
	size_t n = 0;

	assert_int_equal(kist_image_list(s->k, &list, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		kist_image_free(list[i]);
	free(list);
	return n;
}

static size_t count_layers(struct store *s)
{
	struct kist_overlay *overlay = NULL;

	assert_int_equal(kist_store_overlay(s->k, &overlay, NULL), 0);
	KIST_STRV char **layers = kist_overlay_list(overlay);
	return kist_strv_len(layers);
}

static bool opens(struct store *s, const char *name, const char *id)
{
	struct kist_image *image = NULL;
	bool same = kist_image_open(s->k, name, &image, NULL) == 0 && kist_streq(image->id, id);

	kist_image_free(image);
	return same;
}

static enum kist_error_kind kind_of_open(struct store *s, const char *name)
{
	struct kist_image *image = NULL;
	struct kist_error err = { 0 };

	kist_image_open(s->k, name, &image, &err);
	kist_image_free(image);
	return err.kind;
}

static enum kist_error_kind removal(struct store *s, const char *name, unsigned flags)
{
	struct kist_error err = { 0 };
	KIST_STRV char **removed = NULL;

	kist_image_remove(s->k, name, flags, &removed, &err);
	return err.kind;
}

/* --- import ----------------------------------------------------------------------------------------------------- */

static void check_digests(const struct store *s, const struct kist_image *image)
{
	KIST_FREE char *config = kist_asprintf("images/%s/config.json", image->id);
	KIST_FREE char *manifest = kist_asprintf("images/%s/manifest.json", image->id);
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	struct json_object *layers = NULL, *value = NULL;
	struct stat st;
	char sum[65];

	assert_true(kist_read_file(s->k->root, config, 1 << 20, &text) >= 0);
	kist_sha256_hex(text.data, text.len, sum);
	assert_string_equal(sum, image->id);
	assert_true(kist_read_file(s->k->root, manifest, 1 << 20, &text) >= 0);
	kist_sha256_hex(text.data, text.len, sum);
	assert_string_equal(sum, image->digest + strlen("sha256:"));
	/* The layer is described as it is kept: the size of the plain archive, whatever was imported. */
	assert_int_equal(kist_json_parse(text.data, text.len, &json, NULL), 0);
	assert_true(json_object_object_get_ex(json, "layers", &layers));
	assert_true(json_object_object_get_ex(json_object_array_get_idx(layers, 0), "size", &value));
	assert_int_equal(fstatat(s->dir, "a.tar", &st, 0), 0);
	assert_int_equal(json_object_get_int64(value), st.st_size);
}

static void test_import(void **state)
{
	static const char *const archives[] = { "a.tar", "a.tgz", "a.tzst" };
	struct store *s = *state;
	struct kist_image *image = NULL;
	char id[65], first[65];

	for (size_t i = 0; i < KIST_COUNT(archives); i++) {
		import(s, archives[i], "a", id);
		assert_int_equal(kist_image_open(s->k, "a", &image, NULL), 0);
		assert_string_equal(image->id, id);
		assert_string_equal(image->names[0], "localhost/a:latest");
		assert_int_equal(kist_strv_len(image->layers), 1);
		if (i == 0)
			memcpy(first, image->layers[0], 65);
		assert_string_equal(image->layers[0], first); /* compression makes no difference */
		assert_string_equal(image->comment, "made by a test");
		assert_string_equal(image->os, "linux");
		assert_true(image->size > 0 && image->created > 0);
		check_digests(s, image);
		kist_image_free(image);
	}
	assert_int_equal(count_images(s), 3);
	assert_int_equal(count_layers(s), 1);
	KIST_FREE char *file = kist_asprintf("overlay/%s/diff/file", first);
	KIST_STR struct kist_str text = { 0 };
	assert_true(kist_read_file(s->k->root, file, 100, &text) >= 0);
	assert_string_equal(text.data, "one\n");
}

static void test_import_refused(void **state)
{
	struct store *s = *state;
	struct kist_error err = { 0 };
	char id[65] = "";
	char *bad_change[] = { "NOSUCH=x", NULL };
	char *bad_utf8[] = { "ENV A=\xff", NULL };

	assert_true(import_to(s->k, s, "a.tar", "Bad", NULL, id, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	kist_error_clear(&err);
	assert_true(import_to(s->k, s, "a.tar", "good", bad_change, id, &err) < 0);
	assert_non_null(strstr(err.text, "NOSUCH"));
	kist_error_clear(&err);
	assert_true(import_to(s->k, s, "a.tar", "good", bad_utf8, id, &err) < 0);
	assert_non_null(strstr(err.text, "UTF-8"));
	kist_error_clear(&err);
	assert_int_equal(kist_replace_file(s->dir, "c.tar", "no archive", 10, 0600, 0), 0);
	assert_true(import_to(s->k, s, "c.tar", "good", NULL, id, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	assert_string_equal(id, "");
	assert_int_equal(count_images(s), 0);
	assert_int_equal(count_layers(s), 0);
	assert_int_equal(kind_of_open(s, "good"), KIST_ERR_NOT_FOUND);
}

/* --- changes ---------------------------------------------------------------------------------------------------- */

static void change(struct kist_image_config *config, const char *text)
{
	struct kist_error err = { 0 };

	if (kist_image_change(config, text, &err) < 0)
		fail_msg("%s: %s", text, err.text);
}

static void expect_joined(char *const *items, const char *expected)
{
	KIST_FREE char *joined = kist_strv_join(items, "|");

	assert_string_equal(joined, expected);
}

static void test_changes(KIST_UNUSED void **state)
{
	struct kist_image_config c = { 0 };

	change(&c, "CMD=[\"echo\", \"a b\"]");
	expect_joined(c.cmd, "echo|a b");
	change(&c, "cmd a 'b' c");
	expect_joined(c.cmd, "/bin/sh|-c|a 'b' c");
	change(&c, "CMD []");
	assert_null(c.cmd);
	change(&c, " ENTRYPOINT  [\"/x\"] ");
	expect_joined(c.entrypoint, "/x");
	change(&c, "ENV A=1 B=\"two words\" C=d\\ e 'F=g h'");
	change(&c, "ENV=D=4");
	change(&c, "ENV E many words");
	change(&c, "ENV A=");
	expect_joined(c.env, "A=|B=two words|C=d e|F=g h|D=4|E=many words");
	change(&c, "LABEL l=v \"m n\"=o");
	change(&c, "LABEL 'p q'=r s=");
	expect_joined(c.labels, "l=v|m n=o|p q=r|s=");
	change(&c, "USER 1000:1000");
	assert_string_equal(c.user, "1000:1000");
	change(&c, "WORKDIR /a");
	change(&c, "WORKDIR b/c");
	assert_string_equal(c.workdir, "/a/b/c");
	change(&c, "EXPOSE 80 53/udp 8000-8002/sctp 80/tcp");
	expect_joined(c.exposed_ports, "80/tcp|53/udp|8000/sctp|8001/sctp|8002/sctp");
	change(&c, "VOLUME /a \"/b c\"");
	change(&c, "VOLUME [\"/d\", \"/a\"]");
	expect_joined(c.volumes, "/a|/b c|/d");
	change(&c, "STOPSIGNAL SIGINT");
	assert_string_equal(c.stop_signal, "SIGINT");
	change(&c, "ONBUILD RUN make");
	change(&c, "ONBUILD=COPY a b");
	expect_joined(c.onbuild, "RUN make|COPY a b");
	change(&c, "HEALTHCHECK --interval=30s --retries=3 CMD test -e /ok");
	expect_joined(c.health_test, "CMD-SHELL|test -e /ok");
	assert_int_equal(c.health_interval, 30000000000);
	assert_int_equal(c.health_retries, 3);
	change(&c, "healthcheck --timeout=1m --start-period=500ms cmd [\"/bin/check\", \"it\"]");
	expect_joined(c.health_test, "CMD|/bin/check|it");
	assert_int_equal(c.health_interval, 0);
	assert_int_equal(c.health_timeout, 60000000000);
	assert_int_equal(c.health_start_period, 500000000);
	change(&c, "HEALTHCHECK none");
	expect_joined(c.health_test, "NONE");
	kist_image_config_clear(&c);
}

static void test_changes_refused(KIST_UNUSED void **state)
{
	static const struct {
		const char *text, *expected;
	} bad[] = {
		{ "", "unknown instruction" },
		{ "=x", "not an instruction" },
		{ "FROM x", "unknown instruction 'FROM'" },
		{ "RUN x", "unknown instruction 'RUN'" },
		{ "CMD", "CMD needs a value" },
		{ "CMD=", "CMD needs a value" },
		{ "CMD [a]", "CMD: expected a JSON array" },
		{ "CMD [1]", "CMD: expected a JSON array of strings only" },
		{ "CMD [\"a\"] b", "CMD: expected a JSON array" },
		{ "CMD [\"a\\u0000b\"]", "NUL" },
		{ "CMD:x", "not an instruction" },
		{ "ENV A", "ENV: expected KEY=VALUE" },
		{ "ENV \"=x\"", "ENV: '=x'" },
		{ "ENV =x", "ENV: expected KEY=VALUE" },
		{ "ENV A=1 B", "ENV: 'B'" },
		{ "ENV A=\"x", "ENV: a quote" },
		{ "USER a b", "USER: expected" },
		{ "EXPOSE x", "EXPOSE: 'x' is not a port" },
		{ "EXPOSE 0", "EXPOSE: '0'" },
		{ "EXPOSE 65536", "EXPOSE: '65536'" },
		{ "EXPOSE 80/icmp", "EXPOSE: '80/icmp'" },
		{ "EXPOSE 9-8", "upside down" },
		{ "EXPOSE 1-65535", "at most" },
		{ "VOLUME a", "VOLUME: 'a'" },
		{ "STOPSIGNAL NOPE", "STOPSIGNAL: 'NOPE'" },
		{ "ONBUILD FROM x", "ONBUILD: FROM cannot" },
		{ "HEALTHCHECK test", "HEALTHCHECK: expected" },
		{ "HEALTHCHECK CMD", "HEALTHCHECK: expected" },
		{ "HEALTHCHECK CMD []", "HEALTHCHECK: the command is empty" },
		{ "HEALTHCHECK --interval=x CMD a", "--interval 'x'" },
		{ "HEALTHCHECK --interval CMD a", "option '--interval'" },
		{ "HEALTHCHECK --retries=0 CMD a", "--retries '0'" },
		{ "HEALTHCHECK --start-interval=1s CMD a", "option '--start-interval=1s'" },
	};

	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_image_config c = { 0 };
		struct kist_error err = { 0 };

		if (kist_image_change(&c, bad[i].text, &err) >= 0)
			fail_msg("'%s' was taken", bad[i].text);
		if (!strstr(err.text, bad[i].expected))
			fail_msg("'%s': expected '%s' in: %s", bad[i].text, bad[i].expected, err.text);
		kist_image_config_clear(&c);
	}
}

/* What is changed at import is what an open and an inspect give back. */
static void test_config_round_trip(void **state)
{
	struct store *s = *state;
	struct kist_error err = { 0 };
	struct kist_image *image = NULL;
	char *changes[] = { "CMD [\"a\"]", "ENTRYPOINT [\"e\"]", "ENV A=1",   "USER u",         "WORKDIR /w",
		            "LABEL l=v",   "EXPOSE 80",          "VOLUME /v", "STOPSIGNAL INT", NULL };
	char id[65];

	assert_int_equal(import_to(s->k, s, "a.tar", "a", changes, id, &err), 0);
	assert_int_equal(kist_image_open(s->k, "a", &image, NULL), 0);
	expect_joined(image->config.cmd, "a");
	expect_joined(image->config.entrypoint, "e");
	expect_joined(image->config.env, "A=1");
	expect_joined(image->config.labels, "l=v");
	expect_joined(image->config.exposed_ports, "80/tcp");
	expect_joined(image->config.volumes, "/v");
	assert_string_equal(image->config.user, "u");
	assert_string_equal(image->config.workdir, "/w");
	assert_string_equal(image->config.stop_signal, "INT");
	kist_image_free(image);

	static const char *const keys[] = { "Id",      "Digest",       "RepoTags",    "RepoDigests", "Parent",
		                            "Comment", "Created",      "Config",      "Version",     "Author",
		                            "Os",      "Architecture", "Size",        "VirtualSize", "GraphDriver",
		                            "RootFS",  "Labels",       "Annotations", "History",     "ManifestType",
		                            "User",    "NamesHistory" };
	KIST_JSON struct json_object *json = NULL;
	assert_int_equal(kist_image_inspect(s->k, id, &json, NULL), 0);
	for (size_t i = 0; i < KIST_COUNT(keys); i++)
		assert_true(json_object_object_get_ex(json, keys[i], NULL));
	assert_int_equal(json_object_object_length(json), KIST_COUNT(keys));
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static void test_names(void **state)
{
	struct store *s = *state;
	struct kist_image *image = NULL;
	struct kist_error err = { 0 };
	char a[65], b[65];

	/* Not hexadecimal, lest a name that is gone be taken for the beginning of an id. */
	import(s, "a.tar", "one", a);
	import(s, "b.tar", NULL, b);
	assert_int_equal(kist_image_tag(s->k, b, "docker.io/two:1", NULL), 0);
	assert_true(opens(s, "one", a) && opens(s, "localhost/one:latest", a));
	assert_true(opens(s, "two:1", b) && opens(s, "docker.io/library/two:1", b));
	assert_false(opens(s, "two", b));
	assert_int_equal(kist_image_tag(s->k, "one", "two:1", NULL), 0);
	assert_true(opens(s, "two:1", a)); /* localhost comes before docker.io */
	assert_int_equal(kist_image_untag(s->k, "one", "two:1", NULL), 0);
	assert_true(opens(s, "two:1", b));

	/* A name moves. */
	assert_int_equal(kist_image_tag(s->k, b, "one", NULL), 0);
	assert_true(opens(s, "one", b));
	assert_int_equal(kist_image_open(s->k, a, &image, NULL), 0);
	assert_null(image->names);
	kist_image_free(image);
	assert_int_equal(kist_image_open(s->k, b, &image, NULL), 0);
	expect_joined(image->names, "docker.io/library/two:1|localhost/one:latest");
	kist_image_free(image);
	/* Who starts a container needs the one that was meant; asked for by id, all may be meant. */
	assert_int_equal(kist_image_open_meant(s->k, "two:1", &image, NULL), 0);
	expect_joined(image->names, "docker.io/library/two:1");
	kist_image_free(image);
	assert_int_equal(kist_image_open_meant(s->k, b, &image, NULL), 0);
	expect_joined(image->names, "docker.io/library/two:1|localhost/one:latest");
	KIST_FREE char *digest = kist_asprintf("one@%s", image->digest);
	KIST_FREE char *wrong = kist_asprintf("three@%s", image->digest);
	kist_image_free(image);
	assert_true(opens(s, digest, b));
	assert_int_equal(kind_of_open(s, wrong), KIST_ERR_NOT_FOUND);

	assert_true(kist_image_untag(s->k, "one", "nosuch", &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	assert_int_equal(kist_image_untag(s->k, "one", NULL, NULL), 0);
	assert_int_equal(kind_of_open(s, "one"), KIST_ERR_NOT_FOUND);
	kist_error_clear(&err);
	assert_true(kist_image_tag(s->k, "nosuch", "x", &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
}

static void test_ids(void **state)
{
	struct store *s = *state;
	char ids[17][65];
	bool ambiguous = false;

	assert_int_equal(kind_of_open(s, "a"), KIST_ERR_NOT_FOUND); /* no store yet: nothing is made */
	assert_false(kist_exists_at(s->k->root, "images"));
	/* Seventeen images, sixteen digits: two share one. */
	for (size_t i = 0; i < KIST_COUNT(ids); i++)
		import(s, "a.tar", NULL, ids[i]);
	for (size_t i = 0; i < KIST_COUNT(ids); i++) {
		char text[80];

		assert_true(opens(s, ids[i], ids[i]));
		snprintf(text, sizeof(text), "sha256:%.64s", ids[i]);
		assert_true(opens(s, text, ids[i]));
		text[7 + 20] = '\0';
		assert_true(opens(s, text, ids[i]) && opens(s, text + 7, ids[i]));
		text[8] = '\0';
		ambiguous |= kind_of_open(s, text + 7) == KIST_ERR_AMBIGUOUS;
		for (size_t j = 0; j < i; j++)
			assert_true(strcmp(ids[i], ids[j]) != 0);
	}
	assert_true(ambiguous);
	assert_int_equal(kind_of_open(s, ""), KIST_ERR_INVALID);
	assert_int_equal(kind_of_open(s, "sha256:"), KIST_ERR_NOT_FOUND);
	assert_int_equal(kind_of_open(s, "../images"), KIST_ERR_INVALID);
	assert_int_equal(kind_of_open(s, "zz"), KIST_ERR_NOT_FOUND);
}

/* Newest first. */
static void test_list_order(void **state)
{
	struct store *s = *state;
	struct kist_image **list = NULL;
	char ids[5][65];
	size_t n = 0;

	for (size_t i = 0; i < KIST_COUNT(ids); i++)
		import(s, i % 2 ? "a.tar" : "b.tar", NULL, ids[i]);
	assert_int_equal(kist_image_list(s->k, &list, &n, NULL), 0);
	assert_int_equal(n, KIST_COUNT(ids));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(list[i]->id, ids[n - 1 - i]);
		kist_image_free(list[i]);
	}
	free(list);
}

/* --- removal ---------------------------------------------------------------------------------------------------- */

static void test_remove(void **state)
{
	struct store *s = *state;
	struct kist_error err = { 0 };
	KIST_STRV char **removed = NULL;
	char a[65], same[65], b[65];

	import(s, "a.tar", "a", a);
	import(s, "a.tgz", "same", same);
	import(s, "b.tar", "b", b);
	assert_int_equal(kist_image_tag(s->k, "a", "a:2", NULL), 0);
	assert_int_equal(count_layers(s), 2);

	assert_int_equal(removal(s, a, 0), KIST_ERR_STATE);
	assert_int_equal(removal(s, "a:2", 0), KIST_ERR_NONE);
	assert_true(opens(s, "a", a));
	assert_int_equal(kist_image_remove(s->k, "a", 0, &removed, &err), 0);
	KIST_FREE char *deleted = kist_asprintf("Untagged: localhost/a:latest|Deleted: %s", a);
	expect_joined(removed, deleted);
	assert_int_equal(kind_of_open(s, a), KIST_ERR_NOT_FOUND);
	assert_int_equal(count_layers(s), 2); /* 'same' has it too */
	assert_int_equal(removal(s, "same", 0), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 1);
	assert_int_equal(kist_image_tag(s->k, "b", "b:2", NULL), 0);
	assert_int_equal(removal(s, b, KIST_IMAGE_ALL_NAMES), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 0);
	assert_int_equal(count_images(s), 0);
	assert_int_equal(removal(s, "b", 0), KIST_ERR_NOT_FOUND);
	assert_false(kist_exists_at(s->k->images, ".collect"));
}

static void make_container(struct store *s, const char *id, char *layer, char out[65])
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	kist_container_config_init(&config);
	config.image = kist_strdup(id);
	config.name = kist_strdup("web");
	kist_strv_add(&config.layers, layer);
	kist_strv_add(&config.command, "/file");
	if (kist_container_create(s->k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	memcpy(out, kist_container_id(c), 65);
	kist_container_free(c);
	kist_container_config_clear(&config);
}

static void test_in_use(void **state)
{
	struct store *s = *state;
	struct kist_image *image = NULL;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };
	char a[65], other[65], container[65], shown[13] = { 0 };

	import(s, "a.tar", "a", a);
	import(s, "a.tar", "other", other);
	assert_int_equal(kist_image_open(s->k, "a", &image, NULL), 0);
	make_container(s, a, image->layers[0], container);
	kist_image_free(image);
	memcpy(shown, container, 12);

	assert_true(kist_image_remove(s->k, "a", 0, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	assert_non_null(strstr(err.text, shown));
	assert_non_null(strstr(err.text, "web"));
	assert_true(opens(s, "a", a));
	assert_int_equal(removal(s, a, KIST_IMAGE_ALL_NAMES), KIST_ERR_IN_USE);
	assert_true(opens(s, "a", a));
	/* A further name is no removal. */
	assert_int_equal(kist_image_tag(s->k, "a", "a:2", NULL), 0);
	assert_int_equal(removal(s, "a:2", 0), KIST_ERR_NONE);
	/* The layer stays while a container has it, even when no image does: a container record may outlive its image.
	 */
	assert_int_equal(removal(s, "other", 0), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 1);

	assert_int_equal(removal(s, "a", KIST_IMAGE_FORCE), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 0);
	assert_true(kist_container_open(s->k, container, &c, NULL) < 0);
	assert_int_equal(count_images(s), 0);
}

/* --- damage ----------------------------------------------------------------------------------------------------- */

static void cut_everywhere(struct store *s, const char *victim, const char *file, size_t step)
{
	KIST_FREE char *path = kist_asprintf("images/%s/%s", victim, file);
	KIST_STR struct kist_str whole = { 0 };

	assert_true(kist_read_file(s->k->root, path, 1 << 20, &whole) >= 0);
	for (size_t n = 0; n < whole.len; n += step) {
		KIST_CLOSE int fd = openat(s->k->root, path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		assert_int_equal(kist_write_all(fd, whole.data, n), 0);
		if (kind_of_open(s, victim) != KIST_ERR_CORRUPT)
			fail_msg("%s cut after %zu bytes was taken", file, n);
		assert_int_equal(count_images(s), 1);
	}
	for (size_t n = 0; n < whole.len; n++) {
		KIST_CLOSE int fd = openat(s->k->root, path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		whole.data[n] ^= 0x11;
		assert_int_equal(kist_write_all(fd, whole.data, whole.len), 0);
		whole.data[n] ^= 0x11;
		if (kind_of_open(s, victim) != KIST_ERR_CORRUPT)
			fail_msg("%s changed at byte %zu was taken", file, n);
	}
	KIST_CLOSE int fd = openat(s->k->root, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(kist_write_all(fd, whole.data, whole.len), 0);
	assert_true(opens(s, victim, victim));
	KIST_CLOSE int dir = openat(s->k->images, victim, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(unlinkat(dir, file, 0), 0);
	assert_int_equal(kind_of_open(s, victim), KIST_ERR_CORRUPT);
}

static void test_damaged(void **state)
{
	struct store *s = *state;
	struct kist_error err = { 0 };
	struct kist_image *image = NULL;
	char a[65], b[65], c[65];

	import(s, "a.tar", "good", a);
	import(s, "b.tar", "bad", b);
	import(s, "b.tar", "worse", c);
	assert_int_equal(removal(s, "worse", 0), KIST_ERR_NONE);
	cut_everywhere(s, b, "record", 1);
	/* Its layers are in the other file still: they stay. */
	import(s, "a.tar", "another", c);
	assert_int_equal(removal(s, "another", 0), KIST_ERR_NONE);
	assert_true(opens(s, "good", a));

	assert_true(kist_image_open(s->k, "bad", &image, &err) < 0);
	assert_non_null(strstr(err.text, "kist rmi"));
	/* It can be removed, by name and with all that it had. */
	assert_int_equal(removal(s, "bad", 0), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 1);
	assert_true(opens(s, "good", a));
}

static void test_damaged_document(void **state)
{
	struct store *s = *state;
	char a[65], b[65];

	import(s, "a.tar", "good", a);
	import(s, "b.tar", "bad", b);
	cut_everywhere(s, b, "config.json", 1);
	assert_int_equal(removal(s, b, 0), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 1);
	assert_int_equal(count_images(s), 1);
}

/* Of an image that lost both files nobody knows the layers: nothing is removed on a guess. */
static void test_lost(void **state)
{
	struct store *s = *state;
	char a[65], b[65];

	import(s, "a.tar", "a", a);
	import(s, "b.tar", "b", b);
	KIST_CLOSE int dir = openat(s->k->images, a, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(unlinkat(dir, "record", 0), 0);
	assert_int_equal(unlinkat(dir, "config.json", 0), 0);
	assert_int_equal(removal(s, "b", 0), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 2);
	assert_int_equal(removal(s, "a", 0), KIST_ERR_NONE);
	assert_int_equal(count_layers(s), 0);
}

/* Links that we did not make are no names, and none of them leads anywhere. */
static void test_strange_links(void **state)
{
	struct store *s = *state;
	char a[65];

	import(s, "a.tar", "a", a);
	assert_int_equal(symlinkat("../images/..", s->k->refs, "localhost%2Fx:latest"), 0);
	assert_int_equal(symlinkat("/etc", s->k->refs, "localhost%2Fy:latest"), 0);
	assert_int_equal(symlinkat("../images/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	                           s->k->refs, "localhost%2Fz:latest"),
	                 0);
	assert_int_equal(kist_replace_file(s->k->refs, "localhost%2Fw:latest", "x", 1, 0600, 0), 0);
	static const char *const names[] = { "x", "y", "z", "w" };
	for (size_t i = 0; i < KIST_COUNT(names); i++)
		assert_int_equal(kind_of_open(s, names[i]), KIST_ERR_NOT_FOUND);
	assert_int_equal(count_images(s), 1);
	/* And each can be taken. */
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		assert_int_equal(kist_image_tag(s->k, "a", names[i], NULL), 0);
		assert_true(opens(s, names[i], a));
	}
}

/* --- crashes and races ------------------------------------------------------------------------------------------ */

/* Everything that is visible is whole. */
static void check_whole(struct store *s)
{
	struct kist_overlay *overlay = NULL;
	KIST_STRV char **ids = kist_images_ids(s->k);
	KIST_REFS struct kist_refs refs = { 0 };

	assert_int_equal(kist_store_overlay(s->k, &overlay, NULL), 0);
	for (char **id = ids; id && *id; id++) {
		struct kist_image *image = NULL;
		struct kist_error err = { 0 };

		if (kist_image_load(s->k, *id, NULL, &image, &err) < 0)
			fail_msg("%s", err.text);
		for (char **layer = image->layers; layer && *layer; layer++)
			if (!kist_overlay_has(overlay, *layer))
				fail_msg("image %s lost its layer %s", *id, *layer);
		kist_image_free(image);
	}
	kist_refs_read(s->k, &refs);
	for (size_t i = 0; i < refs.n; i++)
		if (!kist_strv_has(ids, refs.items[i].id))
			fail_msg("name %s leads to nothing", refs.items[i].name);
}

static size_t count_prefix(int dir, const char *prefix)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fdopendir(fd);
	size_t n = 0;

	assert_non_null(list);
	for (const struct dirent *entry; (entry = readdir(list));)
		n += !kist_streq(entry->d_name, ".") && !kist_streq(entry->d_name, "..") &&
		     kist_has_prefix(entry->d_name, prefix);
	closedir(list);
	return n;
}

/* After the next write nothing is left over: no temporary, no mark, no layer without an image. */
static void check_swept(struct store *s)
{
	KIST_CLOSE int overlay = openat(s->k->root, "overlay", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kist_image **list = NULL;
	KIST_STRV char **used = NULL;
	size_t n = 0;
	char id[65];

	import(s, "b.tar", "last", id);
	check_whole(s);
	assert_int_equal(count_prefix(s->k->images, ".tmp"), 0);
	assert_int_equal(count_prefix(s->k->refs, ".tmp"), 0);
	assert_int_equal(count_prefix(overlay, ".tmp"), 0);
	assert_false(kist_exists_at(s->k->images, ".collect"));
	assert_int_equal(kist_image_list(s->k, &list, &n, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		if (!kist_strv_has(used, list[i]->layers[0]))
			kist_strv_add(&used, list[i]->layers[0]);
		kist_image_free(list[i]);
	}
	free(list);
	assert_int_equal(count_layers(s), kist_strv_len(used));
}

/* The first import is of a layer that nothing else has: a crash must not leave it behind. */
static void busy_child(struct store *s, unsigned seed)
{
	struct kist *k = store_open(s);

	for (unsigned n = 0;; n++) {
		unsigned i = seed + n;
		char id[65];

		import_to(k, s, n % 2 ? "a.tar" : "c.tar", i % 3 ? "x" : NULL, NULL, id, NULL);
		kist_image_tag(k, "x", "y", NULL);
		kist_image_tag(k, id, "z", NULL);
		kist_image_untag(k, "z", "z", NULL);
		kist_image_remove(k, i % 4 ? id : "x", KIST_IMAGE_ALL_NAMES, NULL, NULL);
		kist_image_remove(k, "y", 0, NULL, NULL);
	}
}

static void test_killed(void **state)
{
	struct store *s = *state;
	struct kist_image **list = NULL;
	size_t n = 0;
	char id[65];

	import(s, "a.tar", "keep", id);
	for (unsigned i = 0; i < 60; i++) {
		uint32_t random;
		char text[16];

		snprintf(text, sizeof(text), "%u\n", i);
		make_archive(s, "c.tar", text, "--format=gnu");
		pid_t pid = child_fork();
		if (pid == 0) {
			busy_child(s, i);
			_exit(1);
		}
		kist_random(&random, sizeof(random));
		struct timespec pause = { 0, 1000000 + random % 60000000 };
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(kist_wait_pid(pid), 128 + SIGKILL);
		check_whole(s);
		if (i % 2)
			check_swept(s);
		assert_true(opens(s, "keep", id));
	}
	assert_int_equal(kist_image_list(s->k, &list, &n, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(removal(s, list[i]->id, KIST_IMAGE_ALL_NAMES), KIST_ERR_NONE);
		kist_image_free(list[i]);
	}
	free(list);
	assert_int_equal(count_layers(s), 0);
	assert_int_equal(count_prefix(s->k->images, ".tmp"), 0);
	assert_int_equal(count_prefix(s->k->refs, ""), 0);
}

static void wait_all(const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(kist_wait_pid(pids[i]), 0);
}

static void test_concurrent_import(void **state)
{
	struct store *s = *state;
	pid_t pids[8];

	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			struct kist_error err = { 0 };
			struct kist *k = store_open(s);
			char id[65];
			int r = import_to(k, s, "a.tar", "a", NULL, id, &err);

			kist_close(k);
			if (r < 0)
				fprintf(stderr, "%s\n", err.text);
			_exit(r < 0);
		}
	}
	wait_all(pids, KIST_COUNT(pids));
	check_whole(s);
	assert_int_equal(count_images(s), KIST_COUNT(pids));
	assert_int_equal(count_layers(s), 1);
	assert_int_equal(count_prefix(s->k->refs, ""), 1);
	check_swept(s);
}

/* Removal of the last user of a layer against imports of that very layer. */
static void test_import_against_remove(void **state)
{
	struct store *s = *state;
	pid_t pids[4];

	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			struct kist *k = store_open(s);
			int bad = 0;

			for (unsigned n = 0; n < 15; n++) {
				struct kist_error err = { 0 };
				char id[65];

				if (import_to(k, s, "a.tar", NULL, NULL, id, &err) < 0 ||
				    (n < 14 && kist_image_remove(k, id, 0, NULL, &err) < 0)) {
					fprintf(stderr, "%s\n", err.text);
					bad = 1;
				}
			}
			kist_close(k);
			_exit(bad);
		}
	}
	wait_all(pids, KIST_COUNT(pids));
	check_whole(s);
	assert_int_equal(count_images(s), KIST_COUNT(pids));
	check_swept(s);
}

/* A name that moves between two images is at every moment the name of one. */
static void test_name_moves(void **state)
{
	struct store *s = *state;
	char a[65], b[65];

	import(s, "a.tar", "moving", a);
	import(s, "b.tar", NULL, b);
	pid_t pid = child_fork();
	if (pid == 0) {
		struct kist *k = store_open(s);

		for (unsigned i = 0; i < 200; i++)
			if (kist_image_tag(k, i % 2 ? a : b, "moving", NULL) < 0)
				_exit(1);
		_exit(0);
	}
	unsigned seen = 0;
	while (waitpid(pid, &(int){ 0 }, WNOHANG) == 0) {
		char id[65];

		assert_int_equal(kist_image_find(s->k, "moving", id, NULL, NULL), 0);
		assert_true(kist_streq(id, a) || kist_streq(id, b));
		seen++;
	}
	assert_true(seen > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_import),
		TEST(test_import_refused),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_changes_refused),
		TEST(test_config_round_trip),
		TEST(test_names),
		TEST(test_ids),
		TEST(test_list_order),
		TEST(test_remove),
		TEST(test_in_use),
		TEST(test_damaged),
		TEST(test_damaged_document),
		TEST(test_lost),
		TEST(test_strange_links),
		TEST(test_killed),
		TEST(test_concurrent_import),
		TEST(test_import_against_remove),
		TEST(test_name_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
