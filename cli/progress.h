/*
 * How far something is: a bar that is drawn over itself on a terminal, plain lines elsewhere, and only when
 * what is done changes. Not thread-safe.
 */
#ifndef HOLDFAST_CLI_PROGRESS_H
#define HOLDFAST_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress;

struct progress_state {
    const char *step; /* a few words, may be NULL */
    uint64_t done_bytes;
    uint64_t total_bytes; /* 0: not known */
    uint64_t bytes_per_second;
    int64_t seconds_left; /* -1: not known */
};

/* label: copied. terminal: `out` is one. quiet: show nothing but a bar (for --json). */
struct progress *progress_create(FILE *out, const char *label, bool terminal, bool quiet);
void progress_show(struct progress *progress, const struct progress_state *state);
/* Takes the bar away. NULL is fine. */
void progress_destroy(struct progress *progress);
/* The bar's text without its control characters, malloc'd; at most `columns` wide. */
char *progress_format(const char *label, const struct progress_state *state, size_t columns);

#endif
