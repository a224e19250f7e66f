/*
 * The command line, read by the table of commands (cli/command.h): no other place knows an option. Options
 * are long ("--name value" or "--name=value"), are never abbreviated, and may stand anywhere; "--" ends them.
 * --json, --config FILE, --help (-h) and --version belong to every command; an option of a command's own
 * that is called so comes first.
 */
#ifndef HOLDFAST_CLI_ARGUMENTS_H
#define HOLDFAST_CLI_ARGUMENTS_H

#include "cli/command.h"

struct arguments;

/* argv[1] and on. NULL: REQUEST_INVALID, which says what is wrong; *command is then the command that was
 * meant, or NULL. Texts are borrowed from argv. */
struct arguments *arguments_parse(int argc, char *const *argv, const struct cli_command *commands,
                                  const struct cli_command **command, struct failure *failure);
void arguments_destroy(struct arguments *arguments);

/* NULL: none was named (then --help, --version or a bare `holdfast`). */
const struct cli_command *arguments_command(const struct arguments *arguments);
/* The first word when it only begins commands, as in `holdfast host --help`; NULL otherwise. */
const char *arguments_family(const struct arguments *arguments);

size_t arguments_count(const struct arguments *arguments);
const char *arguments_at(const struct arguments *arguments, size_t index); /* NULL behind the last */
bool arguments_flag(const struct arguments *arguments, const char *option);
/* The value of an option, NULL when it was not given. */
const char *arguments_value(const struct arguments *arguments, const char *option);
/* The nth value of an option that may be repeated; NULL behind the last. */
const char *arguments_value_at(const struct arguments *arguments, const char *option, size_t n);
/* A whole number in [minimum, maximum]: 1 given, 0 not given, -1 wrong. */
int arguments_number(const struct arguments *arguments, const char *option, long minimum, long maximum,
                     long *value, struct failure *failure);

#endif
