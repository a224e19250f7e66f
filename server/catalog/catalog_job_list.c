/*
 * Lists of jobs. For each type and state that the filter allows, an index gives the newest numbers behind the
 * page's beginning; the newest of all of these are the page. So no filter walks past what it does not want,
 * but two of VM, group, host and requester together: then the first one's jobs are looked at, in the index.
 */
#include "server/catalog/catalog_job_list.h"

#include "server/catalog/catalog_statement.h"
#include <stdlib.h>
#include <string.h>

/* Jobs are numbered as they are created; so much may the clock have been wrong. */
enum { CLOCK_SLACK_MS = 24 * 3600 * 1000 };

struct job_walk {
    struct catalog *catalog;
    struct arena *arena;
    const struct catalog_job_filter *filter;
    int64_t before; /* numbers */
    int64_t from;
    int64_t limit;
    int64_t *numbers;
    size_t count;
};

static enum sql_query walk_query(const struct catalog_job_filter *filter)
{
    if (filter->vm_id != NULL) {
        return SQL_JOB_NUMBERS_OF_VM;
    }
    if (filter->group_id != NULL) {
        return SQL_JOB_NUMBERS_OF_GROUP;
    }
    if (filter->host_id != NULL) {
        return SQL_JOB_NUMBERS_OF_HOST;
    }
    if (filter->requested_by != NULL) {
        return SQL_JOB_NUMBERS_REQUESTED;
    }
    return filter->type >= 0 || filter->state >= 0 ? SQL_JOB_NUMBERS_OF_TYPE : SQL_JOB_NUMBERS;
}

static int walk_one(struct job_walk *walk, enum sql_query query, int type, int state, struct error *err)
{
    const struct catalog_job_filter *filter = walk->filter;
    struct statement *statement = statement_open(walk->catalog, query);
    int more;
    statement_bind_integer(statement, walk->before);
    statement_bind_integer(statement, walk->from);
    statement_bind_integer(statement, filter->since_ms);
    statement_bind_integer(statement, filter->until_ms);
    statement_bind_integer(statement, walk->limit);
    if (query != SQL_JOB_NUMBERS) {
        statement_bind_text(statement, job_type_name((enum job_type)type));
        statement_bind_text(statement, job_state_name((enum job_state)state));
        statement_bind_optional(statement, filter->vm_id);
        statement_bind_optional(statement, filter->group_id);
        statement_bind_optional(statement, filter->host_id);
        statement_bind_optional(statement, filter->requested_by);
    }
    while ((more = statement_next(statement, err)) > 0) {
        walk->numbers = arena_grow(walk->arena, walk->numbers, walk->count, sizeof *walk->numbers);
        walk->numbers[walk->count++] = statement_integer(statement);
    }
    statement_close(statement);
    return more;
}

static int compare_newest(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? 1 : left > right ? -1 : 0;
}

static int walk_all(struct job_walk *walk, struct error *err)
{
    const struct catalog_job_filter *filter = walk->filter;
    enum sql_query query = walk_query(filter);
    if (query == SQL_JOB_NUMBERS) {
        return walk_one(walk, query, 0, 0, err);
    }
    for (int type = 0; type < JOB_TYPE_COUNT; type++) {
        for (int state = 0; state < JOB_STATE_COUNT; state++) {
            bool wanted =
                (filter->type < 0 || filter->type == type) && (filter->state < 0 || filter->state == state);
            if (wanted && walk_one(walk, query, type, state, err) != 0) {
                return -1;
            }
        }
    }
    if (walk->count > 0) {
        qsort(walk->numbers, walk->count, sizeof *walk->numbers, compare_newest);
    }
    return 0;
}

static void number_read(struct statement *row, struct arena *arena, void *into)
{
    int64_t *number = into;
    (void)arena;
    *number = statement_integer(row);
}

/* 1 with the number, 0 when there is none, -1. */
static int bound(struct catalog *catalog, enum sql_query query, int64_t time_ms, int64_t *number,
                 struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_integer(statement, time_ms);
    return statement_first(statement, NULL, number_read, number, err);
}

/* Times become numbers, generously; the statements look at the times themselves, too. 0 when no job is in
 * them. */
static int set_bounds(struct job_walk *walk, struct error *err)
{
    const struct catalog_job_filter *filter = walk->filter;
    int64_t last;
    int found = 1;
    if (filter->since_ms > 0) {
        found =
            bound(walk->catalog, SQL_JOB_FIRST_SINCE, filter->since_ms - CLOCK_SLACK_MS, &walk->from, err);
    }
    if (found > 0 && filter->until_ms > 0 && filter->until_ms < INT64_MAX - CLOCK_SLACK_MS) {
        found = bound(walk->catalog, SQL_JOB_LAST_UNTIL, filter->until_ms + CLOCK_SLACK_MS, &last, err);
        if (found > 0 && last < walk->before - 1) {
            walk->before = last + 1;
        }
    }
    return found;
}

static int read_jobs(struct job_walk *walk, const struct catalog_job **jobs, size_t *count, struct error *err)
{
    size_t most = walk->count < (size_t)walk->limit ? walk->count : (size_t)walk->limit;
    struct catalog_job *items = NULL;
    for (size_t i = 0; i < most; i++) {
        items = arena_grow(walk->arena, items, *count, sizeof *items);
        int found = catalog_job_get(walk->catalog, walk->arena, walk->numbers[i], &items[*count], err);
        if (found < 0) {
            return -1;
        }
        *count += (size_t)found;
    }
    *jobs = items;
    return 0;
}

int catalog_job_list(struct catalog *catalog, struct arena *arena, const struct catalog_job_filter *filter,
                     const struct catalog_page *page, const struct catalog_job **jobs, size_t *count,
                     struct error *err)
{
    static const struct catalog_job_filter everything = {.type = -1, .state = -1};
    struct job_walk walk = {.catalog = catalog,
                            .arena = arena,
                            .filter = filter != NULL ? filter : &everything,
                            .before = page != NULL && page->after > 0 ? page->after : INT64_MAX,
                            .limit = catalog_page_limit(page)};
    *jobs = NULL;
    *count = 0;
    pthread_mutex_lock(&catalog->lock); /* one picture of them all */
    int found = set_bounds(&walk, err);
    int result = found < 0 ? -1 : 0;
    if (found > 0) {
        result = walk_all(&walk, err) != 0 || read_jobs(&walk, jobs, count, err) != 0 ? -1 : 0;
    }
    pthread_mutex_unlock(&catalog->lock);
    return result;
}

int catalog_job_prune(struct catalog *catalog, int64_t before_ms, unsigned most, bool *any, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_JOB_PRUNE);
    statement_bind_integer(statement, before_ms);
    statement_bind_integer(statement, most);
    enum statement_outcome outcome = statement_run(statement, err);
    *any = outcome == STATEMENT_DONE;
    return outcome == STATEMENT_FAILED ? -1 : 0;
}
