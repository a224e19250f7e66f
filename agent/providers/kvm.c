#include "agent/providers/kvm_internal.h"
#include "agent/providers/provider_list.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char kvm_kind[] = "kvm";

static char *find_in_path(const char *name)
{
    const char *search = getenv("PATH");
    if (!search || search[0] == '\0')
        search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    while (*search) {
        size_t length = strcspn(search, ":");
        char *path = memory_format("%.*s/%s", (int)length, search, name);
        if (length > 0 && path[0] == '/' && access(path, X_OK) == 0)
            return path;
        free(path);
        search += length;
        search += *search == ':';
    }
    return NULL;
}

static void provider_free(struct kvm_provider *provider)
{
    free(provider->data_directory);
    free(provider->server_id);
    free(provider->uri);
    free(provider->scratch_directory);
    free(provider->virsh);
    free(provider);
}

static void kvm_close(void *self)
{
    kvm_connection_stop(self);
    provider_free(self);
}

static int read_config(struct kvm_provider *provider, const struct config *config, struct error *err)
{
    const char *uri = config ? config_text(config, "libvirt-uri") : NULL;
    const char *scratch = config ? config_text(config, "scratch-directory") : NULL;
    provider->uri = memory_copy_text(uri ? uri : "qemu:///system");
    provider->scratch_directory = memory_copy_text(scratch);
    if (scratch && scratch[0] != '/')
        return error_set(err, ERROR_CONFIG_INVALID, "scratch-directory %.200s is not absolute.", scratch);
    if (config && config_text(config, "scratch-max-bytes"))
        return config_size(config, "scratch-max-bytes", &provider->scratch_max, err);
    return 0;
}

static void *kvm_open(const struct provider_context *context, provider_changed changed, void *cookie,
                      struct error *err)
{
    struct kvm_provider *provider = memory_zalloc(sizeof *provider);
    provider->data_directory = memory_copy_text(context->data_directory);
    provider->server_id = memory_copy_text(context->server_id);
    provider->snapshots = context->snapshots;
    provider->changed = changed;
    provider->cookie = cookie;
    provider->virsh = find_in_path("virsh");
    if (!provider->virsh)
        log_event(LOG_WARNING,
                  "no virsh: guests are not frozen, since nobody would thaw them if the agent were killed",
                  NULL);
    if (read_config(provider, context->config, err) != 0) {
        provider_free(provider);
        return NULL;
    }
    if (kvm_connection_start(provider, err) != 0) {
        kvm_close(provider);
        return NULL;
    }
    return provider;
}

const struct provider provider_kvm = {
    .kind = kvm_kind,
    .open = kvm_open,
    .close = kvm_close,
    .discover = kvm_discover,
    .backup_begin = kvm_backup_begin,
    .backup_open_disk = kvm_backup_open_disk,
    .backup_locate_disk = kvm_backup_locate_disk,
    .backup_check = kvm_backup_check,
    .backup_end = kvm_backup_end,
    .recover = kvm_recover,
    .restore_begin = kvm_restore_begin,
    .restore_disk = kvm_restore_disk,
    .restore_commit = kvm_restore_commit,
    .restore_abort = kvm_restore_abort,
};
