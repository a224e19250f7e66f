/* What jobs act on: the real agents, the real store, the real transfers (server/jobs/job_ports.h). */
#include "server/catalog/point_import.h"
#include "server/server_internal.h"

#include "base/clock.h"

static struct agents *agents_of(void *self)
{
    return ((struct server_world *)self)->agents;
}

static struct store *store_of(void *self)
{
    return ((struct server_world *)self)->store;
}

static bool agent_connected(void *self, const char *host_id)
{
    return agents_connected(agents_of(self), host_id);
}

static void agent_call(void *self, const char *host_id, enum agent_method method,
                       const ProtobufCMessage *request, int64_t deadline_ms, rpc_done done, void *cookie)
{
    agents_call(agents_of(self), host_id, method, request, deadline_ms, done, cookie);
}

static void session_open(void *self, const uint8_t session[JOB_SESSION_SIZE], const char *host_id,
                         job_stream_arrived arrived, void *cookie)
{
    agents_session_open(agents_of(self), session, host_id, arrived, cookie);
}

static void session_close(void *self, const uint8_t session[JOB_SESSION_SIZE])
{
    agents_session_close(agents_of(self), session);
}

static struct point *read_point(void *self, const char *point_id, struct error *err)
{
    return point_read(store_of(self), point_id, err);
}

static int find_seed(void *self, const char *vm_id, char point_id[IDENTITY_SIZE], struct error *err)
{
    return partial_find_seed(store_of(self), vm_id, point_id, err);
}

static int verify(void *self, unsigned days, maintenance_watch watch, void *cookie,
                  struct verify_report *report, struct error *err)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    const uint64_t least = (uint64_t)64 << 20;
    struct store_status status;
    if (days == 0) {
        return store_verify(store_of(self), watch, cookie, report, err);
    }
    if (store_status_read(store_of(self), &status, err) != 0) {
        return -1;
    }
    struct verify_options options = {.verified_before_ms = clock_wall_ms() - (int64_t)days * DAY_MS,
                                     .bytes = status.container_bytes / days + least,
                                     .readers = 1};
    return store_verify_part(store_of(self), &options, watch, cookie, report, err);
}

static int check_point(void *self, const char *point_id, uint64_t *missing_chunks, struct error *err)
{
    return store_check_point(store_of(self), point_id, missing_chunks, err);
}

static int rebuild(void *self, maintenance_watch watch, void *cookie, uint64_t *imported, struct error *err)
{
    struct server_world *world = self;
    return store_rebuild_index(world->store, watch, cookie, err) != 0 ||
                   point_import_all(world->catalog, world->store, imported, err) != 0
               ? -1
               : 0;
}

static int collect(void *self, bool dry_run, maintenance_watch watch, void *cookie,
                   struct collect_report *report, struct error *err)
{
    struct collect_options options = {.dry_run = dry_run};
    capacity_prepare_collection(((struct server_world *)self)->capacity);
    return store_collect(store_of(self), &options, watch, cookie, report, err);
}

static int check_room(void *self, struct error *err)
{
    return capacity_check_room(((struct server_world *)self)->capacity, err);
}

static uint32_t chunk_size(void *self)
{
    return store_chunk_size(store_of(self));
}

static struct throttle *throttle_of(void *self, const char *host_id, uint64_t bandwidth)
{
    return throttle_open(((struct server_world *)self)->throttles, host_id, bandwidth);
}

static struct backup_receive *create_receive(void *self, const char *host_id, uint64_t bandwidth,
                                             struct backup_receive_options *options, struct error *err)
{
    options->store = store_of(self);
    options->throttle = throttle_of(self, host_id, bandwidth);
    return backup_receive_create(options, err);
}

static struct restore_send *create_send(void *self, const char *host_id, uint64_t bandwidth,
                                        struct restore_send_options *options, struct error *err)
{
    options->store = store_of(self);
    options->throttle = throttle_of(self, host_id, bandwidth);
    return restore_send_create(options, err);
}

void server_ports_fill(struct job_ports *ports, struct server_world *world)
{
    *ports = (struct job_ports){
        .self = world,
        .agent_connected = agent_connected,
        .agent_call = agent_call,
        .session_open = session_open,
        .session_close = session_close,
        .point_read = read_point,
        .seed_find = find_seed,
        .store_verify = verify,
        .store_check_point = check_point,
        .store_rebuild = rebuild,
        .store_collect = collect,
        .store_check_room = check_room,
        .store_chunk_size = chunk_size,
        .receive_create = create_receive,
        .receive_add = backup_receive_add,
        .receive_abort = backup_receive_abort,
        .receive_progress = backup_receive_progress,
        .receive_destroy = backup_receive_destroy,
        .send_create = create_send,
        .send_serve = restore_send_serve,
        .send_abort = restore_send_abort,
        .send_progress = restore_send_progress,
        .send_destroy = restore_send_destroy,
    };
}
