/* Options of the commands that talk to registries. */
#include "cli/registry_commands.h"

#include "core/base/clock.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct cli_registry, type, member, name, letter, ##__VA_ARGS__)

const struct kist_option cli_registry_rows[] = {
	ROW(STRING, authfile, "authfile", 0, .metavar = "path", .completes = KIST_COMPLETE_FILE,
	    .flags = KIST_OPTION_NONEMPTY, .help = "File of accounts instead of the usual ones"),
	ROW(STRING, cert_dir, "cert-dir", 0, .metavar = "directory", .completes = KIST_COMPLETE_DIRECTORY,
	    .flags = KIST_OPTION_NONEMPTY,
	    .help = "Directory of certificates: CAs as *.crt, one's own as *.cert and *.key"),
	ROW(OPT_U64, retry, "retry", 0, .metavar = "n", .help = "Try again so often after what passes by itself (3)"),
	ROW(DURATION, retry_delay, "retry-delay", 0, .metavar = "duration",
	    .help = "Time before each new try; otherwise half a second, doubling"),
	ROW(OPT_BOOL, tls_verify, "tls-verify", 0,
	    .help = "Check the registry's certificate (true, unless kist.conf says otherwise)"),
	CLI_CONTENT_TRUST_ROW,
	{ 0 },
};

#undef ROW
#define ROW(type, member, name, letter, ...) KIST_OPTION(struct cli_platform, type, member, name, letter, ##__VA_ARGS__)

const struct kist_option cli_platform_rows[] = {
	ROW(STRING, architecture, "arch", 0, .metavar = "architecture", .flags = KIST_OPTION_NONEMPTY,
	    .help = "Architecture of the image instead of the host's"),
	ROW(STRING, os, "os", 0, .metavar = "os", .flags = KIST_OPTION_NONEMPTY,
	    .help = "Operating system of the image: linux"),
	ROW(STRING, platform, "platform", 0, .metavar = "os/arch[/variant]", .flags = KIST_OPTION_NONEMPTY,
	    .help = "Platform of the image instead of the host's"),
	ROW(STRING, variant, "variant", 0, .metavar = "variant", .help = "Variant of the architecture, such as v7"),
	{ 0 },
};

int cli_content_trust(void *object, const struct kist_option *option, const char *value, struct kist_error *err)
{
	bool disable = false;

	(void)object;
	(void)option;
	if (kist_parse_bool(value, &disable) < 0)
		return kist_fail(err, KIST_ERR_INVALID, 0, "'%s' is not true or false", value);
	return disable ? 0 : kist_fail(err, KIST_ERR_INVALID, 0, "signatures of content trust are not supported");
}

int cli_platform(const struct cli_platform *o, char **storage, struct kist_platform *out, struct kist_error *err)
{
	*out = (struct kist_platform){ .os = o->os, .architecture = o->architecture, .variant = o->variant };
	if (!o->platform)
		return 0;
	if (o->os || o->architecture || o->variant)
		return kist_fail(err, KIST_ERR_INVALID, 0, "--platform and --os, --arch, --variant exclude each other");
	char *text = *storage = kist_strdup(o->platform);
	char *slash = strchr(text, '/');
	out->os = text;
	if (slash) {
		*slash++ = '\0';
		out->architecture = slash;
		slash = strchr(slash, '/');
	}
	if (slash) {
		*slash++ = '\0';
		out->variant = slash;
	}
	if (!*out->os || (out->architecture && !*out->architecture) || (out->variant && strchr(out->variant, '/')))
		return kist_fail(err, KIST_ERR_INVALID, 0, "platform '%s': expected OS/ARCH[/VARIANT]", o->platform);
	return 0;
}

/* --- the terminal ----------------------------------------------------------------------------------------------- */

