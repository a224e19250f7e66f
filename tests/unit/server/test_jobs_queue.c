/* Who goes first when jobs wait: the engine with one place, against hosts that refuse every backup. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/jobs/jobs_internal.h"
#include "server/protection/schedule.h"
#include <pthread.h>
#include <time.h>

enum { BEGUN_MAX = 64, HOUR_MS = 3600 * 1000 };

struct refusing_host {
    pthread_mutex_t lock; /* guards the rest */
    bool connected;
    char begun[BEGUN_MAX][64];
    size_t count;
};

static bool fake_connected(void *self, const char *host_id)
{
    struct refusing_host *host = self;
    (void)host_id;
    pthread_mutex_lock(&host->lock);
    bool connected = host->connected;
    pthread_mutex_unlock(&host->lock);
    return connected;
}

static void fake_call(void *self, const char *host_id, enum agent_method method,
                      const ProtobufCMessage *request, int64_t deadline_ms, rpc_done done, void *cookie)
{
    struct refusing_host *host = self;
    struct error err;
    (void)host_id;
    (void)deadline_ms;
    if (method == AGENT_BACKUP_BEGIN) {
        const Holdfast__BackupBeginRequest *begin = (const void *)request;
        pthread_mutex_lock(&host->lock);
        assert_true(host->count < BEGUN_MAX);
        snprintf(host->begun[host->count++], sizeof host->begun[0], "%s", begin->vm_uuid);
        pthread_mutex_unlock(&host->lock);
    }
    error_set(&err, ERROR_VM_NOT_FOUND, "It is not there");
    done(cookie, NULL, &err);
}

static int no_seed(void *self, const char *vm_id, char point_id[IDENTITY_SIZE], struct error *err)
{
    (void)self;
    (void)vm_id;
    (void)point_id;
    (void)err;
    return 0;
}

static int room(void *self, struct error *err)
{
    (void)self;
    (void)err;
    return 0;
}

static const char *group_with(struct catalog_world *world, const char *vm, enum policy_priority priority)
{
    struct error err;
    struct catalog_policy policy;
    char id[IDENTITY_SIZE];
    policy_default(&policy);
    policy.name = arena_format(world->arena, "policy-%s", vm);
    policy.priority = priority;
    check(policy_create(world->catalog, &policy, id, &err), err);
    const char *group = world_group(world, arena_format(world->arena, "group-%s", vm), id);
    check(catalog_group_add(world->catalog, group, world_vm(world, vm)->id, &err), err);
    return group;
}

/* A job that a former life of the server left in the queue, at its last try. */
static void queue_try(struct catalog_world *world, const char *vm_name, const char *group, bool on_demand,
                      int64_t waited_ms, unsigned try, int64_t next_attempt_ms)
{
    struct error err;
    const struct catalog_vm *vm = world_vm(world, vm_name);
    char id[IDENTITY_SIZE];
    identity_create(id);
    struct catalog_job job = {.id = id,
                              .type = JOB_BACKUP,
                              .state = JOB_QUEUED,
                              .vm_id = vm->id,
                              .vm_name = vm->name,
                              .host_id = vm->host_id,
                              .host_name = vm->host_name,
                              .group_id = group,
                              .point_id = "",
                              .requested_by = on_demand ? "admin" : "schedule",
                              .on_demand = on_demand,
                              .mode = "",
                              .reason = "",
                              .step = "",
                              .attempt = try,
                              .max_attempts = try,
                              .next_attempt_ms = next_attempt_ms,
                              .error_message = "",
                              .error_cause = "",
                              .created_ms = clock_wall_ms() - waited_ms,
                              .restore_name = "",
                              .restore_directory = "",
                              .restored_uuid = "",
                              .restored_name = "",
                              .restore_networks = "",
                              .restore_pool = "",
                              .restore_format = ""};
    check(catalog_job_insert(world->catalog, &job, &err), err);
}

static void queue(struct catalog_world *world, const char *vm_name, const char *group, bool on_demand,
                  int64_t waited_ms)
{
    queue_try(world, vm_name, group, on_demand, waited_ms, 1, 0);
}

/* Runs the queue to its end and gives the VMs in the order in which they were begun. */
static const char *run_queue(struct catalog_world *world, size_t expected)
{
    struct error err;
    struct refusing_host host = {.lock = PTHREAD_MUTEX_INITIALIZER, .connected = true};
    const struct job_ports ports = {.self = &host,
                                    .agent_connected = fake_connected,
                                    .agent_call = fake_call,
                                    .seed_find = no_seed,
                                    .store_check_room = room};
    struct jobs_options options = {.catalog = world->catalog, .ports = &ports, .max_running = 1};
    struct jobs *jobs = jobs_create(&options, &err);
    check(jobs != NULL ? 0 : -1, err);
    for (int i = 0; i < 3000; i++) {
        pthread_mutex_lock(&host.lock);
        size_t count = host.count;
        pthread_mutex_unlock(&host.lock);
        if (count >= expected) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    jobs_stop(jobs);
    jobs_destroy(jobs);
    const char *order = "";
    for (size_t i = 0; i < host.count; i++) {
        order = arena_format(world->arena, "%s%s%s", order, i > 0 ? " " : "", host.begun[i]);
    }
    return order;
}

static void report_vms(struct catalog_world *world)
{
    world_host(world, "h1", "alpha");
    world_report(world, "h1", "", (const char *const[]){"low", "normal", "high", "asked", "loose", NULL});
}

static void test_operators_then_priorities(void **state)
{
    struct catalog_world *world = *state;
    report_vms(world);
    queue(world, "low", group_with(world, "low", PRIORITY_LOW), false, 5000);
    queue(world, "normal", group_with(world, "normal", PRIORITY_NORMAL), false, 4000);
    queue(world, "high", group_with(world, "high", PRIORITY_HIGH), false, 3000);
    queue(world, "loose", "", false, 2000); /* its group is gone: normal */
    queue(world, "asked", group_with(world, "asked", PRIORITY_LOW), true, 1000);
    assert_string_equal(run_queue(world, 5), "asked high normal loose low");
}

static void test_who_waits_rises(void **state)
{
    struct catalog_world *world = *state;
    report_vms(world);
    queue(world, "low", group_with(world, "low", PRIORITY_LOW), false, 2 * HOUR_MS);
    queue(world, "normal", group_with(world, "normal", PRIORITY_NORMAL), false, HOUR_MS / 4);
    queue(world, "high", group_with(world, "high", PRIORITY_HIGH), false, 0);
    queue(world, "asked", "", true, 0);
    assert_string_equal(run_queue(world, 4), "low asked high normal");
}

/* Its pause began when the clock was a year ahead. */
static void test_a_clock_that_was_ahead(void **state)
{
    struct catalog_world *world = *state;
    report_vms(world);
    int64_t later_ms = clock_wall_ms() + 365 * (int64_t)24 * HOUR_MS;
    queue_try(world, "loose", "", true, HOUR_MS, 2, later_ms);
    assert_string_equal(run_queue(world, 1), "loose");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_operators_then_priorities, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_who_waits_rises, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_a_clock_that_was_ahead, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
