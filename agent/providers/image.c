#include "agent/providers/image_internal.h"
#include "agent/providers/image_registry.h"
#include "agent/providers/provider_list.h"
#include "agent/providers/provider_reply.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_image.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

const char image_kind[] = "image";

/* True when the events that wait tell of the registry. */
static bool registry_changed(int fd)
{
    _Alignas(struct inotify_event) char buffer[4096];
    bool changed = false;
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            if (event->len > 0 && strcmp(event->name, "images.json") == 0)
                changed = true;
            at += sizeof *event + event->len;
        }
    }
    return changed;
}

static void *watch_registry(void *cookie)
{
    struct image_provider *provider = cookie;
    struct pollfd waits[2] = {{.fd = provider->watch_fd, .events = POLLIN},
                              {.fd = provider->stop_fd, .events = POLLIN}};
    while (poll(waits, 2, -1) >= 0 || errno == EINTR) {
        if (waits[1].revents)
            break;
        if (waits[0].revents && registry_changed(provider->watch_fd))
            provider->changed(provider->cookie);
    }
    return NULL;
}

/* Without the watch everything works; a new image is then seen at the next discovery. */
static void start_watching(struct image_provider *provider)
{
    provider->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    provider->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (provider->watch_fd >= 0 && provider->stop_fd >= 0 &&
        inotify_add_watch(provider->watch_fd, provider->data_directory, IN_MOVED_TO | IN_CLOSE_WRITE) >= 0 &&
        pthread_create(&provider->watcher, NULL, watch_registry, provider) == 0)
        provider->watching = true;
    else
        log_event(LOG_WARNING, "image registry is not watched", "reason=\"%s\"", strerror(errno));
}

static void *image_open(const struct provider_context *context, provider_changed changed, void *cookie,
                        struct error *err)
{
    (void)err;
    struct image_provider *provider = memory_zalloc(sizeof *provider);
    provider->data_directory = memory_copy_text(context->data_directory);
    provider->snapshots = context->snapshots;
    provider->changed = changed;
    provider->cookie = cookie;
    provider->watch_fd = -1;
    provider->stop_fd = -1;
    if (changed)
        start_watching(provider);
    return provider;
}

static void image_close(void *self)
{
    struct image_provider *provider = self;
    if (provider->watching) {
        uint64_t one = 1;
        if (write(provider->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
            pthread_join(provider->watcher, NULL);
    }
    if (provider->watch_fd >= 0)
        close(provider->watch_fd);
    if (provider->stop_fd >= 0)
        close(provider->stop_fd);
    free(provider->data_directory);
    free(provider);
}

static void describe_disk(const struct image_disk *source, Holdfast__Vm *vm)
{
    Holdfast__Disk *disk = provider_add_disk(vm);
    provider_set_text(&disk->name, source->name);
    provider_set_text(&disk->path, source->path);
    provider_set_text(&disk->format, source->format);
    struct error err;
    struct disk_image image;
    if (disk_image_inspect(source->path, source->format, &image, &err) == 0) {
        disk->size = image.size;
        disk->supported = 1;
        disk_image_release(&image);
        return;
    }
    char *reason = provider_reason(&err);
    provider_set_text(&disk->reason, reason);
    free(reason);
}

static int image_discover(void *self, Holdfast__DiscoverReply *reply, struct error *err)
{
    struct image_provider *provider = self;
    struct image_registry registry;
    if (image_registry_load(provider->data_directory, &registry, err) != 0)
        return error_wrap(err, ERROR_DISCOVERY_FAILED, "The registered images could not be listed.");
    for (size_t i = 0; i < registry.count; i++) {
        const struct image_source *source = &registry.sources[i];
        if (source->files)
            continue; /* files.c */
        Holdfast__Vm *vm = provider_add_vm(reply);
        provider_set_text(&vm->uuid, source->uuid);
        provider_set_text(&vm->name, source->name);
        provider_set_text(&vm->kind, image_kind);
        provider_set_text(&vm->power, "off");
        provider_set_text(&vm->guest_agent, "none");
        provider_set_text(&vm->tracking, "none");
        for (size_t d = 0; d < source->disk_count; d++)
            describe_disk(&source->disks[d], vm);
    }
    image_registry_release(&registry);
    return 0;
}

const struct provider provider_image = {
    .kind = image_kind,
    .open = image_open,
    .close = image_close,
    .discover = image_discover,
    .backup_begin = image_backup_begin,
    .backup_open_disk = image_backup_open_disk,
    .backup_locate_disk = image_backup_locate_disk,
    .backup_check = image_backup_check,
    .backup_end = image_backup_end,
    .recover = image_recover,
    .restore_begin = image_restore_begin,
    .restore_disk = image_restore_disk,
    .restore_commit = image_restore_commit,
    .restore_abort = image_restore_abort,
};
