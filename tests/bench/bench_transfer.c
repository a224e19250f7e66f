/*
 * The data path alone, on real data: an image goes through the agent's half, TLS on loopback and the server's
 * half into a store; then an increment of changed blocks, a check without change tracking, and a restore.
 * Agent and server are two processes, so that each one's time and memory can be told.
 *
 *   bench_transfer IMAGE [CONNECTIONS [PERCENT [STEPS]]]
 *
 * IMAGE is changed (PERCENT of its 64 KiB blocks, 1 by default). STEPS: how many of the four. Figures go to standard output as a table.
 */
#include "../unit/server/transfer_fixture.h"

#include "agent/backup_send.h"
#include "agent/restore_receive.h"
#include "base/clock.h"
#include "base/log.h"
#include "disk/disk_reader_internal.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum step { STEP_FIRST, STEP_CHANGED, STEP_CHECK, STEP_RESTORE, STEP_END };
static const char *const step_names[] = {"first backup", "increment, tracked", "check, untracked", "restore"};

struct figures {
    double wall_s;
    double cpu_s;
    long peak_kib;
    uint64_t read_bytes;
    uint64_t wire_bytes;
    uint64_t store_bytes; /* containers, after */
};

static const char *image_path;
static const char *restored_path;
static uint64_t image_size;
static unsigned connections = 2;
static unsigned percent = 1;
static uint8_t *dirty; /* by chunk; NULL: everything is to be read */

