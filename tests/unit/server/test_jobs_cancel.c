/* When a job can't be cancelled, and what is tried again, and when: the engine against a made-up host and
 * store. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/jobs/jobs_internal.h"
#include <pthread.h>
#include <time.h>

enum { TRIES = 4, FIRST_DELAY_MS = 1000, MS_NS = 1000 * 1000, WAITS_MAX = 6000 };

struct world {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    enum error_code refusal; /* of BackupBegin; ERROR_NONE: it begins */
    unsigned begun;
    rpc_done transfer_done; /* of BackupTransfer, that is not answered */
    void *transfer_cookie;
    struct backup_receive_options receive;
    bool receiving;
    bool committing; /* the receiver gives up no more */
    bool rebuilding;
    bool may_rebuild;
};

static bool connected(void *self, const char *host_id)
{
    (void)self;
    (void)host_id;
    return true;
}

static void begin(struct world *world, rpc_done done, void *cookie)
{
    struct error err;
    Holdfast__BackupDisk disk = HOLDFAST__BACKUP_DISK__INIT;
    Holdfast__BackupDisk *disks[] = {&disk};
    Holdfast__BackupBeginReply reply = HOLDFAST__BACKUP_BEGIN_REPLY__INIT;
    disk.name = (char *)(uintptr_t) "vda";
    disk.format = (char *)(uintptr_t) "raw";
    disk.size = 1048576;
    reply.consistency = (char *)(uintptr_t) "application";
    reply.instant_ms = clock_wall_ms();
    reply.n_disks = 1;
    reply.disks = disks;
    pthread_mutex_lock(&world->lock);
    world->begun++;
    enum error_code refusal = world->refusal;
    pthread_mutex_unlock(&world->lock);
    if (refusal != ERROR_NONE) {
        error_set(&err, refusal, "It does not work");
    }
    done(cookie, refusal == ERROR_NONE ? &reply.base : NULL, refusal == ERROR_NONE ? NULL : &err);
}

static void call(void *self, const char *host_id, enum agent_method method, const ProtobufCMessage *request,
                 int64_t deadline_ms, rpc_done done, void *cookie)
{
    struct world *world = self;
    struct error err;
    (void)host_id;
    (void)request;
    (void)deadline_ms;
    if (method == AGENT_BACKUP_BEGIN) {
        begin(world, done, cookie);
    } else if (method == AGENT_BACKUP_TRANSFER) {
        pthread_mutex_lock(&world->lock);
        world->transfer_done = done;
        world->transfer_cookie = cookie;
        pthread_mutex_unlock(&world->lock);
    } else {
        error_set(&err, ERROR_VM_NOT_FOUND, "It is not there");
        done(cookie, NULL, &err);
    }
}

static void session_open(void *self, const uint8_t session[JOB_SESSION_SIZE], const char *host_id,
                         job_stream_arrived arrived, void *cookie)
{
    (void)self, (void)session, (void)host_id, (void)arrived, (void)cookie;
}

static void session_close(void *self, const uint8_t session[JOB_SESSION_SIZE])
{
    (void)self, (void)session;
}

static int no_seed(void *self, const char *vm_id, char point_id[IDENTITY_SIZE], struct error *err)
{
    (void)self, (void)vm_id, (void)point_id, (void)err;
    return 0;
}

static int room(void *self, struct error *err)
{
    (void)self, (void)err;
    return 0;
}

static uint32_t chunk_size(void *self)
{
    (void)self;
    return 65536;
}

static int rebuild(void *self, maintenance_watch watch, void *cookie, uint64_t *imported, struct error *err)
{
    struct world *world = self;
    (void)watch, (void)cookie, (void)err;
    pthread_mutex_lock(&world->lock);
    world->rebuilding = true;
    while (!world->may_rebuild) {
        pthread_cond_wait(&world->changed, &world->lock);
    }
    pthread_mutex_unlock(&world->lock);
    *imported = 0;
    return 0;
}

static struct backup_receive *receive_create(void *self, const char *host_id, uint64_t bandwidth,
                                             struct backup_receive_options *options, struct error *err)
{
    struct world *world = self;
    (void)host_id, (void)bandwidth, (void)err;
    pthread_mutex_lock(&world->lock);
    world->receive = *options;
    world->receiving = true;
    pthread_mutex_unlock(&world->lock);
    return (struct backup_receive *)(void *)world;
}

