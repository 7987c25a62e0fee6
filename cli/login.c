/* kist login, kist logout. */
#include "cli/registry_commands.h"

#include "core/base/fs.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MAX 65536

struct login_options {
	struct cli_registry registry;
	bool get_login, password_stdin, verbose;
	const char *username, *password, *secret;
};

#define ROW(type, member, name, letter, ...)                                                                           \
	KIST_OPTION(struct login_options, type, member, name, letter, ##__VA_ARGS__)

static const struct kist_option login_rows[] = {
	ROW(FLAG, get_login, "get-login", 0, .help = "Print the name of the account that is kept"),
	ROW(STRING, password, "password", 'p', .metavar = "password",
	    .help = "The password; others can see it in the list of processes"),
	ROW(FLAG, password_stdin, "password-stdin", 0, .help = "Read the password from standard input"),
	ROW(STRING, secret, "secret", 0, .metavar = "name", .completes = KIST_COMPLETE_SECRET,
	    .help = "The password is the value of this secret"),
	ROW(STRING, username, "username", 'u', .metavar = "name", .help = "Name of the account"),
	ROW(FLAG, verbose, "verbose", 'v', .help = "Tell where accounts are looked for"),
	{ 0 },
};

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct login_options *o = options;

	(void)argc;
	(void)argv;
	if (o->password_stdin + !!o->password + !!o->secret > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "--password, --password-stdin and --secret exclude each other");
	if (o->password_stdin && !o->username)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--password-stdin needs --username");
	return 0;
}

/* One line, or all there is without its last newline. */
static int read_password(struct kist_cli *cli, const struct login_options *o, char **out, struct kist_error *err)
{
	KIST_STR struct kist_str text = { 0 };
	struct kist_secret *secret = NULL;
	int r = 0;

	if (o->password) {
		*out = kist_strdup(o->password);
		return 0;
	}
	if (!o->password_stdin && !o->secret)
		return cli_ask("Password", true, out, err);
	if (o->secret) {
		r = kist_secret_open(cli->k, o->secret, &secret, err);
		if (r == 0)
			r = kist_secret_read(cli->k, secret, &text, err);
		kist_secret_free(secret);
	} else {
		r = kist_read_fd(0, PASSWORD_MAX, &text);
		if (r < 0)
			r = kist_fail_errno(err, -r, "read the password");
	}
	if (r < 0)
		return r;
	*out = kist_strndup(kist_str_get(&text), strcspn(kist_str_get(&text), "\r\n"));
	explicit_bzero(text.data, text.len);
	return 0;
}

static int print_account(const char *registry, const char *authfile, struct kist_error *err)
{
	KIST_STR struct kist_str out = { 0 };
	KIST_FREE char *name = NULL;

	int r = kist_registry_account(registry, authfile, &name, err);
	if (r < 0)
		return r;
	kist_str_addf(&out, "%s\n", name);
	return kist_cli_print(&out, err);
}

/* Whoever is logged in and names no account stays so, if the account is still good. 1: there is none. */
static int use_kept(struct kist_cli *cli, const char *registry, const struct kist_registry_options *options,
                    struct kist_error *err)
{
	KIST_FREE char *name = NULL;
	struct kist_error problem = { 0 };

	if (kist_registry_account(registry, options->authfile, &name, &problem) < 0)
		return 1;
	fprintf(stderr, "Authenticating with existing credentials for %s\n", registry);
	int r = kist_registry_login(cli->k, registry, options, &problem);
	if (r < 0 && isatty(0)) {
		kist_complain(cli->program, &problem);
		return 1;
	}
	if (r < 0) {
		if (err)
			*err = problem;
		return r;
	}
	printf("Existing credentials are valid. Already logged in to %s\n", registry);
	return 0;
}

static int ask_and_login(struct kist_cli *cli, const struct login_options *o, const char *registry,
                         struct kist_registry_options *options, struct kist_error *err)
{
	KIST_FREE char *name = kist_strdup(o->username);
	char *password = NULL;

