#include "agent/providers/lvm.h"
#include "base/memory.h"
#include "base/os_process.h"
#include "disk/disk_device.h"
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    ANSWER_LIMIT = 1024 * 1024,
    LIST_LIMIT = 16 * 1024 * 1024,
    NODE_TRIES = 50,
    NODE_PAUSE_MS = 100,
    FULL_PERCENT = 90,      /* of a snapshot */
    POOL_FULL_PERCENT = 95, /* of a thin pool: others write there, too */
    REMOVE_TRIES = 3,       /* lvremove itself tries for some seconds */
    REMOVE_PAUSE_MS = 500,
};

static const uint64_t mib = 1024 * 1024;

/* The program along PATH, and in the directories of administrators, which PATH may lack. */
static bool find_program(const char *name, char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    char *list = memory_format("%s:/usr/local/sbin:/usr/sbin:/sbin", path ? path : "");
    char *rest = NULL;
    bool found = false;
    for (char *at = strtok_r(list, ":", &rest); at && !found; at = strtok_r(NULL, ":", &rest)) {
        int length = snprintf(out, PATH_MAX, "%s/%s", at, name);
        found = at[0] == '/' && length < PATH_MAX && access(out, X_OK) == 0;
    }
    free(list);
    return found;
}

bool lvm_valid_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-");
    return length > 0 && length < LVM_NAME_SIZE && name[length] == '\0' && name[0] != '-';
}

/* --- what lvs says: all values are texts */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static uint64_t bytes_of(const json_t *object, const char *name)
{
    const char *text = text_of(object, name);
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    return end != text && text[0] != '-' && value <= INT64_MAX ? value : 0;
}

static double percent_of(const json_t *object, const char *name)
{
    const char *text = text_of(object, name);
    char *end = NULL;
    double value = strtod(text, &end);
    return end != text ? value : -1;
}

static dev_t device_of(const json_t *object)
{
    const char *high = text_of(object, "lv_kernel_major");
    const char *low = text_of(object, "lv_kernel_minor");
    if (high[0] < '0' || high[0] > '9' || low[0] < '0' || low[0] > '9') /* -1: not active */
        return 0;
    return makedev((unsigned)strtoul(high, NULL, 10), (unsigned)strtoul(low, NULL, 10));
}

static int take_name(const json_t *object, const char *field, bool may_be_empty, char out[LVM_NAME_SIZE],
                     struct error *err)
{
    const char *name = text_of(object, field);
    out[0] = '\0';
    if (name[0] == '\0' && may_be_empty)
        return 0;
    if (!lvm_valid_name(name))
        return error_set(err, ERROR_TOOL_FAILED, "lvs says nothing useful: its %s is \"%.80s\".", field,
                         name);
    snprintf(out, LVM_NAME_SIZE, "%s", name);
    return 0;
}

static int take_volume(const json_t *object, struct lvm_volume *volume, struct error *err)
{
    *volume = (struct lvm_volume){
        .device = device_of(object),
        .size = bytes_of(object, "lv_size"),
        .extent = bytes_of(object, "vg_extent_size"),
        .group_free = bytes_of(object, "vg_free"),
        .group_size = bytes_of(object, "vg_size"),
        .data_percent = percent_of(object, "data_percent"),
        .metadata_percent = percent_of(object, "metadata_percent"),
    };
    snprintf(volume->attributes, sizeof volume->attributes, "%s", text_of(object, "lv_attr"));
    if (take_name(object, "vg_name", false, volume->group, err) != 0 ||
        take_name(object, "lv_name", false, volume->name, err) != 0 ||
        take_name(object, "origin", true, volume->origin, err) != 0 ||
        take_name(object, "pool_lv", true, volume->pool, err) != 0)
        return -1;
    return 1;
}

/* {"report": [{"lv": [{…}]}]} */
static int take_report(const json_t *root, dev_t device, struct lvm_volume *volume, struct error *err)
{
    const json_t *reports = json_object_get(root, "report");
    if (!json_is_array(reports))
        return error_set(err, ERROR_TOOL_FAILED, "lvs says nothing useful: there is no report.");
    for (size_t i = 0; i < json_array_size(reports); i++) {
        const json_t *volumes = json_object_get(json_array_get(reports, i), "lv");
        for (size_t v = 0; v < json_array_size(volumes); v++) {
            const json_t *object = json_array_get(volumes, v);
            if (device == 0 || device_of(object) == device)
                return take_volume(object, volume, err);
        }
    }
    return 0;
}

