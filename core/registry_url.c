/* URLs, as far as a decision hangs on them. */
#include "core/registry.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* scheme://host:port in lower case, with the scheme's own port written out. NULL: not such a URL. */
static char *origin(const char *url)
{
	bool tls = strncasecmp(url, "https://", 8) == 0;

	if (!tls && strncasecmp(url, "http://", 7) != 0)
		return NULL;
	const char *host = url + (tls ? 8 : 7);
	size_t n = strcspn(host, "/?#\\");
	KIST_FREE char *name = kist_strndup(host, n);
	/* A name before '@' is not a host, and makes what follows look like another one. */
	if (strchr(name, '@') || !*name)
		return NULL;
	const char *bracket = strrchr(name, ']');
	const char *colon = strchr(bracket ? bracket : name, ':');
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return kist_asprintf("%s://%s%s", tls ? "https" : "http", name, colon ? "" : tls ? ":443" : ":80");
}

bool kist_url_same_origin(const char *a, const char *b)
{
	KIST_FREE char *x = origin(a), *y = origin(b);

	return x && kist_streq(x, y);
}

char *kist_url_escape(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	KIST_STR struct kist_str out = { 0 };

	for (; *text; text++) {
		if (strchr(plain, *text))
			kist_str_addc(&out, *text);
		else
			kist_str_addf(&out, "%%%02X", (unsigned char)*text);
	}
	return kist_str_take(&out);
}
