/* Leases of addresses, on real files. */
#include "test/unit/child.h"
#include "test/unit/net_help.h"

#include <dirent.h>
#include <sys/stat.h>

struct fixture {
	char path[32];
	struct kist_net_leases leases;
	struct kist_net_subnet subnet;
	char **gone; /* owners that do not exist any more */
};

static bool is_alive(void *arg, const char *owner)
{
	struct fixture *f = arg;

	return !kist_strv_has(f->gone, owner);
}

static int setup(void **state)
{
	struct fixture *f = kist_alloc(sizeof(*f));

	snprintf(f->path, sizeof(f->path), "/tmp/kist-lease-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->leases.dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->leases.alive = is_alive;
	f->leases.arg = f;
	f->subnet = (struct kist_net_subnet){ .subnet = (char *)"10.89.0.0/24", .gateway = (char *)"10.89.0.1" };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->leases.dir);
	assert_int_equal(kist_remove_tree(AT_FDCWD, f->path), 0);
	kist_strv_free(f->gone);
	free(f);
	return 0;
}

static void take(struct fixture *f, const char *owner, const char *expected)
{
	struct kist_net_addr out;
	char text[KIST_NET_ADDR_TEXT];

	OK(kist_net_lease_take(&f->leases, &f->subnet, owner, NULL, &out, E));
	assert_string_equal(kist_net_addr_text(text, &out), expected);
}

static void take_static(struct fixture *f, const char *owner, const char *address)
{
	struct kist_net_addr out, wanted = net_addr(address);

	OK(kist_net_lease_take(&f->leases, &f->subnet, owner, &wanted, &out, E));
	assert_true(kist_net_addr_equal(&out, &wanted));
}

static void refused(struct fixture *f, const char *owner, const char *address, enum kist_error_kind kind,
                    const char *says)
{
	struct kist_net_addr out, wanted = address ? net_addr(address) : (struct kist_net_addr){ 0 };
	struct kist_error err = { 0 };

	assert_true(kist_net_lease_take(&f->leases, &f->subnet, owner, address ? &wanted : NULL, &out, &err) < 0);
	if (err.kind != kind || !strstr(err.text, says))
		fail_msg("%s: %s", kist_error_kind_name(err.kind), err.text);
}

static void release(struct fixture *f, const char *owner, const char *address)
{
	struct kist_net_addr addr = net_addr(address);

	OK(kist_net_lease_release(&f->leases, owner, &addr, E));
}

static void write_lease(struct fixture *f, const char *address, const char *content)
{
	KIST_FREE char *path = kist_asprintf("%s/leases/%s", f->path, address);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
}

/* --- order
 * ------------------------------------------------------------------------------------------------------------
 */

static void test_the_next_after_the_last(void **state)
{
	struct fixture *f = *state;
	KIST_STR struct kist_str text = { 0 };
	char boot[37];

	take(f, "a", "10.89.0.2");
	take(f, "b", "10.89.0.3");
	release(f, "a", "10.89.0.2");
	/* An address that has just been left is not given to the next one. */
	take(f, "c", "10.89.0.4");
	int fd = openat(f->leases.dir, "leases/10.89.0.4", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(kist_read_fd(fd, 256, &text) >= 0);
	close(fd);
	KIST_FREE char *expected = kist_asprintf("c\n%s\n", kist_boot_id(boot));
	assert_string_equal(kist_str_get(&text), expected);
}

static void test_around_the_end(void **state)
{
	struct fixture *f = *state;

	f->subnet.subnet = (char *)"10.89.0.0/29"; /* .1 gateway, .7 broadcast */
	take(f, "a", "10.89.0.2");
	take(f, "b", "10.89.0.3");
	take(f, "c", "10.89.0.4");
	take(f, "d", "10.89.0.5");
	take(f, "e", "10.89.0.6");
	refused(f, "f", NULL, KIST_ERR_IN_USE, "no address is left in subnet 10.89.0.0/29 (5 are leased)");
	release(f, "c", "10.89.0.4");
	take(f, "f", "10.89.0.4");
	release(f, "a", "10.89.0.2");
	release(f, "e", "10.89.0.6");
	take(f, "g", "10.89.0.6");
	take(f, "h", "10.89.0.2");
}

static void test_a_range(void **state)
{
	struct fixture *f = *state;

	f->subnet.range_start = (char *)"10.89.0.100";
	f->subnet.range_end = (char *)"10.89.0.101";
	take(f, "a", "10.89.0.100");
	take(f, "b", "10.89.0.101");
	refused(f, "c", NULL, KIST_ERR_IN_USE, "no address is left");
	/* Static ones may be outside the range. */
	take_static(f, "c", "10.89.0.7");
}

static void test_the_gateway_anywhere(void **state)
{
	struct fixture *f = *state;

	f->subnet.subnet = (char *)"10.89.0.0/29";
	f->subnet.gateway = (char *)"10.89.0.3";
	take(f, "a", "10.89.0.1");
	take(f, "b", "10.89.0.2");
	take(f, "c", "10.89.0.4");
	f->subnet.gateway = NULL;
	take(f, "d", "10.89.0.5");
}

static void test_ipv6(void **state)
{
	struct fixture *f = *state;

	f->subnet.subnet = (char *)"fd12:3456::/64";
	f->subnet.gateway = (char *)"fd12:3456::1";
	take(f, "a", "fd12:3456::2");
	take(f, "b", "fd12:3456::3");
	take_static(f, "c", "fd12:3456::ff:1");
	release(f, "a", "fd12:3456::2");
	take(f, "d", "fd12:3456::4");
	f->subnet.range_start = (char *)"fd12:3456::ffff:ffff:ffff:fffe";
	take(f, "e", "fd12:3456::ffff:ffff:ffff:fffe");
	refused(f, "g", NULL, KIST_ERR_IN_USE, "no address is left");
}

static void test_both_families_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct kist_net_subnet v4 = f->subnet;

	take(f, "a", "10.89.0.2");
	f->subnet.subnet = (char *)"fd12::/64";
	f->subnet.gateway = (char *)"fd12::1";
	take(f, "a", "fd12::2");
	f->subnet = v4;
	take(f, "b", "10.89.0.3");
	assert_int_equal(kist_net_lease_release_all(&f->leases, "a", NULL), 2);
	assert_int_equal(kist_net_lease_release_all(&f->leases, "a", NULL), 0);
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), 1);
}

