/* What the rows of each report say. */
#include "server/report/report.h"

#include "base/clock.h"
#include <string.h>

enum { SECOND_MS = 1000 };

static json_t *time_json(int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];
    return ms > 0 ? json_string(clock_format_wall(ms, text)) : json_null();
}

static json_t *day_json(int64_t day)
{
    char text[CLOCK_TEXT_SIZE];
    return json_stringn(clock_format_wall(day * CATALOG_DAY_MS, text), sizeof "2026-01-31" - 1);
}

static json_t *text_json(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *seconds_json(int64_t ms)
{
    return ms > 0 ? json_integer(ms / SECOND_MS) : json_null();
}

static json_int_t difference(uint64_t last, uint64_t first)
{
    return (json_int_t)(last - first); /* both are far below 2^63 */
}

/* --- rows by VM */

typedef json_t *(*row_maker)(const struct report_reader *reader, const struct catalog_vm_report_row *vm);

static int read_vms(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                    int64_t *last, row_maker make, struct error *err)
{
    const struct catalog_vm_report_row *vms;
    size_t count;
    if (catalog_vm_report_list(reader->catalog, reader->arena, reader->user_id, reader->span.since_ms,
                               reader->span.until_ms, page, &vms, &count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *row = make(reader, &vms[i]);
        if (row != NULL) {
            json_array_append_new(items, row);
        }
    }
    *last =
        count > 0 && count == (page->limit > 0 ? page->limit : CATALOG_PAGE_MAX) ? vms[count - 1].number : 0;
    return 0;
}

static const char *state_name(const struct catalog_vm_report_row *vm)
{
    struct vm_facts facts = {.grouped = vm->group_name[0] != '\0',
                             .stopped = vm->stopped,
                             .present = vm->present,
                             .failed = strcmp(vm->last_state, job_state_name(JOB_FAILED)) == 0,
                             .has_point = vm->last_point_ms > 0};
    return vm_state_name(vm_state_judge(&facts));
}

static json_t *status_row(const struct report_reader *reader, const struct catalog_vm_report_row *vm)
{
    (void)reader;
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:o, s:o}", "vm_id", vm->id,
        "vm", vm->name, "host", vm->host_name, "group", text_json(vm->group_name), "state", state_name(vm),
        "completed", (json_int_t)vm->completed, "completed_with_warnings", (json_int_t)vm->warned, "failed",
        (json_int_t)vm->failed, "cancelled", (json_int_t)vm->cancelled, "sent_bytes",
        (json_int_t)vm->sent_bytes, "stored_bytes", (json_int_t)vm->stored_bytes, "last_point",
        time_json(vm->last_point_ms), "points", (json_int_t)vm->points, "last_job", text_json(vm->last_state),
        "last_job_finished", time_json(vm->last_finished_ms), "last_error",
        strcmp(vm->last_code, "NONE") == 0 ? json_null() : text_json(vm->last_code));
}

static int read_status(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                       int64_t *last, struct error *err)
{
    return read_vms(reader, page, items, last, status_row, err);
}

struct rpo_subject report_subject(const struct catalog_vm_report_row *vm)
{
    return (struct rpo_subject){.policy_id = vm->policy_id,
                                .stopped = vm->stopped,
                                .protected_ms = vm->protected_ms,
                                .last_point_ms = vm->last_point_ms};
}

/* The longest time without a new point; what was before the span's beginning doesn't count. */
struct gap {
    int64_t from_ms;
    int64_t to_ms;
};

static int64_t length_ms(struct gap gap)
{
    return gap.to_ms - gap.from_ms;
}

/* Of those between two points, and of the one to the end of the span. */
static struct gap gap_between(const struct catalog_vm_report_row *vm)
{
    return (struct gap){vm->longest_gap_end_ms - vm->longest_gap_ms, vm->longest_gap_end_ms};
}

static struct gap gap_to_end(const struct report_span *span, const struct catalog_vm_report_row *vm)
{
    int64_t from_ms = span->since_ms > vm->protected_ms ? span->since_ms : vm->protected_ms;
    return (struct gap){vm->last_made_ms > 0 ? vm->last_made_ms : from_ms,
                        span->until_ms < span->now_ms ? span->until_ms : span->now_ms};
}

static bool is_missed(const struct report_reader *reader, const struct catalog_vm_report_row *vm,
                      struct gap gap)
{
    return rpo_gap_is_missed(reader->rules, vm->policy_id, gap.from_ms, gap.to_ms);
}

