#include "cli/command.h"
#include "cli/man.h"

#include "core/base/error.h"
#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* The front end's own struct, as the program defines it. */
struct kist_cli {
	const char *root;
	bool debug;
	char **seen; /* what ran, in order */
};
struct run_options {
	bool detach, latest;
	const char *network;
	char **env;
};

static int run_any(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	struct run_options *o = options;
	KIST_FREE char *joined = kist_strv_join(argv, " ");
	KIST_FREE char *env = kist_strv_join(o->env, ",");

	assert_null(argv[argc]);
	kist_strv_take(&cli->seen, kist_asprintf("run %s d=%d net=%s env=%s", joined, o->detach, o->network, env));
	if (kist_streq(argv[1], "missing"))
		return kist_fail(err, KIST_ERR_EXEC_MISSING, ENOENT, "start web: \x1b[2J: not found");
	return kist_streq(argv[1], "seven") ? 7 : 0;
}

static int run_ps(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	(void)options;
	if (argc > 1)
		return kist_fail(err, KIST_ERR_NOT_FOUND, ENOENT, "no container %s", argv[1]);
	kist_strv_take(&cli->seen, kist_asprintf("%s root=%s debug=%d", argv[0], cli->root, cli->debug));
	return 0;
}

static int check_rm(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct run_options *o = options;

	(void)argv;
	if (o->latest && argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "--latest and names exclude each other");
	if (!o->latest && argc == 1)
		return kist_fail(err, KIST_ERR_INVALID, EINVAL, "needs a name or --latest");
	return 0;
}

static const char *const drivers[] = { "none", "host", NULL };
static const struct kist_option rows[] = {
	KIST_OPTION(struct run_options, STRING, network, "network", 0, .metavar = "MODE",
	            .help = "Connect to a network", .fallback = "none", .choices = drivers),
	KIST_OPTION(struct run_options, FLAG, detach, "detach", 'd', .help = "Run in the background\nand print the id"),
	KIST_OPTION(struct run_options, FLAG, latest, "latest", 'l', .help = "Never seen", .flags = KIST_OPTION_HIDDEN),
	{ 0 },
};
static const struct kist_option more[] = {
	KIST_OPTION(struct run_options, LIST, env, "env", 'e', .help = "Set a variable"),
	{ 0 },
};
static const struct kist_option_set sets[] = { { rows, 0 }, { more, 0 }, { 0 } };
static const struct kist_option global_rows[] = {
	KIST_OPTION(struct kist_cli, STRING, root, "root", 0, .help = "Where the state lives",
	            .fallback = "/var/lib/kist", .completes = KIST_COMPLETE_DIRECTORY),
	KIST_OPTION(struct kist_cli, FLAG, debug, "debug", 0, .help = "Say more"),
	{ 0 },
};
static const struct kist_option_set globals[] = { { global_rows, 0 }, { 0 } };

static const struct kist_command command_run = {
	.name = "run",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] IMAGE [COMMAND [ARG...]]",
	.summary = "Run a command in a new container",
	.examples = (const char *const[]){ "run -d busybox sleep 10", NULL },
	.options = sets,
	.options_size = sizeof(struct run_options),
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
	.completes_first = KIST_COMPLETE_IMAGE,
	.run = run_any,
};
static const struct kist_command_alias ps_aliases[] = { { NULL, "ls" }, { "container", "list" }, { 0 } };
static const struct kist_command command_ps = {
	.name = "ps",
	.parent = "",
	.also_under = "container",
	.aliases = ps_aliases,
	.summary = "List containers",
	.max_args = 1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.run = run_ps,
};
static const struct kist_command command_rm = {
	.name = "rm",
	.parent = "",
	.summary = "Remove containers",
	.options = sets,
	.options_size = sizeof(struct run_options),
	.min_args = 1,
	.max_args = -1,
	.run = run_any,
	.check = check_rm,
};
static const struct kist_command command_container = {
	.name = "container", .parent = "", .summary = "Manage containers", .is_group = true, .max_args = -1
};
static const struct kist_command command_image = {
	.name = "image", .parent = "", .summary = "Manage images", .is_group = true, .max_args = -1
};
static const struct kist_command command_image_prune = {
	.name = "prune", .parent = "image", .summary = "Remove unused images", .run = run_ps
};
static const struct kist_command *const commands[] = {
	&command_run, &command_ps, &command_rm, &command_container, &command_image, &command_image_prune, NULL
};