/* --- by name
 * ----------------------------------------------------------------------------------------------------------
 */

static void test_static_addresses(void **state)
{
	struct fixture *f = *state;

	take_static(f, "a", "10.89.0.77");
	take_static(f, "a", "10.89.0.77");
	refused(f, "b", "10.89.0.77", KIST_ERR_IN_USE, "10.89.0.77 is in use by a");
	refused(f, "b", "10.90.0.2", KIST_ERR_INVALID, "not in subnet 10.89.0.0/24");
	refused(f, "b", "fd00::2", KIST_ERR_INVALID, "not in subnet");
	refused(f, "b", "10.89.0.1", KIST_ERR_IN_USE, "gateway");
	refused(f, "b", "10.89.0.0", KIST_ERR_INVALID, "network or broadcast");
	refused(f, "b", "10.89.0.255", KIST_ERR_INVALID, "network or broadcast");
	/* The others go around it. */
	f->subnet.range_start = (char *)"10.89.0.76";
	take(f, "c", "10.89.0.76");
	take(f, "d", "10.89.0.78");
	release(f, "a", "10.89.0.77");
	take_static(f, "b", "10.89.0.77");
}

static void test_only_the_owner_releases(void **state)
{
	struct fixture *f = *state;

	take(f, "a", "10.89.0.2");
	release(f, "b", "10.89.0.2");
	release(f, "b", "10.89.0.9");
	refused(f, "b", "10.89.0.2", KIST_ERR_IN_USE, "by a");
	release(f, "a", "10.89.0.2");
	release(f, "a", "10.89.0.2");
	take_static(f, "b", "10.89.0.2");
}

static void test_owners_and_subnets_must_be_right(void **state)
{
	struct fixture *f = *state;

	refused(f, "", NULL, KIST_ERR_INVALID, "owner");
	refused(f, "a\nb", NULL, KIST_ERR_INVALID, "owner");
	f->subnet.subnet = (char *)"10.89.0.0";
	refused(f, "a", NULL, KIST_ERR_INVALID, "not a subnet");
	f->subnet.subnet = (char *)"10.89.0.0/24";
	f->subnet.gateway = (char *)"x";
	refused(f, "a", NULL, KIST_ERR_INVALID, "gateway");
}

/* --- what is stale
 * ------------------------------------------------------------------------------------------------------
 */

static void test_leases_of_an_earlier_boot(void **state)
{
	struct fixture *f = *state;

	f->subnet.subnet = (char *)"10.89.0.0/30"; /* one address */
	take(f, "a", "10.89.0.2");
	refused(f, "b", NULL, KIST_ERR_IN_USE, "no address is left");
	write_lease(f, "10.89.0.2", "a\n00000000-0000-0000-0000-000000000000\n");
	take(f, "b", "10.89.0.2");
	write_lease(f, "10.89.0.2", "a\n00000000-0000-0000-0000-000000000000\n");
	take_static(f, "c", "10.89.0.2");
	write_lease(f, "10.89.0.2", "a\n00000000-0000-0000-0000-000000000000\n");
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), 0);
}

static void test_leases_of_the_dead(void **state)
{
	struct fixture *f = *state;

	f->subnet.subnet = (char *)"10.89.0.0/29";
	for (unsigned i = 2; i < 7; i++) {
		KIST_FREE char *owner = kist_asprintf("c%u", i), *address = kist_asprintf("10.89.0.%u", i);

		take(f, owner, address);
	}
	kist_strv_add(&f->gone, "c3");
	kist_strv_add(&f->gone, "c5");
	take(f, "x", "10.89.0.3");
	take(f, "y", "10.89.0.5");
	refused(f, "z", NULL, KIST_ERR_IN_USE, "no address is left");
	kist_strv_add(&f->gone, "c6");
	take_static(f, "z", "10.89.0.6");
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), 5);
}

