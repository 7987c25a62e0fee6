/* Registries without a network: challenges, accounts, manifests, URLs, names. */
#include "core/registry.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- challenges ------------------------------------------------------------------------------------------------- */

static void challenges(void **state)
{
	static const struct {
		const char *text;
		bool basic, bearer;
		const char *realm, *service;
		int result;
	} rows[] = {
		{ "Basic realm=\"x\"", true, false, NULL, NULL, 0 },
		{ "Bearer realm=\"https://a/token\",service=\"b c\"", false, true, "https://a/token", "b c", 0 },
		{ "bearer  realm = https , scope=\"a,b\" , service=s", false, true, "https", "s", 0 },
		{ "Negotiate abc==, Basic realm=\"a\\\"b\", Bearer realm=\"r\"", true, true, "r", NULL, 0 },
		{ "Digest realm=\"no\", Bearer service=\"s\"", false, true, NULL, "s", 0 },
		{ "Bearer realm=\"first\",realm=\"second\"", false, true, "first", NULL, 0 },
		{ "", false, false, NULL, NULL, 0 },
		{ ",,", false, false, NULL, NULL, 0 },
		{ "Bearer realm=\"open", false, true, NULL, NULL, -EINVAL },
		{ "Bearer realm=\"a\nb\"", false, true, NULL, NULL, -EINVAL },
		{ "Bearer a=1,=x", false, true, NULL, NULL, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_challenge c = { 0 };

		assert_int_equal(kist_challenge_parse(rows[i].text, &c), rows[i].result);
		assert_int_equal(c.basic, rows[i].basic);
		assert_int_equal(c.bearer, rows[i].bearer);
		assert_true(kist_streq(c.realm, rows[i].realm));
		assert_true(kist_streq(c.service, rows[i].service));
		kist_challenge_clear(&c);
	}
}

/* --- accounts --------------------------------------------------------------------------------------------------- */

static char top[] = "/tmp/kist-test-XXXXXX";
static char authfile[64];

static int auth_setup(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	snprintf(authfile, sizeof(authfile), "%s/deep/auth.json", top);
	return 0;
}

static int auth_teardown(void **state)
{
	(void)state;
	return kist_remove_tree(AT_FDCWD, top);
}

static void write_authfile(const char *text)
{
	char directory[64];

	snprintf(directory, sizeof(directory), "%s/deep", top);
	int dir KIST_CLOSE = kist_mkdirs(directory, 0700);
	assert_int_equal(kist_replace_file(dir, "auth.json", text, strlen(text), 0600, 0), 0);
}

static void expect(const char *registry, const char *repository, const char *name, const char *password)
{
	KIST_CREDENTIALS struct kist_credentials found = { 0 };
	struct kist_error err = { 0 };

	int r = kist_auth_find(authfile, registry, repository, &found, &err);
	if (r < 0)
		fail_msg("%s", err.text);
	assert_int_equal(r, name ? 0 : 1);
	assert_true(kist_streq(found.username, name));
	assert_true(kist_streq(found.password, password));
}

static void accounts_are_kept_and_forgotten(void **state)
{
	struct kist_credentials mine = { .username = (char *)"me", .password = (char *)"se:cret" };
	struct kist_credentials other = { .username = (char *)"you", .password = (char *)"" };
	struct stat st;

	(void)state;
	assert_int_equal(kist_auth_store(authfile, "a.example:5000", &mine, NULL), 0);
	assert_int_equal(stat(authfile, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(kist_auth_store(authfile, "b.example/team", &other, NULL), 0);
	expect("a.example:5000", "x/y", "me", "se:cret");
	expect("a.example", NULL, NULL, NULL);
	expect("b.example", "team/app", "you", "");
	expect("b.example", "other", NULL, NULL);
	assert_int_equal(kist_auth_remove(authfile, "a.example:5000", NULL), 0);
	assert_int_equal(kist_auth_remove(authfile, "a.example:5000", NULL), 1);
	expect("a.example:5000", NULL, NULL, NULL);
	expect("b.example", "team", "you", "");
	assert_int_equal(kist_auth_remove(authfile, NULL, NULL), 0);
	expect("b.example", "team", NULL, NULL);
}

static void a_link_to_the_accounts_stays_one(void **state)
{
	struct kist_credentials mine = { .username = (char *)"me", .password = (char *)"pw" };
	KIST_FREE char *link = kist_asprintf("%s.link", authfile);
	KIST_FREE char *fifo = kist_asprintf("%s.fifo", authfile);
	struct stat st;

	(void)state;
	write_authfile("{}");
	assert_int_equal(symlink(authfile, link), 0);
	assert_int_equal(kist_auth_store(link, "l.example", &mine, NULL), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	expect("l.example", NULL, "me", "pw");
	assert_int_equal(kist_auth_remove(link, "l.example", NULL), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(kist_auth_store(fifo, "l.example", &mine, NULL), -EINVAL);
	assert_int_equal(lstat(fifo, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(unlink(fifo), 0);
}

static void docker_files_are_read(void **state)
{
	KIST_CREDENTIALS struct kist_credentials found = { 0 };

	(void)state;
	/* me:pw */
	write_authfile("{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"bWU6cHc=\"},\"q.example\":"
	               "{\"auth\":\"bWU6cHc=\"},\"q.example/a/b\":{\"auth\":\"YTpi\"},\"t.example\":{\"identitytoken\":"
	               "\"tok\"}},\"other\":[1]}");
	expect("docker.io", "library/x", "me", "pw");
	expect("q.example", "a", "me", "pw");
	expect("q.example", "a/b/c", "a", "b");
	assert_int_equal(kist_auth_find(authfile, "t.example", NULL, &found, NULL), 0);
	assert_string_equal(found.identity_token, "tok");
	/* What is not ours stays. */
	assert_int_equal(kist_auth_remove(authfile, "docker.io", NULL), 0);
	KIST_STR struct kist_str text = { 0 };
	assert_int_equal(kist_read_file(AT_FDCWD, authfile, 4096, &text), 0);
	assert_non_null(strstr(text.data, "\"other\""));
	assert_null(strstr(text.data, "docker.io"));
}

static void bad_accounts_are_refused(void **state)
{
	static const struct {
		const char *text, *message;
		enum kist_error_kind kind;
	} rows[] = {
		{ "[]", "not a JSON object", KIST_ERR_INVALID },
		{ "{", "auth.json", KIST_ERR_INVALID },
		{ "{\"auths\":{\"h\":{\"auth\":\"!!\"}}}", "base64", KIST_ERR_INVALID },
		{ "{\"auths\":{\"h\":{\"auth\":\"bWU=\"}}}", "base64", KIST_ERR_INVALID },
		{ "{\"credHelpers\":{\"h\":\"pass\"}}", "helpers ('pass')", KIST_ERR_UNSUPPORTED },
		{ "{\"auths\":{\"h\":{}},\"credsStore\":\"desktop\"}", "stores ('desktop')", KIST_ERR_UNSUPPORTED },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_credentials found = { 0 };
		struct kist_error err = { 0 };

		write_authfile(rows[i].text);
		assert_true(kist_auth_find(authfile, "h", NULL, &found, &err) < 0);
		assert_int_equal(err.kind, rows[i].kind);
		assert_non_null(strstr(err.text, rows[i].message));
	}
	struct kist_error err = { 0 };
	struct kist_credentials found = { 0 };
	assert_true(kist_auth_find("/nonexistent/auth.json", "h", NULL, &found, &err) < 0);
}

/* --- manifests -------------------------------------------------------------------------------------------------- */

#define HEX   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D     "\"digest\":\"sha256:" HEX "\",\"size\":7"
#define IMAGE "{\"schemaVersion\":2,\"config\":{" D "},\"layers\":["

static void manifests(void **state)
{
	static const struct {
		const char *text, *type, *message;
	} rows[] = {
		{ IMAGE "{" D "}]}", NULL, NULL },
		{ IMAGE "]}", "application/vnd.docker.distribution.manifest.v2+json", NULL },
		{ IMAGE "{" D ",\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+zstd\"}]}", NULL, NULL },
		{ "{\"manifests\":[]}", NULL, NULL },
		{ "[]", NULL, "not a JSON object" },
		{ "{}", NULL, "no config" },
		{ "{\"schemaVersion\":1}", NULL, "schema 1" },
		{ "{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1" },
		{ IMAGE "{\"size\":1}]}", NULL, "no digest" },
		{ IMAGE "{\"digest\":\"sha512:00\",\"size\":1}]}", NULL, "not sha256" },
		{ IMAGE "{\"digest\":\"sha256:" HEX "\",\"size\":-1}]}", NULL, "no size" },
		{ IMAGE "{" D ",\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\"}]}", NULL,
		  "not kept" },
		{ IMAGE "{" D ",\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\"}]}", NULL,
		  "encrypted" },
		{ IMAGE "{" D ",\"mediaType\":\"text/plain\"}]}", NULL, "unknown type" },
		{ "{\"config\":{" D ",\"mediaType\":\"application/wasm\"},\"layers\":[]}", NULL, "not an image" },
		{ "{\"config\":{" D "},\"layers\":[],\"manifests\":[]}", NULL, "at once" },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		KIST_MANIFEST struct kist_manifest m = { 0 };
		struct kist_error err = { 0 };

		int r = kist_manifest_parse(rows[i].text, strlen(rows[i].text), rows[i].type, &m, &err);
		if (rows[i].message ? r == 0 || !strstr(err.text, rows[i].message) : r < 0)
			fail_msg("%s: %s", rows[i].text, err.text);
		if (r == 0)
			assert_int_equal(m.docker, rows[i].type != NULL);
	}
}

static void platforms(void **state)
{
	static const char index[] =
	        "{\"manifests\":[{" D ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}},"
	        "{\"digest\":\"sha256:" HEX "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
	        "{\"digest\":\"sha256:" HEX
	        "\",\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v5\"}},"
	        "{\"digest\":\"sha256:" HEX
	        "\",\"size\":6,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}},"
	        "{\"digest\":\"sha256:" HEX
	        "\",\"size\":8,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}}]}";
	static const struct {
		struct kist_platform platform;
		uint64_t size; /* 0: none */
	} rows[] = {
		{ { "linux", "x86_64", NULL }, 1 }, { { NULL, "amd64", NULL }, 1 },   { { NULL, "armhf", NULL }, 6 },
		{ { NULL, "arm", "v5" }, 5 },       { { NULL, "aarch64", NULL }, 8 }, { { NULL, "arm64", "v8" }, 8 },
		{ { NULL, "s390x", NULL }, 0 },
	};
	KIST_MANIFEST struct kist_manifest m = { 0 };
	struct kist_platform windows = { .os = "windows" };

	(void)state;
	assert_int_equal(kist_manifest_parse(index, strlen(index), NULL, &m, NULL), 0);
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_platform platform = rows[i].platform;
		struct kist_descriptor chosen = { 0 };
		struct kist_error err = { 0 };

		assert_int_equal(kist_platform_complete(&platform, NULL), 0);
		int r = kist_manifest_choose(&m, &platform, &chosen, &err);
		assert_int_equal(r == 0, rows[i].size != 0);
		assert_int_equal(chosen.size, rows[i].size);
		if (r < 0) {
			assert_non_null(strstr(err.text, "linux/s390x"));
			assert_non_null(strstr(err.text, "linux/arm/v6"));
			assert_null(strstr(err.text, "unknown"));
		}
	}
	assert_true(kist_platform_complete(&windows, NULL) < 0);
}

/* --- URLs and names --------------------------------------------------------------------------------------------- */

static void origins(void **state)
{
	(void)state;
	assert_true(kist_url_same_origin("https://a.example/x", "https://A.example:443?y"));
	assert_true(kist_url_same_origin("http://[::1]:5000/", "http://[::1]:5000"));
	assert_false(kist_url_same_origin("https://a.example", "http://a.example"));
	assert_false(kist_url_same_origin("https://a.example", "https://a.example:444"));
	assert_false(kist_url_same_origin("https://a.example", "https://a.example@evil.example/"));
	assert_false(kist_url_same_origin("https://a.example", "https://a.example.evil.example/"));
	assert_false(kist_url_same_origin("https://a.example@evil.example", "https://a.example@evil.example"));
	assert_false(kist_url_same_origin("file:///x", "file:///x"));
	KIST_FREE char *escaped = kist_url_escape("a b/c:d&=%\n");
	assert_string_equal(escaped, "a%20b%2Fc%3Ad%26%3D%25%0A");
}

static void names(void **state)
{
	struct kist k = { 0 };
	char *set[] = { (char *)"one.example:5000", (char *)"docker.io", NULL };
	KIST_REFERENCE struct kist_reference bare = { 0 };
	KIST_REFERENCE struct kist_reference full = { 0 };
	const char *name = NULL;
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_reference_parse("app", &bare, NULL), 0);
	assert_int_equal(kist_reference_parse("q.example/a:1", &full, NULL), 0);
	KIST_STRV char **standard = kist_registry_candidates(&k, &bare);
	assert_int_equal(kist_strv_len(standard), 1);
	assert_string_equal(standard[0], "docker.io/library/app");
	k.settings.registries = set;
	KIST_STRV char **list = kist_registry_candidates(&k, &bare);
	assert_int_equal(kist_strv_len(list), 2);
	assert_string_equal(list[0], "one.example:5000/app");
	assert_string_equal(list[1], "docker.io/library/app");
	KIST_STRV char **own = kist_registry_candidates(&k, &full);
	assert_int_equal(kist_strv_len(own), 1);
	assert_string_equal(own[0], "q.example/a");
	assert_int_equal(kist_registry_transport("docker://x/y", &name, NULL), 0);
	assert_string_equal(name, "x/y");
	assert_true(kist_registry_transport("oci-archive:x", &name, &err) < 0);
	assert_non_null(strstr(err.text, "oci-archive:"));
	KIST_FREE char *host = kist_registry_host(&k, "https://Q.example/v2/"), *first = kist_registry_host(&k, NULL);
	assert_string_equal(host, "Q.example");
	assert_string_equal(first, "one.example:5000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(challenges),
		cmocka_unit_test(accounts_are_kept_and_forgotten),
		cmocka_unit_test(a_link_to_the_accounts_stays_one),
		cmocka_unit_test(docker_files_are_read),
		cmocka_unit_test(bad_accounts_are_refused),
		cmocka_unit_test(manifests),
		cmocka_unit_test(platforms),
		cmocka_unit_test(origins),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, auth_setup, auth_teardown);
}
