/* Compiled filters: their cache, and putting one in force.
 *
 * A cache file is named by the digest of all that the program depends on, so it never needs to be invalidated; one that
 * is torn or foreign is compiled anew and replaced. The directory belongs to the engine and nobody else may write it.
 */
#include "ns/apply.h"
#include "ns/ns.h"

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <nettle/sha2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* Linux 5.19 */
#endif

void kist_ns_seccomp_program_free(struct kist_ns_seccomp *seccomp)
{
	free(seccomp->code);
	free(seccomp->metadata);
	kist_close_fd(&seccomp->listener);
	*seccomp = (struct kist_ns_seccomp){ .listener = -1 };
}

/* --- cache -------------------------------------------------------------------------------------------------------- */

struct cache_name {
	char text[sizeof("seccomp-.bpf") + 2 * SHA256_DIGEST_SIZE];
};

/* What follows it in a file: len instructions. crc: of those. */
struct cache_header {
	char magic[8];
	uint32_t len, crc;
};
static const char cache_magic[8] = "kistbpf";

static struct cache_name cache_name(const struct kist_str *what)
{
	struct sha256_ctx context;
	uint8_t digest[SHA256_DIGEST_SIZE];
	sha256_init(&context);
	sha256_update(&context, what->len, (const uint8_t *)what->data);
	sha256_digest(&context, sizeof(digest), digest);

	struct cache_name name = { "seccomp-" };
	char *p = name.text + strlen(name.text);
	for (size_t i = 0; i < sizeof(digest); i++) {
		*p++ = "0123456789abcdef"[digest[i] >> 4];
		*p++ = "0123456789abcdef"[digest[i] & 15];
	}
	memcpy(p, ".bpf", 5);
	return name;
}

/* What every digest starts with. The generator is part of the version. */
static void digest_start(struct kist_str *what, const char *kind)
{
	kist_str_reserve(what, 16384);
	kist_str_addf(what, "%s\n%s\n3\n%s\n", kind, KIST_VERSION, kist_ns_seccomp_native());
}

static void digest_text(struct kist_str *what, const char *text)
{
	/* the NUL too, so that no two lists of strings look alike */
	kist_str_addn(what, text ? text : "", (text ? strlen(text) : 0) + 1);
}

static void digest_strv(struct kist_str *what, char *const *strv)
{
	for (size_t i = 0; strv && strv[i]; i++)
		digest_text(what, strv[i]);
	kist_str_addc(what, '\n');
}

static void digest_opt(struct kist_str *what, struct kist_opt opt)
{
	kist_str_addc(what, opt.set ? '+' : '-');
	kist_str_addn(what, &opt.value, sizeof(opt.value));
}

static void digest_profile(struct kist_str *what, const struct kist_spec_seccomp *profile)
{
	digest_text(what, profile->default_action);
	digest_opt(what, profile->default_errno_ret);
	digest_strv(what, profile->architectures);
	for (size_t i = 0; i < profile->n_syscalls; i++) {
		const struct kist_spec_syscall *rule = &profile->syscalls[i];
		digest_strv(what, rule->names);
		digest_text(what, rule->action);
		digest_opt(what, rule->errno_ret);
		for (size_t a = 0; a < rule->n_args; a++) {
			const struct kist_spec_seccomp_arg *arg = &rule->args[a];
			kist_str_addn(what, &arg->index, sizeof(arg->index));
			kist_str_addn(what, &arg->value, sizeof(arg->value));
			kist_str_addn(what, &arg->value_two, sizeof(arg->value_two));
			digest_text(what, arg->op);
		}
		kist_str_addc(what, '\n');
	}
}

static int cache_load(int cache, const char *name, struct kist_ns_seccomp *out)
{
	struct {
		struct cache_header header;
		struct sock_filter code[BPF_MAXINSNS + 1]; /* one more, so that a longer file shows */
	} file;
	KIST_CLOSE int fd = openat(cache, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, &file, sizeof(file));
	if (n < 0)
		return -errno;
	size_t size = (size_t)n, bytes = 0;
	if (size < sizeof(file.header) || memcmp(file.header.magic, cache_magic, sizeof(cache_magic)) != 0)
		return -EBADMSG;
	bytes = size - sizeof(file.header);
	if (!file.header.len || file.header.len > BPF_MAXINSNS || bytes != file.header.len * sizeof(file.code[0]) ||
	    crc32(0, (const unsigned char *)file.code, (unsigned)bytes) != file.header.crc)
		return -EBADMSG;
	out->code = kist_alloc(bytes);
	memcpy(out->code, file.code, bytes);
	out->len = (unsigned short)file.header.len;
	return 0;
}

