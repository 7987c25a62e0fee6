/* The processes of a container, by /proc alone: nothing of the container's is run (CVE-2022-1227), and of its files
 * only passwd and group are read, in-root and as plain files. */
#include "core/view.h"

#include "cgroup/cgroup.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"
#include "ns/ns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX   (1u << 20) /* of passwd and group */
#define STATUS_MAX  (64u << 10)
#define COMMAND_MAX (64u << 10)

struct process {
	pid_t pid;   /* on the host */
	pid_t inner; /* in the container's pid namespace */
	struct kist_proc_stat stat;
	struct kist_str status; /* /proc/PID/status */
};

struct top {
	struct kist_container *c;
	struct process *list;
	size_t n;
	size_t depth; /* of the container's pid namespace below ours: which of NSpid's numbers is its own */
	struct kist_str passwd, group, host_passwd, host_group;
	struct kist_str uid_map, gid_map;
};

/* --- reading /proc --------------------------------------------------------------------------------------------------
 */

static int proc_read(pid_t pid, const char *file, size_t max, struct kist_str *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : kist_read_fd(fd, max, out);
}

/* The first bytes of a file that may be longer. */
static void proc_read_some(pid_t pid, const char *file, size_t max, struct kist_str *out)
{
	char path[64], block[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	KIST_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && out->len < max && (n = read(fd, block, sizeof(block))) > 0)
		kist_str_addn(out, block, (size_t)n);
}

/* Word number index of a line of status: "Uid:\t0\t0\t0\t0". The caller frees; NULL: there is none. */
static char *status_word(const struct process *p, const char *key, size_t index)
{
	const char *at = kist_str_get(&p->status);
	size_t n = strlen(key);

	while (at && !(strncmp(at, key, n) == 0 && at[n] == ':')) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return NULL;
	at += n + 1;
	for (;; index--) {
		at += strspn(at, " \t");
		size_t length = strcspn(at, " \t\n");
		if (length == 0)
			return NULL;
		if (index == 0)
			return kist_strndup(at, length);
		at += length;
	}
}

static uint32_t status_number(const struct process *p, const char *key, size_t index)
{
	KIST_FREE char *word = status_word(p, key, index);
	uint32_t value = 0;

	if (word)
		kist_parse_u32(word, &value);
	return value;
}

/* --- names ----------------------------------------------------------------------------------------------------------
 */

