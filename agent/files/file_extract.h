/*
 * Writing the files of an archive. Archives come over the network and were made from files of anybody: that
 * is done by a process of its own (`holdfast-agent extract-files ARCHIVE DIRECTORY new|replace`) with
 * libarchive, which follows no symbolic link below the directory, takes no path that is absolute or leads
 * upwards, and puts a file in the place of another by renaming it. The process prints lines: "! PATH: REASON"
 * for what it could not restore, as many as it may, at last "done ENTRIES FAILURES".
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_EXTRACT_H
#define HOLDFAST_AGENT_FILES_FILE_EXTRACT_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* All entries into that directory, with owners, modes, times, attributes, holes; durable when this returns.
 * replace: what exists gives way, else it stays. Extracting goes on after a failure: FILES_NOT_RESTORED in
 * `partly`, or ERROR_NONE. RESTORE_NO_SPACE, RESTORE_FAILED when it could not go on; what was written by then
 * stays. Blocks. */
int file_extract(const char *archive, const char *directory, bool replace, struct error *partly,
                 struct error *err);

/* The process. Does not return. */
_Noreturn void file_extract_process(const char *archive, const char *directory, bool replace);

#endif
