/* A registry: how it is spoken to, who we are there, and requests that survive what passes by itself. */
#include "core/registry.h"

#include "core/base/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX      (64u << 10) /* of errors */
#define TOKEN_MAX     (1u << 20)
#define MAX_REDIRECTS 10
#define RETRIES       3
#define FIRST_WAIT    (500 * 1000000LL)
#define LONGEST_WAIT  (30 * 1000000000LL)

bool kist_registry_wait(const struct kist_registry_options *options, unsigned n)
{
	uint64_t tries = options->retries.set ? (uint64_t)options->retries.value : RETRIES;
	int64_t wait = options->retry_delay > 0 ? options->retry_delay : FIRST_WAIT;

	if (n > tries)
		return false;
	for (unsigned i = 1; options->retry_delay <= 0 && i < n && wait < LONGEST_WAIT; i++)
		wait *= 2;
	if (wait > LONGEST_WAIT && options->retry_delay <= 0)
		wait = LONGEST_WAIT;
	poll(NULL, 0, wait / 1000000 > INT32_MAX ? INT32_MAX : (int)(wait / 1000000));
	return true;
}

void kist_registry_progress(const struct kist_registry_options *options, enum kist_progress_step step, const char *what,
                            uint64_t done, uint64_t total)
{
	if (options->progress)
		options->progress(options->arg,
		                  &(struct kist_progress){ .step = step, .what = what, .done = done, .total = total });
}

void kist_registry_close(struct kist_registry *registry)
{
	if (!registry)
		return;
	kist_http_close(registry->http);
	free(registry->host);
	free(registry->base);
	free(registry->cert_dir);
	kist_challenge_clear(&registry->challenge);
	kist_credentials_clear(&registry->credentials);
	free(registry->scope);
	if (registry->authorization)
		explicit_bzero(registry->authorization, strlen(registry->authorization));
	free(registry->authorization);
	free(registry);
}

/* --- requests --------------------------------------------------------------------------------------------------- */

/* One request and what it is redirected to. Only what has no body goes elsewhere, and the account stays behind when the
 * host changes (CVE-2018-1000007). TLS is not given up on the way. */
static int send_one(struct kist_registry *registry, const struct kist_registry_request *request, const char *first,
                    struct kist_http_response *response, struct kist_error *err)
{
	KIST_FREE char *url = kist_strdup(first);

	for (unsigned i = 0; i < MAX_REDIRECTS; i++) {
		KIST_STRV char **headers = kist_strv_copy(request->headers);
		struct kist_http_request http = { .method = request->method,
			                          .url = url,
			                          .cert_dir = registry->cert_dir,
			                          .insecure = registry->insecure,
			                          .text = request->text,
			                          .fd = request->fd,
			                          .file = request->file,
			                          .length = request->text ? strlen(request->text) : request->length,
			                          .sent = request->sent,
			                          .arg = request->arg };

		if (registry->authorization && kist_url_same_origin(url, registry->base))
			kist_strv_add(&headers, registry->authorization);
		if (request->type)
			kist_strv_take(&headers, kist_asprintf("Content-Type: %s", request->type));
		http.headers = headers;
		int r = kist_http_begin(registry->http, &http, response, err);
		if (r < 0)
			return r;
		if (response->status < 301 || response->status > 308 || !response->redirect || request->text ||
		    request->file || (!kist_streq(request->method, "GET") && !kist_streq(request->method, "HEAD")))
			return 0;
		if (!registry->insecure && kist_has_prefix(url, "https://") &&
		    !kist_has_prefix(response->redirect, "https://"))
			return kist_fail(err, KIST_ERR_INVALID, EIO,
			                 "the registry redirects from https to something else");
		free(url);
		url = kist_strdup(response->redirect);
	}
	return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry redirects too often");
}

