/* Records of snapshots that stay on the host, made by hand. */
#ifndef HOLDFAST_TESTS_SNAPSHOT_FIXTURE_H
#define HOLDFAST_TESTS_SNAPSHOT_FIXTURE_H

#include "provider_fixture.h"

#include "agent/snapshots/host_snapshots.h"
#include "base/clock.h"
#include <poll.h>

static const int64_t snapshot_day_ms = (int64_t)24 * 3600 * 1000;

/* Of one disk, whose clone is the file CLONE of the directory. The caller's to json_decref. */
static inline json_t *snapshot_record(const char *point, const char *job, const char *clone,
                                      int64_t instant_ms)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:[{s:s, s:s, s:s, s:I, s:s}]}",
                     "job", point, "kind", "snapshot", "of_job", job, "vm_uuid", "u1", "vm_name", "web",
                     "vm_kind", "image", "configuration", "{}", "consistency", "crash", "instant_ms",
                     (json_int_t)instant_ms, "until_ms", (json_int_t)(instant_ms + 2 * snapshot_day_ms),
                     "disks", "name", "disk0", "path", "/x", "format", "raw", "size", (json_int_t)4096,
                     "clone", in_directory(clone));
}

static inline struct host_snapshots *snapshots_open(const struct config *config)
{
    struct error err;
    struct host_snapshots *snapshots = host_snapshots_create(directory, config, NULL, NULL, &err);
    check(snapshots ? 0 : -1, err);
    return snapshots;
}

static inline void free_listed(Holdfast__HostSnapshot **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        holdfast__host_snapshot__free_unpacked(list[i], NULL);
    free(list);
}

static inline size_t snapshots_count(struct host_snapshots *snapshots)
{
    Holdfast__HostSnapshot **list = NULL;
    size_t count = 0;
    host_snapshots_list(snapshots, &list, &count);
    free_listed(list, count);
    return count;
}

/* What the thread does comes when it comes. */
static inline void wait_until_gone(const char *path)
{
    for (int i = 0; i < 3000 && os_path_exists(path); i++)
        poll(NULL, 0, 10);
    assert_false(os_path_exists(path));
}

#endif
