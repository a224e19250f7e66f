/*
 * Policies as operators change them: checked first, then stored (groups: server/protection/group_configure.h,
 * points: server/protection/point_removal.h); and how a VM's protection stands. The catalog's functions below
 * these do not judge. All block; thread-safe.
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

#endif
