#include "agent/providers/provider_reply.h"
#include "base/memory.h"
#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_text(char **field, char *text)
{
    if (*field != protobuf_c_empty_string)
        free(*field);
    *field = text;
}

void provider_set_text(char **field, const char *text)
{
    take_text(field, memory_copy_text(text ? text : ""));
}

void provider_set_format(char **field, const char *format, ...)
{
    char text[2 * ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    take_text(field, memory_copy_text(text));
}

Holdfast__Vm *provider_add_vm(Holdfast__DiscoverReply *reply)
{
    Holdfast__Vm *vm = memory_alloc(sizeof *vm);
    holdfast__vm__init(vm);
    reply->vms = memory_resize(reply->vms, reply->n_vms + 1, sizeof(Holdfast__Vm *));
    reply->vms[reply->n_vms++] = vm;
    return vm;
}

void provider_add_moved(Holdfast__DiscoverReply *reply, const char *kind, const char *uuid)
{
    Holdfast__MovedVm *moved = memory_alloc(sizeof *moved);
    holdfast__moved_vm__init(moved);
    provider_set_text(&moved->kind, kind);
    provider_set_text(&moved->uuid, uuid);
    reply->moved = memory_resize(reply->moved, reply->n_moved + 1, sizeof(Holdfast__MovedVm *));
    reply->moved[reply->n_moved++] = moved;
}

Holdfast__Disk *provider_add_disk(Holdfast__Vm *vm)
{
    Holdfast__Disk *disk = memory_alloc(sizeof *disk);
    holdfast__disk__init(disk);
    vm->disks = memory_resize(vm->disks, vm->n_disks + 1, sizeof(Holdfast__Disk *));
    vm->disks[vm->n_disks++] = disk;
    return disk;
}

Holdfast__BackupDisk *provider_add_backup_disk(Holdfast__BackupBeginReply *reply)
{
    Holdfast__BackupDisk *disk = memory_alloc(sizeof *disk);
    holdfast__backup_disk__init(disk);
    reply->disks = memory_resize(reply->disks, reply->n_disks + 1, sizeof(Holdfast__BackupDisk *));
    reply->disks[reply->n_disks++] = disk;
    return disk;
}

void provider_add_warning(Holdfast__Failure ***warnings, size_t *count, const struct error *err)
{
    Holdfast__Failure *warning = memory_alloc(sizeof *warning);
    holdfast__failure__init(warning);
    provider_set_text(&warning->code, error_code_name(err->code));
    provider_set_text(&warning->message, err->message);
    provider_set_text(&warning->cause, err->cause);
    *warnings = memory_resize(*warnings, *count + 1, sizeof(Holdfast__Failure *));
    (*warnings)[(*count)++] = warning;
}

void provider_add_path(Holdfast__RestoreReply *reply, const char *path)
{
    reply->paths = memory_resize(reply->paths, reply->n_paths + 1, sizeof(char *));
    reply->paths[reply->n_paths++] = memory_copy_text(path);
}

char *provider_reason(const struct error *err)
{
    char text[3 * ERROR_TEXT_MAX];
    return memory_copy_text(error_format(err, text, sizeof text));
}

bool provider_disk_excluded(const Holdfast__BackupBeginRequest *request, const char *disk)
{
    for (size_t i = 0; i < request->n_excluded_disks; i++) {
        if (strcmp(request->excluded_disks[i], disk) == 0)
            return true;
    }
    return false;
}

const Holdfast__BaseDisk *provider_base_disk(const Holdfast__BackupBeginRequest *request, const char *disk)
{
    for (size_t i = 0; i < request->n_base_disks; i++) {
        if (strcmp(request->base_disks[i]->name, disk) == 0)
            return request->base_disks[i];
    }
    return NULL;
}

bool provider_tracking_known(char *const *known, size_t count, const char *tracking)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(known[i], tracking) == 0)
            return true;
    }
    return false;
}
