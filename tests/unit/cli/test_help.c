/* Help of every command and of every code, without a server; and what shells are offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/complete.h"

enum { WORDS_MAX = 8 };

/* What `holdfast WORDS` prints; its exit status must be 0. */
static char *run(const char *line)
{
    char *text = memory_copy_text(line);
    char *words[WORDS_MAX + 1] = {(char *)(uintptr_t) "holdfast"};
    int count = 1;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL && count < WORDS_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    FILE *err = tmpfile();
    assert_non_null(err);
    int status = cli_main(count, words, out, err);
    fclose(out);
    fclose(err);
    if (status != 0) {
        fail_msg("holdfast %s: exit status %d", line, status);
    }
    free(text);
    return printed;
}

static void says(const char *printed, const char *text, const char *line)
{
    if (strstr(printed, text) == NULL) {
        fail_msg("holdfast %s does not say \"%s\"", line, text);
    }
}

/* A manual page with its "\\-" as they are read. */
static char *without_escapes(const char *page)
{
    char *plain = memory_copy_text(page);
    char *to = plain;
    for (const char *from = page; *from != '\0'; from++) {
        if (from[0] != '\\' || from[1] != '-') {
            *to++ = *from;
        }
    }
    *to = '\0';
    return plain;
}

static void test_every_command(void **state)
{
    (void)state;
    char *manual = run("help manual");
    char *plain = without_escapes(manual);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        char *line = memory_format("%s --help", command->name);
        char *heading = memory_format(".SS \"holdfast %s", command->name);
        char *printed = run(line);
        says(printed, command->summary, line);
        says(printed, "--json", line);
        says(printed, "Examples:", line);
        says(plain, heading, "help manual");
        for (const struct cli_option *option = command->options; option != NULL && option->name != NULL;
             option++) {
            assert_true(strlen(option->help) > 0);
            says(printed, option->name, line);
        }
        free(printed);
        free(heading);
        free(line);
    }
    free(plain);
    free(manual);
}

static void test_every_code(void **state)
{
    (void)state;
    for (int code = ERROR_NONE + 1; code < ERROR_CODE_COUNT; code++) {
        char *line = memory_format("help %s", error_code_name((enum error_code)code));
        char *printed = run(line);
        says(printed, error_code_says((enum error_code)code), line);
        says(printed, error_code_action((enum error_code)code), line);
        free(printed);
        free(line);
    }
}

static void offers(const char *const *words, size_t count, const char *wanted)
{
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    complete_words(words, count, out);
    fclose(out);
    assert_string_equal(printed, wanted);
    free(printed);
}

static void test_completion(void **state)
{
    (void)state;
    offers((const char *const[]){"back"}, 1, "backup\n");
    offers((const char *const[]){"vm", ""}, 2, "discover\nlist\nshow\n");
    offers((const char *const[]){"vm", "list", "--se"}, 3, "--search\n");
    offers((const char *const[]){"job", "list", "--state", "c"}, 4,
           "completed\ncompleted-with-warnings\ncancelled\n");
    offers((const char *const[]){"--config", "/none", "job", "list", "--type", "re"}, 6,
           "restore\nrebuild\n");
    offers((const char *const[]){"help", "STORE_FU"}, 2, "STORE_FULL\n");
    offers((const char *const[]){"help", "vm", "l"}, 3, "list\n");
    offers((const char *const[]){"no", "such", ""}, 3, "");
    offers((const char *const[]){"completion", ""}, 2, "bash\nzsh\nfish\n");
    offers(NULL, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command),
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_completion),
    };
    setenv("HOLDFAST_CONFIG", "/nonexistent/holdfast.json", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
