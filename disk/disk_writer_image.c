#include "base/memory.h"
#include "base/os_process.h"
#include "disk/disk_writer_internal.h"
#include "disk/qemu_nbd.h"
#include <errno.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECTIONS = 2, /* writes at once; more do not make qemu-nbd faster */
    WRITE_MAX = 32 * 1024 * 1024,
};

/* A libnbd handle serves one call at a time; its lock is taken around the call. */
struct connection {
    struct nbd_handle *nbd;
    pthread_mutex_t lock;
};

struct image_writer {
    struct disk_writer base;
    struct qemu_nbd *server;
    struct connection connections[CONNECTIONS];
    atomic_uint next;
};

static int write_failed(struct image_writer *image, const char *what, struct error *err)
{
    int errnum = nbd_get_errno();
    char reason[ERROR_TEXT_MAX];
    snprintf(reason, sizeof reason, "%s", nbd_get_error());
    disk_writer_failed(&image->base, errnum, what, err);
    return error_set_cause(err, "%s", reason);
}

static struct connection *take_connection(struct image_writer *image)
{
    unsigned first = atomic_fetch_add(&image->next, 1);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = &image->connections[(first + i) % CONNECTIONS];
        if (pthread_mutex_trylock(&connection->lock) == 0)
            return connection;
    }
    struct connection *connection = &image->connections[first % CONNECTIONS];
    pthread_mutex_lock(&connection->lock);
    return connection;
}

static int image_write(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                       struct error *err)
{
    struct image_writer *image = (struct image_writer *)writer;
    const unsigned char *from = bytes;
    struct connection *connection = take_connection(image);
    int result = 0;
    while (length > 0 && result == 0) {
        size_t piece = length < WRITE_MAX ? length : WRITE_MAX;
        if (nbd_pwrite(connection->nbd, from, piece, offset, 0) != 0)
            result = write_failed(image, "written", err);
        from += piece;
        offset += piece;
        length -= piece;
    }
    pthread_mutex_unlock(&connection->lock);
    return result;
}

static int image_flush(struct disk_writer *writer, struct error *err)
{
    struct image_writer *image = (struct image_writer *)writer;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct nbd_handle *nbd = image->connections[i].nbd;
        if (nbd_can_flush(nbd) == 1 && nbd_flush(nbd, 0) != 0)
            return write_failed(image, "flushed", err);
    }
    return 0;
}

static int image_finish(struct disk_writer *writer, struct error *err)
{
    struct image_writer *image = (struct image_writer *)writer;
    if (image_flush(writer, err) != 0)
        return -1;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (nbd_shutdown(image->connections[i].nbd, 0) != 0)
            return write_failed(image, "closed", err);
        nbd_close(image->connections[i].nbd);
        image->connections[i].nbd = NULL;
    }
    struct qemu_nbd *server = image->server;
    image->server = NULL;
    if (qemu_nbd_finish(server, err) != 0)
        return error_wrap(err, ERROR_RESTORE_FAILED, "The image %s could not be closed.", writer->path);
    return disk_writer_sync_path(writer, err);
}

static void image_free(struct disk_writer *writer)
{
    struct image_writer *image = (struct image_writer *)writer;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        nbd_close(image->connections[i].nbd);
        pthread_mutex_destroy(&image->connections[i].lock);
    }
    qemu_nbd_stop(image->server);
    free(image->base.path);
    free(image);
}

static const struct disk_writer_operations image_operations = {image_write, image_flush, image_finish,
                                                               image_free};

static int make_file(struct image_writer *image, const char *format, struct error *err)
{
    char size[24];
    snprintf(size, sizeof size, "%llu", (unsigned long long)image->base.size);
    const char *argv[] = {"qemu-img", "create", "-q", "-f", format, "--", image->base.path, size, NULL};
    if (os_process_run(argv, 4096, NULL, err) == 0) {
        image->base.created = true;
        return 0;
    }
    unlink(image->base.path); /* it was not there before */
    if (strstr(err->cause, strerror(ENOSPC)))
        return error_wrap(err, ERROR_RESTORE_NO_SPACE, "The image %s could not be made.", image->base.path);
    return error_wrap(err, ERROR_RESTORE_FAILED, "The image %s could not be made.", image->base.path);
}

static int connect_all(struct image_writer *image, const char *format, struct error *err)
{
    struct qemu_nbd_image served = {
        .path = image->base.path, .format = format, .writable = true, .clients = CONNECTIONS};
    image->server = qemu_nbd_start(&served, err);
    if (!image->server)
        return -1;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        image->connections[i].nbd = nbd_create();
        int fd = qemu_nbd_dial(image->server, err);
        if (fd < 0)
            return -1;
        if (!image->connections[i].nbd) {
            close(fd);
            return write_failed(image, "opened", err);
        }
        if (nbd_connect_socket(image->connections[i].nbd, fd) != 0)
            return write_failed(image, "opened", err);
    }
    return 0;
}

struct disk_writer *disk_writer_create_image(const char *path, const char *format, uint64_t size,
                                             struct error *err)
{
    struct image_writer *image = memory_zalloc(sizeof *image);
    image->base =
        (struct disk_writer){.operations = &image_operations, .path = memory_copy_text(path), .size = size};
    for (size_t i = 0; i < CONNECTIONS; i++)
        pthread_mutex_init(&image->connections[i].lock, NULL);
    if (make_file(image, format, err) != 0 || connect_all(image, format, err) != 0) {
        disk_writer_abandon(&image->base);
        return NULL;
    }
    return &image->base;
}
