/*
 * The roles of users, and which of a server's objects a route deals with. A viewer sees; an operator backs up
 * and restores, too; an administrator does everything.
 */
#ifndef HOLDFAST_SERVER_ACCESS_ROLE_H
#define HOLDFAST_SERVER_ACCESS_ROLE_H

#include <stdbool.h>

/* The first is the strictest, so that what was forgotten is closed. */
enum access_role {
    ROLE_ADMINISTRATOR,
    ROLE_OPERATOR,
    ROLE_VIEWER,
    ROLE_ANYONE, /* of routes only: no token is needed */
};

const char *access_role_name(enum access_role role);             /* "administrator", ... */
int access_role_parse(const char *name, enum access_role *role); /* -1 for an unknown name, and for anyone */
/* May one with the role `has` do what needs `needs`? */
bool access_role_allows(enum access_role has, enum access_role needs);
/* The lesser of two. */
enum access_role access_role_lesser(enum access_role a, enum access_role b);

/* What users that are scoped to groups get of a route. Objects are named by path, query and body alike, and
 * those outside their groups are not there for them. */
enum access_scope {
    SCOPE_SERVER,   /* nothing: it concerns the whole server */
    SCOPE_NAMED,    /* it deals with the objects that the request names */
    SCOPE_HOSTS,    /* it lists hosts: those that have VMs of their groups */
    SCOPE_VMS,      /* VMs of their groups */
    SCOPE_POLICIES, /* policies of their groups */
    SCOPE_GROUPS,
    SCOPE_POINTS, /* of VMs of their groups */
    SCOPE_JOBS,   /* of VMs of their groups */
};

#endif
