/*
 * The KVM provider against a real libvirt with a booted guest. The tests run in order; each starts from what
 * the one before left. HOLDFAST_LAB_URI, HOLDFAST_LAB_VM.
 */
#include "provider_run.h"

#include "agent/providers/kvm_freeze.h"
#include "agent/providers/kvm_pause.h"
#include "base/clock.h"
#include "base/os_file.h"
#include "lab.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 120000 }; /* with what comes by itself: the machine may have other work */

static void vm_is_discovered(void **state)
{
    (void)state;
    struct error err;
    Holdfast__DiscoverReply *reply = malloc(sizeof *reply);
    holdfast__discover_reply__init(reply);
    check_ok(provider_kvm.discover(provider, reply, &err), err);
    const Holdfast__Vm *found = NULL;
    for (size_t i = 0; i < reply->n_vms; i++) {
        if (strcmp(reply->vms[i]->uuid, vm_uuid) == 0)
            found = reply->vms[i];
    }
    assert_non_null(found);
    assert_string_equal(found->name, vm_name);
    assert_string_equal(found->power, "running");
    assert_string_equal(found->guest_agent, "answers");
    assert_string_not_equal(found->tracking, "none");
    assert_int_equal(found->n_disks, DISKS);
    assert_string_equal(found->disks[1]->name, "vdb");
    assert_true(found->disks[1]->supported);
    assert_int_equal(found->disks[1]->size, 1024 * (uint64_t)MIB);
    assert_int_equal(found->memory_mib, 256);
    holdfast__discover_reply__free_unpacked(reply, NULL);
}

static void first_backup_reads_what_is_allocated(void **state)
{
    (void)state;
    uint64_t read = back_up("filesystem", false, false);
    assert_true(read < 200 * MIB);
    assert_int_equal(lab_checkpoints(vm), 1);
    nothing_is_left();
}

static void next_backup_reads_only_changes(void **state)
{
    (void)state;
    free(lab_guest(
        vm, "dd if=/dev/urandom of=/data/vdb/files/inc.bin bs=1M count=10 conv=fsync 2>/dev/null; sync"));
    uint64_t read = back_up("filesystem", true, true);
    assert_true(read >= 10 * MIB && read < 16 * MIB);
    assert_int_equal(lab_checkpoints(vm), 1);
    nothing_is_left();
}

static void backup_that_fails_keeps_the_old_tracking(void **state)
{
    (void)state;
    struct error err;
    struct run run;
    begin(&run, "filesystem", true, &err);
    check_ok(run.backup ? 0 : -1, err);
    assert_int_equal(lab_checkpoints(vm), 2);
    end(&run, false);
    assert_int_equal(lab_checkpoints(vm), 1);
    nothing_is_left();
    back_up("filesystem", true, true);
}

static void lost_metadata_is_made_anew(void **state)
{
    (void)state;
    virDomainCheckpointPtr checkpoint = virDomainCheckpointLookupByName(vm, tracking, 0);
    assert_non_null(checkpoint);
    assert_int_equal(virDomainCheckpointDelete(checkpoint, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY), 0);
    virDomainCheckpointFree(checkpoint);
    back_up("filesystem", true, true);
    assert_int_equal(lab_checkpoints(vm), 1);
}

static void paused_vm_is_backed_up_without_freeze(void **state)
{
    (void)state;
    assert_int_equal(virDomainSuspend(vm), 0);
    back_up("filesystem", true, true);
    assert_int_equal(virDomainResume(vm), 0);
}

static void killed_qemu_costs_one_consistency_check(void **state)
{
    (void)state;
    for (int persisted = 0; persisted < 2; persisted++) {
        if (persisted) { /* so that the bitmap is in the file, and stays there marked as in use */
            lab_shut_down(vm);
            assert_int_equal(virDomainCreate(vm), 0);
            lab_wait_agent(vm);
        }
        lab_kill_qemu(vm);
        assert_int_equal(virDomainCreate(vm), 0);
        lab_wait_agent(vm);
        back_up("filesystem", true, false);
        assert_int_equal(lab_checkpoints(vm), 1);
        back_up("filesystem", true, true);
    }
    nothing_is_left();
}

