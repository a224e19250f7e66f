#include "server/catalog/catalog_notifications.h"

#include "server/catalog/catalog_statement.h"
#include <string.h>

const char *notification_kind_name(enum notification_kind kind)
{
    return kind == NOTIFICATION_WEBHOOK ? "webhook" : "mail";
}

static void bind_chosen(struct statement *statement, const struct catalog_notification *item)
{
    statement_bind_text(statement, item->id);
    statement_bind_text(statement, item->name);
    statement_bind_text(statement, notification_kind_name(item->kind));
    statement_bind_integer(statement, item->enabled);
    statement_bind_text(statement, alert_severity_name(item->severity));
    statement_bind_integer(statement, item->events);
    statement_bind_text(statement, item->digest_time);
    statement_bind_text(statement, item->digest_zone);
    statement_bind_text(statement, item->server);
    statement_bind_text(statement, item->security);
    statement_bind_text(statement, item->user);
    statement_bind_text(statement, item->sender);
    statement_bind_text(statement, item->recipients);
    statement_bind_text(statement, item->authorities);
    statement_bind_text(statement, item->secret);
}

static int chosen_result(enum statement_outcome outcome, const struct catalog_notification *item,
                         struct error *err)
{
    switch (outcome) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_NOTIFY_NOT_FOUND, "There is no notification %s", item->name);
    case STATEMENT_TAKEN:
        return error_set(err, ERROR_NAME_TAKEN, "There is a notification called %s already", item->name);
    default:
        return -1;
    }
}

int catalog_notification_insert(struct catalog *catalog, const struct catalog_notification *notification,
                                struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_NOTIFICATION_INSERT);
    bind_chosen(statement, notification);
    statement_bind_integer(statement, notification->created_ms);
    return chosen_result(statement_run(statement, err), notification, err);
}

/* With the new settings what waits is tried at once. */
int catalog_notification_update(struct catalog *catalog, const struct catalog_notification *notification,
                                struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_NOTIFICATION_UPDATE);
    bind_chosen(statement, notification);
    if (chosen_result(statement_run(statement, err), notification, err) != 0) {
        return -1;
    }
    statement = statement_open(catalog, SQL_OUTBOX_HURRY);
    statement_bind_text(statement, notification->id);
    return statement_execute(statement, err);
}

static int run_text(struct catalog *catalog, enum sql_query query, const char *text, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, text);
    enum statement_outcome outcome = statement_run(statement, err);
    return outcome == STATEMENT_DONE ? 0 : outcome == STATEMENT_NOTHING ? 1 : -1;
}

static int run_text_at(struct catalog *catalog, enum sql_query query, const char *text, int64_t ms,
                       struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, text);
    statement_bind_integer(statement, ms);
    return statement_execute(statement, err);
}

int catalog_notification_delete(struct catalog *catalog, const char *id, struct error *err)
{
    int result = run_text(catalog, SQL_NOTIFICATION_DELETE, id, err);
    return result > 0 ? error_set(err, ERROR_NOTIFY_NOT_FOUND, "There is no notification %s", id) : result;
}

static void notification_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_notification *item = into;
    item->number = statement_integer(row);
    item->id = statement_text(row, arena);
    item->name = statement_text(row, arena);
    item->kind =
        strcmp(statement_text(row, arena), "webhook") == 0 ? NOTIFICATION_WEBHOOK : NOTIFICATION_MAIL;
    item->enabled = statement_boolean(row);
    alert_severity_parse(statement_text(row, arena), &item->severity);
    item->events = statement_unsigned(row);
    item->digest_time = statement_text(row, arena);
    item->digest_zone = statement_text(row, arena);
    item->server = statement_text(row, arena);
    item->security = statement_text(row, arena);
    item->user = statement_text(row, arena);
    item->sender = statement_text(row, arena);
    item->recipients = statement_text(row, arena);
    item->authorities = statement_text(row, arena);
    item->secret = statement_text(row, arena);
    item->created_ms = statement_integer(row);
    item->digest_ms = statement_integer(row);
    item->delivered_ms = statement_integer(row);
    item->failures = statement_size(row);
    item->failing_since_ms = statement_integer(row);
    item->lost = statement_size(row);
    item->last_error = statement_text(row, arena);
    item->waiting = statement_size(row);
}

const struct catalog_notification *catalog_notification_find(struct catalog *catalog, struct arena *arena,
                                                             const char *reference, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_NOTIFICATION_FIND);
    struct catalog_notification *item = arena_alloc(arena, sizeof *item);
    statement_bind_text(statement, reference);
    int found = statement_first(statement, arena, notification_read, item, err);
    if (found == 0) {
        error_set(err, ERROR_NOTIFY_NOT_FOUND, "There is no notification %.64s", reference);
    }
    return found > 0 ? item : NULL;
}

int catalog_notification_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                              const struct catalog_notification **items, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_NOTIFICATION_LIST);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, notification_read, sizeof **items, items, count, err);
}

int catalog_notification_set_digest(struct catalog *catalog, const char *id, int64_t ms, struct error *err)
{
    return run_text_at(catalog, SQL_NOTIFICATION_SET_DIGEST, id, ms, err);
}

