#include "base/manual.h"

#include "base/memory.h"
#include "base/version.h"
#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* --- man(7) */

/* One line or less, up to `length` bytes. */
static void put_escaped(FILE *out, const char *text, size_t length)
{
    if (length > 0 && (text[0] == '.' || text[0] == '\'')) {
        fputs("\\&", out);
    }
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '\\':
            fputs("\\e", out);
            break;
        case '-':
            fputs("\\-", out);
            break;
        case '`':
            fputs("\\(ga", out);
            break;
        case '\'':
            fputs("\\(aq", out);
            break;
        case '~':
            fputs("\\(ti", out);
            break;
        default:
            fputc(text[i], out);
        }
    }
}

static void put_lines(FILE *out, const char *text, const char *empty)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        size_t indent = strspn(text, " ");
        if (length == 0) {
            fputs(empty, out);
        } else {
            size_t skipped = indent < length ? indent : 0;
            put_escaped(out, text + skipped, length - skipped);
        }
        fputc('\n', out);
        text += length + (text[length] == '\n');
    }
}

void manual_begin(FILE *out, const char *name, unsigned section, const char *summary)
{
    fputs(".\\\" Generated from the program's own tables.\n.TH ", out);
    for (const char *c = name; *c != '\0'; c++) {
        fputc(toupper((unsigned char)*c), out);
    }
    fprintf(out, " %u \"\" \"holdfast %s\" \"Holdfast\"\n.SH NAME\n", section, HOLDFAST_VERSION);
    put_escaped(out, name, strlen(name));
    fputs(" \\- ", out);
    put_lines(out, summary, "");
}

void manual_heading(FILE *out, const char *macro, const char *text)
{
    fprintf(out, "%s \"", macro);
    put_escaped(out, text, strlen(text));
    fputs("\"\n", out);
}

void manual_text(FILE *out, const char *text)
{
    put_lines(out, text, ".PP");
}

void manual_item(FILE *out, const char *word, const char *value, const char *text)
{
    fputs(".TP\n\\fB", out);
    put_escaped(out, word, strlen(word));
    fputs("\\fR", out);
    if (value != NULL) {
        fputs(" \\fI", out);
        put_escaped(out, value, strlen(value));
        fputs("\\fR", out);
    }
    fputc('\n', out);
    put_lines(out, text, ".IP");
}

void manual_lines(FILE *out, const char *text)
{
    fputs(".PP\n.nf\n", out);
    put_lines(out, text, "");
    fputs(".fi\n", out);
}

/* --- programs */

enum { HELP_COLUMN = 26 };

/* More lines stand below the first. */
static void print_entry(FILE *out, const char *form, const char *help)
{
    if (strlen(form) > HELP_COLUMN - 3) {
        fprintf(out, "  %s\n%*s", form, HELP_COLUMN, "");
    } else {
        fprintf(out, "  %-*s ", HELP_COLUMN - 3, form);
    }
    while (*help != '\0') {
        size_t length = strcspn(help, "\n");
        fprintf(out, "%.*s\n", (int)length, help);
        help += length + (help[length] == '\n');
        if (*help != '\0') {
            fprintf(out, "%*s", HELP_COLUMN, "");
        }
    }
}

static char *option_form(const struct program_option *option)
{
    return memory_format("--%s%s%s", option->name, option->value != NULL ? " " : "",
                         option->value != NULL ? option->value : "");
}

void program_print_help(const struct program *program, FILE *out)
{
    fprintf(out, "%s: %s\n\n", program->name, program->summary);
    for (const struct program_command *command = program->commands; command->usage != NULL; command++) {
        fprintf(out, "%s %s ", command == program->commands ? "usage:" : "      ", program->name);
        for (const char *c = command->usage; *c != '\0'; c++) {
            fputc(*c, out);
            if (*c == '\n') {
                fprintf(out, "%*s",
                        (int)(strlen("usage:  ") + strlen(program->name) + strcspn(command->usage, " ") + 1),
                        "");
            }
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    for (const struct program_command *command = program->commands; command->usage != NULL; command++) {
        char *name = memory_format("%.*s", (int)strcspn(command->usage, " "), command->usage);
        print_entry(out, name, command->help);
        free(name);
    }
    fputc('\n', out);
    for (const struct program_option *option = program->options; option->name != NULL; option++) {
        char *form = option_form(option);
        print_entry(out, form, option->help);
        free(form);
    }
    fprintf(out, "\nexit status: %s\n", program->exit_status);
}

static void print_settings(const struct program *program, FILE *out)
{
    manual_heading(out, ".SH", "SETTINGS");
    manual_text(out, program->settings);
    for (const struct config_key *key = program->keys; key->name != NULL; key++) {
        char *form = key->default_value != NULL ? memory_format("= %s", key->default_value) : NULL;
        manual_item(out, key->name, form, key->help);
        free(form);
    }
}

void program_print_manual(const struct program *program, FILE *out)
{
    manual_begin(out, program->name, program->section, program->summary);
    manual_heading(out, ".SH", "SYNOPSIS");
    for (const struct program_command *command = program->commands; command->usage != NULL; command++) {
        fputs(command == program->commands ? "" : ".br\n", out);
        fprintf(out, "\\fB%s\\fR ", program->name);
        put_lines(out, command->usage, "");
    }
    manual_heading(out, ".SH", "DESCRIPTION");
    manual_text(out, program->about);
    manual_heading(out, ".SH", "COMMANDS");
    for (const struct program_command *command = program->commands; command->usage != NULL; command++) {
        char *name = memory_format("%.*s", (int)strcspn(command->usage, " "), command->usage);
        manual_item(out, name, NULL, command->help);
        free(name);
    }
    manual_heading(out, ".SH", "OPTIONS");
    for (const struct program_option *option = program->options; option->name != NULL; option++) {
        char *form = memory_format("--%s", option->name);
        manual_item(out, form, option->value, option->help);
        free(form);
    }
    if (program->keys != NULL) {
        print_settings(program, out);
    }
    manual_heading(out, ".SH", "EXIT STATUS");
    manual_text(out, program->exit_status);
    manual_heading(out, ".SH", "SEE ALSO");
    manual_text(out, program->see_also);
}

struct option *program_getopt(const struct program_option *options)
{
    size_t count = 0;
    while (options[count].name != NULL) {
        count++;
    }
    struct option *table = memory_zalloc((count + 2) * sizeof *table);
    for (size_t i = 0; i < count; i++) {
        table[i] = (struct option){.name = options[i].name,
                                   .has_arg = options[i].value != NULL ? required_argument : no_argument,
                                   .val = options[i].id};
    }
    table[count] = (struct option){.name = "manual", .has_arg = no_argument, .val = PROGRAM_MANUAL};
    return table;
}
