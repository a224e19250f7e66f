/*
 * The images, block devices and directories that an operator has made datasources of this host:
 * DATA/images.json. Written by `holdfast-agent add-image`, `add-files` and so on, also while the agent runs.
 * Functions block; changes are serialized between processes.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_IMAGE_REGISTRY_H
#define HOLDFAST_AGENT_PROVIDERS_IMAGE_REGISTRY_H

#include "agent/files/files_source.h"
#include "base/error.h"
#include "base/identity.h"
#include <stddef.h>

struct image_disk {
    char *name;   /* "disk0" and so on, in the order given */
    char *path;   /* absolute; of a block device as it was given, a link perhaps */
    char *format; /* found out once, when it was added: a guest can write any header into a raw disk */
};

struct image_source {
    char *uuid;
    char *name;
    struct image_disk *disks;
    size_t disk_count;
    struct files_source *files; /* instead of disks; NULL: disks */
};

struct image_registry {
    struct image_source *sources;
    size_t count;
};

/* A missing file is an empty registry. *registry is freed with image_registry_release. FILE_FAILED,
 * CONFIG_INVALID. */
int image_registry_load(const char *data_directory, struct image_registry *registry, struct error *err);
void image_registry_release(struct image_registry *registry);
/* NULL when there is none. Of disks, or of files. */
const struct image_source *image_registry_find(const struct image_registry *registry, const char *uuid);
const struct image_source *image_registry_find_files(const struct image_registry *registry, const char *uuid);

/* Register the disks (files or block devices, at least one) as one datasource; uuid receives its new
 * identity. NAME_TAKEN, REQUEST_INVALID (the name: 1 to 200 characters, no slash, no control characters),
 * DISK_READ_FAILED, DISK_UNSUPPORTED. */
int image_registry_add(const char *data_directory, const char *name, const char *const *paths, size_t count,
                       char uuid[IDENTITY_SIZE], struct error *err);
/* Register files, which are the registry's from here on whatever is returned. NAME_TAKEN, REQUEST_INVALID. */
int image_registry_add_files(const char *data_directory, const char *name, struct files_source *files,
                             char uuid[IDENTITY_SIZE], struct error *err);
/* The datasource is gone; its disks or files are not touched. VM_NOT_FOUND. */
int image_registry_remove(const char *data_directory, const char *name, struct error *err);

#endif
