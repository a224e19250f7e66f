/*
 * Directories of this host as the disk that a backup reads: a tar archive (pax) that is made while it is
 * read, at any place of it. Everything but the files' data is as it was when the archive was opened; a file
 * that is shorter by then is filled with zeros, one that is longer is cut, and both are noted. Blocks.
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_ARCHIVE_H
#define HOLDFAST_AGENT_FILES_FILE_ARCHIVE_H

#include "agent/files/file_walk.h"
#include "disk/disk_reader.h"

struct file_archive;

struct file_archive_options {
    struct file_walk_options walk; /* its roots stay the caller's, and must stay open */
    const char *layout;            /* the file for it */
    const char *former;            /* that of an earlier archive, or NULL */
};

/* Walks over everything. As file_walk. */
struct file_archive *file_archive_open(const struct file_archive_options *options, struct error *err);
/* After all readers. NULL is fine. */
void file_archive_close(struct file_archive *archive);

uint64_t file_archive_size(const struct file_archive *archive);
uint64_t file_archive_data_size(const struct file_archive *archive);
/* As file_layout_former. */
uint64_t file_archive_former(const struct file_archive *archive, uint64_t offset);
/* What went wrong with files since the last time. Thread-safe. */
void file_archive_troubles(struct file_archive *archive, Holdfast__Failure ***warnings, size_t *count);

struct disk_reader *file_archive_reader(struct file_archive *archive);

#endif
