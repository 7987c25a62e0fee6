/* HTTP by libcurl: one transfer at a time, read as a stream, in this one thread.
 *
 * The library is opened when it is first needed and not linked: it brings thirty others with it, which every 'kist ps'
 * and every monitor would load and keep for nothing. Redirects are not followed here: who sends what to which host is
 * decided by the caller. Names are resolved and proxies found by libcurl, from the environment, as its manual says. */
#include "core/registry.h"

#ifdef KIST_CURL

#include "core/base/fs.h"
#include "core/base/log.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LIBRARY         "libcurl.so.4"
#define BUFFER          (1u << 20) /* read ahead of the consumer */
#define HEAD_MAX        (256u << 10)
#define CONNECT_SECONDS 30L
#define STALL_SECONDS   60L /* without a byte */
#define POLL_MS         1000
#define CA_MAX          (4u << 20)

#define FUNCTIONS(X)                                                                                                   \
	X(curl_easy_cleanup)                                                                                           \
	X(curl_easy_getinfo)                                                                                           \
	X(curl_easy_init)                                                                                              \
	X(curl_easy_pause)                                                                                             \
	X(curl_easy_reset)                                                                                             \
	X(curl_easy_setopt)                                                                                            \
	X(curl_easy_strerror)                                                                                          \
	X(curl_global_init)                                                                                            \
	X(curl_multi_add_handle)                                                                                       \
	X(curl_multi_cleanup)                                                                                          \
	X(curl_multi_info_read)                                                                                        \
	X(curl_multi_init)                                                                                             \
	X(curl_multi_perform)                                                                                          \
	X(curl_multi_poll)                                                                                             \
	X(curl_multi_remove_handle)                                                                                    \
	X(curl_slist_append)                                                                                           \
	X(curl_slist_free_all)                                                                                         \
	X(curl_version)

struct functions {
#define MEMBER(name) __typeof__(name) *name##_;
	FUNCTIONS(MEMBER)
#undef MEMBER
};

struct kist_http {
	struct functions f;
	CURLM *multi;
	CURL *easy;
	bool added;             /* the easy handle is in the multi handle */
	bool ended, head_ended; /* of the response */
	CURLcode result;
	struct curl_slist *headers;
	struct kist_str head;
	struct kist_str ca;
	char *certificate, *key;
	uint8_t *buffer;
	size_t start, end;
	bool paused, overflow;
	struct kist_http_request request; /* for the callbacks */
	uint64_t sent;
	char message[CURL_ERROR_SIZE];
};

static int load_functions(struct functions *f)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return -ENOENT;
#define RESOLVE(name)                                                                                                  \
	*(void **)&f->name##_ = dlsym(library, #name);                                                                 \
	if (!f->name##_)                                                                                               \
		return -ENOENT;
	FUNCTIONS(RESOLVE)
#undef RESOLVE
	/* It stays: threads of its resolver and handlers at exit may be in it. */
	return 0;
}

char *kist_http_library(void)
{
	struct functions f;

	if (load_functions(&f) < 0)
		return NULL;
	const char *version = f.curl_version_();
	return kist_strndup(version, strcspn(version, " "));
}

int kist_http_open(struct kist_http **out, struct kist_error *err)
{
	struct kist_http *http = kist_alloc(sizeof(*http));

	if (load_functions(&http->f) < 0) {
		free(http);
		kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		          "the registry client needs " LIBRARY ", which cannot be loaded");
		return kist_remedy(err, "install libcurl, or bring images by 'kist load'");
	}
	http->f.curl_global_init_(CURL_GLOBAL_DEFAULT);
	http->multi = http->f.curl_multi_init_();
	http->easy = http->f.curl_easy_init_();
	http->buffer = kist_alloc(BUFFER + CURL_MAX_WRITE_SIZE);
	*out = http;
	if (http->multi && http->easy)
		return 0;
	kist_http_close(http);
	return kist_fail(err, KIST_ERR_SYSTEM, ENOMEM, "cannot set up libcurl");
}

void kist_http_close(struct kist_http *http)
{
	if (!http)
		return;
	kist_http_end(http);
	if (http->easy)
		http->f.curl_easy_cleanup_(http->easy);
	if (http->multi)
		http->f.curl_multi_cleanup_(http->multi);
	free(http->buffer);
	free(http);
}

/* --- what libcurl calls ----------------------------------------------------------------------------------------- */

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct kist_http *http = arg;
	long status = 0;

	(void)size;
	/* Each response begins anew: "100 Continue" comes before the real one. */
	if (n >= 5 && strncmp(data, "HTTP/", 5) == 0)
		kist_str_clear(&http->head);
	if (http->head.len + n > HEAD_MAX)
		return 0;
	kist_str_addn(&http->head, data, n);
	http->f.curl_easy_getinfo_(http->easy, CURLINFO_RESPONSE_CODE, &status);
	if ((n == 2 || n == 1) && (data[0] == '\r' || data[0] == '\n') && status >= 200)
		http->head_ended = true;
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct kist_http *http = arg;

	(void)size;
	http->head_ended = true;
	if (http->end - http->start > BUFFER - n) {
		http->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (http->start > 0) {
		memmove(http->buffer, http->buffer + http->start, http->end - http->start);
		http->end -= http->start;
		http->start = 0;
	}
	memcpy(http->buffer + http->end, data, n);
	http->end += n;
	return n;
}

