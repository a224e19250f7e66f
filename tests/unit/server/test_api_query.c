/* Queries of requests, as they come from outside. */
#include "check.h"

#include "server/api/api_internal.h"
#include <string.h>

static struct api_call call;

static int begin(void **state)
{
    (void)state;
    call = (struct api_call){.arena = arena_create()};
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_destroy(call.arena);
    return 0;
}

static int count_handled(struct api_call *handled, struct error *err)
{
    (void)err;
    handled->status++;
    return 0;
}

static const struct api_route route = {.handler = count_handled, .role = ROLE_ANYONE};

static void test_taken(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *a;
        const char *b;
    } cases[] = {{NULL, NULL, NULL},
                 {"", NULL, NULL},
                 {"a=1", "1", NULL},
                 {"a=1&b=2", "1", "2"},
                 {"a=1&b=2&", "1", "2"}, /* as browsers and curl scripts end them */
                 {"a=", "", NULL},
                 {"b=x%26a%3D1", NULL, "x&a=1"},
                 {"b=two+words", NULL, "two words"},
                 {"a=1=2", "1=2", NULL},
                 {"a=1&a=2", "1", NULL}};
    struct error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call.query = cases[i].query;
        call.status = 0;
        assert_int_equal(api_dispatch(&call, &route, &err), 0);
        assert_int_equal(call.status, 1);
        const char *const values[] = {api_query(&call, "a"), api_query(&call, "b")};
        const char *const wanted[] = {cases[i].a, cases[i].b};
        for (size_t v = 0; v < 2; v++) {
            if (wanted[v] != NULL) {
                assert_non_null(values[v]);
                assert_string_equal(values[v], wanted[v]);
            } else {
                assert_null(values[v]);
            }
        }
    }
}

/* Nothing is done for a query whose parameters would go unseen. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const queries[] = {"&", "&a=1", "a=1&&b=2", "a", "a=1&b", "=1", "a=1&=2"};
    struct error err;
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        call.query = queries[i];
        call.status = 0;
        assert_int_equal(api_dispatch(&call, &route, &err), -1);
        assert_int_equal(err.code, ERROR_REQUEST_INVALID);
        assert_non_null(strstr(err.message, queries[i]));
        assert_int_equal(call.status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_taken, begin, end),
        cmocka_unit_test_setup_teardown(test_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
