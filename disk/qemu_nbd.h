/*
 * A private qemu-nbd (qemu-nbd(8)) that serves one image on a unix socket in a directory of its own that only
 * this user can enter. It ends by itself when its last client has gone, so that none outlives this process.
 * All calls block; one thread at a time.
 */
#ifndef HOLDFAST_DISK_QEMU_NBD_H
#define HOLDFAST_DISK_QEMU_NBD_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

struct qemu_nbd;

struct qemu_nbd_image {
    const char *path;
    const char *format;
    bool
        writable; /* readers do not lock the image: a VM may start on it (who reads must look out for that) */
    const char *bitmap; /* persistent bitmap to expose as qemu:dirty-bitmap:NAME, or NULL */
    unsigned clients;   /* how many connections will be made, at least 1 */
};

/* TOOL_FAILED when it can't be started. */
struct qemu_nbd *qemu_nbd_start(const struct qemu_nbd_image *image, struct error *err);
/* A connected socket, the caller's to close. Waits until the server listens; TOOL_FAILED with its last words
 * when it ends instead. After as many as were announced the socket's name is gone from the file system. */
int qemu_nbd_dial(struct qemu_nbd *server, struct error *err);
/* Where it listens, for who dials it by that name: once qemu_nbd_dial succeeded, until as many as were
 * announced have dialled through it. Valid until the server is stopped. */
const char *qemu_nbd_socket(const struct qemu_nbd *server);
/* After a failure of a connection: if the server ended, which it may be about to, its last words become the
 * cause. */
void qemu_nbd_explain(struct qemu_nbd *server, struct error *err);
/* Every client has gone: wait until the image is closed. TOOL_FAILED when the server did not end well. Frees
 * it. */
int qemu_nbd_finish(struct qemu_nbd *server, struct error *err);
/* End it without caring for the image. Frees it. NULL is fine. */
void qemu_nbd_stop(struct qemu_nbd *server);

#endif
