/* Image references: [DOMAIN/]PATH[:TAG][@DIGEST], by the grammar of the distribution project's reference package, which
 * podman and docker share. A first component is a domain when it has a dot or a colon, or is "localhost". */
#include "core/image.h"

#include "core/base/str.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TAG_MAX   128
#define NAME_MAX_ 255 /* of domain and path together, as the grammar's authors have it */

static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char alnum[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

void kist_reference_clear(struct kist_reference *reference)
{
	free(reference->domain);
	free(reference->path);
	free(reference->tag);
	free(reference->digest);
	*reference = (struct kist_reference){ 0 };
}

static bool port_ok(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= 5 && strspn(text, "0123456789") == n;
}

/* "registry.example", "[::1]", each with a port. */
static bool domain_ok(const char *text)
{
	const char *p = text;

	if (*p == '[') {
		size_t n = strspn(p + 1, "0123456789abcdefABCDEF:.");

		if (n == 0 || p[1 + n] != ']')
			return false;
		p += n + 2;
	} else {
		for (;;) {
			size_t n = 0;

			while (p[n] && (strchr(alnum, p[n]) || p[n] == '-'))
				n++;
			if (n == 0 || p[0] == '-' || p[n - 1] == '-')
				return false;
			p += n;
			if (*p != '.')
				break;
			p++;
		}
	}
	return !*p || (*p == ':' && port_ok(p + 1));
}

/* Lower case letters and digits, parted by '.', '_', '__' or any number of '-'. Returns the length, 0 when bad. */
static size_t component_length(const char *p)
{
	size_t n = strspn(p, lower);

	while (n > 0) {
		size_t dashes = strspn(p + n, "-");
		size_t separator = dashes                           ? dashes
		                   : p[n] == '_' && p[n + 1] == '_' ? 2
		                   : p[n] == '_' || p[n] == '.'     ? 1
		                                                    : 0;

		if (separator == 0)
			return n;
		size_t word = strspn(p + n + separator, lower);
		if (word == 0)
			return 0;
		n += separator + word;
	}
	return n;
}

static bool path_ok(const char *p)
{
	for (;;) {
		size_t n = component_length(p);

		if (n == 0)
			return false;
		p += n;
		if (!*p)
			return true;
		if (*p++ != '/')
			return false;
	}
}

static bool tag_ok(const char *tag)
{
	size_t n = strlen(tag);

	if (n == 0 || n > TAG_MAX || tag[0] == '.' || tag[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr(alnum, tag[i]) && !strchr("_.-", tag[i]))
			return false;
	return true;
}

static bool has_upper(const char *text)
{
	return text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0';
}

static int fail(const char *text, const char *why, struct kist_error *err)
{
	return kist_fail(err, KIST_ERR_INVALID, 0, "'%.200s' is not an image reference: %s", text, why);
}

/* Cuts rest, a copy of text, into its parts. */
static int cut(const char *text, char *rest, struct kist_reference *out, struct kist_error *err)
{
	char *at = strchr(rest, '@');
	char *slash;

	if (at) {
		*at++ = '\0';
		if (!kist_has_prefix(at, "sha256:") || !kist_image_is_id(at + strlen("sha256:")))
			return fail(text, "what follows '@' must be sha256: and 64 hexadecimal digits", err);
		out->digest = kist_strdup(at);
	}
	slash = strrchr(rest, '/');
	char *colon = strrchr(slash ? slash : rest, ':');
	if (colon) {
		*colon++ = '\0';
		if (!tag_ok(colon))
			return fail(text, "a tag has 1 to 128 letters, digits and _.-, and starts with none of .-",
			            err);
		out->tag = kist_strdup(colon);
	}
	slash = strchr(rest, '/');
	if (slash) {
		*slash = '\0';
		if (rest[strcspn(rest, ".:[")] || kist_streq(rest, "localhost")) {
			if (!domain_ok(rest))
				return fail(text, "its registry is not a host name", err);
			out->domain = kist_strdup(rest);
			rest = slash + 1;
		} else {
			*slash = '/';
		}
	}
	out->path = kist_strdup(rest);
	return 0;
}

static int check(const char *text, const struct kist_reference *r, struct kist_error *err)
{
	if (!*r->path)
		return fail(text, "it has no repository name", err);
	if (has_upper(r->path))
		return fail(text, "a repository name must be in lower case", err);
	if (!path_ok(r->path))
		return fail(text, "a repository name has letters and digits, parted by single . _ / or by -", err);
	if (strlen(r->path) + (r->domain ? strlen(r->domain) + 1 : 0) > NAME_MAX_)
		return fail(text, "a repository name has at most 255 characters", err);
	/* Such a name could never be told from an id. */
	if (!r->domain && kist_image_is_id(r->path))
		return fail(text, "64 hexadecimal digits are an id, not a name", err);
	return 0;
}

int kist_reference_parse(const char *text, struct kist_reference *out, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference parts = { 0 };
	KIST_FREE char *rest = kist_strdup(text);

	if (kist_empty(text))
		return kist_fail(err, KIST_ERR_INVALID, 0, "an image reference must not be empty");
	int r = cut(text, rest, &parts, err);
	if (r == 0)
		r = check(text, &parts, err);
	if (r < 0)
		return r;
	*out = parts;
	parts = (struct kist_reference){ 0 };
	return 0;
}

/* docker.io has a folder for names without one, and an old name of its own. */
static char *docker_repository(const char *path)
{
	return kist_asprintf("docker.io/%s%s", strchr(path, '/') ? "" : "library/", path);
}

char **kist_reference_repositories(const struct kist_reference *reference)
{
	const char *domain = reference->domain;
	char **list = NULL;

	if (!domain) {
		kist_strv_take(&list, kist_asprintf("localhost/%s", reference->path));
		kist_strv_take(&list, docker_repository(reference->path));
	} else if (kist_streq(domain, "docker.io") || kist_streq(domain, "index.docker.io")) {
		kist_strv_take(&list, docker_repository(reference->path));
	} else {
		kist_strv_take(&list, kist_asprintf("%s/%s", domain, reference->path));
	}
	return list;
}

int kist_image_reference(const char *name, char **out, struct kist_error *err)
{
	KIST_REFERENCE struct kist_reference reference = { 0 };

	int r = kist_reference_parse(name, &reference, err);
	if (r < 0)
		return r;
	if (reference.digest)
		return fail(name, "a name that is given to an image has a tag, not a digest", err);
	KIST_STRV char **repositories = kist_reference_repositories(&reference);
	KIST_FREE char *full = kist_asprintf("%s:%s", repositories[0], reference.tag ? reference.tag : "latest");
	KIST_FREE char *file = kist_reference_escape(full);
	if (strlen(file) > NAME_MAX)
		return fail(name, "it is too long to be stored", err);
	*out = kist_steal(&full);
	return 0;
}

char *kist_reference_escape(const char *name)
{
	KIST_STR struct kist_str out = { 0 };

	for (; *name; name++) {
		if (*name == '/')
			kist_str_add(&out, "%2F");
		else if (*name == '%')
			kist_str_add(&out, "%25");
		else
			kist_str_addc(&out, *name);
	}
	return kist_str_take(&out);
}

char *kist_reference_unescape(const char *file)
{
	KIST_STR struct kist_str out = { 0 };

	for (; *file; file++) {
		if (*file == '/')
			return NULL;
		if (*file != '%') {
			kist_str_addc(&out, *file);
			continue;
		}
		if (strncmp(file, "%2F", 3) != 0 && strncmp(file, "%25", 3) != 0)
			return NULL;
		kist_str_addc(&out, file[2] == 'F' ? '/' : '%');
		file += 2;
	}
	/* What the grammar does not know was not put there by us. */
	KIST_REFERENCE struct kist_reference reference = { 0 };
	if (kist_reference_parse(kist_str_get(&out), &reference, NULL) < 0 || !reference.domain || !reference.tag ||
	    reference.digest)
		return NULL;
	return kist_str_take(&out);
}

char *kist_reference_repository(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *colon = strrchr(slash ? slash : name, ':');

	return colon ? kist_strndup(name, (size_t)(colon - name)) : kist_strdup(name);
}
