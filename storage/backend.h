/*
 * Where a store's bytes lie: objects with names like "containers/000000000000002a" in folders. An object is
 * immutable, put whole, or it grows by appending until it is closed for good. A newcomer implements these
 * functions for another kind of storage; everything above (records, maps, collection, verify) stays.
 *
 * All functions block and may be called from any thread at once, those of one append object from one thread
 * at a time. Errors: STORE_FULL for want of space, STORE_UNAVAILABLE otherwise, with the reason as the cause.
 */
#ifndef HOLDFAST_STORAGE_BACKEND_H
#define HOLDFAST_STORAGE_BACKEND_H

#include "storage/file_system.h"

struct backend;
struct backend_append;

struct backend_operations {
    void (*destroy)(struct backend *backend);
    /* Whole, over what is there, durable when it returns: after a crash the old one or the new one. */
    int (*put)(struct backend *backend, const char *name, const void *bytes, size_t length,
               struct error *err);
    /* Up to length bytes from offset on; *got is less only at the object's end. 1 done, 0 there is no such
     * object, -1 error. */
    int (*get)(struct backend *backend, const char *name, uint64_t offset, void *out, size_t length,
               size_t *got, struct error *err);
    /* 1 there (*size is set), 0 not, -1 error. */
    int (*size)(struct backend *backend, const char *name, uint64_t *size, struct error *err);
    /* Every object whose name begins with folder + "/": visit gets the rest of the name, in no order;
     * non-zero stops and is returned. A folder that is not there is empty. */
    int (*list)(struct backend *backend, const char *folder, int (*visit)(void *cookie, const char *name),
                void *cookie, struct error *err);
    /* Durable when it returns; missing is no error. */
    int (*remove)(struct backend *backend, const char *name, struct error *err);
    /* Make durable whatever an earlier process left of the object: it may be in a cache only. What is read of
     * it then is durable: what an earlier sync failed to write is gone. */
    int (*settle)(struct backend *backend, const char *name, struct error *err);
    /* Make durable which objects there are in a folder: one whose removal or replacement failed half way, or
     * was cut short with an earlier process, does not come back. A folder that is not there is empty. */
    int (*settle_folder)(struct backend *backend, const char *folder, struct error *err);

    /* Begin an object that must not exist. */
    struct backend_append *(*append_open)(struct backend *backend, const char *name, struct error *err);
    /* A failed write may be tried again with the same bytes; it may have written some of them. */
    int (*append_write)(struct backend_append *append, uint64_t offset, const void *bytes, size_t length,
                        struct error *err);
    /* All that was written, and the object's name, are durable when it returns. */
    int (*append_sync)(struct backend_append *append, struct error *err);
    void (*append_close)(struct backend_append *append);

    int (*space)(struct backend *backend, uint64_t *free_bytes, uint64_t *total_bytes, struct error *err);
};

/* Implementations begin with it. */
struct backend {
    const struct backend_operations *operations;
};

/* A directory. Objects are files; those in "containers" are spread over 256 directories by the last two
 * digits of their names. fs is borrowed. */
struct backend *backend_file_create(const char *directory, const struct file_system *fs);

/* Read a whole object, malloc'd with a NUL behind. 1 done, 0 no such object, -1 error (LIMIT_EXCEEDED when it
 * is longer than limit). */
int backend_get_whole(struct backend *backend, const char *name, size_t limit, uint8_t **bytes,
                      size_t *length, struct error *err);

#endif
