/*
 * The KVM provider against a real libvirt with a booted guest. The tests run in order; each starts from what
 * the one before left. HOLDFAST_LAB_URI, HOLDFAST_LAB_VM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/providers/kvm_backup.h"
#include "agent/providers/kvm_freeze.h"
#include "agent/providers/provider_list.h"
#include "base/clock.h"
#include "base/memory.h"
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

enum { MIB = 1024 * 1024, EXTENTS = 64, DISKS = 2 };

static const char server_id[] = "11111111-2222-4333-8444-555555555555";
static const atomic_bool not_cancelled;
static const char *vm_name;
static char vm_uuid[VIR_UUID_STRING_BUFLEN];
static virDomainPtr vm;
static void *provider;
static struct config *config;
static char *tracking; /* of the last committed backup */
static char *metadata;
static uint64_t sizes[DISKS]; /* of its disks */
static char *replica[DISKS];  /* raw files: what the server would have */
static int jobs;

#define check_ok(call, err)                                                                                  \
    do {                                                                                                     \
        char text_[3 * ERROR_TEXT_MAX];                                                                      \
        if ((call) != 0)                                                                                     \
            fail_msg("%s", error_format(&(err), text_, sizeof text_));                                       \
    } while (0)

static void on_change(void *cookie)
{
    (void)cookie;
}

static void open_provider(const char *scratch_max)
{
    static const struct config_key keys[] = {PROVIDER_CONFIG_KEYS, {NULL, NULL, NULL}};
    struct error err;
    config = config_load(NULL, keys, &err);
    assert_non_null(config);
    check_ok(config_set(config, "libvirt-uri", getenv("HOLDFAST_LAB_URI"), &err), err);
    if (scratch_max)
        check_ok(config_set(config, "scratch-max-bytes", scratch_max, &err), err);
    const struct provider_context context = {lab_directory, server_id, config};
    provider = provider_kvm.open(&context, on_change, NULL, &err);
    check_ok(provider ? 0 : -1, err);
}

static void close_provider(void)
{
    provider_kvm.close(provider);
    config_destroy(config);
    provider = NULL;
}

struct run {
    char job[40];
    struct provider_backup *backup;
    Holdfast__BackupBeginReply *reply;
};

static void begin(struct run *run, const char *consistency, bool incremental, struct error *err)
{
    Holdfast__BaseDisk disks[DISKS] = {HOLDFAST__BASE_DISK__INIT, HOLDFAST__BASE_DISK__INIT};
    Holdfast__BaseDisk *list[DISKS] = {&disks[0], &disks[1]};
    Holdfast__BackupBeginRequest request = HOLDFAST__BACKUP_BEGIN_REQUEST__INIT;
    snprintf(run->job, sizeof run->job, "%08d-job", ++jobs);
    request.job = run->job;
    request.vm_uuid = vm_uuid;
    request.consistency = (char *)consistency;
    if (incremental) {
        request.base_tracking = tracking;
        request.base_tracking_metadata = metadata;
        request.known_tracking = &tracking;
        request.n_known_tracking = 1;
        for (size_t i = 0; i < DISKS; i++) {
            disks[i].name = (char *)(i ? "vdb" : "vda");
            disks[i].size = sizes[i];
        }
        request.base_disks = list;
        request.n_base_disks = DISKS;
    }
    run->reply = malloc(sizeof *run->reply);
    holdfast__backup_begin_reply__init(run->reply);
    run->backup = provider_kvm.backup_begin(provider, &request, &not_cancelled, run->reply, err);
}

static void end(struct run *run, bool committed)
{
    struct error err;
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    request.job = run->job;
    request.vm_uuid = vm_uuid;
    request.committed = committed;
    request.tracking = run->reply->tracking;
    if (!committed && tracking) {
        request.known_tracking = &tracking;
        request.n_known_tracking = 1;
    }
    check_ok(provider_kvm.backup_end(provider, run->backup, &request, &err), err);
    if (committed) {
        free(tracking);
        free(metadata);
        tracking = memory_copy_text(run->reply->tracking);
        metadata = memory_copy_text(run->reply->tracking_metadata);
        for (size_t i = 0; i < run->reply->n_disks && i < DISKS; i++)
            sizes[i] = run->reply->disks[i]->size;
    }
    holdfast__backup_begin_reply__free_unpacked(run->reply, NULL);
    run->reply = NULL;
}

