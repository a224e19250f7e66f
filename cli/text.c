#include "cli/text.h"

#include "base/clock.h"
#include "base/memory.h"
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { NEAREST_LENGTH_MAX = 48, NEAREST_DISTANCE_MAX = 3 };

char *text_printable(const char *text)
{
    char *copy = memory_copy_text(text != NULL ? text : "-");
    for (unsigned char *c = (unsigned char *)copy; *c != '\0'; c++) {
        /* C1 controls are two bytes in UTF-8: 0xC2, then 0x80 to 0x9F. */
        if (*c < 0x20 || *c == 0x7f) {
            *c = '?';
        } else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f) {
            c[0] = '?';
            c[1] = '?';
        }
    }
    return copy;
}

size_t text_width(const char *text)
{
    size_t width = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        width += (*c & 0xc0) != 0x80;
    }
    return width;
}

char *text_size(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    return unit == 0 ? memory_format("%" PRIu64 " B", bytes) : memory_format("%.1f %s", value, units[unit]);
}

int text_parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    static const char *const tails[] = {"", "B", "iB", "/s", "B/s", "iB/s"};
    char *end;
    double number = strtod(text, &end);
    const char *unit = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (end == text || !(number >= 0)) {
        return -1;
    }
    if (unit != NULL) {
        number = ldexp(number, 10 * (int)(unit - units + 1));
        end++;
    }
    size_t tail = 0;
    while (tail < sizeof tails / sizeof tails[0] && strcmp(end, tails[tail]) != 0) {
        tail++;
    }
    if (tail == sizeof tails / sizeof tails[0] || number >= 9e18) {
        return -1;
    }
    *bytes = (uint64_t)number;
    return 0;
}

static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

enum { DAYS = 7, ALL_DAYS = 127 };

int text_parse_days(const char *text)
{
    int days = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        int day = 0;
        while (day < DAYS &&
               (length != strlen(day_names[day]) || strncasecmp(text, day_names[day], length) != 0)) {
            day++;
        }
        if (day == DAYS) {
            return -1;
        }
        days |= 1 << day;
        text += length + (text[length] == ',');
    }
    return days > 0 ? days : -1;
}

char *text_days(unsigned days)
{
    char *text = memory_copy_text((days & ALL_DAYS) == ALL_DAYS ? "daily" : "");
    for (int day = 0; day < DAYS && (days & ALL_DAYS) != ALL_DAYS; day++) {
        if ((days >> day & 1) != 0) {
            char *longer = memory_format("%s%s%s", text, *text != '\0' ? "," : "", day_names[day]);
            free(text);
            text = longer;
        }
    }
    return text;
}

char *text_time(const char *rfc3339)
{
    int64_t wall_ms;
    struct tm local;
    char out[32];
    if (rfc3339 == NULL) {
        return memory_copy_text("-");
    }
    if (clock_parse_wall(rfc3339, &wall_ms) != 0) {
        return text_printable(rfc3339);
    }
    time_t seconds = (time_t)(wall_ms / 1000);
    if (localtime_r(&seconds, &local) == NULL ||
        strftime(out, sizeof out, "%Y-%m-%d %H:%M:%S", &local) == 0) {
        return text_printable(rfc3339);
    }
    return memory_copy_text(out);
}

char *text_duration(uint64_t seconds)
{
    uint64_t hours = seconds / 3600;
    uint64_t minutes = seconds / 60 % 60;
    if (hours > 0) {
        return memory_format("%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, hours, minutes, seconds % 60);
    }
    return memory_format("%" PRIu64 ":%02" PRIu64, minutes, seconds % 60);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours between the two (optimal string alignment). */
static size_t distance_between(const char *a, const char *b)
{
    size_t rows[3][NEAREST_LENGTH_MAX + 1];
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    for (size_t j = 0; j <= b_length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a_length % 3][b_length];
}

const char *text_nearest(const char *typed, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t limit = least(NEAREST_DISTANCE_MAX, strlen(typed) / 2);
    size_t best = limit + 1;
    if (strlen(typed) > NEAREST_LENGTH_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) > NEAREST_LENGTH_MAX) {
            continue;
        }
        size_t distance = distance_between(typed, names[i]);
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