static int before(struct kist_cli *cli, const struct kist_command *command, struct kist_error *err)
{
	kist_strv_take(&cli->seen, kist_asprintf("before %s %u", command->name, command->needs));
	return kist_streq(cli->root, "/bad") ? kist_fail_errno(err, EACCES, "open %s", cli->root) : 0;
}

static void after(struct kist_cli *cli, const struct kist_command *command)
{
	kist_strv_take(&cli->seen, kist_asprintf("after %s", command->name));
}

static void complete(struct kist_cli *cli, enum kist_complete kind, const char *prefix, char ***names)
{
	(void)cli;
	(void)prefix;
	assert_int_equal(kind, KIST_COMPLETE_CONTAINER);
	kist_strv_add(names, "web");
	kist_strv_add(names, "db");
	kist_strv_add(names, "w\x1b");
}

static const struct kist_program program = {
	.name = "kist",
	.summary = "Run containers without a daemon",
	.version = "1.2",
	.commands = commands,
	.globals = globals,
	.before = before,
	.after = after,
	.complete = complete,
	.complete_needs = 5,
};

struct outcome {
	int code;
	char *out, *err, *seen;
};

static int redirect(int fd, const char *name, int *saved)
{
	int file = memfd_create(name, MFD_CLOEXEC);

	*saved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	assert_true(file >= 0 && *saved >= 0 && dup2(file, fd) == fd);
	return file;
}

static char *restore(int fd, int file, int saved)
{
	struct kist_str text = { 0 };

	assert_int_equal(dup2(saved, fd), fd);
	close(saved);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	assert_true(kist_read_fd(file, 1 << 20, &text) >= 0);
	close(file);
	return kist_str_take(&text);
}

/* line: words parted by blanks. */
static struct outcome call(const char *line)
{
	KIST_STRV char **words = kist_strv_split(line, ' ');
	size_t n = kist_strv_len(words);
	KIST_FREE char **argv = kist_grow(NULL, n + 1, sizeof(*argv));
	struct kist_cli cli = { 0 };
	struct outcome o = { 0 };
	int out, err, saved_out, saved_err;

	for (size_t i = 0; i <= n; i++)
		argv[i] = words[i];
	fflush(stdout);
	out = redirect(STDOUT_FILENO, "out", &saved_out);
	err = redirect(STDERR_FILENO, "err", &saved_err);
	o.code = kist_program_main(&program, &cli, (int)n, argv);
	fflush(stdout);
	o.out = restore(STDOUT_FILENO, out, saved_out);
	o.err = restore(STDERR_FILENO, err, saved_err);
	o.seen = kist_strv_join(cli.seen, "; ");
	kist_strv_free(cli.seen);
	return o;
}

static void expect(const char *line, int code, const char *seen, const char *err)
{
	struct outcome o = call(line);

	assert_string_equal(o.err, err);
	assert_string_equal(o.seen ? o.seen : "", seen);
	assert_int_equal(o.code, code);
	free(o.out);
	free(o.err);
	free(o.seen);
}

static void expect_out(const char *line, const char *out)
{
	struct outcome o = call(line);

	assert_string_equal(o.out, out);
	assert_string_equal(o.err, "");
	assert_int_equal(o.code, 0);
	free(o.out);
	free(o.err);
	free(o.seen);
}

