/*
 * Headers of a tar archive in the pax format (POSIX.1-2008, pax, "pax Interchange Format"): for each entry an
 * extended header where it needs one, and the header that every tar knows. The same entry always gives the
 * same bytes. Names are bytes, of any encoding. Pure.
 */
#ifndef HOLDFAST_AGENT_FILES_TAR_HEADER_H
#define HOLDFAST_AGENT_FILES_TAR_HEADER_H

#include "base/buffer.h"
#include <stddef.h>
#include <stdint.h>

enum { TAR_BLOCK = 512 };

enum tar_type {
    TAR_FILE = '0',
    TAR_HARD_LINK = '1',
    TAR_SYMBOLIC_LINK = '2',
    TAR_CHARACTER_DEVICE = '3',
    TAR_BLOCK_DEVICE = '4',
    TAR_DIRECTORY = '5',
    TAR_FIFO = '6',
};

struct tar_entry {
    enum tar_type type;
    const char *path; /* with no slash in front, and none behind */
    const char *link; /* what a link leads to, else "" */
    uint64_t size;    /* of a file; 0 otherwise */
    int64_t mtime_s;  /* may be before 1970; then the nanoseconds count forward all the same */
    uint32_t mtime_ns;
    uint32_t mode; /* permissions */
    uint32_t uid;
    uint32_t gid;
    uint32_t major; /* of a device */
    uint32_t minor;
    const void *attributes; /* more records, as tar_header_attribute makes them */
    size_t attributes_length;
};

/* Append the headers, a multiple of TAR_BLOCK bytes. They are pad * TAR_BLOCK bytes longer than they need to
 * be: a comment in the extended header takes the room. -1 past the buffer's limit. */
int tar_header_write(struct buffer *out, const struct tar_entry *entry, uint64_t pad);

/* Append a record of an extended header, "LENGTH KEYWORD=VALUE\n". -1 past the buffer's limit. */
int tar_header_attribute(struct buffer *out, const char *keyword, const void *value, size_t length);

#endif
