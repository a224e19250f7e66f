#include "agent/providers/restore_files.h"
#include "agent/providers/job_journal.h"
#include "agent/snapshots/snapshot_copy.h"
#include "agent/snapshots/volume_copy.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "disk/disk_image.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1024, SPACE_LEAST = 16 * 1024 * 1024 };

struct restore_file {
    char *path;
    char *temporary; /* NULL: a block device, written in place */
    char *format;
    char *source; /* that it is copied from; NULL: it is written */
    uint64_t size;
    uint64_t inode; /* of the new file, from finish on */
    bool replace;
    bool made; /* the temporary exists */
    struct disk_writer *writer;
};

struct restore_files {
    char *data_directory;
    char *kind;
    char *job;
    struct restore_file *files;
    size_t count;
    bool journaled;
    char *vm_uuid; /* that is defined for them, or NULL */
};

struct restore_files *restore_files_create(const char *data_directory, const char *kind, const char *job)
{
    struct restore_files *files = memory_zalloc(sizeof *files);
    files->data_directory = memory_copy_text(data_directory);
    files->kind = memory_copy_text(kind);
    files->job = memory_copy_text(job);
    return files;
}

static void files_free(struct restore_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].path);
        free(files->files[i].temporary);
        free(files->files[i].format);
        free(files->files[i].source);
    }
    free(files->files);
    free(files->data_directory);
    free(files->vm_uuid);
    free(files->kind);
    free(files->job);
    free(files);
}

/* Static to the caller: the directory of an absolute path. */
static void parent_of(const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash)
        slash[slash == out ? 1 : 0] = '\0';
}

static int check_place(const char *path, const char *temporary, bool replace, struct stat *info,
                       struct error *err)
{
    const char *name = strrchr(path, '/');
    if (path[0] != '/' || !name)
        return error_set(err, ERROR_REQUEST_INVALID, "The path %.200s is not absolute.", path);
    if (strlen(temporary) >= PATH_MAX || strlen(strrchr(temporary, '/') + 1) > NAME_MAX)
        return error_set(err, ERROR_RESTORE_PATH_TOO_LONG,
                         "The path %.200s has %zu characters; a name beside it is needed "
                         "that %d characters hold.",
                         path, strlen(path), NAME_MAX);
    char directory[PATH_MAX];
    parent_of(path, directory);
    if (stat(directory, info) != 0 || !S_ISDIR(info->st_mode))
        return error_set(err, ERROR_RESTORE_TARGET_MISSING, "The directory %s does not exist.", directory);
    if (lstat(path, info) != 0) {
        memset(info, 0, sizeof *info);
        return errno == ENOENT
                   ? 0
                   : error_set_errno(err, ERROR_RESTORE_FAILED, errno, "%s can't be looked at.", path);
    }
    if (!replace)
        return error_set(err, ERROR_RESTORE_PATH_EXISTS, "The file %s exists already.", path);
    return 0;
}

/* A device that is missing must not become a file in the memory of the host. */
static int check_device(const char *path, const char *format, const struct stat *info, struct error *err)
{
    if (S_ISLNK(info->st_mode))
        return error_set(err, ERROR_RESTORE_TARGET_MISSING, "What %s leads to does not exist.", path);
    if (!S_ISBLK(info->st_mode))
        return strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/shm/", 9) == 0
                   ? 0
                   : error_set(err, ERROR_RESTORE_TARGET_MISSING, "There is no block device %s.", path);
    if (strcmp(format, "raw") != 0)
        return error_set(err, ERROR_REQUEST_INVALID,
                         "%s is a block device; a disk is written to it as raw, not as %s.", path, format);
    return 0;
}

