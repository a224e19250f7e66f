/* Lists of jobs by any filter: what they give is what a look at every job gives, and each walks an index. */
#include "catalog_fixture.h"

#include "server/catalog/catalog_job_list.h"
#include "sql/statements.h"
#include <sqlite3.h>

enum { JOBS = 900, VMS = 3, GROUPS = 2, HOSTS = 2, DAY_MS = 24 * 3600 * 1000 };

static const char *const requesters[] = {"admin", "schedule", "anna"};

struct jobs_world {
    struct catalog_world *world;
    const char *vms[VMS];
    const char *groups[GROUPS];
    struct catalog_job all[JOBS]; /* oldest first */
};

/* VMs and groups that jobs may name. */
static void add_objects(struct jobs_world *jobs)
{
    static const char *const names[] = {"vm0", "vm1", "vm2", NULL};
    static const char *const groups[] = {"group0", "group1"};
    struct catalog_world *world = jobs->world;
    world_host(world, "h", "h");
    world_report(world, "h", "", names);
    for (int i = 0; i < VMS; i++) {
        jobs->vms[i] = world_vm(world, names[i])->id;
    }
    const char *policy = world_policy(world, "any", SCHEDULE_MANUAL, 0, "");
    for (int i = 0; i < GROUPS; i++) {
        jobs->groups[i] = world_group(world, groups[i], policy);
    }
}

static int begin(void **state)
{
    struct error err;
    struct jobs_world *jobs = memory_zalloc(sizeof *jobs);
    if (world_begin((void **)&jobs->world) != 0) {
        return -1;
    }
    struct catalog *catalog = jobs->world->catalog;
    struct arena *arena = jobs->world->arena;
    add_objects(jobs);
    unsigned seed = 7;
    for (int i = 0; i < JOBS; i++) {
        seed = seed * 1103515245U + 12345U;
        unsigned pick = seed >> 8;
        struct catalog_job *job = &jobs->all[i];
        *job = (struct catalog_job){.id = arena_format(arena, "job-%06d", i),
                                    .type = (enum job_type)(pick % JOB_TYPE_COUNT),
                                    .state = (enum job_state)(pick / 7 % JOB_STATE_COUNT),
                                    .vm_id = jobs->vms[pick / 43 % VMS],
                                    .group_id = pick / 131 % 3 == 0 ? "" : jobs->groups[pick / 131 % GROUPS],
                                    .host_id = pick / 401 % 2 == 0 ? "host0" : "host1",
                                    .requested_by = requesters[pick / 911 % 3],
                                    .created_ms = (int64_t)(i + 1) * DAY_MS / 4,
                                    .finished_ms = (int64_t)(i + 1) * DAY_MS / 4 + 1};
        if (catalog_job_insert(catalog, job, &err) != 0) {
            return -1;
        }
    }
    *state = jobs;
    return 0;
}

static int end(void **state)
{
    struct jobs_world *jobs = *state;
    int result = world_end((void **)&jobs->world);
    free(jobs);
    return result;
}

static bool same(const char *filter, const char *text)
{
    return filter == NULL || strcmp(filter, text) == 0;
}

static bool fits(const struct catalog_job_filter *filter, const struct catalog_job *job)
{
    return same(filter->vm_id, job->vm_id) && same(filter->group_id, job->group_id) &&
           same(filter->host_id, job->host_id) && same(filter->requested_by, job->requested_by) &&
           (filter->type < 0 || filter->type == (int)job->type) &&
           (filter->state < 0 || filter->state == (int)job->state) && job->created_ms >= filter->since_ms &&
           (filter->until_ms == 0 || job->created_ms < filter->until_ms);
}

static void compare(struct jobs_world *jobs, const struct catalog_job_filter *filter, unsigned limit)
{
    struct error err;
    struct arena *arena = arena_create();
    struct catalog_page page = {.limit = limit};
    int wanted = JOBS - 1;
    size_t count;
    do {
        const struct catalog_job *found;
        check(catalog_job_list(jobs->world->catalog, arena, filter, &page, &found, &count, &err), err);
        for (size_t i = 0; i < count; i++) {
            while (wanted >= 0 && !fits(filter, &jobs->all[wanted])) {
                wanted--;
            }
            assert_true(wanted >= 0);
            assert_string_equal(found[i].id, jobs->all[wanted--].id);
            page.after = found[i].number;
        }
    } while (count == limit);
    while (wanted >= 0) {
        assert_false(fits(filter, &jobs->all[wanted--]));
    }
    arena_destroy(arena);
}

/* Every combination of the eight filters, page by page. */
static void test_combinations(void **state)
{
    struct jobs_world *jobs = *state;
    for (unsigned set = 0; set < 256; set++) {
        const struct catalog_job_filter filter = {
            .vm_id = set & 1 ? jobs->vms[1] : NULL,
            .group_id = set & 2 ? jobs->groups[1] : NULL,
            .host_id = set & 4 ? "host1" : NULL,
            .requested_by = set & 8 ? "admin" : NULL,
            .type = set & 16 ? JOB_RESTORE : -1,
            .state = set & 32 ? JOB_FAILED : -1,
            .since_ms = set & 64 ? (int64_t)40 * DAY_MS : 0,
            .until_ms = set & 128 ? (int64_t)150 * DAY_MS : 0,
        };
        compare(jobs, &filter, 7 + set % 5 * 50);
    }
}

