/*
 * The layout of an archive that is read before it exists: where in it each file of a tree has its headers and
 * its data. It is made by one walk over the tree and kept in a file, so that a million files take no memory.
 *
 * What is archived becomes a disk, whose chunks of 64 KiB are what the store compares. So that what did not
 * change gives the same chunks, although something before it grew or is new:
 *  - entries come in an order that depends on their names alone (file_walk.h);
 *  - the data of a file of 64 KiB or more begins at a multiple of 64 KiB, its extended header is padded;
 *  - small files are packed, and every now and then one of them begins at such a place, too: which ones, a
 *    hash of the path says, such that it is about every 512 KiB. Up to the next one a new file moves the
 *    others.
 * A file keeps its distance from the start of the one before it that is aligned; for those the layout also
 * tells where they were in the layout before (file_layout_former).
 *
 * Building: one thread. Reading: any number. Calls block on the disk.
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_LAYOUT_H
#define HOLDFAST_AGENT_FILES_FILE_LAYOUT_H

#include "agent/files/tar_header.h"
#include "base/error.h"
#include <stdbool.h>

enum { FILE_LAYOUT_ALIGNMENT = 65536 };

struct file_layout;

/* One entry. When it is added, `tar` and what is marked with + must be set; texts are copied. */
struct file_entry {
    struct tar_entry tar;
    uint32_t root;   /* + which root of the walk it is below */
    uint64_t inode;  /* + */
    bool sparse;     /* + the file has holes */
    uint64_t number; /* in the archive */
    uint64_t offset; /* of its headers in the archive */
    uint64_t pad;    /* as tar_header_write takes it */
    uint64_t data;   /* where its data begins */
    uint64_t end;    /* where the next entry begins */
    bool aligned;    /* data begins at a multiple of FILE_LAYOUT_ALIGNMENT, wanted so */
    uint64_t former; /* where that was in the layout before; UINT64_MAX: not known */
};

/* A new layout in that file, which is made or emptied. former: the file of an older one, or NULL; when it
 * can't be used (it is missing, or of another version) nothing is known of former places. FILE_FAILED. */
struct file_layout *file_layout_create(const char *path, const char *former, struct error *err);
/* In the order of the archive. FILE_FAILED; REQUEST_INVALID for an entry whose headers would be too long. */
int file_layout_add(struct file_layout *layout, const struct file_entry *entry, struct error *err);
/* Nothing is added any more; from here on it is read. */
int file_layout_finish(struct file_layout *layout, struct error *err);
/* The file stays. NULL is fine. */
void file_layout_close(struct file_layout *layout);

/* The size of the archive that a finished layout in that file is of; 0 when there is none. */
uint64_t file_layout_peek_size(const char *path);

/* Of the archive with its end, a multiple of FILE_LAYOUT_ALIGNMENT. */
uint64_t file_layout_size(const struct file_layout *layout);
uint64_t file_layout_count(const struct file_layout *layout);
/* Bytes of files. */
uint64_t file_layout_data_size(const struct file_layout *layout);

/* A place between entries. */
struct file_cursor {
    uint64_t record;
};
/* The entry that holds the byte at offset, borrowed until the layout is closed; *cursor is then behind it.
 * False when that is the archive's end. */
bool file_layout_find(const struct file_layout *layout, uint64_t offset, struct file_cursor *cursor,
                      struct file_entry *entry);
/* The next one. False at the end. */
bool file_layout_next(const struct file_layout *layout, struct file_cursor *cursor, struct file_entry *entry);
/* Where in the archive before this one the byte at offset was, if nothing else has changed there; UINT64_MAX
 * when that is not known. */
uint64_t file_layout_former(const struct file_layout *layout, uint64_t offset);

#endif
