/*
 * Does a VM's newest change look like ransomware? Pure computation on what each recovery point already knows:
 * how many bytes changed, and how much of them the store had to keep (encrypted data does not compress).
 *
 * The rule. Rates are bytes a day (intervals shorter than an hour count as an hour). "Usual" is the median of
 * the VM's own last points, "spread" is 1.4826 times their median absolute deviation (MAD), which is the
 * standard deviation where values are normally distributed, but is not moved by a few odd days; it counts as
 * a quarter of the median at least. A point is suspicious when
 *   1. there are at least ANOMALY_HISTORY_MIN points to compare with,
 *   2. at least ANOMALY_STORED_MIN bytes, and 1/200 of the VM's size, were stored for it, and either
 *   3a. the rate of stored bytes is above the usual by 6 spreads and three times the usual, at least half of
 *       what changed could not be compressed away, and that share is above the usual one by 0.15 and 3
 * spreads; or 3b. the rate of changed bytes is above the usual by 6 spreads and four times the usual, and at
 * least 80 % of it could not be compressed away. So a large update that compresses as the VM's data always
 * did is none, nor is an ordinary day of a VM whose data never compresses.
 *
 * Source of the statistics: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993). Thread-safe.
 */
#ifndef HOLDFAST_SERVER_ALERTS_ANOMALY_H
#define HOLDFAST_SERVER_ALERTS_ANOMALY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ANOMALY_HISTORY_MIN = 5, ANOMALY_HISTORY_MAX = 30, ANOMALY_STORED_MIN = 16 * 1024 * 1024 };

struct change_sample {
    int64_t interval_ms; /* since the point before */
    uint64_t changed_bytes;
    uint64_t stored_bytes;
};

struct anomaly_verdict {
    bool suspicious;
    uint64_t changed_per_day;
    uint64_t usual_changed_per_day;
    unsigned percent; /* of what changed that was stored */
    unsigned usual_percent;
};

/* history: of the same VM, in any order; more than ANOMALY_HISTORY_MAX are not looked at. */
void anomaly_judge(const struct change_sample *history, size_t count, const struct change_sample *newest,
                   uint64_t vm_bytes, struct anomaly_verdict *verdict);

#endif
