#include "core/base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

__attribute__((noreturn)) static void out_of_memory(void)
{
	static const char text[] = "kist: out of memory\n";
	ssize_t ignored KIST_UNUSED = write(STDERR_FILENO, text, sizeof(text) - 1);

	_exit(125);
}

void kist_cleanup_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void kist_cleanup_fd(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

void kist_cleanup_strv(char ***strv)
{
	kist_strv_free(*strv);
}

int kist_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

void kist_close_fd(int *fd)
{
	kist_cleanup_fd(fd);
	*fd = -1;
}

void *kist_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *kist_realloc(void *p, size_t size)
{
	void *bigger = realloc(p, size ? size : 1);

	if (!bigger)
		out_of_memory();
	return bigger;
}

void *kist_grow(void *p, size_t count, size_t item)
{
	size_t size;

	if (__builtin_mul_overflow(count, item, &size))
		out_of_memory();
	return kist_realloc(p, size);
}

char *kist_strdup(const char *s)
{
	return s ? kist_strndup(s, strlen(s)) : NULL;
}

char *kist_strndup(const char *s, size_t n)
{
	char *copy;

	if (!s)
		return NULL;
	n = strnlen(s, n);
	copy = kist_realloc(NULL, n + 1);
	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *kist_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	return text;
}

size_t kist_strv_len(char *const *strv)
{
	size_t n = 0;

	while (strv && strv[n])
		n++;
	return n;
}

void kist_strv_add(char ***strv, const char *s)
{
	kist_strv_take(strv, kist_strdup(s));
}

void kist_strv_take(char ***strv, char *s)
{
	size_t n = kist_strv_len(*strv);

	*strv = kist_grow(*strv, n + 2, sizeof(char *));
	(*strv)[n] = s;
	(*strv)[n + 1] = NULL;
}

char **kist_strv_copy(char *const *strv)
{
	size_t n = kist_strv_len(strv);
	char **copy;

	if (!strv)
		return NULL;
	copy = kist_grow(NULL, n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		copy[i] = kist_strdup(strv[i]);
	copy[n] = NULL;
	return copy;
}

void kist_strv_free(char **strv)
{
	if (!strv)
		return;
	for (char **s = strv; *s; s++)
		free(*s);
	free(strv);
}

bool kist_strv_has(char *const *strv, const char *s)
{
	for (; strv && *strv; strv++) {
		if (kist_streq(*strv, s))
			return true;
	}
	return false;
}

char *kist_strv_join(char *const *strv, const char *separator)
{
	size_t gap = strlen(separator);
	size_t size = 1;
	char *joined, *end;

	for (size_t i = 0; strv && strv[i]; i++)
		size += strlen(strv[i]) + gap;
	joined = end = kist_alloc(size);
	for (size_t i = 0; strv && strv[i]; i++) {
		if (i)
			end = mempcpy(end, separator, gap);
		end = mempcpy(end, strv[i], strlen(strv[i]));
	}
	return joined;
}

char **kist_strv_split(const char *s, char separator)
{
	size_t count = 0, i = 0;
	char **strv;

	if (!kist_empty(s)) {
		count = 1;
		for (const char *p = s; *p; p++)
			count += *p == separator;
	}
	strv = kist_grow(NULL, count + 1, sizeof(char *));
	while (i < count) {
		const char *end = strchrnul(s, separator);

		strv[i++] = kist_strndup(s, (size_t)(end - s));
		s = end + 1;
	}
	strv[count] = NULL;
	return strv;
}

/* The index of the entry for the key of n bytes, or -1. */
static ssize_t env_find(char *const *env, const char *key, size_t n)
{
	for (size_t i = 0; env && env[i]; i++) {
		if (strncmp(env[i], key, n) == 0 && env[i][n] == '=')
			return (ssize_t)i;
	}
	return -1;
}

const char *kist_env_get(char *const *env, const char *key)
{
	size_t n = strlen(key);
	ssize_t i = env_find(env, key, n);

	return i < 0 ? NULL : env[i] + n + 1;
}

void kist_env_set(char ***env, const char *key, const char *value)
{
	ssize_t i = env_find(*env, key, strlen(key));
	char *entry = kist_asprintf("%s=%s", key, value ? value : "");

	if (i < 0) {
		kist_strv_take(env, entry);
		return;
	}
	free((*env)[i]);
	(*env)[i] = entry;
}

void kist_env_put(char ***env, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	char *key KIST_FREE = NULL;

	key = kist_strndup(assignment, equals ? (size_t)(equals - assignment) : strlen(assignment));
	kist_env_set(env, key, equals ? equals + 1 : "");
}

void kist_env_unset(char ***env, const char *key)
{
	size_t n = strlen(key), to = 0;

	if (!*env)
		return;
	for (size_t i = 0; (*env)[i]; i++) {
		if (strncmp((*env)[i], key, n) == 0 && (*env)[i][n] == '=')
			free((*env)[i]);
		else
			(*env)[to++] = (*env)[i];
	}
	(*env)[to] = NULL;
}

bool kist_has_prefix(const char *s, const char *prefix)
{
	return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool kist_has_suffix(const char *s, const char *suffix)
{
	size_t n = s ? strlen(s) : 0, m = strlen(suffix);

	return s && n >= m && memcmp(s + n - m, suffix, m) == 0;
}
