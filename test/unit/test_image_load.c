/* load: archives as others write them, and hostile ones. Whatever comes, the store is whole afterwards. */
#include "test/unit/child.h"
#include "core/image.h"
#include "test/unit/overlay_help.h"

#include <json-c/json.h>
#include <unistd.h>

struct rig {
	char *scratch;
	struct kist *k;
};

static int setup(void **state)
{
	struct rig *rig = kist_alloc(sizeof(*rig));
	void *scratch = NULL;
	struct kist_error err = { 0 };

	scratch_make(&scratch);
	rig->scratch = scratch;
	KIST_FREE char *root = kist_asprintf("%s/root", rig->scratch), *run = kist_asprintf("%s/run", rig->scratch);
	if (kist_open(&rig->k, &(struct kist_options){ .root = root, .runroot = run }, &err) < 0)
		fail_msg("%s", err.text);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	void *scratch = rig->scratch;

	kist_close(rig->k);
	scratch_remove(&scratch);
	free(rig);
	return 0;
}

/* --- archives to spoil ------------------------------------------------------------------------------------------ */

struct made {
	struct kist_str layer; /* a tar */
	char diff_id[65], id[65], manifest_id[65];
	char *config, *manifest;
};

static void made_clear(struct made *made)
{
	kist_str_free(&made->layer);
	free(made->config);
	free(made->manifest);
}
#define MADE __attribute__((cleanup(made_clear)))

static void make(struct made *made)
{
	*made = (struct made){ 0 };
	tar_dir(&made->layer, "dir/");
	tar_file(&made->layer, "dir/file", "hello\n");
	tar_end(&made->layer);
	kist_sha256_hex(made->layer.data, made->layer.len, made->diff_id);
	made->config = kist_asprintf(
	        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2020-01-02T03:04:05Z\","
	        "\"config\":{\"Cmd\":[\"sh\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}",
	        made->diff_id);
	kist_sha256_hex(made->config, strlen(made->config), made->id);
	made->manifest = kist_asprintf(
	        "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
	        "vnd.oci.image.config.v1+json\",\"digest\":"
	        "\"sha256:%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
	        "\"digest\":\"sha256:%s\",\"size\":%zu}]}",
	        made->id, strlen(made->config), made->diff_id, made->layer.len);
	kist_sha256_hex(made->manifest, strlen(made->manifest), made->manifest_id);
}

static void put(struct kist_str *tar, const char *name, const void *data, size_t len)
{
	tar_header(tar, &(struct raw_header){ .type = '0', .name = name, .size = len });
	tar_data(tar, data, len);
}

static void put_text(struct kist_str *tar, const char *name, const char *text)
{
	put(tar, name, text, strlen(text));
}

static void put_blob(struct kist_str *tar, const char *hex, const void *data, size_t len)
{
	KIST_FREE char *name = kist_asprintf("blobs/sha256/%s", hex);

	put(tar, name, data, len);
}

static void docker(struct kist_str *tar, const struct made *made, const char *layer_name)
{
	KIST_FREE char *manifest = kist_asprintf(
	        "[{\"Config\":\"%s.json\",\"RepoTags\":[\"busybox:1\"],\"Layers\":[\"%s\"]}]", made->id, layer_name);
	KIST_FREE char *config = kist_asprintf("%s.json", made->id);

	put_text(tar, "manifest.json", manifest);
	put_text(tar, config, made->config);
}

static void oci_index(struct kist_str *tar, const char *hex, size_t len)
{
	KIST_FREE char *index = kist_asprintf(
	        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
	        "\"digest\":\"sha256:%s\",\"size\":%zu,\"annotations\":{\"org.opencontainers.image.ref.name\":\"one:"
	        "v1\"}}]}",
	        hex, len);

	put_text(tar, "index.json", index);
}

static void oci(struct kist_str *tar, const struct made *made)
{
	oci_index(tar, made->manifest_id, strlen(made->manifest));
	put_blob(tar, made->manifest_id, made->manifest, strlen(made->manifest));
	put_blob(tar, made->id, made->config, strlen(made->config));
	put_blob(tar, made->diff_id, made->layer.data, made->layer.len);
	tar_end(tar);
}

