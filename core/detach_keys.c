/* Keys that detach a terminal from a container. */
#include "core/detach_keys.h"

#include "core/kist.h"

#include <errno.h>
#include <string.h>

/* "ctrl-X" or one character, comma separated: docker's and podman's form. */
int kist_detach_keys_parse(const char *text, unsigned char out[16])
{
	int n = 0;

	if (kist_empty(text))
		return 0;
	KIST_STRV char **keys = kist_strv_split(text, ',');
	for (size_t i = 0; keys && keys[i]; i++) {
		const char *key = keys[i];
		unsigned char byte;
		if (kist_has_prefix(key, "ctrl-") && strlen(key) == 6) {
			char ch = key[5];
			if (ch >= 'a' && ch <= 'z')
				byte = (unsigned char)(ch - 'a' + 1);
			else if (ch == '@' || (ch >= '[' && ch <= '_'))
				byte = (unsigned char)(ch - '@');
			else
				return -EINVAL;
		} else if (strlen(key) == 1) {
			byte = (unsigned char)key[0];
		} else {
			return -EINVAL;
		}
		if (n == KIST_DETACH_KEYS_MAX)
			return -EINVAL;
		out[n++] = byte;
	}
	return n;
}

int kist_detach_keys_set(struct kist_detach_keys *keys, const char *text, struct kist_error *err)
{
	*keys = (struct kist_detach_keys){ 0 };
	int n = kist_detach_keys_parse(text, keys->bytes);
	if (n < 0)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL,
		                 "detach keys '%s': expected characters or ctrl-X, comma separated", text);
	keys->n = n;
	return 0;
}

size_t kist_detach_keys_feed(struct kist_detach_keys *keys, const unsigned char *typed, size_t n, unsigned char *out,
                             bool *detached)
{
	size_t len = 0;

	if (!keys->n) {
		memcpy(out, typed, n);
		return n;
	}
	for (size_t i = 0; i < n; i++) {
		/* As long as this byte does not go on with what is held, the oldest held one is no beginning of the
		 * sequence; what was typed after it may still be. */
		while (keys->held && typed[i] != keys->bytes[keys->held]) {
			int held = keys->held, skip = 1;
			while (skip < held && memcmp(keys->bytes, keys->bytes + skip, (size_t)(held - skip)) != 0)
				skip++;
			memcpy(out + len, keys->bytes, (size_t)skip);
			len += (size_t)skip;
			keys->held -= skip;
		}
		if (typed[i] != keys->bytes[keys->held]) {
			out[len++] = typed[i];
		} else if (++keys->held == keys->n) {
			keys->held = 0;
			*detached = true;
			return len;
		}
	}
	return len;
}

size_t kist_detach_keys_release(struct kist_detach_keys *keys, unsigned char *out)
{
	size_t n = (size_t)keys->held;

	memcpy(out, keys->bytes, n);
	keys->held = 0;
	return n;
}
