#include "cli/arguments.h"

#include "base/memory.h"
#include "cli/text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 1024 };

struct given {
    const struct cli_option *option;
    const char *value;
};

struct arguments {
    const struct cli_command *commands;
    const struct cli_command *command;
    const char *family;
    const char **words;
    size_t word_count;
    size_t first; /* words before this one name the command */
    struct given *given;
    size_t given_count;
};

static const struct cli_option *find_option(const struct cli_option *options, const char *name, size_t length)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (strlen(options->name) == length && strncmp(options->name, name, length) == 0) {
            return options;
        }
    }
    return NULL;
}

static bool is_family(const struct cli_command *commands, const char *word)
{
    size_t length = strlen(word);
    for (; commands->name != NULL; commands++) {
        if (strncmp(commands->name, word, length) == 0 && commands->name[length] == ' ') {
            return true;
        }
    }
    return false;
}

/* `word` alone names a command, or `word` and `second` together. */
static const struct cli_command *find_command(const struct cli_command *commands, const char *word,
                                              const char *second)
{
    char *both = second != NULL ? memory_format("%s %s", word, second) : memory_copy_text(word);
    const struct cli_command *found = NULL;
    for (; commands->name != NULL && found == NULL; commands++) {
        if (strcmp(commands->name, both) == 0) {
            found = commands;
        }
    }
    free(both);
    return found;
}

static int fail_unknown(const char *typed, const char *const *names, size_t count, const char *prefix,
                        const char *kind, struct failure *failure)
{
    const char *nearest = text_nearest(typed, names, count);
    failure_set(failure, ERROR_REQUEST_INVALID, "There is no %s “%s%s”", kind, prefix, typed);
    if (nearest != NULL) {
        snprintf(failure->action, sizeof failure->action, "Did you mean “%s%s”?", prefix, nearest);
    } else {
        snprintf(failure->action, sizeof failure->action, "See `holdfast help`.");
    }
    return -1;
}

/* The first words of the table; or, with a family, the second words of its commands. */
static size_t list_words(const struct cli_command *commands, const char *family, char **names, size_t limit)
{
    size_t count = 0;
    size_t length = family != NULL ? strlen(family) : 0;
    for (; commands->name != NULL && count < limit; commands++) {
        if (family == NULL) {
            names[count++] = memory_format("%.*s", (int)strcspn(commands->name, " "), commands->name);
        } else if (strncmp(commands->name, family, length) == 0 && commands->name[length] == ' ') {
            names[count++] = memory_copy_text(commands->name + length + 1);
        }
    }
    return count;
}

static int fail_unknown_command(const struct arguments *arguments, const char *family, const char *typed,
                                struct failure *failure)
{
    char *names[128];
    char *prefix = family != NULL ? memory_format("%s ", family) : memory_copy_text("");
    size_t count = list_words(arguments->commands, family, names, sizeof names / sizeof names[0]);
    fail_unknown(typed, (const char *const *)names, count, prefix, "command", failure);
    if (family != NULL && strncmp(failure->action, "Did", 3) != 0) {
        snprintf(failure->action, sizeof failure->action, "See `holdfast %s --help`.", family);
    }
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(prefix);
    return -1;
}

static int fail_unknown_option(const struct arguments *arguments, const char *name, size_t length,
                               struct failure *failure)
{
    const char *names[64];
    size_t count = 0;
    const struct cli_option *own = arguments->command != NULL ? arguments->command->options : NULL;
    for (; own != NULL && own->name != NULL && count < 32; own++) {
        names[count++] = own->name;
    }
    for (const struct cli_option *global = cli_global_options; global->name != NULL; global++) {
        names[count++] = global->name;
    }
    char *typed = memory_format("%.*s", (int)length, name);
    fail_unknown(typed, names, count, "--", "option", failure);
    if (arguments->command != NULL && strncmp(failure->action, "Did", 3) != 0) {
        snprintf(failure->action, sizeof failure->action, "See `holdfast %s --help`.",
                 arguments->command->name);
    }
    free(typed);
    return -1;
}

static int add_given(struct arguments *arguments, const struct cli_option *option, const char *value,
                     struct failure *failure)
{
    if (!option->repeat && option->value != NULL && arguments_value(arguments, option->name) != NULL) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "Option --%s is given twice", option->name);
    }
    arguments->given = memory_resize(arguments->given, arguments->given_count + 1, sizeof *arguments->given);
    arguments->given[arguments->given_count++] = (struct given){.option = option, .value = value};
    return 0;
}

/* One option at argv[*i], which moves on when the value is the next word. */
static int parse_option(struct arguments *arguments, int argc, char *const *argv, int *i,
                        struct failure *failure)
{
    const char *name = strcmp(argv[*i], "-h") == 0 ? "help" : argv[*i] + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    const struct cli_option *option = NULL;
    if (arguments->command != NULL) { /* its own --version comes before that of every command */
        option = find_option(arguments->command->options, name, length);
    }
    if (option == NULL) {
        option = find_option(cli_global_options, name, length);
    }
    if (option == NULL && arguments->command == NULL &&
        arguments->word_count > (arguments->family != NULL ? 1 : 0)) {
        return fail_unknown_command(arguments, arguments->family,
                                    arguments->words[arguments->family != NULL ? 1 : 0], failure);
    }
    if (option == NULL) {
        return fail_unknown_option(arguments, name, length, failure);
    }
    if (option->value == NULL) {
        return value == NULL
                   ? add_given(arguments, option, "", failure)
                   : failure_set(failure, ERROR_REQUEST_INVALID, "Option --%s takes no value", option->name);
    }
    if (value == NULL && *i + 1 < argc) {
        value = argv[++*i];
    }
    if (value == NULL) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "Option --%s needs a value: %s", option->name,
                           option->value);
    }
    return add_given(arguments, option, value, failure);
}

