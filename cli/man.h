/* Manual pages: prose by hand in man/NAME.1.in, the rest from the tables.
 *
 * 'kist __man' prints the names of all pages of commands ("kist-run"), one a line; 'kist __man COMMAND...' prints the
 * SYNOPSIS and OPTIONS sections in mdoc(7); 'kist __man --page FILE COMMAND...' copies FILE, replacing the lines
 *   @SYNOPSIS@   the SYNOPSIS section
 *   @OPTIONS@    the OPTIONS section; nothing when the command has no options
 *   @COMMANDS@   a list of the commands of a group, or of all for kist(1)
 *   @GLOBALS@    the items of the global options
 * The NAME section of a page calls it ".Nm kist-run".
 * COMMAND 'kist' (the program's own name) is the program itself. */
#ifndef KIST_MAN_H
#define KIST_MAN_H

struct kist_command;
struct kist_error;
struct kist_program;
struct kist_str;

/* command NULL: the program itself. */
void kist_man_synopsis(const struct kist_program *program, const struct kist_command *command, struct kist_str *out);
void kist_man_options(const struct kist_program *program, const struct kist_command *command, struct kist_str *out);
void kist_man_commands(const struct kist_program *program, const struct kist_command *group, struct kist_str *out);
void kist_man_globals(const struct kist_program *program, struct kist_str *out);
void kist_man_pages(const struct kist_program *program, struct kist_str *out);

/* Replaces the @...@ lines of a page's text. -EINVAL with err set: an unknown or twice used @WORD@ line. */
int kist_man_fill(const struct kist_program *program, const struct kist_command *command, const char *text,
                  struct kist_str *out, struct kist_error *err);

#endif
