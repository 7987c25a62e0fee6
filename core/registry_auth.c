/* Accounts of registries: containers-auth.json(5), which docker's config.json is as well.
 *
 *   { "auths": { "quay.io": { "auth": "base64 of NAME:PASSWORD" }, "https://index.docker.io/v1/": { ... } },
 *     "credHelpers": { "HOST": "PROGRAM" }, "credsStore": "PROGRAM" }
 *
 * Helpers are programs that are looked up by name and run: where one would be asked, that is an error and not a silent
 * request without an account. Everything in a file that is not ours stays as it is. */
#include "core/registry.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

void kist_credentials_clear(struct kist_credentials *credentials)
{
	char *secrets[] = { credentials->password, credentials->identity_token };

	for (size_t i = 0; i < KIST_COUNT(secrets); i++)
		if (secrets[i])
			explicit_bzero(secrets[i], strlen(secrets[i]));
	free(credentials->username);
	free(credentials->password);
	free(credentials->identity_token);
	*credentials = (struct kist_credentials){ 0 };
}

char *kist_base64(const char *text)
{
	size_t n = strlen(text);
	char *out = kist_alloc(BASE64_ENCODE_RAW_LENGTH(n) + 1);

	base64_encode_raw(out, n, (const uint8_t *)text);
	return out;
}

/* "NAME:PASSWORD", NULL: it is none. */
static char *decode(const char *text)
{
	size_t n = strlen(text), length = 0;
	KIST_FREE char *out = kist_alloc(BASE64_DECODE_LENGTH(n) + 1);
	struct base64_decode_ctx context;

	base64_decode_init(&context);
	length = BASE64_DECODE_LENGTH(n);
	if (!base64_decode_update(&context, &length, (uint8_t *)out, n, text) || !base64_decode_final(&context))
		return NULL;
	/* docker pads with NUL. */
	return strlen(out) <= length && strchr(out, ':') ? kist_steal(&out) : NULL;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static void add_home(char ***paths, const char *file)
{
	const char *home = getenv("HOME");

	if (!kist_empty(home))
		kist_strv_take(paths, kist_asprintf("%s/%s", home, file));
}

/* Where accounts are written; and, first of the list, looked for. */
static char *own_path(const char *authfile)
{
	const char *named = authfile ? authfile : getenv("REGISTRY_AUTH_FILE");
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (!kist_empty(named))
		return kist_strdup(named);
	if (!kist_empty(run))
		return kist_asprintf("%s/containers/auth.json", run);
	return kist_asprintf("/run/containers/%u/auth.json", (unsigned)geteuid());
}

/* *named: the one file that was asked for. */
static char **paths_of(const char *authfile, bool *named)
{
	const char *docker = getenv("DOCKER_CONFIG"), *config = getenv("XDG_CONFIG_HOME");
	char **paths = NULL;

	kist_strv_take(&paths, own_path(authfile));
	*named = authfile || !kist_empty(getenv("REGISTRY_AUTH_FILE"));
	if (*named)
		return paths;
	if (!kist_empty(config))
		kist_strv_take(&paths, kist_asprintf("%s/containers/auth.json", config));
	else
		add_home(&paths, ".config/containers/auth.json");
	if (!kist_empty(docker))
		kist_strv_take(&paths, kist_asprintf("%s/config.json", docker));
	else
		add_home(&paths, ".docker/config.json");
	return paths;
}

static int parse(const char *path, const struct kist_str *text, struct json_object **out, struct kist_error *err)
{
	KIST_JSON struct json_object *json = NULL;

	int r = kist_json_parse(kist_str_get(text), text->len, &json, err);
	if (r == 0 && !json_object_is_type(json, json_type_object))
		r = kist_fail(err, KIST_ERR_INVALID, 0, "it is not a JSON object");
	if (r < 0)
		return kist_context(err, "%s", path);
	*out = kist_steal(&json);
	return 0;
}

/* -ENOENT, without an error, where there is no such file. */
static int read_accounts(const char *path, struct json_object **out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	int r = fd < 0 ? -errno : kist_read_fd(fd, FILE_MAX, &text);
	if (r < 0)
		return kist_fail_errno(err, -r, "read %s", path);
	if (text.len == 0)
		return -ENOENT;
	r = parse(path, &text, out, err);
	explicit_bzero(text.data, text.len);
	return r;
}

/* --- looking up ------------------------------------------------------------------------------------------------- */

/* docker writes URLs: "https://HOST/v1/" is HOST, and that of docker.io has a name of its own. */
static char *key_host(const char *key)
{
	const char *scheme = strstr(key, "://");
	const char *host = scheme ? scheme + 3 : key;
	KIST_FREE char *name = kist_strndup(host, strcspn(host, "/"));

	if (kist_streq(name, "index.docker.io") || kist_streq(name, "registry-1.docker.io"))
		return kist_strdup("docker.io");
	return kist_steal(&name);
}

static struct json_object *object_at(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(json, key, &value) || !json_object_is_type(value, json_type_object))
		return NULL;
	return value;
}

