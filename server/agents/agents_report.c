/* What VMs a host has: reports that it sends, and discoveries that it is asked for. */
#include "server/agents/agents.h"

#include "base/log.h"
#include "server/agents/agents_internal.h"
#include <stdlib.h>
#include <string.h>

enum { DISCOVERY_DEADLINE_MS = 120000, DISK_PATH_MAX = 4096 };

static bool text_fits(const char *text, bool required)
{
    size_t length = strlen(text);
    return length <= AGENTS_NAME_MAX && (length > 0 || !required);
}

static int check_vm(const Holdfast__Vm *vm, struct error *err)
{
    if (!text_fits(vm->uuid, true) || !text_fits(vm->name, true) || !text_fits(vm->kind, true) ||
        !text_fits(vm->power, true) || !text_fits(vm->guest_agent, false) ||
        !text_fits(vm->tracking, false) || vm->n_disks > AGENTS_DISKS_MAX) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The host reports a VM that can't be: %.64s", vm->name);
    }
    for (size_t i = 0; i < vm->n_disks; i++) {
        if (!text_fits(vm->disks[i]->name, true) || !text_fits(vm->disks[i]->format, false) ||
            strlen(vm->disks[i]->path) > DISK_PATH_MAX || strlen(vm->disks[i]->reason) > DISK_PATH_MAX) {
            return error_set(err, ERROR_PROTOCOL_INVALID,
                             "The host reports a disk that can't be, of VM %.64s", vm->name);
        }
    }
    return 0;
}

static void fill_report(const Holdfast__Vm *vm, struct arena *arena, struct catalog_vm_report *report)
{
    struct catalog_vm_disk *disks = arena_alloc(arena, (vm->n_disks + 1) * sizeof *disks);
    for (size_t i = 0; i < vm->n_disks; i++) {
        const Holdfast__Disk *disk = vm->disks[i];
        disks[i] = (struct catalog_vm_disk){.name = disk->name,
                                            .path = disk->path,
                                            .format = disk->format,
                                            .size = disk->size,
                                            .supported = disk->supported,
                                            .reason = disk->reason};
    }
    report->vm = (struct catalog_vm){.uuid = vm->uuid,
                                     .kind = vm->kind,
                                     .name = vm->name,
                                     .power = vm->power,
                                     .guest_agent = vm->guest_agent,
                                     .tracking = vm->tracking,
                                     .memory_mib = vm->memory_mib,
                                     .cpus = vm->cpus};
    report->disks = disks;
    report->disk_count = vm->n_disks;
}

static int store_vms(struct agents *agents, const char *host_id, const Holdfast__VmReport *report,
                     struct error *err)
{
    if (report->n_vms > AGENTS_VMS_MAX || report->n_moved > AGENTS_VMS_MAX) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "The host reports %zu VMs; %d are supported",
                         report->n_vms, AGENTS_VMS_MAX);
    }
    struct arena *arena = arena_create();
    size_t count = report->n_vms + report->n_moved;
    struct catalog_vm_report *reports = arena_alloc(arena, (count + 1) * sizeof *reports);
    const char *silent_kinds = " ";
    int result = 0;
    for (size_t i = 0; i < report->n_silent && i < AGENTS_KINDS_MAX; i++) {
        silent_kinds = arena_format(arena, "%s%.32s ", silent_kinds, report->silent[i]->kind);
    }
    for (size_t i = 0; i < report->n_vms && result == 0; i++) {
        result = check_vm(report->vms[i], err);
        if (result == 0) {
            fill_report(report->vms[i], arena, &reports[i]);
        }
    }
    for (size_t i = 0; i < report->n_moved; i++) {
        const Holdfast__MovedVm *moved = report->moved[i];
        reports[report->n_vms + i] =
            (struct catalog_vm_report){.vm = {.uuid = moved->uuid, .kind = moved->kind, .moved_away = true}};
    }
    if (result == 0) {
        result = catalog_vm_report(agents->options.catalog, host_id, reports, count, silent_kinds, err);
    }
    if (result == 0 && agents->events.reported != NULL) {
        agents->events.reported(agents->events.cookie, host_id);
    }
    arena_destroy(arena);
    return result;
}

