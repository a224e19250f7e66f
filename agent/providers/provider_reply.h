/*
 * Filling the messages that providers answer with: what is set here is freed by
 * protobuf_c_message_free_unpacked.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_PROVIDER_REPLY_H
#define HOLDFAST_AGENT_PROVIDERS_PROVIDER_REPLY_H

#include "base/error.h"
#include "proto/agent.pb-c.h"
#include <stdbool.h>
#include <stddef.h>

/* Replaces the text of a field with a copy; NULL gives the empty text. */
void provider_set_text(char **field, const char *text);
void provider_set_format(char **field, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append; the result belongs to the message. */
Holdfast__Vm *provider_add_vm(Holdfast__DiscoverReply *reply);
void provider_add_moved(Holdfast__DiscoverReply *reply, const char *kind, const char *uuid);
Holdfast__Disk *provider_add_disk(Holdfast__Vm *vm);
Holdfast__BackupDisk *provider_add_backup_disk(Holdfast__BackupBeginReply *reply);
void provider_add_warning(Holdfast__Failure ***warnings, size_t *count, const struct error *err);
void provider_add_path(Holdfast__RestoreReply *reply, const char *path);

/* "CODE: message (cause)", as reasons are written; malloc'd. */
char *provider_reason(const struct error *err);

bool provider_disk_excluded(const Holdfast__BackupBeginRequest *request, const char *disk);
/* The disk of the parent point; NULL when it had none of that name. */
const Holdfast__BaseDisk *provider_base_disk(const Holdfast__BackupBeginRequest *request, const char *disk);
bool provider_tracking_known(char *const *known, size_t count, const char *tracking);

#endif
