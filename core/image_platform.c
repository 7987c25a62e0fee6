/* Which of an index's manifests is for this host. OCI image index: "platform"; Go's names of architectures. */
#include "core/image.h"

#include <json-c/json.h>
#include <string.h>

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

int kist_image_platform_rank_for(struct json_object *descriptor, const struct kist_platform *wanted)
{
	struct json_object *platform = NULL;

	if (!json_object_object_get_ex(descriptor, "platform", &platform) ||
	    !json_object_is_type(platform, json_type_object))
		return 1;
	const char *architecture = kist_json_text_at(platform, "architecture"), *os = kist_json_text_at(platform, "os");
	if (!kist_streq(os, wanted->os) || !kist_streq(architecture, wanted->architecture))
		return 0;
	return variant_rank(architecture, wanted->variant, kist_json_text_at(platform, "variant"));
}

int kist_image_platform_rank(struct json_object *descriptor)
{
	struct kist_platform host;

	kist_platform_host(&host);
	return kist_image_platform_rank_for(descriptor, &host);
}

void kist_platform_host(struct kist_platform *out)
{
	*out = (struct kist_platform){ .os = "linux" };
	out->architecture = kist_image_architecture(&out->variant);
}

/* The spellings that people bring from uname and from distributions. */
static void normalise(struct kist_platform *platform)
{
	static const struct {
		const char *from, *architecture, *variant;
	} names[] = {
		{ "x86_64", "amd64", NULL }, { "x86-64", "amd64", NULL }, { "aarch64", "arm64", NULL },
		{ "i386", "386", NULL },     { "armhf", "arm", "v7" },    { "armel", "arm", "v6" },
	};

	for (size_t i = 0; i < KIST_COUNT(names); i++)
		if (kist_streq(platform->architecture, names[i].from)) {
			platform->architecture = names[i].architecture;
			if (!platform->variant)
				platform->variant = names[i].variant;
			return;
		}
}

/* Of architectures that this does not know, anything. */
static bool has_variant(const char *architecture, const char *variant)
{
	static const struct {
		const char *architecture, *first, *last;
	} known[] = { { "amd64", "v1", "v4" }, { "arm", "v5", "v8" }, { "arm64", "v8", "v9" }, { "386", "", "" } };

	for (size_t i = 0; i < KIST_COUNT(known); i++)
		if (kist_streq(architecture, known[i].architecture))
			return strncmp(variant, known[i].first, 2) >= 0 && strncmp(variant, known[i].last, 2) <= 0;
	return true;
}

int kist_platform_complete(struct kist_platform *platform, struct kist_error *err)
{
	struct kist_platform host;

	kist_platform_host(&host);
	if (kist_empty(platform->os))
		platform->os = host.os;
	if (kist_empty(platform->variant))
		platform->variant = NULL;
	if (kist_empty(platform->architecture)) {
		platform->architecture = host.architecture;
		if (!platform->variant)
			platform->variant = host.variant;
	}
	normalise(platform);
	if (!kist_streq(platform->os, "linux"))
		return kist_fail(err, KIST_ERR_UNSUPPORTED, 0,
		                 "images for the operating system '%.40s' do not run here", platform->os);
	if (platform->variant && !has_variant(platform->architecture, platform->variant))
		return kist_fail(err, KIST_ERR_INVALID, 0, "the architecture '%.40s' has no variant '%.40s'",
		                 platform->architecture, platform->variant);
	return 0;
}

bool kist_image_is_for(const struct kist_image *image, const struct kist_platform *platform)
{
	const char *variant = kist_json_text_at(image->document, "variant");

	/* Old images say nothing. */
	if (kist_empty(image->architecture))
		return true;
	if (!kist_empty(image->os) && !kist_streq(image->os, platform->os))
		return false;
	return kist_streq(image->architecture, platform->architecture) &&
	       variant_rank(platform->architecture, platform->variant, variant) > 0;
}

/* What an image that does not tell is. */
static const char *told_variant(const char *architecture, const char *variant)
{
	if (!kist_empty(variant))
		return variant;
	return kist_streq(architecture, "amd64") ? "v1" : kist_streq(architecture, "arm64") ? "v8" : "";
}

bool kist_image_is_meant(const struct kist_image *image, const struct kist_platform *given,
                         const struct kist_platform *complete)
{
	if (!kist_image_is_for(image, complete))
		return false;
	if (kist_empty(given->variant) || kist_empty(image->architecture) || kist_streq(image->architecture, "arm"))
		return true;
	return kist_streq(given->variant,
	                  told_variant(image->architecture, kist_json_text_at(image->document, "variant")));
}
