#include "agent/providers/job_journal.h"
#include "agent/providers/snapshot_journal.h"
#include "provider_fixture.h"

static char removed[200]; /* the names, in the order in which they went */
static const char *stuck; /* this one does not go */

static int remove_snapshot(const json_t *snapshot, struct error *err)
{
    const char *name = job_journal_text(snapshot, "name");
    if (stuck && strcmp(name, stuck) == 0)
        return error_set(err, ERROR_SNAPSHOT_FAILED, "%s is in use.", name);
    strcat(strcat(removed, name), " ");
    return 0;
}

static const struct snapshot_maker maker = {.kind = "test", .remove = remove_snapshot};

static int clean(void **state)
{
    (void)state;
    removed[0] = '\0';
    stuck = NULL;
    os_path_remove_tree(in_directory("jobs"), &(struct error){0});
    return 0;
}

static void note(struct snapshot_journal *journal)
{
    struct error err;
    char *name = snapshot_journal_name(journal, "of-");
    check(snapshot_journal_add(journal, json_pack("{s:s}", "name", name), &err), err);
    free(name);
}

/* A backup of a VM that the agent did not survive: two snapshots. */
static void leave(const char *job, const char *vm_uuid)
{
    struct error err;
    struct snapshot_journal *journal = snapshot_journal_create(&maker, directory, job, vm_uuid);
    note(journal);
    note(journal);
    json_t *entry = job_journal_read(directory, job);
    assert_non_null(entry);
    assert_int_equal(snapshot_journal_end(journal, &err), 0);
    check(job_journal_write(directory, entry, &err), err);
    json_decref(entry);
    removed[0] = '\0';
}

static bool is_left(const char *job)
{
    json_t *entry = job_journal_read(directory, job);
    json_decref(entry);
    return entry != NULL;
}

static void what_was_noted_goes_at_the_end(void **state)
{
    (void)state;
    struct error err;
    struct snapshot_journal *journal = snapshot_journal_create(&maker, directory, "job-1", "vm-1");
    assert_false(is_left("job-1"));
    note(journal);
    assert_true(is_left("job-1"));
    note(journal);
    check(snapshot_journal_end(journal, &err), err);
    assert_string_equal(removed, "of-job-1-0 of-job-1-1 ");
    assert_false(is_left("job-1"));
}

static void what_is_stuck_stays_noted(void **state)
{
    (void)state;
    struct error err;
    struct snapshot_journal *journal = snapshot_journal_create(&maker, directory, "job-1", "vm-1");
    note(journal);
    note(journal);
    stuck = "of-job-1-0";
    assert_int_equal(snapshot_journal_end(journal, &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_FAILED);
    assert_string_equal(removed, "of-job-1-1 ");
    snapshot_journal_recover(&maker, directory);
    assert_true(is_left("job-1"));
    stuck = NULL;
    snapshot_journal_recover(&maker, directory);
    assert_false(is_left("job-1"));
}

static void only_what_is_meant_is_cleaned(void **state)
{
    (void)state;
    leave("job-1", "vm-1");
    leave("job-2", "vm-2");
    leave("job-3", "vm-1");
    snapshot_journal_clean(&maker, directory, "vm-2");
    assert_string_equal(removed, "of-job-2-0 of-job-2-1 ");
    assert_false(is_left("job-2"));
    snapshot_journal_clean_job(&maker, directory, "job-3");
    assert_false(is_left("job-3"));
    assert_true(is_left("job-1"));
    snapshot_journal_recover(&maker, directory);
    assert_false(is_left("job-1"));
}

static void entries_of_others_stay(void **state)
{
    (void)state;
    struct error err;
    const struct snapshot_maker other = {.kind = "other", .remove = remove_snapshot};
    json_t *restore = job_journal_entry("job-2", maker.kind);
    json_object_set_new(restore, "type", json_string("restore"));
    check(job_journal_write(directory, restore, &err), err);
    json_decref(restore);
    leave("job-1", "vm-1");
    snapshot_journal_recover(&other, directory);
    snapshot_journal_clean_job(&other, directory, "job-1");
    snapshot_journal_clean_job(&maker, directory, "job-2");
    assert_string_equal(removed, "");
    snapshot_journal_recover(&maker, directory);
    assert_false(is_left("job-1"));
    assert_true(is_left("job-2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_noted_goes_at_the_end, clean),
        cmocka_unit_test_setup(what_is_stuck_stays_noted, clean),
        cmocka_unit_test_setup(only_what_is_meant_is_cleaned, clean),
        cmocka_unit_test_setup(entries_of_others_stay, clean),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