static bool is_passing(long status)
{
	return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* May be made twice: blobs and manifests are named by what they hold. But not an upload, of which a part may be there.
 */
static int send_retrying(struct kist_registry *registry, const struct kist_registry_request *request, const char *url,
                         struct kist_http_response *response, struct kist_error *err)
{
	for (unsigned n = 1;; n++) {
		struct kist_error problem = { 0 };
		int r = send_one(registry, request, url, response, &problem);

		if (!request->once && (r == -EAGAIN || (r == 0 && is_passing(response->status)))) {
			kist_debug("%s: %s", registry->host,
			           r < 0 ? problem.text : "the registry is busy; trying again");
			if (kist_registry_wait(registry->options, n))
				continue;
		}
		if (r < 0 && err)
			*err = problem;
		return r;
	}
}

int kist_registry_request(struct kist_registry *registry, const struct kist_registry_request *request,
                          struct kist_http_response *response, struct kist_error *err)
{
	KIST_FREE char *url =
	        request->url ? kist_strdup(request->url) : kist_asprintf("%s/v2/%s", registry->base, request->path);

	int r = send_retrying(registry, request, url, response, err);
	if (r < 0 || response->status != 401 || !registry->challenge.bearer || !registry->scope)
		return r;
	/* A token ends after minutes, a large image takes longer. */
	KIST_FREE char *scope = kist_steal(&registry->scope);
	r = kist_registry_authorize(registry, scope, err);
	return r < 0 ? r : send_retrying(registry, request, url, response, err);
}

int kist_registry_body(struct kist_registry *registry, size_t max, struct kist_str *out, struct kist_error *err)
{
	char buffer[16384];

	for (;;) {
		ssize_t n = kist_http_read(registry->http, buffer, sizeof(buffer), err);

		if (n <= 0)
			return (int)n;
		if (out->len + (size_t)n > max)
			return kist_fail(err, KIST_ERR_INVALID, EFBIG, "the registry's answer has more than %zu bytes",
			                 max);
		kist_str_addn(out, buffer, (size_t)n);
	}
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

/* {"errors":[{"code":"...","message":"..."}]}: the first one, for people. */
static void read_message(struct kist_registry *registry, struct kist_str *out)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	struct json_object *list = NULL, *value = NULL;

	if (kist_registry_body(registry, BODY_MAX, &text, NULL) < 0 || text.len == 0 ||
	    kist_json_parse(text.data, text.len, &json, NULL) < 0 ||
	    !json_object_object_get_ex(json, "errors", &list) || !json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) == 0)
		return;
	struct json_object *first = json_object_array_get_idx(list, 0);
	if (json_object_object_get_ex(first, "message", &value) && json_object_is_type(value, json_type_string) &&
	    json_object_get_string_len(value) > 0)
		kist_str_addf(out, ": %.200s", json_object_get_string(value));
	else if (json_object_object_get_ex(first, "code", &value) && json_object_is_type(value, json_type_string))
		kist_str_addf(out, ": %.200s", json_object_get_string(value));
}

int kist_registry_refused(struct kist_registry *registry, const struct kist_http_response *response,
                          struct kist_error *err)
{
	KIST_STR struct kist_str message = { 0 };
	long status = response->status;

	read_message(registry, &message);
	if (status == 404)
		return kist_fail(err, KIST_ERR_NOT_FOUND, 0, "the registry %s does not have it%s", registry->host,
		                 kist_str_get(&message));
	if (status == 401 || status == 403) {
		kist_fail(err, KIST_ERR_INVALID, EACCES, "the registry %s denies access%s", registry->host,
		          kist_str_get(&message));
		return kist_remedy(err, "'kist login %s' with an account that may do this", registry->host);
	}
	if (status == 429)
		return kist_fail(err, KIST_ERR_SYSTEM, EBUSY, "the registry %s has had too many requests%s",
		                 registry->host, kist_str_get(&message));
	return kist_fail(err, KIST_ERR_SYSTEM, EIO, "the registry %s answers with status %ld%s", registry->host, status,
	                 kist_str_get(&message));
}

/* --- tokens ----------------------------------------------------------------------------------------------------- */

static void set_authorization(struct kist_registry *registry, char *line)
{
	if (registry->authorization)
		explicit_bzero(registry->authorization, strlen(registry->authorization));
	free(registry->authorization);
	registry->authorization = line;
}

static char *basic_line(const struct kist_credentials *credentials)
{
	KIST_FREE char *pair = kist_asprintf("%s:%s", credentials->username, credentials->password);
	KIST_FREE char *text = kist_base64(pair);

	explicit_bzero(pair, strlen(pair));
	return kist_asprintf("Authorization: Basic %s", text);
}

static void add_query(struct kist_str *out, const char *key, const char *value)
{
	if (kist_empty(value))
		return;
	KIST_FREE char *text = kist_url_escape(value);
	kist_str_addf(out, "%s%s=%s", out->len ? "&" : "", key, text);
}

/* Several scopes are parted by blanks. */
static void add_scopes(struct kist_str *out, const char *scope)
{
	KIST_STRV char **scopes = scope ? kist_strv_split(scope, ' ') : NULL;

	for (char **item = scopes; item && *item; item++)
		add_query(out, "scope", *item);
}

