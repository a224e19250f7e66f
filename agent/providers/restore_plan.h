/*
 * What is the same for every provider in a restore request: is it valid, what is the new one called, where do
 * its disks go.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_RESTORE_PLAN_H
#define HOLDFAST_AGENT_PROVIDERS_RESTORE_PLAN_H

#include "base/error.h"
#include "proto/agent.pb-c.h"
#include <limits.h>

/* Names must be usable as parts of file names, formats known, sizes possible, the job's id valid.
 * REQUEST_INVALID. */
int restore_plan_check(const Holdfast__RestoreRequest *request, struct error *err);
/* The name of what is made. Borrowed from the request. */
const char *restore_plan_name(const Holdfast__RestoreRequest *request);
/* The directory of an alternate restore: the requested one, or that of the original's disk if it exists on
 * this host, or the fallback. Either of these may be NULL. RESTORE_TARGET_MISSING. */
int restore_plan_directory(const Holdfast__RestoreRequest *request, const char *original_disk,
                           const char *fallback, char out[PATH_MAX], struct error *err);
/* DIRECTORY/NAME-DISK.FORMAT; malloc'd. */
char *restore_plan_path(const char *directory, const char *name, const Holdfast__RestoreDisk *disk);

#endif
