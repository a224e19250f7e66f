#include "agent/files/file_extract.h"
#include "agent/files/file_snapshots.h"
#include "agent/files/files_source.h"
#include "agent/providers/files_internal.h"
#include "agent/providers/provider_reply.h"
#include "agent/providers/restore_files.h"
#include "agent/providers/restore_plan.h"
#include "base/log.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct provider_restore {
    struct restore_files *files; /* the archive, which comes first */
    char *uuid;
    char *name;
    char *target; /* the directory that names in the archive begin at */
    bool replace;
};

static void restore_free(struct provider_restore *restore)
{
    free(restore->uuid);
    free(restore->name);
    free(restore->target);
    free(restore);
}

/* Does anything stand in the way? An empty directory does not. */
static bool is_free(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT || errno == ENOTDIR;
    DIR *stream = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    size_t count = 0;
    while (stream && readdir(stream))
        count++;
    if (stream)
        closedir(stream);
    return stream && count <= 2; /* . and .. */
}

/* In a directory of somebody's choice nothing is replaced. */
static int check_free(const char *target, const struct files_source *source, struct error *err)
{
    for (size_t i = 0; i < source->path_count; i++) {
        char *path = memory_format("%s%s", strcmp(target, "/") == 0 ? "" : target, source->paths[i]);
        bool free_place = is_free(path);
        if (!free_place)
            error_set(err, ERROR_RESTORE_PATH_EXISTS, "%s exists already and is not empty.", path);
        free(path);
        if (!free_place)
            return -1;
    }
    return 0;
}

/* The file system that the files go to has room for the archive, too: the directory of the first of them, or
 * what there is above it. */
static char *archive_directory(const char *path)
{
    struct stat info;
    char *directory = memory_copy_text(path);
    while (strcmp(directory, "/") != 0 && (lstat(directory, &info) != 0 || !S_ISDIR(info.st_mode))) {
        char *slash = strrchr(directory, '/');
        slash[slash == directory ? 1 : 0] = '\0';
    }
    return directory;
}

static int plan_target(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                       const struct files_source *source, struct error *err)
{
    char directory[PATH_MAX];
    if (request->to_original) {
        restore->target = memory_copy_text("/");
        restore->replace = true;
        return 0;
    }
    if (restore_plan_directory(request, NULL, NULL, directory, err) != 0)
        return -1;
    restore->target = memory_copy_text(directory);
    return check_free(directory, source, err);
}

static int plan(struct provider_restore *restore, const Holdfast__RestoreRequest *request, struct error *err)
{
    json_t *configuration = json_loads(request->configuration, 0, NULL);
    const json_t *files = json_object_get(configuration, "files");
    struct files_source *source = files ? files_source_from_json(files) : NULL;
    int result = 0;
    if (!source || request->n_disks != 1 || strcmp(request->disks[0]->format, "raw") != 0)
        result = error_set(err, ERROR_REQUEST_INVALID,
                           "%s is files: they are restored as they were, all of them.", request->vm_name);
    if (result == 0)
        result = plan_target(restore, request, source, err);
    if (result == 0) {
        char *directory =
            restore->replace ? archive_directory(source->paths[0]) : memory_copy_text(restore->target);
        char *path =
            memory_format("%s/.holdfast-%s.tar", strcmp(directory, "/") == 0 ? "" : directory, request->job);
        result = restore_files_plan(restore->files, path, "raw", request->disks[0]->size, false, err);
        free(path);
        free(directory);
    }
    files_source_destroy(source);
    json_decref(configuration);
    return result;
}

struct provider_restore *files_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                             struct error *err)
{
    struct files_provider *provider = self;
    if (restore_plan_check(request, err) != 0)
        return NULL;
    struct provider_restore *restore = memory_zalloc(sizeof *restore);
    restore->uuid = memory_copy_text(request->vm_uuid);
    restore->name = memory_copy_text(restore_plan_name(request));
    restore->files = restore_files_create(provider->data_directory, files_kind, request->job);
    if (plan(restore, request, err) == 0 && restore_files_make(restore->files, err) == 0)
        return restore;
    files_restore_abort(restore);
    return NULL;
}

struct disk_writer *files_restore_disk(struct provider_restore *restore, size_t disk)
{
    return restore_files_writer(restore->files, disk);
}

/* The archive goes in any case; it was only on the way. */
int files_restore_commit(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err)
{
    struct error partly = {0};
    int result = restore_files_finish(restore->files, err);
    if (result == 0)
        result = restore_files_place(restore->files, err);
    if (result == 0)
        result = file_extract(restore_files_path(restore->files, 0), restore->target, restore->replace,
                              &partly, err);
    if (result == 0) {
        provider_set_text(&reply->vm_uuid, restore->uuid);
        provider_set_text(&reply->vm_name, restore->name);
        provider_add_path(reply, restore->target);
        if (partly.code != ERROR_NONE)
            provider_add_warning(&reply->warnings, &reply->n_warnings, &partly);
    }
    files_restore_abort(restore);
    return result;
}

void files_restore_abort(struct provider_restore *restore)
{
    if (!restore)
        return;
    restore_files_undo(restore->files);
    restore_free(restore);
}

int files_recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err)
{
    (void)err;
    struct files_provider *provider = self;
    *unfinished = NULL; /* there is nothing to decide about a backup of files */
    *count = 0;
    restore_files_recover_all(provider->data_directory, files_kind);
    snapshot_journal_recover(&file_snapshot_maker, provider->data_directory);
    return 0;
}
