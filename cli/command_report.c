/* Reports, as tables for people, and as CSV. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

/* A column of a table; which of the report's members it shows, and as what. */
struct column {
    const char *heading;
    const char *member;
    enum { SHOW_TEXT, SHOW_TIME, SHOW_NUMBER, SHOW_SIZE, SHOW_GROWTH, SHOW_SECONDS } as;
};

struct view {
    const char *report;
    const char *by;
    struct column columns[12]; /* ends with a NULL heading */
};

static const struct view views[] = {
    {"status",
     "vm",
     {{"VM", "vm", SHOW_TEXT},
      {"HOST", "host", SHOW_TEXT},
      {"GROUP", "group", SHOW_TEXT},
      {"STATE", "state", SHOW_TEXT},
      {">COMPLETED", "completed", SHOW_NUMBER},
      {">WARNINGS", "completed_with_warnings", SHOW_NUMBER},
      {">FAILED", "failed", SHOW_NUMBER},
      {">STORED", "stored_bytes", SHOW_SIZE},
      {"LAST POINT", "last_point", SHOW_TIME},
      {"LAST ERROR", "last_error", SHOW_TEXT},
      {NULL, NULL, SHOW_TEXT}}},
    {"status",
     "group",
     {{"GROUP", "group", SHOW_TEXT},
      {">VMS", "vms", SHOW_NUMBER},
      {">PROTECTED", "protected", SHOW_NUMBER},
      {">WAITING", "waiting", SHOW_NUMBER},
      {">FAILING", "failing", SHOW_NUMBER},
      {">STOPPED", "stopped", SHOW_NUMBER},
      {">VANISHED", "vanished", SHOW_NUMBER},
      {">COMPLETED", "completed", SHOW_NUMBER},
      {">WARNINGS", "completed_with_warnings", SHOW_NUMBER},
      {">FAILED", "failed", SHOW_NUMBER},
      {">STORED", "stored_bytes", SHOW_SIZE},
      {NULL, NULL, SHOW_TEXT}}},
    {"storage",
     "day",
     {{"DAY", "day", SHOW_TEXT},
      {">STORED", "stored_bytes", SHOW_SIZE},
      {">GROWTH", "stored_growth", SHOW_GROWTH},
      {">HOLDS", "chunk_bytes", SHOW_SIZE},
      {">FREE", "free_bytes", SHOW_SIZE},
      {">OF", "total_bytes", SHOW_SIZE},
      {">POINTS", "points", SHOW_NUMBER},
      {NULL, NULL, SHOW_TEXT}}},
    {"storage",
     "vm",
     {{"VM", "vm", SHOW_TEXT},
      {"HOST", "host", SHOW_TEXT},
      {"GROUP", "group", SHOW_TEXT},
      {"FROM", "from", SHOW_TEXT},
      {"TO", "to", SHOW_TEXT},
      {">SIZE", "size", SHOW_SIZE},
      {">GROWTH", "size_growth", SHOW_GROWTH},
      {">STORED", "stored_bytes", SHOW_SIZE},
      {">GROWTH", "stored_growth", SHOW_GROWTH},
      {">POINTS", "points", SHOW_NUMBER},
      {NULL, NULL, SHOW_TEXT}}},
    {"storage",
     "group",
     {{"GROUP", "group", SHOW_TEXT},
      {">VMS", "vms", SHOW_NUMBER},
      {">SIZE", "size", SHOW_SIZE},
      {">GROWTH", "size_growth", SHOW_GROWTH},
      {">STORED", "stored_bytes", SHOW_SIZE},
      {">GROWTH", "stored_growth", SHOW_GROWTH},
      {">POINTS", "points", SHOW_NUMBER},
      {NULL, NULL, SHOW_TEXT}}},
    {"rpo",
     "vm",
     {{"VM", "vm", SHOW_TEXT},
      {"HOST", "host", SHOW_TEXT},
      {"GROUP", "group", SHOW_TEXT},
      {"NOW", "rpo", SHOW_TEXT},
      {">AGE", "age_seconds", SHOW_SECONDS},
      {">ALLOWED", "allowed_seconds", SHOW_SECONDS},
      {"LAST POINT", "last_point", SHOW_TIME},
      {"IN SPAN", "rpo_in_span", SHOW_TEXT},
      {">LONGEST GAP", "longest_gap_seconds", SHOW_SECONDS},
      {NULL, NULL, SHOW_TEXT}}},
    {"rpo",
     "group",
     {{"GROUP", "group", SHOW_TEXT},
      {">VMS", "vms", SHOW_NUMBER},
      {">MET", "met", SHOW_NUMBER},
      {">MISSED", "missed", SHOW_NUMBER},
      {">WAITING", "waiting", SHOW_NUMBER},
      {">NONE", "none", SHOW_NUMBER},
      {NULL, NULL, SHOW_TEXT}}},
};

