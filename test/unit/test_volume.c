/* Volumes: core/volume.c, volume_use.c, volume_mount.c, volume_data.c; with real containers. Run as root. */
#include "child.h"
#include "store_help.h"

#include "core/base/clock.h"
#include "core/volume.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <time.h>

/* --- helpers --------------------------------------------------------------------------------------------------------
 */

static struct kist_volume *volume(const char *name)
{
	struct kist_volume config = { .name = (char *)name }, *v = NULL;
	struct kist_error err = { 0 };

	if (kist_volume_create(k, &config, &v, &err) < 0)
		fail_msg("%s", err.text);
	return v;
}

/* A container with volumes: "NAME:PLACE", ":PLACE" is an anonymous one; options follow after another ':', by commas. */
static struct kist_container *make_with(const char *name, const char *script, const char *const *mounts)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };

	config_make(&config, name, script);
	for (; *mounts; mounts++) {
		KIST_STRV char **parts = kist_strv_split(*mounts, ':');
		config.named_volumes =
		        kist_grow(config.named_volumes, config.n_named_volumes + 1, sizeof(*config.named_volumes));
		config.named_volumes[config.n_named_volumes++] = (struct kist_volume_mount_config){
			.name = *parts[0] ? kist_strdup(parts[0]) : NULL,
			.destination = kist_strdup(parts[1]),
			.options = parts[2] ? kist_strv_split(parts[2], ',') : NULL,
		};
	}
	if (kist_container_create(k, &config, &c, &err) < 0)
		fail_msg("%s", err.text);
	kist_container_config_clear(&config);
	return c;
}

#define MOUNTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int run_to_end(struct kist_container *c, struct kist_error *err)
{
	int code = -1;

	int r = kist_container_start(c, NULL, NULL, err);
	if (r < 0)
		return r;
	assert_int_equal(kist_container_wait(k, kist_container_id(c), 0, &code, NULL), 0);
	return code;
}

static void run_with(const char *script, const char *const *mounts)
{
	struct kist_container *c = make_with(NULL, script, mounts);
	struct kist_error err = { 0 };

	int code = run_to_end(c, &err);
	if (code != 0)
		fail_msg("'%s' ended with %d %s", script, code, err.text);
	remove_one(c);
}

static void make_file(const char *directory, const char *name, const char *text)
{
	KIST_FREE char *path = kist_asprintf("%s/%s", directory, name);
	int fd KIST_CLOSE = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(kist_write_all(fd, text, strlen(text)), 0);
}

static bool has_file(const char *name, const char *file)
{
	KIST_FREE char *top_ = kist_volume_mountpoint(k, name);
	KIST_FREE char *path = kist_asprintf("%s/%s", top_, file);

	return access(path, F_OK) == 0;
}

static size_t count_volumes(void)
{
	struct kist_volume **list = NULL;
	size_t n = 0;

	assert_int_equal(kist_volume_list(k, &list, &n, NULL, NULL), 0);
	for (size_t i = 0; i < n; i++)
		kist_volume_free(list[i]);
	free(list);
	return n;
}

static void remove_volume(const char *name)
{
	struct kist_error err = { 0 };

	if (kist_volume_remove(k, name, 0, 0, &err) < 0)
		fail_msg("%s", err.text);
}

static void expect_no_volumes(void)
{
	assert_int_equal(count_volumes(), 0);
	if (k->volumes >= 0)
		assert_int_equal(count_entries(k->volumes), 0);
}

