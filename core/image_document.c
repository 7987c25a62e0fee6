/* The OCI image configuration (image-spec, config.md): written by import, read back when an image is opened. */
#include "core/image.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <json-c/json.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define ROW(type, member, json_key)                                                                                    \
	KIST_FIELD(struct kist_image_config, type, member, .json = json_key, .flags = KIST_FIELD_NO_KV)

/* ExposedPorts and Volumes are objects whose values are empty objects: done by hand. */
static const struct kist_field config_fields[] = {
	ROW(STRING, user, "User"),
	ROW(STRV, env, "Env"),
	ROW(STRV, entrypoint, "Entrypoint"),
	ROW(STRV, cmd, "Cmd"),
	ROW(STRING, workdir, "WorkingDir"),
	ROW(MAP, labels, "Labels"),
	ROW(STRING, stop_signal, "StopSignal"),
	ROW(STRV, onbuild, "OnBuild"),
};
static const struct kist_table config_table =
        KIST_TABLE("image configuration", struct kist_image_config, config_fields);

void kist_image_config_clear(struct kist_image_config *config)
{
	kist_strv_free(config->exposed_ports);
	kist_strv_free(config->volumes);
	kist_strv_free(config->health_test);
	/* Leaves zeros in the whole struct. */
	kist_table_release(&config_table, config);
}

