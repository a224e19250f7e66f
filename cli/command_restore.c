/* Restores: whole VMs by the server and an agent, single disks to a file by this program. */
#include "base/clock.h"
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/extents.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "disk/disk_device.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- a VM */

static json_t *restore_body(const struct cli *cli, struct failure *failure)
{
    const struct arguments *arguments = cli->arguments;
    const char *host = arguments_value(arguments, "to-host");
    const char *name = arguments_value(arguments, "name");
    const char *directory = arguments_value(arguments, "dir");
    const char *pool = arguments_value(arguments, "pool");
    const char *format = arguments_value(arguments, "format");
    bool networks = arguments_value(arguments, "network") != NULL;
    bool original = arguments_flag(arguments, "to-original");
    if (original == (host != NULL)) {
        failure_set(failure, ERROR_REQUEST_INVALID, "Say where to: --to-original or --to-host HOST");
        return NULL;
    }
    if (original && (name != NULL || directory != NULL || pool != NULL || networks)) {
        failure_set(failure, ERROR_REQUEST_INVALID, "--name, --dir, --pool and --network go with --to-host");
        return NULL;
    }
    if (!original && arguments_flag(arguments, "stop")) {
        failure_set(failure, ERROR_REQUEST_INVALID, "--stop goes with --to-original");
        return NULL;
    }
    json_t *body = json_pack("{s:s, s:b, s:b}", "point", arguments_at(arguments, 0), "start",
                             arguments_flag(arguments, "start"), "to_original", original);
    if (host != NULL) {
        json_object_set_new(body, "host", json_string(host));
    }
    if (name != NULL) {
        json_object_set_new(body, "name", json_string(name));
    }
    if (directory != NULL) {
        json_object_set_new(body, "directory", json_string(directory));
    }
    if (arguments_flag(arguments, "stop")) {
        json_object_set_new(body, "stop", json_true());
    }
    if (arguments_flag(arguments, "notify")) {
        json_object_set_new(body, "notify", json_true());
    }
    if (arguments_flag(arguments, "from-host-snapshot")) {
        json_object_set_new(body, "from_snapshot", json_true());
    }
    if (pool != NULL) {
        json_object_set_new(body, "pool", json_string(pool));
    }
    if (format != NULL) {
        json_object_set_new(body, "format", json_string(format));
    }
    if ((networks && cli_add_pairs(body, "networks", cli, "network", "OLD=NEW", failure) != 0) ||
        cli_add_rate(body, "bandwidth", arguments_value(arguments, "bandwidth"), failure) != 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

int run_restore_vm(struct cli *cli, struct failure *failure)
{
    json_t *job = NULL;
    json_t *body = restore_body(cli, failure);
    struct client *client = body != NULL ? cli_client(cli, failure) : NULL;
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    if (client_call(client, "POST", "/v1/restores", body, &job, failure) != 0) {
        return -1;
    }
    return cli_finish_job(cli, job, failure);
}

/* --- a disk */

struct disk_restore {
    struct extents *extents;
    struct progress *progress;
    struct failure *failure;
    uint64_t size;
    int64_t begun_ms;
    int64_t shown_ms;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* So that what is half made can be removed. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static void show(struct disk_restore *restore)
{
    enum { SHOW_EVERY_MS = 200 };
    int64_t now = clock_monotonic_ms();
    uint64_t done = extents_data_bytes(restore->extents);
    if (now - restore->shown_ms < SHOW_EVERY_MS) {
        return;
    }
    restore->shown_ms = now;
    struct progress_state state = {
        .done_bytes = done,
        .bytes_per_second = now > restore->begun_ms ? done * 1000 / (uint64_t)(now - restore->begun_ms) : 0,
        .seconds_left = -1, /* holes don't travel: how much there is to come is not known */
    };
    progress_show(restore->progress, &state);
}

static int on_bytes(void *cookie, const void *bytes, size_t length)
{
    struct disk_restore *restore = cookie;
    if (interrupted) {
        return failure_set(restore->failure, ERROR_JOB_CANCELLED, "The restore was interrupted");
    }
    if (length > 0 && extents_feed(restore->extents, bytes, length, restore->failure) != 0) {
        return -1;
    }
    show(restore);
    return 0;
}

/* The disk as its recovery point describes it: its size; and the point's whole id. */
static int find_disk(struct cli *cli, uint64_t *size, char **id, struct failure *failure)
{
    const char *name = arguments_at(cli->arguments, 1);
    json_t *point = NULL;
    size_t index;
    json_t *disk;
    int result = -1;
    char *path = client_path("/v1/recovery-points/%s", arguments_at(cli->arguments, 0));
    if (client_call(cli->client, "GET", path, NULL, &point, failure) == 0) {
        failure_set(failure, ERROR_DISK_NOT_FOUND, "Recovery point %s has no disk %s",
                    arguments_at(cli->arguments, 0), name);
        json_array_foreach ((json_t *)(uintptr_t)cli_member(point, "disks"), index, disk) {
            const char *disk_name = cli_text(disk, "name");
            if (result != 0 && disk_name != NULL && strcmp(disk_name, name) == 0 &&
                cli_text(point, "id") != NULL) {
                *size = cli_number(disk, "size");
                *id = memory_copy_text(cli_text(point, "id"));
                result = 0;
            }
        }
    }
    json_decref(point);
    free(path);
    return result;
}

static int receive(struct cli *cli, struct disk_writer *writer, const char *id, uint64_t size,
                   uint64_t *data_bytes, struct failure *failure)
{
    const char *disk = arguments_at(cli->arguments, 1);
    char *path = client_path("/v1/recovery-points/%s/disks/%s/data", id, disk);
    struct disk_restore restore = {
        .extents = extents_create(writer, size),
        .progress = progress_create(cli->err, disk, isatty(fileno(cli->err)) == 1, cli->json),
        .failure = failure,
        .size = size,
        .begun_ms = clock_monotonic_ms(),
    };
    int result = client_stream(cli->client, path, on_bytes, &restore, failure);
    if (result == 0) {
        result = extents_finish(restore.extents, failure);
    }
    *data_bytes = extents_data_bytes(restore.extents);
    progress_destroy(restore.progress);
    extents_destroy(restore.extents);
    free(path);
    return result;
}

static void print_disk(const struct cli *cli, const char *file, const char *format, uint64_t size,
                       uint64_t data_bytes)
{
    if (cli->json) {
        json_t *answer =
            json_pack("{s:s, s:s, s:s, s:I, s:I}", "disk", arguments_at(cli->arguments, 1), "file", file,
                      "format", format, "size", (json_int_t)size, "data_bytes", (json_int_t)data_bytes);
        cli_print_json(cli, answer);
        json_decref(answer);
        return;
    }
    char *whole = text_size(size);
    char *data = text_size(data_bytes);
    fprintf(cli->out, "Disk %s is restored to %s (%s, %s, %s of data), every chunk checked.\n",
            arguments_at(cli->arguments, 1), file, format, whole, data);
    free(whole);
    free(data);
}

/* A new file, or a block device that is there. */
static struct disk_writer *open_target(const char *file, const char *format, uint64_t size,
                                       struct failure *failure)
{
    struct error err;
    struct disk_writer *writer = NULL;
    if (!disk_device_is(file)) {
        writer = disk_writer_create(file, format, size, &err);
    } else if (strcmp(format, "raw") == 0) {
        writer = disk_writer_open_device(file, size, &err);
    } else {
        error_set(&err, ERROR_REQUEST_INVALID, "%s is a block device; a disk is written to it as raw", file);
    }
    if (writer == NULL) {
        failure_from_error(failure, &err);
    }
    return writer;
}

int run_restore_disk(struct cli *cli, struct failure *failure)
{
    struct error err;
    const char *file = arguments_value(cli->arguments, "to");
    const char *format = arguments_value(cli->arguments, "format");
    uint64_t size = 0;
    uint64_t data_bytes = 0;
    char *id = NULL;
    format = format != NULL ? format : "raw";
    if (file == NULL) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "Say where to: --to FILE");
    }
    if (cli_client(cli, failure) == NULL || find_disk(cli, &size, &id, failure) != 0) {
        return -1;
    }
    catch_signals();
    error_clear(&err);
    struct disk_writer *writer = open_target(file, format, size, failure);
    int result = writer != NULL ? receive(cli, writer, id, size, &data_bytes, failure) : -1;
    free(id);
    if (result != 0) {
        disk_writer_abandon(writer);
        return -1;
    }
    if (disk_writer_finish(writer, &err) != 0) {
        if (!disk_device_is(file)) {
            (void)unlink(file);
        }
        return failure_from_error(failure, &err);
    }
    print_disk(cli, file, format, size, data_bytes);
    return 0;
}
