#include "core/base/spec.h"

#include "core/base/error.h"

#include <stdlib.h>
#include <string.h>

struct kist_spec *kist_spec_new(void)
{
	struct kist_spec *spec = kist_alloc(sizeof(*spec));

	kist_table_init(&kist_spec_table, spec);
	return spec;
}

void kist_spec_free(struct kist_spec *spec)
{
	if (!spec)
		return;
	kist_table_release(&kist_spec_table, spec);
	free(spec);
}

void kist_spec_cleanup(struct kist_spec **spec)
{
	kist_spec_free(*spec);
}

int kist_spec_parse(const char *text, size_t len, struct kist_spec **out, struct kist_error *err)
{
	KIST_SPEC struct kist_spec *spec = kist_spec_new();
	KIST_JSON struct json_object *json = NULL;
	int r;

	r = kist_json_parse(text, len, &json, err);
	if (r)
		return r;
	r = kist_json_read(&kist_spec_table, json, spec, "", err);
	if (r)
		return r;
	*out = kist_steal(&spec);
	return 0;
}

char *kist_spec_text(const struct kist_spec *spec)
{
	KIST_JSON struct json_object *json = kist_json_write(&kist_spec_table, spec);

	return kist_json_text(json, true);
}

const struct kist_spec_namespace *kist_spec_namespace(const struct kist_spec *spec, const char *type)
{
	for (size_t i = 0; i < spec->linux_.n_namespaces; i++)
		if (kist_streq(spec->linux_.namespaces[i].type, type))
			return &spec->linux_.namespaces[i];
	return NULL;
}

const char *kist_spec_annotation(const struct kist_spec *spec, const char *key)
{
	return kist_env_get(spec->annotations, key);
}

/* One more zeroed item at the end of an array. */
static void *append(void *items, size_t *count, size_t size)
{
	void **array = items;

	*array = kist_grow(*array, *count + 1, size);
	memset((char *)*array + *count * size, 0, size);
	return (char *)*array + (*count)++ * size;
}

struct kist_spec_mount *kist_spec_add_mount(struct kist_spec *spec, const char *destination, const char *type,
                                            const char *source, const char *const *options)
{
	struct kist_spec_mount *mount = append(&spec->mounts, &spec->n_mounts, sizeof(*mount));

	mount->destination = kist_strdup(destination);
	mount->type = kist_strdup(type);
	mount->source = kist_strdup(source);
	for (; options && *options; options++)
		kist_strv_add(&mount->options, *options);
	return mount;
}

struct kist_spec_namespace *kist_spec_add_namespace(struct kist_spec *spec, const char *type, const char *path)
{
	struct kist_spec_namespace *namespace =
	        append(&spec->linux_.namespaces, &spec->linux_.n_namespaces, sizeof(*namespace));

	namespace->type = kist_strdup(type);
	namespace->path = kist_strdup(path);
	return namespace;
}

struct kist_spec_rlimit *kist_spec_set_rlimit(struct kist_spec_process *process, const char *type, uint64_t soft,
                                              uint64_t hard)
{
	struct kist_spec_rlimit *limit = NULL;

	for (size_t i = 0; i < process->n_rlimits && !limit; i++)
		if (kist_streq(process->rlimits[i].type, type))
			limit = &process->rlimits[i];
	if (!limit) {
		limit = append(&process->rlimits, &process->n_rlimits, sizeof(*limit));
		limit->type = kist_strdup(type);
	}
	limit->soft = soft;
	limit->hard = hard;
	return limit;
}

struct kist_spec_device *kist_spec_add_device(struct kist_spec *spec, const char *path, char type, int64_t major,
                                              int64_t minor, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct kist_spec_device *device = append(&spec->linux_.devices, &spec->linux_.n_devices, sizeof(*device));

	device->path = kist_strdup(path);
	device->type = kist_strndup(&type, 1);
	device->major = major;
	device->minor = minor;
	device->file_mode = (struct kist_opt){ .set = true, .value = mode };
	device->uid = (struct kist_opt){ .set = true, .value = uid };
	device->gid = (struct kist_opt){ .set = true, .value = gid };
	return device;
}

struct kist_spec_device_rule *kist_spec_add_device_rule(struct kist_spec *spec, bool allow, char type, int64_t major,
                                                        int64_t minor, const char *access)
{
	struct kist_spec_resources *resources = spec->linux_.resources;
	struct kist_spec_device_rule *rule;

	if (!resources)
		resources = spec->linux_.resources = kist_alloc(sizeof(*resources));
	rule = append(&resources->devices, &resources->n_devices, sizeof(*rule));
	rule->allow = allow;
	rule->type = kist_strndup(&type, 1);
	rule->access = kist_strdup(access);
	/* -1 is 'any', which JSON writes by leaving the number out. */
	rule->major = (struct kist_opt){ .set = major >= 0, .value = major >= 0 ? major : 0 };
	rule->minor = (struct kist_opt){ .set = minor >= 0, .value = minor >= 0 ? minor : 0 };
	return rule;
}
