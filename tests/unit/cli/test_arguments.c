/* The command line: commands of one and two words, options anywhere, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"

enum { WORDS_MAX = 12 };

static struct arguments *parse(const char *line, struct failure *failure)
{
    static char text[256];
    static char *words[WORDS_MAX];
    const struct cli_command *command;
    int count = 0;
    snprintf(text, sizeof text, "holdfast %s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    return arguments_parse(count, words, cli_commands, &command, failure);
}

static void assert_refused(const char *line, const char *says)
{
    struct failure failure = {.status = EXIT_STATUS_DONE};
    assert_null(parse(line, &failure));
    assert_int_equal(failure.status, EXIT_STATUS_USAGE);
    if (strstr(failure.message, says) == NULL) {
        fail_msg("`%s` says: %s", line, failure.message);
    }
}

static void test_commands(void **state)
{
    (void)state;
    struct failure failure;
    struct arguments *arguments = parse("--json group add web a --config=x b", &failure);
    assert_non_null(arguments);
    assert_string_equal(arguments_command(arguments)->name, "group add");
    assert_int_equal(arguments_count(arguments), 3);
    assert_string_equal(arguments_at(arguments, 2), "b");
    assert_null(arguments_at(arguments, 3));
    assert_true(arguments_flag(arguments, "json"));
    assert_string_equal(arguments_value(arguments, "config"), "x");
    arguments_destroy(arguments);
    arguments = parse("group create web --vm a --vm b", &failure);
    assert_string_equal(arguments_value_at(arguments, "vm", 1), "b");
    assert_null(arguments_value_at(arguments, "vm", 2));
    arguments_destroy(arguments);
    arguments = parse("host --help", &failure);
    assert_null(arguments_command(arguments));
    assert_string_equal(arguments_family(arguments), "host");
    arguments_destroy(arguments);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("bakcup web", "bakcup");
    assert_refused("backup web --fast", "--fast");
    assert_refused("check", "VM");
    assert_refused("check a b", "check");
    assert_refused("restore disk onlyone --to x", "RP DISK");
    assert_refused("job list --limit", "--limit");
    assert_refused("backup web --wait=yes", "--wait");
}

static void test_numbers(void **state)
{
    (void)state;
    static const char *const wrong[] = {"job list --limit 0", "job list --limit x", "job list --limit 5x",
                                        "job list --limit 99999999999999999999"};
    struct failure failure;
    long value;
    struct arguments *arguments = parse("job list --limit 7", &failure);
    assert_int_equal(arguments_number(arguments, "limit", 1, 100, &value, &failure), 1);
    assert_int_equal(value, 7);
    arguments_destroy(arguments);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        arguments = parse(wrong[i], &failure);
        assert_int_equal(arguments_number(arguments, "limit", 1, 100, &value, &failure), -1);
        arguments_destroy(arguments);
    }
}

/* Every command has a summary, an example that it parses, and options with help. */
static void test_table(void **state)
{
    (void)state;
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        assert_true(strlen(command->summary) > 0);
        assert_non_null(command->run);
        for (const char *line = command->examples; *line != '\0'; line += strcspn(line, "\n") + 1) {
            struct failure failure;
            char text[256];
            snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
            assert_int_equal(strncmp(text, "holdfast ", 9), 0);
            struct arguments *arguments = parse(text + 9, &failure);
            if (arguments == NULL) {
                fail_msg("`%s`: %s", text, failure.message);
            }
            assert_ptr_equal(arguments_command(arguments), command);
            arguments_destroy(arguments);
        }
        for (const struct cli_option *option = command->options; option != NULL && option->name != NULL;
             option++) {
            assert_true(strlen(option->help) > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands), cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_numbers), cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
