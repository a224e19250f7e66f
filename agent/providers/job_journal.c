#include "agent/providers/job_journal.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <stdlib.h>
#include <string.h>

enum { JOB_MAX = 64, ENTRY_LIMIT = 4 * 1024 * 1024 };

bool job_journal_valid_job(const char *job)
{
    size_t length = strspn(job, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return length > 0 && length <= JOB_MAX && job[length] == '\0';
}

static char *journal_directory(const char *data_directory)
{
    return os_path_join(data_directory, "jobs");
}

static char *entry_path(const char *data_directory, const char *job)
{
    return memory_format("%s/jobs/%s.json", data_directory, job);
}

json_t *job_journal_entry(const char *job, const char *kind)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "job", json_string(job));
    json_object_set_new(entry, "kind", json_string(kind));
    return entry;
}

int job_journal_write(const char *data_directory, const json_t *entry, struct error *err)
{
    const char *job = job_journal_text(entry, "job");
    if (!job_journal_valid_job(job))
        return error_set(err, ERROR_REQUEST_INVALID, "\"%.80s\" is not the id of a job.", job);
    char *directory = journal_directory(data_directory);
    char *path = entry_path(data_directory, job);
    char *text = json_dumps(entry, JSON_INDENT(1));
    int result = os_path_make_directory(directory, 0700, err);
    if (result == 0 && !text)
        result = error_set(err, ERROR_INTERNAL, "The journal of job %s could not be written as JSON.", job);
    if (result == 0)
        result = os_file_write_whole(path, text, strlen(text), 0600, err);
    free(text);
    free(path);
    free(directory);
    return result;
}

int job_journal_remove(const char *data_directory, const char *job, struct error *err)
{
    if (!job_journal_valid_job(job))
        return 0;
    char *path = entry_path(data_directory, job);
    int result = os_path_remove(path, err);
    free(path);
    return result;
}

static json_t *read_entry(const char *path)
{
    struct error err;
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (os_file_read_whole(path, ENTRY_LIMIT, &bytes, &length, &err) != 0) {
        log_error("journal of a job could not be read", &err);
        return NULL;
    }
    json_error_t problem;
    json_t *entry = json_loadb((const char *)bytes, length, 0, &problem);
    free(bytes);
    if (!json_is_object(entry)) {
        log_event(LOG_WARNING, "journal of a job is not valid", "path=\"%s\" reason=\"%s\"", path,
                  problem.text);
        json_decref(entry);
        return NULL;
    }
    return entry;
}

json_t *job_journal_read(const char *data_directory, const char *job)
{
    if (!job_journal_valid_job(job))
        return NULL;
    char *path = entry_path(data_directory, job);
    json_t *entry = os_path_exists(path) ? read_entry(path) : NULL;
    free(path);
    return entry;
}

struct list_work {
    const char *directory;
    const char *kind;
    json_t *entries;
};

static int list_one(void *cookie, const char *name)
{
    struct list_work *work = cookie;
    size_t length = strlen(name);
    if (length < 6 || strcmp(name + length - 5, ".json") != 0)
        return 0;
    char *path = os_path_join(work->directory, name);
    json_t *entry = read_entry(path);
    if (entry && strcmp(job_journal_text(entry, "kind"), work->kind) == 0 &&
        job_journal_valid_job(job_journal_text(entry, "job")))
        json_array_append(work->entries, entry);
    json_decref(entry);
    free(path);
    return 0;
}

json_t *job_journal_list(const char *data_directory, const char *kind)
{
    struct error err;
    char *directory = journal_directory(data_directory);
    struct list_work work = {directory, kind, json_array()};
    if (os_path_exists(directory) && os_path_list(directory, list_one, &work, &err) < 0)
        log_error("journals of jobs could not be listed", &err);
    free(directory);
    return work.entries;
}

const char *job_journal_text(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text ? text : "";
}
