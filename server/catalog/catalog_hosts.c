#include "server/catalog/catalog.h"

#include "server/catalog/catalog_statement.h"

static void host_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_host *host = into;
    host->number = statement_integer(row);
    host->id = statement_text(row, arena);
    host->name = statement_text(row, arena);
    host_state_parse(statement_text(row, arena), &host->state);
    host->state_since_ms = statement_integer(row);
    host->serial = statement_text(row, arena);
    host->previous_serial = statement_text(row, arena);
    host->certificate_expires_ms = statement_integer(row);
    host->software = statement_text(row, arena);
    host->system = statement_text(row, arena);
    host->kinds = statement_text(row, arena);
    host->address = statement_text(row, arena);
    host->enrolled_ms = statement_integer(row);
    host->last_seen_ms = statement_integer(row);
    host->draining = statement_boolean(row);
    host->limit.rate = statement_size(row);
    host->limit.other_rate = statement_size(row);
    host->limit.from_minute = statement_unsigned(row);
    host->limit.to_minute = statement_unsigned(row);
    host->limit.days = statement_unsigned(row);
    host->limit.time_zone = statement_text(row, arena);
}

int catalog_host_put(struct catalog *catalog, const struct catalog_host *host, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_PUT);
    statement_bind_text(statement, host->id);
    statement_bind_text(statement, host->name);
    statement_bind_text(statement, host_state_name(host->state));
    statement_bind_integer(statement, host->state_since_ms);
    statement_bind_text(statement, host->serial);
    statement_bind_text(statement, host->previous_serial);
    statement_bind_integer(statement, host->certificate_expires_ms);
    statement_bind_text(statement, host->software);
    statement_bind_text(statement, host->system);
    statement_bind_text(statement, host->kinds);
    statement_bind_text(statement, host->address);
    statement_bind_integer(statement, host->enrolled_ms);
    statement_bind_integer(statement, host->last_seen_ms);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_TAKEN:
        return error_set(err, ERROR_NAME_TAKEN, "There is a host called %s already", host->name);
    default:
        return -1;
    }
}

/* A host that is not there is no failure: the next lookup says so. */
int catalog_host_set_state(struct catalog *catalog, const char *id, enum host_state state, int64_t since_ms,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_SET_STATE);
    statement_bind_text(statement, id);
    statement_bind_text(statement, host_state_name(state));
    statement_bind_integer(statement, since_ms);
    return statement_execute(statement, err);
}

int catalog_host_seen(struct catalog *catalog, const char *id, int64_t seen_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_SEEN);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, seen_ms);
    return statement_execute(statement, err);
}

int catalog_host_set_limit(struct catalog *catalog, const char *id, const struct bandwidth_limit *limit,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_SET_LIMIT);
    statement_bind_text(statement, id);
    statement_bind_size(statement, limit->rate);
    statement_bind_size(statement, limit->other_rate);
    statement_bind_integer(statement, limit->from_minute);
    statement_bind_integer(statement, limit->to_minute);
    statement_bind_integer(statement, limit->days);
    statement_bind_text(statement, limit->time_zone);
    return statement_execute(statement, err);
}

int catalog_host_set_draining(struct catalog *catalog, const char *id, bool draining, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_SET_DRAINING);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, draining);
    return statement_execute(statement, err);
}

int catalog_host_seen_all(struct catalog *catalog, int64_t seen_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_SEEN_ALL);
    statement_bind_integer(statement, seen_ms);
    return statement_execute(statement, err);
}

int catalog_host_disconnect_all(struct catalog *catalog, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_DISCONNECT_ALL);
    return statement_execute(statement, err);
}

const struct catalog_host *catalog_host_find(struct catalog *catalog, struct arena *arena,
                                             const char *reference, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_FIND);
    struct catalog_host *host = arena_alloc(arena, sizeof *host);
    statement_bind_text(statement, reference);
    int found = statement_first(statement, arena, host_read, host, err);
    if (found == 0) {
        error_set(err, ERROR_HOST_NOT_FOUND, "There is no host %s", reference);
    }
    return found > 0 ? host : NULL;
}

int catalog_host_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                      const struct catalog_host **hosts, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_HOST_LIST);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, host_read, sizeof **hosts, hosts, count, err);
}