static json_t *rpo_row(const struct report_reader *reader, const struct catalog_vm_report_row *vm)
{
    struct rpo_subject subject = report_subject(vm);
    enum rpo_state state = rpo_judge(reader->rules, &subject);
    struct gap between = gap_between(vm);
    struct gap open = gap_to_end(&reader->span, vm);
    int64_t gap_ms = length_ms(open) > length_ms(between) ? length_ms(open) : length_ms(between);
    if (vm->group_name[0] == '\0') {
        return NULL; /* nothing was promised */
    }
    bool waiting = state == RPO_NONE || state == RPO_WAITING;
    enum rpo_state in_span = waiting                                                         ? state
                             : is_missed(reader, vm, between) || is_missed(reader, vm, open) ? RPO_MISSED
                                                                                             : RPO_MET;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "vm_id", vm->id, "vm", vm->name,
                     "host", vm->host_name, "group", vm->group_name, "rpo", rpo_state_name(state),
                     "allowed_seconds", seconds_json(rpo_allowed_ms(reader->rules, &subject)), "age_seconds",
                     vm->last_point_ms > 0 ? seconds_json(reader->span.now_ms - vm->last_point_ms)
                                           : json_null(),
                     "last_point", time_json(vm->last_point_ms), "longest_gap_seconds",
                     waiting ? json_null() : seconds_json(gap_ms), "rpo_in_span", rpo_state_name(in_span));
}

static int read_rpo(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                    int64_t *last, struct error *err)
{
    return read_vms(reader, page, items, last, rpo_row, err);
}

static json_t *growth_json(const struct catalog_vm_growth *vm)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "vm_id", vm->vm_id, "vm",
                     vm->vm_name, "host", vm->host_name, "group", text_json(vm->group_name), "from",
                     day_json(vm->first_day), "to", day_json(vm->last_day), "size", (json_int_t)vm->last_size,
                     "size_growth", difference(vm->last_size, vm->first_size), "stored_bytes",
                     (json_int_t)vm->last_stored, "stored_growth",
                     difference(vm->last_stored, vm->first_stored), "points", (json_int_t)vm->points);
}

static int read_growth(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                       int64_t *last, struct error *err)
{
    const struct catalog_vm_growth *vms;
    size_t count;
    if (catalog_vm_growth_list(reader->catalog, reader->arena, reader->user_id,
                               reader->span.since_ms / CATALOG_DAY_MS, reader->span.until_ms / CATALOG_DAY_MS,
                               page, &vms, &count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, growth_json(&vms[i]));
    }
    *last =
        count > 0 && count == (page->limit > 0 ? page->limit : CATALOG_PAGE_MAX) ? vms[count - 1].number : 0;
    return 0;
}

/* --- rows by group: the rows by VM, added up */

/* The group's row among the items; made when it is not there. */
static json_t *group_row(json_t *items, const json_t *vm_row)
{
    json_t *name = json_object_get(vm_row, "group");
    size_t index;
    json_t *row;
    json_array_foreach (items, index, row) {
        if (json_equal(json_object_get(row, "group"), name)) {
            return row;
        }
    }
    row = json_object();
    json_object_set(row, "group", name);
    json_array_append_new(items, row);
    return row;
}

static void count_up(json_t *row, const char *name, json_int_t more)
{
    json_object_set_new(row, name, json_integer(json_integer_value(json_object_get(row, name)) + more));
}

/* Numbers are added; of texts each value is counted in a column of its own, for those asked for. */
static void add_to_group(json_t *items, const json_t *vm_row, const char *const *columns)
{
    json_t *row = group_row(items, vm_row);
    count_up(row, "vms", 1);
    for (size_t i = 2; columns[i] != NULL; i++) {
        const json_t *value = json_object_get(vm_row, columns[i]);
        const char *state = json_string_value(json_object_get(vm_row, "state"));
        const char *rpo = json_string_value(json_object_get(vm_row, "rpo"));
        bool named = (state != NULL && strcmp(state, columns[i]) == 0) ||
                     (rpo != NULL && strcmp(rpo, columns[i]) == 0);
        count_up(row, columns[i], named ? 1 : json_integer_value(value));
    }
}

static int read_groups(const struct report_reader *reader, json_t *items, int64_t *last,
                       const struct report_kind *of, const char *const *columns, struct error *err)
{
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    int result;
    size_t index;
    json_t *vm_row;
    do {
        json_t *rows = json_array();
        result = of->read(reader, &page, rows, last, err);
        json_array_foreach (rows, index, vm_row) {
            add_to_group(items, vm_row, columns);
        }
        json_decref(rows);
        page.after = *last;
    } while (result == 0 && *last != 0);
    return result;
}

