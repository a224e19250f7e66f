#include "agent/providers/snapshot_journal.h"
#include "agent/providers/job_journal.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct snapshot_journal {
    const struct snapshot_maker *maker;
    char *data_directory;
    json_t *entry;
    json_t *list; /* the entry's */
};

struct snapshot_journal *snapshot_journal_create(const struct snapshot_maker *maker,
                                                 const char *data_directory, const char *job,
                                                 const char *vm_uuid)
{
    struct snapshot_journal *journal = memory_zalloc(sizeof *journal);
    journal->maker = maker;
    journal->data_directory = memory_copy_text(data_directory);
    journal->entry = job_journal_entry(job, maker->kind);
    journal->list = json_array();
    json_object_set_new(journal->entry, "type", json_string("backup"));
    json_object_set_new(journal->entry, "vm_uuid", json_string(vm_uuid));
    json_object_set_new(journal->entry, "snapshots", journal->list);
    return journal;
}

char *snapshot_journal_name(const struct snapshot_journal *journal, const char *prefix)
{
    return memory_format("%s%s-%zu", prefix, job_journal_text(journal->entry, "job"),
                         json_array_size(journal->list));
}

int snapshot_journal_add(struct snapshot_journal *journal, json_t *snapshot, struct error *err)
{
    if (json_array_append_new(journal->list, snapshot) != 0) /* NULL: what it is to tell is no UTF-8 */
        return error_set(err, ERROR_SNAPSHOT_FAILED, "A snapshot whose place is not UTF-8 can't be noted.");
    return job_journal_write(journal->data_directory, journal->entry, err);
}

static int remove_all(const struct snapshot_maker *maker, const char *data_directory, const json_t *entry,
                      struct error *err)
{
    const json_t *list = json_object_get(entry, "snapshots");
    int result = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (maker->remove(json_array_get(list, i), err) != 0)
            result = -1;
    }
    return result == 0 ? job_journal_remove(data_directory, job_journal_text(entry, "job"), err) : -1;
}

int snapshot_journal_end(struct snapshot_journal *journal, struct error *err)
{
    int result = 0;
    if (json_array_size(journal->list) > 0)
        result = remove_all(journal->maker, journal->data_directory, journal->entry, err);
    json_decref(journal->entry);
    free(journal->data_directory);
    free(journal);
    return result;
}

/* The entries of backups whose text of that name is this. */
static void clean(const struct snapshot_maker *maker, const char *data_directory, const char *name,
                  const char *text)
{
    json_t *entries = job_journal_list(data_directory, maker->kind);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        struct error err;
        const json_t *entry = json_array_get(entries, i);
        if (strcmp(job_journal_text(entry, "type"), "backup") != 0 ||
            strcmp(job_journal_text(entry, name), text) != 0)
            continue;
        if (remove_all(maker, data_directory, entry, &err) != 0)
            log_error("snapshots of an unfinished backup could not be removed", &err);
        else
            log_event(LOG_INFO, "unfinished backup was cleaned up", "job=%s vm=%s",
                      job_journal_text(entry, "job"), job_journal_text(entry, "vm_uuid"));
    }
    json_decref(entries);
}

void snapshot_journal_recover(const struct snapshot_maker *maker, const char *data_directory)
{
    clean(maker, data_directory, "type", "backup");
}

void snapshot_journal_clean(const struct snapshot_maker *maker, const char *data_directory,
                            const char *vm_uuid)
{
    clean(maker, data_directory, "vm_uuid", vm_uuid);
}

void snapshot_journal_clean_job(const struct snapshot_maker *maker, const char *data_directory,
                                const char *job)
{
    clean(maker, data_directory, "job", job);
}
