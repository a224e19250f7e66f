#include "server/access/role.h"

#include <string.h>

static const char *const names[] = {"administrator", "operator", "viewer", "anyone"};

const char *access_role_name(enum access_role role)
{
    return names[role];
}

int access_role_parse(const char *name, enum access_role *role)
{
    for (int i = ROLE_ADMINISTRATOR; i < ROLE_ANYONE; i++) {
        if (strcmp(names[i], name) == 0) {
            *role = (enum access_role)i;
            return 0;
        }
    }
    return -1;
}

bool access_role_allows(enum access_role has, enum access_role needs)
{
    return has <= needs;
}

enum access_role access_role_lesser(enum access_role a, enum access_role b)
{
    return a > b ? a : b;
}
