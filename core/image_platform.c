/* Which of an index's manifests is for this host. OCI image index: "platform"; Go's names of architectures. */
#include "core/image.h"

#include <json-c/json.h>
#include <string.h>

static const char *text_at(struct json_object *json, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(json, key, &value) || !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

/* "v7" of arm runs what is made for v6 and v5: the nearer the better. */
static int variant_rank(const char *architecture, const char *host, const char *variant)
{
	if (!variant || !*variant)
		return host ? 1 : 2;
	if (kist_streq(host, variant))
		return 10;
	if (kist_streq(architecture, "arm64") && kist_streq(variant, "v8"))
		return 9;
	if (!kist_streq(architecture, "arm") || !host || strlen(variant) != 2 || variant[1] > host[1])
		return 0;
	return variant[1] - '0' + 1;
}

int kist_image_platform_rank(struct json_object *descriptor)
{
	const char *host_variant = NULL, *host = kist_image_architecture(&host_variant);
	struct json_object *platform = NULL;

	if (!json_object_object_get_ex(descriptor, "platform", &platform) ||
	    !json_object_is_type(platform, json_type_object))
		return 1;
	const char *architecture = text_at(platform, "architecture"), *os = text_at(platform, "os");
	if (!kist_streq(os, "linux") || !kist_streq(architecture, host))
		return 0;
	return variant_rank(architecture, host_variant, text_at(platform, "variant"));
}
