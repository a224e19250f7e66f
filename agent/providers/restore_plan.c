#include "agent/providers/restore_plan.h"
#include "agent/providers/job_journal.h"
#include "base/memory.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A part of a file's name that came over the network. */
static bool valid_part(const char *text)
{
    if (text[0] == '\0' || text[0] == '.' || strlen(text) > 200)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    }
    return true;
}

const char *restore_plan_name(const Holdfast__RestoreRequest *request)
{
    return !request->to_original && request->new_name[0] ? request->new_name : request->vm_name;
}

static int check_disk(const Holdfast__RestoreDisk *disk, struct error *err)
{
    if (!valid_part(disk->name))
        return error_set(err, ERROR_REQUEST_INVALID, "\"%.80s\" can't be the name of a disk.", disk->name);
    if (strcmp(disk->format, "raw") != 0 && strcmp(disk->format, "qcow2") != 0 &&
        strcmp(disk->format, "vhdx") != 0)
        return error_set(err, ERROR_REQUEST_INVALID,
                         "\"%.40s\" is not a disk format that can be made (raw, qcow2, vhdx).", disk->format);
    if (disk->size == 0 || disk->size > INT64_MAX)
        return error_set(err, ERROR_REQUEST_INVALID, "A disk can't have %llu bytes.",
                         (unsigned long long)disk->size);
    return 0;
}

int restore_plan_check(const Holdfast__RestoreRequest *request, struct error *err)
{
    if (!job_journal_valid_job(request->job))
        return error_set(err, ERROR_REQUEST_INVALID, "\"%.80s\" is not the id of a job.", request->job);
    if (!valid_part(restore_plan_name(request)))
        return error_set(err, ERROR_REQUEST_INVALID, "\"%.80s\" can't be the name of a VM.",
                         restore_plan_name(request));
    if (request->n_disks == 0)
        return error_set(err, ERROR_REQUEST_INVALID, "There is no disk to restore.");
    for (size_t i = 0; i < request->n_disks; i++) {
        if (check_disk(request->disks[i], err) != 0)
            return -1;
    }
    return 0;
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int take_directory(const char *path, size_t length, char out[PATH_MAX], struct error *err)
{
    if (length >= PATH_MAX)
        return error_set(err, ERROR_RESTORE_PATH_TOO_LONG,
                         "The directory %.100s… has %zu characters; %d are allowed.", path, length,
                         PATH_MAX - 1);
    memcpy(out, path, length);
    out[length] = '\0';
    while (length > 1 && out[length - 1] == '/')
        out[--length] = '\0';
    return 0;
}

int restore_plan_directory(const Holdfast__RestoreRequest *request, const char *original_disk,
                           const char *fallback, char out[PATH_MAX], struct error *err)
{
    const char *wanted = request->directory;
    if (wanted[0]) {
        if (wanted[0] != '/')
            return error_set(err, ERROR_REQUEST_INVALID, "The directory %.200s is not absolute.", wanted);
        if (take_directory(wanted, strlen(wanted), out, err) != 0)
            return -1;
        return is_directory(out)
                   ? 0
                   : error_set(err, ERROR_RESTORE_TARGET_MISSING, "The directory %s does not exist.", out);
    }
    const char *slash = original_disk ? strrchr(original_disk, '/') : NULL;
    if (slash && strncmp(original_disk, "/dev/", 5) != 0) {
        if (take_directory(original_disk, slash == original_disk ? 1 : (size_t)(slash - original_disk), out,
                           err) != 0)
            return -1;
        if (is_directory(out))
            return 0;
    }
    if (fallback && take_directory(fallback, strlen(fallback), out, err) == 0 && is_directory(out))
        return 0;
    return error_set(err, ERROR_RESTORE_TARGET_MISSING,
                     "The directory of the original does not exist on this host; name another one.");
}

char *restore_plan_path(const char *directory, const char *name, const Holdfast__RestoreDisk *disk)
{
    return memory_format("%s/%s-%s.%s", strcmp(directory, "/") == 0 ? "" : directory, name, disk->name,
                         disk->format);
}
