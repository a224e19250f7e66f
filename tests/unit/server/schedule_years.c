/*
 * The calendar and the scheduler on a clock that schedule_years.py moves; it computes by itself what must
 * come out.
 *
 * schedule_years runs KIND WHAT DAYS ZONE FROM UNTIL     prints the runs in [FROM, UNTIL), seconds since 1970
 * schedule_years clock DIRECTORY FROM < SCRIPT           the scheduler over a catalog in DIRECTORY
 *     group NAME KIND WHAT DAYS ZONE SPREAD              a group of its own policy; prints `vm NAME ID` twice
 *     look SECONDS                                       prints `SECONDS ID` for each backup that it starts
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "server/protection/protection.h"
#include "server/protection/schedule.h"
#include "server/protection/scheduler.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECOND_MS = 1000, LINE_MAX_BYTES = 512, VMS = 2 };

static _Noreturn void stop(const struct error *err)
{
    char text[3 * ERROR_TEXT_MAX];
    fprintf(stderr, "%s\n", error_format(err, text, sizeof text));
    exit(1);
}

static void read_policy(struct catalog_policy *policy, const char *kind, const char *what, const char *days,
                        const char *zone)
{
    struct error err;
    policy_default(policy);
    policy->name = "policy";
    schedule_kind_parse(kind, &policy->schedule);
    policy->interval_minutes = policy->hour_minute = (unsigned)strtoul(what, NULL, 10);
    policy->daily_times = what;
    policy->days = (unsigned)strtoul(days, NULL, 10);
    policy->time_zone = zone;
    if (schedule_check(policy, 1, &err) != 0) {
        stop(&err);
    }
}

static void print_runs(char *const *argv)
{
    struct error err;
    struct catalog_policy policy;
    read_policy(&policy, argv[0], argv[1], argv[2], argv[3]);
    struct time_zone *zone = time_zone_open(policy.time_zone, &err);
    if (zone == NULL) {
        stop(&err);
    }
    int64_t until_ms = strtoll(argv[5], NULL, 10) * SECOND_MS;
    int64_t at_ms = strtoll(argv[4], NULL, 10) * SECOND_MS - 1;
    while ((at_ms = schedule_next(&policy, zone, at_ms)) != SCHEDULE_NEVER && at_ms < until_ms) {
        printf("%" PRId64 "\n", at_ms / SECOND_MS);
    }
    time_zone_close(zone);
}

/* --- the scheduler */

struct look_cookie {
    int64_t now_s;
};

static int print_start(void *cookie, const struct catalog_group *group, const struct catalog_vm *vm,
                       struct error *err)
{
    (void)group;
    (void)err;
    printf("%" PRId64 " %s\n", ((struct look_cookie *)cookie)->now_s, vm->id);
    return 0;
}

static void make_vms(struct catalog *catalog, struct arena *arena, const char *group_name,
                     const char *group_id)
{
    struct error err;
    char id[VMS][IDENTITY_SIZE];
    for (size_t i = 0; i < VMS; i++) {
        identity_create(id[i]);
        struct catalog_vm vm = {.id = id[i],
                                .host_id = "host",
                                .uuid = id[i],
                                .kind = "kvm",
                                .name = arena_format(arena, "%s-%zu", group_name, i),
                                .power = "off",
                                .guest_agent = "none",
                                .tracking = "none"};
        if (catalog_vm_insert(catalog, &vm, &err) != 0 ||
            catalog_group_add(catalog, group_id, id[i], &err) != 0) {
            stop(&err);
        }
        printf("vm %s %s\n", group_name, id[i]);
    }
}

static void make_group(struct catalog *catalog, char *line)
{
    struct error err;
    char policy_id[IDENTITY_SIZE];
    char group_id[IDENTITY_SIZE];
    char *words[7] = {NULL};
    size_t count = 0;
    for (char *word = strtok(line, " \n"); word != NULL && count < 7; word = strtok(NULL, " \n")) {
        words[count++] = word;
    }
    if (count != 7) {
        fprintf(stderr, "a line of the script has %zu words\n", count);
        exit(1);
    }
    struct catalog_policy policy;
    read_policy(&policy, words[2], words[3], words[4], words[5]);
    policy.name = words[1];
    policy.spread_minutes = (unsigned)strtoul(words[6], NULL, 10);
    identity_create(group_id);
    struct catalog_group group = {.id = group_id, .name = words[1], .policy_id = policy_id};
    if (policy_create(catalog, &policy, policy_id, &err) != 0 ||
        catalog_group_insert(catalog, &group, &err) != 0) {
        stop(&err);
    }
    struct arena *arena = arena_create();
    make_vms(catalog, arena, words[1], group_id);
    arena_destroy(arena);
    fflush(stdout); /* the script waits for it */
}

static void look(struct catalog *catalog, const char *seconds)
{
    struct error err;
    struct look_cookie cookie = {strtoll(seconds, NULL, 10)};
    clock_test_set(cookie.now_s * SECOND_MS);
    if (scheduler_look(catalog, cookie.now_s * SECOND_MS, print_start, &cookie, &err) != 0) {
        stop(&err);
    }
}

static void run_clock(const char *directory, const char *from)
{
    struct error err;
    char line[LINE_MAX_BYTES];
    char *path = os_path_join(directory, "catalog.db");
    clock_test_set(strtoll(from, NULL, 10) * SECOND_MS);
    struct catalog *catalog = catalog_open(path, &err);
    struct catalog_host host = {.id = "host",
                                .name = "host",
                                .serial = "",
                                .previous_serial = "",
                                .software = "",
                                .system = "",
                                .kinds = "kvm",
                                .address = ""};
    if (catalog == NULL || catalog_host_put(catalog, &host, &err) != 0) {
        stop(&err);
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strncmp(line, "look ", 5) == 0) {
            look(catalog, line + 5);
        } else {
            make_group(catalog, line);
        }
    }
    catalog_close(catalog);
    free(path);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "runs") == 0) {
        print_runs(argv + 2);
    } else if (argc == 4 && strcmp(argv[1], "clock") == 0) {
        run_clock(argv[2], argv[3]);
    } else {
        return 2;
    }
    return 0;
}
