/* Layers given back as the streams that they came from, byte for byte. */
#include "test/unit/overlay_help.h"

#include "overlay/tar_split.h"

static struct kist_overlay *store_open(char *scratch)
{
	KIST_CLOSE int root = open_dir(scratch, "root");
	struct kist_overlay *store = NULL;
	struct kist_error err = { 0 };

	if (kist_overlay_open(root, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static void import(char *scratch, struct kist_overlay *store, const char *file, char layer[65])
{
	KIST_CLOSE int from = open_file(scratch, file);
	struct kist_error err = { 0 };

	if (kist_overlay_import(store, from, layer, NULL, &err) < 0)
		fail_msg("%s", err.text);
	setenv("L", layer, 1);
}

static int export(char *scratch, struct kist_overlay *store, const char *layer, struct kist_error *err)
{
	KIST_FREE char *path = kist_asprintf("%s/out.tar", scratch);
	KIST_CLOSE int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return kist_overlay_export(store, layer, to, err);
}

static void round_trip(char *scratch, struct kist_overlay *store, const char *file)
{
	struct kist_error err = { 0 };
	uint64_t length = 0;
	char layer[65];

	import(scratch, store, file, layer);
	if (export(scratch, store, layer, &err) < 0)
		fail_msg("%s: %s", file, err.text);
	setenv("FILE", file, 1);
	must(scratch,
	     "case $FILE in *.gz) gzip -dc $FILE;; *.zst) zstd -dcq $FILE;; *) cat $FILE;; esac | cmp - out.tar");
	assert_int_equal(kist_overlay_length(store, layer, &length, &err), 0);
	KIST_FREE char *text = kist_asprintf("%llu", (unsigned long long)length);
	setenv("LENGTH", text, 1);
	must(scratch, "test $LENGTH = $(stat -c %s out.tar)");
}

static const char tree[] =
        "mkdir -p t/dir/sub; head -c 700000 /dev/urandom > t/big; : > t/empty; echo x > t/dir/x; ln t/big t/link; "
        "ln -s big t/soft; mkfifo t/fifo; mknod t/null c 1 3; truncate -s 3M t/hole; printf tail >> t/hole; "
        "truncate -s 1M t/allhole; head -c 512 /dev/urandom > t/block; setfattr -n user.k -v v t/block; "
        "touch t/$(printf '%0200d' 7); echo hi > t/.wh.gone; ";

static void test_round_trip(void **state)
{
	struct kist_overlay *store = store_open(*state);
	static const char *const files[] = { "gnu.tar", "posix.tar", "v7.tar",     "sparse.tar",    "oldsparse.tar",
		                             "s00.tar", "bsd.tar",   "gnu.tar.gz", "posix.tar.zst", "tail.tar" };

	must(*state, tree);
	must(*state, "tar -C t --format=gnu -cf gnu.tar .; tar -C t --format=posix --xattrs -cf posix.tar .; "
	             "tar -C t --format=v7 -cf v7.tar big dir block; tar -C t -S --format=posix -cf sparse.tar .; "
	             "tar -C t -S --format=gnu -cf oldsparse.tar hole big; "
	             "tar -C t -S --format=posix --sparse-version=0.0 -cf s00.tar hole; bsdtar -C t -cf bsd.tar .; "
	             "gzip -k gnu.tar; zstd -q posix.tar; "
	             "{ tar -C t -cf - dir; head -c 70000 /dev/urandom; } > tail.tar");
	for (size_t i = 0; i < KIST_COUNT(files); i++)
		round_trip(*state, store, files[i]);
	kist_overlay_close(store);
}

static void test_replaced(void **state)
{
	struct kist_overlay *store = store_open(*state);
	struct kist_error err = { 0 };
	char layer[65];

	/* What the first entry held is lost, and is said to be. */
	must(*state, "mkdir t; echo one > t/a; tar -C t -cf a.tar a; echo two > t/a; tar -C t -rf a.tar a");
	import(*state, store, "a.tar", layer);
	assert_true(export(*state, store, layer, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "names a file twice"));
	must(*state, "test 24 = $(stat -c %s root/overlay/$L/split)");
	/* The same contents twice: nothing is lost. */
	must(*state, "tar -C t -cf b.tar a; tar -C t -rf b.tar a");
	round_trip(*state, store, "b.tar");
	kist_overlay_close(store);
}

static char *noted;

static void note(void *arg, const char *name, const char *what)
{
	char *old = noted;

	(void)arg;
	noted = kist_asprintf("%s%s %s; ", old ? old : "", name, what);
	free(old);
}

static int verify(struct kist_overlay *store, const char *layer)
{
	struct kist_error err = { 0 };

	free(noted);
	noted = NULL;
	return kist_overlay_verify(store, layer, note, NULL, &err);
}

static void test_changed(void **state)
{
	struct kist_overlay *store = store_open(*state);
	struct kist_error err = { 0 };
	char layer[65];

	must(*state, "mkdir t; for i in a b c d e; do echo $i > t/$i; done; tar -C t -cf a.tar a b c d e");
	import(*state, store, "a.tar", layer);
	assert_int_equal(verify(store, layer), 0);
	must(*state, "cd root/overlay/$L/diff; echo X > a; echo bb > b; rm c; rm d; mkfifo d");
	assert_int_equal(verify(store, layer), 4);
	assert_string_equal(noted, "a was changed; b does not have the length that it had; c is gone; "
	                           "d is not a regular file any more; ");
	assert_true(export(*state, store, layer, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_CORRUPT);
	assert_non_null(strstr(err.text, layer[0] ? "its file 'a' was changed" : ""));
	/* A link that leads out of the layer is not followed. */
	must(*state, "cd root/overlay/$L/diff; rm a; ln -s /etc/passwd a");
	assert_int_equal(verify(store, layer), 4);
	err = (struct kist_error){ 0 };
	assert_int_equal(kist_overlay_quarantine(store, layer, &err), 0);
	assert_false(kist_overlay_has(store, layer));
	import(*state, store, "a.tar", layer);
	assert_int_equal(verify(store, layer), 0);
	free(noted);
	noted = NULL;
	kist_overlay_close(store);
}

/* A record that is cut anywhere or has a changed byte is an error, never a crash or an endless loop. */
static void test_damaged_record(void **state)
{
	struct kist_overlay *store = store_open(*state);
	char layer[65];

	must(*state, tree);
	must(*state, "tar -C t -S --format=posix -cf a.tar hole dir block");
	import(*state, store, "a.tar", layer);
	KIST_FREE char *path = kist_asprintf("%s/root/overlay/%s/split", (char *)*state, layer);
	KIST_STR struct kist_str record = { 0 };
	assert_int_equal(kist_read_file(AT_FDCWD, path, 1 << 20, &record), 0);
	size_t n_harmless = 0;
	for (size_t i = 0; i < record.len; i++) {
		for (int cut = 0; cut < 2; cut++) {
			KIST_CLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
			unsigned char byte = (unsigned char)(record.data[i] ^ 0x41);

			assert_int_equal(kist_write_all(fd, record.data, cut ? i : record.len), 0);
			if (!cut)
				assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
			/* Where the compression has bits that carry nothing, the archive's digest has shown it to be
			 * the same. How many there are depends on the times of the files. */
			bool harmless = verify(store, layer) == 0;
			assert_false(harmless && cut);
			n_harmless += harmless;
		}
	}
	assert_true(n_harmless < record.len / 8);
	free(noted);
	noted = NULL;
	kist_overlay_close(store);
}

static void test_digests(void **state)
{
	struct kist_overlay *store = store_open(*state);
	struct kist_error err = { 0 };
	char layer[65], wrong[65];

	must(*state, "mkdir t; echo 1 > t/a; tar -C t -cf a.tar a");
	memset(wrong, '0', 64);
	wrong[64] = '\0';
	KIST_CLOSE int from = open_file(*state, "a.tar");
	struct kist_overlay_source source = { .fd = from, .part = true, .length = 10240, .diff_id = wrong };
	assert_true(kist_overlay_import_from(store, &source, layer, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "the digest of the layer is sha256:"));
	err = (struct kist_error){ 0 };
	source.diff_id = NULL;
	source.blob_id = wrong;
	assert_true(kist_overlay_import_from(store, &source, layer, NULL, &err) < 0);
	assert_non_null(strstr(err.text, "the digest of the blob is sha256:"));
	must(*state, "test \"$(ls -A root/overlay)\" = \"$(printf 'l\\nlock')\"");
	kist_overlay_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_replaced, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_changed, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_damaged_record, scratch_make, scratch_remove),
		cmocka_unit_test_setup_teardown(test_digests, scratch_make, scratch_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
