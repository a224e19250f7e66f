/*
 * Values as people read them. Everything returned is malloc'd.
 */
#ifndef HOLDFAST_CLI_TEXT_H
#define HOLDFAST_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A copy that is safe on a terminal: control characters (names come from hosts and guests) become '?'. NULL
 * gives "-". */
char *text_printable(const char *text);
/* Columns that the text takes on a terminal: its UTF-8 characters. */
size_t text_width(const char *text);
/* "0 B", "1.5 GiB". */
char *text_size(uint64_t bytes);
/* "500K", "20M", "1G", "1.5G" (of 1024), "1048576"; a "B/s", "iB" or the like behind it is accepted. -1 when
 * it is something else. */
int text_parse_size(const char *text, uint64_t *bytes);
/* Days of the week, bit 0 Sunday: "mon,wed" into bits, -1 when it is something else; and back, "daily" for
 * all. */
int text_parse_days(const char *text);
char *text_days(unsigned days);
/* "2026-01-31 10:00:00" in local time, from RFC 3339; "-" for NULL, the text itself when it is something
 * else. */
char *text_time(const char *rfc3339);
/* "0:07", "1:02:03". */
char *text_duration(uint64_t seconds);
/* The one of `count` names that is nearest to what was typed, NULL when none is near. Names are borrowed. */
const char *text_nearest(const char *typed, const char *const *names, size_t count);

#endif