/* Through a file, read in place, and through a pipe, kept in the store meanwhile. */
static int load(struct rig *rig, const void *data, size_t len, bool piped, char ***names, struct kist_error *err)
{
	KIST_STRV char **ignored = NULL;
	KIST_CLOSE int fd = memory_file(data, len);
	int ends[2];

	if (!piped)
		return kist_image_unpack(rig->k, fd, names ? names : &ignored, err);
	assert_int_equal(pipe(ends), 0);
	pid_t pid = child_fork();
	if (pid == 0) {
		close(ends[0]);
		signal(SIGPIPE, SIG_DFL);
		_exit(kist_write_all(ends[1], data, len) < 0);
	}
	close(ends[1]);
	int r = kist_image_unpack(rig->k, ends[0], names ? names : &ignored, err);
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return r;
}

static void expect_failure(struct rig *rig, const struct kist_str *tar, const char *text)
{
	for (int piped = 0; piped < 2; piped++) {
		struct kist_error err = { 0 };

		assert_true(load(rig, tar->data, tar->len, piped, NULL, &err) < 0);
		if (!strstr(err.text, text))
			fail_msg("'%s' is not in '%s'", text, err.text);
		/* Nothing is left: no image, no layer, no temporary. */
		must(rig->scratch,
		     "test -z \"$(ls -A root/images | grep -v -x .lock)\"; test -z \"$(ls -A root/refs)\"; "
		     "test -z \"$(ls -A root/overlay 2>/dev/null | grep -v -x -e l -e lock)\"");
	}
}

/* --- tests ------------------------------------------------------------------------------------------------------ */

static void expect_loaded(struct rig *rig, const struct kist_str *tar, const char *name, const struct made *made)
{
	for (int piped = 0; piped < 2; piped++) {
		struct kist_error err = { 0 };
		KIST_STRV char **names = NULL;
		KIST_STRV char **removed = NULL;
		struct kist_image *image = NULL;

		if (load(rig, tar->data, tar->len, piped, &names, &err) < 0)
			fail_msg("%s", err.text);
		assert_string_equal(names[0], name);
		assert_null(names[1]);
		assert_int_equal(kist_image_open(rig->k, name, &image, &err), 0);
		assert_string_equal(image->id, made->id);
		assert_string_equal(image->layers[0], made->diff_id);
		assert_int_equal(image->created, 1577934245LL * 1000000000);
		kist_image_free(image);
		must(rig->scratch,
		     "test \"$(cat root/overlay/*/diff/dir/file)\" = hello; test 1 = $(ls root/images | wc -l)");
		assert_int_equal(kist_image_remove(rig->k, name, KIST_IMAGE_FORCE, &removed, &err), 0);
	}
}

static void test_good(void **state)
{
	MADE struct made made;
	KIST_STR struct kist_str a = { 0 }, b = { 0 };

	make(&made);
	docker(&a, &made, "layer.tar");
	put(&a, "layer.tar", made.layer.data, made.layer.len);
	tar_end(&a);
	expect_loaded(*state, &a, "docker.io/library/busybox:1", &made);
	oci(&b, &made);
	expect_loaded(*state, &b, "localhost/one:v1", &made);
}

/* Docker's own archives have links to layers; they are resolved in the archive and nowhere else. */
static void test_links(void **state)
{
	MADE struct made made;
	KIST_STR struct kist_str a = { 0 }, b = { 0 };

	make(&made);
	docker(&a, &made, "x/layer.tar");
	put(&a, "y/real.tar", made.layer.data, made.layer.len);
	tar_link(&a, '2', "x/layer.tar", "../y/hard");
	tar_link(&a, '1', "y/hard", "y/real.tar");
	tar_end(&a);
	expect_loaded(*state, &a, "docker.io/library/busybox:1", &made);
	/* What leads above the top stays at the top. */
	docker(&b, &made, "../../layer.tar");
	put(&b, "real.tar", made.layer.data, made.layer.len);
	tar_link(&b, '2', "layer.tar", "/../../../../real.tar");
	tar_end(&b);
	expect_loaded(*state, &b, "docker.io/library/busybox:1", &made);
}

static void hostile_link(struct rig *rig, const struct made *made, char type, const char *target)
{
	KIST_STR struct kist_str a = { 0 };

	docker(&a, made, "layer.tar");
	tar_link(&a, type, "layer.tar", target);
	tar_end(&a);
	expect_failure(rig, &a, "the archive has no file 'layer.tar'");
}