int lvm_parse(const char *json, dev_t device, struct lvm_volume *volume, struct error *err)
{
    json_error_t problem;
    json_t *root = json_loads(json, 0, &problem);
    if (!root)
        return error_set(err, ERROR_TOOL_FAILED, "lvs says nothing useful: %s.", problem.text);
    int result = take_report(root, device, volume, err);
    json_decref(root);
    return result;
}

/* Those that are named as LVM names nothing are left out. */
static void take_all(const json_t *root, struct lvm_volume **list, size_t *count)
{
    const json_t *reports = json_object_get(root, "report");
    for (size_t i = 0; i < json_array_size(reports); i++) {
        const json_t *volumes = json_object_get(json_array_get(reports, i), "lv");
        *list = memory_resize(*list, *count + json_array_size(volumes) + 1, sizeof **list);
        for (size_t v = 0; v < json_array_size(volumes); v++) {
            struct error ignored;
            if (take_volume(json_array_get(volumes, v), &(*list)[*count], &ignored) > 0)
                ++*count;
        }
    }
}

static const char fields[] = "vg_name,lv_name,lv_attr,lv_size,lv_kernel_major,lv_kernel_minor,origin,pool_lv,"
                             "vg_free,vg_size,vg_extent_size,data_percent,metadata_percent";

static int ask(const char *selection, dev_t device, struct lvm_volume *volume, struct error *err)
{
    char program[PATH_MAX];
    if (!find_program("lvs", program))
        return 0;
    const char *argv[] = {program,     "--reportformat", "json",     "--units", "b", "--nosuffix",
                          "--options", fields,           "--select", selection, NULL};
    char *answer = NULL;
    if (os_process_run(argv, ANSWER_LIMIT, &answer, err) != 0)
        return -1;
    int result = lvm_parse(answer, device, volume, err);
    free(answer);
    return result;
}

int lvm_list(struct lvm_volume **list, size_t *count, struct error *err)
{
    char program[PATH_MAX];
    json_error_t problem;
    char *answer = NULL;
    *list = NULL;
    *count = 0;
    if (!find_program("lvs", program))
        return error_set(err, ERROR_TOOL_FAILED, "lvs is not installed.");
    const char *argv[] = {program,      "--reportformat", "json", "--units", "b",
                          "--nosuffix", "--options",      fields, NULL};
    if (os_process_run(argv, LIST_LIMIT, &answer, err) != 0)
        return -1;
    json_t *root = json_loads(answer, 0, &problem);
    free(answer);
    if (!json_is_array(json_object_get(root, "report"))) {
        json_decref(root);
        return error_set(err, ERROR_TOOL_FAILED, "lvs says nothing useful: there is no report.");
    }
    take_all(root, list, count);
    json_decref(root);
    return 0;
}

int lvm_find_device(dev_t device, struct lvm_volume *volume, struct error *err)
{
    char selection[96];
    if (device == 0)
        return 0;
    snprintf(selection, sizeof selection, "lv_kernel_major=%u && lv_kernel_minor=%u", major(device),
             minor(device));
    return ask(selection, device, volume, err);
}

int lvm_find_volume(const char *group, const char *name, struct lvm_volume *volume, struct error *err)
{
    char selection[2 * LVM_NAME_SIZE + 32];
    if (!lvm_valid_name(group) || !lvm_valid_name(name))
        return error_set(err, ERROR_TOOL_FAILED, "\"%.80s/%.80s\" can't be a logical volume.", group, name);
    char program[PATH_MAX];
    if (!find_program("lvs", program))
        return error_set(err, ERROR_TOOL_FAILED, "lvs is not installed.");
    snprintf(selection, sizeof selection, "vg_name=\"%s\" && lv_name=\"%s\"", group, name);
    return ask(selection, 0, volume, err);
}

/* --- snapshots */

