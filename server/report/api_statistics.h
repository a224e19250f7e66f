/* How many requests were answered how, and how long they took: counters for metrics. Thread-safe, no locks.
 */
#ifndef HOLDFAST_SERVER_REPORT_API_STATISTICS_H
#define HOLDFAST_SERVER_REPORT_API_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

struct api_statistics;

struct api_statistics *api_statistics_create(void);
void api_statistics_destroy(struct api_statistics *statistics); /* NULL is fine */
/* status: HTTP's. microseconds: from arrival to answer. */
void api_statistics_count(struct api_statistics *statistics, int status, int64_t microseconds);

/* Upper bounds of the histogram in seconds, ends with 0; the last bucket is behind them. */
extern const double api_statistics_bounds[];
enum { API_STATISTICS_BUCKETS = 10, API_STATISTICS_STATUS_MAX = 600 };

uint64_t api_statistics_answers(const struct api_statistics *statistics, int status);
/* Answers in that bucket alone, 0 to API_STATISTICS_BUCKETS - 1. */
uint64_t api_statistics_bucket(const struct api_statistics *statistics, size_t bucket);
uint64_t api_statistics_microseconds(const struct api_statistics *statistics); /* of all */

#endif