static char *mode_of(const char *name)
{
	KIST_FREE char *path = kist_volume_mountpoint(k, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return kist_asprintf("%o %u %u", st.st_mode & 07777, st.st_uid, st.st_gid);
}

/* --- records --------------------------------------------------------------------------------------------------------
 */

static void test_create_find_remove(void **state)
{
	struct kist_volume *v = volume("data"), *other = volume("date"), *found = NULL, *anonymous = volume(NULL);
	struct kist_error err = { 0 };

	(void)state;
	assert_string_equal(v->driver, "local");
	assert_int_equal(strlen(anonymous->name), 64);
	assert_int_equal(kist_volume_open(k, "data", &found, NULL), 0);
	assert_string_equal(found->name, "data");
	assert_true(found->created == v->created && !found->copied && !found->anonymous);
	kist_volume_free(found);
	/* The beginning of a name, when it is one only. */
	assert_int_equal(kist_volume_open(k, "dat", &found, &err), -EEXIST);
	assert_int_equal(err.kind, KIST_ERR_AMBIGUOUS);
	kist_error_clear(&err);
	struct kist_volume again = { .name = (char *)"data" };
	assert_int_equal(kist_volume_create(k, &again, NULL, &err), -EEXIST);
	assert_int_equal(err.kind, KIST_ERR_EXISTS);
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", "-a", ".tmp-1", "a b" };
	for (size_t i = 0; i < KIST_COUNT(bad); i++) {
		struct kist_volume config = { .name = (char *)bad[i] };
		kist_error_clear(&err);
		assert_true(kist_volume_create(k, &config, NULL, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_INVALID);
		kist_error_clear(&err);
		assert_true(kist_volume_open(k, bad[i], &found, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
		kist_error_clear(&err);
		assert_true(kist_volume_remove(k, bad[i], KIST_REMOVE_FORCE, 0, &err) < 0);
	}
	assert_int_equal(count_volumes(), 3);
	remove_volume("data");
	assert_int_equal(kist_volume_open(k, "dat", &found, NULL), 0);
	assert_string_equal(found->name, "date");
	kist_volume_free(found);
	remove_volume("date");
	remove_volume(anonymous->name);
	kist_error_clear(&err);
	assert_true(kist_volume_remove(k, "data", 0, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_volume_free(v);
	kist_volume_free(other);
	kist_volume_free(anonymous);
	expect_no_volumes();
}

static void test_options_are_checked(void **state)
{
	static const struct {
		const char *options; /* by spaces */
		enum kist_error_kind kind;
	} rows[] = {
		{ "type=tmpfs", KIST_ERR_NONE },
		{ "type=tmpfs device=tmpfs o=size=1m,uid=5", KIST_ERR_NONE },
		{ "o=uid=5,gid=6", KIST_ERR_NONE },
		{ "o=bind device=/tmp", KIST_ERR_NONE },
		{ "type=none o=rbind,ro device=/tmp", KIST_ERR_NONE },
		{ "type=bind device=/tmp", KIST_ERR_NONE },
		{ "nocopy=", KIST_ERR_NONE },
		{ "type=ext4", KIST_ERR_INVALID },
		{ "device=/dev/x", KIST_ERR_INVALID },
		{ "o=bind device=relative", KIST_ERR_INVALID },
		{ "o=bind", KIST_ERR_INVALID },
		{ "o=noexec", KIST_ERR_INVALID },
		{ "o=uid=x", KIST_ERR_INVALID },
		/* The store of this test is on a file system without project quotas. */
		{ "o=size=1g", KIST_ERR_UNSUPPORTED },
		{ "o=inodes=7,uid=5", KIST_ERR_UNSUPPORTED },
		{ "o=noquota", KIST_ERR_NONE },
		{ "o=size=1g,noquota", KIST_ERR_INVALID },
		{ "o=size=0", KIST_ERR_INVALID },
		{ "o=size=x", KIST_ERR_INVALID },
		{ "o=inodes=1k", KIST_ERR_INVALID },
		{ "colour=red", KIST_ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		struct kist_volume config = { .name = (char *)"v", .options = kist_strv_split(rows[i].options, ' ') };
		struct kist_error err = { 0 };
		kist_volume_create(k, &config, NULL, &err);
		if (err.kind != rows[i].kind)
			fail_msg("'%s': %s", rows[i].options, err.text);
		if (err.kind == KIST_ERR_NONE)
			remove_volume("v");
		kist_strv_free(config.options);
	}
	struct kist_volume other = { .name = (char *)"v", .driver = (char *)"nfs" };
	struct kist_error err = { 0 };
	assert_true(kist_volume_create(k, &other, NULL, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_UNSUPPORTED);
	expect_no_volumes();
}

static void test_damaged_record(void **state)
{
	struct kist_volume **list = NULL, *v = NULL;
	struct kist_error err = { 0 };
	char **broken = NULL;
	KIST_STR struct kist_str text = { 0 };
	size_t n;

	(void)state;
	kist_volume_free(volume("good"));
	kist_volume_free(volume("torn"));
	int dir KIST_CLOSE = openat(k->volumes, "torn", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(kist_read_file(dir, "config", 4096, &text), (int)text.len);
	for (size_t cut = 0; cut < text.len; cut++) {
		file_put(dir, "config", text.data, cut);
		kist_error_clear(&err);
		assert_true(kist_volume_open(k, "torn", &v, &err) < 0);
		assert_int_equal(err.kind, KIST_ERR_CORRUPT);
		assert_int_equal(kist_volume_list(k, &list, &n, &broken, NULL), 0);
		assert_int_equal(n, 1);
		assert_string_equal(list[0]->name, "good");
		assert_string_equal(broken[0], "torn");
		kist_volume_free(list[0]);
		free(list);
		kist_strv_free(broken);
		broken = NULL;
	}
	remove_volume("torn");
	remove_volume("good");
	expect_no_volumes();
}

/* --- users ----------------------------------------------------------------------------------------------------------
 */

static void test_users(void **state)
{
	struct kist_container *a = make_with("a", "true", MOUNTS("data:/d", "new:/n")),
	                      *b = make_with("b", "true", MOUNTS("data:/d"));
	struct kist_error err = { 0 };

	(void)state;
	KIST_STRV char **users = kist_volume_users(k, "data");
	assert_int_equal(kist_strv_len(users), 2);
	assert_true(kist_strv_has(users, kist_container_id(a)) && kist_strv_has(users, kist_container_id(b)));
	assert_true(kist_volume_remove(k, "data", 0, 0, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_IN_USE);
	KIST_FREE char *short_id = kist_strndup(kist_container_id(a), 12);
	assert_non_null(strstr(err.text, short_id));
	remove_one(b);
	remove_one(a);
	/* Named ones stay. */
	assert_int_equal(count_volumes(), 2);
	assert_null(kist_volume_users(k, "data"));
	/* A mark that a crash left counts for nothing, and goes. */
	char mark[128];
	snprintf(mark, sizeof(mark), "data/users/%064d", 7);
	close(openat(k->volumes, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_null(kist_volume_users(k, "data"));
	assert_int_equal(kist_volume_reload(k, NULL), 0);
	assert_false(kist_exists_at(k->volumes, mark));
	remove_volume("data");
	remove_volume("new");
	expect_no_volumes();
}

static void test_force_removes_the_users(void **state)
{
	struct kist_container *c = make_with("user", "sleep 100", MOUNTS("data:/d"));
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	kist_container_free(c);
	if (kist_volume_remove(k, "data", KIST_REMOVE_FORCE, 0, &err) < 0)
		fail_msg("%s", err.text);
	expect_nothing_left();
	expect_no_volumes();
}

static void test_anonymous(void **state)
{
	struct kist_container *c = make_with("a", "true", MOUNTS(":/d"));

	(void)state;
	assert_int_equal(count_volumes(), 1);
	KIST_FREE char *name = kist_strdup(c->config.named_volumes[0].name);
	assert_int_equal(strlen(name), 64);
	assert_true(c->config.named_volumes[0].anonymous);
	/* It stays unless it is asked for. */
	remove_one(c);
	assert_int_equal(count_volumes(), 1);
	/* Given by name it is somebody's own: not even -v takes it away. */
	KIST_FREE char *mount = kist_asprintf("%s:/d", name);
	c = make_with("b", "true", MOUNTS(mount, ":/e", "kept:/f"));
	assert_int_equal(count_volumes(), 3);
	assert_int_equal(kist_container_remove(c, KIST_REMOVE_VOLUMES, 0, NULL), 0);
	kist_container_free(c);
	assert_int_equal(count_volumes(), 2);
	remove_volume(name);
	remove_volume("kept");
	expect_no_volumes();
}

static void test_auto_remove_takes_anonymous_ones(void **state)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	int code;

	(void)state;
	config_make(&config, "gone", "echo x >/d/x");
	config.auto_remove = true;
	config.named_volumes = kist_alloc(sizeof(*config.named_volumes));
	config.named_volumes[config.n_named_volumes++].destination = kist_strdup("/d");
	assert_int_equal(kist_container_create(k, &config, &c, NULL), 0);
	kist_container_config_clear(&config);
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	assert_int_equal(kist_container_wait(k, kist_container_id(c), 0, &code, NULL), 0);
	kist_container_free(c);
	for (int i = 0; i < 200 && count_entries(k->containers); i++)
		kist_sleep_ns(10000000);
	expect_nothing_left();
	expect_no_volumes();
}

static void test_failed_create_leaves_nothing(void **state)
{
	struct kist_container_config config;
	struct kist_container *c = NULL, *holder = make("taken", "true");
	struct kist_error err = { 0 };

	(void)state;
	config_make(&config, "taken", "true");
	config.named_volumes = kist_alloc(2 * sizeof(*config.named_volumes));
	config.named_volumes[0].destination = kist_strdup("/d");
	config.named_volumes[1].destination = kist_strdup("/e");
	config.named_volumes[1].name = kist_strdup("fresh");
	config.n_named_volumes = 2;
	assert_true(kist_container_create(k, &config, &c, &err) < 0);
	expect_no_volumes();
	/* The same when a volume itself is refused. */
	free(config.name);
	config.name = NULL;
	kist_strv_add(&config.named_volumes[1].options, "nocreate");
	kist_error_clear(&err);
	assert_true(kist_container_create(k, &config, &c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	kist_container_config_clear(&config);
	expect_no_volumes();
	remove_one(holder);
	expect_nothing_left();
}

/* A removal that was cut short after its rename is finished by who lists next. */
static void test_removal_cut_short(void **state)
{
	struct kist_container *c = make_with("a", "true", MOUNTS(":/d", "kept:/k"));
	struct kist_container **list = NULL;
	char gone[128];
	size_t n;

	(void)state;
	snprintf(gone, sizeof(gone), ".tmp-rmv-%s", kist_container_id(c));
	assert_int_equal(renameat(k->containers, kist_container_id(c), k->containers, gone), 0);
	kist_container_free(c);
	assert_int_equal(kist_container_list(k, &list, &n, NULL, NULL), 0);
	kist_container_list_free(list, n);
	assert_int_equal(n, 0);
	expect_nothing_left();
	assert_int_equal(count_volumes(), 1);
	remove_volume("kept");
	expect_no_volumes();
}

static void nap_some(void)
{
	uint32_t random;

	kist_random(&random, sizeof(random));
	struct timespec t = { 0, random % 20000000 };
	nanosleep(&t, NULL);
}

/* kill -9 at random moments of create, remove and volume create: what is there is whole, and what is not leaves
 * nothing. */
static void test_killed_at_any_moment(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		pid_t pid = child_fork();
		if (pid == 0) {
			struct kist *mine = store_open();
			for (int j = 0;; j++) {
				struct kist_container_config config;
				struct kist_container *c = NULL;
				config_make(&config, NULL, "true");
				config.named_volumes = kist_alloc(2 * sizeof(*config.named_volumes));
				config.named_volumes[0].destination = kist_strdup("/d");
				config.named_volumes[1].destination = kist_strdup("/e");
				config.named_volumes[1].name = kist_strdup("shared");
				config.n_named_volumes = 2;
				if (kist_container_create(mine, &config, &c, NULL) < 0 ||
				    kist_container_remove(c, KIST_REMOVE_VOLUMES, 0, NULL) < 0)
					_exit(1);
				kist_container_free(c);
				kist_container_config_clear(&config);
				struct kist_volume v = { .name = (char *)"own" };
				if (kist_volume_create(mine, &v, NULL, NULL) < 0 && j > 0)
					_exit(2);
				if (kist_volume_remove(mine, "own", 0, 0, NULL) < 0)
					_exit(3);
			}
		}
		nap_some();
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status))
			fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
		struct kist_container **list = NULL;
		char **broken = NULL;
		size_t n;
		assert_int_equal(kist_container_list(k, &list, &n, &broken, NULL), 0);
		assert_null(broken);
		for (size_t j = 0; j < n; j++)
			assert_int_equal(
			        kist_container_remove(list[j], KIST_REMOVE_FORCE | KIST_REMOVE_VOLUMES, 0, NULL), 0);
		kist_container_list_free(list, n);
		struct kist_volume **volumes = NULL;
		assert_int_equal(kist_volume_list(k, &volumes, &n, &broken, NULL), 0);
		assert_null(broken);
		for (size_t j = 0; j < n; j++) {
			if (!kist_streq(volumes[j]->name, "shared") && !kist_streq(volumes[j]->name, "own"))
				fail_msg("volume %s was left", volumes[j]->name);
			remove_volume(volumes[j]->name);
			kist_volume_free(volumes[j]);
		}
		free(volumes);
		expect_nothing_left();
		expect_no_volumes();
	}
}

/* --- content --------------------------------------------------------------------------------------------------------
 */

/* A directory of the root file system with all kinds of things in it. */
static void fill_image(const char *name)
{
	KIST_FREE char *path = kist_asprintf("%s/%s", rootfs_path, name);
	KIST_FREE char *below = kist_asprintf("%s/sub", path);
	KIST_FREE char *link_ = kist_asprintf("%s/link", path);
	KIST_FREE char *file = kist_asprintf("%s/file", path);
	KIST_FREE char *hard = kist_asprintf("%s/sub/hard", path);

	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(mkdir(below, 0700), 0);
	make_file(path, "file", "of the image");
	assert_int_equal(symlink("/etc/passwd", link_), 0);
	assert_int_equal(link(file, hard), 0);
	assert_int_equal(chown(file, 12, 34), 0);
	assert_int_equal(chmod(file, 04711), 0);
	assert_int_equal(chown(path, 56, 78), 0);
	assert_int_equal(chmod(path, 01770), 0);
	if (setxattr(file, "user.note", "kept", 4, 0) < 0)
		assert_int_equal(errno, EOPNOTSUPP); /* /tmp may be a tmpfs of an older kernel */
}

static void clear_image(const char *name)
{
	KIST_FREE char *path = kist_asprintf("%s/%s", rootfs_path, name);

	assert_int_equal(kist_remove_tree(AT_FDCWD, path), 0);
}

static void test_copy_up(void **state)
{
	struct stat file, hard, link_;

	(void)state;
	fill_image("stuff");
	run_with("test \"$(cat /stuff/file)\" = 'of the image' && echo mine >/stuff/mine", MOUNTS("v:/stuff"));
	KIST_FREE char *top_ = kist_volume_mountpoint(k, "v");
	int dir KIST_CLOSE = open(top_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	KIST_FREE char *mode = mode_of("v");
	assert_string_equal(mode, "1770 56 78");
	assert_int_equal(fstatat(dir, "file", &file, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fstatat(dir, "sub/hard", &hard, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fstatat(dir, "link", &link_, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(file.st_uid == 12 && file.st_gid == 34 && (file.st_mode & 07777) == 04711);
	assert_int_equal(file.st_ino, hard.st_ino);
	assert_true(S_ISLNK(link_.st_mode));
	assert_false(kist_exists_at(k->volumes, "v/copying"));
	/* Once: what the user takes away does not come back, not even when all is gone. */
	run_with("rm -rf /stuff/* 2>/dev/null; busybox rm -rf /stuff/file /stuff/sub /stuff/link /stuff/mine",
	         MOUNTS("v:/stuff"));
	run_with("test ! -e /stuff/file", MOUNTS("v:/stuff"));
	assert_false(has_file("v", "file"));
	remove_volume("v");
	clear_image("stuff");
	expect_no_volumes();
}

static void test_no_copy_into_content(void **state)
{
	(void)state;
	fill_image("stuff");
	/* CVE-2020-1726: a volume that has something is not touched. */
	kist_volume_free(volume("v"));
	KIST_FREE char *top_ = kist_volume_mountpoint(k, "v");
	make_file(top_, "file", "of the user");
	run_with("test \"$(cat /stuff/file)\" = 'of the user' && test ! -e /stuff/sub", MOUNTS("v:/stuff"));
	remove_volume("v");
	/* nocopy, of the mount and of the volume. */
	run_with("test ! -e /stuff/file", MOUNTS("v:/stuff:nocopy"));
	run_with("test -e /stuff/file", MOUNTS("v:/stuff"));
	remove_volume("v");
	struct kist_volume config = { .name = (char *)"v", .options = kist_strv_split("nocopy=", ' ') };
	assert_int_equal(kist_volume_create(k, &config, NULL, NULL), 0);
	kist_strv_free(config.options);
	run_with("test ! -e /stuff/file", MOUNTS("v:/stuff"));
	remove_volume("v");
	clear_image("stuff");
}

/* A crash in the middle of the copy: the next start begins anew, and does not take the half for the user's. */
static void test_interrupted_copy(void **state)
{
	(void)state;
	fill_image("stuff");
	kist_volume_free(volume("v"));
	KIST_FREE char *top_ = kist_volume_mountpoint(k, "v");
	make_file(top_, "half", "");
	close(openat(k->volumes, "v/copying", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	run_with("test -e /stuff/file && test ! -e /stuff/half", MOUNTS("v:/stuff"));
	assert_false(kist_exists_at(k->volumes, "v/copying"));
	/* When it was complete, only the note is taken away. */
	make_file(top_, "data", "");
	close(openat(k->volumes, "v/copying", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	run_with("test -e /stuff/data", MOUNTS("v:/stuff"));
	assert_false(kist_exists_at(k->volumes, "v/copying"));
	remove_volume("v");
	clear_image("stuff");
}

/* What the image makes of its own place must not lead the copy out of the root. */
static void test_copy_up_stays_inside(void **state)
{
	KIST_FREE char *trap = kist_asprintf("%s/trap", rootfs_path);
	KIST_FREE char *outside = kist_asprintf("%s/outside", top);

	(void)state;
	assert_int_equal(mkdir(outside, 0755), 0);
	make_file(outside, "secret", "of the host");
	assert_int_equal(symlink(outside, trap), 0);
	run_with("test ! -e /trap/secret", MOUNTS("v:/trap"));
	assert_false(has_file("v", "secret"));
	remove_volume("v");
	assert_int_equal(unlink(trap), 0);
	KIST_FREE char *made = kist_asprintf("%s%s", rootfs_path, outside);
	assert_int_equal(kist_remove_tree(AT_FDCWD, outside), 0);
	kist_remove_tree(AT_FDCWD, made);
}

static void test_owner_of_an_empty_one(void **state)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_volume owned = { .name = (char *)"o", .uid = { true, 9 } };
	int code;

	(void)state;
	assert_int_equal(kist_volume_create(k, &owned, NULL, NULL), 0);
	config_make(&config, "u", "echo x >/fresh/x");
	config.user = kist_strdup("1000:1001");
	config.named_volumes = kist_alloc(2 * sizeof(*config.named_volumes));
	config.named_volumes[0].destination = kist_strdup("/fresh");
	config.named_volumes[0].name = kist_strdup("v");
	config.named_volumes[1].destination = kist_strdup("/owned");
	config.named_volumes[1].name = kist_strdup("o");
	config.n_named_volumes = 2;
	assert_int_equal(kist_container_create(k, &config, &c, NULL), 0);
	kist_container_config_clear(&config);
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	assert_int_equal(kist_container_wait(k, "u", 0, &code, NULL), 0);
	assert_int_equal(code, 0);
	KIST_FREE char *mode = mode_of("v");
	assert_string_equal(mode, "755 1000 1001");
	KIST_FREE char *other = mode_of("o");
	assert_string_equal(other, "755 9 0");
	remove_one(c);
	remove_volume("v");
	remove_volume("o");
}

static void test_subpath(void **state)
{
	struct kist_container_config config;
	struct kist_container *c = NULL;
	struct kist_error err = { 0 };
	static const struct {
		const char *subpath;
		bool works;
	} rows[] = { { "a/b", true },      { "inside", true },   { "../../../a/b", true },
		     { "outside", false }, { "missing", false }, { "a/b/c/d", false } };

	(void)state;
	run_with("busybox mkdir -p /v/a/b /v/etc; echo yes >/v/a/b/c; busybox ln -s /a/b /v/inside; busybox ln -s "
	         "/proc /v/outside",
	         MOUNTS("v:/v"));
	for (size_t i = 0; i < KIST_COUNT(rows); i++) {
		config_make(&config, "s", "test \"$(cat /s/c)\" = yes");
		config.named_volumes = kist_alloc(sizeof(*config.named_volumes));
		config.named_volumes[0].destination = kist_strdup("/s");
		config.named_volumes[0].name = kist_strdup("v");
		config.named_volumes[0].subpath = kist_strdup(rows[i].subpath);
		config.n_named_volumes = 1;
		kist_error_clear(&err);
		assert_int_equal(kist_container_create(k, &config, &c, &err), 0);
		kist_container_config_clear(&config);
		int r = run_to_end(c, &err);
		if ((r == 0) != rows[i].works)
			fail_msg("subpath %s: %d %s", rows[i].subpath, r, err.text);
		remove_one(c);
	}
	config_make(&config, "s", "true");
	config.named_volumes = kist_alloc(sizeof(*config.named_volumes));
	config.named_volumes[0].destination = kist_strdup("/s");
	config.named_volumes[0].subpath = kist_strdup("/abs");
	config.n_named_volumes = 1;
	kist_error_clear(&err);
	assert_true(kist_container_create(k, &config, &c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_INVALID);
	kist_container_config_clear(&config);
	remove_volume("v");
	expect_no_volumes();
}

static void test_own_all(void **state)
{
	struct stat st;

	(void)state;
	run_with("busybox mkdir -p /v/a; echo x >/v/a/f; busybox ln -s /etc/passwd /v/l; busybox chown -R 5:5 /v",
	         MOUNTS("v:/v"));
	run_with("true", MOUNTS("v:/v:U"));
	KIST_FREE char *top_ = kist_volume_mountpoint(k, "v");
	int dir KIST_CLOSE = open(top_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char *const names[] = { ".", "a", "a/f", "l" };
	for (size_t i = 0; i < KIST_COUNT(names); i++) {
		assert_int_equal(fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_true(st.st_uid == 0 && st.st_gid == 0);
	}
	remove_volume("v");
}

static void test_overlay_option(void **state)
{
	(void)state;
	run_with("echo old >/v/f", MOUNTS("v:/v"));
	run_with("test \"$(cat /v/f)\" = old && echo new >/v/f && echo x >/v/g", MOUNTS("v:/v:O"));
	run_with("test \"$(cat /v/f)\" = old && test ! -e /v/g", MOUNTS("v:/v"));
	remove_volume("v");
}

static void test_tmpfs_is_shared(void **state)
{
	struct kist_volume config = { .name = (char *)"t", .options = kist_strv_split("type=tmpfs o=size=1m", ' ') };
	struct kist_volume *v = NULL;
	struct kist_error err = { 0 };
	char *path = NULL;

	(void)state;
	assert_int_equal(kist_volume_create(k, &config, &v, NULL), 0);
	kist_strv_free(config.options);
	struct kist_container *c = make_with("keeper", "sleep 100", MOUNTS("t:/t:ro"));
	assert_int_equal(kist_container_start(c, NULL, NULL, NULL), 0);
	run_with("echo x >/t/x", MOUNTS("t:/t"));
	run_with("test -e /u/x", MOUNTS("t:/u"));
	remove_one(c);
	/* The last one took the content with it. */
	run_with("test ! -e /t/x", MOUNTS("t:/t"));
	/* Unless it is mounted on the host, as often as it was asked for. */
	assert_int_equal(kist_volume_mount(k, v, &path, NULL), 0);
	free(path);
	assert_int_equal(kist_volume_mount(k, v, &path, NULL), 0);
	run_with("echo x >/t/x", MOUNTS("t:/t"));
	assert_true(has_file("t", "x"));
	assert_int_equal(kist_volume_unmount(k, v, false, NULL), 0);
	run_with("test -e /t/x", MOUNTS("t:/t"));
	assert_int_equal(kist_volume_unmount(k, v, false, NULL), 0);
	assert_false(has_file("t", "x"));
	assert_int_equal(kist_volume_unmount(k, v, false, NULL), 0);
	/* An import into a tmpfs that nothing keeps would be lost. */
	int null KIST_CLOSE = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(kist_volume_import(k, v, null, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_STATE);
	free(path);
	/* Removal takes it off the host. */
	assert_int_equal(kist_volume_mount(k, v, &path, NULL), 0);
	remove_volume("t");
	assert_true(access(path, F_OK) < 0);
	free(path);
	kist_volume_free(v);
	expect_no_volumes();
}

static void test_export_import(void **state)
{
	struct kist_volume *v = NULL, *to = volume("to");
	struct kist_error err = { 0 };
	KIST_FREE char *path = kist_asprintf("%s/v.tar", top);
	int fd KIST_CLOSE = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	fill_image("stuff");
	run_with("true", MOUNTS("v:/stuff"));
	assert_int_equal(kist_volume_open(k, "v", &v, NULL), 0);
	if (kist_volume_export(k, v, fd, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	if (kist_volume_import(k, to, fd, &err) < 0)
		fail_msg("%s", err.text);
	KIST_FREE char *compare =
	        kist_asprintf("diff -r --no-dereference %s/root/volumes/v/data %s/root/volumes/to/data", top, top);
	pid_t pid = child_fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", compare, NULL);
		_exit(127);
	}
	assert_int_equal(kist_wait_pid(pid), 0);
	KIST_FREE char *mode = mode_of("to");
	assert_string_equal(mode, "1770 56 78");
	/* Now it has content of its own: nothing is copied into it. */
	kist_volume_free(v);
	assert_int_equal(kist_volume_open(k, "to", &v, NULL), 0);
	assert_true(v->copied && v->owned);
	kist_volume_free(v);
	kist_volume_free(to);
	remove_volume("v");
	remove_volume("to");
	clear_image("stuff");
	unlink(path);
}

static void test_missing_at_start(void **state)
{
	struct kist_container *c = make_with("c", "true", MOUNTS("v:/v"));
	struct kist_error err = { 0 };

	(void)state;
	assert_int_equal(kist_remove_tree(k->volumes, "v"), 0);
	assert_true(run_to_end(c, &err) < 0);
	assert_int_equal(err.kind, KIST_ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "no such volume: v"));
	remove_one(c);
	expect_no_volumes();
}

/* Twenty at once make, use and remove containers on one volume that is not there yet. */
static void test_many_at_once(void **state)
{
	pid_t pids[20];

	(void)state;
	fill_image("stuff");
	for (size_t i = 0; i < KIST_COUNT(pids); i++) {
		pids[i] = child_fork();
		if (pids[i] == 0) {
			kist_close(k);
			k = store_open();
			run_with("test -e /stuff/file && test -e /stuff/sub/hard", MOUNTS("all:/stuff", ":/anonymous"));
			_exit(0);
		}
	}
	for (size_t i = 0; i < KIST_COUNT(pids); i++)
		assert_int_equal(kist_wait_pid(pids[i]), 0);
	expect_nothing_left();
	assert_int_equal(count_volumes(), 21);
	struct kist_volume **list = NULL;
	size_t n;
	assert_int_equal(kist_volume_list(k, &list, &n, NULL, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		remove_volume(list[i]->name);
		kist_volume_free(list[i]);
	}
	free(list);
	clear_image("stuff");
	expect_no_volumes();
}

int main(int argc, char **argv)
{
	/* The engine executes this program again to be a monitor. */
	if (argc > 0 && kist_streq(argv[0], "kist-monitor"))
		return kist_monitor_main(argc, argv, NULL);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_find_remove),
		cmocka_unit_test(test_options_are_checked),
		cmocka_unit_test(test_damaged_record),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_force_removes_the_users),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_auto_remove_takes_anonymous_ones),
		cmocka_unit_test(test_failed_create_leaves_nothing),
		cmocka_unit_test(test_removal_cut_short),
		cmocka_unit_test(test_killed_at_any_moment),
		cmocka_unit_test(test_copy_up),
		cmocka_unit_test(test_no_copy_into_content),
		cmocka_unit_test(test_interrupted_copy),
		cmocka_unit_test(test_copy_up_stays_inside),
		cmocka_unit_test(test_owner_of_an_empty_one),
		cmocka_unit_test(test_subpath),
		cmocka_unit_test(test_own_all),
		cmocka_unit_test(test_overlay_option),
		cmocka_unit_test(test_tmpfs_is_shared),
		cmocka_unit_test(test_export_import),
		cmocka_unit_test(test_missing_at_start),
		cmocka_unit_test(test_many_at_once),
	};
	return cmocka_run_group_tests_name("volume", tests, store_setup, store_teardown);
}
