/* The words of the catalog's enumerations, as they are stored and shown. */
#include "server/catalog/catalog.h"

#include <string.h>

static const char *const host_states[] = {"connected", "unreachable", "outdated", "retired"};
static const char *const schedule_kinds[] = {"manual", "interval", "hourly", "daily", "weekly"};
static const char *const policy_priorities[] = {"high", "normal", "low"};
static const char *const job_types[] = {"backup",  "check",   "restore",        "verify",
                                        "rebuild", "collect", "configure-group"};
static const char *const job_states[] = {"queued", "running",  "completed", "completed-with-warnings",
                                         "failed", "cancelled"};
static const char *const job_phase_states[] = {"none", "running", "completed", "skipped", "failed"};
static const char *const job_log_levels[] = {"information", "warning", "error"};

static int name_parse(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

#define NAME_PARSE(names, name) name_parse(names, sizeof(names) / sizeof(names)[0], name)

const char *host_state_name(enum host_state state)
{
    return host_states[state];
}

int host_state_parse(const char *name, enum host_state *state)
{
    int value = NAME_PARSE(host_states, name);
    *state = (enum host_state)(value < 0 ? 0 : value);
    return value < 0 ? -1 : 0;
}

const char *schedule_kind_name(enum schedule_kind kind)
{
    return schedule_kinds[kind];
}

int schedule_kind_parse(const char *name, enum schedule_kind *kind)
{
    int value = NAME_PARSE(schedule_kinds, name);
    *kind = (enum schedule_kind)(value < 0 ? 0 : value);
    return value < 0 ? -1 : 0;
}

const char *policy_priority_name(enum policy_priority priority)
{
    return policy_priorities[priority];
}

int policy_priority_parse(const char *name, enum policy_priority *priority)
{
    int value = NAME_PARSE(policy_priorities, name);
    *priority = (enum policy_priority)(value < 0 ? (int)PRIORITY_NORMAL : value);
    return value < 0 ? -1 : 0;
}

const char *job_type_name(enum job_type type)
{
    return job_types[type];
}

int job_type_parse(const char *name, enum job_type *type)
{
    int value = NAME_PARSE(job_types, name);
    *type = (enum job_type)(value < 0 ? 0 : value);
    return value < 0 ? -1 : 0;
}

const char *job_state_name(enum job_state state)
{
    return job_states[state];
}

int job_state_parse(const char *name, enum job_state *state)
{
    int value = NAME_PARSE(job_states, name);
    *state = (enum job_state)(value < 0 ? 0 : value);
    return value < 0 ? -1 : 0;
}

bool job_state_is_final(enum job_state state)
{
    return state != JOB_QUEUED && state != JOB_RUNNING;
}

const char *job_phase_state_name(enum job_phase_state state)
{
    return job_phase_states[state];
}

int job_phase_state_parse(const char *name, enum job_phase_state *state)
{
    int value = NAME_PARSE(job_phase_states, name);
    *state = (enum job_phase_state)(value < 0 ? 0 : value);
    return value < 0 ? -1 : 0;
}

const char *job_log_level_name(enum job_log_level level)
{
    return job_log_levels[level];
}

int job_log_level_parse(const char *name, enum job_log_level *level)
{
    int value = NAME_PARSE(job_log_levels, name);
    *level = (enum job_log_level)(value < 0 ? 0 : value);
    return value < 0 ? -1 : 0;
}
