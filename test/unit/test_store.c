#include "test/unit/child.h"
#include "test/unit/overlay_help.h"

#include <sys/file.h>

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
}

static void test_import(void **state)
{
	struct kist_overlay *store = store_open(*state);
	struct kist_tar_result result;
	struct kist_error err = { 0 };
	KIST_CLOSE int from = -1;
	char layer[65], again[65];
	uint64_t bytes = 0;

	must(*state, "mkdir t; echo 1 > t/a; head -c 100000 /dev/urandom > t/b; ln t/b t/c; mkdir t/d; : > t/d/.wh.x; "
	             "tar -C t -cf a.tar .; gzip -k a.tar");
	from = open_file(*state, "a.tar");
	assert_int_equal(kist_overlay_import(store, from, layer, &result, &err), 0);
	assert_string_equal(layer, result.diff_id);
	assert_true(kist_overlay_has(store, layer));
	setenv("L", layer, 1);
	must(*state, "test $L = $(sha256sum < a.tar | cut -c 1-64); cd root/overlay; test \"$(ls -A)\" = \"$(printf "
	             "'%s\\n' $L l lock | sort)\"; "
	             "test -f $L/committed; test -f l/$(cat $L/link)/a; test -c $L/diff/d/x; test $(stat -c %a .) = "
	             "700; test $(stat -c %a $L) = 700");
	/* The same content compressed is the same layer, kept as it is. */
	must(*state, "stat -c %i root/overlay/$L/diff > inode");
	import(*state, store, "a.tar.gz", again);
	assert_string_equal(layer, again);
	must(*state, "test $(stat -c %i root/overlay/$L/diff) = $(cat inode); test $(ls -A root/overlay | wc -l) = 3; "
	             "test $(ls root/overlay/l | wc -l) = 1");

	assert_int_equal(kist_overlay_size(store, layer, &bytes, &err), 0);
	{
		KIST_FREE char *text = kist_asprintf("%llu", (unsigned long long)bytes);

		setenv("BYTES", text, 1);
		must(*state, "test $BYTES = $(($(du -s --block-size=512 root/overlay/$L/diff | cut -f 1) * 512))");
	}
	assert_int_equal(kist_overlay_remove(store, layer, &err), 0);
	assert_false(kist_overlay_has(store, layer));
	must(*state, "test \"$(ls -A root/overlay)\" = \"$(printf 'l\\nlock')\"; test -z \"$(ls root/overlay/l)\"");
	assert_true(kist_overlay_remove(store, layer, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_overlay_close(store);
}

static void test_failed_import(void **state)
{
	struct kist_overlay *store = store_open(*state);
	struct kist_error err = { 0 };
	KIST_CLOSE int from = -1;
	char layer[65] = "untouched";

	must(*state, "mkdir t; head -c 100000 /dev/urandom > t/b; tar -C t -cf a.tar .; head -c 50000 a.tar > cut.tar");
	from = open_file(*state, "cut.tar");
	assert_true(kist_overlay_import(store, from, layer, NULL, &err) < 0);
	assert_string_equal(err.text, "import a layer: unexpected end of archive in entry './b'");
	assert_string_equal(layer, "untouched");
	must(*state, "test \"$(ls -A root/overlay)\" = \"$(printf 'l\\nlock')\"");
	kist_overlay_close(store);
}

static void test_list(void **state)
{
	struct kist_overlay *store = store_open(*state);
	KIST_STRV char **layers = NULL;
	char a[65], b[65];

	assert_null(kist_overlay_list(store));
	must(*state, "echo 1 > f; tar -cf a.tar f; echo 2 > f; tar -cf b.tar f");
	import(*state, store, "a.tar", a);
	import(*state, store, "b.tar", b);
	layers = kist_overlay_list(store);
	assert_int_equal(kist_strv_len(layers), 2);
	assert_true(kist_strv_has(layers, a) && kist_strv_has(layers, b));
	kist_overlay_close(store);
}

/* Names that are not digests never become paths. */
static void test_names(void **state)
{
	static const char *const names[] = { "",
		                             ".",
		                             "..",
		                             "../x",
		                             "l",
		                             "abc",
		                             "../../../../../../../../../../../../../../../../../../../../etc",
		                             "ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789" };
	struct kist_overlay *store = store_open(*state);
	uint64_t bytes;

	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		assert_false(kist_overlay_has(store, names[i]));
		assert_true(kist_overlay_remove(store, names[i], NULL) < 0);
		assert_true(kist_overlay_size(store, names[i], &bytes, NULL) < 0);
	}
	assert_false(kist_overlay_has(store, NULL));
	kist_overlay_close(store);
}

/* What a power cut or a kill leaves is swept by the next import; what another import is filling is not. */
static void test_sweep(void **state)
{
	struct kist_overlay *store = store_open(*state);
	KIST_FREE char *busy = kist_asprintf("%s/root/overlay/.tmp-busy", (char *)*state);
	KIST_CLOSE int held = -1;
	char layer[65], other[65];

	must(*state, "echo 1 > f; tar -cf a.tar f; echo 2 > f; tar -cf b.tar f");
	import(*state, store, "a.tar", layer);
	setenv("L", layer, 1);
	must(*state, "cd root/overlay; mkdir -p .tmp-dead/diff/x .tmp-busy/diff; n=$(printf %064d 7); cp -a $L $n; rm "
	             "$n/committed; "
	             "printf 01234567 > $n/link; ln -s ../$n/diff l/01234567; ln -s ../nothing/diff "
	             "l/fedcba98; mkdir foreign; rm $L/committed");
	held = open(busy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
	assert_false(kist_overlay_has(store, layer));
	import(*state, store, "b.tar", other);
	setenv("O", other, 1);
	must(*state, "cd root/overlay; test \"$(ls -A)\" = \"$(printf '%s\\n' $O .tmp-busy foreign l lock | sort)\"; "
	             "test \"$(ls l)\" = $(cat $O/link)");
	import(*state, store, "a.tar", layer);
	assert_true(kist_overlay_has(store, layer));
	kist_overlay_close(store);
}

/* An import that is killed at any moment leaves nothing behind after the next one. */
static void test_killed(void **state)
{
	struct kist_overlay *store = store_open(*state);
	char layer[65];

	must(*state, "mkdir t; for i in $(seq 300); do echo $i > t/$i; done; tar -C t -cf big.tar .; echo x > f; tar "
	             "-cf a.tar f");
	for (int i = 0; i < 25; i++) {
		int status;
		pid_t pid = child_fork();

		if (pid == 0) {
			KIST_CLOSE int from = open_file(*state, "big.tar");

			_exit(kist_overlay_import(store, from, layer, NULL, NULL) < 0);
		}
		usleep((useconds_t)i * 700);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		must(*state, "cd root/overlay; for i in *; do case $i in l|lock|'*') ;; *) ! test -f $i/committed || "
		             "test $(ls $i/diff | wc -l) = 300 || test $(ls $i/diff | wc -l) = 1;; esac; done");
	}
	import(*state, store, "a.tar", layer);
	must(*state, "cd root/overlay; test -z \"$(find . -maxdepth 1 -name '.tmp*')\"; for i in $(ls -d "
	             "????????????????????*); do test -f $i/committed; done; "
	             "test $(ls l | wc -l) = $(ls -d ????????????????????* | wc -l)");
	kist_overlay_close(store);
}

/* Several processes import the same and different archives at once. */
static void test_together(void **state)
{
	struct kist_overlay *store = store_open(*state);
	KIST_STRV char **layers = NULL;
	pid_t pids[12];

	must(*state, "for i in 0 1 2; do mkdir t$i; for j in $(seq 50); do echo $i > t$i/$j; done; tar -C t$i -cf "
	             "$i.tar .; done");
	for (int i = 0; i < 12; i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			char name[] = { (char)('0' + i % 3), '.', 't', 'a', 'r', '\0' };
			KIST_CLOSE int from = open_file(*state, name);
			char layer[65];

			_exit(kist_overlay_import(store, from, layer, NULL, NULL) < 0);
		}
	}
	for (int i = 0; i < 12; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	layers = kist_overlay_list(store);
	assert_int_equal(kist_strv_len(layers), 3);
	must(*state,
	     "cd root/overlay; test $(ls -A | wc -l) = 5; test $(ls l | wc -l) = 3; test $(ls */diff/* | wc -l) = 150");
	kist_overlay_close(store);
}

static void test_du(void **state)
{
	KIST_CLOSE int dir = open_dir(*state, "t");
	struct kist_error err = { 0 };
	KIST_FREE char *text = NULL;
	KIST_CLOSE int at = -1;
	uint64_t bytes = 0;

	/* Hard links once, holes not at all, and deeper than any table of fds or PATH_MAX. */
	must(*state, "cd t; head -c 50000 /dev/urandom > a; for i in $(seq 700); do ln a l$i; done; truncate -s 1G "
	             "hole; mkdir d; echo 1 > d/f; ln -s a s; mkfifo p; "
	             "for i in $(seq 300); do mkdir m$i; done");
	at = kist_reopen(dir, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 1500; i++) {
		int next;

		assert_int_equal(mkdirat(at, "deep", 0755), 0);
		next = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	assert_int_equal(kist_overlay_du(dir, &bytes, &err), 0);
	text = kist_asprintf("%llu", (unsigned long long)bytes);
	setenv("BYTES", text, 1);
	must(*state, "test $BYTES = $(($(du -s --block-size=512 t | cut -f 1) * 512))");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_import), TEST(test_failed_import), TEST(test_list),     TEST(test_names),
		TEST(test_sweep),  TEST(test_killed),        TEST(test_together), TEST(test_du),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