static size_t on_send(char *data, size_t size, size_t n, void *arg)
{
	struct kist_http *http = arg;
	uint64_t left = http->request.length - http->sent;
	ssize_t got;

	n *= size;
	if (n > left)
		n = (size_t)left;
	if (http->request.text) {
		memcpy(data, http->request.text + http->sent, n);
		got = (ssize_t)n;
	} else {
		got = n ? pread(http->request.fd, data, n, (off_t)http->sent) : 0;
	}
	if (got < 0)
		return CURL_READFUNC_ABORT;
	http->sent += (uint64_t)got;
	if (http->request.sent)
		http->request.sent(http->request.arg, http->sent);
	return (size_t)got;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct kist_http *http = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	http->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* --- one transfer ----------------------------------------------------------------------------------------------- */

#define SET(option, value) http->f.curl_easy_setopt_(http->easy, option, value)

/* containers-certs.d(5): each *.crt is a CA, X.cert and X.key are the client's own. */
static int read_certificates(struct kist_http *http, const char *directory, struct kist_error *err)
{
	DIR *list = opendir(directory);

	if (!list)
		return errno == ENOENT ? 0 : kist_fail_errno(err, errno, "open %s", directory);
	int r = 0;
	for (const struct dirent *entry; r == 0 && (entry = readdir(list));) {
		KIST_STR struct kist_str text = { 0 };
		const char *name = entry->d_name;

		if (kist_has_suffix(name, ".crt")) {
			r = kist_read_file(dirfd(list), name, CA_MAX, &text);
			if (r < 0)
				r = kist_fail_errno(err, -r, "read %s/%s", directory, name);
			kist_str_addf(&http->ca, "%s\n", kist_str_get(&text));
		} else if (kist_has_suffix(name, ".cert") && !http->certificate) {
			http->certificate = kist_asprintf("%s/%s", directory, name);
			http->key = kist_asprintf("%s/%.*s.key", directory, (int)(strlen(name) - 5), name);
		}
	}
	closedir(list);
	return r < 0 ? r : 0;
}

static int set_tls(struct kist_http *http, const struct kist_http_request *request, struct kist_error *err)
{
	struct curl_blob blob = { .flags = CURL_BLOB_NOCOPY };

	int r = request->cert_dir ? read_certificates(http, request->cert_dir, err) : 0;
	if (r < 0)
		return r;
	if (http->ca.len > 0) {
		blob.data = http->ca.data;
		blob.len = http->ca.len;
		if (SET(CURLOPT_CAINFO_BLOB, &blob) != CURLE_OK)
			return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
			                 "this libcurl cannot take the certificates of %s", request->cert_dir);
	}
	if (http->certificate) {
		SET(CURLOPT_SSLCERT, http->certificate);
		SET(CURLOPT_SSLKEY, http->key);
	}
	SET(CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	return 0;
}

static void set_body(struct kist_http *http, const struct kist_http_request *request)
{
	bool body = request->text || request->file;

	if (kist_streq(request->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	if (body) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->length);
		SET(CURLOPT_READFUNCTION, on_send);
		SET(CURLOPT_READDATA, http);
		SET(CURLOPT_SEEKFUNCTION, on_seek);
		SET(CURLOPT_SEEKDATA, http);
	} else if (kist_streq(request->method, "POST") || kist_streq(request->method, "PUT")) {
		SET(CURLOPT_POSTFIELDS, "");
		SET(CURLOPT_POSTFIELDSIZE, 0L);
	}
	if (!kist_streq(request->method, "HEAD"))
		SET(CURLOPT_CUSTOMREQUEST, request->method);
}

static int set_up(struct kist_http *http, const struct kist_http_request *request, struct kist_error *err)
{
	http->f.curl_easy_reset_(http->easy);
	for (char *const *line = request->headers; line && *line; line++)
		http->headers = http->f.curl_slist_append_(http->headers, *line);
	/* No round trip for a permission that every registry gives. */
	http->headers = http->f.curl_slist_append_(http->headers, "Expect:");
	SET(CURLOPT_URL, request->url);
#if LIBCURL_VERSION_NUM >= 0x075500
	CURLcode allowed = SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	CURLcode allowed = SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	if (allowed != CURLE_OK)
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "this libcurl speaks no HTTP");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
	SET(CURLOPT_USERAGENT, "kist/" KIST_VERSION);
	SET(CURLOPT_HTTPHEADER, http->headers);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_ERRORBUFFER, http->message);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, http);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, http);
	set_body(http, request);
	return set_tls(http, request, err);
}

