#include "agent/files/file_archive.h"
#include "agent/files/file_snapshots.h"
#include "agent/providers/files_internal.h"
#include "agent/providers/image_registry.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct provider_backup {
    struct file_root *roots;
    size_t root_count;
    struct file_snapshots *snapshots;
    struct file_archive *archive;
    char *layout; /* DATA/files/UUID.new */
    char *former; /* DATA/files/UUID: that of the last point */
};

static int backup_free(struct provider_backup *backup, struct error *err)
{
    file_archive_close(backup->archive);
    for (size_t i = 0; i < backup->root_count; i++) {
        if (backup->roots[i].fd >= 0)
            close(backup->roots[i].fd);
        free(backup->roots[i].path);
        free(backup->roots[i].name);
    }
    int result = file_snapshots_end(backup->snapshots, err);
    free(backup->roots);
    free(backup->layout);
    free(backup->former);
    free(backup);
    return result;
}

/* The directory that is read for a path, and what there if it is a file. */
static int open_root(struct file_root *root, const char *path, struct error *err)
{
    struct stat info;
    const char *slash = strrchr(path, '/');
    root->fd = -1;
    if (lstat(path, &info) != 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "%s can't be read.", path);
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode))
        return error_set(err, ERROR_DISK_READ_FAILED, "%s is no directory and no file any more.", path);
    if (S_ISDIR(info.st_mode)) {
        root->path = memory_copy_text(path + 1);
    } else {
        root->path = strndup(path + 1, slash > path ? (size_t)(slash - path - 1) : 0);
        root->name = memory_copy_text(slash + 1);
    }
    char *directory = memory_format("/%s", root->path);
    root->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0)
        error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "%s can't be read.", directory);
    free(directory);
    return root->fd < 0 ? -1 : 0;
}

/* All roots, each from a snapshot where there can be one. *frozen: all of them. */
static int open_roots(struct provider_backup *backup, const struct files_source *files, bool *frozen,
                      struct error *err)
{
    *frozen = true;
    backup->roots = memory_array(files->path_count, sizeof *backup->roots);
    for (size_t i = 0; i < files->path_count; i++) {
        struct file_root *root = &backup->roots[backup->root_count++];
        if (open_root(root, files->paths[i], err) != 0)
            return -1;
    }
    for (size_t i = 0; i < backup->root_count; i++) {
        int made = file_snapshots_view(backup->snapshots, &backup->roots[i].fd, err);
        if (made < 0)
            return -1;
        *frozen = *frozen && made > 0;
    }
    return 0;
}

static int prepare_layout(struct provider_backup *backup, const char *data_directory, const char *uuid,
                          struct error *err)
{
    char *directory = os_path_join(data_directory, "files");
    backup->former = files_layout_path(data_directory, uuid);
    backup->layout = memory_format("%s.new", backup->former);
    int result = os_path_make_directory(directory, 0700, err);
    free(directory);
    return result;
}

static void describe(const struct provider_backup *backup, const struct image_source *source, bool frozen,
                     const char *wanted, Holdfast__BackupBeginReply *reply)
{
    json_t *root = json_pack("{s:s, s:s, s:o}", "uuid", source->uuid, "name", source->name, "files",
                             files_source_to_json(source->files));
    char *text = json_dumps(root, JSON_COMPACT);
    provider_set_text(&reply->configuration, text);
    free(text);
    json_decref(root);
    provider_set_text(&reply->vm_name, source->name);
    provider_set_text(&reply->consistency, frozen ? "filesystem" : "crash");
    if (!frozen)
        provider_set_format(
            &reply->consistency_reason,
            "%s: The files of %s are read one after the other, not at one instant; on btrfs they "
            "would be.",
            error_code_name(ERROR_QUIESCE_NO_AGENT), source->name);
    else if (strcmp(wanted, "application") == 0)
        provider_set_format(&reply->consistency_reason, "%s: Applications can't be asked.",
                            error_code_name(ERROR_QUIESCE_NO_AGENT));
    Holdfast__BackupDisk *disk = provider_add_backup_disk(reply);
    provider_set_text(&disk->name, files_disk);
    provider_set_text(&disk->format, "raw");
    disk->size = file_archive_size(backup->archive);
    disk->expected_bytes = file_archive_data_size(backup->archive);
    file_archive_troubles(backup->archive, &reply->warnings, &reply->n_warnings);
}

