/* Recovery points. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

enum { SHORT_ID = 8 };

static uint64_t point_size(const json_t *point)
{
    uint64_t size = 0;
    size_t index;
    json_t *disk;
    json_array_foreach ((json_t *)(uintptr_t)cli_member(point, "disks"), index, disk) {
        size += cli_number(disk, "size");
    }
    return size;
}

/* "daily, weekly"; NULL for nothing. */
static char *kept_text(const json_t *point)
{
    size_t index;
    json_t *reason;
    char *text = NULL;
    json_array_foreach ((json_t *)(uintptr_t)cli_member(point, "kept"), index, reason) {
        char *longer = memory_format("%s%s%s", text != NULL ? text : "", text != NULL ? ", " : "",
                                     json_string_value(reason) != NULL ? json_string_value(reason) : "?");
        free(text);
        text = longer;
    }
    return text;
}

static void print_deleted(const struct cli *cli, json_t *points)
{
    size_t index;
    json_t *point;
    struct table *table = table_create("POINT|VM|TIME|>STORED|DELETED|BY|GONE AFTER");
    json_array_foreach (points, index, point) {
        const char *id = cli_text(point, "id");
        table_take(table, memory_format("%.*s", SHORT_ID, id != NULL ? id : "-"));
        table_add(table, cli_text(point, "vm"));
        table_take(table, text_time(cli_text(point, "time")));
        table_take(table, text_size(cli_number(point, "stored_bytes")));
        table_take(table, text_time(cli_text(point, "deleted")));
        table_add(table, cli_text(point, "deleted_by"));
        table_take(table, text_time(cli_text(point, "purge")));
    }
    table_print(table, "There is no deleted recovery point.", cli->out);
    table_destroy(table);
}

static const char *note_of(const json_t *point)
{
    return cli_truth(point, "last_good")    ? "last good"
           : cli_truth(point, "suspicious") ? "unusual change"
                                            : NULL;
}

static void print_points(const struct cli *cli, json_t *points)
{
    size_t index;
    json_t *point;
    struct table *table = table_create(
        "POINT|VM|TIME|CONSISTENCY|MODE|STATE|ON HOST UNTIL|>SIZE|>READ|>SENT|>STORED|KEPT FOR|NOTE");
    json_array_foreach (points, index, point) {
        const char *id = cli_text(point, "id");
        table_take(table, memory_format("%.*s", SHORT_ID, id != NULL ? id : "-"));
        table_add(table, cli_text(point, "vm"));
        table_take(table, text_time(cli_text(point, "time")));
        table_add(table, cli_text(point, "consistency"));
        table_add(table, cli_text(point, "mode"));
        table_add(table, cli_text(point, "state"));
        table_take(table, text_time(cli_text(point, "host_snapshot.until")));
        table_take(table, text_size(point_size(point)));
        table_take(table, text_size(cli_number(point, "read_bytes")));
        table_take(table, text_size(cli_number(point, "sent_bytes")));
        table_take(table, text_size(cli_number(point, "stored_bytes")));
        table_take(table, kept_text(point));
        table_add(table, note_of(point));
    }
    table_print(table, "There is no recovery point yet. Make one: holdfast backup VM", cli->out);
    table_destroy(table);
}

int run_rp_list(struct cli *cli, struct failure *failure)
{
    json_t *points = NULL;
    const char *vm = arguments_at(cli->arguments, 0);
    struct client *client = cli_client(cli, failure);
    bool deleted = arguments_flag(cli->arguments, "deleted");
    const char *list = deleted ? "/v1/recovery-points?deleted=true" : "/v1/recovery-points";
    char *only = vm != NULL ? client_path("vm=%s", vm) : memory_copy_text("");
    char *path = memory_format("%s%s%s", list, vm == NULL ? "" : deleted ? "&" : "?", only);
    free(only);
    int result = client != NULL ? client_list(client, path, 0, &points, failure) : -1;
    free(path);
    if (result == 0 && cli->json) {
        cli_print_items(cli, points);
    } else if (result == 0) {
        (deleted ? print_deleted : print_points)(cli, points);
        json_decref(points);
    }
    return result;
}

