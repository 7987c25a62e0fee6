#include "net/sysctl.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int open_value(const char *name, int flags)
{
	char path[128];

	int len = snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int kist_net_sysctl_read(const char *name)
{
	char text[16] = { 0 };
	uint32_t value;

	KIST_CLOSE int fd = open_value(name, O_RDONLY);
	if (fd < 0)
		return fd;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[strcspn(text, "\n")] = '\0';
	return kist_parse_u32(text, &value) < 0 || value > INT32_MAX ? -EINVAL : (int)value;
}

static bool is_already(const struct kist_net_sysctl *value)
{
	uint32_t wanted;

	return kist_parse_u32(value->value, &wanted) == 0 && kist_net_sysctl_read(value->name) == (int)wanted;
}

int kist_net_sysctl_write(const struct kist_net_sysctl *values, size_t n, struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(values[i].value);
		KIST_CLOSE int fd = open_value(values[i].name, O_WRONLY);
		int r = fd;

		if (fd == -ENOENT)
			continue;
		if (fd >= 0)
			r = write(fd, values[i].value, len) == (ssize_t)len ? 0 : -errno;
		if (r < 0 && !is_already(&values[i]))
			return kist_fail_errno(err, -r, "write %s to /proc/sys/net/%s", values[i].value,
			                       values[i].name);
	}
	return 0;
}

int kist_net_sysctl_write_link6(const char *link, const struct kist_net_sysctl *values, size_t n,
                                struct kist_error *err)
{
	for (size_t i = 0; i < n; i++) {
		KIST_FREE char *name = kist_asprintf("ipv6/conf/%s/%s", link, values[i].name);
		struct kist_net_sysctl value = { name, values[i].value };

		int r = kist_net_sysctl_write(&value, 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}