static void names_read(int root, const char *path, struct kist_str *out)
{
	struct stat st;
	/* By path first: opening a FIFO waits and opening a device may act (CVE-2024-9676). */
	KIST_CLOSE int there = kist_open_in_root(root, path, O_PATH | O_CLOEXEC, 0);

	if (there < 0 || fstat(there, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > NAMES_MAX)
		return;
	KIST_CLOSE int fd = kist_reopen(there, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		kist_read_fd(fd, NAMES_MAX, out);
}

/* NAME:x:ID of passwd or group; the number itself when nobody has it. The caller frees. */
static char *name_of(const struct kist_str *text, uint32_t id)
{
	char number[16];
	size_t n = (size_t)snprintf(number, sizeof(number), "%u", id);

	for (const char *line = kist_str_get(text); *line;) {
		const char *end = strchrnul(line, '\n'), *first = memchr(line, ':', (size_t)(end - line));
		const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;
		if (second && first > line && (size_t)(end - second) > n && memcmp(second + 1, number, n) == 0 &&
		    (second + 1 + n == end || second[1 + n] == ':'))
			return kist_strndup(line, (size_t)(first - line));
		line = *end ? end + 1 : end;
	}
	return kist_strdup(number);
}

/* An id of ours in the container's user namespace: lines of 'inside outside count'. */
static uint32_t id_inside(const struct kist_str *map, uint32_t id)
{
	KIST_STRV char **lines = kist_strv_split(kist_str_get(map), '\n');

	for (size_t i = 0; lines && lines[i]; i++) {
		uint32_t numbers[3] = { 0, 0, 0 };
		const char *at = lines[i];
		size_t n = 0;
		for (; n < 3; n++) {
			at += strspn(at, " \t");
			KIST_FREE char *word = kist_strndup(at, strcspn(at, " \t"));
			if (kist_parse_u32(word, &numbers[n]) < 0)
				break;
			at += strlen(word);
		}
		if (n == 3 && id >= numbers[1] && id - numbers[1] < numbers[2])
			return numbers[0] + (id - numbers[1]);
	}
	return lines && lines[0] && *lines[0] ? 65534 : id;
}

static char *user_name(const struct top *t, const struct process *p, size_t which)
{
	return name_of(&t->passwd, id_inside(&t->uid_map, status_number(p, "Uid", which)));
}

static char *group_name(const struct top *t, const struct process *p, size_t which)
{
	return name_of(&t->group, id_inside(&t->gid_map, status_number(p, "Gid", which)));
}

static char *group_names(const struct top *t, const struct process *p, bool host)
{
	KIST_STR struct kist_str out = { 0 };
	KIST_FREE char *word = NULL;

	for (size_t i = 0; (word = status_word(p, "Groups", i)); i++) {
		uint32_t id = 0;
		kist_parse_u32(word, &id);
		KIST_FREE char *name =
		        host ? name_of(&t->host_group, id) : name_of(&t->group, id_inside(&t->gid_map, id));
		kist_str_addf(&out, "%s%s", i ? "," : "", name);
		free(kist_steal(&word));
	}
	return kist_str_take(&out);
}

/* --- columns --------------------------------------------------------------------------------------------------------
 */

typedef char *top_field(const struct top *t, const struct process *p);

static char *field_user(const struct top *t, const struct process *p)
{
	return user_name(t, p, 1);
}

static char *field_ruser(const struct top *t, const struct process *p)
{
	return user_name(t, p, 0);
}

static char *field_huser(const struct top *t, const struct process *p)
{
	return name_of(&t->host_passwd, status_number(p, "Uid", 1));
}

static char *field_group(const struct top *t, const struct process *p)
{
	return group_name(t, p, 1);
}

static char *field_rgroup(const struct top *t, const struct process *p)
{
	return group_name(t, p, 0);
}

static char *field_hgroup(const struct top *t, const struct process *p)
{
	return name_of(&t->host_group, status_number(p, "Gid", 1));
}

static char *field_groups(const struct top *t, const struct process *p)
{
	return group_names(t, p, false);
}

static char *field_hgroups(const struct top *t, const struct process *p)
{
	return group_names(t, p, true);
}

static char *field_pid(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%d", p->inner);
}

static char *field_hpid(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%d", p->pid);
}

/* 0: the parent is outside. */
static char *field_ppid(const struct top *t, const struct process *p)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].pid == p->stat.ppid)
			return kist_asprintf("%d", t->list[i].inner);
	return kist_asprintf("%d", t->depth ? 0 : p->stat.ppid);
}

static char *field_pgid(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%u", status_number(p, "NSpgid", t->depth));
}

static int64_t ticks_ns(uint64_t ticks)
{
	long hertz = sysconf(_SC_CLK_TCK);

	return (int64_t)(ticks * (uint64_t)(KIST_NSEC_PER_SEC / (hertz > 0 ? hertz : 100)));
}

static int64_t elapsed_ns(const struct process *p)
{
	int64_t ns = kist_now_boot() - ticks_ns(p->stat.start);

	return ns < 0 ? 0 : ns;
}

static char *field_pcpu(const struct top *t, const struct process *p)
{
	int64_t elapsed = elapsed_ns(p);
	double used = (double)ticks_ns(p->stat.utime + p->stat.stime);

	(void)t;
	return kist_asprintf("%.3f", elapsed > 0 ? used / (double)elapsed * 100 : 0);
}

static char *field_etime(const struct top *t, const struct process *p)
{
	char text[40];

	(void)t;
	return kist_strdup(kist_duration_format(text, elapsed_ns(p)));
}

static char *field_time(const struct top *t, const struct process *p)
{
	char text[40];

	(void)t;
	return kist_strdup(kist_duration_format(text, ticks_ns(p->stat.utime + p->stat.stime)));
}

static char *field_stime(const struct top *t, const struct process *p)
{
	char text[40];

	(void)t;
	kist_time_format(text, kist_now_wall() - elapsed_ns(p), false);
	text[19] = '\0';
	return kist_strdup(text);
}