/* Bring the replica of a disk up to date; gives the bytes that were read. */
static uint64_t transfer(struct run *run, size_t disk)
{
    struct error err;
    struct disk_reader *reader = provider_kvm.backup_open_disk(run->backup, disk, &err);
    check_ok(reader ? 0 : -1, err);
    int fd = open(replica[disk], O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)disk_reader_size(reader)), 0);
    unsigned char *bytes = malloc(MIB);
    uint64_t sum = 0;
    for (uint64_t offset = 0; offset < disk_reader_size(reader);) {
        struct disk_extent extents[EXTENTS];
        size_t count = 0;
        check_ok(disk_reader_extents(reader, offset, UINT64_MAX, extents, EXTENTS, &count, &err), err);
        for (size_t i = 0; i < count; i++) {
            const struct disk_extent *extent = &extents[i];
            offset = extent->offset + extent->length;
            if (extent->kind == DISK_EXTENT_ZERO)
                assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                           (off_t)extent->offset, (off_t)extent->length),
                                 0);
            if (extent->kind != DISK_EXTENT_DATA)
                continue;
            for (uint64_t at = extent->offset; at < offset; at += MIB) {
                size_t piece = offset - at < MIB ? (size_t)(offset - at) : MIB;
                check_ok(disk_reader_read(reader, at, bytes, piece, &err), err);
                assert_int_equal(pwrite(fd, bytes, piece, (off_t)at), (ssize_t)piece);
                sum += piece;
            }
        }
    }
    free(bytes);
    close(fd);
    disk_reader_close(reader);
    return sum;
}

/* The replica is what the frozen view shows, byte for byte. */
static void compare(struct run *run, size_t disk)
{
    struct error err;
    struct disk_reader *view = NULL;
    if (run->backup->running) {
        char uri[300];
        snprintf(uri, sizeof uri, "nbd+unix:///%s?socket=%s", run->reply->disks[disk]->name,
                 run->backup->scratch.socket);
        view = disk_reader_open_nbd(uri, NULL, &err);
    } else {
        view = disk_reader_open_image(run->backup->sources[disk].path, "qcow2", NULL, &err);
    }
    check_ok(view ? 0 : -1, err);
    struct disk_reader *copy = disk_reader_open_raw(replica[disk], &err);
    check_ok(copy ? 0 : -1, err);
    assert_int_equal(disk_reader_size(view), disk_reader_size(copy));
    unsigned char *a = malloc(MIB);
    unsigned char *b = malloc(MIB);
    for (uint64_t at = 0; at < disk_reader_size(view); at += MIB) {
        uint64_t left = disk_reader_size(view) - at;
        size_t piece = left < MIB ? (size_t)left : MIB;
        check_ok(disk_reader_read(view, at, a, piece, &err), err);
        check_ok(disk_reader_read(copy, at, b, piece, &err), err);
        if (memcmp(a, b, piece) != 0)
            fail_msg("disk %zu differs in the MiB at %llu", disk, (unsigned long long)at);
    }
    free(a);
    free(b);
    disk_reader_close(view);
    disk_reader_close(copy);
}

/* A whole backup; gives the bytes that were read of the second disk. */
static uint64_t back_up(const char *consistency, bool incremental, bool expect_incremental)
{
    struct error err;
    struct run run;
    int64_t started = clock_monotonic_ms();
    begin(&run, consistency, incremental, &err);
    check_ok(run.backup ? 0 : -1, err);
    int64_t begun = clock_monotonic_ms();
    uint64_t read[DISKS];
    assert_int_equal(run.reply->n_disks, DISKS);
    for (size_t i = 0; i < DISKS; i++) {
        if (run.reply->disks[i]->incremental != expect_incremental)
            fail_msg("disk %zu: incremental is %d: %s", i, run.reply->disks[i]->incremental,
                     run.reply->disks[i]->reason);
        read[i] = transfer(&run, i);
    }
    for (size_t i = 0; i < DISKS; i++)
        compare(&run, i);
    check_ok(provider_kvm.backup_check(run.backup, &err), err);
    print_message("  %s (%s) frozen %u ms, begin %lld ms, read %llu + %llu bytes, tracking %s\n",
                  run.reply->consistency, run.reply->consistency_reason, run.reply->frozen_ms,
                  (long long)(begun - started), (unsigned long long)read[0], (unsigned long long)read[1],
                  run.reply->tracking);
    end(&run, true);
    return read[1];
}

static void directory_is_empty(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", lab_directory, name);
    if (os_path_exists(path))
        assert_int_equal(rmdir(path), 0);
}

static void nothing_is_left(void)
{
    assert_null(virDomainBackupGetXMLDesc(vm, 0));
    directory_is_empty("scratch");
    directory_is_empty("jobs");
}

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
            assert_int_equal(virDomainShutdownFlags(vm, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT), 0);
            lab_wait_state(vm, VIR_DOMAIN_SHUTOFF);
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
    int64_t deadline = clock_monotonic_ms() + 10000;
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
    int64_t deadline = clock_monotonic_ms() + 10000;
    int frozen = -1;
    while ((frozen = virDomainFSFreeze(vm, NULL, 0, 0)) <= 0) {
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 50);
    }
    assert_true(virDomainFSThaw(vm, NULL, 0, 0) > 0);
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
    int64_t deadline = clock_monotonic_ms() + 10000;
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
    assert_int_equal(virDomainShutdownFlags(vm, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT), 0);
    lab_wait_state(vm, VIR_DOMAIN_SHUTOFF);
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
        cmocka_unit_test(killed_agent_leaves_nothing_after_the_next_start),
        cmocka_unit_test(off_vm_is_backed_up_by_its_changes),
        cmocka_unit_test(restored_vms_boot_with_their_data),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