/* HOST/A/B, HOST/A, HOST as they are written; then any key that means HOST. */
static struct json_object *find_entry(struct json_object *auths, const char *registry, const char *repository)
{
	KIST_FREE char *key = repository ? kist_asprintf("%s/%s", registry, repository) : kist_strdup(registry);

	for (;;) {
		struct json_object *entry = object_at(auths, key);
		char *slash = strrchr(key, '/');

		if (entry)
			return entry;
		if (!slash)
			break;
		*slash = '\0';
	}
	json_object_object_foreach(auths, name, value)
	{
		KIST_FREE char *host = key_host(name);

		/* A key with a path of its own is for that path alone. */
		if ((strstr(name, "://") || !strchr(name, '/')) && kist_streq(host, registry) &&
		    json_object_is_type(value, json_type_object))
			return value;
	}
	return NULL;
}

static int take_entry(struct json_object *entry, struct kist_credentials *out, struct kist_error *err)
{
	const char *auth = kist_json_text_at(entry, "auth"), *token = kist_json_text_at(entry, "identitytoken");

	if (!kist_empty(token)) {
		out->identity_token = kist_strdup(token);
		return 0;
	}
	if (kist_empty(auth))
		return 1;
	char *pair = decode(auth);
	if (!pair)
		return kist_fail(err, KIST_ERR_INVALID, 0, "its auth is not base64 of NAME:PASSWORD");
	char *colon = strchr(pair, ':');
	out->username = kist_strndup(pair, (size_t)(colon - pair));
	out->password = kist_strdup(colon + 1);
	explicit_bzero(pair, strlen(pair));
	free(pair);
	return 0;
}

static int find_in(struct json_object *json, const char *registry, const char *repository, struct kist_credentials *out,
                   struct kist_error *err)
{
	struct json_object *auths = object_at(json, "auths"), *helpers = object_at(json, "credHelpers");
	struct json_object *entry = auths ? find_entry(auths, registry, repository) : NULL;
	const char *helper = helpers ? kist_json_text_at(helpers, registry) : NULL;

	if (!kist_empty(helper))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "credential helpers ('%.100s') are not supported",
		                 helper);
	int r = entry ? take_entry(entry, out, err) : 1;
	helper = kist_json_text_at(json, "credsStore");
	/* docker leaves an empty entry for what is in its store. */
	if (r == 1 && entry && !kist_empty(helper))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0, "credential stores ('%.100s') are not supported",
		                 helper);
	return r;
}

int kist_auth_find(const char *authfile, const char *registry, const char *repository, struct kist_credentials *out,
                   struct kist_error *err)
{
	bool named = false;
	KIST_STRV char **paths = paths_of(authfile, &named);

	for (char **path = paths; *path; path++) {
		KIST_JSON struct json_object *json = NULL;
		int r = read_accounts(*path, &json, err);

		if (r == -ENOENT && authfile && !kist_error_is_set(err))
			return kist_fail_errno(err, ENOENT, "open %s", *path);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		r = find_in(json, registry, repository, out, err);
		if (r < 0) {
			kist_context(err, "%s: %s", *path, registry);
			return kist_remedy(err, "'kist login' writes an account that needs no helper");
		}
		if (r == 0)
			return 0;
	}
	return 1;
}

