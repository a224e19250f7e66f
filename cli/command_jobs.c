/* Jobs: listing, following to their end, cancelling. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/job_follow.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

enum { SHORT_ID = 8, JOBS_DEFAULT = 50 };

static bool is_good(const json_t *job)
{
    const char *state = cli_text(job, "state");
    return state != NULL && strncmp(state, "completed", strlen("completed")) == 0;
}

static char *short_id(const char *id)
{
    return id != NULL ? memory_format("%.*s", SHORT_ID, id) : memory_copy_text("-");
}

/* How long it took, or has been running; NULL before its start. */
static char *job_duration(const json_t *job)
{
    int64_t started;
    int64_t finished = clock_wall_ms();
    const char *start = cli_text(job, "started");
    const char *end = cli_text(job, "finished");
    if (start == NULL || clock_parse_wall(start, &started) != 0 ||
        (end != NULL && clock_parse_wall(end, &finished) != 0)) {
        return NULL;
    }
    return text_duration(finished > started ? (uint64_t)(finished - started) / 1000 : 0);
}

/* When it is to start, or NULL when it has or does so now. */
static char *job_start_to_come(const json_t *job)
{
    const char *state = cli_text(job, "state");
    const char *next = cli_text(job, "next_attempt");
    return state != NULL && strcmp(state, "queued") == 0 && next != NULL ? text_time(next) : NULL;
}

static void print_warnings(const struct cli *cli, const json_t *job)
{
    size_t index;
    json_t *warning;
    json_array_foreach ((json_t *)(uintptr_t)cli_member(job, "warnings"), index, warning) {
        char *message = text_printable(cli_text(warning, "message"));
        const char *code = cli_text(warning, "code");
        fprintf(cli->out, "  Warning: %s%s%s%s\n", message, code != NULL ? " (" : "",
                code != NULL ? code : "", code != NULL ? ")" : "");
        free(message);
    }
}

/* One line for people on what became of it, then why and its warnings. */
static void print_outcome(const struct cli *cli, const json_t *job)
{
    const char *state = cli_text(job, "state");
    const char *type = cli_text(job, "type");
    const char *mode = cli_text(job, "mode");
    const char *reason = cli_text(job, "reason");
    const char *restored = cli_text(job, "restored_vm");
    char *label = job_label(job);
    char *line = text_printable(label);
    char *duration = job_duration(job);
    char *point = short_id(cli_text(job, "point"));
    bool backup = type != NULL && (strcmp(type, "backup") == 0 || strcmp(type, "check") == 0);
    fprintf(cli->out, "%s: %s", line, state != NULL ? state : "?");
    if (mode != NULL && backup) {
        fprintf(cli->out, ", %s", mode);
    }
    if (duration != NULL) {
        fprintf(cli->out, " in %s", duration);
    }
    if (backup && is_good(job)) {
        char *sent = text_size(cli_number(job, "sent_bytes"));
        char *stored = text_size(cli_number(job, "stored_bytes"));
        fprintf(cli->out, "; %s sent, %s stored; recovery point %s", sent, stored, point);
        free(sent);
        free(stored);
    }
    if (restored != NULL) {
        char *name = text_printable(restored);
        fprintf(cli->out, "; restored as %s", name);
        free(name);
    }
    fputc('\n', cli->out);
    if (reason != NULL) {
        char *printable = text_printable(reason);
        fprintf(cli->out, "  Why: %s\n", printable);
        free(printable);
    }
    print_warnings(cli, job);
    free(label);
    free(line);
    free(duration);
    free(point);
}

/* What a job that did not come to a good end failed of. */
static int fail_job(const json_t *job, struct failure *failure)
{
    const json_t *error = cli_member(job, "error");
    if (json_is_object(error)) {
        failure_from_reply(failure, 500, error);
    } else {
        char *label = job_label(job);
        const char *state = cli_text(job, "state");
        failure_set(failure,
                    state != NULL && strcmp(state, "cancelled") == 0 ? ERROR_JOB_CANCELLED : ERROR_INTERNAL,
                    "The %s is %s", label, state != NULL ? state : "over");
        free(label);
    }
    failure->status = EXIT_STATUS_FAILED;
    return -1;
}

