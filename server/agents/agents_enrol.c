/* How a host becomes known: tokens, enrolment, registration, renewal, retirement. */
#include "server/agents/agents.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "proto/pki.h"
#include "server/agents/agents_internal.h"
#include "server/audit/audit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_SECRET_SIZE = 16, TOKEN_SECRET_TEXT_MAX = 128, CERTIFICATE_DAY_MS = 24 * 60 * 60 * 1000 };

static void token_hash(const char *secret, char hash[2 * DIGEST_SIZE + 1])
{
    uint8_t digest[DIGEST_SIZE];
    digest_sha256(secret, strlen(secret), digest);
    bytes_to_hex(digest, sizeof digest, hash);
}

int agents_create_token(struct agents *agents, unsigned ttl_seconds, char token[AGENTS_TOKEN_MAX],
                        int64_t *expires_ms, struct error *err)
{
    if (ttl_seconds > AGENTS_TOKEN_TTL_MAX_S) {
        return error_set(err, ERROR_REQUEST_INVALID, "A token lives %d s at most", AGENTS_TOKEN_TTL_MAX_S);
    }
    char *ca_path = os_path_join(agents->options.data_directory, "ca.pem");
    uint8_t fingerprint[DIGEST_SIZE];
    int result = pki_fingerprint(ca_path, fingerprint, err);
    free(ca_path);
    if (result != 0) {
        return -1;
    }
    uint8_t secret[TOKEN_SECRET_SIZE];
    char secret_text[2 * TOKEN_SECRET_SIZE + 1];
    char fingerprint_text[2 * DIGEST_SIZE + 1];
    char hash[2 * DIGEST_SIZE + 1];
    char id[IDENTITY_SIZE];
    identity_random(secret, sizeof secret);
    bytes_to_hex(secret, sizeof secret, secret_text);
    bytes_to_hex(fingerprint, sizeof fingerprint, fingerprint_text);
    token_hash(secret_text, hash);
    identity_create(id);
    unsigned ttl = ttl_seconds == 0 ? AGENTS_TOKEN_TTL_DEFAULT_S : ttl_seconds;
    *expires_ms = clock_wall_ms() + (int64_t)ttl * 1000;
    if (catalog_token_insert(agents->options.catalog, id, hash, *expires_ms, err) != 0) {
        return -1;
    }
    snprintf(token, AGENTS_TOKEN_MAX, "hf1-%s-%s", secret_text, fingerprint_text);
    return 0;
}

static void task_end(struct agent_task *task)
{
    agents_release(task->session);
    free(task);
}

static int check_host_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    bool good = length > 0 && length <= AGENTS_NAME_MAX;
    for (size_t i = 0; i < length && good; i++) {
        good = (unsigned char)name[i] > ' ' && name[i] != '/' && name[i] != 0x7f;
    }
    return good ? 0
                : error_set(err, ERROR_REQUEST_INVALID,
                            "A host's name has 1 to %d bytes, without spaces and slashes", AGENTS_NAME_MAX);
}

/* The name, or the name with a number behind it, when another host that is not retired has it. */
static const char *free_host_name(struct agents *agents, struct arena *arena, const char *name)
{
    struct error ignored; /* not found is what is looked for */
    const char *candidate = name;
    for (unsigned i = 2;; i++) {
        const struct catalog_host *other =
            catalog_host_find(agents->options.catalog, arena, candidate, &ignored);
        if (other == NULL || other->state == HOST_RETIRED) {
            return candidate;
        }
        candidate = arena_format(arena, "%s-%u", name, i);
    }
}

struct issued {
    uint8_t *certificate;
    size_t length;
    char serial[41];
    uint8_t *ca;
    size_t ca_length;
    int64_t expires_ms;
};

static int issue(struct agents *agents, const ProtobufCBinaryData *csr, const char *host_id,
                 struct issued *issued, struct error *err)
{
    unsigned days = agents->options.certificate_days;
    if (pki_sign_request(agents->options.data_directory, csr->data, csr->len, host_id, days,
                         &issued->certificate, &issued->length, issued->serial, err) != 0) {
        return -1;
    }
    issued->expires_ms = clock_wall_ms() + (int64_t)days * CERTIFICATE_DAY_MS;
    char *ca_path = os_path_join(agents->options.data_directory, "ca.pem");
    int result = pki_read_certificate(ca_path, &issued->ca, &issued->ca_length, err);
    free(ca_path);
    return result;
}

