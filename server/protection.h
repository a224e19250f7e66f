/*
 * Policies, protection groups and recovery points as operators change them: checked first, then stored. The
 * catalog's functions below these do not judge. All block; thread-safe.
 */
#ifndef HOLDFAST_SERVER_PROTECTION_H
#define HOLDFAST_SERVER_PROTECTION_H

#include "server/server.h"

/* The default policy: daily at 22:00 UTC, kept 30 days. Texts are constants; id, name are "". */
void policy_default(struct catalog_policy *policy);
/* POLICY_NAME_INVALID, SCHEDULE_INVALID, RETENTION_INVALID, REQUEST_INVALID (consistency), saying what and
 * where. */
int policy_check(const struct catalog_policy *policy, struct error *err);
/* Names of policies and groups: 2-50 characters, first a letter, then letters, digits, hyphens.
 * POLICY_NAME_INVALID */
int protection_check_name(const char *name, struct error *err);

/* Check and insert; id (out) is made. */
int policy_create(struct catalog *catalog, const struct catalog_policy *policy, char id[IDENTITY_SIZE],
                  struct error *err);
/* Check and store a new version, made from `edited`. POLICY_CHANGED when another was stored meanwhile. */
int policy_edit(struct catalog *catalog, const struct catalog_policy *edited,
                const struct catalog_policy *policy, struct error *err);

/* policy_id: an id. POLICY_NAME_INVALID for the group's name, NAME_TAKEN. */
int group_create(struct server *server, const char *name, const char *policy_id, char id[IDENTITY_SIZE],
                 struct error *err);
/* All of them or none: VM_NOT_FOUND, VM_ALREADY_PROTECTED, HOST_UNREACHABLE, DISK_UNSUPPORTED (no disk that
 * can be backed up), TOO_MANY_DISKS. Ids. */
int group_add(struct server *server, const char *group_id, const char *const *vm_ids, size_t count,
              struct error *err);
/* Delete a recovery point from store and catalog. RP_NOT_FOUND, RP_HELD, JOB_CONFLICT (a job uses it). */
int protection_delete_point(struct server *server, const char *point_id, struct error *err);

#endif