static char *field_tty(const struct top *t, const struct process *p)
{
	uint32_t major = p->stat.tty >> 8 & 0xfff, minor = (p->stat.tty & 0xff) | (p->stat.tty >> 12 & 0xfff00);

	(void)t;
	if (major >= 136 && major <= 143)
		return kist_asprintf("pts/%u", minor + ((major - 136) << 20));
	if (major == 4)
		return minor < 64 ? kist_asprintf("tty%u", minor) : kist_asprintf("ttyS%u", minor - 64);
	return kist_strdup("?");
}

static char *field_comm(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_strdup(p->stat.comm);
}

static char *field_args(const struct top *t, const struct process *p)
{
	KIST_STR struct kist_str text = { 0 };

	(void)t;
	proc_read_some(p->pid, "cmdline", COMMAND_MAX, &text);
	while (text.len && text.data[text.len - 1] == '\0')
		text.len--;
	if (text.len == 0)
		return kist_asprintf("[%s]", p->stat.comm);
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '\0')
			text.data[i] = ' ';
	return kist_strndup(text.data, text.len);
}

static char *field_state(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%c", p->stat.state);
}

static char *field_rss(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%llu", (unsigned long long)(p->stat.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024));
}

static char *field_vsz(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%llu", (unsigned long long)(p->stat.vsize / 1024));
}

static char *field_nice(const struct top *t, const struct process *p)
{
	(void)t;
	return kist_asprintf("%d", getpriority(PRIO_PROCESS, (id_t)p->pid));
}

static char *field_seccomp(const struct top *t, const struct process *p)
{
	static const char *const modes[] = { "disabled", "strict", "filter" };
	uint32_t mode = status_number(p, "Seccomp", 0);

	(void)t;
	return kist_strdup(mode < KIST_COUNT(modes) ? modes[mode] : "?");
}

static char *field_label(const struct top *t, const struct process *p)
{
	KIST_STR struct kist_str text = { 0 };

	(void)t;
	if (proc_read(p->pid, "attr/current", 4096, &text) < 0 || text.len == 0)
		return kist_strdup("?");
	return kist_strndup(text.data, strcspn(text.data, "\n"));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char *caps_text(const struct process *p, const char *key)
{
	KIST_FREE char *hex = status_word(p, key, 0);
	KIST_STR struct kist_str out = { 0 };
	const char *names[64];
	char *end = NULL;
	uint64_t bits = hex ? strtoull(hex, &end, 16) : 0, all = 0;

	size_t count = 0;

	for (unsigned n = 0; n < 64 && kist_ns_cap_name(n); n++) {
		all |= 1ULL << n;
		if (bits & 1ULL << n)
			names[count++] = kist_ns_cap_name(n) + strlen("CAP_");
	}
	if (bits == 0)
		return kist_strdup("none");
	if (bits == all)
		return kist_strdup("full");
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++)
		kist_str_addf(&out, "%s%s", i ? "," : "", names[i]);
	return kist_str_take(&out);
}

static char *field_capamb(const struct top *t, const struct process *p)
{
	(void)t;
	return caps_text(p, "CapAmb");
}

static char *field_capbnd(const struct top *t, const struct process *p)
{
	(void)t;
	return caps_text(p, "CapBnd");
}

static char *field_capeff(const struct top *t, const struct process *p)
{
	(void)t;
	return caps_text(p, "CapEff");
}

static char *field_capinh(const struct top *t, const struct process *p)
{
	(void)t;
	return caps_text(p, "CapInh");
}

static char *field_capprm(const struct top *t, const struct process *p)
{
	(void)t;
	return caps_text(p, "CapPrm");
}

