#include "cli/command.h"

#include "base/memory.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/complete.h"
#include "cli/prompt.h"
#include "cli/text.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

const struct cli_option cli_global_options[] = {
    {"json", NULL, "print JSON, for scripts", false},
    {"code", "CODE", "of your second factor, for what can't be undone; asked for without it", false},
    {"config", "FILE", "what `holdfast login` wrote, in another place ($HOLDFAST_CONFIG)", false},
    {"help", NULL, "how to use the command", false},
    {"version", NULL, "print the version", false},
    {NULL, NULL, NULL, false},
};

int cli_set_client(struct cli *cli, const struct settings *settings, struct failure *failure)
{
    const char *code = arguments_value(cli->arguments, "code");
    client_destroy(cli->client);
    cli->client = client_create(settings, failure);
    if (cli->client == NULL) {
        return -1;
    }
    client_ask_code(cli->client, prompt_code);
    return code != NULL ? client_set_code(cli->client, code, failure) : 0;
}

struct client *cli_client(struct cli *cli, struct failure *failure)
{
    struct settings settings;
    if (cli->client != NULL) {
        return cli->client;
    }
    char *path = settings_path(arguments_value(cli->arguments, "config"));
    int result = settings_load(path, &settings, failure);
    if (result == 0) {
        result = cli_set_client(cli, &settings, failure);
        settings_clear(&settings);
    }
    free(path);
    return result == 0 ? cli->client : NULL;
}

void cli_print_json(const struct cli *cli, const json_t *value)
{
    json_dumpf(value, cli->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    fputc('\n', cli->out);
}

void cli_print_items(const struct cli *cli, json_t *items)
{
    json_t *list = json_pack("{s:o, s:n}", "items", items, "next");
    cli_print_json(cli, list);
    json_decref(list);
}

void cli_print_field(const struct cli *cli, const char *label, const char *text)
{
    char *printable = text_printable(text != NULL && *text != '\0' ? text : "-");
    char *heading = memory_format("%s:", label);
    fprintf(cli->out, "%-18s %s\n", heading, printable);
    free(heading);
    free(printable);
}

void cli_take_field(const struct cli *cli, const char *label, char *text)
{
    cli_print_field(cli, label, text);
    free(text);
}

int cli_add_rate(json_t *body, const char *name, const char *text, struct failure *failure)
{
    uint64_t rate = 0;
    if (text == NULL) {
        return 0;
    }
    if (strcmp(text, "none") != 0 && text_parse_size(text, &rate) != 0) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "“%s” is no rate such as 20M, or none", text);
    }
    json_object_set_new(body, name, json_integer((json_int_t)rate));
    return 0;
}

int cli_add_pairs(json_t *body, const char *name, const struct cli *cli, const char *option, const char *form,
                  struct failure *failure)
{
    json_t *pairs = json_object();
    const char *pair;
    for (size_t n = 0; (pair = arguments_value_at(cli->arguments, option, n)) != NULL; n++) {
        const char *equals = strchr(pair, '=');
        if (equals == NULL || equals == pair || equals[1] == '\0') {
            json_decref(pairs);
            return failure_set(failure, ERROR_REQUEST_INVALID, "“%s” is not of the form %s", pair, form);
        }
        char *left = memory_format("%.*s", (int)(equals - pair), pair);
        json_object_set_new(pairs, left, json_string(equals + 1));
        free(left);
    }
    json_object_set_new(body, name, pairs);
    return 0;
}

const json_t *cli_member(const json_t *object, const char *path)
{
    while (object != NULL) {
        size_t length = strcspn(path, ".");
        char *name = memory_format("%.*s", (int)length, path);
        object = json_object_get(object, name);
        free(name);
        if (path[length] == '\0') {
            return object;
        }
        path += length + 1;
    }
    return NULL;
}

const char *cli_text(const json_t *object, const char *path)
{
    return json_string_value(cli_member(object, path));
}

uint64_t cli_number(const json_t *object, const char *path)
{
    json_int_t value = json_integer_value(cli_member(object, path));
    return value > 0 ? (uint64_t)value : 0;
}

bool cli_truth(const json_t *object, const char *path)
{
    return json_is_true(cli_member(object, path));
}

static void print_version(const struct cli *cli)
{
    if (cli->json) {
        json_t *version = json_pack("{s:s}", "version", HOLDFAST_VERSION);
        cli_print_json(cli, version);
        json_decref(version);
    } else {
        fprintf(cli->out, "holdfast %s\n", HOLDFAST_VERSION);
    }
}

static int run_parsed(struct cli *cli, struct failure *failure)
{
    const struct arguments *arguments = cli->arguments;
    const struct cli_command *command = arguments_command(arguments);
    if (arguments_flag(arguments, "version")) {
        print_version(cli);
        return 0;
    }
    if (arguments_flag(arguments, "help")) {
        if (command != NULL) {
            help_print_command(command, cli->out);
        } else if (arguments_family(arguments) != NULL) {
            help_print_family(arguments_family(arguments), cli->out);
        } else {
            help_print_all(cli->out);
        }
        return 0;
    }
    if (command == NULL) {
        help_print_all(cli->err);
        failure->status = EXIT_STATUS_USAGE;
        return CLI_TOLD;
    }
    return command->run(cli, failure);
}

/* Errors of parsing are told as JSON, too, where that was asked for. */
static bool wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
        if (strcmp(argv[i], "--") == 0) {
            return false;
        }
    }
    return false;
}

int cli_main(int argc, char *const *argv, FILE *out, FILE *err)
{
    struct cli cli = {.out = out, .err = err, .json = wants_json(argc, argv)};
    struct failure failure = {.status = EXIT_STATUS_FAILED};
    const struct cli_command *command;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc >= 3 && strcmp(argv[1], "complete") == 0 && strcmp(argv[2], "--") == 0) { /* by shells only */
        complete_words((const char *const *)(uintptr_t)(argv + 3), (size_t)argc - 3, out);
        curl_global_cleanup();
        return EXIT_STATUS_DONE;
    }
    struct arguments *arguments = arguments_parse(argc, argv, cli_commands, &command, &failure);
    cli.arguments = arguments;
    int result = arguments != NULL ? run_parsed(&cli, &failure) : -1;
    if (result == 0 && (fflush(out) != 0 || ferror(out) != 0)) {
        result = failure_set(&failure, ERROR_FILE_FAILED, "The output could not be written");
    }
    if (result == -1) {
        fflush(out);
        failure_print(&failure, cli.json, err);
    }
    client_destroy(cli.client);
    arguments_destroy(arguments);
    curl_global_cleanup();
    return result == 0 ? EXIT_STATUS_DONE : (int)failure.status;
}