static void test_dispatch(void **state)
{
	(void)state;
	expect("kist ps", 0, "before ps 0; ps root=/var/lib/kist debug=0; after ps", "");
	expect("kist --root /r --debug ls", 0, "before ps 0; ls root=/r debug=1; after ps", "");
	expect("kist container list --root=/r", 0, "before ps 0; list root=/r debug=0; after ps", "");
	expect("kist container ls", 0, "before ps 0; ls root=/var/lib/kist debug=0; after ps", "");
	expect("kist image prune", 0, "before prune 0; prune root=/var/lib/kist debug=0; after prune", "");
	expect("kist run -d -eA=1 -e B=2 img -d --help", 0,
	       "before run 0; run run img -d --help d=1 net=none env=A=1,B=2; after run", "");
	expect("kist container run seven", 7, "before run 0; run run seven d=0 net=none env=; after run", "");
	expect("kist run missing", 127, "before run 0; run run missing d=0 net=none env=; after run",
	       "kist: start web: \\x1b[2J: not found\n");
	expect("kist ps x", 125, "before ps 0; after ps", "kist: no container x\n");
	expect("kist --root /bad ps", 125, "before ps 0; after ps", "kist: open /bad: Permission denied\n");
}

static void test_mistakes(void **state)
{
	(void)state;
	expect("kist", 125, "", "kist: a command is missing\nSee 'kist --help'\n");
	expect("kist foo", 125, "", "kist: unknown command 'foo'\nSee 'kist --help'\n");
	expect("kist --foo ps", 125, "", "kist: unknown option '--foo'\nSee 'kist --help'\n");
	expect("kist run --foo", 125, "", "kist: run: unknown option '--foo'\nSee 'kist run --help'\n");
	expect("kist container run --foo", 125, "", "kist: run: unknown option '--foo'\nSee 'kist run --help'\n");
	expect("kist run", 125, "", "kist: run: needs at least 1 argument, but was given 0\nSee 'kist run --help'\n");
	expect("kist ps a b", 125, "", "kist: ps: takes at most 1 argument, but was given 2\nSee 'kist ps --help'\n");
	expect("kist image prune x", 125, "",
	       "kist: image prune: takes no arguments, but was given 'x'\nSee 'kist image prune --help'\n");
	expect("kist image", 125, "", "kist: image: a command is missing\nSee 'kist image --help'\n");
	expect("kist image nope", 125, "", "kist: image: unknown command 'nope'\nSee 'kist image --help'\n");
	expect("kist rm -l x", 125, "", "kist: rm: --latest and names exclude each other\nSee 'kist rm --help'\n");
	expect("kist rm", 125, "", "kist: rm: needs a name or --latest\nSee 'kist rm --help'\n");
	expect("kist help nope", 125, "before help 0; after help", "kist: unknown command 'nope'\n");
	expect("kist completion tcsh", 125, "before completion 0; after completion",
	       "kist: no completion for the shell 'tcsh'; there is one for bash, zsh and fish\n");
}

static const char run_help[] = "Run a command in a new container\n"
                               "\n"
                               "Description:\n"
                               "  Run a command in a new container\n"
                               "\n"
                               "Usage:\n"
                               "  kist run [options] IMAGE [COMMAND [ARG...]]\n"
                               "\n"
                               "Aliases:\n"
                               "  kist container run\n"
                               "\n"
                               "Examples:\n"
                               "  kist run -d busybox sleep 10\n"
                               "\n"
                               "Options:\n"
                               "  -d, --detach         Run in the background\n"
                               "                       and print the id\n"
                               "  -e, --env string     Set a variable\n"
                               "      --network MODE   Connect to a network (default \"none\")\n";

static void test_help(void **state)
{
	(void)state;
	expect_out("kist run --help", run_help);
	expect_out("kist help run", run_help);
	expect_out("kist container run -h", run_help);
	expect_out("kist --version", "kist version 1.2\n");
	expect_out("kist container --help",
	           "Manage containers\n\nDescription:\n  Manage containers\n\nUsage:\n  kist container [command]\n"
	           "\nAvailable Commands:\n"
	           "  ps          List containers\n"
	           "  run         Run a command in a new container\n");
	expect_out("kist --help",
	           "Run containers without a daemon\n\nUsage:\n  kist [options] [command]\n\nAvailable Commands:\n"
	           "  completion  Print a completion script for a shell\n"
	           "  container   Manage containers\n"
	           "  help        Help about a command\n"
	           "  image       Manage images\n"
	           "  ps          List containers\n"
	           "  rm          Remove containers\n"
	           "  run         Run a command in a new container\n"
	           "\nOptions:\n"
	           "      --debug         Say more\n"
	           "      --root string   Where the state lives (default \"/var/lib/kist\")\n"
	           "\nSee 'kist COMMAND --help' for the options of a command.\n");
}

