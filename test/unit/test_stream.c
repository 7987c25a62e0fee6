#include "test/unit/child.h"
#include "test/unit/overlay_help.h"

#include "overlay/stream.h"

/* Reads a stream to its end in windows of 'want' bytes. */
static int read_all(int fd, size_t want, struct kist_str *out, const char **compression, char diff[65], char blob[65],
                    struct kist_error *err)
{
	KIST_STREAM struct kist_stream *stream = NULL;
	int r = kist_stream_open(fd, &stream, err);

	if (r < 0)
		return r;
	*compression = kist_stream_compression(stream);
	for (;;) {
		const uint8_t *data;
		ssize_t n = kist_stream_fill(stream, want, &data, err);

		if (n <= 0) {
			if (n == 0)
				kist_stream_digests(stream, diff, blob);
			return (int)n;
		}
		/* Consume in odd portions, so that windows straddle buffers. */
		n = n > 1 ? n - n / 3 : n;
		kist_str_addn(out, data, (size_t)n);
		kist_stream_consume(stream, (size_t)n);
	}
}

static void expect(char *scratch, const char *file, const char *plain, const char *kind)
{
	static const size_t wants[] = { 1, 512, 5000, KIST_STREAM_WINDOW };

	for (size_t i = 0; i < KIST_COUNT(wants); i++) {
		KIST_STR struct kist_str got = { 0 };
		KIST_STR struct kist_str want = { 0 };
		KIST_CLOSE int from = open_file(scratch, file);
		KIST_CLOSE int oracle = open_file(scratch, plain);
		struct kist_error err = { 0 };
		const char *compression = NULL;
		char diff[65], blob[65];

		if (read_all(from, wants[i], &got, &compression, diff, blob, &err) < 0)
			fail_msg("%s: %s", file, err.text);
		assert_int_equal(kist_read_fd(oracle, 1 << 26, &want), 0);
		assert_string_equal(compression, kind);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.data, want.data, got.len);
		setenv("DIFF", diff, 1);
		setenv("BLOB", blob, 1);
		setenv("F", file, 1);
		setenv("P", plain, 1);
		must(scratch,
		     "echo \"$DIFF  $P\" | sha256sum -c >/dev/null; echo \"$BLOB  $F\" | sha256sum -c >/dev/null");
	}
}

static void refuse(char *scratch, const char *file, const char *message)
{
	KIST_STR struct kist_str got = { 0 };
	KIST_CLOSE int from = open_file(scratch, file);
	struct kist_error err = { 0 };
	const char *compression;
	char diff[65], blob[65];

	assert_true(read_all(from, 512, &got, &compression, diff, blob, &err) < 0);
	if (!strstr(err.text, message))
		fail_msg("%s: '%s' does not contain '%s'", file, err.text, message);
}

static void test_kinds(void **state)
{
	must(*state, "seq 300000 > plain; head -c 100000 /dev/urandom >> plain; gzip -k plain; zstd -qk plain; zstd -q "
	             "-19 --long=27 plain -o long.zst");
	expect(*state, "plain", "plain", "none");
	expect(*state, "plain.gz", "plain", "gzip");
	expect(*state, "plain.zst", "plain", "zstd");
	expect(*state, "long.zst", "plain", "zstd");
}

static void test_members(void **state)
{
	must(*state,
	     "seq 100000 > a; seq 5 > b; : > e; cat a b e a > all; for i in a b e; do gzip -k $i; zstd -qk $i; done\n"
	     "cat a.gz b.gz e.gz a.gz > all.gz; cat a.zst b.zst e.zst a.zst > all.zst; cp all.gz padded.gz; truncate "
	     "-s +10k padded.gz\n"
	     "printf '\\120\\052\\115\\030\\004\\0\\0\\0abcd' > skip; cat skip a.zst skip b.zst e.zst a.zst skip > "
	     "skip.zst");
	expect(*state, "all.gz", "all", "gzip");
	expect(*state, "padded.gz", "all", "gzip");
	expect(*state, "all.zst", "all", "zstd");
	expect(*state, "skip.zst", "all", "zstd");
}

