/* How entries of the audit record hang together, and what is found when they don't. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/audit/audit.h"

static const struct catalog_audit first = {.number = 1,
                                           .time_ms = 1000,
                                           .actor = "admin",
                                           .address = "::1",
                                           .action = "POST /v1/backups",
                                           .object = "web1",
                                           .outcome = "begun",
                                           .code = "",
                                           .detail = "{}"};

/* Made from chain.h's words by another program. */
static void hash_is_as_documented(void **state)
{
    char hash[CHAIN_HASH_SIZE];
    struct chain_head head;
    (void)state;
    chain_head_init(&head);
    chain_hash(head.hash, &first, hash);
    assert_string_equal(hash, "c24a9735732d7fbf67178e3f24acf316a8143beda8f25120d1b423568d9ab31f");
}

static void every_field_counts(void **state)
{
    struct chain_head head;
    char hash[CHAIN_HASH_SIZE];
    char other[CHAIN_HASH_SIZE];
    struct catalog_audit rows[10];
    (void)state;
    chain_head_init(&head);
    chain_hash(head.hash, &first, hash);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rows[i] = first;
    }
    rows[0].number = 2;
    rows[1].time_ms = 1001;
    rows[2].actor = "admim";
    rows[3].address = "::2";
    rows[4].action = "POST /v1/backup";
    rows[5].object = "web2";
    rows[6].outcome = "done";
    rows[7].code = "X";
    rows[8].detail = "{ }";
    rows[9].of = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        chain_hash(head.hash, &rows[i], other);
        assert_string_not_equal(hash, other);
    }
    /* What moves from one field into the next is another entry. */
    rows[0] = first;
    rows[0].actor = "admin::1";
    rows[0].address = "";
    chain_hash(head.hash, &rows[0], other);
    assert_string_not_equal(hash, other);
}

static void changed_rows_do_not_follow(void **state)
{
    struct chain_head head;
    struct chain_head start;
    char hash[CHAIN_HASH_SIZE];
    const char *why;
    struct catalog_audit row = first;
    (void)state;
    chain_head_init(&start);
    chain_hash(start.hash, &row, hash);
    row.hash = hash;
    head = start;
    assert_int_equal(chain_follow(&head, &row, &why), 0);
    assert_int_equal(head.number, 1);
    assert_string_equal(head.hash, hash);
    assert_int_equal(chain_follow(&head, &row, &why), -1); /* twice */
    row.object = "web2";
    head = start;
    assert_int_equal(chain_follow(&head, &row, &why), -1);
    assert_int_equal(head.number, 0);
}

static void heads_are_read(void **state)
{
    struct chain_head head;
    char line[128];
    (void)state;
    chain_head_init(&head);
    snprintf(line, sizeof line, "00000000000000000042 %s\n", head.hash);
    assert_int_equal(chain_head_parse(line, &head), 0);
    assert_int_equal(head.number, 42);
    assert_int_equal(chain_head_parse("", &head), -1);
    assert_int_equal(chain_head_parse("42", &head), -1);
    assert_int_equal(chain_head_parse("42 abc", &head), -1);
    line[30] = 'x';
    assert_int_equal(chain_head_parse(line, &head), -1);
    line[0] = '-';
    assert_int_equal(chain_head_parse(line, &head), -1);
}

/* --- a record */

static char *head_path(const struct catalog_world *world)
{
    return os_path_join(world->root, "audit.head");
}

static struct audit *open_audit(const struct catalog_world *world)
{
    struct error err;
    char *path = head_path(world);
    struct audit *audit = audit_open(world->catalog, path, &err);
    check(audit != NULL ? 0 : -1, err);
    free(path);
    return audit;
}

static void note(struct audit *audit, const char *object)
{
    struct error err;
    struct audit_entry entry = {.actor = "admin", .action = "test", .object = object};
    check(audit_note(audit, &entry, &err), err);
}