static double now_s(void)
{
    return (double)clock_monotonic_ms() / 1000;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Since the last call: the kernel forgets the former peak. */
static long peak_kib(void)
{
    long peak = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmHWM: %ld kB", &peak) == 1) {
            break;
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    FILE *clear = fopen("/proc/self/clear_refs", "we");
    if (clear != NULL) {
        fputs("5", clear);
        fclose(clear);
    }
    return peak;
}

/* --- the source: an image, and what changed in it */

struct tracked_reader {
    struct disk_reader base;
    struct disk_reader *image;
};

static int tracked_extents(struct disk_reader *reader, uint64_t offset, uint64_t length,
                           struct disk_extent *extents, size_t capacity, size_t *count, struct error *err)
{
    struct tracked_reader *tracked = (struct tracked_reader *)reader;
    if (dirty == NULL) {
        return disk_reader_extents(tracked->image, offset, length, extents, capacity, count, err);
    }
    uint64_t end = offset + length;
    while (offset < end && *count < capacity) {
        uint64_t chunk = offset / WORLD_CHUNK;
        uint64_t last = chunk;
        while ((last + 1) * WORLD_CHUNK < end && dirty[last + 1] == dirty[chunk]) {
            last++;
        }
        uint64_t stop = (last + 1) * WORLD_CHUNK < end ? (last + 1) * WORLD_CHUNK : end;
        extents[(*count)++] = (struct disk_extent){
            offset, stop - offset, dirty[chunk] ? DISK_EXTENT_DATA : DISK_EXTENT_UNCHANGED};
        offset = stop;
    }
    return 0;
}

static int tracked_read(struct disk_reader *reader, uint64_t offset, void *out, size_t length,
                        struct error *err)
{
    return disk_reader_read(((struct tracked_reader *)reader)->image, offset, out, length, err);
}

static void tracked_close(struct disk_reader *reader)
{
    disk_reader_close(((struct tracked_reader *)reader)->image);
    free(reader);
}

static const struct disk_reader_operations tracked_operations = {tracked_extents, tracked_read,
                                                                 tracked_close};

static struct disk_reader *open_disk(struct provider_backup *backup, size_t disk, struct error *err)
{
    (void)backup;
    (void)disk;
    struct disk_reader *image = disk_reader_open_raw(image_path, err);
    if (image == NULL) {
        return NULL;
    }
    struct tracked_reader *tracked = memory_zalloc(sizeof *tracked);
    tracked->base = (struct disk_reader){&tracked_operations, disk_reader_size(image)};
    tracked->image = image;
    return &tracked->base;
}

static struct disk_writer *restored;

static struct disk_writer *restore_disk(struct provider_restore *restore, size_t disk)
{
    (void)restore;
    (void)disk;
    return restored;
}

static const struct provider provider = {.backup_open_disk = open_disk, .restore_disk = restore_disk};

/* Overwrite a share of the blocks with bytes that compress like text. */
static void change_image(void)
{
    uint64_t chunks = image_size / WORLD_CHUNK;
    uint8_t block[WORLD_CHUNK];
    int fd = open(image_path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    dirty = memory_array(chunks + 1, 1);
    srand(1);
    for (uint64_t i = 0; i < chunks * percent / 100; i++) {
        uint64_t chunk = ((uint64_t)rand() << 16 ^ (uint64_t)rand()) % chunks;
        for (size_t at = 0; at < sizeof block; at++) {
            block[at] = (uint8_t)(rand() >> 8 & 31);
        }
        assert_int_equal(pwrite(fd, block, sizeof block, (off_t)(chunk * WORLD_CHUNK)), sizeof block);
        dirty[chunk] = 1;
    }
    close(fd);
}

/* --- the server's process */

static void serve_step(struct world *world, enum step step, struct point **newest, int channel)
{
    struct figures figures = {0};
    struct backup_receive_disk disk = {
        .name = "vda", .format = "raw", .size = image_size, .incremental = step == STEP_CHANGED};
    static const size_t whole = 0;
    struct store_status status;
    struct error err;
    peak_kib();
    double cpu = cpu_s();
    double wall = now_s();
    if (step == STEP_RESTORE) {
        world_expect_restore(world, *newest, &whole, 1);
    } else {
        world_expect_backup(world, *newest, &disk, 1, connections);
    }
    assert_int_equal(write(channel, "g", 1), 1);
    void *popped;
    assert_true(queue_pop(world->outcomes, &popped));
    queue_push(world->outcomes, popped);
    struct outcome outcome = world_outcome(world);
    if (outcome.failed) {
        check(-1, outcome.err);
    }
    if (outcome.point != NULL) {
        figures.read_bytes = outcome.point->read_bytes;
        figures.wire_bytes = outcome.point->sent_bytes;
        point_destroy(*newest);
        *newest = outcome.point;
    }
    figures.wall_s = now_s() - wall;
    figures.cpu_s = cpu_s() - cpu;
    figures.peak_kib = peak_kib();
    check(store_status_read(world->store, &status, &err), err);
    figures.store_bytes = status.container_bytes;
    assert_int_equal(write(channel, &figures, sizeof figures), sizeof figures);
}

static int run_server(struct world *world, int channel)
{
    struct point *newest = NULL;
    world_open_server(world);
    uint16_t port = channel_listener_port(world->listener);
    assert_int_equal(write(channel, &port, sizeof port), sizeof port);
    char step;
    while (read(channel, &step, 1) == 1 && step < STEP_END) {
        serve_step(world, (enum step)step, &newest, channel);
    }
    point_destroy(newest);
    channel_listener_drain(world->listener);
    channel_listener_close(world->listener);
    loop_destroy(world->server_loop);
    store_close(world->store);
    return 0;
}

/* --- the agent's process */

static void back_up(struct world *world, struct figures *figures)
{
    struct error err;
    static atomic_bool cancelled;
    static const uint8_t session[32];
    struct backup_send_result result;
    Holdfast__BackupBeginReply begun = HOLDFAST__BACKUP_BEGIN_REPLY__INIT;
    Holdfast__BackupDisk disk = HOLDFAST__BACKUP_DISK__INIT;
    Holdfast__BackupDisk *disks[] = {&disk};
    disk.name = (char[]){"vda"};
    disk.size = image_size;
    begun.disks = disks;
    begun.n_disks = 1;
    struct backup_send_options options = {.loop = world->agent_loop,
                                          .target = &world->target,
                                          .tls = world->agent_tls,
                                          .session = session,
                                          .session_length = sizeof session,
                                          .connections = connections,
                                          .chunk_size = WORLD_CHUNK,
                                          .provider = &provider,
                                          .begun = &begun,
                                          .cancelled = &cancelled};
    check(backup_send(&options, &result, &err), err);
    figures->read_bytes = result.read_bytes;
    figures->wire_bytes = result.sent_bytes;
}

static void restore(struct world *world, struct figures *figures)
{
    struct error err;
    static atomic_bool cancelled;
    static uint8_t session[32];
    Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
    Holdfast__RestoreDisk disk = HOLDFAST__RESTORE_DISK__INIT;
    Holdfast__RestoreDisk *disks[] = {&disk};
    disk.name = (char[]){"vda"};
    disk.size = image_size;
    request.session = (ProtobufCBinaryData){.len = sizeof session, .data = session};
    request.disks = disks;
    request.n_disks = 1;
    request.chunk_size = WORLD_CHUNK;
    unlink(restored_path);
    restored = disk_writer_create(restored_path, "raw", image_size, &err);
    assert_non_null(restored);
    struct restore_receive_options options = {.loop = world->agent_loop,
                                              .target = &world->target,
                                              .tls = world->agent_tls,
                                              .request = &request,
                                              .provider = &provider,
                                              .cancelled = &cancelled};
    check(restore_receive(&options, &figures->wire_bytes, &err), err);
    check(disk_writer_finish(restored, &err), err);
}

static void run_step(struct world *world, enum step step, int channel)
{
    struct figures agent = {0};
    struct figures server;
    char byte = (char)step;
    if (step == STEP_CHANGED) {
        change_image();
    } else {
        free(dirty);
        dirty = NULL;
    }
    assert_int_equal(write(channel, &byte, 1), 1);
    assert_int_equal(read(channel, &byte, 1), 1);
    peak_kib();
    double cpu = cpu_s();
    double wall = now_s();
    if (step == STEP_RESTORE) {
        restore(world, &agent);
    } else {
        back_up(world, &agent);
    }
    agent.wall_s = now_s() - wall;
    agent.cpu_s = cpu_s() - cpu;
    agent.peak_kib = peak_kib();
    assert_int_equal(read(channel, &server, sizeof server), sizeof server);
    printf("%-20s %6.1f %7.1f %7.1f %8ld %8ld %8.0f %8.0f %8.0f\n", step_names[step], agent.wall_s,
           agent.cpu_s, server.cpu_s, agent.peak_kib / 1024, server.peak_kib / 1024,
           (double)agent.read_bytes / 1048576, (double)agent.wire_bytes / 1048576,
           (double)server.store_bytes / 1048576);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct stat found;
    int ends[2];
    uint16_t port;
    struct error err;
    if (argc < 2 || stat(argv[1], &found) != 0) {
        fputs("usage: bench_transfer IMAGE [CONNECTIONS [PERCENT [STEPS]]]\n", stderr);
        return 2;
    }
    log_init("bench", LOG_WARNING);
    image_path = argv[1];
    image_size = (uint64_t)found.st_size;
    connections = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : connections;
    percent = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : percent;
    unsigned long steps = argc > 4 ? strtoul(argv[4], NULL, 10) : STEP_END;
    struct world *world = world_create();
    char *restored_file = world_path(world, "restored");
    restored_path = restored_file;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t server = fork();
    if (server == 0) {
        close(ends[0]);
        _exit(run_server(world, ends[1]));
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &port, sizeof port), sizeof port);
    world_open_agent(world, port);
    printf("%-20s %6s %7s %7s %8s %8s %8s %8s %8s\n", "", "wall s", "agent s", "serv. s", "agent MiB",
           "serv. MiB", "read MiB", "wire MiB", "store MiB");
    for (enum step step = STEP_FIRST; step < (enum step)steps; step++) {
        run_step(world, step, ends[0]);
    }
    close(ends[0]);
    int status = 0;
    waitpid(server, &status, 0);
    int same = 0;
    if (steps > STEP_RESTORE) {
        char *command = memory_format("cmp %s %s", image_path, restored_path);
        same = system(command);
        puts(same == 0 ? "restored: identical" : "restored: DIFFERENT");
        free(command);
    }
    free(restored_file);
    loop_destroy(world->agent_loop);
    check(os_path_remove_tree(world->root, &err), err);
    return same == 0 && status == 0 ? 0 : 1;
}
