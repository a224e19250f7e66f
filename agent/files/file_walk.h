/*
 * The walk over directories: every entry, in an order that depends on the names alone. In a directory first
 * what is no directory, by name, then the directories, by name, each with all that is in it.
 *
 * Nothing outside the roots is reached, whoever exchanges directories for links meanwhile (openat2(2),
 * RESOLVE_BENEATH). In memory are the names of one directory and of the directories above it. Blocks.
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_WALK_H
#define HOLDFAST_AGENT_FILES_FILE_WALK_H

#include "agent/files/file_layout.h"
#include "agent/files/file_troubles.h"
#include <stdatomic.h>

/* What a name in the archive begins with, and where it is read. */
struct file_root {
    char *path; /* in the archive, and below / on this host: "srv/www"; "" is the whole host */
    char *name; /* of a single file in it; NULL: the directory with all that is in it */
    int fd;     /* of that directory, or of its snapshot; -1: not open */
};

struct file_walk_options {
    const struct file_root *roots;
    size_t root_count;
    /* Left out: a pattern of fnmatch(3) with a slash matches the whole path, one without a name. */
    const char *const *exclude;
    size_t exclude_count;
    bool all_file_systems;        /* also what is mounted below a root, but what only the kernel makes up */
    const atomic_bool *cancelled; /* polled */
};

/* Add all to the layout; what can't be read is noted and left out. JOB_CANCELLED, DISK_READ_FAILED when a
 * root can't be read, and what file_layout_add says. */
int file_walk(const struct file_walk_options *options, struct file_layout *layout,
              struct file_troubles *troubles, struct error *err);

/* Open what is at that path below a root; RESOLVE_BENEATH and no symbolic links. -1 with errno. */
int file_open_beneath(int root, const char *path, int flags);
/* The path of an entry below its root's directory. */
const char *file_path_beneath(const struct file_root *root, const char *path);

#endif
