#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"
#include "base/queue.h"
#include <pthread.h>
#include <stdatomic.h>

enum { ITEMS = 20000, PRODUCERS = 3 };

static int items[ITEMS];

static void *produce(void *cookie)
{
    for (size_t i = 0; i < ITEMS; i++) {
        assert_true(queue_push(cookie, &items[i]));
    }
    return NULL;
}

static void test_nothing_is_lost_between_threads(void **state)
{
    (void)state;
    static unsigned seen[ITEMS];
    struct queue *queue = queue_create(4);
    pthread_t threads[PRODUCERS];
    void *item;
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_create(&threads[i], NULL, produce, queue);
    }
    for (size_t i = 0; i < (size_t)PRODUCERS * ITEMS; i++) {
        assert_true(queue_pop(queue, &item));
        seen[(int *)item - items]++;
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(seen[i], PRODUCERS);
    }
    assert_false(queue_try_pop(queue, &item));
    queue_destroy(queue);
}

static void test_bounds_and_closing(void **state)
{
    (void)state;
    struct queue *queue = queue_create(2);
    void *item;
    assert_true(queue_try_push(queue, &items[0]));
    assert_true(queue_try_push(queue, &items[1]));
    assert_false(queue_try_push(queue, &items[2]));
    queue_close(queue);
    assert_false(queue_push(queue, &items[2]));
    assert_true(queue_pop(queue, &item));
    assert_ptr_equal(item, &items[0]);
    assert_true(queue_pop_timed(queue, &item, 1000));
    assert_ptr_equal(item, &items[1]);
    assert_false(queue_pop(queue, &item));
    queue_destroy(queue);
    queue = queue_create(1);
    assert_false(queue_pop_timed(queue, &item, 1));
    queue_destroy(queue);
}

static void count(void *cookie)
{
    atomic_fetch_add((atomic_uint *)cookie, 1);
}

static void test_pool_ends_what_it_has(void **state)
{
    (void)state;
    struct error err;
    atomic_uint done = 0;
    struct pool *pool = pool_create("counters", 3, 8, &err);
    assert_non_null(pool);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(pool_submit(pool, count, &done));
    }
    pool_destroy(pool);
    assert_int_equal(atomic_load(&done), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_between_threads),
        cmocka_unit_test(test_bounds_and_closing),
        cmocka_unit_test(test_pool_ends_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