static void issued_clear(struct issued *issued)
{
    free(issued->certificate);
    free(issued->ca);
}

static void reply_issued(struct rpc_request *request, const char *host_id, const struct issued *issued)
{
    Holdfast__EnrolReply reply = HOLDFAST__ENROL_REPLY__INIT;
    reply.host = (char *)(uintptr_t)host_id;
    reply.certificate = (ProtobufCBinaryData){.len = issued->length, .data = issued->certificate};
    reply.ca = (ProtobufCBinaryData){.len = issued->ca_length, .data = issued->ca};
    rpc_reply(request, &reply.base);
}

/* The token is used up and the host is there, or neither. */
static int enrol_host(struct agents *agents, const Holdfast__EnrolRequest *request, const char *address,
                      const char *host_id, struct issued *issued, struct error *err)
{
    struct catalog *catalog = agents->options.catalog;
    char hash[2 * DIGEST_SIZE + 1];
    if (check_host_name(request->host_name, err) != 0) {
        return -1;
    }
    token_hash(request->token, hash);
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    struct arena *arena = arena_create();
    int64_t now = clock_wall_ms();
    int result = catalog_token_use(catalog, hash, host_id, err);
    if (result == 0) {
        result = issue(agents, &request->csr, host_id, issued, err);
    }
    if (result == 0) {
        struct catalog_host host = {.id = host_id,
                                    .name = free_host_name(agents, arena, request->host_name),
                                    .state = HOST_UNREACHABLE,
                                    .state_since_ms = now,
                                    .serial = issued->serial,
                                    .certificate_expires_ms = issued->expires_ms,
                                    .address = address,
                                    .enrolled_ms = now};
        result = catalog_host_put(catalog, &host, err);
    }
    arena_destroy(arena);
    return catalog_end(catalog, result, err);
}

/* What nobody may do is recorded as what strangers do: not more of it than the disk can bear. */
static void record_refusal(struct audit *audit, const struct audit_entry *entry, int64_t number,
                           const struct error *refused)
{
    if (number > 0) {
        audit_end(audit, entry, number, refused);
    } else if (audit_stranger_counts(audit)) {
        audit_stranger(audit, entry, refused);
    }
}

/* The token is looked at before: strangers must not fill the record with what they begin. */
static int record_enrolment(struct agents *agents, const Holdfast__EnrolRequest *request,
                            const struct audit_entry *entry, int64_t *number, struct error *err)
{
    char hash[2 * DIGEST_SIZE + 1];
    if (strlen(request->token) > TOKEN_SECRET_TEXT_MAX) {
        return error_set(err, ERROR_ENROL_TOKEN_INVALID, "The enrolment token is unknown, used or expired");
    }
    token_hash(request->token, hash);
    return catalog_token_check(agents->options.catalog, hash, err) != 0
               ? -1
               : audit_begin(agents->options.audit, entry, number, err);
}

void agents_enrol(void *cookie)
{
    struct agent_task *task = cookie;
    struct agents *agents = task->session->agents;
    const Holdfast__EnrolRequest *request = (const void *)task->message;
    const char *address = channel_peer_address(rpc_channel(task->session->rpc));
    struct issued issued = {0};
    struct error err;
    char host_id[IDENTITY_SIZE];
    char detail[sizeof "{\"id\":\"\"}" + IDENTITY_SIZE];
    int64_t number = 0;
    identity_create(host_id);
    snprintf(detail, sizeof detail, "{\"id\":\"%s\"}", host_id);
    struct audit_entry entry = {.actor = "agent",
                                .address = address,
                                .action = "host enrol",
                                .object = request->host_name,
                                .detail = detail};
    if (record_enrolment(agents, request, &entry, &number, &err) == 0 &&
        enrol_host(agents, request, address, host_id, &issued, &err) == 0) {
        audit_end(agents->options.audit, &entry, number, NULL);
        log_event(LOG_INFO, "host enrolled", "host=%s name=\"%s\" address=%s", host_id, request->host_name,
                  address);
        reply_issued(task->request, host_id, &issued);
    } else {
        record_refusal(agents->options.audit, &entry, number, &err);
        log_event(LOG_WARNING, "enrolment refused", "address=%s code=%s", address, error_code_name(err.code));
        rpc_fail(task->request, &err);
    }
    issued_clear(&issued);
    task_end(task);
}