/* --- changing --------------------------------------------------------------------------------------------------- */

/* Its directory, locked: two logins at a time lose nothing. The lock goes with the fd. Of a link, where it leads: the
 * link stays. */
static int open_directory(const char *given, char **name, struct kist_error *err)
{
	KIST_FREE char *real = realpath(given, NULL);
	const char *path = real ? real : given;
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "%s is no regular file", path);
	const char *slash = strrchr(path, '/');
	KIST_FREE char *directory =
	        slash ? kist_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : kist_strdup(".");
	KIST_CLOSE int fd = kist_mkdirs(directory, 0700);

	if (fd < 0)
		return kist_fail_errno(err, -fd, "open %s", directory);
	if (flock(fd, LOCK_EX) < 0)
		return kist_fail_errno(err, errno, "lock %s", directory);
	*name = kist_strdup(slash ? slash + 1 : path);
	return kist_steal_fd(&fd);
}

static int write_accounts(int dir, const char *name, const char *path, struct json_object *json, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	KIST_FREE char *body = kist_json_text(json, true);

	kist_str_addf(&text, "%s\n", body);
	int r = kist_replace_file(dir, name, text.data, text.len, 0600, KIST_REPLACE_SYNC);
	explicit_bzero(text.data, text.len);
	explicit_bzero(body, strlen(body));
	return r < 0 ? kist_fail_errno(err, -r, "write %s", path) : 0;
}

int kist_auth_store(const char *authfile, const char *registry, const struct kist_credentials *credentials,
                    struct kist_error *err)
{
	KIST_FREE char *path = own_path(authfile), *name = NULL;
	KIST_JSON struct json_object *json = NULL;
	KIST_CLOSE int dir = open_directory(path, &name, err);

	if (dir < 0)
		return dir;
	int r = read_accounts(path, &json, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (!json)
		json = json_object_new_object();
	struct json_object *auths = object_at(json, "auths"), *entry = json_object_new_object();
	if (!auths) {
		auths = json_object_new_object();
		json_object_object_add(json, "auths", auths);
	}
	KIST_FREE char *pair = kist_asprintf("%s:%s", credentials->username, credentials->password);
	KIST_FREE char *auth = kist_base64(pair);
	json_object_object_add(entry, "auth", json_object_new_string(auth));
	json_object_object_add(auths, registry, entry);
	r = write_accounts(dir, name, path, json, err);
	explicit_bzero(pair, strlen(pair));
	explicit_bzero(auth, strlen(auth));
	return r;
}

/* Every key that means the registry. Returns how many there were. */
static size_t drop_entries(struct json_object *auths, const char *registry)
{
	KIST_STRV char **names = NULL;

	json_object_object_foreach(auths, key, value)
	{
		KIST_FREE char *host = key_host(key);

		(void)value;
		if (!registry || kist_streq(key, registry) ||
		    (!strchr(registry, '/') && (strstr(key, "://") || !strchr(key, '/')) && kist_streq(host, registry)))
			kist_strv_add(&names, key);
	}
	for (char **name = names; name && *name; name++)
		json_object_object_del(auths, *name);
	return kist_strv_len(names);
}

int kist_auth_remove(const char *authfile, const char *registry, struct kist_error *err)
{
	KIST_FREE char *path = own_path(authfile), *name = NULL;
	KIST_JSON struct json_object *json = NULL;

	/* Without the lock first: where there is nothing, nothing is made. */
	int r = read_accounts(path, &json, err);
	if (r < 0)
		return r == -ENOENT ? 1 : r;
	KIST_CLOSE int dir = open_directory(path, &name, err);
	if (dir < 0)
		return dir;
	json_object_put(kist_steal(&json));
	r = read_accounts(path, &json, err);
	if (r < 0)
		return r == -ENOENT ? 1 : r;
	struct json_object *auths = object_at(json, "auths");
	if (!auths || drop_entries(auths, registry) == 0)
		return registry ? 1 : 0;
	return write_accounts(dir, name, path, json, err);
}