void kist_sha256_hex(const void *data, size_t len, char out[65])
{
	static const char digits[] = "0123456789abcdef";
	struct sha256_ctx hash;
	uint8_t digest[SHA256_DIGEST_SIZE];

	sha256_init(&hash);
	sha256_update(&hash, len, data);
	sha256_digest(&hash, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[64] = '\0';
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static void add_text(struct json_object *json, const char *key, const char *text)
{
	if (!kist_empty(text))
		json_object_object_add(json, key, json_object_new_string(text));
}

static void add_keys(struct json_object *json, const char *key, char *const *items)
{
	if (!items || !*items)
		return;
	struct json_object *set = json_object_new_object();
	for (; *items; items++)
		json_object_object_add(set, *items, json_object_new_object());
	json_object_object_add(json, key, set);
}

static void add_number(struct json_object *json, const char *key, int64_t value)
{
	if (value)
		json_object_object_add(json, key, json_object_new_int64(value));
}

static void add_health(struct json_object *settings, const struct kist_image_config *config)
{
	struct json_object *check, *test;

	if (!config->health_test)
		return;
	check = json_object_new_object();
	test = json_object_new_array();
	for (char **word = config->health_test; *word; word++)
		json_object_array_add(test, json_object_new_string(*word));
	json_object_object_add(check, "Test", test);
	add_number(check, "Interval", config->health_interval);
	add_number(check, "Timeout", config->health_timeout);
	add_number(check, "StartPeriod", config->health_start_period);
	add_number(check, "Retries", config->health_retries);
	json_object_object_add(settings, "Healthcheck", check);
}

/* Go's names of architectures, which OCI took over. */
const char *kist_image_architecture(const char **variant)
{
	static const struct {
		const char *machine, *architecture, *variant;
	} known[] = {
		{ "x86_64", "amd64", NULL },    { "aarch64", "arm64", NULL },
		{ "armv7l", "arm", "v7" },      { "armv6l", "arm", "v6" },
		{ "armv5tel", "arm", "v5" },    { "i386", "386", NULL },
		{ "i486", "386", NULL },        { "i586", "386", NULL },
		{ "i686", "386", NULL },        { "loongarch64", "loong64", NULL },
		{ "ppc64le", "ppc64le", NULL }, { "riscv64", "riscv64", NULL },
		{ "s390x", "s390x", NULL },
	};
	static const char *const unknown = "unknown";
	struct utsname name;

	if (variant)
		*variant = NULL;
	for (size_t i = 0; uname(&name) == 0 && i < KIST_COUNT(known); i++)
		if (kist_streq(name.machine, known[i].machine)) {
			if (variant)
				*variant = known[i].variant;
			return known[i].architecture;
		}
	return unknown;
}

static struct json_object *history(const struct kist_image_import *import, const char *diff_id, const char *time)
{
	struct json_object *list = json_object_new_array(), *entry = json_object_new_object();
	KIST_FREE char *made = kist_asprintf("/bin/sh -c #(nop) ADD file:%s in /", diff_id ? diff_id : "");

	add_text(entry, "created", time);
	add_text(entry, "created_by", made);
	add_text(entry, "comment", import->message);
	json_object_array_add(list, entry);
	return list;
}

struct json_object *kist_image_document(const struct kist_image_import *import, const struct kist_image_config *config,
                                        const char *diff_id, int64_t created)
{
	struct json_object *json = json_object_new_object();
	struct json_object *settings = kist_json_write(&config_table, config);
	struct json_object *rootfs = json_object_new_object(), *layers = json_object_new_array();
	const char *variant = NULL;
	const char *architecture = kist_image_architecture(&variant);
	char time[40];

	kist_time_format_shortest(time, created);
	add_text(json, "created", time);
	add_text(json, "architecture", import->architecture ? import->architecture : architecture);
	/* The host's variant says nothing of another architecture. */
	add_text(json, "variant", import->variant || import->architecture ? import->variant : variant);
	add_text(json, "os", import->os ? import->os : "linux");
	add_keys(settings, "ExposedPorts", config->exposed_ports);
	add_keys(settings, "Volumes", config->volumes);
	add_health(settings, config);
	json_object_object_add(json, "config", settings);
	if (diff_id) {
		KIST_FREE char *digest = kist_asprintf("sha256:%s", diff_id);

		json_object_array_add(layers, json_object_new_string(digest));
	}
	add_text(rootfs, "type", "layers");
	json_object_object_add(rootfs, "diff_ids", layers);
	json_object_object_add(json, "rootfs", rootfs);
	json_object_object_add(json, "history", history(import, diff_id, time));
	return json;
}

/* Everything of the base that is not ours to say stays: its health check unless it is changed, its platform, what later
 * versions add. */
static struct json_object *derive_settings(struct json_object *base, const struct kist_image_config *config)
{
	KIST_JSON struct json_object *ours = kist_json_write(&config_table, config);
	struct json_object *settings = NULL, *old = NULL;

	if (!json_object_object_get_ex(base, "config", &old) || !json_object_is_type(old, json_type_object) ||
	    json_object_deep_copy(old, &settings, NULL) < 0)
		settings = json_object_new_object();
	for (size_t i = 0; i < KIST_COUNT(config_fields); i++)
		json_object_object_del(settings, config_fields[i].json);
	json_object_object_del(settings, "ExposedPorts");
	json_object_object_del(settings, "Volumes");
	json_object_object_foreach(ours, key, value) json_object_object_add(settings, key, json_object_get(value));
	add_keys(settings, "ExposedPorts", config->exposed_ports);
	add_keys(settings, "Volumes", config->volumes);
	add_health(settings, config);
	return settings;
}

/* The array of the document, made if it is not there. */
static struct json_object *array_of(struct json_object *json, const char *key)
{
	struct json_object *array = NULL;

	if (json_object_object_get_ex(json, key, &array) && json_object_is_type(array, json_type_array))
		return array;
	array = json_object_new_array();
	json_object_object_add(json, key, array);
	return array;
}

struct json_object *kist_image_document_derive(struct json_object *base, const struct kist_image_step *step)
{
	struct json_object *json = NULL, *rootfs = NULL, *entry = json_object_new_object();
	KIST_FREE char *digest = kist_asprintf("sha256:%s", step->diff_id);
	char time[40];

	if (json_object_deep_copy(base, &json, NULL) < 0)
		json = json_object_new_object();
	kist_time_format_shortest(time, step->created);
	add_text(json, "created", time);
	add_text(json, "author", step->author);
	json_object_object_add(json, "config", derive_settings(base, step->config));
	if (json_object_object_get_ex(json, "rootfs", &rootfs))
		json_object_array_add(array_of(rootfs, "diff_ids"), json_object_new_string(digest));
	add_text(entry, "created", time);
	add_text(entry, "created_by", step->created_by);
	add_text(entry, "author", step->author);
	add_text(entry, "comment", step->message);
	json_object_array_add(array_of(json, "history"), entry);
	return json;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static char **keys_at(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;
	char **keys = NULL;

	if (!json_object_object_get_ex(json, key, &value) || !json_object_is_type(value, json_type_object))
		return NULL;
	json_object_object_foreach(value, name, unused)
	{
		(void)unused;
		kist_strv_add(&keys, name);
	}
	return keys;
}

static int read_diff_ids(struct json_object *document, char ***out, struct kist_error *err)
{
	struct json_object *rootfs = NULL, *list = NULL;
	KIST_STRV char **ids = NULL;

	if (!json_object_object_get_ex(document, "rootfs", &rootfs) ||
	    !json_object_object_get_ex(rootfs, "diff_ids", &list) || !json_object_is_type(list, json_type_array))
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "the image configuration has no rootfs.diff_ids");
	for (size_t i = json_object_array_length(list); i-- > 0;) {
		const char *digest = json_object_get_string(json_object_array_get_idx(list, i));

		if (!digest || !kist_has_prefix(digest, "sha256:") || !kist_image_is_id(digest + strlen("sha256:")))
			return kist_fail(err, KIST_ERR_CORRUPT, 0, "rootfs.diff_ids[%zu] is not a sha256 digest", i);
		kist_strv_add(&ids, digest + strlen("sha256:"));
	}
	*out = kist_steal(&ids);
	return 0;
}

/* As podman: what the last step that has one says. */
static const char *last_comment(struct json_object *document)
{
	struct json_object *list = NULL;

	if (!json_object_object_get_ex(document, "history", &list) || !json_object_is_type(list, json_type_array))
		return NULL;
	for (size_t i = json_object_array_length(list); i-- > 0;) {
		const char *comment = kist_json_text_at(json_object_array_get_idx(list, i), "comment");

		if (!kist_empty(comment))
			return comment;
	}
	return NULL;
}

int kist_image_document_read(struct json_object *document, struct kist_image *image, char ***diff_ids,
                             struct kist_error *err)
{
	struct json_object *settings = NULL;

	if (!json_object_is_type(document, json_type_object))
		return kist_fail(err, KIST_ERR_CORRUPT, 0, "the image configuration is not a JSON object");
	int r = read_diff_ids(document, diff_ids, err);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(document, "config", &settings) && settings) {
		struct kist_error problem = { 0 };

		if (kist_json_read(&config_table, settings, &image->config, "config", &problem) < 0)
			return kist_fail(err, KIST_ERR_CORRUPT, 0, "%s", problem.text);
		image->config.exposed_ports = keys_at(settings, "ExposedPorts");
		image->config.volumes = keys_at(settings, "Volumes");
	}
	image->architecture = kist_strdup(kist_json_text_at(document, "architecture"));
	image->os = kist_strdup(kist_json_text_at(document, "os"));
	image->author = kist_strdup(kist_json_text_at(document, "author"));
	image->comment = kist_strdup(last_comment(document));
	return 0;
}