int restore_files_plan(struct restore_files *files, const char *path, const char *format, uint64_t size,
                       bool replace, struct error *err)
{
    if (files->count >= FILES_MAX)
        return error_set(err, ERROR_TOO_MANY_DISKS, "More than %d disks can't be restored at once.",
                         FILES_MAX);
    /* What a symbolic link at the place points to is replaced, not the link. */
    char *real = replace ? realpath(path, NULL) : NULL;
    const char *place = real ? real : path;
    char *temporary = memory_format("%s.holdfast-%.8s.new", place, files->job);
    struct stat info;
    int result = check_place(place, temporary, replace, &info, err);
    if (result == 0)
        result = check_device(place, format, &info, err);
    for (size_t i = 0; i < files->count && result == 0; i++) {
        if (strcmp(files->files[i].path, place) == 0)
            result = error_set(err, ERROR_REQUEST_INVALID, "Two disks would be restored to %s.", place);
    }
    if (result == 0) {
        bool device = S_ISBLK(info.st_mode);
        files->files = memory_resize(files->files, files->count + 1, sizeof *files->files);
        files->files[files->count++] = (struct restore_file){
            .path = memory_copy_text(place),
            .temporary = device ? NULL : memory_copy_text(temporary),
            .format = memory_copy_text(format),
            .size = size,
            .replace = replace,
        };
    }
    free(temporary);
    free(real);
    return result;
}

int restore_files_copy_from(struct restore_files *files, const char *source, const char *format,
                            struct error *err)
{
    struct restore_file *file = &files->files[files->count - 1];
    if (strcmp(file->format, format) != 0)
        return error_set(err, ERROR_SNAPSHOT_GONE,
                         "The snapshot of %s is %s and can't be copied to it as %s.", file->path, format,
                         file->format);
    file->source = memory_copy_text(source);
    return 0;
}

static int write_journal(struct restore_files *files, const char *phase, struct error *err)
{
    json_t *entry = job_journal_entry(files->job, files->kind);
    json_object_set_new(entry, "type", json_string("restore"));
    json_object_set_new(entry, "phase", json_string(phase));
    if (files->vm_uuid)
        json_object_set_new(entry, "defines", json_string(files->vm_uuid));
    json_t *list = json_array();
    for (size_t i = 0; i < files->count; i++) {
        const struct restore_file *file = &files->files[i];
        if (!file->temporary)
            continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:b}", "path", file->path, "temporary",
                                              file->temporary, "inode", (json_int_t)file->inode, "replace",
                                              file->replace));
    }
    json_object_set_new(entry, "files", list);
    int result = job_journal_write(files->data_directory, entry, err);
    if (result == 0)
        files->journaled = true;
    json_decref(entry);
    return result;
}

static int check_space(const struct restore_files *files, struct error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        if (!files->files[i].temporary)
            continue;
        char directory[PATH_MAX];
        parent_of(files->files[i].path, directory);
        uint64_t room = 0;
        if (os_path_space(directory, &room, NULL, err) != 0)
            return -1;
        if (room < SPACE_LEAST)
            return error_set(err, ERROR_RESTORE_NO_SPACE, "%s has %llu bytes free; at least %d are needed.",
                             directory, (unsigned long long)room, SPACE_LEAST);
    }
    return 0;
}

/* The new file belongs to who owned the old one. */
static int inherit_owner(const struct restore_file *file, struct error *err)
{
    struct stat old;
    if (stat(file->path, &old) != 0)
        return 0;
    int fd = open(file->temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC); /* others may write the directory */
    int result = fd >= 0 && fchown(fd, old.st_uid, old.st_gid) == 0 && fchmod(fd, old.st_mode & 07777) == 0
                     ? 0
                     : error_set_errno(err, ERROR_RESTORE_FAILED, errno,
                                       "%s could not be given the owner of %s.", file->temporary, file->path);
    if (fd >= 0)
        close(fd);
    return result;
}

static bool is_copied_in_place(const struct restore_file *file)
{
    return file->source && !file->temporary;
}

static int refuse_if_used(const char *path, struct error *err)
{
    return disk_image_in_use(path)
               ? error_set(err, ERROR_RESTORE_TARGET_IN_USE, "%s is in use by a running VM.", path)
               : 0;
}

int restore_files_check_use(const struct restore_files *files, struct error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct restore_file *file = &files->files[i];
        if (file->replace && access(file->path, F_OK) == 0 && refuse_if_used(file->path, err) != 0)
            return -1;
    }
    return 0;
}

