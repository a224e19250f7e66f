#include "cli/job_follow.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/progress.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 250,
    POLL_LONG_MS = 1000,
    POLL_LONG_AFTER_MS = 15 * 1000,
    UNREACHABLE_MAX_MS = 60 * 1000,
    EVENT_LINE_MAX = 1024 * 1024,
};

struct following {
    struct cli *cli;
    json_t *job;
    struct progress *progress;
    struct buffer line; /* of the stream, so far */
    bool stopped;       /* the stream told of the end, or nonsense */
};

bool job_is_final(const json_t *job)
{
    const char *state = cli_text(job, "state");
    return state != NULL && strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
}

char *job_label(const json_t *job)
{
    const char *type = cli_text(job, "type");
    const char *vm = cli_text(job, "vm");
    return vm != NULL ? memory_format("%s of %s", type != NULL ? type : "job", vm)
                      : memory_format("%s of the store", type != NULL ? type : "job");
}

static void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static void show_progress(struct progress *progress, const json_t *job)
{
    const json_t *left = cli_member(job, "progress.seconds_left");
    const char *step = cli_text(job, "progress.step");
    struct progress_state state = {
        .step = step != NULL ? step : cli_text(job, "state"),
        .done_bytes = cli_number(job, "progress.done_bytes"),
        .total_bytes = cli_number(job, "progress.total_bytes"),
        .bytes_per_second = cli_number(job, "progress.bytes_per_second"),
        .seconds_left = json_is_integer(left) ? (int64_t)json_integer_value(left) : -1,
    };
    progress_show(progress, &state);
}

/* Takes the job over. */
static void take_job(struct following *following, json_t *job)
{
    const struct cli *cli = following->cli;
    json_decref(following->job);
    following->job = job;
    if (following->progress == NULL) {
        char *label = job_label(job);
        following->progress = progress_create(cli->err, label, isatty(fileno(cli->err)) == 1, cli->json);
        free(label);
    }
    if (!job_is_final(job)) {
        show_progress(following->progress, job);
    }
}

/* --- by events */

static void take_line(struct following *following, const char *line)
{
    static const char data[] = "data: ";
    json_error_t ignored;
    if (strncmp(line, data, sizeof data - 1) != 0) {
        return;
    }
    json_t *job = json_loads(line + sizeof data - 1, 0, &ignored);
    if (cli_text(job, "state") != NULL && cli_text(job, "type") != NULL) {
        take_job(following, job);
        following->stopped = job_is_final(job);
    } else {
        json_decref(job);
    }
}

static int on_events(void *cookie, const void *bytes, size_t length)
{
    struct following *following = cookie;
    const char *at = bytes;
    while (length > 0 && !following->stopped) {
        const char *end = memchr(at, '\n', length);
        size_t piece = end != NULL ? (size_t)(end - at) : length;
        if (buffer_append(&following->line, at, piece) != 0) {
            following->stopped = true;
        } else if (end != NULL) {
            take_line(following, buffer_text(&following->line));
            buffer_free(&following->line);
            buffer_init(&following->line, EVENT_LINE_MAX);
            piece++;
        }
        at += piece;
        length -= piece;
    }
    return following->stopped ? 1 : 0;
}

/* Until the job is final or the stream ends. False when the server has no stream for us. */
static bool watch_events(struct following *following)
{
    struct failure failure = {.status = EXIT_STATUS_DONE};
    char *path = client_path("/v1/events?job=%s", cli_text(following->job, "id"));
    buffer_init(&following->line, EVENT_LINE_MAX);
    following->stopped = false;
    int result = client_stream(following->cli->client, path, on_events, following, &failure);
    buffer_free(&following->line);
    free(path);
    return result == 0 || following->stopped || failure.status == EXIT_STATUS_UNREACHABLE;
}

/* --- by asking */

int job_follow(struct cli *cli, const char *id, json_t **job, struct failure *failure)
{
    struct following following = {.cli = cli};
    char *path = client_path("/v1/jobs/%s", id);
    int64_t begun = clock_monotonic_ms();
    int64_t reached = begun;
    bool events = true;
    int result = 0;
    for (;;) {
        json_t *now = NULL;
        if (client_call(cli->client, "GET", path, NULL, &now, failure) == 0) {
            reached = clock_monotonic_ms();
            take_job(&following, now);
        } else if (failure->status != EXIT_STATUS_UNREACHABLE || following.job == NULL ||
                   clock_monotonic_ms() - reached > UNREACHABLE_MAX_MS) {
            result = -1;
            break;
        }
        if (job_is_final(following.job) && cli_member(following.job, "log") != NULL) {
            break;
        }
        events = events && cli_text(following.job, "id") != NULL && watch_events(&following);
        if (!following.stopped) {
            sleep_ms(clock_monotonic_ms() - begun > POLL_LONG_AFTER_MS ? POLL_LONG_MS : POLL_MS);
        }
    }
    progress_destroy(following.progress);
    free(path);
    *job = following.job;
    return result;
}
