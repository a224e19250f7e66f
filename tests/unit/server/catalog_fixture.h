/* A catalog in a directory of its own, and what tests put into it. */
#ifndef HOLDFAST_TESTS_CATALOG_FIXTURE_H
#define HOLDFAST_TESTS_CATALOG_FIXTURE_H

#include "check.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/os_file.h"
#include "server/protection/protection.h"

struct catalog_world {
    char root[64];
    char *path;
    struct catalog *catalog;
    struct arena *arena;
};

static inline int world_begin(void **state)
{
    struct error err;
    struct catalog_world *world = memory_zalloc(sizeof *world);
    strcpy(world->root, "/tmp/holdfast-catalog-XXXXXX");
    if (mkdtemp(world->root) == NULL) {
        return -1;
    }
    world->path = os_path_join(world->root, "catalog.db");
    world->catalog = catalog_open(world->path, &err);
    world->arena = arena_create();
    *state = world;
    return world->catalog != NULL ? 0 : -1;
}

static inline int world_end(void **state)
{
    struct catalog_world *world = *state;
    struct error ignored;
    catalog_close(world->catalog);
    arena_destroy(world->arena);
    os_path_remove_tree(world->root, &ignored);
    free(world->path);
    free(world);
    return 0;
}

static inline void world_host(struct catalog_world *world, const char *id, const char *name)
{
    struct error err;
    struct catalog_host host = {.id = id,
                                .name = name,
                                .state = HOST_CONNECTED,
                                .serial = "01",
                                .previous_serial = "",
                                .software = "",
                                .system = "",
                                .kinds = "kvm",
                                .address = ""};
    check(catalog_host_put(world->catalog, &host, &err), err);
}

/* A host's report of VMs of these names; the uuid is the name. */
static inline void world_report(struct catalog_world *world, const char *host_id, const char *silent,
                                const char *const *names)
{
    enum { VMS_MAX = 8 };
    struct error err;
    struct catalog_vm_disk disk = {
        .name = "vda", .path = "/x", .format = "raw", .size = 1048576, .supported = true, .reason = ""};
    struct catalog_vm_report reports[VMS_MAX];
    size_t count = 0;
    for (; names[count] != NULL; count++) {
        reports[count] = (struct catalog_vm_report){.vm = {.uuid = names[count],
                                                           .kind = "kvm",
                                                           .name = names[count],
                                                           .power = "running",
                                                           .guest_agent = "answers",
                                                           .tracking = "ready"},
                                                    .disks = &disk,
                                                    .disk_count = 1};
    }
    check(catalog_vm_report(world->catalog, host_id, reports, count, silent, &err), err);
}

static inline const char *world_policy(struct catalog_world *world, const char *name, enum schedule_kind kind,
                                       unsigned minutes, const char *times)
{
    struct error err;
    struct catalog_policy policy;
    char *id = arena_alloc(world->arena, IDENTITY_SIZE);
    policy_default(&policy);
    policy.name = name;
    policy.schedule = kind;
    policy.interval_minutes = minutes;
    policy.daily_times = times;
    check(policy_create(world->catalog, &policy, id, &err), err);
    return id;
}

static inline const char *world_group(struct catalog_world *world, const char *name, const char *policy_id)
{
    struct error err;
    char *id = arena_alloc(world->arena, IDENTITY_SIZE);
    identity_create(id);
    struct catalog_group group = {.id = id, .name = name, .policy_id = policy_id};
    check(catalog_group_insert(world->catalog, &group, &err), err);
    return id;
}

static inline const struct catalog_vm *world_vm(struct catalog_world *world, const char *reference)
{
    struct error err;
    const struct catalog_vm *vm = catalog_vm_find(world->catalog, world->arena, reference, &err);
    check(vm != NULL ? 0 : -1, err);
    return vm;
}

#endif
