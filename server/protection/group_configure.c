#include "server/protection/group_configure.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/jobs/configure_job.h"
#include "server/protection/protection.h"
#include "storage/store.h"
#include <string.h>

enum { DISKS_MAX = 32, FREE_MIN_MIB = 64, MIB_SHIFT = 20 };

/* --- validation */

struct validation {
    struct server *server;
    struct arena *arena;
    const struct group_request *request;
    struct group_report *report;
    uint64_t bytes; /* of all disks that will be backed up */
};

static void note(struct validation *validation, const char *vm_name, bool refused,
                 const struct error *problem)
{
    struct group_report *report = validation->report;
    report->findings =
        arena_grow(validation->arena, report->findings, report->count, sizeof *report->findings);
    report->findings[report->count++] =
        (struct group_finding){.vm_name = vm_name, .refused = refused, .problem = *problem};
    report->refused += refused;
}

static void validate_disks(struct validation *validation, const struct catalog_vm *vm,
                           const struct catalog_vm_disk *disks, size_t count)
{
    struct error problem;
    size_t supported = 0;
    for (size_t i = 0; i < count; i++) {
        supported += disks[i].supported;
        validation->bytes += disks[i].supported ? disks[i].size : 0;
    }
    if (supported == 0) {
        error_set(&problem, ERROR_DISK_UNSUPPORTED, "VM %s has no disk that can be backed up", vm->name);
        if (count > 0) {
            error_set_cause(&problem, "%s: %s", disks[0].name, disks[0].reason);
        }
        note(validation, vm->name, true, &problem);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!disks[i].supported) {
            error_set(&problem, ERROR_DISK_UNSUPPORTED, "Disk %s of VM %s will not be backed up",
                      disks[i].name, vm->name);
            error_set_cause(&problem, "%s", disks[i].reason);
            note(validation, vm->name, false, &problem);
        }
    }
    if (supported > DISKS_MAX) {
        error_set(&problem, ERROR_TOO_MANY_DISKS, "VM %s has %zu disks; %d are possible", vm->name, supported,
                  DISKS_MAX);
        note(validation, vm->name, true, &problem);
    }
}

/* Everything that is wrong with a VM, not only the first thing. */
static int validate_vm(struct validation *validation, const struct catalog_vm *vm, struct error *err)
{
    struct error problem;
    const struct catalog_vm_disk *disks;
    size_t count;
    const char *group_id = validation->request->group_id;
    if (vm->group_id[0] != '\0' && (group_id == NULL || strcmp(group_id, vm->group_id) != 0)) {
        error_set(&problem, ERROR_VM_ALREADY_PROTECTED, "%s is already in the protection group %s", vm->name,
                  vm->group_name);
        note(validation, vm->name, true, &problem);
    }
    if (catalog_vm_check_present(vm, &problem) != 0) {
        note(validation, vm->name, true, &problem);
        return 0; /* what it had says nothing any more */
    }
    if (!agents_connected(server_agents(validation->server), vm->host_id)) {
        error_set(&problem, ERROR_HOST_UNREACHABLE, "Host %s of VM %s is not connected", vm->host_name,
                  vm->name);
        note(validation, vm->name, true, &problem);
    }
    if (catalog_vm_disk_list(server_catalog(validation->server), validation->arena, vm->id, &disks, &count,
                             err) != 0) {
        return -1;
    }
    validate_disks(validation, vm, disks, count);
    return 0;
}

int group_check_space(struct server *server, uint64_t bytes, struct error *err)
{
    struct store_status status;
    if (store_status_read(server_store(server), &status, err) != 0) {
        return -1;
    }
    unsigned long long free_mib = status.free_bytes >> MIB_SHIFT;
    if (free_mib < FREE_MIN_MIB) {
        return error_set(err, ERROR_STORE_FULL, "The store has no room: %llu MiB are free", free_mib);
    }
    if (bytes <= status.free_bytes) {
        return 1;
    }
    error_set(err, ERROR_STORE_FULL,
              "The store may have too little room: the disks are %llu MiB, %llu MiB are free",
              (unsigned long long)(bytes >> MIB_SHIFT), free_mib);
    error_set_cause(err, "how much is stored depends on what they hold");
    return 0;
}

