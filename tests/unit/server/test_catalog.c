/* The catalog: what hosts report, one VM in one group, names, tokens, versions. */
#include "catalog_fixture.h"

#include "server/catalog/catalog_counts.h"
#include <pthread.h>
#include <sqlite3.h>

static void test_reports(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", "", (const char *const[]){"web", "db", NULL});
    assert_true(world_vm(world, "alpha/web")->present);
    world_report(world, "h1", "", (const char *const[]){"db", NULL});
    assert_false(world_vm(world, "web")->present);
    assert_true(world_vm(world, "web")->vanished_ms > 0);
    world_report(world, "h1", "", (const char *const[]){"db", "web", NULL});
    assert_true(world_vm(world, "web")->present);
    assert_null(catalog_vm_find(world->catalog, world->arena, "ghost", &err));
    assert_int_equal(err.code, ERROR_VM_NOT_FOUND);
}

static void test_silent_kind_changes_nothing(void **state)
{
    struct catalog_world *world = *state;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", "", (const char *const[]){"web", NULL});
    world_report(world, "h1", " kvm ", (const char *const[]){NULL});
    assert_true(world_vm(world, "web")->present);
    world_report(world, "h1", " image ", (const char *const[]){NULL});
    assert_false(world_vm(world, "web")->present);
}

static void test_vm_moves_with_its_identity(void **state)
{
    struct catalog_world *world = *state;
    world_host(world, "h1", "alpha");
    world_host(world, "h2", "beta");
    world_report(world, "h1", "", (const char *const[]){"web", NULL});
    const char *id = world_vm(world, "web")->id;
    world_report(world, "h1", "", (const char *const[]){NULL});
    world_report(world, "h2", "", (const char *const[]){"web", NULL});
    assert_string_equal(world_vm(world, "beta/web")->id, id);
}

static void report_moved(struct catalog_world *world, const char *host_id, const char *uuid)
{
    struct error err;
    struct catalog_vm_report moved = {.vm = {.uuid = uuid, .kind = "kvm", .moved_away = true}};
    check(catalog_vm_report(world->catalog, host_id, &moved, 1, "", &err), err);
}

static void test_moved_away_until_reported(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    world_host(world, "h1", "alpha");
    world_host(world, "h2", "beta");
    world_report(world, "h1", "", (const char *const[]){"web", "db", NULL});
    const char *id = world_vm(world, "web")->id;
    assert_int_equal(catalog_vm_check_present(world_vm(world, "web"), &err), 0);
    report_moved(world, "h1", "web");
    assert_int_equal(catalog_vm_check_present(world_vm(world, "web"), &err), -1);
    assert_int_equal(err.code, ERROR_VM_MOVED_AWAY);
    assert_non_null(strstr(err.message, "alpha"));
    assert_int_equal(catalog_vm_check_present(world_vm(world, "db"), &err), -1);
    assert_int_equal(err.code, ERROR_VM_NOT_FOUND);
    world_report(world, "h1", "", (const char *const[]){"db", NULL}); /* an agent that does not remember it */
    assert_true(world_vm(world, "web")->moved_away);
    world_report(world, "h2", "", (const char *const[]){"web", NULL});
    assert_string_equal(world_vm(world, "beta/web")->id, id);
    assert_false(world_vm(world, "web")->moved_away);
    report_moved(world, "h1", "web"); /* it is at another host now */
    assert_int_equal(catalog_vm_check_present(world_vm(world, "web"), &err), 0);
}

static void set_state(struct catalog_world *world, const char *host_id, enum host_state host_state)
{
    struct error err;
    check(catalog_host_set_state(world->catalog, host_id, host_state, 1, &err), err);
}

