#include "server/alerts/digest.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "server/alerts/notify.h"
#include "server/catalog/catalog_standing.h"
#include "server/protection/schedule.h"
#include "server/protection/standing.h"
#include <string.h>

enum { DAY_MS = 24 * 3600 * 1000, ALERTS_MAX = 50, LENGTH_MAX = 4 << 20 };

static json_t *open_alerts(struct catalog *catalog, struct error *err)
{
    struct catalog_alert_filter filter = {.severity = -1};
    struct catalog_page page = {.limit = ALERTS_MAX};
    struct arena *arena = arena_create();
    const struct catalog_alert *alerts;
    size_t count;
    json_t *items = NULL;
    if (catalog_alert_list(catalog, arena, &filter, &page, &alerts, &count, err) == 0) {
        items = json_array();
        for (size_t i = 0; i < count; i++) {
            json_array_append_new(items, alert_json(&alerts[i]));
        }
    }
    arena_destroy(arena);
    return items;
}

static json_t *jobs_json(const struct catalog_standing *standing)
{
    json_t *jobs = json_object();
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        json_object_set_new(jobs, job_state_name((enum job_state)state),
                            json_integer((json_int_t)standing->jobs[state]));
    }
    return jobs;
}

json_t *digest_make(struct catalog *catalog, const char *server_id, const struct store_status *store,
                    int64_t rpo_grace_ms, int64_t now_ms, struct error *err)
{
    struct catalog_standing standing;
    struct standing_counts counts;
    char time[CLOCK_TEXT_SIZE];
    json_t *items = NULL;
    struct rpo_rules *rules = rpo_rules_read(catalog, rpo_grace_ms, now_ms, err);
    bool read = rules != NULL && standing_count(catalog, rules, NULL, &counts, err) == 0 &&
                catalog_standing_read(catalog, now_ms - DAY_MS, &standing, err) == 0;
    rpo_rules_free(rules);
    if (!read || (items = open_alerts(catalog, err)) == NULL) {
        return NULL;
    }
    const uint64_t *open = standing.alerts.open;
    json_t *digest = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:{s:I, s:I, s:I, s:o}}", "time", clock_format_wall(now_ms, time),
        "server", server_id, "vms", standing_vms_json(&counts), "jobs_last_day", jobs_json(&standing), "rpo",
        standing_rpo_json(&counts), "alerts", "critical", (json_int_t)open[ALERT_CRITICAL], "warning",
        (json_int_t)open[ALERT_WARNING], "information", (json_int_t)open[ALERT_INFORMATION], "items", items);
    json_t *store_json =
        store == NULL
            ? json_null()
            : json_pack("{s:I, s:I, s:I, s:I, s:I}", "stored_bytes", (json_int_t)store->container_bytes,
                        "free_bytes", (json_int_t)store->free_bytes, "total_bytes",
                        (json_int_t)store->total_bytes, "points", (json_int_t)store->points, "damaged_chunks",
                        (json_int_t)store->damaged_chunks);
    json_object_set_new(digest, "store", store_json);
    return digest;
}

/* --- as text and HTML
 * -------------------------------------------------------------------------------------------- */

static const json_t *member(const json_t *object, const char *a, const char *b)
{
    const json_t *value = json_object_get(object, a);
    return b != NULL ? json_object_get(value, b) : value;
}

static long long number(const json_t *object, const char *a, const char *b)
{
    return (long long)json_integer_value(member(object, a, b));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value != NULL ? value : "";
}

static double gib(const json_t *digest, const char *name)
{
    const double bytes = 1024.0 * 1024.0 * 1024.0;
    return (double)number(digest, "store", name) / bytes;
}

char *digest_subject(const json_t *digest)
{
    long long critical = number(digest, "alerts", "critical");
    long long missed = number(digest, "rpo", "missed");
    long long failing = number(digest, "vms", "failing");
    return critical + missed + failing == 0
               ? memory_format("Holdfast daily: all is well, %lld VMs protected",
                               number(digest, "vms", "protected"))
               : memory_format("Holdfast daily: %lld critical alerts, %lld VMs failing, %lld RPO missed",
                               critical, failing, missed);
}

/* One row of the summary; values are made of numbers only. */
struct line {
    const char *label;
    char *value;
};

enum { LINES = 5 };

static void make_lines(const json_t *digest, struct line lines[LINES])
{
    lines[0] = (struct line){
        "VMs",
        memory_format(
            "%lld protected, %lld failing, %lld waiting for the first backup, %lld stopped, %lld vanished, "
            "%lld unprotected",
            number(digest, "vms", "protected"), number(digest, "vms", "failing"),
            number(digest, "vms", "waiting"), number(digest, "vms", "stopped"),
            number(digest, "vms", "vanished"), number(digest, "vms", "unprotected"))};
    lines[1] = (struct line){
        "Jobs, last 24 h",
        memory_format(
            "%lld completed, %lld with warnings, %lld failed, %lld cancelled, %lld running or queued",
            number(digest, "jobs_last_day", "completed"),
            number(digest, "jobs_last_day", "completed-with-warnings"),
            number(digest, "jobs_last_day", "failed"), number(digest, "jobs_last_day", "cancelled"),
            number(digest, "jobs_last_day", "running") + number(digest, "jobs_last_day", "queued"))};
    lines[2] = (struct line){"Recovery points on time",
                             memory_format("%lld VMs met, %lld missed", number(digest, "rpo", "met"),
                                           number(digest, "rpo", "missed"))};
    lines[3] =
        (struct line){"Store", memory_format("%.1f GiB stored, %.1f of %.1f GiB free, %lld recovery "
                                             "points, %lld damaged chunks",
                                             gib(digest, "stored_bytes"), gib(digest, "free_bytes"),
                                             gib(digest, "total_bytes"), number(digest, "store", "points"),
                                             number(digest, "store", "damaged_chunks"))};
    lines[4] = (struct line){"Open alerts", memory_format("%lld critical, %lld warning, %lld information",
                                                          number(digest, "alerts", "critical"),
                                                          number(digest, "alerts", "warning"),
                                                          number(digest, "alerts", "information"))};
}

