/* Image references: the grammar, what short names mean, and the file names of links. */
#include "core/image.h"

#include "core/base/error.h"
#include "core/base/fs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void full(const char *name, const char *expected)
{
	struct kist_error err = { 0 };
	KIST_FREE char *out = NULL;

	if (kist_image_reference(name, &out, &err) < 0)
		fail_msg("'%s': %s", name, err.text);
	assert_string_equal(out, expected);
	/* What is full already stays as it is. */
	KIST_FREE char *again = NULL;
	assert_int_equal(kist_image_reference(out, &again, NULL), 0);
	assert_string_equal(again, out);
}

static void test_short_names(KIST_UNUSED void **state)
{
	full("busybox", "localhost/busybox:latest");
	full("busybox:1.36", "localhost/busybox:1.36");
	full("a/b", "localhost/a/b:latest");
	full("localhost/a", "localhost/a:latest");
	full("localhost:5000/a:x", "localhost:5000/a:x");
	full("docker.io/busybox", "docker.io/library/busybox:latest");
	full("index.docker.io/busybox", "docker.io/library/busybox:latest");
	full("docker.io/library/busybox:1", "docker.io/library/busybox:1");
	full("docker.io/grafana/loki", "docker.io/grafana/loki:latest");
	full("quay.io/x/y:z", "quay.io/x/y:z");
	full("[::1]:5000/a", "[::1]:5000/a:latest");
	full("Registry.Example/a", "Registry.Example/a:latest");
	full("a__b/c-d--e/f.g_h:A.b_c-d", "localhost/a__b/c-d--e/f.g_h:A.b_c-d");
	full("a:_", "localhost/a:_");
	full("1234", "localhost/1234:latest");
}

static void refused(const char *name, const char *why)
{
	struct kist_error err = { 0 };
	char *out = NULL;

	if (kist_image_reference(name, &out, &err) != -EINVAL)
		fail_msg("'%s' was taken for %s", name, out ? out : "an error of another kind");
	assert_null(out);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	if (!strstr(err.text, why))
		fail_msg("'%s': expected '%s' in: %s", name, why, err.text);
}

static void test_refused(KIST_UNUSED void **state)
{
	char tag[140], path[300];

	refused("", "empty");
	refused(":tag", "no repository name");
	refused("Busybox", "lower case");
	refused("a/B", "lower case");
	refused("a..b", "repository name");
	refused("a___b", "repository name");
	refused("a_-b", "repository name");
	refused("-a", "repository name");
	refused("a-", "repository name");
	refused("a/", "repository name");
	refused("/a", "repository name");
	refused("a//b", "repository name");
	refused("../a", "registry");
	refused("./a", "registry");
	refused("a/../b", "repository name");
	refused("localhost/", "repository name");
	refused("a:", "tag");
	refused("a:-x", "tag");
	refused("a:.x", "tag");
	refused("a:x y", "tag");
	refused("a:b:c", "repository name");
	refused("a b", "repository name");
	refused("a\nb", "repository name");
	refused("a%2Fb", "repository name");
	refused("host:port/a", "registry");
	refused("host:/a", "registry");
	refused("host.-x/a", "registry");
	refused("[::1/a", "registry");
	refused("\xc3\xa9", "repository name");
	refused("a@sha256:" ID, "digest");
	refused("a@sha256:12", "64 hexadecimal");
	refused("a@md5:" ID, "64 hexadecimal");
	refused(ID, "an id");

	memset(tag, 'x', sizeof(tag));
	memcpy(tag, "a:", 2);
	tag[2 + 129] = '\0';
	refused(tag, "tag");
	memset(path, 'x', sizeof(path));
	path[256] = '\0';
	refused(path, "at most 255");
	path[250] = '\0';
	refused(path, "too long");
}

static void test_parts(KIST_UNUSED void **state)
{
	KIST_REFERENCE struct kist_reference r = { 0 };

	assert_int_equal(kist_reference_parse("host.example:5000/a/b:t@sha256:" ID, &r, NULL), 0);
	assert_string_equal(r.domain, "host.example:5000");
	assert_string_equal(r.path, "a/b");
	assert_string_equal(r.tag, "t");
	assert_string_equal(r.digest, "sha256:" ID);
}

static void repositories(const char *name, const char *expected)
{
	KIST_REFERENCE struct kist_reference r = { 0 };

	assert_int_equal(kist_reference_parse(name, &r, NULL), 0);
	KIST_STRV char **list = kist_reference_repositories(&r);
	KIST_FREE char *joined = kist_strv_join(list, " ");
	assert_string_equal(joined, expected);
}

static void test_candidates(KIST_UNUSED void **state)
{
	repositories("busybox", "localhost/busybox docker.io/library/busybox");
	repositories("a/b:1", "localhost/a/b docker.io/a/b");
	repositories("localhost/a", "localhost/a");
	repositories("docker.io/a", "docker.io/library/a");
	repositories("quay.io/a", "quay.io/a");
}

static void test_files(KIST_UNUSED void **state)
{
	static const char *const bad[] = { "busybox:latest",    "localhost%2Fbusybox", "localhost%2fa:b", "localhost%2",
		                           "localhost%2Fa%3Ab", "localhost%2FA:b",     "localhost%25a:b", "",
		                           "localhost%2F..:b",  "localhost/a:b" };
	KIST_FREE char *file = kist_reference_escape("localhost:5/a/b%:c");
	KIST_FREE char *name = kist_reference_unescape("localhost:5%2Fa%2Fb:c");

	assert_string_equal(file, "localhost:5%2Fa%2Fb%25:c");
	assert_string_equal(name, "localhost:5/a/b:c");
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		KIST_FREE char *none = kist_reference_unescape(bad[i]);

		if (none)
			fail_msg("'%s' was taken for %s", bad[i], none);
	}
	KIST_FREE char *repository = kist_reference_repository("localhost:5/a/b:c");
	assert_string_equal(repository, "localhost:5/a/b");
}

/* Random bytes never crash, and what is taken survives the way to a file name and back. */
static void test_random(KIST_UNUSED void **state)
{
	static const char letters[] = "ab01._-:/@%AZ[]\n\xff";

	for (unsigned i = 0; i < 100000; i++) {
		unsigned char noise[24];
		char text[25] = { 0 };
		KIST_FREE char *out = NULL;

		kist_random(noise, sizeof(noise));
		for (size_t n = 0; n < noise[0] % sizeof(noise); n++)
			text[n] = letters[noise[n + 1 < sizeof(noise) ? n + 1 : 0] % (sizeof(letters) - 1)];
		if (kist_image_reference(text, &out, NULL) < 0)
			continue;
		KIST_FREE char *file = kist_reference_escape(out);
		assert_null(strchr(file, '/'));
		assert_true(file[0] != '.');
		KIST_FREE char *back = kist_reference_unescape(file);
		assert_non_null(back);
		assert_string_equal(back, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_names), cmocka_unit_test(test_refused), cmocka_unit_test(test_parts),
		cmocka_unit_test(test_candidates),  cmocka_unit_test(test_files),   cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
