#include "disk/disk_reader_nbd.h"
#include "base/memory.h"
#include "disk/disk_reader_internal.h"
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATUS_ALIGN = 64 * 1024,         /* questions about ranges begin and end at multiples of this */
    STATUS_SPAN = 1024 * 1024 * 1024, /* and cover no more; servers need not take 4 GiB or more */
    STATUS_ENTRIES_MAX = 1024 * 1024, /* of one answer, more than any server sends */
    READ_MAX = 32 * 1024 * 1024,      /* of one request; QEMU's limit */
    CONTEXT_SIZE = 1200,
    BITMAP_DIRTY = 1, /* flag of qemu:dirty-bitmap, QEMU's docs/interop/nbd.txt */
};

/* What a server answered for one metadata context: runs of (length, flags) from the asked offset on. */
struct context_runs {
    uint32_t *entries;
    size_t count; /* of pairs */
};

struct nbd_reader {
    struct disk_reader base;
    struct nbd_handle *nbd;
    struct qemu_nbd *server; /* or NULL */
    char *label;
    bool has_allocation;
    char dirty_context[CONTEXT_SIZE]; /* empty: none */
    struct context_runs allocation;
    struct context_runs dirty;
    /* The merged answer to the last question; a caller with few extents at a time comes back for the rest. */
    struct disk_extent *known;
    size_t known_count;
    size_t known_capacity;
    size_t known_next; /* where the last search ended */
};

static int nbd_failed(struct nbd_reader *reader, const char *what, struct error *err)
{
    error_set(err, ERROR_DISK_READ_FAILED, "The disk %s could not be %s.", reader->label, what);
    return error_set_cause(err, "%s", nbd_get_error());
}

static int collect(void *cookie, const char *context, uint64_t offset, uint32_t *entries, size_t count,
                   int *error)
{
    (void)offset, (void)error;
    struct nbd_reader *reader = cookie;
    struct context_runs *runs = NULL;
    if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0)
        runs = &reader->allocation;
    else if (strcmp(context, reader->dirty_context) == 0)
        runs = &reader->dirty;
    if (!runs || runs->count || count < 2 || count / 2 > STATUS_ENTRIES_MAX)
        return 0;
    runs->entries = memory_resize(runs->entries, count, sizeof *entries);
    memcpy(runs->entries, entries, count / 2 * 2 * sizeof *entries);
    runs->count = count / 2;
    return 0;
}

static void remember(struct nbd_reader *reader, uint64_t offset, uint64_t length, enum disk_extent_kind kind)
{
    if (reader->known_count > 0) {
        struct disk_extent *last = &reader->known[reader->known_count - 1];
        if (last->kind == kind) {
            last->length += length;
            return;
        }
    }
    if (reader->known_count == reader->known_capacity) {
        reader->known_capacity = reader->known_capacity ? reader->known_capacity * 2 : 64;
        reader->known = memory_resize(reader->known, reader->known_capacity, sizeof *reader->known);
    }
    reader->known[reader->known_count++] = (struct disk_extent){offset, length, kind};
}

/* A position in the runs of one context. */
struct run_cursor {
    const struct context_runs *runs;
    size_t index;
    uint64_t left;
    uint32_t flags;
    bool absent; /* the server does not offer this context: one run without end */
};

static void cursor_load(struct run_cursor *cursor)
{
    cursor->left = 0;
    while (cursor->left == 0 && cursor->index < cursor->runs->count) {
        cursor->left = cursor->runs->entries[cursor->index * 2];
        cursor->flags = cursor->runs->entries[cursor->index * 2 + 1];
        cursor->index++;
    }
}

static struct run_cursor cursor_open(const struct context_runs *runs, bool absent, uint32_t absent_flags)
{
    struct run_cursor cursor = {.runs = runs, .absent = absent, .left = UINT64_MAX, .flags = absent_flags};
    if (!absent)
        cursor_load(&cursor);
    return cursor;
}

