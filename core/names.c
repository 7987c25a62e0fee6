/* Names of containers and pods: the rule, the generator, and taking them. A name is taken by making the link
 * names/NAME, which the kernel does for one caller only. */
#include "core/internal.h"
#include "core/pod.h"

#include "core/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 255

static const char *const link_prefixes[] = {
	[KIST_NAMED_CONTAINER] = "../containers/",
	[KIST_NAMED_POD] = "../pods/",
};
static const char *const kinds[] = { [KIST_NAMED_CONTAINER] = "container", [KIST_NAMED_POD] = "pod" };

static bool is_alnum(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
}

int kist_name_check(const char *name, struct kist_error *err)
{
	size_t n = strlen(name);
	bool good = n > 0 && n <= NAME_MAX_LENGTH && is_alnum(name[0]);

	for (size_t i = 1; good && i < n; i++)
		good = is_alnum(name[i]) || strchr("_.-", name[i]);
	if (good)
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, 0,
	                 "name '%.80s' must match [a-zA-Z0-9][a-zA-Z0-9_.-]* and have at most %d characters", name,
	                 NAME_MAX_LENGTH);
}

/* Where a name points, without asking whether that container is still there. */
static int name_target(struct kist *k, const char *name, enum kist_named *kind, char id[65])
{
	char target[96];
	ssize_t n = readlinkat(k->names, name, target, sizeof(target) - 1);

	if (n < 0)
		return errno == EINVAL ? -EBADMSG : -errno;
	target[n] = '\0';
	for (size_t i = 0; i < KIST_COUNT(link_prefixes); i++) {
		size_t prefix = strlen(link_prefixes[i]);
		if (!kist_has_prefix(target, link_prefixes[i]) || (size_t)n != prefix + 64)
			continue;
		memcpy(id, target + prefix, 65);
		*kind = (enum kist_named)i;
		return 0;
	}
	return -EBADMSG;
}