static char *seconds_text(const json_t *value)
{
    enum { HOUR = 3600, MINUTE = 60 };
    long long seconds = (long long)json_integer_value(value);
    return memory_format("%lld h %02lld min", seconds / HOUR, seconds % HOUR / MINUTE);
}

static char *growth_text(const json_t *value)
{
    json_int_t growth = json_integer_value(value);
    char *size = text_size((uint64_t)(growth < 0 ? -growth : growth));
    char *text = memory_format("%s%s", growth < 0 ? "-" : "+", size);
    free(size);
    return text;
}

static void add_cell(struct table *table, const struct column *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->member);
    if (value == NULL || json_is_null(value)) {
        table_add(table, NULL);
    } else if (column->as == SHOW_TIME) {
        table_take(table, text_time(json_string_value(value)));
    } else if (column->as == SHOW_NUMBER) {
        table_take(table, memory_format("%lld", (long long)json_integer_value(value)));
    } else if (column->as == SHOW_SIZE) {
        table_take(table, text_size((uint64_t)json_integer_value(value)));
    } else if (column->as == SHOW_GROWTH) {
        table_take(table, growth_text(value));
    } else if (column->as == SHOW_SECONDS) {
        table_take(table, seconds_text(value));
    } else {
        table_add(table, json_string_value(value));
    }
}

static void print_rows(const struct cli *cli, const struct view *view, json_t *rows)
{
    char *headings = memory_copy_text(view->columns[0].heading);
    size_t index;
    json_t *row;
    for (const struct column *column = view->columns + 1; column->heading != NULL; column++) {
        char *longer = memory_format("%s|%s", headings, column->heading);
        free(headings);
        headings = longer;
    }
    struct table *table = table_create(headings);
    json_array_foreach (rows, index, row) {
        for (const struct column *column = view->columns; column->heading != NULL; column++) {
            add_cell(table, column, row);
        }
    }
    table_print(table, "There is nothing to report of that time.", cli->out);
    table_destroy(table);
    free(headings);
}

static int to_output(void *cookie, const void *bytes, size_t length)
{
    const struct cli *cli = cookie;
    return length == 0 || fwrite(bytes, 1, length, cli->out) == length ? 0 : -1; /* 0: a tick of the clock */
}

static int print_csv(struct cli *cli, const char *path, struct failure *failure)
{
    if (client_stream(cli->client, path, to_output, cli, failure) != 0) {
        return failure->message[0] != '\0'
                   ? -1
                   : failure_set(failure, ERROR_FILE_FAILED, "The report could not be written out");
    }
    return 0;
}

static const struct view *find_view(const char *report, const char *by)
{
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        if (strcmp(views[i].report, report) == 0 && (by == NULL || strcmp(views[i].by, by) == 0)) {
            return &views[i];
        }
    }
    return NULL;
}

static int run_report(struct cli *cli, const char *report, struct failure *failure)
{
    static const char *const names[] = {"since", "until", "by", NULL};
    const struct view *view = find_view(report, arguments_value(cli->arguments, "by"));
    json_t *rows = NULL;
    bool csv = arguments_flag(cli->arguments, "csv");
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        return -1;
    }
    char *base = memory_format("/v1/reports/%s", report);
    char *path = query_path(base, cli->arguments, names, csv ? "format=csv" : NULL);
    int result = csv ? print_csv(cli, path, failure) : client_list(client, path, 0, &rows, failure);
    free(base);
    free(path);
    if (result == 0 && !csv && (cli->json || view == NULL)) {
        cli_print_items(cli, rows);
    } else if (result == 0 && !csv) {
        print_rows(cli, view, rows);
        json_decref(rows);
    }
    return result;
}

int run_report_status(struct cli *cli, struct failure *failure)
{
    return run_report(cli, "status", failure);
}

int run_report_storage(struct cli *cli, struct failure *failure)
{
    return run_report(cli, "storage", failure);
}

int run_report_rpo(struct cli *cli, struct failure *failure)
{
    return run_report(cli, "rpo", failure);
}