/* Tokens are asked for by GET with the account, or by POST with what docker's login got in its place. */
static int token_request(struct kist_registry *registry, const char *scope, struct kist_http_response *response,
                         struct kist_error *err)
{
	const struct kist_challenge *challenge = &registry->challenge;
	KIST_STR struct kist_str query = { 0 };
	KIST_STRV char **headers = NULL;
	KIST_FREE char *url = NULL;
	bool post = registry->has_credentials && registry->credentials.identity_token;
	struct kist_http_request http = { .method = post ? "POST" : "GET",
		                          .cert_dir = registry->cert_dir,
		                          .insecure = registry->insecure,
		                          .fd = -1 };

	add_query(&query, "service", challenge->service);
	if (post) {
		add_query(&query, "scope", scope);
		add_query(&query, "client_id", "kist");
		add_query(&query, "grant_type", "refresh_token");
		add_query(&query, "refresh_token", registry->credentials.identity_token);
		kist_strv_add(&headers, "Content-Type: application/x-www-form-urlencoded");
		http.text = kist_str_get(&query);
		http.length = query.len;
		url = kist_strdup(challenge->realm);
	} else {
		add_scopes(&query, scope);
		if (registry->has_credentials) {
			add_query(&query, "account", registry->credentials.username);
			kist_strv_take(&headers, basic_line(&registry->credentials));
		}
		url = kist_asprintf("%s%s%s", challenge->realm, strchr(challenge->realm, '?') ? "&" : "?",
		                    kist_str_get(&query));
	}
	http.url = url;
	http.headers = headers;
	for (unsigned n = 1;; n++) {
		struct kist_error problem = { 0 };
		int r = kist_http_begin(registry->http, &http, response, &problem);

		if ((r == -EAGAIN || (r == 0 && is_passing(response->status))) &&
		    kist_registry_wait(registry->options, n))
			continue;
		if (r < 0 && err)
			*err = problem;
		return r;
	}
}

/* Over plain HTTP a password would be read by everybody on the way; only who talks to the registry that way may. */
static int check_realm(struct kist_registry *registry, struct kist_error *err)
{
	const char *realm = registry->challenge.realm;

	if (!realm || (!kist_has_prefix(realm, "https://") && !kist_has_prefix(realm, "http://")))
		return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry %s names no address for tokens",
		                 registry->host);
	if (kist_has_prefix(realm, "http://") && kist_has_prefix(registry->base, "https://"))
		return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry %s wants accounts sent without encryption",
		                 registry->host);
	return 0;
}

static int read_token(struct kist_registry *registry, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_JSON struct json_object *json = NULL;
	struct json_object *value = NULL;

	int r = kist_registry_body(registry, TOKEN_MAX, &text, err);
	if (r == 0)
		r = kist_json_parse(kist_str_get(&text), text.len, &json, err);
	if (r < 0)
		return kist_context(err, "the token of %s", registry->host);
	if ((!json_object_object_get_ex(json, "token", &value) || !json_object_get_string_len(value)) &&
	    !json_object_object_get_ex(json, "access_token", &value))
		value = NULL;
	const char *token = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
	if (kist_empty(token) || token[strcspn(token, "\r\n")])
		return kist_fail(err, KIST_ERR_INVALID, EIO, "the registry %s gave no token", registry->host);
	set_authorization(registry, kist_asprintf("Authorization: Bearer %s", token));
	return 0;
}

int kist_registry_authorize(struct kist_registry *registry, const char *scope, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };

	if (!registry->challenge.bearer) {
		if (registry->challenge.basic && registry->has_credentials && registry->credentials.username &&
		    !registry->authorization)
			set_authorization(registry, basic_line(&registry->credentials));
		return 0;
	}
	if (registry->authorization && registry->scope && kist_streq(registry->scope, scope))
		return 0;
	int r = check_realm(registry, err);
	if (r == 0)
		r = token_request(registry, scope, &response, err);
	if (r < 0)
		return r;
	if (response.status != 200)
		return kist_registry_refused(registry, &response, err);
	r = read_token(registry, err);
	if (r < 0)
		return r;
	free(registry->scope);
	registry->scope = kist_strdup(scope);
	return 0;
}

/* --- the first word --------------------------------------------------------------------------------------------- */