static void end_receive(struct world *world, const struct error *why)
{
    pthread_mutex_lock(&world->lock);
    bool receiving = world->receiving;
    world->receiving = false;
    pthread_mutex_unlock(&world->lock);
    if (receiving) {
        world->receive.done(world->receive.cookie, NULL, why);
    }
}

static bool receive_abort(struct backup_receive *receive, const struct error *why)
{
    struct world *world = (struct world *)(void *)receive;
    pthread_mutex_lock(&world->lock);
    bool committing = world->committing;
    pthread_mutex_unlock(&world->lock);
    if (!committing) {
        end_receive(world, why);
    }
    return !committing;
}

static void receive_progress(struct backup_receive *receive, struct transfer_progress *progress)
{
    (void)receive;
    *progress = (struct transfer_progress){0};
}

static void receive_destroy(struct backup_receive *receive)
{
    struct world *world = (struct world *)(void *)receive;
    point_destroy(world->receive.point);
    world->receive.point = NULL;
}

struct engine {
    struct world world;
    struct job_ports ports;
    struct jobs *jobs;
};

static void engine_begin(struct engine *engine, struct catalog_world *catalog, unsigned tries)
{
    struct error err;
    *engine =
        (struct engine){.world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
    engine->ports = (struct job_ports){.self = &engine->world,
                                       .agent_connected = connected,
                                       .agent_call = call,
                                       .session_open = session_open,
                                       .session_close = session_close,
                                       .seed_find = no_seed,
                                       .store_rebuild = rebuild,
                                       .store_check_room = room,
                                       .store_chunk_size = chunk_size,
                                       .receive_create = receive_create,
                                       .receive_abort = receive_abort,
                                       .receive_progress = receive_progress,
                                       .receive_destroy = receive_destroy};
    struct jobs_options options = {.catalog = catalog->catalog,
                                   .ports = &engine->ports,
                                   .max_attempts = tries,
                                   .retry_delay_ms = FIRST_DELAY_MS};
    world_host(catalog, "h1", "alpha");
    world_report(catalog, "h1", "", (const char *const[]){"web", NULL});
    engine->jobs = jobs_create(&options, &err);
    check(engine->jobs != NULL ? 0 : -1, err);
}

static void engine_end(struct engine *engine)
{
    jobs_stop(engine->jobs);
    jobs_destroy(engine->jobs);
}

static void start_backup(struct engine *engine, struct catalog_world *catalog, char id[IDENTITY_SIZE])
{
    struct error err;
    struct jobs_backup_request request = {
        .vm_id = world_vm(catalog, "web")->id, .type = JOB_BACKUP, .requested_by = "admin"};
    check(jobs_start_backup(engine->jobs, &request, id, &err), err);
}

static const struct catalog_job *job_row(struct catalog_world *catalog, const char *id)
{
    struct error err;
    const struct catalog_job *row = catalog_job_find(catalog->catalog, catalog->arena, id, &err);
    check(row != NULL ? 0 : -1, err);
    return row;
}

#define wait_until(condition)                                                                                \
    do {                                                                                                     \
        int waits_ = 0;                                                                                      \
        while (!(condition)) {                                                                               \
            assert_true(++waits_ < WAITS_MAX);                                                               \
            nanosleep(&(struct timespec){.tv_nsec = 10 * MS_NS}, NULL);                                      \
        }                                                                                                    \
    } while (0)

static unsigned begun(struct engine *engine)
{
    pthread_mutex_lock(&engine->world.lock);
    unsigned count = engine->world.begun;
    pthread_mutex_unlock(&engine->world.lock);
    return count;
}

static bool is_transferring(struct engine *engine)
{
    pthread_mutex_lock(&engine->world.lock);
    bool is = engine->world.transfer_done != NULL;
    pthread_mutex_unlock(&engine->world.lock);
    return is;
}

static bool is_rebuilding(struct engine *engine)
{
    pthread_mutex_lock(&engine->world.lock);
    bool is = engine->world.rebuilding;
    pthread_mutex_unlock(&engine->world.lock);
    return is;
}

/* The agent's answer, which ends the transfer. */
static void fail_transfer(struct engine *engine)
{
    struct error err;
    error_set(&err, ERROR_VM_NOT_FOUND, "It went away");
    engine->world.transfer_done(engine->world.transfer_cookie, NULL, &err);
}

static enum error_code cancel(struct engine *engine, const char *id, struct error *err)
{
    *err = (struct error){.code = ERROR_NONE};
    return jobs_cancel(engine->jobs, id, err) == 0 ? ERROR_NONE : err->code;
}

/* --- cancel */

static void test_about_to_finish(void **state)
{
    struct engine engine;
    struct error err;
    char id[IDENTITY_SIZE];
    engine_begin(&engine, *state, 1);
    start_backup(&engine, *state, id);
    wait_until(is_transferring(&engine));
    pthread_mutex_lock(&engine.world.lock);
    engine.world.committing = true;
    pthread_mutex_unlock(&engine.world.lock);
    assert_int_equal(cancel(&engine, id, &err), ERROR_JOB_NOT_CANCELLABLE);
    assert_non_null(strstr(err.message, "is about to finish"));
    assert_int_equal(job_row(*state, id)->state, JOB_RUNNING);
    error_set(&err, ERROR_STORE_UNAVAILABLE, "It was not committed after all");
    end_receive(&engine.world, &err);
    fail_transfer(&engine);
    wait_until(job_row(*state, id)->state == JOB_FAILED); /* and not cancelled: nobody was told so */
    assert_int_equal(cancel(&engine, id, &err), ERROR_JOB_NOT_RUNNING);
    engine_end(&engine);
}

static void test_transfer_is_cancelled(void **state)
{
    struct engine engine;
    struct error err;
    char id[IDENTITY_SIZE];
    engine_begin(&engine, *state, TRIES);
    start_backup(&engine, *state, id);
    wait_until(is_transferring(&engine));
    assert_int_equal(cancel(&engine, id, &err), ERROR_NONE);
    fail_transfer(&engine);
    wait_until(job_row(*state, id)->state == JOB_CANCELLED);
    assert_int_equal(job_row(*state, id)->attempt, 1); /* what was cancelled is not tried again */
    assert_int_equal(cancel(&engine, id, &err), ERROR_JOB_NOT_RUNNING);
    assert_int_equal(cancel(&engine, "00000000", &err), ERROR_JOB_NOT_FOUND);
    engine_end(&engine);
}

static void test_rebuild_is_not_cancelled(void **state)
{
    struct engine engine;
    struct error err;
    char id[IDENTITY_SIZE];
    engine_begin(&engine, *state, 1);
    check(jobs_start_rebuild(engine.jobs, "admin", id, &err), err);
    wait_until(is_rebuilding(&engine));
    assert_int_equal(cancel(&engine, id, &err), ERROR_JOB_NOT_CANCELLABLE);
    assert_non_null(strstr(err.message, "rebuilds the store's index"));
    pthread_mutex_lock(&engine.world.lock);
    engine.world.may_rebuild = true;
    pthread_cond_signal(&engine.world.changed);
    pthread_mutex_unlock(&engine.world.lock);
    wait_until(job_row(*state, id)->state == JOB_COMPLETED);
    assert_int_equal(cancel(&engine, id, &err), ERROR_JOB_NOT_RUNNING);
    engine_end(&engine);
}

/* --- trying again */

static void test_what_is_retried(void **state)
{
    (void)state;
    static const enum error_code transient[] = {
        ERROR_JOB_LOST_AGENT,    ERROR_JOB_SERVER_RESTART, ERROR_CONNECTION_LOST,  ERROR_PROTOCOL_TIMEOUT,
        ERROR_TRANSFER_TIMEOUT,  ERROR_SNAPSHOT_FAILED,    ERROR_SNAPSHOT_TIMEOUT, ERROR_GUEST_PAUSED,
        ERROR_DISK_CHANGED,      ERROR_VM_IN_TRANSITION,   ERROR_VM_MOVED_AWAY,    ERROR_AGENT_BUSY,
        ERROR_STORE_UNAVAILABLE, ERROR_JOB_CONFLICT};
    enum { TRANSIENT = sizeof transient / sizeof *transient };
    for (int code = 0; code < ERROR_CODE_COUNT; code++) {
        bool expected = false;
        for (size_t i = 0; i < TRANSIENT; i++) {
            expected = expected || transient[i] == (enum error_code)code;
        }
        if (job_is_transient((enum error_code)code) != expected) {
            fail_msg("%s is %stried again", error_code_name((enum error_code)code), expected ? "not " : "");
        }
    }
}

/* By the ids of jobs: up to a quarter more, all of it used evenly, and nothing but the id decides. */
static void test_delays(void **state)
{
    (void)state;
    static const struct {
        unsigned first_ms;
        unsigned attempt;
        int64_t delay_ms;
    } cases[] = {{10000, 1, 10000},    {10000, 2, 20000}, {10000, 3, 40000},      {10000, 9, 2560000},
                 {10000, 10, 3600000}, {1, 100, 3600000}, {3600000, 100, 3600000}};
    enum { JOBS = 1000, PARTS = 4, FEWEST = JOBS / PARTS * 3 / 4 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned parts[PARTS] = {0};
        int64_t most_ms = cases[i].delay_ms / 4;
        for (unsigned job = 0; job < JOBS; job++) {
            char id[IDENTITY_SIZE];
            snprintf(id, sizeof id, "%08x-9b1d-4f6c-8000-%012x", job * 2654435761u, job);
            int64_t delay_ms = job_retry_delay_ms(cases[i].first_ms, cases[i].attempt, id);
            assert_in_range(delay_ms, cases[i].delay_ms, cases[i].delay_ms + most_ms);
            assert_int_equal(job_retry_delay_ms(cases[i].first_ms, cases[i].attempt, id), delay_ms);
            parts[(delay_ms - cases[i].delay_ms) * PARTS / (most_ms + 1)]++;
        }
        for (size_t part = 0; part < PARTS; part++) {
            assert_true(parts[part] >= FEWEST);
        }
    }
    assert_int_equal(job_retry_delay_ms(1, 1, "any"), 1);
}

/* Not a millisecond early, by a clock that stands still until it is told to move. */
static void test_back_off(void **state)
{
    struct engine engine;
    char id[IDENTITY_SIZE];
    clock_test_set(1767225600000);
    engine_begin(&engine, *state, TRIES);
    engine.world.refusal = ERROR_SNAPSHOT_FAILED;
    start_backup(&engine, *state, id);
    for (unsigned try = 1; try < TRIES; try++) {
        wait_until(begun(&engine) == try && job_row(*state, id)->attempt == try + 1);
        const struct catalog_job *row = job_row(*state, id);
        int64_t delay_ms = job_retry_delay_ms(FIRST_DELAY_MS, try, id);
        assert_int_equal(row->state, JOB_QUEUED);
        assert_int_equal(row->next_attempt_ms, clock_wall_ms() + delay_ms);
        clock_test_advance_ms(delay_ms - 1);
        for (int i = 0; i < 3; i++) { /* the engine looks at its queue behind each question */
            assert_int_equal(jobs_of_host(engine.jobs, "h1"), 1);
        }
        assert_int_equal(begun(&engine), try);
        clock_test_advance_ms(1);
        jobs_host_connected(engine.jobs, "h1");
    }
    wait_until(job_row(*state, id)->state == JOB_FAILED);
    assert_int_equal(begun(&engine), TRIES);
    assert_int_equal(job_row(*state, id)->attempt, TRIES);
    assert_int_equal(job_row(*state, id)->error_code, ERROR_SNAPSHOT_FAILED);
    clock_test_clear();
    engine_end(&engine);
}

static void test_not_retried(void **state)
{
    struct engine engine;
    char id[IDENTITY_SIZE];
    engine_begin(&engine, *state, TRIES);
    engine.world.refusal = ERROR_CONSISTENCY_TOO_LOW;
    start_backup(&engine, *state, id);
    wait_until(job_row(*state, id)->state == JOB_FAILED);
    assert_int_equal(begun(&engine), 1);
    assert_int_equal(job_row(*state, id)->attempt, 1);
    engine_end(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_about_to_finish, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_transfer_is_cancelled, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_rebuild_is_not_cancelled, world_begin, world_end),
        cmocka_unit_test(test_what_is_retried),
        cmocka_unit_test(test_delays),
        cmocka_unit_test_setup_teardown(test_back_off, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_not_retried, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