static void test_complete(void **state)
{
	static const char *const shells[] = { "bash", "zsh", "fish" };

	(void)state;
	expect_out("kist __complete container w", "web\n");
	expect_out("kist __complete container", "web\ndb\n");
	expect_out("kist __complete nonsense x", "");
	expect_out("kist __complete command r", "rm\nrun\n");
	expect("kist __complete container w", 0, "before __complete 5; after __complete", "");
	expect("kist --root /bad __complete container w", 0, "before __complete 5; after __complete", "");
	for (size_t i = 0; i < KIST_COUNT(shells); i++) {
		KIST_STR struct kist_str script = { 0 };

		assert_int_equal(kist_completion_script(&program, shells[i], &script, NULL), 0);
		assert_non_null(strstr(script.data, "network"));
		assert_non_null(strstr(script.data, "/container/list"));
		assert_null(strstr(script.data, "latest"));
		assert_null(strstr(script.data, "__man"));
	}
}

static void test_man(void **state)
{
	KIST_STR struct kist_str out = { 0 };
	struct kist_error err = { 0 };

	(void)state;
	expect_out("kist __man",
	           "kist\nkist-run\nkist-ps\nkist-rm\nkist-container\nkist-image\nkist-image-prune\nkist-help\n"
	           "kist-completion\n");
	expect_out("kist __man run",
	           ".Sh SYNOPSIS\n.Nm kist run\n[options] \\fIIMAGE\\fP [\\fICOMMAND\\fP [\\fIARG\\fP...]]\n"
	           ".Sh OPTIONS\n.Bl -tag -width Ds\n"
	           ".It Fl d , Fl -detach\nRun in the background\nand print the id.\n"
	           ".It Fl e , Fl -env Ns = Ns Ar \"string\"\nSet a variable.\nMay be given several times.\n"
	           ".It Fl -network Ns = Ns Ar \"MODE\"\nConnect to a network.\nThe default is \\(dqnone\\(dq.\n"
	           ".El\n");
	assert_int_equal(kist_man_fill(&program, &command_ps, ".Dd x\n@SYNOPSIS@\n@OPTIONS@\ntext@\n", &out, &err), 0);
	assert_string_equal(out.data, ".Dd x\n.Sh SYNOPSIS\n.Nm kist ps\ntext@\n");
	assert_int_equal(kist_man_fill(&program, &command_ps, "@NOPE@\n", &out, &err), -EINVAL);
	assert_string_equal(err.text, "unknown line @NOPE@");
	kist_error_clear(&err);
	assert_int_equal(kist_man_fill(&program, &command_run, "@OPTIONS@\n@OPTIONS@", &out, &err), -EINVAL);
	assert_string_equal(err.text, "@OPTIONS@ stands twice");
}

static void test_find(void **state)
{
	char *const words[] = { (char *)"container", (char *)"list", (char *)"x", NULL };
	int used;

	(void)state;
	assert_ptr_equal(kist_command_find(&program, 3, words, &used), &command_ps);
	assert_int_equal(used, 2);
	assert_ptr_equal(kist_command_find(&program, 1, words, &used), &command_container);
	assert_int_equal(used, 1);
	assert_null(kist_command_find(&program, 2, words + 1, &used));
	assert_int_equal(used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dispatch), cmocka_unit_test(test_mistakes), cmocka_unit_test(test_help),
		cmocka_unit_test(test_complete), cmocka_unit_test(test_man),      cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