void kist_http_end(struct kist_http *http)
{
	if (http->added)
		http->f.curl_multi_remove_handle_(http->multi, http->easy);
	http->f.curl_slist_free_all_(http->headers);
	http->headers = NULL;
	kist_str_free(&http->head);
	kist_str_free(&http->ca);
	free(kist_steal(&http->certificate));
	free(kist_steal(&http->key));
	http->added = http->ended = http->head_ended = http->paused = false;
	http->start = http->end = 0;
	http->sent = 0;
	http->result = CURLE_OK;
	http->message[0] = '\0';
}

static int step(struct kist_http *http, bool wait)
{
	int running = 0, left = 0;

	if (wait)
		http->f.curl_multi_poll_(http->multi, NULL, 0, POLL_MS, NULL);
	if (http->f.curl_multi_perform_(http->multi, &running) != CURLM_OK)
		return -EIO;
	for (const CURLMsg *message; (message = http->f.curl_multi_info_read_(http->multi, &left));)
		if (message->msg == CURLMSG_DONE) {
			http->ended = true;
			http->result = message->data.result;
		}
	return 0;
}

/* What passes by itself, what TLS is about, and the rest. */
static int kind_of(CURLcode code)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return -EAGAIN;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
		return -EPROTO;
	default:
		return -EIO;
	}
}

static int fail_transfer(struct kist_http *http, struct kist_error *err)
{
	int r = kind_of(http->result);
	const char *text = http->message[0] ? http->message : http->f.curl_easy_strerror_(http->result);
	size_t host = strcspn(http->request.url, "/");

	/* Queries may hold what is nobody's business. */
	kist_fail(err, KIST_ERR_SYSTEM, -r, "%s %.*s: %.300s", http->request.method,
	          (int)(host + strcspn(http->request.url + host, "?")), http->request.url, text);
	if (http->result == CURLE_SSL_CACERT_BADFILE)
		kist_remedy(err, "this host has no list of trusted CAs: Debian's is the package ca-certificates");
	return r;
}

int kist_http_begin(struct kist_http *http, const struct kist_http_request *request,
                    struct kist_http_response *response, struct kist_error *err)
{
	char *redirect = NULL;

	kist_http_end(http);
	http->request = *request;
	int r = set_up(http, request, err);
	if (r < 0)
		return r;
	if (http->f.curl_multi_add_handle_(http->multi, http->easy) != CURLM_OK)
		return kist_fail(err, KIST_ERR_SYSTEM, EIO, "cannot start a request");
	http->added = true;
	for (bool wait = false; !http->ended && !http->head_ended; wait = true)
		if (step(http, wait) < 0)
			return kist_fail(err, KIST_ERR_SYSTEM, EIO, "libcurl failed");
	if (http->ended && http->result != CURLE_OK)
		return fail_transfer(http, err);
	http->f.curl_easy_getinfo_(http->easy, CURLINFO_RESPONSE_CODE, &response->status);
	http->f.curl_easy_getinfo_(http->easy, CURLINFO_REDIRECT_URL, &redirect);
	free(response->head);
	free(response->redirect);
	response->head = kist_strdup(kist_str_get(&http->head));
	response->redirect = kist_strdup(redirect);
	kist_debug("%s %.*s: %ld", request->method, (int)strcspn(request->url, "?"), request->url, response->status);
	return 0;
}

ssize_t kist_http_read(struct kist_http *http, void *data, size_t n, struct kist_error *err)
{
	for (bool wait = false; http->start == http->end && !http->ended; wait = true) {
		if (http->paused) {
			http->paused = false;
			http->f.curl_easy_pause_(http->easy, CURLPAUSE_CONT);
		}
		if (http->start == http->end && step(http, wait) < 0)
			return kist_fail(err, KIST_ERR_SYSTEM, EIO, "libcurl failed");
	}
	if (http->start < http->end) {
		if (n > http->end - http->start)
			n = http->end - http->start;
		memcpy(data, http->buffer + http->start, n);
		http->start += n;
		return (ssize_t)n;
	}
	return http->result == CURLE_OK ? 0 : fail_transfer(http, err);
}

/* --- texts ------------------------------------------------------------------------------------------------------ */

void kist_http_response_clear(struct kist_http_response *response)
{
	free(response->head);
	free(response->redirect);
	*response = (struct kist_http_response){ 0 };
}

char *kist_http_header(const char *head, const char *name, unsigned n)
{
	size_t length = strlen(name);

	for (const char *line = head; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncasecmp(line, name, length) != 0 || line[length] != ':' || n-- > 0)
			continue;
		const char *value = line + length + 1;
		value += strspn(value, " \t");
		return kist_strndup(value, strcspn(value, "\r\n"));
	}
	return NULL;
}

#endif
