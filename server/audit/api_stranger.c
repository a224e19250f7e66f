#include "server/audit/api_stranger.h"

#include "base/memory.h"
#include <stdlib.h>

struct stranger {
    struct audit *audit;
    char *address;
    char *action;
    struct error refused;
};

static void stranger_free(struct stranger *stranger)
{
    free(stranger->address);
    free(stranger->action);
    free(stranger);
}

static void write_down(void *cookie)
{
    struct stranger *stranger = cookie;
    struct audit_entry entry = {.address = stranger->address, .action = stranger->action};
    audit_stranger(stranger->audit, &entry, &stranger->refused);
    stranger_free(stranger);
}

void api_stranger_note(struct audit *audit, struct pool *pool, const char *address, const char *method,
                       const char *path, const struct error *refused)
{
    enum { PATH_SHOWN = 200 };
    if (!audit_stranger_counts(audit)) {
        return;
    }
    struct stranger *stranger = memory_zalloc(sizeof *stranger);
    stranger->audit = audit;
    stranger->address = memory_copy_text(address);
    stranger->action = memory_format("%s %.*s", method, PATH_SHOWN, path != NULL ? path : "/");
    stranger->refused = *refused;
    if (!pool_try_submit(pool, write_down, stranger)) {
        stranger_free(stranger);
    }
}
