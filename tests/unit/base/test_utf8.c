/* Text of any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/utf8.h"

static void bytes_become_text(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"a\xff", "a?"},
        {"\xc3", "?"},
        {"\xe2\x82", "??"},
        {"\x80z", "?z"},
        {"\xc0\xaf", "??"},
        {"\xe0\x80\x80", "???"},
        {"\xed\xa0\x80", "???"},
        {"\xf0\x80\x80\x80", "????"},
        {"\xf4\x90\x80\x80", "????"},
        {"\xf8\x88\x80\x80\x80", "?????"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        utf8_repair(text);
        assert_string_equal(text, cases[i][1]);
    }
}

static void errors_are_text(void **state)
{
    char longest[2 * ERROR_TEXT_MAX];
    struct error err;
    (void)state;
    error_set(&err, ERROR_VM_NOT_FOUND, "There is no VM %.3s", "ab\xc3\xa4");
    assert_string_equal(err.message, "There is no VM ab?");
    error_set_cause(&err, "%s", "\xff");
    assert_string_equal(err.cause, "?");
    memset(longest, 'x', sizeof longest);
    memcpy(longest + ERROR_TEXT_MAX - 2, "\xc3\xa4", 3);
    error_set(&err, ERROR_VM_NOT_FOUND, "%s", longest);
    assert_int_equal(err.message[ERROR_TEXT_MAX - 2], '?');
    error_wrap(&err, ERROR_INTERNAL, "\xc3");
    assert_string_equal(err.message, "?");
    for (const char *at = err.cause; *at != '\0'; at++) {
        assert_int_not_equal(utf8_length(at, strlen(at)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_text),
        cmocka_unit_test(errors_are_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
