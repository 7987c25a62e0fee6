/* /etc/hosts of a container: its text, and its changes while it runs. */
#include "core/network.h"
#include "core/plan.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_FILE_MAX (1u << 20)

/* The host as its containers see it: the first gateway. */
static const char *host_gateway(const struct kist_container *c)
{
	for (size_t i = 0; i < c->state.n_networks; i++)
		if (c->state.networks[i].gateways)
			return c->state.networks[i].gateways[0];
	return NULL;
}

static bool is_address(const char *text)
{
	struct kist_net_addr address;

	return kist_net_addr_parse(text, &address) == 0;
}

/* Of a link, too: "fe80::1%eth0". */
static bool is_server(const char *text)
{
	KIST_FREE char *address = kist_strndup(text, strcspn(text, "%"));

	return is_address(address) && (!text[strlen(address)] || (strchr(address, ':') && !strpbrk(text, " \t\n")));
}

static int check_words(char *const *words, const char *what, struct kist_error *err)
{
	for (; words && *words; words++)
		if (!**words || strpbrk(*words, " \t\n"))
			return kist_fail(err, KIST_ERR_INVALID, 0, "%s '%s': expected one word", what, *words);
	return 0;
}

int kist_hosts_check(const struct kist_container_config *config, struct kist_error *err)
{
	for (char **entry = config->add_hosts; entry && *entry; entry++) {
		const char *colon = strchr(*entry, ':');
		if (!colon || colon == *entry || strpbrk(*entry, " \t\n#") ||
		    (!kist_streq(colon + 1, "host-gateway") && !is_address(colon + 1)))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "host entry '%s': expected NAME:ADDRESS, or NAME:host-gateway", *entry);
	}
	bool none = config->dns_servers && kist_streq(config->dns_servers[0], "none") && !config->dns_servers[1];
	for (char **server = config->dns_servers; server && *server && !none; server++)
		if (!is_server(*server))
			return kist_fail(err, KIST_ERR_INVALID, 0,
			                 "DNS server '%s': expected an address, or none alone", *server);
	/* The files are the owner's. */
	if (kist_has_prefix(config->net_ns, "container:") &&
	    (config->dns_servers || config->dns_search || config->dns_options || config->add_hosts))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--dns, --dns-search, --dns-option and --add-host are for the container whose network "
		                 "it shares");
	if (config->no_hosts && config->add_hosts)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--no-hosts and --add-host exclude each other");
	if (kist_strv_has(config->dns_search, ".") && config->dns_search[1])
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "DNS search domain '.' stands for none: there can be no others");
	int r = check_words(config->dns_search, "DNS search domain", err);
	return r < 0 ? r : check_words(config->dns_options, "DNS option", err);
}

static int add_hosts_entries(const struct kist_container *c, bool host_net, struct kist_str *text,
                             struct kist_error *err)
{
	char *const *entries = c->config.add_hosts;

	for (size_t i = 0; entries && entries[i]; i++) {
		const char *entry = entries[i], *colon = strchr(entry, ':');
		if (!colon)
			return kist_fail(err, KIST_ERR_INVALID, 0, "host entry '%s': expected NAME:ADDRESS", entry);
		const char *address = colon + 1;
		if (kist_streq(address, "host-gateway"))
			address = host_net ? "127.0.0.1" : host_gateway(c);
		if (!address)
			return kist_fail(err, KIST_ERR_INVALID, 0, "host entry '%s': the container has no gateway",
			                 entry);
		/* Several names can have one address: "a;b:ADDRESS". */
		KIST_FREE char *names = kist_strndup(entry, (size_t)(colon - entry));
		for (char *ch = names; *ch; ch++)
			if (*ch == ';')
				*ch = ' ';
		kist_str_addf(text, "%s\t%s\n", address, names);
	}
	return 0;
}

void kist_hosts_own(const struct kist_container *c, struct kist_str *text)
{
	const char *gateway = host_gateway(c);
	KIST_FREE char *hostname = kist_plan_hostname(&c->config);
	bool own = false;

	if (gateway)
		kist_str_addf(text, "%s\thost.containers.internal host.docker.internal\n", gateway);
	for (size_t i = 0; i < c->state.n_networks; i++) {
		char *const *addresses = c->state.networks[i].addresses;
		for (size_t j = 0; addresses && addresses[j]; j++) {
			kist_str_addf(text, "%.*s\t%s%s%s\n", (int)strcspn(addresses[j], "/"), addresses[j],
			              hostname ? hostname : "", hostname ? " " : "", c->config.name);
			own = true;
		}
	}
	if (!own && hostname)
		kist_str_addf(text, "127.0.0.1\t%s %s\n", hostname, c->config.name);
}

