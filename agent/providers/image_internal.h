/*
 * The parts of the image provider: images and block devices that an operator registered. There is no
 * hypervisor to ask: points are crash-consistent and every disk is read whole (only what differs travels).
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_IMAGE_INTERNAL_H
#define HOLDFAST_AGENT_PROVIDERS_IMAGE_INTERNAL_H

#include "agent/provider.h"
#include <pthread.h>
#include <stdbool.h>

struct image_provider {
    char *data_directory;
    struct host_snapshots *snapshots; /* NULL: none stay on this host */
    provider_changed changed;
    void *cookie;
    int watch_fd; /* inotify on the data directory; -1: not watched */
    int stop_fd;  /* eventfd that ends the watcher */
    pthread_t watcher;
    bool watching;
};

extern const char image_kind[]; /* "image" */

struct image_source;
/* What a restore needs to know of the source. */
void image_describe(const struct image_source *source, Holdfast__BackupBeginReply *reply);
struct provider_backup *image_backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                           const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                           struct error *err);
struct disk_reader *image_backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err);
void image_backup_locate_disk(const struct provider_backup *backup, size_t disk,
                              struct provider_disk_source *source);
int image_backup_check(struct provider_backup *backup, struct error *err);
int image_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                     struct error *err);

struct provider_restore *image_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                             struct error *err);
struct disk_writer *image_restore_disk(struct provider_restore *restore, size_t disk);
int image_restore_commit(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err);
void image_restore_abort(struct provider_restore *restore);
int image_recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err);

#endif
