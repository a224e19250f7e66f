#include "provider_run.h"

#include "base/clock.h"
#include "base/os_file.h"
#include "lab.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char server_id[] = "11111111-2222-4333-8444-555555555555";
const atomic_bool not_cancelled;
const char *vm_name;
char vm_uuid[VIR_UUID_STRING_BUFLEN];
virDomainPtr vm;
void *provider;
struct config *config;
char *tracking;
char *metadata;
uint64_t sizes[DISKS];
char *replica[DISKS];
int jobs;

static void on_change(void *cookie)
{
    (void)cookie;
}

void open_provider(const char *scratch_max)
{
    static const struct config_key keys[] = {PROVIDER_CONFIG_KEYS, {NULL, NULL, NULL}};
    struct error err;
    config = config_load(NULL, keys, &err);
    assert_non_null(config);
    check_ok(config_set(config, "libvirt-uri", getenv("HOLDFAST_LAB_URI"), &err), err);
    if (scratch_max)
        check_ok(config_set(config, "scratch-max-bytes", scratch_max, &err), err);
    const struct provider_context context = {lab_directory, server_id, config, NULL};
    provider = provider_kvm.open(&context, on_change, NULL, &err);
    check_ok(provider ? 0 : -1, err);
}

void close_provider(void)
{
    provider_kvm.close(provider);
    config_destroy(config);
    provider = NULL;
}

void begin(struct run *run, const char *consistency, bool incremental, struct error *err)
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

void end(struct run *run, bool committed)
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
uint64_t transfer(struct run *run, size_t disk)
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
void compare(struct run *run, size_t disk)
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
uint64_t back_up(const char *consistency, bool incremental, bool expect_incremental)
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

void nothing_is_left(void)
{
    assert_null(virDomainBackupGetXMLDesc(vm, 0));
    directory_is_empty("scratch");
    directory_is_empty("jobs");
}