/* The words so far may name a command now. */
static void note_word(struct arguments *arguments, const char *word)
{
    arguments->words = memory_resize(arguments->words, arguments->word_count + 1, sizeof *arguments->words);
    arguments->words[arguments->word_count++] = word;
    if (arguments->command != NULL) {
        return;
    }
    if (arguments->word_count == 1) {
        arguments->command = find_command(arguments->commands, word, NULL);
        arguments->first = 1;
        if (arguments->command == NULL && is_family(arguments->commands, word)) {
            arguments->family = word;
        }
    } else if (arguments->word_count == 2 && arguments->family != NULL) {
        arguments->command = find_command(arguments->commands, arguments->family, word);
        arguments->first = 2;
    }
}

/* As a variable of a script that is not set: nothing has such a name. */
static int check_not_empty(const struct arguments *arguments, struct failure *failure)
{
    const struct cli_command *command = arguments->command;
    for (size_t i = arguments->first; i < arguments->word_count; i++) {
        if (arguments->words[i][0] == '\0') {
            failure_set(failure, ERROR_REQUEST_INVALID, "An argument of holdfast %s is empty; it takes: %s",
                        command->name, command->arguments);
            snprintf(failure->action, sizeof failure->action, "See `holdfast %s --help`.", command->name);
            return -1;
        }
    }
    return 0;
}

static int check_words(struct arguments *arguments, struct failure *failure)
{
    const struct cli_command *command = arguments->command;
    size_t count = arguments->word_count - (command != NULL ? arguments->first : 0);
    bool help = arguments_flag(arguments, "help");
    if (command == NULL) {
        if (arguments->word_count == 0 || (help && arguments->word_count == 1 && arguments->family != NULL)) {
            return 0;
        }
        if (arguments->family != NULL && arguments->word_count == 1) {
            failure_set(failure, ERROR_REQUEST_INVALID, "holdfast %s does what?", arguments->family);
            snprintf(failure->action, sizeof failure->action, "See `holdfast %s --help`.", arguments->family);
            return -1;
        }
        return fail_unknown_command(arguments, arguments->family,
                                    arguments->words[arguments->family != NULL ? 1 : 0], failure);
    }
    arguments->family = NULL;
    if (help) {
        return 0;
    }
    if (count < command->minimum || count > command->maximum) {
        failure_set(failure, ERROR_REQUEST_INVALID,
                    count < command->minimum ? "holdfast %s needs: %s" : "holdfast %s takes no more than: %s",
                    command->name, *command->arguments != '\0' ? command->arguments : "no arguments");
        snprintf(failure->action, sizeof failure->action, "See `holdfast %s --help`.", command->name);
        return -1;
    }
    return check_not_empty(arguments, failure);
}

struct arguments *arguments_parse(int argc, char *const *argv, const struct cli_command *commands,
                                  const struct cli_command **command, struct failure *failure)
{
    struct arguments *arguments = memory_zalloc(sizeof *arguments);
    bool options_ended = false;
    int result = 0;
    arguments->commands = commands;
    if (argc > ARGUMENTS_MAX) {
        result = failure_set(failure, ERROR_REQUEST_INVALID, "More than %d words on the command line",
                             ARGUMENTS_MAX);
    }
    for (int i = 1; i < argc && result == 0; i++) {
        const char *word = argv[i];
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            note_word(arguments, word);
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (word[1] == '-' || strcmp(word, "-h") == 0) {
            result = parse_option(arguments, argc, argv, &i, failure);
        } else {
            result = failure_set(failure, ERROR_REQUEST_INVALID,
                                 "There is no option “%s”: options have two dashes", word);
        }
    }
    if (result == 0) {
        result = check_words(arguments, failure);
    }
    *command = arguments->command;
    if (result != 0) {
        arguments_destroy(arguments);
        return NULL;
    }
    return arguments;
}

void arguments_destroy(struct arguments *arguments)
{
    if (arguments != NULL) {
        free(arguments->words);
        free(arguments->given);
        free(arguments);
    }
}

const struct cli_command *arguments_command(const struct arguments *arguments)
{
    return arguments->command;
}

const char *arguments_family(const struct arguments *arguments)
{
    return arguments->family;
}

size_t arguments_count(const struct arguments *arguments)
{
    return arguments->word_count - (arguments->command != NULL ? arguments->first : 0);
}

const char *arguments_at(const struct arguments *arguments, size_t index)
{
    return index < arguments_count(arguments) ? arguments->words[arguments->first + index] : NULL;
}

const char *arguments_value_at(const struct arguments *arguments, const char *option, size_t n)
{
    for (size_t i = 0; i < arguments->given_count; i++) {
        if (strcmp(arguments->given[i].option->name, option) == 0 && n-- == 0) {
            return arguments->given[i].value;
        }
    }
    return NULL;
}

const char *arguments_value(const struct arguments *arguments, const char *option)
{
    return arguments_value_at(arguments, option, 0);
}

bool arguments_flag(const struct arguments *arguments, const char *option)
{
    for (size_t i = 0; i < arguments->given_count; i++) {
        const struct cli_option *given = arguments->given[i].option;
        if (given->value == NULL && strcmp(given->name, option) == 0) {
            return true;
        }
    }
    return false;
}

int arguments_number(const struct arguments *arguments, const char *option, long minimum, long maximum,
                     long *value, struct failure *failure)
{
    const char *text = arguments_value(arguments, option);
    char *end;
    if (text == NULL) {
        return 0;
    }
    errno = 0;
    *value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *value < minimum || *value > maximum) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "--%s takes a number from %ld to %ld, not “%s”",
                           option, minimum, maximum, text);
    }
    return 1;
}
