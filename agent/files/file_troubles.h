/*
 * What went wrong with single files in a backup: how many, and the names of the first. Thread-safe.
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_TROUBLES_H
#define HOLDFAST_AGENT_FILES_FILE_TROUBLES_H

#include "proto/agent.pb-c.h"
#include <stddef.h>

enum file_trouble {
    FILE_TROUBLE_UNREADABLE, /* not in the archive */
    FILE_TROUBLE_CHANGED,    /* while it was read */
    FILE_TROUBLE_GONE,       /* before it was read: zeros */
    FILE_TROUBLE_BROKEN,     /* could not be read to its end: zeros from there */
    FILE_TROUBLE_KINDS,
};

struct file_troubles;

struct file_troubles *file_troubles_create(void);
void file_troubles_destroy(struct file_troubles *troubles);
/* path as in the archive, without the slash in front; why is an errno or 0. */
void file_troubles_note(struct file_troubles *troubles, enum file_trouble kind, const char *path, int why);
/* Append a warning for each kind there was since the last time, and forget them. */
void file_troubles_report(struct file_troubles *troubles, Holdfast__Failure ***warnings, size_t *count);

#endif