/* Is this certificate the one that the host has, or the one it had before a renewal whose answer was lost? */
static int check_serial(const struct catalog_host *host, const char *serial, struct error *err)
{
    if (host->state != HOST_RETIRED &&
        (host->serial[0] == '\0' || strcmp(host->serial, serial) == 0 ||
         (host->previous_serial[0] != '\0' && strcmp(host->previous_serial, serial) == 0))) {
        return 0;
    }
    error_set(err, ERROR_HOST_CERT_REFUSED, "The certificate of host %s was refused", host->name);
    return error_set_cause(err, "%s",
                           host->state == HOST_RETIRED ? "the host is retired" : "it was replaced");
}

/* The host of the session as it is known, if it may come with this certificate; or NULL. */
static const struct catalog_host *find_host(struct agent_session *session, struct arena *arena,
                                            struct error *err)
{
    const struct catalog_host *known =
        catalog_host_find(session->agents->options.catalog, arena, session->host_id, err);
    if (known == NULL || strcmp(known->id, session->host_id) != 0) {
        error_set(err, ERROR_HOST_CERT_REFUSED, "The certificate was refused");
        error_set_cause(err, "this server does not know the host");
        return NULL;
    }
    return check_serial(known, channel_peer_serial(rpc_channel(session->rpc)), err) == 0 ? known : NULL;
}

/* What a host says of itself, for longer than its call lasts. */
static struct catalog_host read_registration(const struct agent_session *session,
                                             const Holdfast__RegisterRequest *request, struct arena *arena)
{
    const char *kinds = "";
    for (size_t i = 0; i < request->n_kinds; i++) {
        kinds = arena_format(arena, "%s%s%s", kinds, i == 0 ? "" : " ", request->kinds[i]);
    }
    return (struct catalog_host){.name = arena_text(arena, request->host_name),
                                 .state = session->version < CHANNEL_PROTOCOL_VERSION ? HOST_OUTDATED
                                                                                      : HOST_CONNECTED,
                                 .software = arena_text(arena, request->software),
                                 .system = arena_text(arena, request->system),
                                 .kinds = kinds,
                                 .address = channel_peer_address(rpc_channel(session->rpc))};
}

/* Not before the session is the host's: who reads that the host is connected can have it do something, and
 * when the connection ends, that is noted behind this. */
static int note_connected(struct agent_session *session, const struct catalog_host *said, struct arena *arena,
                          struct error *err)
{
    struct catalog *catalog = session->agents->options.catalog;
    const char *serial = channel_peer_serial(rpc_channel(session->rpc));
    const struct catalog_host *known = find_host(session, arena, err);
    if (known == NULL) {
        return -1;
    }
    struct catalog_host host = *known;
    if (host.serial[0] == '\0') {
        host.serial = serial;
    }
    if (strcmp(host.serial, serial) == 0) {
        host.previous_serial = "";
    }
    host.state = said->state;
    host.state_since_ms = clock_wall_ms();
    host.last_seen_ms = host.state_since_ms;
    host.software = said->software;
    host.system = said->system;
    host.kinds = said->kinds;
    host.address = said->address;
    if (known->draining && strcmp(known->software, host.software) != 0) {
        log_event(LOG_INFO, "drained host comes back updated", "host=%s software=%s", host.id, host.software);
        if (catalog_host_set_draining(catalog, host.id, false, err) != 0) {
            return -1;
        }
    }
    return catalog_host_put(catalog, &host, err);
}

/* Of the jobs that the agent found unfinished, those whose recovery point is there. Pointers into the
 * request. */
static int committed_jobs(struct agents *agents, const Holdfast__RegisterRequest *request,
                          struct arena *arena, Holdfast__RegisterReply *reply, struct error *err)
{
    reply->committed = arena_alloc(arena, (request->n_unfinished + 1) * sizeof *reply->committed);
    for (size_t i = 0; i < request->n_unfinished; i++) {
        const struct catalog_point *point = NULL;
        if (catalog_point_of_job(agents->options.catalog, arena, request->unfinished[i]->job, &point, err) !=
            0) {
            return -1;
        }
        if (point != NULL && request->unfinished[i]->job[0] != '\0') {
            reply->committed[reply->n_committed++] = request->unfinished[i]->job;
        }
    }
    return 0;
}

