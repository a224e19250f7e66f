#include "server/jobs/job_history.h"

#include "base/clock.h"
#include "server/catalog/catalog_job_list.h"

enum { PIECE = 200, PIECES_MAX = 100, DAYS_MAX = 36500 };

int job_history_prune(struct server *server, struct error *err)
{
    const int64_t day_ms = 24 * 3600 * (int64_t)1000;
    int64_t days;
    bool any = true;
    if (config_integer(server_config(server), "job-history-days", 1, DAYS_MAX, &days, err) != 0) {
        return -1;
    }
    int64_t before_ms = clock_wall_ms() - days * day_ms;
    for (unsigned i = 0; i < PIECES_MAX && any; i++) {
        if (catalog_job_prune(server_catalog(server), before_ms, PIECE, &any, err) != 0) {
            return -1;
        }
    }
    return 0;
}
