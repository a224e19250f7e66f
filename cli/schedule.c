#include "cli/schedule.h"

#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

enum { WEEK_MINUTES = 7 * 24 * 60, DAY_MINUTES = 24 * 60, EVERY_DAY = 127 };

static void set_kind(json_t *object, const char *kind, const char *field, json_t *value)
{
    json_object_set_new(object, "kind", json_string(kind));
    if (field != NULL) {
        json_object_set_new(object, field, value);
    }
}

/* A number from an option into a field; whether it was given, or -1. */
static int add_number(const struct cli *cli, const char *option, long minimum, long maximum, json_t *object,
                      const char *field, struct failure *failure)
{
    long number = 0;
    int given = arguments_number(cli->arguments, option, minimum, maximum, &number, failure);
    if (given > 0) {
        json_object_set_new(object, field, json_integer(number));
    }
    return given;
}

static int read_kind(const struct cli *cli, json_t *object, struct failure *failure)
{
    const char *daily = arguments_value(cli->arguments, "daily");
    const char *weekly = arguments_value(cli->arguments, "weekly");
    bool manual = arguments_flag(cli->arguments, "manual");
    int every = add_number(cli, "every", 1, WEEK_MINUTES, object, "interval_minutes", failure);
    int hourly = every < 0 ? -1 : add_number(cli, "hourly", 0, 59, object, "hour_minute", failure);
    if (hourly < 0) {
        return -1;
    }
    if (every + hourly + (daily != NULL) + (weekly != NULL) + manual > 1) {
        return failure_set(failure, ERROR_REQUEST_INVALID,
                           "Of --every, --hourly, --daily, --weekly and --manual only one can be given");
    }
    if (every > 0) {
        set_kind(object, "interval", NULL, NULL);
    } else if (hourly > 0) {
        set_kind(object, "hourly", NULL, NULL);
    } else if (daily != NULL) {
        set_kind(object, "daily", "daily_times", json_string(daily));
    } else if (weekly != NULL) {
        set_kind(object, "weekly", "daily_times", json_string(weekly));
    } else if (manual) {
        set_kind(object, "manual", NULL, NULL);
    }
    return 0;
}

static int read_rest(const struct cli *cli, json_t *object, struct failure *failure)
{
    const char *days = arguments_value(cli->arguments, "days");
    const char *zone = arguments_value(cli->arguments, "timezone");
    if (days != NULL && text_parse_days(days) < 0) {
        return failure_set(failure, ERROR_SCHEDULE_INVALID, "“%s” are no days: mon,tue,wed,thu,fri,sat,sun",
                           days);
    }
    if (days != NULL) {
        json_object_set_new(object, "days", json_integer(text_parse_days(days)));
    }
    if (zone != NULL) {
        json_object_set_new(object, "timezone", json_string(zone));
    }
    return add_number(cli, "spread", 0, DAY_MINUTES, object, "spread_minutes", failure) < 0 ? -1 : 0;
}

int schedule_read_options(const struct cli *cli, json_t **schedule, struct failure *failure)
{
    json_t *object = json_object();
    int result = read_kind(cli, object, failure) != 0 || read_rest(cli, object, failure) != 0 ? -1 : 0;
    if (result == 0 && json_object_size(object) > 0) {
        *schedule = object;
    } else {
        json_decref(object);
    }
    return result;
}

/* " on mon,tue Europe/Zurich" where a schedule that has no times of a day is kept to days. */
static char *days_text(const json_t *schedule)
{
    uint64_t days = cli_number(schedule, "days");
    if (days == EVERY_DAY) {
        return memory_copy_text("");
    }
    char *on = text_days((unsigned)days);
    char *text = memory_format(" on %s", on);
    free(on);
    return text;
}

char *schedule_text_of(const json_t *policy)
{
    const json_t *schedule = cli_member(policy, "schedule");
    const char *kind = cli_text(schedule, "kind");
    const char *zone = cli_text(schedule, "timezone");
    const char *times = cli_text(schedule, "daily_times");
    if (kind == NULL || strcmp(kind, "manual") == 0) {
        return memory_copy_text("manual");
    }
    zone = zone != NULL ? zone : "";
    char *days = days_text(schedule);
    char *text;
    if (strcmp(kind, "interval") == 0) {
        bool zoned = *days != '\0';
        text = memory_format("every %llu min%s%s%s",
                             (unsigned long long)cli_number(schedule, "interval_minutes"), days,
                             zoned ? " " : "", zoned ? zone : "");
    } else if (strcmp(kind, "hourly") == 0) {
        text = memory_format("hourly at :%02llu%s %s",
                             (unsigned long long)cli_number(schedule, "hour_minute"), days, zone);
    } else {
        char *on = text_days((unsigned)cli_number(schedule, "days"));
        text = memory_format("%s at %s %s", on, times != NULL ? times : "?", zone);
        free(on);
    }
    free(days);
    uint64_t spread = cli_number(schedule, "spread_minutes");
    if (spread > 0) {
        char *longer = memory_format("%s, spread over %llu min", text, (unsigned long long)spread);
        free(text);
        text = longer;
    }
    return text;
}