static const char *const status_columns[] = {"vm_id",
                                             "vm",
                                             "host",
                                             "group",
                                             "state",
                                             "completed",
                                             "completed_with_warnings",
                                             "failed",
                                             "cancelled",
                                             "sent_bytes",
                                             "stored_bytes",
                                             "last_point",
                                             "points",
                                             "last_job",
                                             "last_job_finished",
                                             "last_error",
                                             NULL};
static const char *const status_group_columns[] = {"group",        "vms",       "protected",
                                                   "waiting",      "failing",   "stopped",
                                                   "vanished",     "completed", "completed_with_warnings",
                                                   "failed",       "cancelled", "sent_bytes",
                                                   "stored_bytes", "points",    NULL};
static const char *const rpo_columns[] = {"vm_id",       "vm",         "host",
                                          "group",       "rpo",        "allowed_seconds",
                                          "age_seconds", "last_point", "longest_gap_seconds",
                                          "rpo_in_span", NULL};
static const char *const rpo_group_columns[] = {"group", "vms", "met", "missed", "waiting", "none", NULL};
static const char *const growth_columns[] = {"vm_id",  "vm",   "host",        "group",        "from",
                                             "to",     "size", "size_growth", "stored_bytes", "stored_growth",
                                             "points", NULL};
static const char *const growth_group_columns[] = {"group",        "vms",           "size",   "size_growth",
                                                   "stored_bytes", "stored_growth", "points", NULL};
static const char *const store_columns[] = {"day",        "stored_bytes", "stored_growth", "chunk_bytes",
                                            "free_bytes", "total_bytes",  "points",        NULL};

static int read_status_groups(const struct report_reader *reader, const struct catalog_page *page,
                              json_t *items, int64_t *last, struct error *err)
{
    (void)page; /* there are few groups */
    return read_groups(reader, items, last, report_find("status", "vm"), status_group_columns, err);
}

static int read_rpo_groups(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                           int64_t *last, struct error *err)
{
    (void)page;
    return read_groups(reader, items, last, report_find("rpo", "vm"), rpo_group_columns, err);
}

static int read_growth_groups(const struct report_reader *reader, const struct catalog_page *page,
                              json_t *items, int64_t *last, struct error *err)
{
    (void)page;
    return read_groups(reader, items, last, report_find("storage", "vm"), growth_group_columns, err);
}

/* --- rows by day */

static int read_store(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                      int64_t *last, struct error *err)
{
    const struct catalog_store_sample *samples;
    size_t count;
    if (catalog_store_sample_list(reader->catalog, reader->arena, reader->span.since_ms / CATALOG_DAY_MS,
                                  reader->span.until_ms / CATALOG_DAY_MS, page, &samples, &count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const struct catalog_store_sample *sample = &samples[i];
        json_t *growth =
            i > 0 ? json_integer(difference(sample->stored_bytes, samples[i - 1].stored_bytes)) : json_null();
        json_array_append_new(
            items,
            json_pack("{s:o, s:I, s:o, s:I, s:I, s:I, s:I}", "day", day_json(sample->day), "stored_bytes",
                      (json_int_t)sample->stored_bytes, "stored_growth", growth, "chunk_bytes",
                      (json_int_t)sample->chunk_bytes, "free_bytes", (json_int_t)sample->free_bytes,
                      "total_bytes", (json_int_t)sample->total_bytes, "points", (json_int_t)sample->points));
    }
    *last =
        count > 0 && count == (page->limit > 0 ? page->limit : CATALOG_PAGE_MAX) ? samples[count - 1].day : 0;
    return 0;
}

#define DAYS(count) ((int64_t)(count)*24 * 3600 * 1000)
const struct report_kind report_kinds[] = {
    {"status", "vm", status_columns, DAYS(1), read_status},
    {"status", "group", status_group_columns, DAYS(1), read_status_groups},
    {"storage", "day", store_columns, DAYS(30), read_store},
    {"storage", "vm", growth_columns, DAYS(30), read_growth},
    {"storage", "group", growth_group_columns, DAYS(30), read_growth_groups},
    {"rpo", "vm", rpo_columns, DAYS(30), read_rpo},
    {"rpo", "group", rpo_group_columns, DAYS(30), read_rpo_groups},
    {NULL, NULL, NULL, 0, NULL},
};
