/* What shells need to complete commands, and the manual page: both are made from the table. */
#include "base/manual.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/complete.h"
#include <string.h>

static const struct {
    const char *shell;
    const char *script;
} scripts[] = {
    {"bash", "_holdfast() {\n"
             "    local IFS=$'\\n'\n"
             "    COMPREPLY=($(holdfast complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
             "}\n"
             "complete -o default -F _holdfast holdfast\n"},
    {"zsh", "#compdef holdfast\n"
            "_holdfast() {\n"
            "    local -a found\n"
            "    found=(\"${(@f)$(holdfast complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
            "    if [[ -n \"$found\" ]]; then compadd -a found; else _files; fi\n"
            "}\n"
            /* A file of $fpath is run as the function itself at the first time. */
            "if [[ \"$funcstack[1]\" == _holdfast ]]; then _holdfast; else compdef _holdfast holdfast; fi\n"},
    {"fish", "function __holdfast_complete\n"
             "    set -l words (commandline -opc) (commandline -ct)\n"
             "    set -l found (holdfast complete -- $words[2..-1] 2>/dev/null)\n"
             "    if set -q found[1]\n"
             "        printf '%s\\n' $found\n"
             "    else\n"
             "        __fish_complete_path (commandline -ct)\n"
             "    end\n"
             "end\n"
             "complete -c holdfast -f -a '(__holdfast_complete)'\n"},
};

int run_completion(struct cli *cli, struct failure *failure)
{
    const char *shell = arguments_at(cli->arguments, 0);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (strcmp(scripts[i].shell, shell) != 0) {
            continue;
        }
        if (cli->json) {
            json_t *object = json_pack("{s:s, s:s}", "shell", shell, "script", scripts[i].script);
            cli_print_json(cli, object);
            json_decref(object);
        } else {
            fputs(scripts[i].script, cli->out);
        }
        return 0;
    }
    return failure_set(failure, ERROR_REQUEST_INVALID,
                       "There is completion for bash, zsh and fish, not for “%s”", shell);
}

static void print_options(const struct cli_option *options, FILE *out)
{
    for (; options != NULL && options->name != NULL; options++) {
        char form[64];
        snprintf(form, sizeof form, "--%s", options->name);
        manual_item(out, form, options->value, options->help);
    }
}

static void print_command(const struct cli_command *command, FILE *out)
{
    char form[256];
    snprintf(form, sizeof form, "holdfast %s%s%s%s", command->name, *command->arguments != '\0' ? " " : "",
             command->arguments, command->options != NULL ? " [OPTIONS]" : "");
    manual_heading(out, ".SS", form);
    manual_text(out, command->summary);
    if (command->notes != NULL) {
        fputs(".PP\n", out);
        manual_text(out, command->notes);
    }
    print_options(command->options, out);
    manual_lines(out, command->examples);
}

void help_print_manual(FILE *out)
{
    manual_begin(out, "holdfast", 1, "protect and restore virtual machines");
    manual_heading(out, ".SH", "SYNOPSIS");
    manual_text(out, "holdfast COMMAND [ARGUMENTS] [OPTIONS]");
    manual_heading(out, ".SH", "DESCRIPTION");
    manual_text(out,
                "The operator's command line of Holdfast: it asks the server, holdfastd(8), over its API.\n"
                "Log in first: holdfast login.");
    manual_heading(out, ".SH", "COMMANDS");
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        print_command(command, out);
    }
    manual_heading(out, ".SH", "OPTIONS OF EVERY COMMAND");
    print_options(cli_global_options, out);
    manual_heading(out, ".SH", "EXIT STATUS");
    manual_text(
        out, "0 done, 1 failed, 2 usage, 3 the server can't be reached, 4 not permitted, 5 no such thing,\n"
             "6 refused in this state");
    manual_heading(out, ".SH", "ENVIRONMENT");
    manual_item(out, "HOLDFAST_CONFIG", NULL, "what holdfast login wrote, in another place");
    manual_heading(out, ".SH", "ERRORS");
    manual_text(out, "Each has a code; holdfast help CODE says more:");
    for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
        manual_item(out, error_code_name((enum error_code)code), NULL,
                    error_code_says((enum error_code)code));
    }
    manual_heading(out, ".SH", "SEE ALSO");
    manual_text(out, "holdfastd(8), holdfast-agent(8)");
}