int catalog_notification_lost(struct catalog *catalog, const char *id, struct error *err)
{
    return run_text(catalog, SQL_NOTIFICATION_LOST, id, err) < 0 ? -1 : 0;
}

/* --- the outbox
 * -------------------------------------------------------------------------------------------------- */

int catalog_outbox_insert(struct catalog *catalog, const struct catalog_message *message, bool *kept,
                          struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_OUTBOX_INSERT);
    statement_bind_text(statement, message->id);
    statement_bind_text(statement, message->notification_id);
    statement_bind_text(statement, message->event);
    statement_bind_text(statement, message->subject);
    statement_bind_text(statement, message->body);
    statement_bind_text(statement, message->html);
    statement_bind_text(statement, message->data);
    statement_bind_integer(statement, message->created_ms);
    statement_bind_integer(statement, 0);
    statement_bind_integer(statement, CATALOG_OUTBOX_MAX);
    enum statement_outcome outcome = statement_run(statement, err);
    *kept = outcome == STATEMENT_DONE;
    return outcome == STATEMENT_DONE || outcome == STATEMENT_NOTHING ? 0 : -1;
}

static void message_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_message *message = into;
    message->number = statement_integer(row);
    message->id = statement_text(row, arena);
    message->notification_id = statement_text(row, arena);
    message->event = statement_text(row, arena);
    message->subject = statement_text(row, arena);
    message->body = statement_text(row, arena);
    message->html = statement_text(row, arena);
    message->data = statement_text(row, arena);
    message->created_ms = statement_integer(row);
    message->attempts = statement_unsigned(row);
}

static bool is_among(const char *text, const char *const *list, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(list[i], text) != 0) {
        i++;
    }
    return i < count;
}

int catalog_outbox_due(struct catalog *catalog, struct arena *arena, int64_t now_ms, const char *const *busy,
                       size_t busy_count, const struct catalog_message **message, int64_t *next_ms,
                       struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_OUTBOX_FIRST);
    struct catalog_message *first = arena_alloc(arena, sizeof *first);
    int found;
    *message = NULL;
    *next_ms = 0;
    statement_bind_integer(statement, (int64_t)busy_count + 1);
    do {
        found = statement_next(statement, err);
        if (found > 0) {
            message_read(statement, arena, first);
            *next_ms = statement_integer(statement);
        }
    } while (found > 0 && is_among(first->notification_id, busy, busy_count));
    statement_close(statement);
    if (found > 0 && *next_ms <= now_ms) {
        *message = first;
    }
    *next_ms = found > 0 ? *next_ms : 0;
    return found < 0 ? -1 : 0;
}

static int outbox_delete(struct catalog *catalog, int64_t number, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_OUTBOX_DELETE);
    statement_bind_integer(statement, number);
    return statement_execute(statement, err);
}

int catalog_outbox_delivered(struct catalog *catalog, const struct catalog_message *message, int64_t now_ms,
                             struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    int result =
        outbox_delete(catalog, message->number, err) != 0 ||
                run_text_at(catalog, SQL_NOTIFICATION_DELIVERED, message->notification_id, now_ms, err) != 0
            ? -1
            : 0;
    return catalog_end(catalog, result, err);
}

static int note_failure(struct catalog *catalog, const struct catalog_message *message, int64_t now_ms,
                        const char *why, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_NOTIFICATION_FAILED);
    statement_bind_text(statement, message->notification_id);
    statement_bind_integer(statement, now_ms);
    statement_bind_text(statement, why);
    return statement_execute(statement, err);
}

static int delay(struct catalog *catalog, const struct catalog_message *message, int64_t next_attempt_ms,
                 struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_OUTBOX_DELAY);
    statement_bind_integer(statement, message->number);
    statement_bind_integer(statement, next_attempt_ms);
    return statement_execute(statement, err);
}

int catalog_outbox_failed(struct catalog *catalog, const struct catalog_message *message, int64_t now_ms,
                          int64_t next_attempt_ms, const char *why, struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    int result = note_failure(catalog, message, now_ms, why, err);
    if (result == 0 && next_attempt_ms != 0) {
        result = delay(catalog, message, next_attempt_ms, err);
    } else if (result == 0) {
        result = outbox_delete(catalog, message->number, err) != 0 ||
                         catalog_notification_lost(catalog, message->notification_id, err) != 0
                     ? -1
                     : 0;
    }
    return catalog_end(catalog, result, err);
}

/* --- jobs
 * -------------------------------------------------------------------------------------------------------- */

int catalog_job_notification_insert(struct catalog *catalog, const char *job_id, struct error *err)
{
    return run_text(catalog, SQL_JOB_NOTIFICATION_INSERT, job_id, err) < 0 ? -1 : 0;
}

int catalog_job_notification_delete(struct catalog *catalog, const char *job_id, struct error *err)
{
    return run_text(catalog, SQL_JOB_NOTIFICATION_DELETE, job_id, err) < 0 ? -1 : 0;
}

int catalog_job_notification_ended(struct catalog *catalog, struct arena *arena, const char *const **job_ids,
                                   size_t *count, struct error *err)
{
    return statement_texts(statement_open(catalog, SQL_JOB_NOTIFICATION_ENDED), arena, job_ids, count, err);
}
