/* WWW-Authenticate: which schemes a server takes, and where its tokens are given out. RFC 9110, 11.6.1: challenges are
 * parted by commas, and so are the parameters of one; a word without '=' after a comma begins the next challenge. */
#include "core/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX 4096

void kist_challenge_clear(struct kist_challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	*challenge = (struct kist_challenge){ 0 };
}

static size_t token_length(const char *p)
{
	size_t n = 0;

	while ((p[n] >= '0' && p[n] <= '9') || (p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z') ||
	       (p[n] && strchr("!#$%&'*+-.^_`|~", p[n])))
		n++;
	return n;
}

static const char *skip(const char *p, const char *what)
{
	return p + strspn(p, what);
}

/* A quoted string or a token. NULL: neither. */
static const char *take_value(const char *p, struct kist_str *out)
{
	size_t n = token_length(p);

	if (*p != '"') {
		kist_str_addn(out, p, n);
		return n ? p + n : NULL;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && !*++p)
			return NULL;
		/* A line break in a URL that becomes a request would be a second header. */
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return NULL;
		kist_str_addc(out, *p);
	}
	return *p ? p + 1 : NULL;
}

enum scheme { OTHER, BASIC, BEARER };

static enum scheme scheme_of(const char *p, size_t n, struct kist_challenge *challenge)
{
	if (n == 5 && strncasecmp(p, "basic", n) == 0) {
		challenge->basic = true;
		return BASIC;
	}
	if (n == 6 && strncasecmp(p, "bearer", n) == 0) {
		challenge->bearer = true;
		return BEARER;
	}
	return OTHER;
}

static void keep(struct kist_challenge *challenge, const char *name, size_t n, struct kist_str *value)
{
	char **to = n == 5 && strncasecmp(name, "realm", n) == 0     ? &challenge->realm
	            : n == 7 && strncasecmp(name, "service", n) == 0 ? &challenge->service
	                                                             : NULL;

	if (!to || *to || value->len > VALUE_MAX)
		return;
	*to = kist_str_take(value);
}

int kist_challenge_parse(const char *value, struct kist_challenge *challenge)
{
	enum scheme scheme = OTHER;
	const char *p = value;

	for (;;) {
		KIST_STR struct kist_str text = { 0 };

		p = skip(p, " \t,");
		if (!*p)
			return 0;
		size_t n = token_length(p);
		const char *after = skip(p + n, " \t");
		if (n > 0 && *after != '=') {
			/* The scheme of a challenge: parameters, or nothing, follow. */
			scheme = scheme_of(p, n, challenge);
			p = after;
			continue;
		}
		const char *end = n > 0 ? take_value(skip(after + 1, " \t"), &text) : NULL;
		if (!end && scheme != OTHER)
			return -EINVAL;
		/* Of a scheme that is not known, base64 text may follow, which is no parameter. */
		if (!end) {
			p += strcspn(p, ",");
			continue;
		}
		if (scheme == BEARER)
			keep(challenge, p, n, &text);
		p = end;
	}
}
