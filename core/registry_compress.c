/* A layer's stream, compressed into a file: a registry wants to know a blob's digest and size before it takes it. One
 * process gives the stream, this one compresses it. */
#include "core/registry.h"

#include "core/base/fs.h"
#include "core/base/proc.h"
#include "overlay/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK (256U * 1024)

struct sink {
	int to;
	struct sha256_ctx hash;
	uint64_t size;
	z_stream gzip;
	ZSTD_CStream *zstd;
	uint8_t *in, *out;
};

static int put(struct sink *sink, size_t n, struct kist_error *err)
{
	int r = kist_write_all(sink->to, sink->out, n);

	if (r < 0)
		return kist_fail_errno(err, -r, "write a compressed layer");
	sha256_update(&sink->hash, n, sink->out);
	sink->size += n;
	return 0;
}

static int squeeze_gzip(struct sink *sink, size_t n, bool last, struct kist_error *err)
{
	int r = 0, state;

	sink->gzip.next_in = sink->in;
	sink->gzip.avail_in = (uInt)n;
	do {
		sink->gzip.next_out = sink->out;
		sink->gzip.avail_out = CHUNK;
		state = deflate(&sink->gzip, last ? Z_FINISH : Z_NO_FLUSH);
		r = put(sink, CHUNK - sink->gzip.avail_out, err);
	} while (r == 0 && (last ? state != Z_STREAM_END : sink->gzip.avail_out == 0));
	return r;
}

static int squeeze_zstd(struct sink *sink, size_t n, bool last, struct kist_error *err)
{
	ZSTD_inBuffer from = { sink->in, n, 0 };

	for (;;) {
		ZSTD_outBuffer to = { sink->out, CHUNK, 0 };
		size_t left = ZSTD_compressStream2(sink->zstd, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);

		if (ZSTD_isError(left))
			return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "compress: %s", ZSTD_getErrorName(left));
		int r = put(sink, to.pos, err);
		if (r < 0 || (last ? left == 0 : from.pos == from.size))
			return r;
	}
}

static int squeeze(struct sink *sink, int from, struct kist_error *err)
{
	for (;;) {
		ssize_t n = read(from, sink->in, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kist_fail_errno(err, errno, "read a layer");
		int r = sink->zstd ? squeeze_zstd(sink, (size_t)n, n == 0, err)
		                   : squeeze_gzip(sink, (size_t)n, n == 0, err);
		if (r < 0 || n == 0)
			return r;
	}
}

static int sink_open(struct sink *sink, bool zstd, int level, int to, struct kist_error *err)
{
	*sink = (struct sink){ .to = to, .in = kist_alloc(CHUNK), .out = kist_alloc(CHUNK) };
	sha256_init(&sink->hash);
	if (zstd) {
		sink->zstd = ZSTD_createCStream();
		if (sink->zstd)
			ZSTD_CCtx_setParameter(sink->zstd, ZSTD_c_compressionLevel,
			                       level ? level : ZSTD_CLEVEL_DEFAULT);
		return sink->zstd ? 0 : kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up zstd compression");
	}
	/* 15: the largest window; 16: a gzip header, without a time, so that equal layers are equal blobs. */
	if (deflateInit2(&sink->gzip, level ? level : Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
	                 Z_DEFAULT_STRATEGY) != Z_OK)
		return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up gzip compression");
	return 0;
}

static void sink_close(struct sink *sink)
{
	if (sink->zstd)
		ZSTD_freeCStream(sink->zstd);
	else
		deflateEnd(&sink->gzip);
	free(sink->in);
	free(sink->out);
}

/* The child's whole life. What went wrong goes back by the second pipe. */
static void give(struct kist_overlay *store, const char *layer, int to, int report)
{
	struct kist_error problem = { 0 };

	int r = kist_overlay_export(store, layer, to, &problem);
	if (r < 0)
		kist_write_all(report, &problem, sizeof(problem));
	_exit(r < 0 ? 1 : 0);
}

/* The parent's end: the child's own reason goes before 'the pipe broke'. */
static int finish(pid_t child, int report, int r, struct kist_error *err)
{
	struct kist_error problem = { 0 };
	ssize_t n = read(report, &problem, sizeof(problem));
	int code = kist_wait_pid(child);

	if (n == (ssize_t)sizeof(problem)) {
		if (err)
			kist_error_clear(err);
		return kist_fail(err, problem.kind, problem.errnum, "%s", problem.text);
	}
	if (r == 0 && code != 0)
		return kist_fail(err, KIST_ERR_SYSTEM, EIO, "the process that reads the layer ended with code %d",
		                 code);
	return r;
}

static void hex(const struct sha256_ctx *hash, char out[65])
{
	struct sha256_ctx copy = *hash;
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_digest(&copy, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

int kist_layer_compress(struct kist_overlay *store, const char *layer, bool zstd, int level, int to,
                        struct kist_compressed *out, struct kist_error *err)
{
	int data[2], report[2];
	struct sink sink;

	if (pipe2(data, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make a pipe");
	KIST_CLOSE int data_out = data[0], data_in = data[1];
	if (pipe2(report, O_CLOEXEC) < 0)
		return kist_fail_errno(err, errno, "make a pipe");
	KIST_CLOSE int report_out = report[0], report_in = report[1];
	fflush(NULL);
	pid_t child = fork();
	if (child < 0)
		return kist_fail_errno(err, errno, "start a process");
	if (child == 0) {
		/* With the reader gone, the next write ends it. */
		signal(SIGPIPE, SIG_DFL);
		kist_close_fd(&data_out);
		give(store, layer, data_in, report_in);
	}
	kist_close_fd(&data_in);
	kist_close_fd(&report_in);
	int r = sink_open(&sink, zstd, level, to, err);
	if (r == 0)
		r = squeeze(&sink, data_out, err);
	kist_close_fd(&data_out);
	r = finish(child, report_out, r, err);
	hex(&sink.hash, out->digest);
	out->size = sink.size;
	sink_close(&sink);
	return r;
}
