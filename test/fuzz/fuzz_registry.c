/* What a registry says: WWW-Authenticate and manifests; the input is either. */
#include "core/registry.h"

#include "test/fuzz/fuzz_main.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void fuzz_challenge(const char *text)
{
	struct kist_challenge challenge = { 0 };

	kist_challenge_parse(text, &challenge);
	/* Both become parts of a request. */
	assert(!challenge.realm || !challenge.realm[strcspn(challenge.realm, "\r\n")]);
	assert(!challenge.service || !challenge.service[strcspn(challenge.service, "\r\n")]);
	kist_challenge_clear(&challenge);
}

static void fuzz_manifest(const char *text, size_t size)
{
	KIST_MANIFEST struct kist_manifest manifest = { 0 };
	struct kist_platform platform = { "linux", "arm", "v7" };
	struct kist_descriptor chosen = { 0 };

	if (kist_manifest_parse(text, size, NULL, &manifest, NULL) < 0)
		return;
	for (size_t i = 0; i < manifest.n; i++)
		assert(kist_image_is_id(manifest.layers[i].digest));
	if (manifest.list && kist_manifest_choose(&manifest, &platform, &chosen, NULL) == 0)
		assert(kist_image_is_id(chosen.digest));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = kist_strndup((const char *)data, size);

	fuzz_challenge(text);
	fuzz_manifest(text, strlen(text));
	kist_url_same_origin(text, "https://a.example");
	free(text);
	return 0;
}
