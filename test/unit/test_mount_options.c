#include "ns/mount_options.h"

#include "core/base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#define PARSE(type, ...) parse_list(type, (char *[]){ __VA_ARGS__, NULL })

static struct kist_ns_mount_options parse_list(const char *type, char **options)
{
	struct kist_ns_mount_options out = { 0 };
	struct kist_error err = { 0 };

	assert_int_equal(kist_ns_mount_options_parse(options, type, "mounts[0]", &out, &err), 0);
	return out;
}

static void check_refused(const char *type, char **options, enum kist_error_kind kind, const char *text)
{
	struct kist_ns_mount_options out = { 0 };
	struct kist_error err = { 0 };

	assert_true(kist_ns_mount_options_parse(options, type, "mounts[3]", &out, &err) < 0);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.text, text));
	assert_non_null(strstr(err.text, "mounts[3]"));
	assert_null(out.parameters);
}

/* Every name: what it must do to an otherwise empty set. */
static const struct {
	const char *name;
	uint64_t set, clear, all_set, all_clear;
} attribute_rows[] = {
	{ "ro", MOUNT_ATTR_RDONLY, 0, 0, 0 },
	{ "rw", 0, MOUNT_ATTR_RDONLY, 0, 0 },
	{ "nosuid", MOUNT_ATTR_NOSUID, 0, 0, 0 },
	{ "suid", 0, MOUNT_ATTR_NOSUID, 0, 0 },
	{ "nodev", MOUNT_ATTR_NODEV, 0, 0, 0 },
	{ "dev", 0, MOUNT_ATTR_NODEV, 0, 0 },
	{ "noexec", MOUNT_ATTR_NOEXEC, 0, 0, 0 },
	{ "exec", 0, MOUNT_ATTR_NOEXEC, 0, 0 },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, 0, 0, 0 },
	{ "diratime", 0, MOUNT_ATTR_NODIRATIME, 0, 0 },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0, 0, 0 },
	{ "symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW, 0, 0 },
	{ "noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, 0, 0 },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, 0, 0 },
	{ "relatime", 0, MOUNT_ATTR__ATIME, 0, 0 },
	{ "atime", 0, MOUNT_ATTR__ATIME, 0, 0 },
	{ "rro", 0, 0, MOUNT_ATTR_RDONLY, 0 },
	{ "rrw", 0, 0, 0, MOUNT_ATTR_RDONLY },
	{ "rnosuid", 0, 0, MOUNT_ATTR_NOSUID, 0 },
	{ "rsuid", 0, 0, 0, MOUNT_ATTR_NOSUID },
	{ "rnodev", 0, 0, MOUNT_ATTR_NODEV, 0 },
	{ "rdev", 0, 0, 0, MOUNT_ATTR_NODEV },
	{ "rnoexec", 0, 0, MOUNT_ATTR_NOEXEC, 0 },
	{ "rexec", 0, 0, 0, MOUNT_ATTR_NOEXEC },
	{ "rnodiratime", 0, 0, MOUNT_ATTR_NODIRATIME, 0 },
	{ "rdiratime", 0, 0, 0, MOUNT_ATTR_NODIRATIME },
	{ "rnosymfollow", 0, 0, MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "rsymfollow", 0, 0, 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rnoatime", 0, 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "rstrictatime", 0, 0, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "rrelatime", 0, 0, 0, MOUNT_ATTR__ATIME },
	{ "ratime", 0, 0, 0, MOUNT_ATTR__ATIME },
	{ "rnorelatime", 0, 0, 0, MOUNT_ATTR__ATIME },
	{ "rnostrictatime", 0, 0, 0, MOUNT_ATTR__ATIME },
	{ "async", 0, 0, 0, 0 },
	{ "nomand", 0, 0, 0, 0 },
	{ "nolazytime", 0, 0, 0, 0 },
	{ "noiversion", 0, 0, 0, 0 },
	{ "silent", 0, 0, 0, 0 },
	{ "loud", 0, 0, 0, 0 },
	{ "nostrictatime", 0, 0, 0, 0 },
	{ "norelatime", 0, MOUNT_ATTR__ATIME, 0, 0 },
	{ "defaults", 0, 0, 0, 0 },
};

static void test_attributes(void **state)
{
	(void)state;
	for (size_t i = 0; i < KIST_COUNT(attribute_rows); i++) {
		struct kist_ns_mount_options o = PARSE("tmpfs", (char *)attribute_rows[i].name);
		if (o.set != attribute_rows[i].set || o.clear != attribute_rows[i].clear ||
		    o.all_set != attribute_rows[i].all_set || o.all_clear != attribute_rows[i].all_clear ||
		    o.parameters)
			fail_msg("option %s", attribute_rows[i].name);
	}
}

static void test_the_last_word_wins(void **state)
{
	(void)state;
	struct kist_ns_mount_options o = PARSE("tmpfs", "ro", "nosuid", "rw", "noatime", "strictatime");

	assert_int_equal(o.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME);
	assert_int_equal(o.clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME);
	o = PARSE("tmpfs", "rw", "ro");
	assert_int_equal(o.set, MOUNT_ATTR_RDONLY);
	assert_int_equal(o.clear, 0);
	o = PARSE("tmpfs", "strictatime", "nostrictatime");
	assert_int_equal(o.set, MOUNT_ATTR_RELATIME);
	o = PARSE("tmpfs", "sync", "size=4k", "lazytime", "async", "nolazytime", "iversion", "noiversion", "mand",
	          "nomand");
	assert_int_equal(kist_strv_len(o.parameters), 1);
	assert_string_equal(o.parameters[0], "size=4k");
	kist_ns_mount_options_free(&o);
	o = PARSE("tmpfs", "async", "sync");
	assert_string_equal(o.parameters[0], "sync");
	kist_ns_mount_options_free(&o);
	o = PARSE("bind", "sync", "async");
	assert_true(o.bind);
	kist_ns_mount_options_free(&o);
	o = PARSE("tmpfs", "noatime", "nostrictatime");
	assert_int_equal(o.set, MOUNT_ATTR_NOATIME);
}

static void test_propagation(void **state)
{
	static const struct {
		const char *name;
		unsigned long type;
		bool recursive;
	} rows[] = {
		{ "private", MS_PRIVATE, false },       { "rprivate", MS_PRIVATE, true },
		{ "shared", MS_SHARED, false },         { "rshared", MS_SHARED, true },
		{ "slave", MS_SLAVE, false },           { "rslave", MS_SLAVE, true },
		{ "unbindable", MS_UNBINDABLE, false }, { "runbindable", MS_UNBINDABLE, true },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_ns_mount_options o = PARSE("bind", (char *)rows[i].name);
		struct kist_ns_propagation p;
		assert_int_equal(o.n_propagation, 1);
		assert_int_equal(o.propagation[0].type, rows[i].type);
		assert_int_equal(o.propagation[0].recursive, rows[i].recursive);
		assert_int_equal(kist_ns_propagation_parse(rows[i].name, &p), 0);
		assert_int_equal(p.type, rows[i].type);
	}
	struct kist_ns_mount_options o = PARSE("bind", "rslave", "shared");
	assert_int_equal(o.n_propagation, 2);
	assert_int_equal(o.propagation[1].type, MS_SHARED);

	struct kist_ns_propagation p;
	assert_int_equal(kist_ns_propagation_parse("ro", &p), -EINVAL);
	assert_int_equal(kist_ns_propagation_parse("", &p), -EINVAL);
	check_refused("bind", (char *[]){ "private", "private", "private", "private", "private", NULL },
	              KIST_ERR_INVALID, "propagation");
}

static void test_bind_and_parameters(void **state)
{
	(void)state;
	struct kist_ns_mount_options o = PARSE("none", "rbind", "rro");
	assert_true(o.bind && o.recursive);
	o = PARSE("bind", "ro");
	assert_true(o.bind && !o.recursive);
	o = PARSE("none", "bind", "ridmap");
	assert_int_equal(o.idmap, KIST_NS_IDMAP_RECURSIVE);
	o = PARSE("none", "bind", "idmap");
	assert_int_equal(o.idmap, KIST_NS_IDMAP);

	o = PARSE("tmpfs", "size=64k", "nosuid", "sync", "inode32", "tmpcopyup");
	assert_true(o.copy_up);
	assert_int_equal(kist_strv_len(o.parameters), 3);
	assert_string_equal(o.parameters[0], "size=64k");
	assert_string_equal(o.parameters[1], "sync");
	assert_string_equal(o.parameters[2], "inode32");
	kist_ns_mount_options_free(&o);

	o = PARSE("none", "remount", "bind", "ro");
	assert_true(o.remount);

	o = PARSE("tmpfs", "dirsync", "mand", "lazytime", "iversion");
	assert_int_equal(kist_strv_len(o.parameters), 4);
	kist_ns_mount_options_free(&o);
}

static void test_refusals(void **state)
{
	(void)state;
	check_refused("bind", (char *[]){ "size=3", NULL }, KIST_ERR_INVALID, "'size=3'");
	check_refused("none", (char *[]){ "bind", "sync", NULL }, KIST_ERR_INVALID, "'sync'");
	check_refused("proc", (char *[]){ "tmpcopyup", NULL }, KIST_ERR_INVALID, "tmpcopyup");
	check_refused("tmpfs", (char *[]){ "idmap", NULL }, KIST_ERR_UNSUPPORTED, "idmap");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attributes),  cmocka_unit_test(test_the_last_word_wins),
		cmocka_unit_test(test_propagation), cmocka_unit_test(test_bind_and_parameters),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