static void cursor_advance(struct run_cursor *cursor, uint64_t length)
{
    if (cursor->absent)
        return;
    cursor->left -= length;
    if (cursor->left == 0)
        cursor_load(cursor);
}

/* What both contexts say together, as far as both reach. */
static void merge_runs(struct nbd_reader *reader, uint64_t offset, uint64_t length)
{
    struct run_cursor allocation = cursor_open(&reader->allocation, !reader->has_allocation, 0);
    struct run_cursor dirty = cursor_open(&reader->dirty, reader->dirty_context[0] == '\0', BITMAP_DIRTY);
    while (length > 0 && allocation.left > 0 && dirty.left > 0) {
        uint64_t piece = length;
        if (piece > allocation.left)
            piece = allocation.left;
        if (piece > dirty.left)
            piece = dirty.left;
        enum disk_extent_kind kind = DISK_EXTENT_DATA;
        if (!(dirty.flags & BITMAP_DIRTY))
            kind = DISK_EXTENT_UNCHANGED;
        else if (allocation.flags & LIBNBD_STATE_ZERO)
            kind = DISK_EXTENT_ZERO;
        remember(reader, offset, piece, kind);
        cursor_advance(&allocation, piece);
        cursor_advance(&dirty, piece);
        offset += piece;
        length -= piece;
    }
}

/* A long way ahead, since callers go forward: the next calls are answered from memory. */
static int ask(struct nbd_reader *reader, uint64_t offset, struct error *err)
{
    uint64_t start = offset - offset % STATUS_ALIGN;
    uint64_t span = reader->base.size - start;
    if (span > STATUS_SPAN)
        span = STATUS_SPAN;
    reader->allocation.count = 0;
    reader->dirty.count = 0;
    reader->known_count = 0;
    reader->known_next = 0;
    if (reader->has_allocation || reader->dirty_context[0]) {
        nbd_extent_callback callback = {.callback = collect, .user_data = reader};
        if (nbd_block_status(reader->nbd, span, start, callback, 0) != 0)
            return nbd_failed(reader, "asked for its extents", err);
    }
    merge_runs(reader, start, span);
    if (reader->known_count == 0)
        return error_set(err, ERROR_DISK_READ_FAILED, "The server of the disk %s gave no extents at %llu.",
                         reader->label, (unsigned long long)start);
    return 0;
}

/* The known extent that holds offset; NULL when it is not known. */
static const struct disk_extent *find_known(struct nbd_reader *reader, uint64_t offset)
{
    size_t next = reader->known_next;
    if (next >= reader->known_count || reader->known[next].offset > offset)
        next = 0;
    for (; next < reader->known_count; next++) {
        const struct disk_extent *extent = &reader->known[next];
        if (extent->offset <= offset && offset - extent->offset < extent->length) {
            reader->known_next = next;
            return extent;
        }
    }
    return NULL;
}

static int nbd_reader_extents(struct disk_reader *base, uint64_t offset, uint64_t length,
                              struct disk_extent *extents, size_t capacity, size_t *count, struct error *err)
{
    struct nbd_reader *reader = (struct nbd_reader *)base;
    uint64_t stop = offset + length;
    while (offset < stop && *count < capacity) {
        const struct disk_extent *extent = find_known(reader, offset);
        if (!extent && *count > 0)
            break; /* enough for this call */
        if (!extent) {
            if (ask(reader, offset, err) != 0)
                return -1;
            extent = find_known(reader, offset);
            if (!extent)
                return error_set(err, ERROR_DISK_READ_FAILED,
                                 "The server of the disk %s gave no extents at %llu.", reader->label,
                                 (unsigned long long)offset);
        }
        uint64_t end = extent->offset + extent->length;
        if (end > stop)
            end = stop;
        extents[(*count)++] = (struct disk_extent){offset, end - offset, extent->kind};
        offset = end;
    }
    return 0;
}