/* --- by days */

/* Higher is better. */
static int consistency_rank(const char *consistency)
{
    return consistency == NULL                       ? -1
           : strcmp(consistency, "application") == 0 ? 2
           : strcmp(consistency, "filesystem") == 0  ? 1
                                                     : 0;
}

static void count_point(json_t *day, const json_t *point)
{
    const char *consistency = cli_text(point, "consistency");
    bool damaged = cli_text(point, "state") != NULL && strcmp(cli_text(point, "state"), "damaged") == 0;
    if (consistency_rank(consistency) > consistency_rank(cli_text(day, "consistency"))) {
        json_object_set_new(day, "consistency", json_string(consistency));
    }
    json_object_set(day, "oldest", (json_t *)(uintptr_t)cli_member(point, "time"));
    json_object_set_new(day, "points", json_integer((json_int_t)cli_number(day, "points") + 1));
    json_object_set_new(day, "verified",
                        json_integer((json_int_t)cli_number(day, "verified") +
                                     (cli_text(point, "verified") != NULL && !damaged)));
    json_object_set_new(day, "damaged", json_integer((json_int_t)cli_number(day, "damaged") + damaged));
    json_object_set_new(
        day, "stored_bytes",
        json_integer((json_int_t)(cli_number(day, "stored_bytes") + cli_number(point, "stored_bytes"))));
}

/* Points come with the newest first; days are those of this machine's clock. */
static json_t *days_of(json_t *points)
{
    enum { DATE_LENGTH = 10 };
    json_t *days = json_array();
    json_t *day = NULL;
    size_t index;
    json_t *point;
    json_array_foreach (points, index, point) {
        if (cli_text(point, "committed") == NULL) {
            continue; /* it is on its host only */
        }
        char *time = text_time(cli_text(point, "time"));
        char *date = memory_format("%.*s", DATE_LENGTH, time);
        if (day == NULL || strcmp(cli_text(day, "date"), date) != 0) {
            day = json_pack("{s:s, s:i, s:O, s:O, s:s, s:i, s:i, s:I, s:I}", "date", date, "points", 0,
                            "newest", (json_t *)(uintptr_t)cli_member(point, "time"), "oldest",
                            (json_t *)(uintptr_t)cli_member(point, "time"), "consistency", "crash",
                            "verified", 0, "damaged", 0, "size", (json_int_t)point_size(point),
                            "stored_bytes", (json_int_t)0);
            json_array_append_new(days, day);
        }
        count_point(day, point);
        free(date);
        free(time);
    }
    return days;
}

static void print_days(const struct cli *cli, json_t *days)
{
    size_t index;
    json_t *day;
    struct table *table =
        table_create("DAY|>POINTS|NEWEST|OLDEST|BEST CONSISTENCY|>VERIFIED|>DAMAGED|>SIZE|>STORED");
    json_array_foreach (days, index, day) {
        enum { CLOCK = sizeof "2026-01-31 " - 1 };
        char *newest = text_time(cli_text(day, "newest"));
        char *oldest = text_time(cli_text(day, "oldest"));
        table_add(table, cli_text(day, "date"));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(day, "points")));
        table_add(table, newest + (strlen(newest) > CLOCK ? CLOCK : 0));
        table_add(table, oldest + (strlen(oldest) > CLOCK ? CLOCK : 0));
        table_add(table, cli_text(day, "consistency"));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(day, "verified")));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(day, "damaged")));
        table_take(table, text_size(cli_number(day, "size")));
        table_take(table, text_size(cli_number(day, "stored_bytes")));
        free(newest);
        free(oldest);
    }
    table_print(table, "There is no recovery point yet. Make one: holdfast backup VM", cli->out);
    table_destroy(table);
}

int run_rp_calendar(struct cli *cli, struct failure *failure)
{
    json_t *points = NULL;
    struct client *client = cli_client(cli, failure);
    char *path = client_path("/v1/recovery-points?vm=%s", arguments_at(cli->arguments, 0));
    int result = client != NULL ? client_list(client, path, 0, &points, failure) : -1;
    free(path);
    if (result != 0) {
        return -1;
    }
    json_t *days = days_of(points);
    json_decref(points);
    if (cli->json) {
        cli_print_items(cli, days);
        return 0;
    }
    print_days(cli, days);
    json_decref(days);
    return 0;
}

