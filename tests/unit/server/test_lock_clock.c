/* The time that retention locks count by: whatever is done to the clock, a lock lasts its days. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/protection/lock_clock.h"

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };
static const int64_t start_ms = 1767225600000; /* 2026-01-01 */

static uint32_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

struct machine {
    struct lock_clock_mark mark;
    struct lock_time time;
    int64_t true_ms;  /* since the beginning */
    int64_t wrong_ms; /* the wall clock against the truth */
    int64_t boot_ms;
    unsigned boot;
};

static void look(struct machine *machine)
{
    char boot[LOCK_CLOCK_BOOT_SIZE];
    snprintf(boot, sizeof boot, "boot-%u", machine->boot);
    lock_clock_count(&machine->mark, boot, machine->boot_ms, start_ms + machine->true_ms + machine->wrong_ms,
                     &machine->time);
}

static void run(struct machine *machine, int64_t ms)
{
    machine->true_ms += ms;
    machine->boot_ms += ms;
    look(machine);
}

static void restart(struct machine *machine, int64_t off_ms)
{
    machine->true_ms += off_ms;
    machine->boot_ms = 0;
    machine->boot++;
    look(machine);
}

static void set_clock(struct machine *machine, int64_t wrong_ms)
{
    machine->wrong_ms = wrong_ms;
    look(machine);
}

static void test_right_clock(void **state)
{
    struct machine machine = {0};
    (void)state;
    look(&machine);
    int64_t until_ms = machine.time.begin_ms + 30LL * DAY_MS;
    assert_int_equal(until_ms, start_ms + 30LL * DAY_MS);
    run(&machine, 30LL * DAY_MS - 1);
    assert_true(machine.time.now_ms < until_ms);
    run(&machine, 1);
    assert_int_equal(machine.time.now_ms, until_ms);
    assert_int_equal(machine.time.behind_ms, 0);
}

static void test_forward_and_back(void **state)
{
    struct machine machine = {0};
    (void)state;
    look(&machine);
    int64_t until_ms = machine.time.begin_ms + 30LL * DAY_MS;
    set_clock(&machine, 365LL * DAY_MS);
    assert_true(machine.time.now_ms < until_ms);
    assert_int_equal(machine.time.behind_ms, 365LL * DAY_MS);
    restart(&machine, 0);
    assert_true(machine.time.now_ms < until_ms);
    set_clock(&machine, 0);
    run(&machine, 30LL * DAY_MS);
    assert_int_equal(machine.time.now_ms, until_ms);
    set_clock(&machine, -400LL * DAY_MS); /* a lock that is made now counts from the count */
    assert_int_equal(machine.time.begin_ms, until_ms);
}

static void test_unset_clock_begins_nothing(void **state)
{
    struct machine machine = {0};
    (void)state;
    set_clock(&machine, -start_ms); /* 1970 */
    run(&machine, HOUR_MS);
    set_clock(&machine, 0);
    assert_int_equal(machine.time.behind_ms, 0);
}

/* The catalog on another machine, which has run for a year: that year was not this lock's. */
static void test_other_machine(void **state)
{
    struct machine machine = {0};
    (void)state;
    run(&machine, HOUR_MS);
    int64_t until_ms = machine.time.begin_ms + 30LL * DAY_MS;
    machine.boot++;
    machine.boot_ms = 365LL * DAY_MS;
    set_clock(&machine, 365LL * DAY_MS);
    assert_true(machine.time.now_ms < until_ms);
    assert_int_equal(machine.time.behind_ms, 365LL * DAY_MS);
}

/* Locks of random days, made and looked at while the clock is set, the machine runs, stops and starts at
 * random. */
static void test_locks_last_their_days(void **state)
{
    enum { LOCKS = 20, STEPS = 400, ROUNDS = 200 };
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct machine machine = {.true_ms = draw(DAY_MS)};
        int64_t until_ms[LOCKS], made_ms[LOCKS], days[LOCKS];
        size_t count = 0;
        look(&machine);
        for (unsigned step = 0; step < STEPS; step++) {
            switch (draw(6)) {
            case 0:
                set_clock(&machine, ((int64_t)draw(2000) - 300) * DAY_MS);
                break;
            case 1:
                restart(&machine, draw(3 * DAY_MS));
                break;
            default:
                run(&machine, draw(DAY_MS));
                break;
            }
            if (count < LOCKS && draw(10) == 0) {
                days[count] = 1 + draw(60);
                made_ms[count] = machine.true_ms;
                until_ms[count] = machine.time.begin_ms + days[count] * DAY_MS;
                count++;
            }
            for (size_t i = 0; i < count; i++) {
                bool over = machine.time.now_ms >= until_ms[i];
                assert_false(over && machine.true_ms - made_ms[i] < days[i] * DAY_MS);
            }
        }
    }
}

/* In the catalog: the mark is kept, and goes on within this boot. */
static void test_mark_is_kept(void **state)
{
    struct catalog_world *world = *state;
    struct lock_time first, second;
    struct error err;
    const char *text;
    check(lock_clock_read(world->catalog, &first, &err), err);
    check(catalog_setting_get(world->catalog, world->arena, "lock_clock", &text, &err), err);
    assert_non_null(text);
    /* As if the wall clock had jumped a year: the mark is a year behind it. */
    const char *rest = strchr(text, ' ');
    text = arena_format(world->arena, "%lld%s", (long long)(first.now_ms - 365LL * DAY_MS), rest);
    check(catalog_setting_set(world->catalog, "lock_clock", text, &err), err);
    check(lock_clock_read(world->catalog, &second, &err), err);
    assert_in_range(second.behind_ms, 365LL * DAY_MS - HOUR_MS, 365LL * DAY_MS + HOUR_MS);
    assert_true(second.now_ms < first.now_ms);
    check(catalog_setting_set(world->catalog, "lock_clock", "what", &err), err);
    check(lock_clock_read(world->catalog, &second, &err), err);
    assert_int_equal(second.behind_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_clock),
        cmocka_unit_test(test_forward_and_back),
        cmocka_unit_test(test_unset_clock_begins_nothing),
        cmocka_unit_test(test_other_machine),
        cmocka_unit_test(test_locks_last_their_days),
        cmocka_unit_test_setup_teardown(test_mark_is_kept, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
