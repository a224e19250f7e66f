/*
 * The parts of the files provider: directories that an operator registered (image_registry.h). What is backed
 * up is one disk, a tar archive of them (files/file_archive.h); a restore reads it and writes the files.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_FILES_INTERNAL_H
#define HOLDFAST_AGENT_PROVIDERS_FILES_INTERNAL_H

#include "agent/files/files_source.h"
#include "agent/provider.h"

struct files_provider {
    char *data_directory;
};

extern const char files_kind[]; /* "files" */
extern const char files_disk[]; /* the name of the one disk */

/* Where the layout of the last point of a datasource is kept; malloc'd. */
char *files_layout_path(const char *data_directory, const char *uuid);

struct provider_backup *files_backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                           const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                           struct error *err);
struct disk_reader *files_backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err);
void files_backup_locate_disk(const struct provider_backup *backup, size_t disk,
                              struct provider_disk_source *source);
uint64_t files_backup_former(const struct provider_backup *backup, size_t disk, uint64_t offset);
void files_backup_warnings(struct provider_backup *backup, Holdfast__Failure ***warnings, size_t *count);
int files_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                     struct error *err);

struct provider_restore *files_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                             struct error *err);
struct disk_writer *files_restore_disk(struct provider_restore *restore, size_t disk);
int files_restore_commit(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err);
void files_restore_abort(struct provider_restore *restore);
int files_recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err);

#endif