static int print_end(struct cli *cli, const json_t *job, struct failure *failure)
{
    if (!cli->json) {
        print_outcome(cli, job);
    }
    if (is_good(job)) {
        return 0;
    }
    fail_job(job, failure);
    return cli->json ? CLI_TOLD : -1; /* the job that is printed has its error */
}

static int finish_one(struct cli *cli, const json_t *job, json_t **end, struct failure *failure)
{
    const char *id = cli_text(job, "id");
    if (id == NULL) {
        return failure_set(failure, ERROR_PROTOCOL_INVALID, "The server's answer is not a job");
    }
    if (!arguments_flag(cli->arguments, "wait")) {
        *end = json_incref((json_t *)(uintptr_t)job);
        if (!cli->json) {
            char *label = job_label(job);
            char *number = short_id(id);
            char *start = job_start_to_come(job);
            fprintf(cli->out, "Job %s %s%s: %s. Follow it: holdfast job watch %s\n", number,
                    start != NULL ? "waits until " : "is begun", start != NULL ? start : "", label, number);
            free(start);
            free(label);
            free(number);
        }
        return 0;
    }
    return job_follow(cli, id, end, failure) == 0 ? print_end(cli, *end, failure) : -1;
}

int cli_finish_job(struct cli *cli, json_t *job, struct failure *failure)
{
    json_t *end = NULL;
    int result = finish_one(cli, job, &end, failure);
    if (end != NULL && cli->json) {
        cli_print_json(cli, end);
    }
    json_decref(end);
    json_decref(job);
    return result;
}

/* What the server would not begin, beside the jobs that it did. */
static int tell_refused(struct cli *cli, const json_t *refused, struct failure *failure)
{
    size_t index;
    json_t *entry;
    int result = 0;
    json_array_foreach ((json_t *)(uintptr_t)refused, index, entry) {
        failure_from_reply(failure, 409, entry);
        result = CLI_TOLD;
        if (!cli->json) {
            failure_print(failure, false, cli->err);
        }
    }
    return result;
}

int cli_finish_jobs(struct cli *cli, json_t *jobs, struct failure *failure)
{
    size_t index;
    json_t *job;
    json_t *ends = json_array();
    int result = tell_refused(cli, cli_member(jobs, "refused"), failure);
    json_array_foreach (json_object_get(jobs, "items"), index, job) {
        struct failure one;
        json_t *end = NULL;
        int finished = finish_one(cli, job, &end, &one);
        json_array_append_new(ends, end != NULL ? end : json_incref(job));
        if (finished == -1 && !cli->json) {
            failure_print(&one, false, cli->err);
        }
        if (finished != 0) {
            *failure = one;
            result = CLI_TOLD;
        }
    }
    if (cli->json) {
        json_t *list =
            json_pack("{s:o, s:O?, s:n}", "items", ends, "refused", json_object_get(jobs, "refused"), "next");
        cli_print_json(cli, list);
        json_decref(list);
    } else {
        json_decref(ends);
    }
    json_decref(jobs);
    return result;
}

/* --- commands */

static char *list_path(const struct cli *cli)
{
    static const struct {
        const char *option;
        const char *parameter;
    } filters[] = {{"vm", "vm"},       {"group", "group"}, {"host", "host"},
                   {"type", "type"},   {"state", "state"}, {"requested-by", "requested_by"},
                   {"since", "since"}, {"until", "until"}};
    char *path = memory_copy_text("/v1/jobs");
    bool first = true;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        const char *value = arguments_value(cli->arguments, filters[i].option);
        if (value != NULL) {
            char *encoded = client_path("%s", value);
            char *longer = memory_format("%s%c%s=%s", path, first ? '?' : '&', filters[i].parameter, encoded);
            free(encoded);
            free(path);
            path = longer;
            first = false;
        }
    }
    return path;
}