static void free_lines(struct line lines[LINES])
{
    for (size_t i = 0; i < LINES; i++) {
        free(lines[i].value);
    }
}

char *digest_text(const json_t *digest)
{
    struct buffer out;
    struct line lines[LINES];
    size_t index;
    json_t *alert;
    buffer_init(&out, LENGTH_MAX);
    make_lines(digest, lines);
    buffer_append_format(&out, "Holdfast server %s, %.16s UTC\n\n", text(digest, "server"),
                         text(digest, "time"));
    for (size_t i = 0; i < LINES; i++) {
        buffer_append_format(&out, "%-24s %s\n", lines[i].label, lines[i].value);
    }
    json_array_foreach ((json_t *)(uintptr_t)member(digest, "alerts", "items"), index, alert) {
        buffer_append_format(&out, "\n[%s] %s: %s\n", text(alert, "severity"), text(alert, "code"),
                             text(alert, "message"));
        if (text(alert, "cause")[0] != '\0') {
            buffer_append_format(&out, "    Cause: %s\n", text(alert, "cause"));
        }
        buffer_append_format(&out, "    To do: %s\n", text(alert, "action"));
    }
    free_lines(lines);
    char *copy = memory_copy_text(buffer_text(&out));
    buffer_free(&out);
    return copy;
}

static void append_escaped(struct buffer *out, const char *plain)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    static const char special[] = "&<>\"'";
    for (; *plain != '\0'; plain++) {
        const char *found = strchr(special, *plain);
        (void)(found != NULL ? buffer_append_text(out, entities[found - special])
                             : buffer_append(out, plain, 1));
    }
}

static void append_cell(struct buffer *out, const char *tag, const char *plain)
{
    buffer_append_format(out, "<%s style=\"text-align:left;vertical-align:top;padding:4px 12px 4px 0\">",
                         tag);
    append_escaped(out, plain);
    buffer_append_format(out, "</%s>", tag);
}

static void append_alerts(struct buffer *out, const json_t *alerts)
{
    static const char *const columns[] = {"severity", "object", "message", "cause", "action"};
    static const char *const headings[] = {"Severity", "What", "Message", "Cause", "To do"};
    size_t index;
    json_t *alert;
    buffer_append_text(out, "<h2>Open alerts</h2>\n<table>\n<tr>");
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) {
        append_cell(out, "th", headings[i]);
    }
    buffer_append_text(out, "</tr>\n");
    json_array_foreach ((json_t *)(uintptr_t)alerts, index, alert) {
        buffer_append_text(out, "<tr>");
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            append_cell(out, "td", text(alert, columns[i]));
        }
        buffer_append_text(out, "</tr>\n");
    }
    buffer_append_text(out, "</table>\n");
}

char *digest_html(const json_t *digest)
{
    struct buffer out;
    struct line lines[LINES];
    const json_t *alerts = member(digest, "alerts", "items");
    buffer_init(&out, LENGTH_MAX);
    make_lines(digest, lines);
    buffer_append_text(&out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                             "<title>Holdfast daily</title></head>\n"
                             "<body style=\"font-family:sans-serif\">\n<h1>Holdfast daily</h1>\n<p>Server ");
    append_escaped(&out, text(digest, "server"));
    buffer_append_format(&out, ", %.16s UTC</p>\n<table>\n", text(digest, "time"));
    for (size_t i = 0; i < LINES; i++) {
        buffer_append_text(&out, "<tr>");
        append_cell(&out, "th", lines[i].label);
        append_cell(&out, "td", lines[i].value);
        buffer_append_text(&out, "</tr>\n");
    }
    buffer_append_text(&out, "</table>\n");
    if (json_array_size(alerts) > 0) {
        append_alerts(&out, alerts);
    }
    buffer_append_text(&out, "</body></html>\n");
    free_lines(lines);
    char *copy = memory_copy_text(buffer_text(&out));
    buffer_free(&out);
    return copy;
}

int digest_next(const char *time, const char *zone, int64_t after_ms, int64_t *next_ms, struct error *err)
{
    enum { EVERY_DAY = 127 };
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count;
    if (schedule_parse_times(time, minutes, &count, err) != 0) {
        return -1;
    }
    if (count != 1) {
        return error_set(err, ERROR_SCHEDULE_INVALID, "A digest comes at one time of the day, such as 07:00");
    }
    struct time_zone *place = time_zone_open(zone, err);
    if (place == NULL) {
        return -1;
    }
    struct catalog_policy daily = {
        .enabled = true, .schedule = SCHEDULE_DAILY, .daily_times = time, .days = EVERY_DAY};
    *next_ms = schedule_next(&daily, place, after_ms);
    time_zone_close(place);
    return 0;
}