static void test_damage(void **state)
{
	must(*state, "seq 100000 > a; gzip -k a; zstd -qk a; head -c 5000 a.gz > cut.gz; head -c 5000 a.zst > cut.zst; "
	             "head -c -4 a.gz > tail.gz; "
	             "(cat a.gz; echo garbage) > garbage.gz; (cat a.zst; echo garbage) > garbage.zst; (head -c 300 "
	             "a.gz; head -c 9000 /dev/urandom) > bad.gz; "
	             "head -c 12 a.gz > head.gz; head -c 6 a.zst > head.zst; (cat a.gz; head -c 1 a.gz) > one.gz");
	refuse(*state, "cut.gz", "the gzip stream ends too early");
	refuse(*state, "tail.gz", "the gzip stream ends too early");
	refuse(*state, "head.gz", "the gzip stream ends too early");
	refuse(*state, "cut.zst", "the zstd stream ends too early");
	refuse(*state, "head.zst", "the zstd stream ends too early");
	refuse(*state, "garbage.gz", "garbage after the end of the gzip stream");
	refuse(*state, "one.gz", "garbage after the end of the gzip stream");
	refuse(*state, "garbage.zst", "the zstd stream is damaged");
	refuse(*state, "bad.gz", "the gzip stream is damaged");
}

static void test_refused(void **state)
{
	must(*state, "seq 1000 > a; xz -k a; bzip2 -k a; xz -k --format=lzma a; printf 'LZIP\\1xxxxxxx' > a.lz; printf "
	             "'\\004\\042\\115\\030xxxx' > a.lz4; "
	             "printf '\\037\\235xx' > a.Z; printf 'PK\\003\\004xx' > a.zip; : > empty");
	refuse(*state, "a.xz", "xz compression is not supported");
	refuse(*state, "a.bz2", "bzip2 compression is not supported");
	refuse(*state, "a.lzma", "lzma compression is not supported");
	refuse(*state, "a.lz", "lzip compression is not supported");
	refuse(*state, "a.lz4", "lz4 compression is not supported");
	refuse(*state, "a.Z", "compress (.Z) compression is not supported");
	refuse(*state, "a.zip", "zip compression is not supported");
	refuse(*state, "empty", "the archive is empty");
}

/* A tar whose first file is called like a magic number is a tar. */
static void test_names_like_magic(void **state)
{
	must(*state, "for n in BZh91 PK\003\004 LZIP 7z; do echo 1 > $n; tar -cf \"$n.tar\" \"$n\"; rm $n; done; for i "
	             "in *.tar; do cp \"$i\" x; done; mv BZh91.tar b.tar; mv LZIP.tar l.tar");
	expect(*state, "b.tar", "b.tar", "none");
	expect(*state, "l.tar", "l.tar", "none");
}

/* A pipe gives what it has, not what was asked for. */
static void test_pipe(void **state)
{
	KIST_STR struct kist_str got = { 0 };
	struct kist_error err = { 0 };
	const char *compression;
	char diff[65], blob[65];
	int status, pipes[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = child_fork();
	if (pid == 0) {
		for (int i = 0; i < 3000; i++) {
			if (write(pipes[1], "0123456", 7) != 7)
				_exit(1);
		}
		_exit(0);
	}
	close(pipes[1]);
	assert_int_equal(read_all(pipes[0], 512, &got, &compression, diff, blob, &err), 0);
	assert_int_equal(got.len, 21000);
	assert_string_equal(diff, blob);
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_drain(void **state)
{
	KIST_STR struct kist_str data = { 0 };
	char diff[65], blob[65];

	(void)state;
	for (int i = 0; i < 20000; i++)
		kist_str_add(&data, "0123456789");
	for (int limited = 0; limited < 2; limited++) {
		KIST_CLOSE int from = memory_file(data.data, data.len);
		KIST_STREAM struct kist_stream *stream = NULL;
		struct kist_error err = { 0 };

		assert_int_equal(kist_stream_open(from, &stream, &err), 0);
		assert_int_equal(kist_stream_drain(stream, limited ? 1000 : 1 << 20, &err) < 0, limited);
		if (limited)
			assert_string_equal(err.text, "too much follows the end of the archive");
		else
			kist_stream_digests(stream, diff, blob);
	}
	assert_string_equal(diff, blob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kinds),   TEST(test_members),          TEST(test_damage),
		TEST(test_refused), TEST(test_names_like_magic), TEST(test_pipe),
		TEST(test_drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
