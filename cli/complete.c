#include "cli/complete.h"

#include "base/error.h"
#include "base/memory.h"
#include "cli/client.h"
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MAX_S = 2, NAMES_MAX = 1000 };

/* What stands for a value in the table, and where its names come from. */
static const struct {
    const char *value;
    const char *path;  /* of a list of the server */
    const char *field; /* of its items */
    const char *words; /* or these */
} sources[] = {
    {"VM", "/v1/vms", "name", NULL},
    {"HOST", "/v1/hosts", "name", NULL},
    {"GROUP", "/v1/groups", "name", NULL},
    {"POLICY", "/v1/policies", "name", NULL},
    {"RP", "/v1/recovery-points", "id", NULL},
    {"JOB", "/v1/jobs?limit=50", "id", NULL},
    {"TYPE", NULL, NULL, "backup check restore verify rebuild collect"},
    {"STATE", NULL, NULL, "queued running completed completed-with-warnings failed cancelled"},
    {"LEVEL", NULL, NULL, "application filesystem crash"},
    {"FORMAT", NULL, NULL, "raw qcow2"},
    {"SHELL", NULL, NULL, "bash zsh fish"},
};

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A control character in a name would be a word of its own for the shell. */
static void offer(FILE *out, const char *word, const char *prefix)
{
    bool plain = word != NULL;
    for (const char *c = word; plain && *c != '\0'; c++) {
        plain = (unsigned char)*c >= ' ' && *c != 0x7f;
    }
    if (plain && begins(word, prefix)) {
        fprintf(out, "%s\n", word);
    }
}

static void offer_from_server(const char *config, const char *path, const char *field, const char *prefix,
                              FILE *out)
{
    struct failure ignored;
    struct settings settings;
    json_t *items = NULL;
    json_t *item;
    size_t index;
    char *file = settings_path(config);
    if (settings_load(file, &settings, &ignored) == 0) {
        struct client *client = client_create(&settings, &ignored);
        settings_clear(&settings);
        if (client != NULL) {
            client_limit_time(client, ANSWER_MAX_S);
            if (client_list(client, path, NAMES_MAX, &items, &ignored) == 0) {
                json_array_foreach (items, index, item) {
                    offer(out, cli_text(item, field), prefix);
                }
                json_decref(items);
            }
        }
        client_destroy(client);
    }
    free(file);
}

static void offer_words(const char *words, const char *prefix, FILE *out)
{
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        char *word = memory_format("%.*s", (int)length, words);
        offer(out, word, prefix);
        free(word);
        words += length + (words[length] == ' ');
    }
}

static void offer_value(const char *config, const char *value, size_t length, const char *prefix, FILE *out)
{
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (strlen(sources[i].value) != length || strncmp(sources[i].value, value, length) != 0) {
            continue;
        }
        if (sources[i].words != NULL) {
            offer_words(sources[i].words, prefix, out);
        } else {
            offer_from_server(config, sources[i].path, sources[i].field, prefix, out);
        }
    }
}

static const struct cli_option *find_option(const struct cli_command *command, const char *word)
{
    const struct cli_option *lists[] = {command != NULL ? command->options : NULL, cli_global_options};
    for (size_t i = 0; i < 2 && begins(word, "--"); i++) {
        for (const struct cli_option *option = lists[i]; option != NULL && option->name != NULL; option++) {
            if (strcmp(option->name, word + 2) == 0) {
                return option;
            }
        }
    }
    return NULL;
}

static void offer_options(const struct cli_command *command, const char *prefix, FILE *out)
{
    const struct cli_option *lists[] = {command != NULL ? command->options : NULL, cli_global_options};
    for (size_t i = 0; i < 2; i++) {
        for (const struct cli_option *option = lists[i]; option != NULL && option->name != NULL; option++) {
            char *word = memory_format("--%s", option->name);
            offer(out, word, prefix);
            free(word);
        }
    }
}