static void print_jobs(const struct cli *cli, json_t *jobs)
{
    size_t index;
    json_t *job;
    struct table *table = table_create("JOB|TYPE|VM|STATE|MODE|STARTED|>TOOK|>SENT|>STORED|ERROR");
    json_array_foreach (jobs, index, job) {
        char *duration = job_duration(job);
        char *start = job_start_to_come(job);
        table_take(table, short_id(cli_text(job, "id")));
        table_add(table, cli_text(job, "type"));
        table_add(table, cli_text(job, "vm"));
        table_add(table, cli_text(job, "state"));
        table_add(table, cli_text(job, "mode"));
        table_take(table,
                   start != NULL ? memory_format("at %s", start) : text_time(cli_text(job, "started")));
        table_add(table, duration);
        table_take(table, text_size(cli_number(job, "sent_bytes")));
        table_take(table, text_size(cli_number(job, "stored_bytes")));
        table_add(table, cli_text(job, "error.code"));
        free(start);
        free(duration);
    }
    table_print(table, "No jobs.", cli->out);
    table_destroy(table);
}

int run_job_list(struct cli *cli, struct failure *failure)
{
    enum { LIMIT_MAX = 1000000 };
    json_t *jobs = NULL;
    long limit = JOBS_DEFAULT;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || arguments_number(cli->arguments, "limit", 1, LIMIT_MAX, &limit, failure) < 0) {
        return -1;
    }
    char *path = list_path(cli);
    int result = client_list(client, path, (size_t)limit, &jobs, failure);
    free(path);
    if (result == 0 && cli->json) {
        cli_print_items(cli, jobs);
    } else if (result == 0) {
        print_jobs(cli, jobs);
        json_decref(jobs);
    }
    return result;
}

static void print_phase(const struct cli *cli, const json_t *job, const char *name, const char *label)
{
    const json_t *phase = cli_member(cli_member(job, "phases"), name);
    char *started = text_time(cli_text(phase, "started"));
    char *finished = text_time(cli_text(phase, "finished"));
    const char *state = cli_text(phase, "state");
    cli_take_field(cli, label,
                   memory_format("%s (%s to %s)", state != NULL ? state : "-", started, finished));
    free(started);
    free(finished);
}

static void print_job_error(const struct cli *cli, const json_t *job)
{
    const json_t *error = cli_member(job, "error");
    if (json_is_object(error)) {
        cli_print_field(cli, "Error", cli_text(error, "message"));
        cli_print_field(cli, "  Why", cli_text(error, "cause"));
        cli_print_field(cli, "  Do", cli_text(error, "action"));
        cli_print_field(cli, "  Code", cli_text(error, "code"));
    }
}

static void print_log(const struct cli *cli, const json_t *log)
{
    size_t index;
    json_t *entry;
    struct table *table = table_create("TIME|LEVEL|MESSAGE|CODE");
    json_array_foreach ((json_t *)(uintptr_t)log, index, entry) {
        table_take(table, text_time(cli_text(entry, "time")));
        table_add(table, cli_text(entry, "level"));
        table_add(table, cli_text(entry, "message"));
        table_add(table, cli_text(entry, "code"));
    }
    fputc('\n', cli->out);
    table_print(table, "Its log is empty.", cli->out);
    table_destroy(table);
}

/* What it moves now, or moved on average. */
static char *job_rate(const json_t *job)
{
    uint64_t rate = cli_number(job, "progress.bytes_per_second");
    const char *start = cli_text(job, "phases.transfer.started");
    const char *end = cli_text(job, "phases.transfer.finished");
    int64_t started;
    int64_t finished;
    if (start != NULL && end != NULL && clock_parse_wall(start, &started) == 0 &&
        clock_parse_wall(end, &finished) == 0 && finished > started) {
        rate = cli_number(job, "progress.done_bytes") * 1000 / (uint64_t)(finished - started);
    }
    char *size = rate > 0 ? text_size(rate) : NULL;
    char *text = size != NULL ? memory_format("%s/s", size) : memory_copy_text("-");
    free(size);
    return text;
}