/* rootfs: -1 when it is not at hand. */
static int add_base(const struct kist_container *c, int rootfs, struct kist_str *text, struct kist_error *err)
{
	const char *base = c->config.hosts_file;
	KIST_STR struct kist_str file = { 0 };
	struct stat st;

	if (kist_empty(base) || kist_streq(base, "none"))
		return 0;
	bool image = kist_streq(base, "image");
	KIST_CLOSE int fd = image ? kist_open_in_root(rootfs, "/etc/hosts", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0)
	                          : open(base, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && image)
		return 0;
	if (fd < 0)
		return kist_fail_errno(err, errno, "hosts file %s", base);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return image ? 0 : kist_fail(err, KIST_ERR_INVALID, 0, "hosts file %s is not a file", base);
	int r = kist_read_fd(fd, HOST_FILE_MAX, &file);
	if (r < 0)
		return kist_fail_errno(err, -r, "hosts file %s", base);
	kist_str_add(text, kist_str_get(&file));
	if (text->len && text->data[text->len - 1] != '\n')
		kist_str_addc(text, '\n');
	return 0;
}

int kist_hosts_text(const struct kist_container *c, int rootfs, bool host_net, struct kist_str *text,
                    struct kist_error *err)
{
	int r = add_hosts_entries(c, host_net, text, err);

	if (r == 0)
		r = add_base(c, rootfs, text, err);
	if (r < 0)
		return r;
	if (host_net && kist_empty(c->config.hosts_file)) {
		plan_read_host("/etc/hosts", text);
	} else {
		kist_str_add(text,
		             "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n");
		kist_hosts_own(c, text);
	}
	return 0;
}

/* --- while it is in use ---------------------------------------------------------------------------------------------
 */

char *kist_hosts_shared_line(const struct kist_container *c)
{
	KIST_FREE char *hostname = kist_plan_hostname(&c->config);

	return kist_asprintf("127.0.0.1\t%s%s%s\n", hostname ? hostname : "", hostname ? " " : "", c->config.name);
}

static char **lines_of(const char *text)
{
	char **lines = kist_strv_split(text, '\n');
	size_t n = kist_strv_len(lines);

	/* What follows the last line's end. */
	if (n && !*lines[n - 1]) {
		free(lines[n - 1]);
		lines[n - 1] = NULL;
	}
	return lines;
}

/* Without the lines of 'before', and with those of 'after' at its end. */
static void change_text(const char *old, const char *before, const char *after, struct kist_str *text)
{
	KIST_STRV char **lines = lines_of(old), **drop = lines_of(before), **add = lines_of(after);

	for (size_t i = 0; lines && lines[i]; i++)
		if (!kist_strv_has(drop, lines[i]) || kist_strv_has(add, lines[i]))
			kist_str_addf(text, "%s\n", lines[i]);
	for (size_t i = 0; add && add[i]; i++)
		if (!kist_strv_has(lines, add[i]))
			kist_str_addf(text, "%s\n", add[i]);
}

/* In place: the file is mounted in the container, and a rename would leave the old one there. One write, then the end:
 * a reader in between sees old lines at worst. */
static int write_in_place(int fd, const struct kist_str *text)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	int r = kist_write_all(fd, kist_str_get(text), text->len);
	return r == 0 && ftruncate(fd, (off_t)text->len) < 0 ? -errno : r;
}

int kist_run_file_rewrite(struct kist *k, const char *id, const char *name, const char *before, const char *after,
                          struct kist_error *err)
{
	KIST_STR struct kist_str old = { 0 }, text = { 0 };

	if (kist_streq(before, after))
		return 0;
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	KIST_CLOSE int fd = run < 0 ? -1 : openat(run, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0; /* the user's own is mounted there */
	/* Not the file itself: its container could hold a lock on that. */
	KIST_CLOSE int lock = kist_lock(run, KIST_NAMES_LOCK, true, false);
	int r = lock < 0 ? lock : kist_read_fd(fd, HOST_FILE_MAX, &old);
	if (r >= 0) {
		change_text(kist_str_get(&old), before, after, &text);
		r = write_in_place(fd, &text);
	}
	return r < 0 ? kist_fail_errno(err, -r, "write %s of container %.12s", name, id) : 0;
}
