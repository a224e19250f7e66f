/*
 * The snapshots that a running backup reads from, in the job's journal (job_journal.h): each is noted before
 * it is made, so that it goes also after the agent died. What a snapshot is, its maker knows. One thread for
 * one journal; calls block.
 *
 * The entry: {"job", "kind", "type": "backup", "vm_uuid", "snapshots": [what the maker notes]}
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_SNAPSHOT_JOURNAL_H
#define HOLDFAST_AGENT_PROVIDERS_SNAPSHOT_JOURNAL_H

#include "base/error.h"
#include <jansson.h>
#include <stddef.h>

struct snapshot_journal;

struct snapshot_maker {
    const char *kind; /* of the provider */
    /* Remove what add was told of. That it is missing is no error. */
    int (*remove)(const json_t *snapshot, struct error *err);
};

/* None noted, and nothing written yet. The maker stays the caller's. */
struct snapshot_journal *snapshot_journal_create(const struct snapshot_maker *maker,
                                                 const char *data_directory, const char *job,
                                                 const char *vm_uuid);
/* A name for the next snapshot: "PREFIXJOB-N", malloc'd. */
char *snapshot_journal_name(const struct snapshot_journal *journal, const char *prefix);
/* Note a snapshot, durable when this returns. Takes the object. Errors as job_journal_write. */
int snapshot_journal_add(struct snapshot_journal *journal, json_t *snapshot, struct error *err);
/* Remove all that were noted, and the entry. What can't be removed stays in the journal: the maker's error.
 * Frees. */
int snapshot_journal_end(struct snapshot_journal *journal, struct error *err);

/* What backups of an earlier life, or an earlier try, left: remove it and their entries; what fails is logged
 * and stays. None of these backups must run. All of them; those of a VM; that of a job. */
void snapshot_journal_recover(const struct snapshot_maker *maker, const char *data_directory);
void snapshot_journal_clean(const struct snapshot_maker *maker, const char *data_directory,
                            const char *vm_uuid);
void snapshot_journal_clean_job(const struct snapshot_maker *maker, const char *data_directory,
                                const char *job);

#endif
