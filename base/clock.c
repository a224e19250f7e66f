#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Test clock: when set, both clocks are these values. */
static atomic_bool test_set;
static _Atomic int64_t test_wall_ms;
static _Atomic int64_t test_monotonic_ms;

static int64_t clock_read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return atomic_load(&test_set) ? atomic_load(&test_wall_ms) : clock_read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_monotonic_us(void)
{
    return atomic_load(&test_set) ? atomic_load(&test_monotonic_ms) * 1000 : clock_read_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

struct timespec clock_deadline(int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

void clock_test_set(int64_t wall_ms)
{
    atomic_store(&test_wall_ms, wall_ms);
    atomic_store(&test_monotonic_ms, wall_ms);
    atomic_store(&test_set, true);
}

void clock_test_advance_ms(int64_t ms)
{
    atomic_fetch_add(&test_wall_ms, ms);
    atomic_fetch_add(&test_monotonic_ms, ms);
}

void clock_test_clear(void)
{
    atomic_store(&test_set, false);
}

const char *clock_format_wall(int64_t wall_ms, char *out)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    int milliseconds = (int)(wall_ms % 1000);
    if (milliseconds < 0) {
        milliseconds += 1000;
        seconds--;
    }
    struct tm utc;
    char date[CLOCK_TEXT_SIZE] = "";
    if (gmtime_r(&seconds, &utc) == NULL || utc.tm_year < -1900 || utc.tm_year > 9999 - 1900 ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc) == 0) {
        memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_SIZE);
        return out;
    }
    snprintf(out, CLOCK_TEXT_SIZE, "%.19s.%03dZ", date, milliseconds % 1000);
    return out;
}

/* Exactly `digits` digits at *text, which moves on. */
static int parse_digits(const char **text, int digits, int *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9') {
            return -1;
        }
        *value = *value * 10 + (c - '0');
    }
    *text += digits;
    return 0;
}

static int parse_literal(const char **text, char wanted)
{
    if (**text != wanted) {
        return -1;
    }
    (*text)++;
    return 0;
}

static int parse_fraction(const char **text, int *milliseconds)
{
    int scale = 100;
    *milliseconds = 0;
    if (**text != '.') {
        return 0;
    }
    (*text)++;
    if (**text < '0' || **text > '9') {
        return -1;
    }
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        *milliseconds += (**text - '0') * scale;
        scale /= 10;
    }
    return 0;
}

static int parse_offset(const char **text, int *offset_minutes)
{
    int hours;
    int minutes;
    *offset_minutes = 0;
    if (**text == 'Z' || **text == 'z') {
        (*text)++;
        return 0;
    }
    int sign = **text == '+' ? 1 : **text == '-' ? -1 : 0;
    if (sign == 0) {
        return -1;
    }
    (*text)++;
    if (parse_digits(text, 2, &hours) != 0 || parse_literal(text, ':') != 0 ||
        parse_digits(text, 2, &minutes) != 0 || hours > 23 || minutes > 59) {
        return -1;
    }
    *offset_minutes = sign * (hours * 60 + minutes);
    return 0;
}

int clock_parse_wall(const char *text, int64_t *wall_ms)
{
    struct tm utc = {0};
    int milliseconds = 0;
    int offset_minutes = 0;
    if (parse_digits(&text, 4, &utc.tm_year) != 0 || parse_literal(&text, '-') != 0 ||
        parse_digits(&text, 2, &utc.tm_mon) != 0 || parse_literal(&text, '-') != 0 ||
        parse_digits(&text, 2, &utc.tm_mday) != 0) {
        return -1;
    }
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    if (*text != '\0') {
        if ((*text != 'T' && *text != 't' && *text != ' ') ||
            (text++, parse_digits(&text, 2, &utc.tm_hour) != 0) || parse_literal(&text, ':') != 0 ||
            parse_digits(&text, 2, &utc.tm_min) != 0 || parse_literal(&text, ':') != 0 ||
            parse_digits(&text, 2, &utc.tm_sec) != 0 || parse_fraction(&text, &milliseconds) != 0 ||
            parse_offset(&text, &offset_minutes) != 0 || *text != '\0' || utc.tm_hour > 23 ||
            utc.tm_min > 59 || utc.tm_sec > 60) {
            return -1;
        }
    }
    struct tm wanted = utc;
    time_t seconds = timegm(&utc);
    /* timegm moves a day that does not exist to one that does. */
    if (utc.tm_mday != wanted.tm_mday || utc.tm_mon != wanted.tm_mon) {
        if (wanted.tm_sec != 60) {
            return -1;
        }
    }
    *wall_ms = ((int64_t)seconds - (int64_t)offset_minutes * 60) * 1000 + milliseconds;
    return 0;
}