/* A cache that cannot be written (read-only root, full disk) costs time, nothing else. */
static void cache_store(int cache, const char *name, const struct kist_ns_seccomp *seccomp)
{
	KIST_STR struct kist_str file = { 0 };
	size_t bytes = seccomp->len * sizeof(seccomp->code[0]);
	struct cache_header header = {
		.len = seccomp->len,
		.crc = (uint32_t)crc32(0, (const unsigned char *)seccomp->code, (unsigned)bytes),
	};
	memcpy(header.magic, cache_magic, sizeof(cache_magic));
	kist_str_addn(&file, &header, sizeof(header));
	kist_str_addn(&file, seccomp->code, bytes);
	int r = kist_replace_file(cache, name, file.data, file.len, 0600, 0);
	if (r < 0)
		kist_debug("write seccomp cache %s: %s", name, strerror(-r));
}

int kist_ns_seccomp_compile_default(uint64_t caps, int cache, struct kist_ns_seccomp *out, struct kist_error *err)
{
	struct cache_name name;
	struct kist_ns_seccomp made = { .listener = -1 };
	caps &= kist_ns_seccomp_default_caps();
	if (cache >= 0) {
		KIST_STR struct kist_str what = { 0 };
		digest_start(&what, "built-in");
		kist_str_addf(&what, "%llx\n", (unsigned long long)caps);
		kist_ns_seccomp_default_text(&what);
		name = cache_name(&what);
		if (cache_load(cache, name.text, &made) == 0) {
			*out = made;
			return 0;
		}
	}
	struct kist_spec_seccomp *profile = kist_ns_seccomp_default_mask(caps);
	int r = kist_ns_seccomp_generate(profile, &made, err);
	kist_ns_seccomp_free(profile);
	if (r < 0)
		return r;
	if (cache >= 0)
		cache_store(cache, name.text, &made);
	*out = made;
	return 0;
}

/* --- flags and the listener --------------------------------------------------------------------------------------- */

static const struct kist_name filter_flags[] = {
	/* Synchronises threads; there is one. Together with a listener the kernel would refuse it. */
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
	{ NULL, 0 },
};