static int begin(struct provider_backup *backup, const char *data_directory,
                 const struct image_source *source, const Holdfast__BackupBeginRequest *request,
                 const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply, struct error *err)
{
    const struct files_source *files = source->files;
    bool frozen = false;
    if (provider_disk_excluded(request, files_disk))
        return error_set(err, ERROR_REQUEST_INVALID, "Every disk of %s is excluded.", source->name);
    if (prepare_layout(backup, data_directory, source->uuid, err) != 0 ||
        open_roots(backup, files, &frozen, err) != 0)
        return -1;
    reply->instant_ms = clock_wall_ms();
    struct file_archive_options options = {
        .walk = {.roots = backup->roots,
                 .root_count = backup->root_count,
                 .exclude = (const char *const *)files->exclude,
                 .exclude_count = files->exclude_count,
                 .all_file_systems = files->all_file_systems,
                 .cancelled = cancelled},
        .layout = backup->layout,
        .former = backup->former,
    };
    backup->archive = file_archive_open(&options, err);
    if (!backup->archive)
        return -1;
    describe(backup, source, frozen, request->consistency, reply);
    return 0;
}

struct provider_backup *files_backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                           const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                           struct error *err)
{
    struct files_provider *provider = self;
    struct image_registry registry;
    if (image_registry_load(provider->data_directory, &registry, err) != 0)
        return NULL;
    const struct image_source *source = image_registry_find_files(&registry, request->vm_uuid);
    struct provider_backup *backup = NULL;
    if (!source) {
        error_set(err, ERROR_VM_NOT_FOUND, "No files with the id %.40s are registered on this host.",
                  request->vm_uuid);
    } else {
        backup = memory_zalloc(sizeof *backup);
        snapshot_journal_clean(&file_snapshot_maker, provider->data_directory, source->uuid);
        backup->snapshots = file_snapshots_create(provider->data_directory, request->job, source->uuid);
        if (begin(backup, provider->data_directory, source, request, cancelled, reply, err) != 0) {
            struct error second;
            if (backup_free(backup, &second) != 0)
                log_error("snapshots of a backup that failed could not be removed", &second);
            backup = NULL;
        }
    }
    image_registry_release(&registry);
    return backup;
}

struct disk_reader *files_backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err)
{
    (void)disk, (void)err;
    return file_archive_reader(backup->archive);
}

/* It is nowhere but in the agent. */
void files_backup_locate_disk(const struct provider_backup *backup, size_t disk,
                              struct provider_disk_source *source)
{
    (void)backup, (void)disk;
    *source = (struct provider_disk_source){.format = "raw"};
}

uint64_t files_backup_former(const struct provider_backup *backup, size_t disk, uint64_t offset)
{
    (void)disk;
    return file_archive_former(backup->archive, offset);
}

void files_backup_warnings(struct provider_backup *backup, Holdfast__Failure ***warnings, size_t *count)
{
    file_archive_troubles(backup->archive, warnings, count);
}

int files_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                     struct error *err)
{
    struct files_provider *provider = self;
    if (!backup) {
        snapshot_journal_clean_job(&file_snapshot_maker, provider->data_directory, request->job);
        return 0;
    }
    /* A point that was not committed after all only makes the next backup send more. */
    if (request->committed ? rename(backup->layout, backup->former) != 0 : unlink(backup->layout) != 0)
        log_event(LOG_WARNING, "the layout of an archive could not be kept", "path=\"%s\" reason=\"%s\"",
                  backup->layout, strerror(errno));
    return backup_free(backup, err);
}
