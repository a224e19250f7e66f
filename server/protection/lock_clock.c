#include "server/protection/lock_clock.h"

#include "base/clock.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char setting_name[] = "lock_clock";
static const int64_t clock_is_set_ms = 1735689600000; /* 2025-01-01 */
enum { SAVE_MS = 60000, MINUTE_MS = 60000, HOUR_MS = 3600000 };

void lock_clock_count(struct lock_clock_mark *mark, const char *boot, int64_t boot_ms, int64_t wall_ms,
                      struct lock_time *time)
{
    if (mark->counted_ms < clock_is_set_ms) {
        mark->counted_ms = wall_ms;
    } else if (strcmp(mark->boot, boot) == 0 && boot_ms > mark->boot_ms) {
        mark->counted_ms += boot_ms - mark->boot_ms;
    }
    snprintf(mark->boot, sizeof mark->boot, "%s", boot);
    mark->boot_ms = boot_ms;
    bool behind = mark->counted_ms < wall_ms;
    time->now_ms = behind ? mark->counted_ms : wall_ms;
    time->begin_ms = behind ? wall_ms : mark->counted_ms;
    mark->behind_ms = time->behind_ms = behind ? wall_ms - mark->counted_ms : 0;
}

/* Which boot of the machine this is; one that can't be told is never the same as another. */
static void read_boot(char boot[LOCK_CLOCK_BOOT_SIZE])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL || fgets(boot, LOCK_CLOCK_BOOT_SIZE, file) == NULL) {
        snprintf(boot, LOCK_CLOCK_BOOT_SIZE, "unknown-%" PRId64, clock_wall_ms());
    }
    boot[strcspn(boot, "\n ")] = '\0';
    if (file != NULL) {
        fclose(file);
    }
}

static int64_t since_boot_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int save(struct catalog *catalog, const struct lock_clock_mark *mark, struct error *err)
{
    char text[LOCK_CLOCK_BOOT_SIZE + 96];
    snprintf(text, sizeof text, "%" PRId64 " %" PRId64 " %" PRId64 " %s", mark->counted_ms, mark->behind_ms,
             mark->boot_ms, mark->boot);
    return catalog_setting_set(catalog, setting_name, text, err);
}

/* As it was saved; one that can't be read is none. */
static void parse(const char *text, struct lock_clock_mark *mark)
{
    char *end;
    *mark = (struct lock_clock_mark){0};
    int64_t counted_ms = strtoll(text, &end, 10);
    int64_t behind_ms = strtoll(end, &end, 10);
    int64_t boot_ms = strtoll(end, &end, 10);
    if (*end == ' ' && strlen(end + 1) < sizeof mark->boot) {
        mark->counted_ms = counted_ms;
        mark->behind_ms = behind_ms;
        mark->boot_ms = boot_ms;
        memcpy(mark->boot, end + 1, strlen(end + 1) + 1);
    }
}

int lock_clock_read(struct catalog *catalog, struct lock_time *time, struct error *err)
{
    struct lock_clock_mark before = {0};
    char boot[LOCK_CLOCK_BOOT_SIZE];
    const char *text = NULL;
    struct arena *arena = arena_create();
    int result = catalog_setting_get(catalog, arena, setting_name, &text, err);
    if (text != NULL) {
        parse(text, &before);
    }
    arena_destroy(arena);
    if (result != 0) {
        return -1;
    }
    struct lock_clock_mark mark = before;
    read_boot(boot);
    lock_clock_count(&mark, boot, since_boot_ms(), clock_wall_ms(), time);
    bool same = strcmp(before.boot, mark.boot) == 0;
    if (same && mark.counted_ms - before.counted_ms < SAVE_MS) {
        return 0; /* within one boot nothing is lost by it */
    }
    if (before.counted_ms != 0 && mark.behind_ms - before.behind_ms > HOUR_MS) {
        log_event(LOG_WARNING, "the clock went ahead of the time that retention locks count by",
                  "minutes=%" PRId64 " reason=%s", (mark.behind_ms - before.behind_ms) / MINUTE_MS,
                  same ? "set" : "machine-off");
    }
    return save(catalog, &mark, err);
}
