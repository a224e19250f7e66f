/* A line of the log as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log_json.h"

static void lines_become_objects(void **state)
{
    static const char begin[] =
        "{\"time\":\"T\",\"level\":\"info\",\"component\":\"server\",\"event\":\"job started\"";
    static const struct {
        const char *fields;
        const char *job;
        const char *rest;
    } cases[] = {
        {"", "", "}"},
        {"", "j1", ",\"job\":\"j1\"}"},
        {"vm=\"two words\" size=5", "j1", ",\"vm\":\"two words\",\"size\":\"5\",\"job\":\"j1\"}"},
        {"cause=\"\" code=", "", ",\"cause\":\"\",\"code\":\"\"}"},
        {"vm=\"a\"b\\c\" n=1", "", ",\"vm\":\"a\\\"b\\\\c\",\"n\":\"1\"}"},
        {"words that are no pairs a=1", "", ",\"a\":\"1\"}"},
        {"vm=\"never ends", "", ",\"vm\":\"never ends\"}"},
        {"=x a=1", "", ",\"a\":\"1\"}"},
        {"vm=\xc3\xa4\xff\xe2\x82 n=\xf0\x9f\x98\x80", "",
         ",\"vm\":\"\xc3\xa4???\",\"n\":\"\xf0\x9f\x98\x80\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out;
        struct log_line line = {.time = "T",
                                .level = "info",
                                .component = "server",
                                .event = "job started",
                                .fields = cases[i].fields,
                                .job = cases[i].job};
        buffer_init(&out, 10000);
        log_json_write(&out, &line);
        assert_memory_equal(buffer_text(&out), begin, sizeof begin - 1);
        assert_string_equal(buffer_text(&out) + sizeof begin - 1, cases[i].rest);
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_become_objects)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