/* The next word of commands that begin with these words, each once: commands of a family stand together. */
static void offer_commands(const char *family, const char *prefix, FILE *out)
{
    char *before = memory_copy_text("");
    size_t skip = family != NULL ? strlen(family) + 1 : 0;
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (family != NULL && (!begins(command->name, family) || command->name[skip - 1] != ' ')) {
            continue;
        }
        char *word = memory_format("%.*s", (int)strcspn(command->name + skip, " "), command->name + skip);
        if (strcmp(word, before) != 0) {
            offer(out, word, prefix);
        }
        free(before);
        before = word;
    }
    free(before);
}

static const struct cli_command *find_command(const char *first, const char *second, size_t *words)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL && first != NULL;
         command++) {
        char *both = second != NULL ? memory_format("%s %s", first, second) : NULL;
        bool is_first = strcmp(command->name, first) == 0;
        bool is_both = both != NULL && strcmp(command->name, both) == 0;
        free(both);
        if (is_first || is_both) {
            *words = is_first ? 1 : 2;
            return command;
        }
    }
    return NULL;
}

/* The nth argument as the table names it: "GROUP VM..." gives VM for every one behind the first. */
static void offer_argument(const struct cli_command *command, const char *config, size_t n,
                           const char *prefix, FILE *out)
{
    const char *at = command->arguments;
    at += strspn(at, "[");
    for (; n > 0 && at[strcspn(at, " ")] == ' '; n--) {
        at += strcspn(at, " ") + 1;
        at += strspn(at, "[");
    }
    size_t length = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    if (n == 0 || strncmp(at + length, "...", 3) == 0) {
        offer_value(config, at, length, prefix, out);
    }
}

static void offer_topics(const char *prefix, FILE *out)
{
    offer_commands(NULL, prefix, out);
    for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
        offer(out, error_code_name((enum error_code)code), prefix);
    }
}

/* What was typed before the last word. */
struct typed {
    const char *words[3]; /* those that are no options; the first two may name the command */
    size_t count;
    const char *config;
    const struct cli_option *open; /* its value is the last word */
};

static void read_typed(const char *const *words, size_t count, struct typed *typed,
                       const struct cli_command **command, size_t *named)
{
    *command = NULL;
    *named = 0;
    *typed = (struct typed){.count = 0};
    for (size_t i = 0; i + 1 < count; i++) {
        const struct cli_option *option = find_option(*command, words[i]);
        if (option != NULL && option->value != NULL) {
            typed->open = i + 2 == count ? option : NULL;
            if (typed->open == NULL && strcmp(option->name, "config") == 0) {
                typed->config = words[i + 1];
            }
            i++;
        } else if (words[i][0] != '-') {
            if (typed->count < 3) {
                typed->words[typed->count] = words[i];
            }
            typed->count++;
            if (*command == NULL && typed->count <= 2) {
                *command = find_command(typed->words[0], typed->count > 1 ? typed->words[1] : NULL, named);
            }
        }
    }
}

void complete_words(const char *const *words, size_t count, FILE *out)
{
    const char *last = count > 0 ? words[count - 1] : NULL;
    const struct cli_command *command;
    struct typed typed;
    size_t named;
    if (count == 0) {
        return;
    }
    read_typed(words, count, &typed, &command, &named);
    if (typed.open != NULL) {
        offer_value(typed.config, typed.open->value, strlen(typed.open->value), last, out);
    } else if (last[0] == '-') {
        offer_options(command, last, out);
    } else if (command == NULL && typed.count < 2) {
        offer_commands(typed.count > 0 ? typed.words[0] : NULL, last, out);
    } else if (command != NULL && strcmp(command->name, "help") == 0) {
        if (typed.count == named) {
            offer_topics(last, out);
        } else {
            offer_commands(typed.words[1], last, out);
        }
    } else if (command != NULL) {
        offer_argument(command, typed.config, typed.count - named, last, out);
    }
}