static const struct top_row {
	const char *name, *aix; /* "%U": as ps(1) of AIX has it */
	const char *title;
	top_field *field;
} rows[] = {
	{ "args", "%a", "COMMAND", field_args },
	{ "capamb", NULL, "AMBIENT CAPS", field_capamb },
	{ "capbnd", NULL, "BOUNDING CAPS", field_capbnd },
	{ "capeff", NULL, "EFFECTIVE CAPS", field_capeff },
	{ "capinh", NULL, "INHERITED CAPS", field_capinh },
	{ "capprm", NULL, "PERMITTED CAPS", field_capprm },
	{ "comm", "%c", "COMMAND", field_comm },
	{ "etime", "%t", "ELAPSED", field_etime },
	{ "group", "%G", "GROUP", field_group },
	{ "groups", NULL, "GROUPS", field_groups },
	{ "hgroup", NULL, "HGROUP", field_hgroup },
	{ "hgroups", NULL, "HGROUPS", field_hgroups },
	{ "hpid", NULL, "HPID", field_hpid },
	{ "huser", NULL, "HUSER", field_huser },
	{ "label", NULL, "LABEL", field_label },
	{ "nice", "%n", "NI", field_nice },
	{ "pcpu", "%C", "%CPU", field_pcpu },
	{ "%cpu", NULL, "%CPU", field_pcpu },
	{ "pgid", "%r", "PGID", field_pgid },
	{ "pid", "%p", "PID", field_pid },
	{ "ppid", "%P", "PPID", field_ppid },
	{ "rgroup", "%g", "RGROUP", field_rgroup },
	{ "rss", NULL, "RSS", field_rss },
	{ "ruser", "%u", "RUSER", field_ruser },
	{ "seccomp", NULL, "SECCOMP", field_seccomp },
	{ "state", NULL, "STATE", field_state },
	{ "stime", NULL, "STIME", field_stime },
	{ "time", "%x", "TIME", field_time },
	{ "tty", "%y", "TTY", field_tty },
	{ "user", "%U", "USER", field_user },
	{ "vsz", "%z", "VSZ", field_vsz },
};

static const struct top_row *row_of(const char *name)
{
	for (size_t i = 0; i < KIST_COUNT(rows); i++)
		if (kist_streq(rows[i].name, name) || (rows[i].aix && kist_streq(rows[i].aix, name)))
			return &rows[i];
	return NULL;
}

static int columns_parse(char *const *descriptors, const struct top_row *columns[64], size_t *n, struct kist_error *err)
{
	static const char *const usual[] = { "user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args", NULL };
	char *const *names = descriptors && descriptors[0] ? descriptors : (char *const *)usual;

	*n = 0;
	for (size_t i = 0; names[i]; i++) {
		KIST_STRV char **parts = kist_strv_split(names[i], ',');
		for (size_t j = 0; parts && parts[j]; j++) {
			const struct top_row *row = row_of(parts[j]);
			if (!row || *n == 64) {
				kist_fail(err, KIST_ERR_INVALID, 0,
				          row ? "top: too many columns at '%s'" : "top: '%s' is not a column",
				          parts[j]);
				return kist_remedy(err, "as: user, pid, ppid, pcpu, etime, tty, time, args, comm, "
				                        "hpid, huser, state, rss, vsz");
			}
			columns[(*n)++] = row;
		}
	}
	return 0;
}

/* --- processes ------------------------------------------------------------------------------------------------------
 */

/* A process may end at any moment: then it is left out. */
static void process_add(struct top *t, pid_t pid)
{
	struct process p = { .pid = pid };

	if (kist_proc_stat(pid, &p.stat) < 0 || proc_read(pid, "status", STATUS_MAX, &p.status) < 0) {
		kist_str_free(&p.status);
		return;
	}
	p.inner = (pid_t)status_number(&p, "NSpid", t->depth);
	t->list = kist_grow(t->list, t->n + 1, sizeof(*t->list));
	t->list[t->n++] = p;
}

static int from_cgroup(struct top *t)
{
	struct kist_cgroup_root *root = NULL;
	pid_t *pids = NULL;

	if (!t->c->state.cgroup || kist_store_cgroup(t->c->k, &root, NULL) < 0)
		return -ENOENT;
	KIST_CLOSE int group = kist_cgroup_open(root, t->c->state.cgroup, NULL);
	ssize_t n = group < 0 ? group : kist_cgroup_pids(group, &pids, NULL);
	for (ssize_t i = 0; i < n; i++)
		process_add(t, pids[i]);
	free(pids);
	return n < 0 ? (int)n : 0;
}