static void test_hostile_links(void **state)
{
	struct rig *rig = *state;
	MADE struct made made;

	make(&made);
	/* The right bytes, on the host. */
	KIST_CLOSE int dir = open(rig->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_replace_file(dir, "host.tar", made.layer.data, made.layer.len, 0644, 0), 0);
	KIST_FREE char *host = kist_asprintf("%s/host.tar", rig->scratch);
	KIST_FREE char *up = kist_asprintf("../../../../../../../..%s", host);
	hostile_link(rig, &made, '2', host);
	hostile_link(rig, &made, '2', up);
	hostile_link(rig, &made, '1', host);
	hostile_link(rig, &made, '2', "/proc/self/fd/0");
	hostile_link(rig, &made, '2', "layer.tar");
	hostile_link(rig, &made, '3', NULL);
	hostile_link(rig, &made, '6', NULL);
}

static void test_digests(void **state)
{
	struct rig *rig = *state;
	MADE struct made made;
	KIST_STR struct kist_str a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };

	make(&made);
	/* The layer is another one than the configuration says. */
	docker(&a, &made, "layer.tar");
	made.layer.data[1024] ^= 1;
	put(&a, "layer.tar", made.layer.data, made.layer.len);
	tar_end(&a);
	expect_failure(rig, &a, "the digest of the layer is sha256:");
	oci(&b, &made);
	expect_failure(rig, &b, "the digest of the blob is sha256:");
	made_clear(&made);
	/* The configuration, the manifest. */
	make(&made);
	made.config[20] ^= 1;
	docker(&c, &made, "layer.tar");
	put(&c, "layer.tar", made.layer.data, made.layer.len);
	tar_end(&c);
	expect_failure(rig, &c, ".json is sha256:");
	oci(&d, &made);
	expect_failure(rig, &d, "the digest of blobs/sha256/");
	made_clear(&made);
	make(&made);
	made.manifest[3] ^= 1;
	oci(&e, &made);
	expect_failure(rig, &e, "the digest of blobs/sha256/");
}

static void test_missing(void **state)
{
	struct rig *rig = *state;
	MADE struct made made;
	KIST_STR struct kist_str a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };

	make(&made);
	docker(&a, &made, "layer.tar");
	tar_end(&a);
	expect_failure(rig, &a, "the archive has no file 'layer.tar'");
	put_text(&b, "something", "else");
	tar_end(&b);
	expect_failure(rig, &b, "it has neither manifest.json nor index.json");
	oci_index(&c, made.manifest_id, strlen(made.manifest));
	tar_end(&c);
	expect_failure(rig, &c, "the archive has no file 'blobs/sha256/");
	oci_index(&d, made.manifest_id, strlen(made.manifest) + 1);
	put_blob(&d, made.manifest_id, made.manifest, strlen(made.manifest));
	tar_end(&d);
	expect_failure(rig, &d, "bytes, not");
	put_text(&e, "manifest.json", "[]");
	tar_end(&e);
	expect_failure(rig, &e, "the archive has no image");
}

static void test_documents(void **state)
{
	struct rig *rig = *state;
	static const char *const docker_documents[][2] = {
		{ "{}", "manifest.json is not a JSON array" },
		{ "[", "manifest.json" },
		{ "[1]", "no Config" },
		{ "[{}]", "no Config" },
		{ "[{\"Config\":7,\"Layers\":[]}]", "no Config" },
		{ "[{\"Config\":\"x\",\"Layers\":[]}]", "has no file 'x'" },
		{ "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]", "has no file '../../etc/passwd'" },
		{ "[{\"Config\":\"manifest.json\",\"Layers\":[\"a\"]}]", "not a JSON object" },
		{ "[{\"Config\":\"x\",\"Layers\":[],\"RepoTags\":[null]}]", "a name is null" },
		{ "[{\"Config\":\"x\",\"Layers\":[],\"RepoTags\":[\"../../x\"]}]", "RepoTags" },
		{ "[{\"Config\":\"x\",\"Layers\":[],\"RepoTags\":[\"UPPER:x\"]}]", "RepoTags" },
	};
	static const char *const oci_documents[][2] = {
		{ "[]", "index.json is not a JSON object" },
		{ "{}", "index.json has no manifests" },
		{ "{\"manifests\":[7]}", "a descriptor is not an object" },
		{ "{\"manifests\":[{}]}", "is not a sha256 digest" },
		{ "{\"manifests\":[{\"digest\":\"sha256:../../../etc/passwd\"}]}", "is not a sha256 digest" },
		{ "{\"manifests\":[{\"digest\":\"sha512:00\"}]}", "is not a sha256 digest" },
		{ "{\"manifests\":[]}", "the archive has no image" },
	};

	for (size_t i = 0; i < KIST_COUNT(docker_documents); i++) {
		KIST_STR struct kist_str tar = { 0 };

		put_text(&tar, "manifest.json", docker_documents[i][0]);
		tar_end(&tar);
		expect_failure(rig, &tar, docker_documents[i][1]);
	}
	for (size_t i = 0; i < KIST_COUNT(oci_documents); i++) {
		KIST_STR struct kist_str tar = { 0 };

		put_text(&tar, "index.json", oci_documents[i][0]);
		tar_end(&tar);
		expect_failure(rig, &tar, oci_documents[i][1]);
	}
}