static int make_one(struct restore_file *file, struct error *err)
{
    if (!file->temporary && refuse_if_used(file->path, err) != 0)
        return -1;
    if (file->source) {
        file->made = snapshot_copy(file->source, file->format, file->temporary, err) == 0;
        return file->made ? 0 : -1;
    }
    if (file->temporary)
        file->writer = disk_writer_create(file->temporary, file->format, file->size, err);
    else
        file->writer = disk_writer_open_device(file->path, file->size, err);
    file->made = file->writer != NULL;
    return file->made ? 0 : -1;
}

int restore_files_make(struct restore_files *files, struct error *err)
{
    if (check_space(files, err) != 0 || write_journal(files, "making", err) != 0)
        return -1;
    for (size_t i = 0; i < files->count; i++) {
        struct restore_file *file = &files->files[i];
        if (is_copied_in_place(file))
            continue;
        if (make_one(file, err) != 0)
            return -1;
        if (file->temporary && inherit_owner(file, err) != 0)
            return -1;
    }
    for (size_t i = 0; i < files->count; i++) {
        const struct restore_file *file = &files->files[i];
        if (is_copied_in_place(file) &&
            (refuse_if_used(file->path, err) != 0 ||
             volume_copy_to_device(file->source, file->size, file->path, err) != 0))
            return -1;
    }
    return 0;
}

struct disk_writer *restore_files_writer(struct restore_files *files, size_t index)
{
    return files->files[index].writer;
}

const char *restore_files_path(const struct restore_files *files, size_t index)
{
    return files->files[index].path;
}

int restore_files_finish(struct restore_files *files, struct error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        struct restore_file *file = &files->files[i];
        struct disk_writer *writer = file->writer;
        file->writer = NULL;
        if (!file->source && disk_writer_finish(writer, err) != 0)
            return -1;
        struct stat info;
        if (file->temporary && stat(file->temporary, &info) != 0)
            return error_set_errno(err, ERROR_RESTORE_FAILED, errno, "%s has gone.", file->temporary);
        if (file->temporary)
            file->inode = info.st_ino;
    }
    return 0;
}

static int sync_parent(const char *path, struct error *err)
{
    char directory[PATH_MAX];
    parent_of(path, directory);
    return os_path_sync_directory(directory, err);
}

/* For file systems that can't exchange names: three steps; ".old" tells recovery how far they came. */
static int exchange_slowly(const char *path, const char *temporary)
{
    char *aside = memory_format("%s.old", temporary);
    int result = rename(path, aside);
    if (result == 0) {
        result = rename(temporary, path);
        if (result == 0)
            result = rename(aside, temporary);
        else
            (void)rename(aside, path);
    }
    free(aside);
    return result;
}

static int exchange(const char *path, const char *temporary)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return 0;
    return errno == EINVAL || errno == ENOSYS ? exchange_slowly(path, temporary) : -1;
}

static void finish_slow_exchange(const char *path, const char *temporary)
{
    char *aside = memory_format("%s.old", temporary);
    if (access(aside, F_OK) == 0)
        (void)rename(aside, access(path, F_OK) == 0 ? temporary : path);
    free(aside);
}

