/*
 * What a datasource of files is made of: directories or single files of this host, and what of them is left
 * out. Kept in the registry (providers/image_registry.h) and in each recovery point.
 */
#ifndef HOLDFAST_AGENT_FILES_FILES_SOURCE_H
#define HOLDFAST_AGENT_FILES_FILES_SOURCE_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct files_source {
    char **paths; /* absolute, without links, in order, none below another */
    size_t path_count;
    char **exclude; /* patterns, as file_walk.h takes them */
    size_t exclude_count;
    bool all_file_systems;
};

/* From what an operator says. REQUEST_INVALID, DISK_READ_FAILED when a path can't be used. */
struct files_source *files_source_create(const char *const *paths, size_t path_count,
                                         const char *const *exclude, size_t exclude_count,
                                         bool all_file_systems, struct error *err);
void files_source_destroy(struct files_source *source);

json_t *files_source_to_json(const struct files_source *source);
/* NULL when it is not valid. */
struct files_source *files_source_from_json(const json_t *object);

#endif
