/* kist logs. */
#include "cli/logs.h"
#include "cli/view_commands.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/proc.h"
#include "core/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#define BUFFER   (64u << 10)
#define SHORT_ID 12

#define ROW(type, member, name, letter, ...) KIST_OPTION(struct logs_options, type, member, name, letter, ##__VA_ARGS__)

const struct kist_option kist_logs_rows[] = {
	ROW(FLAG, color, "color", 0, .help = "Show the lines of each container in a colour of its own"),
	ROW(FLAG, follow, "follow", 'f', .help = "Go on until the container has ended"),
	ROW(FLAG, latest, "latest", 'l', .help = "Of what was created last"),
	ROW(FLAG, names, "names", 'n', .help = "Begin each line with the container's name"),
	ROW(STRING, since, "since", 0, .metavar = "time",
	    .help = "Leave out what is older: a date, unix seconds, or 10m for ten minutes ago"),
	ROW(I64, tail, "tail", 0, .fallback = "-1", .metavar = "lines",
	    .help = "Show the last lines alone; -1 for all"),
	ROW(FLAG, timestamps, "timestamps", 't', .help = "Begin each line with its time"),
	ROW(STRING, until, "until", 0, .metavar = "time", .help = "Leave out what is newer"),
	{ 0 },
};

int cli_parse_time(const char *option, const char *text, int64_t *out, struct kist_error *err)
{
	if (!text || kist_time_parse(text, out) == 0)
		return 0;
	return kist_fail(err, KIST_ERR_INVALID, 0,
	                 "option '--%s': '%s' is neither a time (2026-01-02T15:04:05) nor a duration (10m)", option,
	                 text);
}

static int parse(const struct logs_options *o, struct kist_log_options *out, struct kist_error *err)
{
	int r = cli_parse_time("since", o->since, &out->since, err);

	if (r == 0)
		r = cli_parse_time("until", o->until, &out->until, err);
	out->tail = o->tail < 0 ? -1 : o->tail;
	out->follow = o->follow;
	return r;
}

int kist_logs_check(const struct logs_options *o, struct kist_error *err)
{
	struct kist_log_options parsed = { 0 };

	return parse(o, &parsed, err);
}

static int check(const void *options, int argc, char **argv, struct kist_error *err)
{
	const struct logs_options *o = options;

	(void)argv;
	if (o->latest ? argc > 1 : argc < 2)
		return kist_fail(err, KIST_ERR_INVALID, 0,
		                 o->latest ? "container names and --latest exclude each other"
		                           : "name a container, or use --latest");
	return kist_logs_check(o, err);
}

/* --- printing -------------------------------------------------------------------------------------------------------
 */

/* Of the prefix and the text, by turns; podman's are the same kind of thing. */
static const char *const colours[] = { "\033[36m", "\033[33m", "\033[32m", "\033[35m", "\033[34m", "\033[31m" };

struct printer {
	const struct logs_options *options;
	const char *colour;  /* NULL: none */
	char *prefix;        /* name or id of the container, NULL: none */
	struct kist_str out; /* not written yet */
	int fd;              /* where that goes */
	bool inside[3];      /* by stream: a partial line has been begun */
	int problem;
};

/* The order of the two streams is kept as far as two descriptors can keep it. */
static int flush(struct printer *p)
{
	int r = p->out.len ? kist_write_all(p->fd, p->out.data, p->out.len) : 0;

	kist_str_clear(&p->out);
	return r;
}

static int print_line(void *arg, const struct kist_log_line *line)
{
	struct printer *p = arg;
	int fd = line->stream == 2 ? 2 : 1;
	char when[40];

	if (fd != p->fd && (p->problem = flush(p)) < 0)
		return 1;
	p->fd = fd;
	if (!p->inside[line->stream]) {
		if (p->colour)
			kist_str_add(&p->out, p->colour);
		if (p->prefix)
			kist_str_addf(&p->out, "%s ", p->prefix);
		if (p->options->timestamps)
			kist_str_addf(&p->out, "%s ", kist_time_format(when, line->time, false));
	}
	p->inside[line->stream] = line->partial;
	kist_str_addn(&p->out, line->text, line->len);
	if (!line->partial && p->colour)
		kist_str_add(&p->out, "\033[0m");
	if (!line->partial)
		kist_str_addc(&p->out, '\n');
	/* Who follows wants to see each line at once. */
	if (p->options->follow || p->out.len >= BUFFER)
		p->problem = flush(p);
	return p->problem < 0 ? 1 : 0;
}

