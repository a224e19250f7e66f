#include "agent/files/file_layout.h"
#include "agent/providers/files_internal.h"
#include "agent/providers/image_registry.h"
#include "agent/providers/provider_list.h"
#include "agent/providers/provider_reply.h"
#include "base/memory.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char files_kind[] = "files";
const char files_disk[] = "files";

/* The image provider watches the registry for both. */
static void *files_open(const struct provider_context *context, provider_changed changed, void *cookie,
                        struct error *err)
{
    (void)changed, (void)cookie, (void)err;
    struct files_provider *provider = memory_zalloc(sizeof *provider);
    provider->data_directory = memory_copy_text(context->data_directory);
    return provider;
}

static void files_close(void *self)
{
    struct files_provider *provider = self;
    free(provider->data_directory);
    free(provider);
}

char *files_layout_path(const char *data_directory, const char *uuid)
{
    return memory_format("%s/files/%s", data_directory, uuid);
}

/* How large it is only a walk could tell: as large as the last time. */
static uint64_t last_size(const struct files_provider *provider, const char *uuid)
{
    char *path = files_layout_path(provider->data_directory, uuid);
    uint64_t size = file_layout_peek_size(path);
    free(path);
    return size;
}

static void describe(const struct files_source *files, uint64_t size, Holdfast__Vm *vm)
{
    Holdfast__Disk *disk = provider_add_disk(vm);
    provider_set_text(&disk->name, files_disk);
    provider_set_text(&disk->path, files->paths[0]);
    provider_set_text(&disk->format, "raw");
    disk->size = size;
    disk->supported = 1;
    for (size_t i = 0; i < files->path_count && disk->supported; i++) {
        if (access(files->paths[i], F_OK) == 0)
            continue;
        disk->supported = 0;
        provider_set_format(&disk->reason, "%s: %s can't be read (%s).",
                            error_code_name(ERROR_DISK_READ_FAILED), files->paths[i], strerror(errno));
    }
}

static int files_discover(void *self, Holdfast__DiscoverReply *reply, struct error *err)
{
    struct files_provider *provider = self;
    struct image_registry registry;
    if (image_registry_load(provider->data_directory, &registry, err) != 0)
        return error_wrap(err, ERROR_DISCOVERY_FAILED, "The registered files could not be listed.");
    for (size_t i = 0; i < registry.count; i++) {
        const struct image_source *source = &registry.sources[i];
        if (!source->files)
            continue;
        Holdfast__Vm *vm = provider_add_vm(reply);
        provider_set_text(&vm->uuid, source->uuid);
        provider_set_text(&vm->name, source->name);
        provider_set_text(&vm->kind, files_kind);
        provider_set_text(&vm->power, "off");
        provider_set_text(&vm->guest_agent, "none");
        provider_set_text(&vm->tracking, "none");
        describe(source->files, last_size(provider, source->uuid), vm);
    }
    image_registry_release(&registry);
    return 0;
}

const struct provider provider_files = {
    .kind = files_kind,
    .open = files_open,
    .close = files_close,
    .discover = files_discover,
    .backup_begin = files_backup_begin,
    .backup_open_disk = files_backup_open_disk,
    .backup_locate_disk = files_backup_locate_disk,
    .backup_former = files_backup_former,
    .backup_warnings = files_backup_warnings,
    .backup_end = files_backup_end,
    .recover = files_recover,
    .restore_begin = files_restore_begin,
    .restore_disk = files_restore_disk,
    .restore_commit = files_restore_commit,
    .restore_abort = files_restore_abort,
};
