#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct config_key keys[] = {
    {"port", "7420", "a port"}, {"size", NULL, "a size"}, {"on", "no", "a switch"}, {NULL, NULL, NULL}};

static struct config *load_text(const char *text, struct error *err)
{
    char path[] = "/tmp/holdfast-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct config *config = config_load(path, keys, err);
    unlink(path);
    return config;
}

static void test_values_and_defaults(void **state)
{
    (void)state;
    struct error err;
    int64_t port;
    uint64_t size;
    bool on;
    struct config *config = load_text("# a comment\n\n  port =  8000 \nsize=2G\non = yes\n", &err);
    assert_non_null(config);
    assert_int_equal(config_integer(config, "port", 1, 65535, &port, &err), 0);
    assert_int_equal(port, 8000);
    assert_int_equal(config_size(config, "size", &size, &err), 0);
    assert_int_equal(size, UINT64_C(2) << 30);
    assert_int_equal(config_boolean(config, "on", &on, &err), 0);
    assert_true(on);
    assert_int_equal(config_set(config, "port", "70000", &err), 0);
    assert_int_equal(config_integer(config, "port", 1, 65535, &port, &err), -1);
    assert_int_equal(err.code, ERROR_CONFIG_INVALID);
    assert_int_equal(config_set(config, "prot", "1", &err), -1);
    config_destroy(config);
    config = config_load("/nonexistent/file", keys, &err);
    assert_string_equal(config_text(config, "port"), "7420");
    assert_null(config_text(config, "size"));
    config_destroy(config);
}

static void test_mistakes_are_named(void **state)
{
    (void)state;
    struct error err;
    assert_null(load_text("prot = 1\n", &err));
    assert_int_equal(err.code, ERROR_CONFIG_INVALID);
    assert_non_null(strstr(err.cause, "prot"));
    assert_null(load_text("port\n", &err));
    assert_int_equal(err.code, ERROR_CONFIG_INVALID);
}

static void test_sizes(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "K", "-1", "1X", "1.5G", "99999999999T", "0x10", " ", "1 K K"};
    uint64_t bytes;
    assert_int_equal(config_parse_size("512", &bytes), 0);
    assert_int_equal(bytes, 512);
    assert_int_equal(config_parse_size("16T", &bytes), 0);
    assert_int_equal(bytes, UINT64_C(16) << 40);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(config_parse_size(wrong[i], &bytes), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_defaults),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
