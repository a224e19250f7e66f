/*
 * What is wrong right now, judged from the catalog and the store alone: nothing has to be remembered between
 * two looks, and a restarted server finds the same. The alerts are brought in line with it
 * (server/alerts/alerts.h).
 *
 * Not thread-safe; blocks on the catalog.
 */
#ifndef HOLDFAST_SERVER_ALERTS_CONDITIONS_H
#define HOLDFAST_SERVER_ALERTS_CONDITIONS_H

#include "server/capacity/capacity.h"
#include "server/catalog/catalog_alerts.h"

struct conditions {
    struct arena *arena;
    struct catalog_alert *items; /* id, raised_ms and what people say are not set */
    size_t count;
};

struct conditions_options {
    struct catalog *catalog;
    const struct capacity_status *room; /* of the store; NULL: not known, nothing is said about it */
    const char *data_directory;         /* with the certificates; NULL: none */
    int64_t host_away_ms;               /* a host may be unreachable for so long */
    int64_t started_ms;                 /* wall; hosts could not connect before */
    int64_t rpo_grace_ms;               /* a point may be late by so much */
    int64_t now_ms;                     /* wall */
};

/* Everything that holds; empty conditions with an arena are given. CATALOG_FAILED: what was found is not all.
 */
int conditions_find(const struct conditions_options *options, struct conditions *conditions,
                    struct error *err);

/* Texts are copied; of the alert's fields those above. */
void conditions_add(struct conditions *conditions, const struct catalog_alert *alert);

/* --- inside: the rules, by what they look at */
int conditions_of_vms(const struct conditions_options *options, struct conditions *conditions,
                      struct error *err);
int conditions_of_hosts(const struct conditions_options *options, struct conditions *conditions,
                        struct error *err);
int conditions_of_groups(const struct conditions_options *options, struct conditions *conditions,
                         struct error *err);
int conditions_of_store(const struct conditions_options *options, struct conditions *conditions,
                        struct error *err);
int conditions_of_notifications(const struct conditions_options *options, struct conditions *conditions,
                                struct error *err);
void conditions_of_certificates(const struct conditions_options *options, struct conditions *conditions);

#endif