static int check_pool(const struct lvm_volume *volume, struct error *err)
{
    struct lvm_volume pool;
    int found = lvm_find_volume(volume->group, volume->pool, &pool, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return error_set(err, ERROR_SNAPSHOT_FAILED, "The thin pool %s/%s is not there.", volume->group,
                         volume->pool);
    if (pool.data_percent > POOL_FULL_PERCENT || pool.metadata_percent > POOL_FULL_PERCENT)
        return error_set(err, ERROR_SCRATCH_SPACE_LOW,
                         "The thin pool %s/%s is full to %.1f %% (metadata %.1f %%).", pool.group, pool.name,
                         pool.data_percent, pool.metadata_percent);
    return 0;
}

uint64_t lvm_snapshot_size(const struct lvm_volume *volume)
{
    uint64_t least = 64 * mib;
    uint64_t most = 64 * 1024 * mib;
    uint64_t extent = volume->extent ? volume->extent : 4 * mib;
    if (volume->pool[0])
        return 0;
    uint64_t size = volume->size / 10;
    size = size < least ? least : size > most ? most : size;
    size = (size + extent - 1) / extent * extent;
    uint64_t room = volume->group_free / extent * extent;
    return size < room ? size : room;
}

int lvm_check_snapshot(const struct lvm_volume *volume, struct error *err)
{
    if (volume->pool[0])
        return check_pool(volume, err);
    if (volume->attributes[0] && strchr("sSO", volume->attributes[0]))
        return error_set(err, ERROR_SNAPSHOT_FAILED,
                         "The logical volume %s/%s is a snapshot or merges one; LVM makes none of it.",
                         volume->group, volume->name);
    if (lvm_snapshot_size(volume) == 0)
        return error_set(err, ERROR_SCRATCH_SPACE_LOW,
                         "The volume group %s has no room for a snapshot of %s.", volume->group,
                         volume->name);
    return 0;
}

static int run_lvcreate(const struct lvm_volume *volume, const char *name, struct error *err)
{
    char program[PATH_MAX];
    char size[32];
    char origin[2 * LVM_NAME_SIZE];
    if (!find_program("lvcreate", program))
        return error_set(err, ERROR_TOOL_FAILED, "lvcreate is not installed.");
    snprintf(size, sizeof size, "%llub", (unsigned long long)lvm_snapshot_size(volume));
    snprintf(origin, sizeof origin, "%s/%s", volume->group, volume->name);
    const char *thick[] = {program,    "--snapshot", "--permission", "r",  "--name", name,
                           "--addtag", "holdfast",   "--size",       size, origin,   NULL};
    /* thin ones are not activated by themselves unless told to */
    const char *thin[] = {program,    "--snapshot", "--permission",        "r", "--name", name,
                          "--addtag", "holdfast",   "--setactivationskip", "n", origin,   NULL};
    return os_process_run_through(volume->pool[0] ? thin : thick, ANSWER_LIMIT, NULL, err);
}

int lvm_snapshot_take(const struct lvm_volume *volume, const char *name, struct error *err)
{
    if (run_lvcreate(volume, name, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_FAILED, "LVM could not make a snapshot of %s/%s.",
                          volume->group, volume->name);
    return 0;
}

int lvm_snapshot_create(const struct lvm_volume *volume, const char *name, struct lvm_volume *snapshot,
                        struct error *err)
{
    if (lvm_snapshot_take(volume, name, err) != 0)
        return -1;
    int found = lvm_find_volume(volume->group, name, snapshot, err);
    if (found > 0 && snapshot->device != 0)
        return 0;
    if (found >= 0)
        error_set(err, ERROR_TOOL_FAILED, "lvs does not show the snapshot %s/%s, or it is not active.",
                  volume->group, name);
    return error_wrap(err, ERROR_SNAPSHOT_FAILED, "The snapshot of %s/%s can't be used.", volume->group,
                      volume->name);
}

bool lvm_snapshot_invalid(const struct lvm_volume *snapshot)
{
    /* the fifth character: (I)nvalid, invalid and (S)uspended */
    return strlen(snapshot->attributes) > 4 && strchr("IS", snapshot->attributes[4]);
}

int lvm_snapshot_check(const struct lvm_volume *snapshot, struct error *err)
{
    struct lvm_volume now;
    int found = lvm_find_volume(snapshot->group, snapshot->name, &now, err);
    if (found < 0)
        return -1;
    if (found == 0)
        return error_set(err, ERROR_SNAPSHOT_FAILED, "The snapshot %s/%s has gone.", snapshot->group,
                         snapshot->name);
    bool invalid = lvm_snapshot_invalid(&now);
    if (snapshot->pool[0] && !invalid)
        return check_pool(snapshot, err);
    if (invalid || now.data_percent > FULL_PERCENT)
        return error_set(err, ERROR_SCRATCH_SPACE_LOW,
                         "The snapshot of %s/%s ran full (%.1f %%): too much was written during the backup.",
                         snapshot->group, snapshot->origin, invalid ? 100 : now.data_percent);
    return 0;
}

/* A program with one option, its value, and the volume. */
static int run_on(const char *name, const char *option, const char *value, const char *group,
                  const char *volume, struct error *err)
{
    char program[PATH_MAX];
    char both[2 * LVM_NAME_SIZE];
    if (!find_program(name, program))
        return error_set(err, ERROR_TOOL_FAILED, "%s is not installed.", name);
    snprintf(both, sizeof both, "%s/%s", group, volume);
    const char *argv[] = {program, option, value, both, NULL};
    return os_process_run_through(argv, ANSWER_LIMIT, NULL, err);
}

int lvm_snapshot_extend(const struct lvm_volume *snapshot, uint64_t bytes, struct error *err)
{
    char size[32];
    snprintf(size, sizeof size, "+%llub", (unsigned long long)bytes);
    if (run_on("lvextend", "--size", size, snapshot->group, snapshot->name, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_FAILED, "The snapshot %s/%s could not be given more room.",
                          snapshot->group, snapshot->name);
    return 0;
}

/* udev, or whoever makes the nodes of devices here, may need a moment. */
static char *wait_for_node(dev_t device)
{
    char *path = disk_device_path(device);
    for (int i = 0; i < NODE_TRIES && !path; i++) {
        poll(NULL, 0, NODE_PAUSE_MS);
        path = disk_device_path(device);
    }
    return path;
}

char *lvm_snapshot_node(const struct lvm_volume *snapshot, struct error *err)
{
    struct lvm_volume active = *snapshot;
    if (active.device == 0) {
        if (run_on("lvchange", "--activate", "y", snapshot->group, snapshot->name, err) != 0)
            return NULL;
        int found = lvm_find_volume(snapshot->group, snapshot->name, &active, err);
        if (found < 0)
            return NULL;
    }
    char *path = active.device != 0 ? wait_for_node(active.device) : NULL;
    if (!path)
        error_set(err, ERROR_SNAPSHOT_FAILED, "The snapshot %s/%s has no device node.", snapshot->group,
                  snapshot->name);
    return path;
}

static int run_lvremove(const char *group, const char *name, struct error *err)
{
    char program[PATH_MAX];
    char volume[2 * LVM_NAME_SIZE];
    if (!find_program("lvremove", program))
        return error_set(err, ERROR_TOOL_FAILED, "lvremove is not installed.");
    snprintf(volume, sizeof volume, "%s/%s", group, name);
    const char *argv[] = {program, "--yes", volume, NULL};
    return os_process_run_through(argv, ANSWER_LIMIT, NULL, err);
}

int lvm_snapshot_remove(const char *group, const char *name, const char *origin, struct error *err)
{
    struct lvm_volume volume;
    int result = -1;
    if (!lvm_valid_name(group) || !lvm_valid_name(name))
        return error_set(err, ERROR_SNAPSHOT_FAILED, "\"%.80s/%.80s\" can't be a snapshot.", group, name);
    for (int i = 0; i < REMOVE_TRIES && result != 0; i++) {
        if (i > 0)
            poll(NULL, 0, REMOVE_PAUSE_MS); /* udev looks at every new device */
        int found = lvm_find_volume(group, name, &volume, err);
        if (found == 0)
            return 0;
        if (found > 0 && strcmp(volume.origin, origin) != 0)
            return error_set(err, ERROR_SNAPSHOT_FAILED, "%s/%s is no snapshot of %s; it is left alone.",
                             group, name, origin);
        if (found > 0)
            result = run_lvremove(group, name, err);
    }
    if (result == 0)
        return 0;
    return error_wrap(err, ERROR_SNAPSHOT_FAILED, "The snapshot %s/%s could not be removed.", group, name);
}
