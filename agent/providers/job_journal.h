/*
 * What a provider must know about its jobs after the agent died in the middle: one small JSON file a job
 * below DATA/jobs, old or new after a crash and never between. Thread-safe for different jobs.
 *
 * An entry is an object with at least "job" and "kind" (of the provider); the rest is the provider's.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_JOB_JOURNAL_H
#define HOLDFAST_AGENT_PROVIDERS_JOB_JOURNAL_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>

/* 1 to 64 letters, digits, hyphens or underscores, so that it can be part of a file's name. */
bool job_journal_valid_job(const char *job);

/* A new entry with "job" and "kind" set. The caller owns it. */
json_t *job_journal_entry(const char *job, const char *kind);
/* Durable when this returns. FILE_FAILED; REQUEST_INVALID for a job whose name can't be a file's. */
int job_journal_write(const char *data_directory, const json_t *entry, struct error *err);
/* Missing is no error. */
int job_journal_remove(const char *data_directory, const char *job, struct error *err);
/* The entry of a job, the caller's to json_decref; NULL without an error when there is none. */
json_t *job_journal_read(const char *data_directory, const char *job);
/* Every entry of that kind, the caller's to json_decref: an array. Files that can't be read are logged and
 * skipped. */
json_t *job_journal_list(const char *data_directory, const char *kind);

/* A text of an entry; empty when there is none of that name. Borrowed. */
const char *job_journal_text(const json_t *entry, const char *name);

#endif
