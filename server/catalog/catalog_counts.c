#include "server/catalog/catalog_counts.h"

#include "server/catalog/catalog_statement.h"

typedef int (*parse_state)(const char *name, int *state);

static int parse_host_state(const char *name, int *state)
{
    enum host_state parsed = HOST_CONNECTED;
    int result = host_state_parse(name, &parsed);
    *state = (int)parsed;
    return result;
}

static int parse_job_state(const char *name, int *state)
{
    enum job_state parsed = JOB_QUEUED;
    int result = job_state_parse(name, &parsed);
    *state = (int)parsed;
    return result;
}

/* Rows of a state and a number. Closes the statement. */
static int read_counts(struct statement *statement, parse_state parse, int64_t *counts, int states,
                       struct error *err)
{
    struct arena *arena = arena_create();
    int more;
    for (int i = 0; i < states; i++) {
        counts[i] = 0;
    }
    while ((more = statement_next(statement, err)) > 0) {
        int state;
        if (parse(statement_text(statement, arena), &state) == 0) {
            counts[state] = statement_integer(statement);
        }
    }
    statement_close(statement);
    arena_destroy(arena);
    return more;
}

int catalog_count_hosts(struct catalog *catalog, const char *user_id, int64_t counts[CATALOG_HOST_STATES],
                        struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_COUNT_HOSTS);
    statement_bind_reference(statement, user_id);
    return read_counts(statement, parse_host_state, counts, CATALOG_HOST_STATES, err);
}

int catalog_count_jobs(struct catalog *catalog, const char *user_id, int64_t since_ms,
                       int64_t counts[JOB_STATE_COUNT], struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_COUNT_JOBS);
    statement_bind_reference(statement, user_id);
    statement_bind_integer(statement, since_ms);
    return read_counts(statement, parse_job_state, counts, JOB_STATE_COUNT, err);
}
