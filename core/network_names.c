/* Names of containers on networks that answer them: what the monitor's DNS server looks up.
 *
 *   runroot/net/NAME/names/WORD/ID   one line of addresses; WORD is lower case
 *   runroot/net/NAME/ids/ID          the words of a container, one a line, the container's name first
 *
 * A look-up opens one directory however many containers there are, and a name is gone with its file. */
#include "core/network.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_LENGTH 4096u

static int subdirectory(int dir, const char *name, bool make)
{
	if (make && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void add_word(char ***words, const char *word)
{
	KIST_FREE char *lower = kist_strdup(word);

	for (char *ch = lower; *ch; ch++)
		if (*ch >= 'A' && *ch <= 'Z')
			*ch = (char)(*ch - 'A' + 'a');
	/* A word is a file name. */
	if (*lower && strlen(lower) < 200 && !strchr(lower, '/') && lower[0] != '.' && !kist_strv_has(*words, lower))
		kist_strv_add(words, lower);
}

static char **words_of(const struct kist_container *c, const char *network)
{
	KIST_FREE char *short_id = kist_strndup(c->config.id, 12);
	KIST_FREE char *hostname = kist_plan_hostname(&c->config);
	char **words = NULL;

	add_word(&words, c->config.name);
	add_word(&words, short_id);
	if (hostname)
		add_word(&words, hostname);
	for (size_t i = 0; i < c->config.n_networks; i++) {
		if (!kist_streq(c->config.networks[i].name, network))
			continue;
		for (char **alias = c->config.networks[i].aliases; alias && *alias; alias++)
			add_word(&words, *alias);
	}
	return words;
}

void kist_network_names_add(struct kist_container *c, const struct kist_network_state *place)
{
	KIST_CLOSE int dir = kist_network_run_dir(c->k, place->name, true);
	KIST_CLOSE int names = dir < 0 ? -1 : subdirectory(dir, "names", true);
	KIST_CLOSE int ids = dir < 0 ? -1 : subdirectory(dir, "ids", true);
	KIST_STRV char **words = words_of(c, place->name);
	KIST_STR struct kist_str line = { 0 };

	if (names < 0 || ids < 0 || !place->addresses)
		return;
	KIST_FREE char *all = kist_strv_join(words, "\n");
	/* First what finds the names again, then the names. */
	if (kist_replace_file(ids, c->config.id, all, strlen(all), 0600, 0) < 0)
		return;
	for (size_t i = 0; place->addresses[i]; i++)
		kist_str_addf(&line, "%.*s\n", (int)strcspn(place->addresses[i], "/"), place->addresses[i]);
	for (size_t i = 0; words[i]; i++) {
		/* The last one to leave removes the directory. */
		for (int tries = 0; tries < 10; tries++) {
			KIST_CLOSE int word = subdirectory(names, words[i], true);
			if (word >= 0 &&
			    kist_replace_file(word, c->config.id, kist_str_get(&line), line.len, 0600, 0) == 0)
				break;
		}
	}
}

void kist_network_names_remove(struct kist *k, const char *network, const char *id)
{
	KIST_CLOSE int dir = kist_network_run_dir(k, network, false);
	KIST_CLOSE int names = dir < 0 ? -1 : subdirectory(dir, "names", false);
	KIST_CLOSE int ids = dir < 0 ? -1 : subdirectory(dir, "ids", false);
	KIST_STR struct kist_str text = { 0 };

	if (names < 0 || ids < 0 || kist_read_file(ids, id, LINE_MAX_LENGTH * 16, &text) < 0)
		return;
	KIST_STRV char **words = kist_strv_split(kist_str_get(&text), '\n');
	for (size_t i = 0; words && words[i]; i++) {
		KIST_CLOSE int word = subdirectory(names, words[i], false);
		if (word < 0)
			continue;
		unlinkat(word, id, 0);
		unlinkat(names, words[i], AT_REMOVEDIR); /* refused while others have the name */
	}
	unlinkat(ids, id, 0);
}

/* --- looking up -----------------------------------------------------------------------------------------------------
 */

static size_t read_addresses(int word, const char *id, struct kist_net_addr *out, size_t room)
{
	KIST_STR struct kist_str text = { 0 };
	size_t n = 0;

	if (kist_read_file(word, id, LINE_MAX_LENGTH, &text) < 0)
		return 0;
	KIST_STRV char **lines = kist_strv_split(kist_str_get(&text), '\n');
	for (size_t i = 0; lines && lines[i] && n < room; i++)
		if (kist_net_addr_parse(lines[i], &out[n]) == 0)
			n++;
	return n;
}

size_t kist_network_names_find(struct kist *k, const char *network, const char *name, struct kist_net_addr *out,
                               size_t room)
{
	size_t n = 0;

	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) >= 200)
		return 0;
	KIST_CLOSE int dir = kist_network_run_dir(k, network, false);
	KIST_CLOSE int names = dir < 0 ? -1 : subdirectory(dir, "names", false);
	int word = names < 0 ? -1 : subdirectory(names, name, false);
	DIR *list = word < 0 ? NULL : fdopendir(word);
	for (struct dirent *entry; list && n < room && (entry = readdir(list));)
		if (entry->d_name[0] != '.')
			n += read_addresses(word, entry->d_name, out + n, room - n);
	if (list)
		closedir(list);
	return n;
}

char *kist_network_names_of(struct kist *k, const char *network, const struct kist_net_addr *addr)
{
	char text[KIST_NET_ADDR_TEXT];
	KIST_CLOSE int dir = kist_network_run_dir(k, network, false);
	KIST_CLOSE int leases = dir < 0 ? -1 : subdirectory(dir, "leases", false);
	KIST_CLOSE int ids = dir < 0 ? -1 : subdirectory(dir, "ids", false);
	KIST_STR struct kist_str owner = { 0 };
	KIST_STR struct kist_str words = { 0 };

	if (leases < 0 || ids < 0 || kist_read_file(leases, kist_net_addr_text(text, addr), 512, &owner) < 0)
		return NULL;
	KIST_FREE char *id = kist_strndup(kist_str_get(&owner), strcspn(kist_str_get(&owner), "\n"));
	if (!*id || strchr(id, '/') || kist_read_file(ids, id, LINE_MAX_LENGTH * 16, &words) < 0)
		return NULL;
	return kist_strndup(kist_str_get(&words), strcspn(kist_str_get(&words), "\n"));
}

bool kist_network_answers_names(const struct kist_container *c)
{
	bool answers = false;

	for (size_t i = 0; !answers && i < c->state.n_networks; i++) {
		struct kist_net_network network;
		if (kist_network_load(c->k, c->state.networks[i].name, &network, NULL) < 0)
			continue;
		answers = network.dns && network.driver == KIST_NET_BRIDGE;
		kist_net_network_release(&network);
	}
	return answers;
}
