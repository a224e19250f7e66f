/* What access.c and access_login.c share. */
#ifndef HOLDFAST_SERVER_ACCESS_ACCESS_INTERNAL_H
#define HOLDFAST_SERVER_ACCESS_ACCESS_INTERNAL_H

#include "server/access/access.h"
#include "server/access/limits.h"

struct access {
    struct catalog *catalog;
    const char *data_directory;
    bool factor_demanded;
    bool second_person;
    int64_t idle_ms;
    int64_t session_ms;
    struct rate_limit *requests;
    struct rate_limit *logins;
    struct lockout *users;     /* wrong passwords and codes, by user */
    struct lockout *addresses; /* the same by address: more of them, since people share addresses */
};

#endif