/* A name is stale when what has it has no record, or has another name by now, and nobody is at work on it. */
static bool name_is_stale(struct kist *k, const char *name, const char *id)
{
	struct kist_container *c = NULL;
	KIST_CLOSE int run = openat(k->run_containers, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KIST_CLOSE int lock = run < 0 ? -1 : kist_lock(run, "lock", true, true);

	if (run >= 0 && lock < 0)
		return false;
	int r = kist_container_load(k, id, &c, NULL);
	/* Any other failure leaves the name with its holder: a damaged record keeps it until it is evicted. */
	bool stale = r == -ENOENT || (r == 0 && !kist_streq(kist_container_name(c), name));
	kist_container_free(c);
	return stale;
}

int kist_name_claim(struct kist *k, enum kist_named kind, const char *name, const char *id, struct kist_error *err)
{
	KIST_FREE char *target = kist_asprintf("%s%s", link_prefixes[kind], id);
	enum kist_named holds;
	char holder[65];

	if (symlinkat(target, k->names, name) == 0)
		return 0;
	if (errno != EEXIST)
		return kist_fail_errno(err, errno, "take name '%s'", name);

	KIST_CLOSE int lock = kist_lock(k->names, ".lock", true, false);
	if (lock < 0)
		return kist_fail_errno(err, -lock, "take name '%s': lock", name);
	int r = name_target(k, name, &holds, holder);
	bool stale = r == 0 && (holds == KIST_NAMED_POD ? kist_pod_name_is_stale(k, name, holder)
	                                                : name_is_stale(k, name, holder));
	if (r == 0 && !stale) {
		kist_fail(err, KIST_ERR_EXISTS, EEXIST, "the name '%s' is in use by %s %.12s", name, kinds[holds],
		          holder);
		return kist_remedy(err, holds == KIST_NAMED_POD ? "remove that one, or choose another name"
		                                                : "remove or rename that one, or choose another name");
	}
	if (r != -ENOENT && unlinkat(k->names, name, 0) < 0 && errno != ENOENT)
		return kist_fail_errno(err, errno, "take over stale name '%s'", name);
	if (symlinkat(target, k->names, name) == 0)
		return 0;
	return errno == EEXIST ? kist_fail(err, KIST_ERR_EXISTS, EEXIST, "the name '%s' is in use", name)
	                       : kist_fail_errno(err, errno, "take name '%s'", name);
}

static bool is_held_by(struct kist *k, const char *name, const char *id)
{
	enum kist_named kind;
	char holder[65];

	return name && name_target(k, name, &kind, holder) == 0 && kist_streq(holder, id);
}

void kist_name_release(struct kist *k, const char *name, const char *id)
{
	if (is_held_by(k, name, id))
		unlinkat(k->names, name, 0);
}

void kist_name_release_into(struct kist *k, const char *name, const char *id, int dir)
{
	if (is_held_by(k, name, id) && (dir < 0 || renameat(k->names, name, dir, KIST_NAME_LEFT) < 0))
		unlinkat(k->names, name, 0);
}

int kist_name_find(struct kist *k, enum kist_named kind, const char *name, char id[65])
{
	enum kist_named found;
	char holder[65];

	if (kist_name_check(name, NULL) < 0)
		return -ENOENT;
	int r = name_target(k, name, &found, holder);
	if (r == -EBADMSG || (r == 0 && found != kind))
		return -ENOENT;
	if (r == 0)
		memcpy(id, holder, sizeof(holder));
	return r;
}

static const char *const adjectives[] = {
	"able",   "agile",   "amber",    "ample",  "ardent",   "avid",    "azure",   "bold",    "brave",  "breezy",
	"bright", "brisk",   "calm",     "candid", "clever",   "cosmic",  "crisp",   "curious", "daring", "deft",
	"eager",  "earnest", "epic",     "fair",   "fearless", "fervent", "fleet",   "fond",    "frank",  "gentle",
	"glad",   "golden",  "grand",    "happy",  "hardy",    "honest",  "humble",  "jolly",   "jovial", "keen",
	"kind",   "lively",  "loyal",    "lucid",  "lucky",    "mellow",  "merry",   "mighty",  "modest", "nimble",
	"noble",  "patient", "peaceful", "placid", "plucky",   "polite",  "proud",   "quick",   "quiet",  "radiant",
	"ready",  "robust",  "serene",   "sharp",  "silent",   "silver",  "sincere", "smart",   "snug",   "sober",
	"solid",  "spry",    "stable",   "steady", "stoic",    "strong",  "sturdy",  "subtle",  "sunny",  "swift",
	"tender", "thrifty", "tidy",     "tough",  "tranquil", "trusty",  "upbeat",  "valiant", "vivid",  "warm",
	"wise",   "witty",   "zealous",  "zesty",
};

/* People whose work this program stands on: operating systems, networks, languages, algorithms. */
static const char *const surnames[] = {
	"allen",     "backus",   "bartik",   "berners",    "boole",    "brooks",     "carmack",   "cerf",
	"church",    "clarke",   "codd",     "conway",     "cook",     "corbato",    "cox",       "cray",
	"dahl",      "diffie",   "dijkstra", "easley",     "eckert",   "engelbart",  "estrin",    "feinler",
	"floyd",     "goldberg", "gosling",  "gray",       "hamilton", "hamming",    "hellman",   "hoare",
	"holberton", "hopper",   "huffman",  "ingalls",    "jacobson", "johnson",    "joy",       "kahn",
	"karp",      "kay",      "keller",   "kernighan",  "kildall",  "kleene",     "kleinrock", "knuth",
	"lamarr",    "lamport",  "lampson",  "liskov",     "lovelace", "mauchly",    "mccarthy",  "mcilroy",
	"merkle",    "metcalfe", "milner",   "minsky",     "moore",    "naur",       "neumann",   "newell",
	"noether",   "nygaard",  "ossanna",  "perlis",     "perlman",  "pike",       "postel",    "rabin",
	"reynolds",  "ritchie",  "rivest",   "roberts",    "saltzer",  "sammet",     "scott",     "shamir",
	"shannon",   "spence",   "stallman", "stroustrup", "strachey", "sutherland", "tanenbaum", "tarjan",
	"thompson",  "torvalds", "turing",   "wilkes",     "wing",     "wirth",      "zuse",
};

int kist_name_generate(struct kist *k, enum kist_named kind, const char *id, char **name, struct kist_error *err)
{
	for (unsigned attempt = 0; attempt < 64; attempt++) {
		uint32_t random[3];
		struct kist_error taken = { 0 };

		kist_random(random, sizeof(random));
		const char *adjective = adjectives[random[0] % KIST_COUNT(adjectives)];
		const char *surname = surnames[random[1] % KIST_COUNT(surnames)];
		/* With thousands of containers most pairs are taken: a number widens the space. */
		KIST_FREE char *candidate = attempt < 4
		                                    ? kist_asprintf("%s_%s", adjective, surname)
		                                    : kist_asprintf("%s_%s%u", adjective, surname, random[2] % 100000);
		int r = kist_name_claim(k, kind, candidate, id, &taken);
		if (r == 0) {
			*name = kist_steal(&candidate);
			return 0;
		}
		if (taken.kind != KIST_ERR_EXISTS) {
			if (err)
				*err = taken;
			return r;
		}
	}
	return kist_fail(err, KIST_ERR_EXISTS, EEXIST, "no free name found: give one with --name");
}
