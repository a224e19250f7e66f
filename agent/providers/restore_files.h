/*
 * The disks of a restore on their way to their places. Each is made beside its place under a temporary name;
 * only when all are complete and flushed they are put in place together, by exchanging names, so that the old
 * ones are whole until the very end and everything can be undone, also after the agent died in the middle.
 * Block devices have no name to exchange: they are written in place. One thread at a time; all calls block.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_RESTORE_FILES_H
#define HOLDFAST_AGENT_PROVIDERS_RESTORE_FILES_H

#include "base/error.h"
#include "disk/disk_writer.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct restore_files;

/* kind: of the provider, for the journal. */
struct restore_files *restore_files_create(const char *data_directory, const char *kind, const char *job);

/* Plan a disk. replace: what is at path goes (if there is anything); otherwise path must be free
 * (RESTORE_PATH_EXISTS). RESTORE_TARGET_MISSING when its directory is missing, or a device below /dev;
 * RESTORE_PATH_TOO_LONG; REQUEST_INVALID for a block device and a format other than raw. */
int restore_files_plan(struct restore_files *files, const char *path, const char *format, uint64_t size,
                       bool replace, struct error *err);
/* What was planned last is not written but copied from that file or device, which is of that format: it has
 * no writer. A qcow2 file loses its dirty bitmaps. SNAPSHOT_GONE when the formats differ. */
int restore_files_copy_from(struct restore_files *files, const char *source, const char *format,
                            struct error *err);
/* Make them all; those that are copied to a device, which is written in place, when all others are made. How
 * much will be written is not known before, since disks are sparse: here is only checked
 * that there is some room at all. RESTORE_NO_SPACE, RESTORE_FAILED, RESTORE_TARGET_IN_USE for a device. */
int restore_files_make(struct restore_files *files, struct error *err);
struct disk_writer *restore_files_writer(struct restore_files *files, size_t index);
const char *restore_files_path(const struct restore_files *files, size_t index);
/* Everything was written: flush and close. */
int restore_files_finish(struct restore_files *files, struct error *err);
/* RESTORE_TARGET_IN_USE when a running VM, whichever, has one of the disks open that are to be replaced: it
 * would go on with a disk that has no name any more. */
int restore_files_check_use(const struct restore_files *files, struct error *err);
/* Put all in place, or none. Nobody may have the old ones open: RESTORE_TARGET_IN_USE. */
int restore_files_place(struct restore_files *files, struct error *err);
/* A VM that is about to be defined for them, for the journal: it goes when the restore is undone after a
 * crash. */
int restore_files_note_vm(struct restore_files *files, const char *uuid, struct error *err);
/* From now on a crash finishes the restore instead of undoing it: the VM is defined with the new disks. */
int restore_files_settle(struct restore_files *files, struct error *err);
/* The restore is good: the old disks go, the journal entry too. Frees. */
void restore_files_keep(struct restore_files *files);
/* Back to how it was, from any state. Frees. NULL is fine. */
void restore_files_undo(struct restore_files *files);

/* After the agent died: undo (or finish) what the journal entry tells of, and remove the entry. False when
 * the entry is not of a restore. */
bool restore_files_recover(const char *data_directory, const json_t *entry);
/* The same for every entry of that provider. */
void restore_files_recover_all(const char *data_directory, const char *kind);

#endif