static int ping(struct kist_registry *registry, bool once, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };
	const struct kist_registry_request request = { .method = "GET", .fd = -1, .once = once };
	KIST_FREE char *url = kist_asprintf("%s/v2/", registry->base);

	int r = send_retrying(registry, &request, url, &response, err);
	if (r < 0)
		return r;
	if (response.status != 200 && response.status != 401) {
		kist_fail(err, KIST_ERR_INVALID, EIO, "%s is not a registry: it answers with status %ld",
		          registry->host, response.status);
		return -EIO;
	}
	for (unsigned i = 0; response.status == 401; i++) {
		KIST_FREE char *value = kist_http_header(response.head, "WWW-Authenticate", i);

		if (!value)
			break;
		kist_challenge_parse(value, &registry->challenge);
	}
	return 0;
}

static int find_certificates(struct kist_registry *registry)
{
	static const char *const places[] = { "/etc/containers/certs.d", "/etc/docker/certs.d" };

	if (registry->options->cert_dir) {
		registry->cert_dir = kist_strdup(registry->options->cert_dir);
		return 0;
	}
	for (size_t i = 0; i < KIST_COUNT(places) && !registry->cert_dir; i++) {
		KIST_FREE char *path = kist_asprintf("%s/%s", places[i], registry->host);

		if (access(path, R_OK | X_OK) == 0)
			registry->cert_dir = kist_steal(&path);
	}
	return 0;
}

static int take_credentials(struct kist_registry *registry, const char *repository, struct kist_error *err)
{
	const struct kist_registry_options *options = registry->options;

	if (options->username) {
		registry->credentials.username = kist_strdup(options->username);
		registry->credentials.password = kist_strdup(options->password ? options->password : "");
		registry->has_credentials = true;
		return 0;
	}
	int r = kist_auth_find(options->authfile, registry->host, repository, &registry->credentials, err);
	registry->has_credentials = r == 0;
	return r < 0 ? r : 0;
}

/* With the certificate unchecked, a registry without TLS is as good. */
static int greet(struct kist_registry *registry, struct kist_error *err)
{
	const char *address = kist_streq(registry->host, "docker.io") ? "registry-1.docker.io" : registry->host;
	struct kist_error problem = { 0 };

	registry->base = kist_asprintf("https://%s", address);
	int r = ping(registry, registry->insecure, &problem);
	if (r < 0 && registry->insecure) {
		struct kist_error plain = { 0 };

		free(registry->base);
		registry->base = kist_asprintf("http://%s", address);
		r = ping(registry, false, &plain);
		/* Who answers without TLS is the one that was meant. */
		if (r < 0 && plain.kind == KIST_ERR_SYSTEM)
			kist_remedy(&problem, "and without TLS: %.300s", plain.text);
		else if (r < 0)
			problem = plain;
	}
	if (r == -EPROTO)
		kist_remedy(&problem, "name its CA with --cert-dir, or trust it blindly with --tls-verify=false");
	if (r < 0 && err)
		*err = problem;
	return r;
}

int kist_registry_open(struct kist *k, const char *host, const char *repository,
                       const struct kist_registry_options *options, struct kist_registry **out, struct kist_error *err)
{
	KIST_FREE char *probe = kist_asprintf("%s/a", host);
	KIST_REFERENCE struct kist_reference reference = { 0 };

	if (kist_reference_parse(probe, &reference, NULL) < 0 || !kist_streq(reference.domain, host))
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%.200s' is not the host name of a registry", host);
	struct kist_registry *registry = kist_alloc(sizeof(*registry));
	registry->k = k;
	registry->options = options;
	registry->host = kist_strdup(kist_streq(host, "index.docker.io") ? "docker.io" : host);
	registry->insecure = options->tls_verify.set ? !options->tls_verify.value
	                                             : kist_strv_has(k->settings.insecure_registries, registry->host);
	int r = find_certificates(registry);
	if (r == 0)
		r = take_credentials(registry, repository, err);
	if (r == 0)
		r = kist_http_open(&registry->http, err);
	if (r == 0)
		r = greet(registry, err);
	if (r < 0) {
		kist_registry_close(registry);
		return r;
	}
	*out = registry;
	return 0;
}

int kist_registry_check_login(struct kist_registry *registry, struct kist_error *err)
{
	KIST_HTTP_RESPONSE struct kist_http_response response = { 0 };

	int r = kist_registry_authorize(registry, NULL, err);
	if (r == 0)
		r = kist_registry_request(registry,
		                          &(struct kist_registry_request){ .method = "GET", .path = "", .fd = -1 },
		                          &response, err);
	if (r < 0)
		return r;
	return response.status == 200 ? 0 : kist_registry_refused(registry, &response, err);
}