static void print_job(const struct cli *cli, const json_t *job)
{
    char *duration = job_duration(job);
    char *start = job_start_to_come(job);
    cli_print_field(cli, "Job", cli_text(job, "id"));
    cli_print_field(cli, "Type", cli_text(job, "type"));
    cli_print_field(cli, "State", cli_text(job, "state"));
    if (start != NULL) {
        cli_take_field(cli, "Starts", start);
    }
    cli_print_field(cli, "VM", cli_text(job, "vm"));
    cli_print_field(cli, "Host", cli_text(job, "host"));
    cli_print_field(cli, "Mode", cli_text(job, "mode"));
    cli_print_field(cli, "Why", cli_text(job, "reason"));
    cli_print_field(cli, "Asked for by", cli_text(job, "requested_by"));
    cli_take_field(cli, "Attempt",
                   memory_format("%llu of %llu", (unsigned long long)cli_number(job, "attempt"),
                                 (unsigned long long)cli_number(job, "max_attempts")));
    cli_take_field(cli, "Created", text_time(cli_text(job, "created")));
    cli_take_field(cli, "Started", text_time(cli_text(job, "started")));
    cli_take_field(cli, "Finished", text_time(cli_text(job, "finished")));
    cli_print_field(cli, "Took", duration);
    print_phase(cli, job, "snapshot", "Snapshot");
    print_phase(cli, job, "transfer", "Transfer");
    cli_take_field(cli, "Done", text_size(cli_number(job, "progress.done_bytes")));
    cli_take_field(cli, "Of", text_size(cli_number(job, "progress.total_bytes")));
    cli_take_field(cli, "Rate", job_rate(job));
    cli_take_field(cli, "Sent", text_size(cli_number(job, "sent_bytes")));
    cli_take_field(cli, "Stored", text_size(cli_number(job, "stored_bytes")));
    cli_print_field(cli, "Recovery point", cli_text(job, "point"));
    cli_print_field(cli, "Restored as", cli_text(job, "restored_vm"));
    print_job_error(cli, job);
    print_log(cli, cli_member(job, "log"));
    free(duration);
}

static int call_job(struct cli *cli, const char *method, const char *template_end, json_t **job,
                    struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    char *encoded = client_path("/v1/jobs/%s", arguments_at(cli->arguments, 0));
    char *path = memory_format("%s%s", encoded, template_end);
    int result = client != NULL ? client_call(client, method, path, NULL, job, failure) : -1;
    free(encoded);
    free(path);
    return result;
}

/* A long log comes with the job in part only. */
static int complete_log(struct cli *cli, json_t *job, struct failure *failure)
{
    json_t *log = NULL;
    const char *id = cli_text(job, "id");
    if (id == NULL || cli_text(job, "log_next") == NULL) {
        return 0;
    }
    char *path = client_path("/v1/jobs/%s/log", id);
    int result = client_list(cli->client, path, 0, &log, failure);
    free(path);
    if (result == 0) {
        json_object_set_new(job, "log", log);
        json_object_set_new(job, "log_next", json_null());
    }
    return result;
}

int run_job_show(struct cli *cli, struct failure *failure)
{
    json_t *job = NULL;
    if (call_job(cli, "GET", "", &job, failure) != 0 || complete_log(cli, job, failure) != 0) {
        json_decref(job);
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, job);
    } else {
        print_job(cli, job);
    }
    json_decref(job);
    return 0;
}

int run_job_watch(struct cli *cli, struct failure *failure)
{
    json_t *job = NULL;
    if (cli_client(cli, failure) == NULL ||
        job_follow(cli, arguments_at(cli->arguments, 0), &job, failure) != 0) {
        json_decref(job);
        return -1;
    }
    int result = print_end(cli, job, failure);
    if (cli->json) {
        cli_print_json(cli, job);
    }
    json_decref(job);
    return result;
}

int run_job_cancel(struct cli *cli, struct failure *failure)
{
    json_t *job = NULL;
    if (call_job(cli, "POST", "/cancel", &job, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, job);
    } else {
        char *label = job_label(job);
        fprintf(cli->out, "The %s is being cancelled.\n", label);
        free(label);
    }
    json_decref(job);
    return 0;
}