static int validate_name(struct server *server, struct arena *arena, const char *name, struct error *err)
{
    struct error missing;
    if (protection_check_name(name, err) != 0) {
        return -1;
    }
    if (catalog_group_find(server_catalog(server), arena, name, &missing) != NULL) {
        return error_set(err, ERROR_NAME_TAKEN, "There is a protection group called %s already", name);
    }
    if (missing.code != ERROR_GROUP_NOT_FOUND) {
        *err = missing;
        return -1;
    }
    return 0;
}

/* Whatever is wrong with the VMs goes into the report. */
static int validate_vms(struct validation *validation, struct error *err)
{
    const struct group_request *request = validation->request;
    struct error problem;
    for (size_t i = 0; i < request->count; i++) {
        const struct catalog_vm *vm =
            catalog_vm_find(server_catalog(validation->server), validation->arena, request->vm_ids[i], err);
        if (vm == NULL || validate_vm(validation, vm, err) != 0) {
            return -1;
        }
    }
    int space = request->count > 0 ? group_check_space(validation->server, validation->bytes, &problem) : 1;
    if (space != 1) {
        note(validation, "", space < 0, &problem);
    }
    return 0;
}

int group_validate(struct server *server, struct arena *arena, const struct group_request *request,
                   struct group_report *report, struct error *err)
{
    struct validation validation = {
        .server = server, .arena = arena, .request = request, .report = report, .bytes = 0};
    *report = (struct group_report){0};
    return (request->group_id == NULL && validate_name(server, arena, request->name, err) != 0) ||
                   validate_vms(&validation, err) != 0
               ? -1
               : 0;
}

/* --- carrying it out */

static int store_group(struct catalog *catalog, const struct group_request *request, const char *id,
                       struct error *err)
{
    struct catalog_group group = {
        .id = id, .name = request->name, .policy_id = request->policy_id, .created_ms = clock_wall_ms()};
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    int result = request->group_id == NULL ? catalog_group_insert(catalog, &group, err) : 0;
    for (size_t i = 0; i < request->count && result == 0; i++) {
        result = catalog_group_add(catalog, id, request->vm_ids[i], err);
    }
    return catalog_end(catalog, result, err);
}

/* Into the job's log; the first that refuses is the error. */
static int judge(struct configure_job *job, const struct group_report *report, struct error *err)
{
    int result = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct group_finding *finding = &report->findings[i];
        configure_job_note(job, finding->refused ? JOB_LOG_ERROR : JOB_LOG_WARNING, finding->problem.code,
                           finding->problem.message);
        if (finding->refused && result == 0) {
            *err = finding->problem;
            result = -1;
        }
    }
    return result;
}

int group_configure(struct server *server, struct arena *arena, const struct group_request *request,
                    struct group_report *report, char id[IDENTITY_SIZE], struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct configure_job job;
    const char *what =
        request->group_id == NULL
            ? arena_format(arena, "group %s is made with %zu VMs", request->name, request->count)
            : arena_format(arena, "%zu VMs are added to group %s", request->count, request->name);
    if (group_validate(server, arena, request, report, err) != 0 ||
        configure_job_begin(&job, catalog, request->group_id, what, request->actor, err) != 0) {
        return -1;
    }
    if (request->group_id != NULL) {
        memcpy(id, request->group_id, strlen(request->group_id) + 1);
    } else {
        identity_create(id);
    }
    int result = judge(&job, report, err);
    if (result == 0) {
        result = store_group(catalog, request, id, err);
    }
    return configure_job_end(&job, result == 0 ? id : request->group_id, result, err);
}
