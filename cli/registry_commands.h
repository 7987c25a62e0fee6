/* The rows of the commands that talk to registries, and the options that they share with run and create. */
#ifndef KIST_REGISTRY_COMMANDS_H
#define KIST_REGISTRY_COMMANDS_H

#include "cli/cli.h"

extern const struct kist_command kist_command_login, kist_command_logout, kist_command_pull, kist_command_push;

/* For the program's table. */
#define KIST_REGISTRY_COMMANDS &kist_command_login, &kist_command_logout, &kist_command_pull, &kist_command_push,

struct cli_registry {
	const char *authfile, *cert_dir;
	struct kist_opt tls_verify, retry;
	int64_t retry_delay;
};
extern const struct kist_option cli_registry_rows[];

struct cli_platform {
	const char *architecture, *os, *platform, *variant;
};
extern const struct kist_option cli_platform_rows[];

/* docker's option: there is no content trust to disable, and none to ask for. */
int cli_content_trust(void *object, const struct kist_option *option, const char *value, struct kist_error *err);
#define CLI_CONTENT_TRUST_ROW                                                                                          \
	{                                                                                                              \
		.name = "disable-content-trust", .type = KIST_O_CALLBACK, .metavar = "bool", .implied = "true",        \
		.set = cli_content_trust,                                                                              \
		.help = "Accepted for docker's scripts: there is no content trust, so only true is possible"           \
	}

/* What is shown while layers go to and fro: on standard error. */
struct cli_progress {
	bool quiet, terminal;
	char blob[65];    /* the one whose line is open */
	int64_t drawn;    /* when, on the monotonic clock */
	const char *verb; /* "Copying" */
};
/* Both structs must outlive the options. creds: NAME[:PASSWORD], may be NULL; it is cut in place. */
int cli_registry_options(const struct cli_registry *o, char *creds, struct cli_progress *progress,
                         struct kist_registry_options *out, struct kist_error *err);
void cli_progress_init(struct cli_progress *progress, bool quiet);
void cli_progress_end(struct cli_progress *progress); /* before an error is printed */
/* storage: cut apart and pointed to by *out; the caller frees. */
int cli_platform(const struct cli_platform *o, char **storage, struct kist_platform *out, struct kist_error *err);
/* A line from the terminal, without echo where it is a secret. */
int cli_ask(const char *question, bool secret, char **out, struct kist_error *err);

#endif