/* at: which one of several it is. */
static int print_container(struct kist_container *c, const struct logs_options *o,
                           const struct kist_log_options *parsed, bool several, size_t at, struct kist_error *err)
{
	struct printer p = { .options = o, .fd = 1 };

	if (o->color)
		p.colour = colours[at % KIST_COUNT(colours)];
	if (o->names)
		p.prefix = kist_strdup(kist_container_name(c));
	else if (several)
		p.prefix = kist_strndup(kist_container_id(c), SHORT_ID);
	int r = kist_container_logs(c, parsed, print_line, &p, err);
	if (r == 0 && p.problem == 0)
		p.problem = flush(&p);
	if (r == 0 && p.problem < 0)
		r = kist_fail_errno(err, -p.problem, "write output");
	kist_str_free(&p.out);
	free(p.prefix);
	return r;
}

/* --- several at once ------------------------------------------------------------------------------------------------
 */

/* A process for each container: they wait for different files, and a line is one write. */
static pid_t follow_one(struct kist_cli *cli, struct kist_container *c, const struct logs_options *o,
                        const struct kist_log_options *parsed, size_t at)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	struct kist_error problem = { 0 };
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(KIST_EXIT_ENGINE);
	int r = print_container(c, o, parsed, true, at, &problem);
	if (r < 0)
		kist_complain(cli->program, &problem);
	_exit(r < 0 ? KIST_EXIT_ENGINE : 0);
}

static int follow_all(struct kist_cli *cli, struct kist_container **list, size_t n, const struct logs_options *o,
                      const struct kist_log_options *parsed, struct kist_error *err)
{
	KIST_FREE pid_t *pids = kist_alloc(n * sizeof(*pids));
	int code = 0, r = 0;
	size_t started = 0;

	fflush(stdout);
	for (; started < n; started++) {
		pids[started] = follow_one(cli, list[started], o, parsed, started);
		if (pids[started] < 0) {
			r = kist_fail_errno(err, errno, "start a process for container %s",
			                    kist_container_name(list[started]));
			break;
		}
	}
	for (size_t i = 0; i < started; i++) {
		if (r < 0)
			kill(pids[i], SIGTERM);
		int ended = kist_wait_pid(pids[i]);
		code = ended != 0 ? KIST_EXIT_ENGINE : code;
	}
	return r < 0 ? r : code;
}

static int print_all(struct kist_cli *cli, struct kist_container **list, size_t n, const struct logs_options *o,
                     const struct kist_log_options *parsed, struct kist_error *err)
{
	int code = 0;

	if (n == 1)
		return print_container(list[0], o, parsed, false, 0, err);
	if (o->follow)
		return follow_all(cli, list, n, o, parsed, err);
	for (size_t i = 0; i < n; i++) {
		struct kist_error problem = { 0 };
		if (print_container(list[i], o, parsed, true, i, &problem) < 0) {
			kist_complain(cli->program, &problem);
			code = KIST_EXIT_ENGINE;
		}
	}
	return code;
}

int kist_logs_print(struct kist_cli *cli, struct kist_container **list, size_t n, const struct logs_options *o,
                    struct kist_error *err)
{
	struct kist_log_options parsed = { 0 };
	int r = parse(o, &parsed, err);

	return r < 0 || n == 0 ? r : print_all(cli, list, n, o, &parsed, err);
}

static int run(struct kist_cli *cli, void *options, int argc, char **argv, struct kist_error *err)
{
	const struct logs_options *o = options;
	size_t n = o->latest ? 1 : (size_t)argc - 1, opened = 0;
	KIST_FREE struct kist_container **list = kist_alloc(n * sizeof(struct kist_container *));
	int r = 0;

	/* All are looked up first: a misspelt name is told before pages of text. */
	for (; r == 0 && opened < n; opened++)
		r = kist_cli_open(cli, o->latest, o->latest ? NULL : argv[opened + 1], &list[opened], err);
	if (r == 0)
		r = kist_logs_print(cli, list, n, o, err);
	for (size_t i = 0; i < opened; i++)
		kist_container_free(list[i]);
	return r;
}

const struct kist_command kist_command_logs = {
	.name = "logs",
	.parent = "",
	.also_under = "container",
	.synopsis = "[options] CONTAINER [CONTAINER...]",
	.summary = "Show what containers have printed",
	.description = "Prints the log of each container: what it wrote to its standard output goes to standard "
	               "output, and what it\n"
	               "wrote to its standard error to standard error. Nothing is locked, and following does not hold "
	               "up other calls.",
	.examples = (const char *const[]){ "logs --tail 20 -f web", "logs --since 10m --timestamps web db", NULL },
	.options = (const struct kist_option_set[]){ { kist_logs_rows, 0 }, { 0 } },
	.options_size = sizeof(struct logs_options),
	.max_args = -1,
	.completes_first = KIST_COMPLETE_CONTAINER,
	.completes_rest = KIST_COMPLETE_CONTAINER,
	.needs = KIST_NEEDS_STORE,
	.run = run,
	.check = check,
};
