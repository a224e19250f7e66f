/*
 * The snapshot that stays on this host, of images and devices that are backed up: the backup reads it, too,
 * so that both are of one instant. One thread.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_IMAGE_KEPT_H
#define HOLDFAST_AGENT_PROVIDERS_IMAGE_KEPT_H

#include "agent/providers/image_internal.h"
#include "agent/providers/image_registry.h"

struct image_kept;

struct image_kept_disk {
    const char *path; /* of the disk as it was; borrowed */
    bool device;
    bool frozen; /* a file system on it was told of that moment */
};

/* Make and list it, if the request asks for one; the reply has its instant and its end, or why there is none.
 * NULL: none. It is not removed before _release, whatever its time and its room are. */
struct image_kept *image_kept_make(struct image_provider *provider, const struct image_source *source,
                                   const Holdfast__BackupBeginRequest *request,
                                   Holdfast__BackupBeginReply *reply);
/* The disk at that position of those that are not excluded. */
struct image_kept_disk image_kept_disk(const struct image_kept *kept, size_t disk);
/* The backup is over, or did not begin: then nothing is left. Frees. NULL is fine. */
void image_kept_release(struct image_kept *kept, bool began);

#endif