	int r = name ? 0 : cli_ask("Username", false, &name, err);
	if (r == 0)
		r = read_password(cli, o, &password, err);
	if (r < 0)
		return r;
	options->username = name;
	options->password = password;
	r = kist_registry_login(cli->k, registry, options, err);
	explicit_bzero(password, strlen(password));
	free(password);
	if (r == 0)
		puts("Login Succeeded!");
	return r;
}

static int login_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct login_options *o = options;
	KIST_FREE char *registry = kist_registry_host(cli->k, argc > 1 ? argv[1] : NULL);
	struct kist_registry_options how;
	struct cli_progress progress;

	cli_progress_init(&progress, true);
	int r = cli_registry_options(&o->registry, NULL, &progress, &how, err);
	if (r < 0)
		return r;
	if (o->get_login)
		return print_account(registry, o->registry.authfile, err);
	if (o->verbose)
		fprintf(stderr, "Accounts: %s\n",
		        o->registry.authfile ? o->registry.authfile : "as containers-auth.json(5) lists them");
	if (!o->username && !o->password && !o->secret) {
		r = use_kept(cli, registry, &how, err);
		if (r <= 0)
			return r;
	}
	return ask_and_login(cli, o, registry, &how, err);
}

const struct kist_command kist_command_login = {
	.name = "login",
	.parent = "",
	.synopsis = "[options] [REGISTRY]",
	.summary = "Log into a registry",
	.description =
	        "Checks an account at a registry and keeps it for pull and push. Without REGISTRY it is the first "
	        "one of kist.conf, or docker.io.",
	.examples = (const char *const[]){ "login quay.io", "login -u me --password-stdin quay.io < password", NULL },
	.options = (const struct kist_option_set[]){ { login_rows, 0 },
	                                             { cli_registry_rows, offsetof(struct login_options, registry) },
	                                             { 0 } },
	.options_size = sizeof(struct login_options),
	.max_args = 1,
	.needs = KIST_NEEDS_STORE,
	.check = check,
	.run = login_run,
};

/* --- logout ----------------------------------------------------------------------------------------------------- */

struct logout_options {
	bool all;
	const char *authfile;
};

static const struct kist_option logout_rows[] = {
	KIST_OPTION(struct logout_options, FLAG, all, "all", 'a', .help = "Forget all accounts of the file"),
	KIST_OPTION(struct logout_options, STRING, authfile, "authfile", 0, .metavar = "path",
	            .completes = KIST_COMPLETE_FILE, .flags = KIST_OPTION_NONEMPTY,
	            .help = "File of accounts instead of the usual one"),
	{ 0 },
};

static int check_logout(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct logout_options *o = options;

	(void)argv;
	if (o->all && argc > 1)
		return kist_fail(err, KIST_ERR_INVALID, 0, "a registry and --all exclude each other");
	return 0;
}

static int logout_run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct logout_options *o = options;
	KIST_FREE char *registry = o->all ? NULL : kist_registry_host(cli->k, argc > 1 ? argv[1] : NULL);

	int r = kist_registry_logout(registry, o->authfile, err);
	if (r < 0)
		return r;
	printf("Removed login credentials for %s\n", registry ? registry : "all registries");
	return 0;
}

const struct kist_command kist_command_logout = {
	.name = "logout",
	.parent = "",
	.synopsis = "[options] [REGISTRY]",
	.summary = "Forget the account at a registry",
	.examples = (const char *const[]){ "logout quay.io", "logout --all", NULL },
	.options = (const struct kist_option_set[]){ { logout_rows, 0 }, { 0 } },
	.options_size = sizeof(struct logout_options),
	.max_args = 1,
	.needs = KIST_NEEDS_STORE,
	.check = check_logout,
	.run = logout_run,
};
