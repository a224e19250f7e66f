#include "server/protection/time_zone.h"

#include "base/memory.h"
#include "base/os_file.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ZONE_FILE_MAX = 1024 * 1024, ZONE_NAME_MAX = 64, DAY_S = 86400, HEADER_SIZE = 44 };

struct rule_day { /* a day of the year at which the offset changes, POSIX.1 TZ */
    char kind;    /* 'M' month.week.day, 'J' 1-365 without leap days, '0' 0-365 */
    int month, week, day;
    int32_t time_s; /* of local time before the change */
};

struct time_zone {
    size_t transition_count;
    int64_t *transitions; /* UTC, ascending */
    int32_t *offsets;     /* from each on */
    int32_t first_offset; /* before the first */
    bool has_footer;
    bool has_dst;
    int32_t standard_offset;
    int32_t dst_offset;
    struct rule_day dst_begin, dst_end;
};

/* --- the calendar: days from civil, by Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms" */

int64_t calendar_days(int year, int month, int day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void calendar_date(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

int calendar_weekday(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7);
}

static int64_t floor_days(int64_t seconds)
{
    return (seconds >= 0 ? seconds : seconds - (DAY_S - 1)) / DAY_S;
}

/* --- the footer: a POSIX TZ string, with hours up to 167 (RFC 8536, 3.3.1) */

static bool skip_name(const char **text)
{
    const char *start = *text;
    if (**text == '<') {
        const char *end = strchr(*text, '>');
        *text = end != NULL ? end + 1 : *text;
        return end != NULL;
    }
    while (isalpha((unsigned char)**text)) {
        (*text)++;
    }
    return *text - start >= 3;
}

static bool take_number(const char **text, int maximum, int *value)
{
    char *end;
    if (!isdigit((unsigned char)**text)) {
        return false;
    }
    long number = strtol(*text, &end, 10);
    *text = end;
    *value = (int)number;
    return number >= 0 && number <= maximum;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(const char **text, int32_t *seconds)
{
    int sign = 1;
    int parts[3] = {0, 0, 0};
    if (**text == '+' || **text == '-') {
        sign = *(*text)++ == '-' ? -1 : 1;
    }
    if (!take_number(text, 167, &parts[0])) {
        return false;
    }
    for (int i = 1; i < 3 && **text == ':'; i++) {
        (*text)++;
        if (!take_number(text, 59, &parts[i])) {
            return false;
        }
    }
    *seconds = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return true;
}

static bool take_rule_day(const char **text, struct rule_day *rule)
{
    rule->time_s = 2 * 3600;
    if (**text == 'M') {
        (*text)++;
        rule->kind = 'M';
        if (!take_number(text, 12, &rule->month) || rule->month < 1 || *(*text)++ != '.' ||
            !take_number(text, 5, &rule->week) || rule->week < 1 || *(*text)++ != '.' ||
            !take_number(text, 6, &rule->day)) {
            return false;
        }
    } else {
        rule->kind = **text == 'J' ? 'J' : '0';
        *text += **text == 'J';
        if (!take_number(text, 365, &rule->day)) {
            return false;
        }
    }
    if (**text == '/') {
        (*text)++;
        return take_time(text, &rule->time_s);
    }
    return true;
}

static bool parse_footer(struct time_zone *zone, const char *text)
{
    int32_t west;
    if (!skip_name(&text) || !take_time(&text, &west)) {
        return false;
    }
    zone->standard_offset = -west;
    if (*text == '\0') {
        return true;
    }
    if (!skip_name(&text)) {
        return false;
    }
    zone->dst_offset = zone->standard_offset + 3600;
    if (*text != ',' && *text != '\0') {
        if (!take_time(&text, &west)) {
            return false;
        }
        zone->dst_offset = -west;
    }
    zone->has_dst = *text++ == ',' && take_rule_day(&text, &zone->dst_begin) && *text++ == ',' &&
                    take_rule_day(&text, &zone->dst_end) && *text == '\0';
    return zone->has_dst;
}

static int64_t rule_days(const struct rule_day *rule, int year)
{
    int64_t january = calendar_days(year, 1, 1);
    bool leap = calendar_days(year + 1, 1, 1) - january == 366;
    if (rule->kind == 'J') {
        return january + rule->day - 1 + (leap && rule->day >= 60);
    }
    if (rule->kind == '0') {
        return january + rule->day;
    }
    int64_t first = calendar_days(year, rule->month, 1);
    int64_t next =
        rule->month == 12 ? calendar_days(year + 1, 1, 1) : calendar_days(year, rule->month + 1, 1);
    int64_t day = first + (rule->day - calendar_weekday(first) + 7) % 7 + (rule->week - 1) * 7;
    return day < next ? day : day - 7;
}

static int32_t footer_offset(const struct time_zone *zone, int64_t utc_s)
{
    int year, month, day;
    if (!zone->has_dst) {
        return zone->standard_offset;
    }
    calendar_date(floor_days(utc_s + zone->standard_offset), &year, &month, &day);
    int64_t begin =
        rule_days(&zone->dst_begin, year) * DAY_S + zone->dst_begin.time_s - zone->standard_offset;
    int64_t end = rule_days(&zone->dst_end, year) * DAY_S + zone->dst_end.time_s - zone->dst_offset;
    bool dst = begin < end ? utc_s >= begin && utc_s < end : utc_s >= begin || utc_s < end;
    return dst ? zone->dst_offset : zone->standard_offset;
}

/* --- the file */

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int64_t read_i64(const uint8_t *bytes)
{
    return (int64_t)((uint64_t)read_u32(bytes) << 32 | read_u32(bytes + 4));
}

struct zone_block {
    uint32_t isut_count, isstd_count, leap_count, time_count, type_count, char_count;
    size_t size; /* behind the header */
};

static bool read_header(const uint8_t *bytes, size_t length, size_t time_size, struct zone_block *block)
{
    if (length < HEADER_SIZE || memcmp(bytes, "TZif", 4) != 0 || bytes[4] < '2') {
        return false;
    }
    uint32_t *const counts[] = {&block->isut_count, &block->isstd_count, &block->leap_count,
                                &block->time_count, &block->type_count,  &block->char_count};
    for (size_t i = 0; i < 6; i++) {
        *counts[i] = read_u32(bytes + 20 + 4 * i);
        if (*counts[i] > 10000) {
            return false;
        }
    }
    block->size = block->time_count * (time_size + 1) + block->type_count * 6 + block->char_count +
                  block->leap_count * (time_size + 4) + block->isstd_count + block->isut_count;
    /* zones that count leap seconds ("right/...") are not what clocks show */
    return block->type_count > 0 && block->leap_count == 0 && length - HEADER_SIZE >= block->size;
}

static bool read_transitions(struct time_zone *zone, const uint8_t *data, const struct zone_block *block)
{
    const uint8_t *indices = data + (size_t)block->time_count * 8;
    const uint8_t *types = indices + block->time_count;
    zone->transitions = memory_array(block->time_count + 1, sizeof *zone->transitions);
    zone->offsets = memory_array(block->time_count + 1, sizeof *zone->offsets);
    zone->transition_count = block->time_count;
    zone->first_offset = (int32_t)read_u32(types);
    for (size_t i = 0; i < block->time_count; i++) {
        if (indices[i] >= block->type_count) {
            return false;
        }
        zone->transitions[i] = read_i64(data + 8 * i);
        zone->offsets[i] = (int32_t)read_u32(types + (size_t)indices[i] * 6);
        if (i > 0 && zone->transitions[i] <= zone->transitions[i - 1]) {
            return false;
        }
    }
    return true;
}

/* The second block, of 64-bit times, and the footer; the first is for old readers. */
static bool read_zone(struct time_zone *zone, const uint8_t *bytes, size_t length)
{
    struct zone_block block;
    if (!read_header(bytes, length, 4, &block)) {
        return false;
    }
    bytes += HEADER_SIZE + block.size;
    length -= HEADER_SIZE + block.size;
    if (!read_header(bytes, length, 8, &block) || !read_transitions(zone, bytes + HEADER_SIZE, &block)) {
        return false;
    }
    const char *footer = (const char *)bytes + HEADER_SIZE + block.size;
    size_t rest = length - HEADER_SIZE - block.size;
    if (rest < 2 || footer[0] != '\n' || footer[rest - 1] != '\n') {
        return false;
    }
    char *text = memory_format("%.*s", (int)(rest - 2), footer + 1);
    zone->has_footer = *text != '\0';
    bool valid = !zone->has_footer || parse_footer(zone, text);
    free(text);
    return valid;
}

static bool name_is_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_+-";
    return *name != '\0' && strlen(name) <= ZONE_NAME_MAX && name[strspn(name, allowed)] == '\0' &&
           name[0] != '/' && strstr(name, "//") == NULL;
}

struct time_zone *time_zone_open(const char *name, struct error *err)
{
    struct time_zone *zone = memory_zalloc(sizeof *zone);
    uint8_t *bytes = NULL;
    size_t length;
    bool known = strcmp(name, "UTC") == 0;
    if (!known && name_is_valid(name)) {
        char *path = memory_format("/usr/share/zoneinfo/%s", name);
        known = os_file_read_whole(path, ZONE_FILE_MAX, &bytes, &length, err) == 0 &&
                read_zone(zone, bytes, length);
        free(path);
        free(bytes);
    }
    if (!known) {
        error_set(err, ERROR_SCHEDULE_INVALID,
                  "timezone: this system has no time zone \"%.64s\" (a name such as Europe/Zurich)", name);
        time_zone_close(zone);
        return NULL;
    }
    return zone;
}

void time_zone_close(struct time_zone *zone)
{
    if (zone != NULL) {
        free(zone->transitions);
        free(zone->offsets);
        free(zone);
    }
}

int32_t time_zone_offset(const struct time_zone *zone, int64_t utc_s)
{
    size_t low = 0, high = zone->transition_count;
    while (low < high) { /* the first transition behind utc_s */
        size_t middle = low + (high - low) / 2;
        if (zone->transitions[middle] <= utc_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == zone->transition_count && zone->has_footer) {
        return footer_offset(zone, utc_s);
    }
    return low == 0 ? zone->first_offset : zone->offsets[low - 1];
}

int64_t time_zone_to_utc(const struct time_zone *zone, int64_t local_s)
{
    int32_t before = time_zone_offset(zone, local_s - DAY_S);
    int32_t after = time_zone_offset(zone, local_s + DAY_S);
    if (time_zone_offset(zone, local_s - before) == before) {
        return local_s - before;
    }
    if (time_zone_offset(zone, local_s - after) == after) {
        return local_s - after;
    }
    int64_t low = local_s - (before > after ? before : after),
            high = local_s - (before < after ? before : after);
    while (high - low > 1) { /* the change lies between */
        int64_t middle = low + (high - low) / 2;
        if (time_zone_offset(zone, middle) == before) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}