static void frozen_guest_stays_untouched(void **state)
{
    (void)state;
    struct error err;
    struct run run;
    assert_true(virDomainFSFreeze(vm, NULL, 0, 0) > 0);
    begin(&run, "filesystem", true, &err);
    check_ok(run.backup ? 0 : -1, err);
    assert_string_equal(run.reply->consistency, "crash");
    print_message("  %s\n", run.reply->consistency_reason);
    assert_int_equal(strncmp(run.reply->consistency_reason, "QUIESCE_FROZEN_ALREADY: ", 24), 0);
    end(&run, false);
    assert_true(virDomainFSThaw(vm, NULL, 0, 0) > 0);
}

static void scratch_that_runs_short_gives_the_backup_up(void **state)
{
    (void)state;
    struct error err;
    struct run run;
    close_provider();
    open_provider("8M");
    begin(&run, "crash", true, &err);
    check_ok(run.backup ? 0 : -1, err);
    free(lab_guest(
        vm, "dd if=/dev/urandom of=/data/vdb/files/rnd.bin bs=1M count=45 conv=notrunc,fsync 2>/dev/null"));
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    while (provider_kvm.backup_check(run.backup, &err) == 0) {
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 20);
    }
    assert_int_equal(err.code, ERROR_SCRATCH_SPACE_LOW);
    end(&run, false);
    lab_wait_state(vm, VIR_DOMAIN_RUNNING);
    free(lab_guest(vm, "true"));
    nothing_is_left();
    close_provider();
    open_provider("900T");
    begin(&run, "crash", true, &err); /* a cap beyond what is free: what there is will do */
    check_ok(run.backup ? 0 : -1, err);
    end(&run, false);
    nothing_is_left();
    close_provider();
    open_provider(NULL);
    back_up("filesystem", true, true);
}

static void watchdog_thaws_when_the_agent_dies(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct kvm_freeze freeze;
        struct error err;
        virConnectPtr own = virConnectOpen(getenv("HOLDFAST_LAB_URI"));
        virDomainPtr domain = virDomainLookupByName(own, vm_name);
        if (kvm_freeze(domain, getenv("HOLDFAST_LAB_URI"), "/usr/bin/virsh", 0, &freeze, &err) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    /* A command that the agent refuses while frozen succeeds once it is thawed. */
    lab_wait_state(vm, VIR_DOMAIN_RUNNING);
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    int frozen = -1;
    while ((frozen = virDomainFSFreeze(vm, NULL, 0, 0)) <= 0) {
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 50);
    }
    assert_true(virDomainFSThaw(vm, NULL, 0, 0) > 0);
}

/* Enough of a provider to stand a guest still. */
static void pause_provider(struct kvm_provider *self)
{
    *self = (struct kvm_provider){.uri = getenv("HOLDFAST_LAB_URI"), .virsh = (char *)"/usr/bin/virsh"};
    pthread_mutex_init(&self->paused_lock, NULL);
}

static void await_running(void)
{
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    int state = VIR_DOMAIN_NOSTATE;
    while (virDomainGetState(vm, &state, NULL, 0) != 0 || state != VIR_DOMAIN_RUNNING) {
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 20);
    }
}