static void test_huge(void **state)
{
	struct rig *rig = *state;
	KIST_STR struct kist_str a = { 0 }, b = { 0 }, c = { 0 };
	size_t size = 5U << 20;
	KIST_FREE char *spaces = kist_alloc(size + 1);

	memset(spaces, ' ', size);
	put(&a, "manifest.json", spaces, size);
	tar_end(&a);
	expect_failure(rig, &a, "is longer than");
	memset(spaces, '[', 1000);
	spaces[1000] = '\0';
	put_text(&b, "manifest.json", spaces);
	tar_end(&b);
	expect_failure(rig, &b, "manifest.json");
	/* An index that names itself has no digest; one can only be nested as deep as somebody made it. */
	KIST_FREE char *inner = kist_strdup("{\"manifests\":[]}");
	for (int i = 0; i < 8; i++) {
		char hex[65];
		kist_sha256_hex(inner, strlen(inner), hex);
		put_blob(&c, hex, inner, strlen(inner));
		char *outer = kist_asprintf("{\"manifests\":[{\"digest\":\"sha256:%s\"}]}", hex);
		free(inner);
		inner = outer;
	}
	put_text(&c, "index.json", inner);
	tar_end(&c);
	expect_failure(rig, &c, "indexes are nested too deeply");
}

/* Cut at every block, and with every byte of the documents changed: an error or the same image. */
static void test_cut(void **state)
{
	struct rig *rig = *state;
	MADE struct made made;
	struct kist_str good[2] = { { 0 }, { 0 } };

	make(&made);
	docker(&good[0], &made, "layer.tar");
	put(&good[0], "layer.tar", made.layer.data, made.layer.len);
	tar_end(&good[0]);
	oci(&good[1], &made);
	for (int kind = 0; kind < 2; kind++) {
		/* Without one of the two end blocks an archive is still whole. */
		for (size_t len = 0; len + 512 < good[kind].len; len += 512) {
			struct kist_str cut = { .data = good[kind].data, .len = len };

			expect_failure(rig, &cut, "");
			cut.len = len + 100;
			expect_failure(rig, &cut, "");
		}
		kist_str_free(&good[kind]);
	}
}

static void test_changed_bytes(void **state)
{
	struct rig *rig = *state;
	MADE struct made made;
	KIST_STR struct kist_str tar = { 0 };

	make(&made);
	oci(&tar, &made);
	for (size_t i = 0; i < tar.len; i += 7) {
		struct kist_error err = { 0 };
		KIST_STRV char **names = NULL;

		tar.data[i] ^= 0x55;
		int r = load(rig, tar.data, tar.len, false, &names, &err);
		tar.data[i] ^= 0x55;
		if (r < 0) {
			assert_true(*err.text);
			continue;
		}
		/* A name, a time, padding: the image itself is the same. */
		KIST_STRV char **removed = NULL;
		assert_int_equal(kist_image_remove(rig->k, made.id, KIST_IMAGE_FORCE, &removed, &err), 0);
	}
	must(rig->scratch, "test -z \"$(ls -A root/images | grep -v -x .lock)\"");
}

/* A layer that is there is not read again: its bytes may even be missing. */
static void test_shared(void **state)
{
	struct rig *rig = *state;
	MADE struct made made;
	KIST_STR struct kist_str a = { 0 }, b = { 0 };
	struct kist_error err = { 0 };

	make(&made);
	oci(&a, &made);
	assert_int_equal(load(rig, a.data, a.len, false, NULL, &err), 0);
	docker(&b, &made, "absent.tar");
	tar_end(&b);
	if (load(rig, b.data, b.len, true, NULL, &err) < 0)
		fail_msg("%s", err.text);
	must(rig->scratch, "test 1 = $(ls root/images | wc -l); test 2 = $(ls root/refs | wc -l)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
