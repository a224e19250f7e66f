/*
 * What a backup leaves out because it is only swapped-out memory: finds it anew for every backup, by a
 * process of its own for each disk (agent/pages_read.h), and believes nothing that it says without checking.
 */
#ifndef HOLDFAST_AGENT_BACKUP_PAGES_H
#define HOLDFAST_AGENT_BACKUP_PAGES_H

#include "agent/provider.h"
#include "disk/disk_pages.h"

struct backup_pages;

/* Look on every disk of a backup that has begun. Page files are left out only when the file systems were
 * frozen or the machine is off. When one disk can't be searched, or a system sleeps on one, nothing is left
 * out of any; the former becomes a warning of `begun`. NULL when a disk can't be searched. What
 * is left out is told in begun.left_out, too. Blocks, up to a minute. */
struct backup_pages *backup_pages_find(const struct provider *provider, struct provider_backup *backup,
                                       Holdfast__BackupBeginReply *begun, const atomic_bool *cancelled);
void backup_pages_destroy(struct backup_pages *pages); /* NULL is fine */

/* What is left out, as text for begun.left_out; malloc'd, empty for nothing. */
char *backup_pages_tell(const struct backup_pages *pages, const Holdfast__BackupBeginReply *begun);
/* Back from the text of an earlier backup, for the disks of this one. What can't be read stands for all of
 * every disk. */
struct backup_pages *backup_pages_recall(const char *text, const Holdfast__BackupBeginReply *begun);

/* Of the disk at that position of begun.disks: in order, apart from one another, within the disk. pages may
 * be NULL: none. Valid until pages is destroyed. */
const struct disk_pages_range *backup_pages_get(const struct backup_pages *pages, size_t disk, size_t *count);

/* True when nothing is left out because a system sleeps: on that disk. */
bool backup_pages_asleep(const struct backup_pages *pages, size_t *disk);

/* What the process printed (not terminated) about a disk of that size. *ranges is malloc'd, NULL when there
 * are none. PROTOCOL_INVALID when it can't be so. */
int backup_pages_parse(const char *text, size_t length, uint64_t disk_size, struct disk_pages_range **ranges,
                       size_t *count, bool *asleep, struct error *err);

/* "vda: 512.0 MiB of swap left out", malloc'd; NULL when nothing is. */
char *backup_pages_note(const char *disk, uint64_t swap_bytes, uint64_t page_file_bytes);

#endif