int cli_ask(const char *question, bool secret, char **out, struct kist_error *err)
{
	struct termios old, quiet;
	char *line = NULL;
	size_t room = 0;

	if (!isatty(0))
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 "standard input is no terminal to ask for the account: use "
		                 "--username and --password-stdin");
	fprintf(stderr, "%s: ", question);
	fflush(stderr);
	bool hidden = secret && tcgetattr(0, &old) == 0;
	if (hidden) {
		quiet = old;
		quiet.c_lflag &= (tcflag_t)~ECHO;
		tcsetattr(0, TCSAFLUSH, &quiet);
	}
	ssize_t n = getline(&line, &room, stdin);
	if (hidden) {
		tcsetattr(0, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (n < 0) {
		free(line);
		return kist_fail(err, KIST_ERR_INVALID, 0, "no answer");
	}
	line[strcspn(line, "\r\n")] = '\0';
	*out = line;
	return 0;
}

/* --- progress --------------------------------------------------------------------------------------------------- */

#define REDRAW_NS (100 * 1000000LL)
#define BAR       30

void cli_progress_init(struct cli_progress *progress, bool quiet)
{
	*progress = (struct cli_progress){ .quiet = quiet, .terminal = isatty(2), .verb = "Copying" };
}

void cli_progress_end(struct cli_progress *progress)
{
	if (progress->terminal && progress->blob[0])
		fputc('\n', stderr);
	progress->blob[0] = '\0';
}

static void draw(struct cli_progress *progress, const struct kist_progress *p)
{
	int64_t now = kist_now_boot();
	bool opened = !kist_streq(progress->blob, p->what);
	char done[24], total[24], bar[BAR + 1];

	if (opened) {
		size_t len = strnlen(p->what, sizeof(progress->blob) - 1);
		cli_progress_end(progress);
		memcpy(progress->blob, p->what, len);
		progress->blob[len] = '\0';
	}
	if (!progress->terminal) {
		if (opened)
			fprintf(stderr, "%s blob sha256:%s\n", progress->verb, p->what);
		return;
	}
	if (!opened && now - progress->drawn < REDRAW_NS && p->done < p->total)
		return;
	progress->drawn = now;
	size_t filled = p->total ? (size_t)(p->done * BAR / p->total) : 0;
	for (size_t i = 0; i < BAR; i++)
		bar[i] = i < filled ? '=' : i == filled ? '>' : ' ';
	bar[BAR] = '\0';
	kist_size_human(done, p->done);
	kist_size_human(total, p->total);
	fprintf(stderr, "\r\033[K%s blob %.12s [%s] %s / %s", progress->verb, p->what, bar, done, total);
	fflush(stderr);
}

static void finish_line(struct cli_progress *progress, const struct kist_progress *p, const char *how)
{
	if (progress->terminal)
		fprintf(stderr, "\r\033[K%s blob %.12s %s\n", progress->verb, p->what, how);
	else if (p->step == KIST_PROGRESS_SKIPPED)
		fprintf(stderr, "%s blob sha256:%s %s\n", progress->verb, p->what, how);
	progress->blob[0] = '\0';
}

static void show(void *arg, const struct kist_progress *p)
{
	struct cli_progress *progress = arg;

	if (progress->quiet)
		return;
	switch (p->step) {
	case KIST_PROGRESS_TRY:
		cli_progress_end(progress);
		fprintf(stderr, "Trying to pull %s...\n", p->what);
		return;
	case KIST_PROGRESS_BLOB:
		draw(progress, p);
		return;
	case KIST_PROGRESS_DONE:
		finish_line(progress, p, "done");
		return;
	case KIST_PROGRESS_SKIPPED:
		finish_line(progress, p, "skipped: already exists");
		return;
	case KIST_PROGRESS_CONFIG:
		cli_progress_end(progress);
		fprintf(stderr, "%s config sha256:%s\n", progress->verb, p->what);
		return;
	case KIST_PROGRESS_MANIFEST:
		cli_progress_end(progress);
		fprintf(stderr, "Writing manifest to image destination\n");
		return;
	}
}

int cli_registry_options(const struct cli_registry *o, char *creds, struct cli_progress *progress,
                         struct kist_registry_options *out, struct kist_error *err)
{
	*out = (struct kist_registry_options){ .authfile = o->authfile,
		                               .cert_dir = o->cert_dir,
		                               .tls_verify = o->tls_verify,
		                               .retries = o->retry,
		                               .retry_delay = o->retry_delay,
		                               .progress = show,
		                               .arg = progress };
	if (!creds)
		return 0;
	char *colon = strchr(creds, ':');
	out->username = creds;
	out->password = colon ? colon + 1 : "";
	if (colon)
		*colon = '\0';
	return *creds ? 0 : kist_fail(err, KIST_ERR_INVALID, 0, "--creds: expected NAME[:PASSWORD]");
}
