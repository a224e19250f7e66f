/*
 * What the job engine needs of the rest of the server: calls to agents, transfers, the store. An interface,
 * so that the engine is tested against a made-up world. Nothing here blocks unless it says so; answers come
 * on any thread.
 */
#ifndef HOLDFAST_SERVER_JOB_PORTS_H
#define HOLDFAST_SERVER_JOB_PORTS_H

#include "proto/agent.pb-c.h"
#include "proto/rpc.h"
#include "server/transfer/backup_receive.h"
#include "server/transfer/restore_send.h"
#include "storage/maintenance.h"

/* Methods of service Agent, in the order of agent.proto. */
enum agent_method {
    AGENT_DISCOVER,
    AGENT_BACKUP_BEGIN,
    AGENT_BACKUP_TRANSFER,
    AGENT_BACKUP_END,
    AGENT_RESTORE,
    AGENT_CANCEL,
};

enum { JOB_SESSION_SIZE = 32 };

/* A data connection of a session has come; called on an event loop. Takes the stream over. */
typedef void (*job_stream_arrived)(void *cookie, struct stream *stream);

struct job_ports {
    void *self;

    /* --- agents */
    bool (*agent_connected)(void *self, const char *host_id);
    /* done is called exactly once, perhaps before this returns; HOST_UNREACHABLE when the host is not
     * connected. deadline_ms as in rpc_call. */
    void (*agent_call)(void *self, const char *host_id, enum agent_method method,
                       const ProtobufCMessage *request, int64_t deadline_ms, rpc_done done, void *cookie);
    /* Data connections that this host opens with this session go to `arrived`, until session_close; when that
     * has returned `arrived` is called no more. */
    void (*session_open)(void *self, const uint8_t session[JOB_SESSION_SIZE], const char *host_id,
                         job_stream_arrived arrived, void *cookie);
    void (*session_close)(void *self, const uint8_t session[JOB_SESSION_SIZE]);

    /* --- the store. These six block on the disk and are called on workers. */
    struct point *(*point_read)(void *self, const char *point_id, struct error *err);
    /* The recovery point that the VM was seeded from (server/transfer/seed.h): 1 found, 0 none, -1 error. */
    int (*seed_find)(void *self, const char *vm_id, char point_id[IDENTITY_SIZE], struct error *err);
    /* days 0: all of it. Otherwise what was not verified for so many days, the longest ago first, as much as
     * must be read in a day to get through the store in that time. */
    int (*store_verify)(void *self, unsigned days, maintenance_watch watch, void *cookie,
                        struct verify_report *report, struct error *err);
    int (*store_check_point)(void *self, const char *point_id, uint64_t *missing_chunks, struct error *err);
    /* Rebuilds the index, then brings points that the catalog lacks into it; *imported says how many. */
    int (*store_rebuild)(void *self, maintenance_watch watch, void *cookie, uint64_t *imported,
                         struct error *err);
    int (*store_collect)(void *self, bool dry_run, maintenance_watch watch, void *cookie,
                         struct collect_report *report, struct error *err);
    /* STORE_FULL: no backup may begin. Quick. */
    int (*store_check_room)(void *self, struct error *err);
    uint32_t (*store_chunk_size)(void *self);

    /* --- transfers: server/transfer/backup_receive.h and server/transfer/restore_send.h, where the contract
     * of each is. The store and throttle fields of the options are filled in by the port; bandwidth: of the
     * job, 0 for none of its own. */
    struct backup_receive *(*receive_create)(void *self, const char *host_id, uint64_t bandwidth,
                                             struct backup_receive_options *options, struct error *err);
    void (*receive_add)(struct backup_receive *receive, struct stream *stream);
    bool (*receive_abort)(struct backup_receive *receive, const struct error *why);
    void (*receive_progress)(struct backup_receive *receive, struct transfer_progress *progress);
    void (*receive_destroy)(struct backup_receive *receive);
    struct restore_send *(*send_create)(void *self, const char *host_id, uint64_t bandwidth,
                                        struct restore_send_options *options, struct error *err);
    int (*send_serve)(struct restore_send *send, struct stream *stream, struct error *err);
    void (*send_abort)(struct restore_send *send, const struct error *why);
    void (*send_progress)(struct restore_send *send, struct transfer_progress *progress);
    void (*send_destroy)(struct restore_send *send);
};

#endif