int cli_call_point(struct cli *cli, const char *reference, const char *method, const char *template_end,
                   json_t *body, json_t **reply, struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    char *encoded = client_path("/v1/recovery-points/%s", reference);
    char *path = memory_format("%s%s", encoded, template_end);
    int result = client_call(client, method, path, body, reply, failure);
    free(encoded);
    free(path);
    return result;
}

static void print_point_disks(const struct cli *cli, const json_t *point)
{
    size_t index;
    json_t *disk;
    struct table *table = table_create("DISK|>SIZE|FORMAT|>TRANSFERRED");
    json_array_foreach ((json_t *)(uintptr_t)cli_member(point, "disks"), index, disk) {
        table_add(table, cli_text(disk, "name"));
        table_take(table, text_size(cli_number(disk, "size")));
        table_add(table, cli_text(disk, "format"));
        table_take(table, text_size(cli_number(disk, "transferred_bytes")));
    }
    fputc('\n', cli->out);
    table_print(table, "It has no disks.", cli->out);
    table_destroy(table);
}

static void print_point(const struct cli *cli, const json_t *point)
{
    const char *reason = cli_text(point, "consistency_reason");
    const char *consistency = cli_text(point, "consistency");
    if (cli->json) {
        cli_print_json(cli, point);
        return;
    }
    cli_print_field(cli, "Recovery point", cli_text(point, "id"));
    cli_print_field(cli, "VM", cli_text(point, "vm"));
    cli_print_field(cli, "Host", cli_text(point, "host"));
    cli_take_field(cli, "Time", text_time(cli_text(point, "time")));
    cli_take_field(cli, "Consistency",
                   memory_format("%s%s%s", consistency != NULL ? consistency : "-",
                                 reason != NULL ? ": " : "", reason != NULL ? reason : ""));
    cli_print_field(cli, "Mode", cli_text(point, "mode"));
    cli_print_field(cli, "Why", cli_text(point, "reason"));
    cli_print_field(cli, "State", cli_text(point, "state"));
    if (cli_text(point, "host_snapshot.host") != NULL) {
        char *until = text_time(cli_text(point, "host_snapshot.until"));
        cli_take_field(cli, "On its host",
                       memory_format("%s, until %s", cli_text(point, "host_snapshot.host"), until));
        free(until);
    }
    cli_take_field(cli, "Verified", text_time(cli_text(point, "verified")));
    cli_print_field(cli, "Held", cli_truth(point, "held") ? "yes" : "no");
    cli_print_field(cli, "Note", note_of(point));
    cli_take_field(cli, "Kept for", kept_text(point));
    cli_take_field(cli, "Kept until", text_time(cli_text(point, "kept_until")));
    cli_take_field(cli, "Retain until", text_time(cli_text(point, "retain_until")));
    cli_take_field(cli, "Locked until", text_time(cli_text(point, "locked_until")));
    cli_take_field(cli, "Read", text_size(cli_number(point, "read_bytes")));
    cli_take_field(cli, "Sent", text_size(cli_number(point, "sent_bytes")));
    cli_take_field(cli, "Stored", text_size(cli_number(point, "stored_bytes")));
    cli_print_field(cli, "Made from", cli_text(point, "parent"));
    cli_print_field(cli, "By job", cli_text(point, "job"));
    print_point_disks(cli, point);
}

int run_rp_show(struct cli *cli, struct failure *failure)
{
    json_t *point = NULL;
    if (cli_call_point(cli, arguments_at(cli->arguments, 0), "GET", "", NULL, &point, failure) != 0) {
        return -1;
    }
    print_point(cli, point);
    json_decref(point);
    return 0;
}

int run_rp_verify(struct cli *cli, struct failure *failure)
{
    json_t *job = NULL;
    if (cli_call_point(cli, arguments_at(cli->arguments, 0), "POST", "/verify", NULL, &job, failure) != 0) {
        return -1;
    }
    return cli_finish_job(cli, job, failure);
}
