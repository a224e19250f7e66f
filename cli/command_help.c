/* Help: written from the table of commands and the catalogue of errors. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void print_commands(const char *family, FILE *out)
{
    size_t length = family != NULL ? strlen(family) : 0;
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        bool belongs =
            family == NULL || (strncmp(command->name, family, length) == 0 && command->name[length] == ' ');
        if (belongs) {
            fprintf(out, "  %-16s %s\n", command->name, command->summary);
        }
    }
}

static void print_options(const struct cli_option *options, FILE *out)
{
    for (; options != NULL && options->name != NULL; options++) {
        char *form =
            memory_format("--%s%s%s%s", options->name, options->value != NULL ? " " : "",
                          options->value != NULL ? options->value : "", options->repeat ? " ..." : "");
        fprintf(out, "  %-24s %s\n", form, options->help);
        free(form);
    }
}

void help_print_all(FILE *out)
{
    fputs("holdfast: protect and restore virtual machines\n\n"
          "Usage: holdfast COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n",
          out);
    print_commands(NULL, out);
    fputs("\nOptions of every command:\n", out);
    print_options(cli_global_options, out);
    fputs("\nExit status: 0 done, 1 failed, 2 usage, 3 server can't be reached, 4 not permitted,\n"
          "5 no such thing, 6 refused in this state.\n\n"
          "`holdfast COMMAND --help` tells more; `holdfast help CODE` explains an error.\n",
          out);
}

void help_print_family(const char *family, FILE *out)
{
    fprintf(out, "Usage: holdfast %s COMMAND\n\nCommands:\n", family);
    print_commands(family, out);
    fprintf(out, "\n`holdfast %s COMMAND --help` tells more.\n", family);
}

void help_print_command(const struct cli_command *command, FILE *out)
{
    fprintf(out, "holdfast %s: %s\n\nUsage: holdfast %s%s%s%s\n", command->name, command->summary,
            command->name, *command->arguments != '\0' ? " " : "", command->arguments,
            command->options != NULL ? " [OPTIONS]" : "");
    if (command->notes != NULL) {
        fprintf(out, "\n%s\n", command->notes);
    }
    if (command->options != NULL) {
        fputs("\nOptions:\n", out);
        print_options(command->options, out);
    }
    fputs("\nOptions of every command:\n", out);
    print_options(cli_global_options, out);
    fputs("\nExamples:\n", out);
    for (const char *line = command->examples; *line != '\0'; line += strcspn(line, "\n") + 1) {
        fprintf(out, "  %.*s\n", (int)strcspn(line, "\n"), line);
    }
}

static json_t *code_to_json(enum error_code code)
{
    return json_pack("{s:s, s:s, s:s, s:i}", "code", error_code_name(code), "message", error_code_says(code),
                     "action", error_code_action(code), "exit_status", (int)error_code_exit_status(code));
}

static int print_codes(struct cli *cli)
{
    json_t *items = json_array();
    struct table *table = table_create("CODE|WHAT IT SAYS");
    for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
        json_array_append_new(items, code_to_json((enum error_code)code));
        table_add(table, error_code_name((enum error_code)code));
        table_add(table, error_code_says((enum error_code)code));
    }
    if (cli->json) {
        cli_print_items(cli, items);
    } else {
        json_decref(items);
        table_print(table, "", cli->out);
    }
    table_destroy(table);
    return 0;
}

static enum error_code code_of(const char *word)
{
    char *name = memory_copy_text(word);
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    enum error_code code = error_code_from_name(name);
    free(name);
    return code;
}

static int print_code(struct cli *cli, enum error_code code)
{
    if (cli->json) {
        json_t *object = code_to_json(code);
        cli_print_json(cli, object);
        json_decref(object);
        return 0;
    }
    fprintf(cli->out, "%s\n  Says: %s\n  Do:   %s\n", error_code_name(code), error_code_says(code),
            error_code_action(code));
    return 0;
}

static int fail_unknown_topic(const char *word, struct failure *failure)
{
    const char *names[ERROR_CODE_COUNT];
    size_t count = 0;
    for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
        names[count++] = error_code_name((enum error_code)code);
    }
    const char *nearest = text_nearest(word, names, count);
    failure_set(failure, ERROR_REQUEST_INVALID, "There is no command and no error code “%s”", word);
    snprintf(failure->action, sizeof failure->action,
             nearest != NULL ? "Did you mean %s?" : "See `holdfast help` and `holdfast help codes`.%s",
             nearest != NULL ? nearest : "");
    failure->status = EXIT_STATUS_NOT_FOUND;
    return -1;
}

int run_help(struct cli *cli, struct failure *failure)
{
    const char *word = arguments_at(cli->arguments, 0);
    const char *second = arguments_at(cli->arguments, 1);
    if (word == NULL) {
        help_print_all(cli->out);
        return 0;
    }
    if (strcmp(word, "manual") == 0) { /* by the build */
        help_print_manual(cli->out);
        return 0;
    }
    if (strcmp(word, "codes") == 0) {
        return print_codes(cli);
    }
    enum error_code code = code_of(word);
    if (code != ERROR_NONE && second == NULL) {
        return print_code(cli, code);
    }
    size_t length = strlen(word);
    bool family = false;
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        bool begins = strncmp(command->name, word, length) == 0;
        const char *rest = begins ? command->name + length : "";
        if (begins && ((*rest == '\0' && second == NULL) ||
                       (*rest == ' ' && second != NULL && strcmp(rest + 1, second) == 0))) {
            help_print_command(command, cli->out);
            return 0;
        }
        family = family || (begins && *rest == ' ');
    }
    if (family && second == NULL) {
        help_print_family(word, cli->out);
        return 0;
    }
    return fail_unknown_topic(second != NULL ? second : word, failure);
}