static void test_nobody(void **state)
{
    struct jobs_world *jobs = *state;
    const struct catalog_job_filter nobody = {.type = -1, .state = -1, .requested_by = "nobody"};
    const struct catalog_job_filter later = {.type = -1, .state = -1, .since_ms = (int64_t)4000 * DAY_MS};
    compare(jobs, &nobody, 10);
    compare(jobs, &later, 10);
}

/* What SQLite says it would do. */
static void check_plan(sqlite3 *database, enum sql_query query)
{
    char *sql = memory_format("EXPLAIN QUERY PLAN %s", sql_queries[query]);
    sqlite3_stmt *statement = NULL;
    int steps = 0;
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(statement, 3);
        if (strncmp(detail, "SCAN jobs", 9) == 0 && strstr(detail, "jobs_open") == NULL) {
            fail_msg("%s: %s", sql_query_names[query], detail);
        }
        if (strstr(detail, "TEMP B-TREE") != NULL) {
            fail_msg("%s: %s", sql_query_names[query], detail);
        }
        steps += strstr(detail, "jobs") != NULL;
    }
    assert_true(steps > 0);
    sqlite3_finalize(statement);
    free(sql);
}

static void test_no_scan_and_no_sort(void **state)
{
    struct jobs_world *jobs = *state;
    static const enum sql_query queries[] = {
        SQL_JOB_NUMBERS,         SQL_JOB_NUMBERS_OF_TYPE,   SQL_JOB_NUMBERS_OF_VM, SQL_JOB_NUMBERS_OF_GROUP,
        SQL_JOB_NUMBERS_OF_HOST, SQL_JOB_NUMBERS_REQUESTED, SQL_JOB_FIRST_SINCE,   SQL_JOB_LAST_UNTIL,
        SQL_JOB_PRUNE,           SQL_JOB_BY_NUMBER,         SQL_JOB_BY_ID,         SQL_JOB_BY_PREFIX,
        SQL_JOB_LIST_OPEN};
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(jobs->world->path, &database), SQLITE_OK);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        check_plan(database, queries[i]);
    }
    sqlite3_close(database);
}

static void test_log_is_bounded(void **state)
{
    struct jobs_world *jobs = *state;
    struct error err;
    struct arena *arena = arena_create();
    struct catalog_page page = {0};
    const struct catalog_job_log *entries;
    struct catalog_job_log entry = {
        .time_ms = 1, .level = JOB_LOG_INFORMATION, .code = "", .message = "once more"};
    size_t count;
    size_t all = 0;
    check(catalog_begin(jobs->world->catalog, &err), err);
    for (int i = 0; i < CATALOG_JOB_LOG_MAX + 10; i++) {
        check(catalog_job_log_add(jobs->world->catalog, jobs->all[0].id, &entry, &err), err);
    }
    check(catalog_commit(jobs->world->catalog, &err), err);
    do {
        check(
            catalog_job_log_list(jobs->world->catalog, arena, jobs->all[0].id, &page, &entries, &count, &err),
            err);
        all += count;
        page.after = count > 0 ? entries[count - 1].number : 0;
    } while (count == CATALOG_PAGE_MAX);
    assert_int_equal(all, CATALOG_JOB_LOG_MAX);
    arena_destroy(arena);
}

/* Old jobs go, a piece at a time, and what has not ended stays. Last: the others count on all of them. */
static void test_prune(void **state)
{
    struct jobs_world *jobs = *state;
    struct error err;
    bool any = true;
    int64_t before_ms = jobs->all[100].created_ms;
    unsigned pieces = 0;
    jobs->all[3].finished_ms = 0;
    check(catalog_job_update(jobs->world->catalog, &jobs->all[3], &err), err);
    while (any) {
        check(catalog_job_prune(jobs->world->catalog, before_ms, 30, &any, &err), err);
        pieces += any;
    }
    assert_int_equal(pieces, 4);
    struct catalog_job job;
    assert_int_equal(catalog_job_get(jobs->world->catalog, jobs->world->arena, 4, &job, &err), 1);
    assert_int_equal(catalog_job_get(jobs->world->catalog, jobs->world->arena, 5, &job, &err), 0);
    assert_int_equal(catalog_job_get(jobs->world->catalog, jobs->world->arena, 100, &job, &err), 0);
    assert_int_equal(catalog_job_get(jobs->world->catalog, jobs->world->arena, 101, &job, &err), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_no_scan_and_no_sort),
        cmocka_unit_test(test_log_is_bounded),
        cmocka_unit_test(test_prune),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
