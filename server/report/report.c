/* Reports by the API: JSON page by page, CSV whole. */
#include "server/report/report.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/access/guard.h"
#include "server/alerts/alerts.h"
#include "server/api/api_internal.h"
#include "server/report/csv.h"
#include <string.h>

enum { CSV_MAX = 64 * 1024 * 1024 };

const struct report_kind *report_find(const char *name, const char *by)
{
    for (const struct report_kind *kind = report_kinds; kind->name != NULL; kind++) {
        if (strcmp(kind->name, name) == 0 && (by == NULL || strcmp(kind->by, by) == 0)) {
            return kind;
        }
    }
    return NULL;
}

static int read_span(struct api_call *call, const struct report_kind *kind, struct report_span *span,
                     struct error *err)
{
    span->now_ms = clock_wall_ms();
    span->until_ms = span->now_ms + 1;
    if (api_query_time(call, "until", &span->until_ms, err) != 0) {
        return -1;
    }
    span->since_ms = span->until_ms - kind->default_ms;
    if (api_query_time(call, "since", &span->since_ms, err) != 0) {
        return -1;
    }
    return span->since_ms < span->until_ms
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "since must be before until");
}

static int answer_json(struct api_call *call, const struct report_kind *kind,
                       const struct report_reader *reader, struct error *err)
{
    struct catalog_page page;
    int64_t last = 0;
    json_t *items = json_array();
    if (api_page(call, &page, err) != 0 || kind->read(reader, &page, items, &last, err) != 0) {
        json_decref(items);
        return -1;
    }
    const char *next = arena_format(call->arena, "%lld", (long long)last);
    call->reply = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "report", kind->name, "by", kind->by, "since",
                            api_time(reader->span.since_ms), "until", api_time(reader->span.until_ms),
                            "items", items, "next", last != 0 ? json_string(next) : json_null());
    return 0;
}

/* All of it: each page in an arena of its own. */
static int write_csv(const struct report_kind *kind, const struct report_reader *whole, struct buffer *out,
                     struct error *err)
{
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    struct report_reader reader = *whole;
    int written = csv_add_header(out, kind->columns);
    int result;
    int64_t last = 0;
    size_t index;
    json_t *row;
    do {
        json_t *items = json_array();
        reader.arena = arena_create();
        result = kind->read(&reader, &page, items, &last, err);
        json_array_foreach (items, index, row) {
            written = written != 0 ? written : csv_add_row(out, kind->columns, row);
        }
        arena_destroy(reader.arena);
        json_decref(items);
        page.after = last;
    } while (result == 0 && written == 0 && last != 0);
    return result == 0 && written != 0
               ? error_set(err, ERROR_LIMIT_EXCEEDED, "The report is too large: ask for less time")
               : result;
}

static int answer_csv(struct api_call *call, const struct report_kind *kind,
                      const struct report_reader *reader, struct error *err)
{
    struct buffer out;
    buffer_init(&out, CSV_MAX);
    int result = write_csv(kind, reader, &out, err);
    if (result == 0) {
        call->text = memory_copy_text(buffer_text(&out));
        call->content_type = "text/csv; charset=utf-8";
    }
    buffer_free(&out);
    return result;
}

int api_report(struct api_call *call, struct error *err)
{
    const char *format = api_query(call, "format");
    const struct report_kind *kind = report_find(call->parameters[0], api_query(call, "by"));
    struct report_reader reader = {
        .catalog = server_catalog(call->server), .arena = call->arena, .user_id = access_scope_user(call)};
    if (report_find(call->parameters[0], NULL) == NULL) {
        return error_set(err, ERROR_ROUTE_NOT_FOUND, "There is no report %.40s: status, storage or rpo",
                         call->parameters[0]);
    }
    if (kind == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "There is no such report by that: vm, group or, of the storage, day");
    }
    if (reader.user_id != NULL && strcmp(kind->by, "day") == 0) {
        return error_set(err, ERROR_PERMISSION_DENIED,
                         "%s may only see what concerns his groups: ask for the storage by vm or group",
                         call->identity.user_name);
    }
    if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "csv") != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "format is json or csv");
    }
    if (read_span(call, kind, &reader.span, err) != 0) {
        return -1;
    }
    reader.rules = rpo_rules_read(reader.catalog, alerts_rpo_grace_ms(server_alerts(call->server)),
                                  reader.span.now_ms, err);
    if (reader.rules == NULL) {
        return -1;
    }
    int result = format != NULL && strcmp(format, "csv") == 0 ? answer_csv(call, kind, &reader, err)
                                                              : answer_json(call, kind, &reader, err);
    rpo_rules_free(reader.rules);
    return result;
}
