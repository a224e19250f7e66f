#include "disk/qemu_nbd.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/os_process.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    START_TIMEOUT_MS = 30000,
    RETRY_MS = 2,
    EXPLAIN_MS = 500,
    STOP_TIMEOUT_MS = 2000,
    OPTIONS_LIMIT = 16384,
};

struct qemu_nbd {
    struct os_process *process;
    char *path; /* of the image, for messages */
    char directory[sizeof "/tmp/holdfast-nbd-XXXXXX"];
    char socket[sizeof "/tmp/holdfast-nbd-XXXXXX/socket"];
    unsigned clients_to_come;
};

static void qemu_nbd_hide(struct qemu_nbd *server)
{
    if (server->directory[0] == '\0')
        return;
    unlink(server->socket);
    rmdir(server->directory);
    server->directory[0] = '\0';
}

/* QEMU's option syntax: a comma in a value is doubled. */
static int append_value(struct buffer *options, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (buffer_append(options, c, 1) != 0 || (*c == ',' && buffer_append(options, c, 1) != 0))
            return -1;
    }
    return 0;
}

static int image_options(const struct qemu_nbd_image *image, struct buffer *options, struct error *err)
{
    struct stat info;
    if (stat(image->path, &info) != 0)
        return error_set_errno(err, ERROR_TOOL_FAILED, errno, "The image %s could not be opened.",
                               image->path);
    int bad = buffer_append_text(options, "driver=");
    bad |= append_value(options, image->format);
    bad |= buffer_append_format(
        options, ",file.driver=%s,file.filename=", S_ISBLK(info.st_mode) ? "host_device" : "file");
    bad |= append_value(options, image->path);
    if (!image->writable)
        bad |= buffer_append_text(options, ",read-only=on,force-share=on");
    else
        bad |= buffer_append_text(options, ",discard=unmap");
    return bad ? error_set(err, ERROR_TOOL_FAILED, "The path %.100s… is too long.", image->path) : 0;
}

static struct os_process *start_process(const struct qemu_nbd *server, const struct qemu_nbd_image *image,
                                        struct error *err)
{
    struct buffer options;
    buffer_init(&options, OPTIONS_LIMIT);
    struct os_process *process = NULL;
    if (image_options(image, &options, err) == 0) {
        char shared[24];
        snprintf(shared, sizeof shared, "--shared=%u", server->clients_to_come);
        const char *argv[12] = {"qemu-nbd", "--image-opts", shared, "--socket", server->socket};
        size_t count = 5;
        if (!image->writable)
            argv[count++] = "--read-only";
        else
            argv[count++] = "--cache=writeback";
        if (image->bitmap) {
            argv[count++] = "--bitmap";
            argv[count++] = image->bitmap;
        }
        argv[count++] = "--";
        argv[count++] = buffer_text(&options);
        process = os_process_start(argv, err);
    }
    buffer_free(&options);
    return process;
}

struct qemu_nbd *qemu_nbd_start(const struct qemu_nbd_image *image, struct error *err)
{
    struct qemu_nbd *server = memory_zalloc(sizeof *server);
    server->clients_to_come = image->clients;
    server->path = memory_copy_text(image->path);
    /* Not below TMPDIR: the name of a unix socket must be short. */
    strcpy(server->directory, "/tmp/holdfast-nbd-XXXXXX");
    if (!mkdtemp(server->directory)) {
        error_set_errno(err, ERROR_TOOL_FAILED, errno,
                        "A private directory for qemu-nbd could not be made in /tmp.");
        server->directory[0] = '\0';
        qemu_nbd_stop(server);
        return NULL;
    }
    snprintf(server->socket, sizeof server->socket, "%s/socket", server->directory);
    server->process = start_process(server, image, err);
    if (!server->process) {
        qemu_nbd_stop(server);
        return NULL;
    }
    return server;
}

static int ended_early(struct qemu_nbd *server, struct error *err)
{
    error_set(err, ERROR_TOOL_FAILED, "qemu-nbd could not open %s.", server->path);
    return error_set_cause(err, "%s", os_process_last_words(server->process));
}

int qemu_nbd_dial(struct qemu_nbd *server, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, ERROR_TOOL_FAILED, errno, "A socket for qemu-nbd could not be made.");
    int64_t deadline = clock_monotonic_ms() + START_TIMEOUT_MS;
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int status = 0;
        if (errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN && errno != EINTR)
            error_set_errno(err, ERROR_TOOL_FAILED, errno, "qemu-nbd for %s could not be reached.",
                            server->path);
        else if (os_process_poll(server->process, &status) != 0)
            ended_early(server, err);
        else if (clock_monotonic_ms() > deadline)
            error_set(err, ERROR_TOOL_FAILED, "qemu-nbd for %s did not answer in %d s.", server->path,
                      START_TIMEOUT_MS / 1000);
        else { /* it makes its socket when the image is open; nothing announces that */
            poll(NULL, 0, RETRY_MS);
            continue;
        }
        close(fd);
        return -1;
    }
    if (--server->clients_to_come == 0)
        qemu_nbd_hide(server);
    return fd;
}

const char *qemu_nbd_socket(const struct qemu_nbd *server)
{
    return server->socket;
}

void qemu_nbd_explain(struct qemu_nbd *server, struct error *err)
{
    int status = 0;
    for (int waited = 0; os_process_poll(server->process, &status) == 0; waited += RETRY_MS) {
        if (waited >= EXPLAIN_MS)
            return;
        poll(NULL, 0, RETRY_MS);
    }
    const char *words = os_process_last_words(server->process);
    if (words[0])
        error_set_cause(err, "%s", words);
}

int qemu_nbd_finish(struct qemu_nbd *server, struct error *err)
{
    int status = 0;
    int result = os_process_wait(server->process, &status, err);
    if (result == 0 && status != 0) {
        error_set(err, ERROR_TOOL_FAILED, "qemu-nbd for %s ended with status %d.", server->path, status);
        result = error_set_cause(err, "%s", os_process_last_words(server->process));
    }
    qemu_nbd_stop(server);
    return result;
}

void qemu_nbd_stop(struct qemu_nbd *server)
{
    if (!server)
        return;
    os_process_stop(server->process, STOP_TIMEOUT_MS);
    qemu_nbd_hide(server);
    free(server->path);
    free(server);
}