static void guest_goes_on_when_the_agent_dies_while_it_stands_still(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct kvm_provider self;
        struct kvm_freeze freeze;
        struct kvm_pause pause;
        struct error err;
        int stopped = VIR_DOMAIN_NOSTATE;
        virConnectPtr own = virConnectOpen(getenv("HOLDFAST_LAB_URI"));
        virDomainPtr domain = virDomainLookupByName(own, vm_name);
        pause_provider(&self);
        if (kvm_pause_prepare(&self, vm_uuid, 60000, &pause, &err) == 0 &&
            kvm_freeze(domain, self.uri, self.virsh, 0, &freeze, &err) == 0 &&
            kvm_pause_begin(&pause, domain, &err) == 0 && virDomainGetState(domain, &stopped, NULL, 0) == 0 &&
            stopped == VIR_DOMAIN_PAUSED)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    await_running();
    lab_wait_agent(vm);
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    while (virDomainFSFreeze(vm, NULL, 0, 0) <= 0) { /* refused until it is thawed */
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 50);
    }
    assert_true(virDomainFSThaw(vm, NULL, 0, 0) > 0);
}

static void guest_goes_on_when_the_agent_takes_too_long(void **state)
{
    (void)state;
    struct kvm_provider self;
    struct kvm_pause pause;
    struct error err;
    signal(SIGPIPE, SIG_IGN); /* as in the agent: the watchdog may have ended */
    pause_provider(&self);
    check_ok(kvm_pause_prepare(&self, vm_uuid, 2000, &pause, &err), err);
    poll(NULL, 0, 2500); /* its time has not begun */
    check_ok(kvm_pause_begin(&pause, vm, &err), err);
    assert_true(kvm_pause_holds(&self, vm_uuid));
    await_running();
    assert_int_equal(kvm_pause_end(&pause, vm, &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_TIMEOUT);
    assert_false(kvm_pause_holds(&self, vm_uuid));
    kvm_pause_release(&pause);
}

static void pause_of_an_operator_stays(void **state)
{
    (void)state;
    struct kvm_provider self;
    struct kvm_pause pause;
    struct error err;
    int stopped = VIR_DOMAIN_NOSTATE;
    pause_provider(&self);
    check_ok(kvm_pause_prepare(&self, vm_uuid, 100, &pause, &err), err);
    assert_int_equal(virDomainSuspend(vm), 0);
    assert_int_equal(kvm_pause_begin(&pause, vm, &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_NOT_KEPT);
    kvm_pause_release(&pause);
    poll(NULL, 0, 500);
    assert_int_equal(virDomainGetState(vm, &stopped, NULL, 0), 0);
    assert_int_equal(stopped, VIR_DOMAIN_PAUSED);
    assert_int_equal(virDomainResume(vm), 0);
}

static void killed_agent_leaves_nothing_after_the_next_start(void **state)
{
    (void)state;
    struct error err;
    close_provider();
    int next = jobs;
    pid_t child = fork();
    if (child == 0) {
        struct run run;
        open_provider(NULL);
        begin(&run, "filesystem", true, &err);
        kill(getpid(), run.backup ? SIGKILL : SIGTERM);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, SIGKILL);
    int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
    for (char *job; (job = virDomainBackupGetXMLDesc(vm, 0)); poll(NULL, 0, 20)) {
        free(job); /* its watchdog ends it at once */
        assert_true(clock_monotonic_ms() < deadline);
    }
    open_provider(NULL);
    Holdfast__UnfinishedJob **unfinished = NULL;
    size_t count = 0;
    check_ok(provider_kvm.recover(provider, &unfinished, &count, &err), err);
    assert_int_equal(count, 1);
    assert_string_equal(unfinished[0]->vm_uuid, vm_uuid);
    assert_null(virDomainBackupGetXMLDesc(vm, 0));
    assert_int_equal(lab_checkpoints(vm), 2);
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    request.job = unfinished[0]->job;
    request.vm_uuid = vm_uuid;
    request.tracking = unfinished[0]->tracking;
    request.known_tracking = &tracking;
    request.n_known_tracking = 1;
    check_ok(provider_kvm.backup_end(provider, NULL, &request, &err), err);
    assert_int_equal(lab_checkpoints(vm), 1);
    nothing_is_left();
    holdfast__unfinished_job__free_unpacked(unfinished[0], NULL);
    free(unfinished);
    jobs = next + 1;
    back_up("filesystem", true, true);
}

static void off_vm_is_backed_up_by_its_changes(void **state)
{
    (void)state;
    struct error err;
    struct run run;
    free(lab_guest(vm, "echo before > /data/vdb/files/off.txt; sync"));
    lab_shut_down(vm);
    back_up("filesystem", true, true);
    begin(&run, "filesystem", true, &err);
    check_ok(run.backup ? 0 : -1, err);
    check_ok(provider_kvm.backup_check(run.backup, &err), err);
    assert_int_equal(virDomainCreate(vm), 0);
    assert_int_equal(provider_kvm.backup_check(run.backup, &err), -1);
    assert_int_equal(err.code, ERROR_VM_IN_TRANSITION);
    end(&run, false);
    lab_wait_agent(vm);
    back_up("filesystem", true, true);
}

static struct provider_restore *restore_begin(const char *configuration, const char *new_name,
                                              bool to_original, bool stop, struct error *err)
{
    Holdfast__RestoreDisk disks[DISKS] = {HOLDFAST__RESTORE_DISK__INIT, HOLDFAST__RESTORE_DISK__INIT};
    Holdfast__RestoreDisk *list[DISKS] = {&disks[0], &disks[1]};
    Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
    for (size_t i = 0; i < DISKS; i++) {
        disks[i].name = (char *)(i ? "vdb" : "vda");
        disks[i].size = sizes[i];
        disks[i].format = (char *)"qcow2";
    }
    request.job = (char *)"restore-1";
    request.kind = (char *)"kvm";
    request.configuration = (char *)configuration;
    request.vm_uuid = vm_uuid;
    request.vm_name = (char *)vm_name;
    request.disks = list;
    request.n_disks = DISKS;
    request.to_original = to_original;
    request.new_name = (char *)new_name;
    request.directory = to_original ? (char *)"" : lab_directory;
    request.start = 1;
    request.stop_running = stop;
    return provider_kvm.restore_begin(provider, &request, err);
}

static void write_replica(struct provider_restore *restore)
{
    struct error err;
    unsigned char *bytes = malloc(MIB);
    for (size_t i = 0; i < DISKS; i++) {
        struct disk_reader *reader = disk_reader_open_raw(replica[i], &err);
        check_ok(reader ? 0 : -1, err);
        for (uint64_t offset = 0; offset < disk_reader_size(reader);) {
            struct disk_extent extent;
            size_t count = 0;
            check_ok(disk_reader_extents(reader, offset, MIB, &extent, 1, &count, &err), err);
            offset += extent.length;
            if (extent.kind != DISK_EXTENT_DATA)
                continue;
            check_ok(disk_reader_read(reader, extent.offset, bytes, (size_t)extent.length, &err), err);
            check_ok(disk_writer_write(provider_kvm.restore_disk(restore, i), extent.offset, bytes,
                                       (size_t)extent.length, &err),
                     err);
        }
        disk_reader_close(reader);
    }
    free(bytes);
}

static void restored_vms_boot_with_their_data(void **state)
{
    (void)state;
    struct error err;
    free(lab_guest(vm, "echo first > /data/vdb/files/story.txt; sync"));
    back_up("filesystem", true, true);
    free(lab_guest(vm, "echo second > /data/vdb/files/story.txt; sync"));
    char *configuration = virDomainGetXMLDesc(vm, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    assert_null(restore_begin(configuration, vm_name, false, false, &err));
    assert_int_equal(err.code, ERROR_RESTORE_NAME_TAKEN);
    assert_null(restore_begin(configuration, "", true, false, &err));
    assert_int_equal(err.code, ERROR_RESTORE_VM_RUNNING);

    struct provider_restore *restore = restore_begin(configuration, "restored", false, false, &err);
    check_ok(restore ? 0 : -1, err);
    write_replica(restore);
    Holdfast__RestoreReply *reply = malloc(sizeof *reply);
    holdfast__restore_reply__init(reply);
    check_ok(provider_kvm.restore_commit(restore, reply, &err), err);
    assert_string_equal(reply->vm_name, "restored");
    assert_string_not_equal(reply->vm_uuid, vm_uuid);
    holdfast__restore_reply__free_unpacked(reply, NULL);
    virDomainPtr copy = lab_domain("restored");
    lab_wait_agent(copy);
    char *story = lab_guest(copy, "cat /data/vdb/files/story.txt");
    assert_string_equal(story, "first\n");
    free(story);
    assert_int_equal(virDomainDestroy(copy), 0);
    assert_int_equal(virDomainUndefine(copy), 0);
    virDomainFree(copy);
    story = lab_guest(vm, "cat /data/vdb/files/story.txt");
    assert_string_equal(story, "second\n");
    free(story);

    restore = restore_begin(configuration, "", true, true, &err);
    check_ok(restore ? 0 : -1, err);
    kvm_restore_abort(restore);
    free(lab_guest(vm, "true"));
    restore = restore_begin(configuration, "", true, true, &err);
    check_ok(restore ? 0 : -1, err);
    write_replica(restore);
    free(lab_guest(vm, "true")); /* it runs until the disks are complete */
    reply = malloc(sizeof *reply);
    holdfast__restore_reply__init(reply);
    check_ok(provider_kvm.restore_commit(restore, reply, &err), err);
    assert_string_equal(reply->vm_uuid, vm_uuid);
    holdfast__restore_reply__free_unpacked(reply, NULL);
    lab_wait_agent(vm);
    story = lab_guest(vm, "cat /data/vdb/files/story.txt");
    assert_string_equal(story, "first\n");
    free(story);
    free(configuration);
    back_up("filesystem", true, false);
    back_up("filesystem", true, true);
}

static int open_all(void **state)
{
    (void)state;
    vm_name = getenv("HOLDFAST_LAB_VM");
    if (!vm_name || lab_open() != 0) {
        print_error("no lab: HOLDFAST_LAB_URI and HOLDFAST_LAB_VM must name a booted guest\n");
        return -1;
    }
    vm = lab_domain(vm_name);
    virDomainGetUUIDString(vm, vm_uuid);
    for (size_t i = 0; i < DISKS; i++)
        replica[i] = memory_format("%s/replica%zu", lab_directory, i);
    lab_wait_agent(vm);
    open_provider(NULL);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    if (!provider)
        return 0;
    close_provider();
    for (size_t i = 0; i < DISKS; i++)
        free(replica[i]);
    free(tracking);
    free(metadata);
    virDomainFree(vm);
    lab_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vm_is_discovered),
        cmocka_unit_test(first_backup_reads_what_is_allocated),
        cmocka_unit_test(next_backup_reads_only_changes),
        cmocka_unit_test(backup_that_fails_keeps_the_old_tracking),
        cmocka_unit_test(lost_metadata_is_made_anew),
        cmocka_unit_test(paused_vm_is_backed_up_without_freeze),
        cmocka_unit_test(killed_qemu_costs_one_consistency_check),
        cmocka_unit_test(frozen_guest_stays_untouched),
        cmocka_unit_test(scratch_that_runs_short_gives_the_backup_up),
        cmocka_unit_test(watchdog_thaws_when_the_agent_dies),
        cmocka_unit_test(guest_goes_on_when_the_agent_dies_while_it_stands_still),
        cmocka_unit_test(guest_goes_on_when_the_agent_takes_too_long),
        cmocka_unit_test(pause_of_an_operator_stays),
        cmocka_unit_test(killed_agent_leaves_nothing_after_the_next_start),
        cmocka_unit_test(off_vm_is_backed_up_by_its_changes),
        cmocka_unit_test(restored_vms_boot_with_their_data),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