static int place_one(const struct restore_file *file, struct error *err)
{
    if (file->replace && exchange(file->path, file->temporary) == 0)
        return sync_parent(file->path, err);
    if (file->replace && errno != ENOENT)
        return error_set_errno(err, ERROR_RESTORE_FAILED, errno, "%s could not be exchanged with %s.",
                               file->path, file->temporary);
    if (renameat2(AT_FDCWD, file->temporary, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
        return sync_parent(file->path, err);
    if (errno == EEXIST)
        return error_set(err, ERROR_RESTORE_PATH_EXISTS, "The file %s exists already.", file->path);
    return error_set_errno(err, ERROR_RESTORE_FAILED, errno, "%s could not be given its name.", file->path);
}

/* If the new file stands in its place, give the place back to the old one (or to nothing). The temporary
 * goes. */
static void undo_one(const char *path, const char *temporary, uint64_t inode)
{
    struct stat info;
    finish_slow_exchange(path, temporary);
    if (inode != 0 && stat(path, &info) == 0 && info.st_ino == inode) {
        if (exchange(path, temporary) != 0 && errno == ENOENT)
            (void)rename(path, temporary); /* there was no old one */
        if (stat(path, &info) == 0 && info.st_ino == inode) {
            log_event(LOG_ERROR, "old disk could not be put back", "path=\"%s\" old=\"%s\"", path, temporary);
            return;
        }
    }
    if (unlink(temporary) != 0 && errno != ENOENT)
        log_event(LOG_WARNING, "file of a restore could not be removed", "path=\"%s\"", temporary);
}

int restore_files_place(struct restore_files *files, struct error *err)
{
    if (restore_files_check_use(files, err) != 0 || write_journal(files, "placing", err) != 0)
        return -1;
    for (size_t i = 0; i < files->count; i++) {
        if (files->files[i].temporary && place_one(&files->files[i], err) != 0)
            return -1;
    }
    return 0;
}

static int end_journal(struct restore_files *files)
{
    struct error err;
    if (!files->journaled || job_journal_remove(files->data_directory, files->job, &err) == 0)
        return 0;
    log_error("journal of a restore could not be removed", &err);
    return -1;
}

int restore_files_note_vm(struct restore_files *files, const char *uuid, struct error *err)
{
    free(files->vm_uuid);
    files->vm_uuid = memory_copy_text(uuid);
    return write_journal(files, "placing", err);
}

int restore_files_settle(struct restore_files *files, struct error *err)
{
    return write_journal(files, "placed", err);
}

void restore_files_keep(struct restore_files *files)
{
    struct error err;
    bool told = restore_files_settle(files, &err) == 0;
    if (!told) { /* with a journal that tells of half a restore, the next life would take the new disks away
                  */
        log_error("journal of a restore could not be written", &err);
        told = end_journal(files) == 0;
    }
    for (size_t i = 0; i < files->count; i++) {
        const struct restore_file *file = &files->files[i];
        if (file->temporary && (!told || unlink(file->temporary) != 0) && errno != ENOENT)
            log_event(LOG_WARNING, "replaced disk could not be removed", "path=\"%s\"", file->temporary);
    }
    if (told)
        (void)end_journal(files);
    files_free(files);
}

void restore_files_undo(struct restore_files *files)
{
    struct error err;
    if (!files)
        return;
    if (files->journaled && write_journal(files, "placing", &err) != 0) /* it may have been settled */
        log_error("journal of a restore could not be written", &err);
    for (size_t i = 0; i < files->count; i++) {
        struct restore_file *file = &files->files[i];
        if (file->writer)
            disk_writer_abandon(file->writer);
        else if (file->temporary && file->made)
            undo_one(file->path, file->temporary, file->inode);
    }
    (void)end_journal(files);
    files_free(files);
}

bool restore_files_recover(const char *data_directory, const json_t *entry)
{
    if (strcmp(job_journal_text(entry, "type"), "restore") != 0)
        return false;
    bool placed = strcmp(job_journal_text(entry, "phase"), "placed") == 0;
    const json_t *list = json_object_get(entry, "files");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *file = json_array_get(list, i);
        const char *temporary = job_journal_text(file, "temporary");
        if (temporary[0] == '\0')
            continue;
        uint64_t inode = placed ? 0 : (uint64_t)json_integer_value(json_object_get(file, "inode"));
        undo_one(job_journal_text(file, "path"), temporary, inode);
    }
    log_event(LOG_INFO, "restore of an earlier life was cleaned up", "job=%s finished=%s",
              job_journal_text(entry, "job"), placed ? "yes" : "no");
    struct error err;
    if (job_journal_remove(data_directory, job_journal_text(entry, "job"), &err) != 0)
        log_error("journal of a restore could not be removed", &err);
    return true;
}

void restore_files_recover_all(const char *data_directory, const char *kind)
{
    json_t *entries = job_journal_list(data_directory, kind);
    for (size_t i = 0; i < json_array_size(entries); i++)
        (void)restore_files_recover(data_directory, json_array_get(entries, i));
    json_decref(entries);
}