static int nbd_reader_read(struct disk_reader *base, uint64_t offset, void *out, size_t length,
                           struct error *err)
{
    struct nbd_reader *reader = (struct nbd_reader *)base;
    unsigned char *to = out;
    while (length > 0) {
        size_t piece = length < READ_MAX ? length : READ_MAX;
        if (nbd_pread(reader->nbd, to, piece, offset, 0) != 0)
            return nbd_failed(reader, "read", err);
        to += piece;
        offset += piece;
        length -= piece;
    }
    return 0;
}

static void nbd_reader_close(struct disk_reader *base)
{
    struct nbd_reader *reader = (struct nbd_reader *)base;
    if (reader->nbd) {
        if (nbd_aio_is_ready(reader->nbd) == 1)
            (void)nbd_shutdown(reader->nbd, 0); /* politeness; the connection goes anyway */
        nbd_close(reader->nbd);
    }
    qemu_nbd_stop(reader->server);
    free(reader->allocation.entries);
    free(reader->dirty.entries);
    free(reader->known);
    free(reader->label);
    free(reader);
}

static const struct disk_reader_operations nbd_operations = {nbd_reader_extents, nbd_reader_read,
                                                             nbd_reader_close};

/* A handle that asks for what is wanted; not connected yet. */
static struct nbd_reader *reader_create(const char *label, const char *dirty_bitmap, struct error *err)
{
    struct nbd_reader *reader = memory_zalloc(sizeof *reader);
    reader->base.operations = &nbd_operations;
    reader->label = memory_copy_text(label);
    reader->nbd = nbd_create();
    if (!reader->nbd)
        goto failed;
    if (dirty_bitmap) {
        int written = snprintf(reader->dirty_context, CONTEXT_SIZE, "qemu:dirty-bitmap:%s", dirty_bitmap);
        if (written < 0 || written >= CONTEXT_SIZE) {
            error_set(err, ERROR_DISK_READ_FAILED, "The bitmap's name %.60s… is too long.", dirty_bitmap);
            goto cleanup;
        }
        if (nbd_add_meta_context(reader->nbd, reader->dirty_context) != 0)
            goto failed;
    }
    if (nbd_add_meta_context(reader->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
        goto failed;
    return reader;

failed:
    nbd_failed(reader, "opened", err);
cleanup:
    nbd_reader_close(&reader->base);
    return NULL;
}

/* The connection is made: what does the server offer? */
static int reader_begin(struct nbd_reader *reader, struct error *err)
{
    int64_t size = nbd_get_size(reader->nbd);
    if (size < 0)
        return nbd_failed(reader, "measured", err);
    reader->base.size = (uint64_t)size;
    reader->has_allocation = nbd_can_meta_context(reader->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    if (reader->dirty_context[0] && nbd_can_meta_context(reader->nbd, reader->dirty_context) != 1)
        return error_set(err, ERROR_DISK_READ_FAILED,
                         "The server of the disk %s does not offer the bitmap %s.", reader->label,
                         reader->dirty_context);
    return 0;
}

struct disk_reader *disk_reader_open_nbd(const char *uri, const char *dirty_bitmap, struct error *err)
{
    struct nbd_reader *reader = reader_create(uri, dirty_bitmap, err);
    if (!reader)
        return NULL;
    if (nbd_connect_uri(reader->nbd, uri) != 0)
        nbd_failed(reader, "opened", err);
    else if (reader_begin(reader, err) == 0)
        return &reader->base;
    nbd_reader_close(&reader->base);
    return NULL;
}

struct disk_reader *disk_reader_open_server(struct qemu_nbd *server, const char *label,
                                            const char *dirty_bitmap, struct error *err)
{
    struct nbd_reader *reader = reader_create(label, dirty_bitmap, err);
    if (!reader) {
        qemu_nbd_stop(server);
        return NULL;
    }
    reader->server = server;
    int fd = qemu_nbd_dial(server, err);
    if (fd >= 0) {
        if (nbd_connect_socket(reader->nbd, fd) != 0) /* takes the descriptor in any case */
            nbd_failed(reader, "opened", err);
        else if (reader_begin(reader, err) == 0)
            return &reader->base;
        qemu_nbd_explain(server, err);
    }
    nbd_reader_close(&reader->base);
    return NULL;
}