int agents_store_list(struct agent_session *session, const Holdfast__VmReport *report, struct error *err)
{
    int result = 0;
    pthread_mutex_lock(&session->list_lock);
    if (report->number == 0 || report->number > session->listed) {
        result = store_vms(session->agents, session->host_id, report, err) != 0
                     ? -1
                     : agents_store_snapshots(session->agents, session->host_id, report->snapshots,
                                              report->n_snapshots, err);
        session->listed = result == 0 ? report->number : session->listed;
    }
    pthread_mutex_unlock(&session->list_lock);
    return result;
}

void agents_report_vms(void *cookie)
{
    struct agent_task *task = cookie;
    struct agent_session *session = task->session;
    const Holdfast__VmReport *report = (const void *)task->message;
    struct error err;
    pthread_mutex_lock(&session->agents->lock);
    bool current = session->registered;
    pthread_mutex_unlock(&session->agents->lock);
    int result = 0;
    if (current) { /* else the host speaks through another connection by now, or is retired */
        result = agents_store_list(session, report, &err);
    }
    if (result == 0) {
        struct arena *arena = arena_create();
        Holdfast__VmReportReply reply = HOLDFAST__VM_REPORT_REPLY__INIT;
        log_event(LOG_DEBUG, "VMs reported", "host=%s vms=%zu", session->host_id, report->n_vms);
        agents_snapshot_limits(session->agents, arena, session->host_id, &reply.snapshot_limits,
                               &reply.n_snapshot_limits);
        rpc_reply(task->request, &reply.base);
        arena_destroy(arena);
    } else {
        log_error("report of VMs not stored", &err);
        rpc_fail(task->request, &err);
    }
    agents_release(session);
    free(task);
}

static int discover_at(struct agent_session *session, const struct catalog_host *host, struct error *err)
{
    Holdfast__DiscoverRequest request = HOLDFAST__DISCOVER_REQUEST__INIT;
    ProtobufCMessage *answer = NULL;
    struct arena *arena = arena_create();
    agents_snapshot_limits(session->agents, arena, host->id, &request.snapshot_limits,
                           &request.n_snapshot_limits);
    int called = rpc_call_wait(session->rpc, RPC_SERVICE_AGENT, AGENT_DISCOVER, &request.base,
                               DISCOVERY_DEADLINE_MS, &answer, err);
    arena_destroy(arena);
    if (called != 0) {
        if (err->code != ERROR_DISCOVERY_RUNNING && err->code != ERROR_DISCOVERY_FAILED) {
            struct error reason = *err;
            error_set(err, ERROR_DISCOVERY_FAILED, "%s could not list its VMs", host->name);
            error_set_cause(err, "%s", reason.message);
        }
        return -1;
    }
    Holdfast__DiscoverReply *reply = (void *)answer;
    Holdfast__VmReport report = HOLDFAST__VM_REPORT__INIT;
    report.vms = reply->vms;
    report.n_vms = reply->n_vms;
    report.silent = reply->silent;
    report.n_silent = reply->n_silent;
    report.moved = reply->moved;
    report.n_moved = reply->n_moved;
    report.snapshots = reply->snapshots;
    report.n_snapshots = reply->n_snapshots;
    report.number = reply->number;
    int result = agents_store_list(session, &report, err);
    if (result == 0 && reply->n_vms == 0 && reply->n_silent > 0) {
        error_set(err, ERROR_DISCOVERY_FAILED, "%s could not list its VMs", host->name);
        result = error_set_cause(err, "%.300s", reply->silent[0]->reason);
    }
    protobuf_c_message_free_unpacked(answer, NULL);
    return result;
}

int agents_discover(struct agents *agents, const char *host_id, struct error *err)
{
    struct arena *arena = arena_create();
    int result = -1;
    const struct catalog_host *host = catalog_host_find(agents->options.catalog, arena, host_id, err);
    struct agent_session *session = host == NULL ? NULL : agents_find(agents, host->id);
    if (host != NULL && session == NULL) {
        error_set(err, ERROR_HOST_UNREACHABLE, "The host %s is not connected", host->name);
    }
    if (session != NULL) {
        pthread_mutex_lock(&agents->lock);
        bool busy = session->discovering;
        session->discovering = true;
        pthread_mutex_unlock(&agents->lock);
        if (busy) {
            error_set(err, ERROR_DISCOVERY_RUNNING, "A discovery of %s is already running", host->name);
        } else {
            result = discover_at(session, host, err);
            pthread_mutex_lock(&agents->lock);
            session->discovering = false;
            pthread_mutex_unlock(&agents->lock);
        }
        agents_release(session);
    }
    arena_destroy(arena);
    return result;
}