static int64_t first_broken(struct audit *audit)
{
    struct error err;
    struct audit_verdict verdict;
    struct chain_head none;
    chain_head_init(&none);
    check(audit_verify(audit, &none, &verdict, &err), err);
    return verdict.broken;
}

static void record_goes_on(void **state)
{
    struct catalog_world *world = *state;
    struct audit *audit = open_audit(world);
    assert_int_equal(first_broken(audit), 0);
    note(audit, "a");
    note(audit, "no \x01 UTF-8 \xff");
    audit_close(audit);
    audit = open_audit(world);
    note(audit, "c");
    assert_int_equal(first_broken(audit), 0);
    audit_close(audit);
}

/* A record that is older than its head, as after the catalog was put back from a copy. */
static void lost_tail_is_told(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    struct audit *audit = open_audit(world);
    for (int i = 0; i < 5; i++) {
        note(audit, "a");
    }
    audit_close(audit);
    char *path = head_path(world);
    char line[128];
    snprintf(line, sizeof line, "%020d %064d\n", 7, 0);
    check(os_file_write_whole(path, line, strlen(line), 0600, &err), err);
    audit = open_audit(world);
    assert_int_equal(first_broken(audit), 6);
    note(audit, "later");
    assert_int_equal(first_broken(audit), 6);
    check(os_path_remove(path, &err), err);
    assert_int_not_equal(first_broken(audit), 0);
    audit_close(audit);
    free(path);
}

static void old_entries_go(void **state)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    struct catalog_world *world = *state;
    struct error err;
    struct chain_head none;
    struct audit_verdict verdict;
    chain_head_init(&none);
    clock_test_set((int64_t)20000 * DAY_MS);
    struct audit *audit = open_audit(world);
    for (int i = 0; i < 10; i++) {
        note(audit, "a");
        clock_test_advance_ms(DAY_MS);
    }
    check(audit_prune(audit, 4, &err), err);
    check(audit_verify(audit, &none, &verdict, &err), err);
    assert_int_equal(verdict.broken, 0);
    assert_int_equal(verdict.first, 7);
    assert_int_equal(verdict.last, 11);
    check(audit_prune(audit, 4, &err), err); /* nothing more to remove */
    check(audit_verify(audit, &none, &verdict, &err), err);
    assert_int_equal(verdict.last, 11);
    /* The clock was wrong once: what is younger by number stays. */
    clock_test_set(0);
    note(audit, "clock");
    clock_test_set((int64_t)20011 * DAY_MS);
    note(audit, "clock");
    check(audit_prune(audit, 4, &err), err);
    check(audit_verify(audit, &none, &verdict, &err), err);
    assert_int_equal(verdict.broken, 0);
    assert_int_equal(verdict.first, 8);
    /* All are old: the server stood still for long. */
    clock_test_advance_ms((int64_t)30 * DAY_MS);
    check(audit_prune(audit, 4, &err), err);
    check(audit_verify(audit, &none, &verdict, &err), err);
    assert_int_equal(verdict.broken, 0);
    assert_int_equal(verdict.first, verdict.last);
    audit_close(audit);
    clock_test_clear();
}

static void strangers_have_a_bound(void **state)
{
    struct catalog_world *world = *state;
    struct audit *audit = open_audit(world);
    int counted = 0;
    clock_test_set(1000000);
    for (int i = 0; i < 1000; i++) {
        counted += audit_stranger_counts(audit);
    }
    assert_in_range(counted, 1, 20);
    audit_close(audit);
    clock_test_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_as_documented),
        cmocka_unit_test(every_field_counts),
        cmocka_unit_test(changed_rows_do_not_follow),
        cmocka_unit_test(heads_are_read),
        cmocka_unit_test_setup_teardown(record_goes_on, world_begin, world_end),
        cmocka_unit_test_setup_teardown(lost_tail_is_told, world_begin, world_end),
        cmocka_unit_test_setup_teardown(old_entries_go, world_begin, world_end),
        cmocka_unit_test_setup_teardown(strangers_have_a_bound, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