static ino_t namespace_of(pid_t pid)
{
	char path[48];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static bool has_pid(const struct top *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].pid == pid)
			return true;
	return false;
}

/* Without a cgroup: who shares the pid namespace; without one of its own, the descendants of its process. */
static void from_proc(struct top *t)
{
	pid_t init = t->c->state.pid;
	ino_t own = namespace_of(init);
	bool by_parent = own == namespace_of(getpid());
	DIR *dir = opendir("/proc");

	process_add(t, init);
	for (bool again = true; again && dir;) {
		again = false;
		rewinddir(dir);
		for (struct dirent *entry; (entry = readdir(dir));) {
			struct kist_proc_stat stat;
			uint32_t pid;
			if (kist_parse_u32(entry->d_name, &pid) < 0 || has_pid(t, (pid_t)pid))
				continue;
			if (by_parent ? kist_proc_stat((pid_t)pid, &stat) < 0 || !has_pid(t, stat.ppid)
			              : namespace_of((pid_t)pid) != own)
				continue;
			size_t before = t->n;
			process_add(t, (pid_t)pid);
			again = again || (by_parent && t->n > before);
		}
	}
	if (dir)
		closedir(dir);
}

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->inner != y->inner ? (x->inner < y->inner ? -1 : 1) : (x->pid > y->pid) - (x->pid < y->pid);
}

static int collect(struct top *t, struct kist_error *err)
{
	struct process init = { .pid = t->c->state.pid };
	char path[48];

	if (proc_read(init.pid, "status", STATUS_MAX, &init.status) < 0)
		return kist_fail(err, KIST_ERR_STATE, ESRCH, "container %s has just ended", t->c->config.name);
	for (char *word; (word = status_word(&init, "NSpid", t->depth + 1)); t->depth++)
		free(word);
	kist_str_free(&init.status);
	snprintf(path, sizeof(path), "/proc/%d/root", init.pid);
	KIST_CLOSE int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0) {
		names_read(root, "etc/passwd", &t->passwd);
		names_read(root, "etc/group", &t->group);
	}
	KIST_CLOSE int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (host >= 0) {
		names_read(host, "etc/passwd", &t->host_passwd);
		names_read(host, "etc/group", &t->host_group);
	}
	proc_read(init.pid, "uid_map", 65536, &t->uid_map);
	proc_read(init.pid, "gid_map", 65536, &t->gid_map);
	if (from_cgroup(t) < 0 || t->n == 0)
		from_proc(t);
	if (t->n)
		qsort(t->list, t->n, sizeof(*t->list), by_pid);
	return 0;
}

static void release(struct top *t)
{
	struct kist_str *const texts[] = { &t->passwd,     &t->group,   &t->host_passwd,
		                           &t->host_group, &t->uid_map, &t->gid_map };

	for (size_t i = 0; i < t->n; i++)
		kist_str_free(&t->list[i].status);
	free(t->list);
	for (size_t i = 0; i < KIST_COUNT(texts); i++)
		kist_str_free(texts[i]);
}

int kist_container_top(struct kist_container *c, char *const *descriptors, struct json_object **out,
                       struct kist_error *err)
{
	const struct top_row *columns[64];
	struct top t = { .c = c };
	size_t n;

	int r = columns_parse(descriptors, columns, &n, err);
	if (r < 0)
		return r;
	view_refresh(c);
	if (!view_is_live(c) || c->state.pid <= 0)
		return kist_fail(err, KIST_ERR_STATE, EINVAL,
		                 "container %s is not running: it has no processes to show", c->config.name);
	r = collect(&t, err);
	if (r == 0) {
		struct json_object *table = json_object_new_array(), *titles = json_object_new_array();
		json_object_array_add(table, titles);
		for (size_t i = 0; i < n; i++)
			json_object_array_add(titles, json_object_new_string(columns[i]->title));
		for (size_t i = 0; i < t.n; i++) {
			struct json_object *row = json_object_new_array();
			for (size_t j = 0; j < n; j++) {
				KIST_FREE char *text = columns[j]->field(&t, &t.list[i]);
				json_object_array_add(row, view_text(text));
			}
			json_object_array_add(table, row);
		}
		*out = table;
	}
	release(&t);
	return r;
}