static int flags_resolve(const struct kist_spec_seccomp *profile, unsigned *out, struct kist_error *err)
{
	unsigned flags = 0;
	for (size_t i = 0; profile->flags && profile->flags[i]; i++) {
		int flag = 0;
		if (kist_value_of(filter_flags, profile->flags[i], &flag) < 0)
			return kist_fail(err, KIST_ERR_INVALID, EINVAL,
			                 "linux.seccomp.flags[%zu]: '%s' is not a filter flag", i, profile->flags[i]);
		flags |= (unsigned)flag;
	}
	bool notify = false;
	for (size_t i = 0; i < profile->n_syscalls; i++)
		notify |= kist_streq(profile->syscalls[i].action, "SCMP_ACT_NOTIFY");
	if (notify && kist_empty(profile->listener_path))
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs it");
	if (notify)
		flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	else if (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
		return kist_fail(
		        err, KIST_ERR_INVALID, EINVAL,
		        "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV goes with SCMP_ACT_NOTIFY only");
	*out = flags;
	return 0;
}

/* In the parent: the path is the host's. */
static int listener_connect(const char *path, struct kist_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return kist_fail(err, KIST_ERR_INVALID, ENAMETOOLONG,
		                 "linux.seccomp.listenerPath: '%s' is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	KIST_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return kist_fail_errno(err, errno, "make a socket for the seccomp listener");
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return kist_fail_errno(err, errno,
		                       "linux.seccomp.listenerPath: failed to connect with seccomp agent %s", path);
	return kist_steal_fd(&fd);
}

int kist_ns_seccomp_compile(const struct kist_spec_seccomp *profile, int cache, struct kist_ns_seccomp *out,
                            struct kist_error *err)
{
	struct cache_name name;
	struct kist_ns_seccomp made = { .listener = -1 };
	int r = flags_resolve(profile, &made.flags, err);
	if (r < 0)
		return r;
	int found = -ENOENT;
	if (cache >= 0) {
		KIST_STR struct kist_str what = { 0 };
		digest_start(&what, "profile");
		digest_profile(&what, profile);
		name = cache_name(&what);
		found = cache_load(cache, name.text, &made);
	}
	if (found < 0) {
		r = kist_ns_seccomp_generate(profile, &made, err);
		if (r >= 0 && cache >= 0)
			cache_store(cache, name.text, &made);
	}
	if (r >= 0 && (made.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)) {
		made.metadata = kist_strdup(profile->listener_metadata);
		r = made.listener = listener_connect(profile->listener_path, err);
	}
	if (r < 0) {
		kist_ns_seccomp_program_free(&made);
		return r;
	}
	*out = made;
	return 0;
}

/* --- install ------------------------------------------------------------------------------------------------------ */

/* ContainerProcessState of the runtime specification (config-linux.md, Seccomp). */
static char *listener_state(const struct kist_ns_policy *policy, pid_t pid)
{
	KIST_JSON struct json_object *top = json_object_new_object();
	struct json_object *fds = json_object_new_array(), *state = json_object_new_object();
	const char *version = policy->oci_version ? policy->oci_version : "1.2.0";
	json_object_array_add(fds, json_object_new_string("seccompFd"));
	json_object_object_add(top, "ociVersion", json_object_new_string(version));
	json_object_object_add(top, "fds", fds);
	json_object_object_add(top, "pid", json_object_new_int64(pid));
	if (policy->seccomp.metadata)
		json_object_object_add(top, "metadata", json_object_new_string(policy->seccomp.metadata));
	json_object_object_add(state, "ociVersion", json_object_new_string(version));
	json_object_object_add(state, "id", json_object_new_string(policy->id ? policy->id : ""));
	json_object_object_add(state, "status", json_object_new_string("creating"));
	json_object_object_add(state, "pid", json_object_new_int64(pid));
	json_object_object_add(state, "bundle", json_object_new_string(policy->bundle ? policy->bundle : ""));
	json_object_object_add(top, "state", state);
	return kist_json_text(top, false);
}

static int filter_set(const struct kist_ns_seccomp *seccomp)
{
	struct sock_fprog program = { .len = seccomp->len, .filter = seccomp->code };
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, seccomp->flags, &program);
	return r < 0 ? -errno : (int)r;
}

/* Sends the listener's fd from outside the filter: once it is in force, sending may be the very call that waits for the
 * listener. A helper that shares the fd table learns the number through a shared page. */
static _Noreturn void listener_helper(const struct kist_ns_policy *policy, volatile int *shared, const char *state)
{
	for (int64_t end = kist_now_boot() + 10 * KIST_NSEC_PER_SEC; !*shared && kist_now_boot() < end;)
		kist_sleep_ns(100000);
	int fd = *shared - 1;
	if (*shared <= 0)
		_exit(ECANCELED);
	int r = kist_send_fds(policy->seccomp.listener, state, strlen(state), &fd, 1);
	_exit(r < 0 ? -r & 0xff : 0);
}

static int install_with_listener(const struct kist_ns_policy *policy, struct kist_error *err)
{
	volatile int *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return kist_fail_errno(err, errno, "map a page for the seccomp listener");
	KIST_FREE char *state = listener_state(policy, policy->host_pid > 0 ? policy->host_pid : getpid());
	/* The raw call has fork's semantics with a NULL stack. */
	pid_t helper = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	if (helper < 0)
		return kist_fail_errno(err, errno, "start the seccomp listener's helper");
	if (helper == 0)
		listener_helper(policy, shared, state);
	int fd = filter_set(&policy->seccomp);
	*shared = fd < 0 ? -1 : fd + 1;
	int status = kist_wait_pid(helper);
	munmap((void *)shared, sizeof(*shared));
	if (fd < 0)
		return kist_fail_errno(err, -fd, "install the seccomp filter");
	if (status != 0)
		return kist_fail_errno(err, status > 0 ? status : -status, "send the seccomp listener");
	return 0; /* the kernel made the fd close-on-exec */
}

int kist_ns_seccomp_install(const struct kist_ns_policy *policy, struct kist_error *err)
{
	if (!policy->seccomp.code)
		return 0;
	if (policy->seccomp.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		return install_with_listener(policy, err);
	int r = filter_set(&policy->seccomp);
	if (r == -EACCES) {
		kist_fail_errno(err, EACCES, "install the seccomp filter");
		return kist_remedy(err, "it takes no_new_privileges or CAP_SYS_ADMIN");
	}
	return r < 0 ? kist_fail_errno(err, -r, "install the seccomp filter") : 0;
}