/* "web" of alpha, protected, is reported by beta. */
static const char *reported_twice(struct catalog_world *world)
{
    struct error err;
    world_host(world, "h1", "alpha");
    world_host(world, "h2", "beta");
    world_report(world, "h1", "", (const char *const[]){"web", "db", NULL});
    const char *group =
        world_group(world, "first", world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00"));
    const char *id = world_vm(world, "web")->id;
    check(catalog_group_add(world->catalog, group, id, &err), err);
    world_report(world, "h2", "", (const char *const[]){"web", NULL});
    assert_string_not_equal(world_vm(world, "beta/web")->id, id);
    return id;
}

static void test_moved_while_its_host_was_silent(void **state)
{
    struct catalog_world *world = *state;
    const char *id = reported_twice(world);
    set_state(world, "h1", HOST_UNREACHABLE);
    world_report(world, "h2", "", (const char *const[]){"web", NULL});
    assert_string_equal(world_vm(world, "web")->id, id); /* there is one */
    assert_string_equal(world_vm(world, "web")->host_id, "h2");
    assert_string_equal(world_vm(world, "web")->group_name, "first");
    assert_string_equal(world_vm(world, "db")->host_id, "h1");
    set_state(world, "h1", HOST_CONNECTED);
    world_report(world, "h1", "", (const char *const[]){"db", NULL});
    assert_string_equal(world_vm(world, "web")->host_id, "h2");
    assert_true(world_vm(world, "web")->present);
}

static void test_a_restored_copy_takes_nothing_over(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    const char *id = reported_twice(world);
    struct catalog_job job = {.id = "j1",
                              .type = JOB_RESTORE,
                              .state = JOB_COMPLETED,
                              .vm_id = id,
                              .vm_name = "web",
                              .host_id = "h2",
                              .host_name = "beta"};
    check(catalog_job_insert(world->catalog, &job, &err), err);
    set_state(world, "h1", HOST_UNREACHABLE);
    world_report(world, "h2", "", (const char *const[]){"web", NULL});
    assert_string_equal(world_vm(world, "alpha/web")->id, id);
    assert_string_not_equal(world_vm(world, "beta/web")->id, id);
}

static void test_same_name_is_ambiguous(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    world_host(world, "h1", "alpha");
    world_host(world, "h2", "beta");
    world_report(world, "h1", "", (const char *const[]){"web", NULL});
    world_report(world, "h2", "", (const char *const[]){"web", NULL});
    assert_null(catalog_vm_find(world->catalog, world->arena, "web", &err));
    assert_int_equal(err.code, ERROR_VM_AMBIGUOUS);
    assert_non_null(strstr(err.message, "beta/web"));
    assert_string_equal(world_vm(world, "beta/web")->host_id, "h2");
}

static void test_one_group_a_vm(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", "", (const char *const[]){"web", NULL});
    const char *policy = world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00");
    const char *first = world_group(world, "first", policy);
    const char *second = world_group(world, "second", policy);
    const char *vm = world_vm(world, "web")->id;
    check(catalog_group_add(world->catalog, first, vm, &err), err);
    check(catalog_group_add(world->catalog, first, vm, &err), err);
    assert_int_equal(catalog_group_add(world->catalog, second, vm, &err), -1);
    assert_int_equal(err.code, ERROR_VM_ALREADY_PROTECTED);
    assert_non_null(strstr(err.message, "first"));
    assert_int_equal(catalog_policy_delete(world->catalog, policy, &err), -1);
    assert_int_equal(err.code, ERROR_POLICY_IN_USE);
    check(catalog_group_remove(world->catalog, first, vm, &err), err);
    check(catalog_group_add(world->catalog, second, vm, &err), err);
}

static void test_names_are_checked(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    static const char *const wrong[] = {
        "",          "x",   "9lives",       "-a",
        "two words", "a/b", "\xc3\xa4pfel", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxy"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(protection_check_name(wrong[i], &err), -1);
        assert_int_equal(err.code, ERROR_POLICY_NAME_INVALID);
    }
    assert_int_equal(protection_check_name("ab", &err), 0);
    assert_int_equal(protection_check_name("daily-22h", &err), 0);
    struct catalog_policy policy;
    char id[IDENTITY_SIZE];
    world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00");
    policy_default(&policy);
    policy.name = "nightly";
    assert_int_equal(policy_create(world->catalog, &policy, id, &err), -1);
    assert_int_equal(err.code, ERROR_NAME_TAKEN);
    policy.name = "nothing";
    policy.keep_days = 0;
    assert_int_equal(policy_create(world->catalog, &policy, id, &err), -1);
    assert_int_equal(err.code, ERROR_RETENTION_INVALID);
}

static void test_token_works_once(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    const char *hash = "aa";
    world_host(world, "h1", "alpha");
    check(catalog_token_insert(world->catalog, "t1", hash, INT64_MAX, &err), err);
    check(catalog_token_use(world->catalog, hash, "h1", &err), err);
    assert_int_equal(catalog_token_use(world->catalog, hash, "h1", &err), -1);
    assert_int_equal(err.code, ERROR_ENROL_TOKEN_INVALID);
    check(catalog_token_insert(world->catalog, "t2", "bb", 1, &err), err);
    assert_int_equal(catalog_token_use(world->catalog, "bb", "h1", &err), -1);
}

static void test_newer_catalog_is_left_alone(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    sqlite3 *database;
    catalog_close(world->catalog);
    assert_int_equal(sqlite3_open(world->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version = 1000", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    world->catalog = catalog_open(world->path, &err);
    assert_null(world->catalog);
    assert_int_equal(err.code, ERROR_CATALOG_NEWER);
}

static void test_counts(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    int64_t hosts[CATALOG_HOST_STATES];
    int64_t jobs[JOB_STATE_COUNT];
    world_host(world, "h1", "alpha");
    world_host(world, "h2", "beta");
    check(catalog_host_set_state(world->catalog, "h2", HOST_RETIRED, 1, &err), err);
    check(catalog_count_hosts(world->catalog, NULL, hosts, &err), err);
    assert_int_equal(hosts[HOST_CONNECTED], 1);
    assert_int_equal(hosts[HOST_RETIRED], 1);
    for (int i = 0; i < 3; i++) {
        static const char *const ids[] = {"j0", "j1", "j2"};
        struct catalog_job job = {
            .id = ids[i], .state = i == 0 ? JOB_FAILED : JOB_COMPLETED, .created_ms = 10 * i};
        check(catalog_job_insert(world->catalog, &job, &err), err);
    }
    check(catalog_count_jobs(world->catalog, NULL, 0, jobs, &err), err);
    assert_int_equal(jobs[JOB_FAILED], 1);
    assert_int_equal(jobs[JOB_COMPLETED], 2);
    check(catalog_count_jobs(world->catalog, NULL, 20, jobs, &err), err);
    assert_int_equal(jobs[JOB_FAILED], 0);
    assert_int_equal(jobs[JOB_COMPLETED], 1);
}

/* What the calling thread sees of the setting; NULL: nothing. */
static const char *setting(struct catalog_world *world)
{
    struct error err;
    const char *value = NULL;
    check(catalog_setting_get(world->catalog, world->arena, "s", &value, &err), err);
    return value;
}

static void *read_setting(void *cookie)
{
    return (void *)(uintptr_t)setting(cookie);
}

static const char *setting_elsewhere(struct catalog_world *world)
{
    pthread_t thread;
    void *value = NULL;
    assert_int_equal(pthread_create(&thread, NULL, read_setting, world), 0);
    pthread_join(thread, &value);
    return value;
}

/* Others don't wait for a transaction, and don't see it before its end; its own thread does. */
static void test_reading_beside_a_transaction(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    check(catalog_begin(world->catalog, &err), err);
    check(catalog_setting_set(world->catalog, "s", "1", &err), err);
    assert_string_equal(setting(world), "1");
    assert_null(setting_elsewhere(world));
    check(catalog_commit(world->catalog, &err), err);
    assert_string_equal(setting(world), "1");
    assert_string_equal(setting_elsewhere(world), "1");
    check(catalog_begin(world->catalog, &err), err);
    check(catalog_setting_set(world->catalog, "s", "2", &err), err);
    catalog_roll_back(world->catalog);
    assert_string_equal(setting(world), "1");
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_reports),
        WITH_WORLD(test_silent_kind_changes_nothing),
        WITH_WORLD(test_same_name_is_ambiguous),
        WITH_WORLD(test_vm_moves_with_its_identity),
        WITH_WORLD(test_moved_away_until_reported),
        WITH_WORLD(test_moved_while_its_host_was_silent),
        WITH_WORLD(test_a_restored_copy_takes_nothing_over),
        WITH_WORLD(test_one_group_a_vm),
        WITH_WORLD(test_names_are_checked),
        WITH_WORLD(test_token_works_once),
        WITH_WORLD(test_reading_beside_a_transaction),
        WITH_WORLD(test_counts),
        WITH_WORLD(test_newer_catalog_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