static void begin_session(struct agent_session *session, const struct catalog_host *said, struct arena *arena)
{
    struct agents *agents = session->agents;
    struct error err;
    if (note_connected(session, said, arena, &err) != 0) {
        log_error("host refused", &err);
        rpc_close(session->rpc, &err);
        return;
    }
    log_event(LOG_INFO, "host connected", "host=%s name=\"%s\" software=%s address=%s", session->host_id,
              said->name, said->software, said->address);
    if (agents->events.connected != NULL) {
        agents->events.connected(agents->events.cookie, session->host_id);
    }
}

void agents_register(void *cookie)
{
    struct agent_task *task = cookie;
    struct agent_session *session = task->session;
    struct agents *agents = session->agents;
    const Holdfast__RegisterRequest *request = (const void *)task->message;
    struct arena *arena = arena_create();
    struct error err;
    Holdfast__RegisterReply reply = HOLDFAST__REGISTER_REPLY__INIT;
    reply.server = (char *)(uintptr_t)agents->options.server_id;
    reply.time_ms = clock_wall_ms();
    if (find_host(session, arena, &err) == NULL ||
        committed_jobs(agents, request, arena, &reply, &err) != 0) {
        log_error("host refused", &err);
        rpc_fail(task->request, &err);
        rpc_close(session->rpc, &err);
    } else {
        const struct catalog_host said = read_registration(session, request, arena);
        agents_accept(session);
        rpc_reply(task->request, &reply.base); /* frees the request, too */
        if (agents_make_current(session)) {
            begin_session(session, &said, arena);
        }
    }
    arena_destroy(arena);
    task_end(task);
}

static int renew(struct agent_session *session, const ProtobufCBinaryData *csr, struct issued *issued,
                 struct error *err)
{
    struct agents *agents = session->agents;
    struct arena *arena = arena_create();
    const struct catalog_host *known =
        catalog_host_find(agents->options.catalog, arena, session->host_id, err);
    int result =
        known == NULL ? -1 : check_serial(known, channel_peer_serial(rpc_channel(session->rpc)), err);
    if (result == 0) {
        result = issue(agents, csr, session->host_id, issued, err);
    }
    if (result == 0) {
        struct catalog_host host = *known;
        host.previous_serial = channel_peer_serial(rpc_channel(session->rpc));
        host.serial = issued->serial;
        host.certificate_expires_ms = issued->expires_ms;
        result = catalog_host_put(agents->options.catalog, &host, err);
    }
    arena_destroy(arena);
    return result;
}

void agents_renew(void *cookie)
{
    struct agent_task *task = cookie;
    const Holdfast__RenewRequest *request = (const void *)task->message;
    struct issued issued = {0};
    struct error err;
    if (renew(task->session, &request->csr, &issued, &err) == 0) {
        log_event(LOG_INFO, "certificate renewed", "host=%s", task->session->host_id);
        reply_issued(task->request, task->session->host_id, &issued);
    } else {
        log_error("certificate not renewed", &err);
        rpc_fail(task->request, &err);
    }
    issued_clear(&issued);
    task_end(task);
}

int agents_retire(struct agents *agents, const char *host_id, struct error *err)
{
    struct catalog *catalog = agents->options.catalog;
    struct arena *arena = arena_create();
    const struct catalog_host *host = catalog_host_find(catalog, arena, host_id, err);
    int result = host == NULL ? -1 : 0;
    if (result == 0) {
        result = catalog_host_set_state(catalog, host->id, HOST_RETIRED, clock_wall_ms(), err);
    }
    if (result == 0) {
        result = catalog_vm_report(catalog, host->id, NULL, 0, "", err);
    }
    struct agent_session *session = result == 0 ? agents_find(agents, host->id) : NULL;
    if (session != NULL) {
        struct error why;
        error_set(&why, ERROR_HOST_CERT_REFUSED, "The host %s was retired", host->name);
        rpc_close(session->rpc, &why);
        agents_release(session);
    }
    if (result == 0) {
        log_event(LOG_INFO, "host retired", "host=%s name=\"%s\"", host->id, host->name);
    }
    arena_destroy(arena);
    return result;
}