static void test_torn_leases(void **state)
{
	static const char *const torn[] = { "", "a", "a\n", "a\nboot", "\n", "no lines at all" };
	struct fixture *f = *state;

	take(f, "a", "10.89.0.2");
	for (size_t i = 0; i < KIST_COUNT(torn); i++) {
		write_lease(f, "10.89.0.2", torn[i]);
		take_static(f, "b", "10.89.0.2");
		release(f, "b", "10.89.0.2");
	}
	KIST_FREE char *large = kist_alloc(100001);
	memset(large, 'x', 100000);
	write_lease(f, "10.89.0.2", large);
	take_static(f, "b", "10.89.0.2");
	/* Hints and strangers are no leases. */
	write_lease(f, "README", "what is this?");
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), 1);
}

static void test_a_nonsensical_hint(void **state)
{
	static const char *const hints[] = { "", "x", "10.90.0.5", "10.89.0.255", "fd00::1", "10.89.0.2\n" };
	struct fixture *f = *state;

	for (size_t i = 0; i < KIST_COUNT(hints); i++) {
		assert_int_equal(kist_replace_file(f->leases.dir, "last", hints[i], strlen(hints[i]), 0600, 0), 0);
		take(f, "a", "10.89.0.2");
		release(f, "a", "10.89.0.2");
	}
}

/* --- many at once
 * -----------------------------------------------------------------------------------------------------
 */

#define PROCESSES 8
#define EACH      25

static void test_many_processes_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t pids[PROCESSES];

	f->subnet.subnet = (char *)"10.89.0.0/24";
	for (unsigned p = 0; p < PROCESSES; p++) {
		pids[p] = child_fork();
		if (pids[p] != 0)
			continue;
		KIST_FREE char *owner = kist_asprintf("owner%u", p);
		for (unsigned i = 0; i < EACH; i++) {
			struct kist_net_addr out;

			if (kist_net_lease_take(&f->leases, &f->subnet, owner, NULL, &out, NULL) < 0)
				_exit(1);
			/* Some go at once. */
			if (i % 5 == 0 && kist_net_lease_release(&f->leases, owner, &out, NULL) < 0)
				_exit(2);
		}
		_exit(0);
	}
	for (unsigned p = 0; p < PROCESSES; p++)
		assert_int_equal(kist_wait_pid(pids[p]), 0);
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), PROCESSES * EACH * 4 / 5);
	for (unsigned p = 0; p < PROCESSES; p++) {
		KIST_FREE char *owner = kist_asprintf("owner%u", p);

		assert_int_equal(kist_net_lease_release_all(&f->leases, owner, NULL), EACH * 4 / 5);
	}
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), 0);
}

static void test_a_killed_process_leaves_no_lock(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 100; i++) {
		KIST_FREE char *owner = kist_asprintf("victim%u", i);
		pid_t pid = child_fork();

		if (pid == 0) {
			struct kist_net_addr out;

			for (;;) {
				kist_net_lease_take(&f->leases, &f->subnet, owner, NULL, &out, NULL);
				kist_net_lease_release(&f->leases, owner, &out, NULL);
			}
		}
		nanosleep(&(struct timespec){ .tv_nsec = 200000 + (long)i * 13000 }, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		kist_strv_add(&f->gone, owner);
	}
	assert_int_equal(kist_net_lease_sweep(&f->leases, NULL), 0);
	f->subnet.range_start = f->subnet.range_end = (char *)"10.89.0.9";
	take(f, "a", "10.89.0.9");
}

static void test_cost_does_not_grow(void **state)
{
	struct fixture *f = *state;
	struct kist_net_addr out;

	f->subnet.subnet = (char *)"10.88.0.0/16";
	f->subnet.gateway = (char *)"10.88.0.1";
	for (unsigned round = 0; round < 2; round++) {
		double best = 1e9;

		for (unsigned i = 0; i < 20; i++) {
			double begin = net_ms();
			OK(kist_net_lease_take(&f->leases, &f->subnet, "me", NULL, &out, E));
			OK(kist_net_lease_release(&f->leases, "me", &out, E));
			double took = net_ms() - begin;
			best = took < best ? took : best;
		}
		print_message("lease and release, %s others: %.3f ms\n", round ? "2000" : "no", best);
		assert_true(best < 50);
		for (unsigned i = 0; i < 2000 && round == 0; i++)
			OK(kist_net_lease_take(&f->leases, &f->subnet, "other", NULL, &out, E));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_next_after_the_last),
		TEST(test_around_the_end),
		TEST(test_a_range),
		TEST(test_the_gateway_anywhere),
		TEST(test_ipv6),
		TEST(test_both_families_side_by_side),
		TEST(test_static_addresses),
		TEST(test_only_the_owner_releases),
		TEST(test_owners_and_subnets_must_be_right),
		TEST(test_leases_of_an_earlier_boot),
		TEST(test_leases_of_the_dead),
		TEST(test_torn_leases),
		TEST(test_a_nonsensical_hint),
		TEST(test_many_processes_at_once),
		TEST(test_a_killed_process_leaves_no_lock),
		TEST(test_cost_does_not_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
