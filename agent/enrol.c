#include "agent/enrol.h"

#include "agent/agent_state.h"
#include "agent/dial.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/queue.h"
#include "proto/pki.h"
#include "proto/server.pb-c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SERVER_ENROL = 0, SERVER_RENEW = 4, SECRET_DIGITS = 32 };

static const rpc_serve no_methods[6];

static int parse_token(const char *token, char secret[SECRET_DIGITS + 1], uint8_t fingerprint[DIGEST_SIZE],
                       struct error *err)
{
    char digits[2 * DIGEST_SIZE + 1];
    int end = 0;
    uint8_t ignored[SECRET_DIGITS / 2];
    if (sscanf(token, "hf1-%32[0-9a-f]-%64[0-9a-fA-F]%n", secret, digits, &end) != 2 || token[end] != '\0' ||
        bytes_from_hex(secret, ignored, sizeof ignored) != 0 ||
        bytes_from_hex(digits, fingerprint, DIGEST_SIZE) != 0) {
        return error_set(err, ERROR_ENROL_TOKEN_INVALID,
                         "The token is not of the form hf1-SECRET-FINGERPRINT; was it copied whole?");
    }
    return 0;
}

static int store_certificates(const struct agent_state *state, const Holdfast__EnrolReply *reply,
                              struct error *err)
{
    if (pki_write_certificate(state->certificate_path, reply->certificate.data, reply->certificate.len,
                              err) != 0) {
        return -1;
    }
    return reply->ca.len > 0 ? pki_write_certificate(state->ca_path, reply->ca.data, reply->ca.len, err) : 0;
}

/* The CA that comes with the certificate must be the one that the channel was pinned to. */
static int check_authority(const Holdfast__EnrolReply *reply, const uint8_t fingerprint[DIGEST_SIZE],
                           struct error *err)
{
    uint8_t digest[DIGEST_SIZE];
    digest_sha256(reply->ca.data, reply->ca.len, digest);
    if (memcmp(digest, fingerprint, sizeof digest) != 0) {
        return error_set(err, ERROR_HOST_CERT_REFUSED,
                         "The server gave another authority than the token names");
    }
    return 0;
}

static int ask(struct rpc *rpc, struct agent_state *state, const char *secret,
               const uint8_t fingerprint[DIGEST_SIZE], struct error *err)
{
    Holdfast__EnrolRequest request = HOLDFAST__ENROL_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    uint8_t *csr = NULL;
    size_t csr_length;
    char name[256] = "host";
    gethostname(name, sizeof name - 1);
    if (pki_create_request(state->key_path, &csr, &csr_length, err) != 0) {
        return -1;
    }
    request.token = (char *)(uintptr_t)secret;
    request.csr = (ProtobufCBinaryData){.len = csr_length, .data = csr};
    request.host_name = name;
    int result = rpc_call_wait(rpc, RPC_SERVICE_SERVER, SERVER_ENROL, &request.base, 0, &message, err);
    if (result == 0) {
        const Holdfast__EnrolReply *reply = (const void *)message;
        result = check_authority(reply, fingerprint, err);
        if (result == 0) {
            result = store_certificates(state, reply, err);
        }
        if (result == 0) {
            state->host_id = memory_copy_text(reply->host);
            /* Written last: a directory without it is not enrolled. */
            result = agent_state_save(state, err);
        }
        protobuf_c_message_free_unpacked(message, NULL);
    }
    free(csr);
    return result;
}

static void on_closed(void *cookie, struct rpc *rpc, const struct error *why)
{
    (void)rpc;
    (void)why;
    queue_close(cookie);
}

int enrol(const struct enrol_options *options, struct error *err)
{
    struct agent_state state = {0};
    char secret[SECRET_DIGITS + 1];
    uint8_t fingerprint[DIGEST_SIZE];
    struct queue *closed = queue_create(1);
    struct rpc_options rpc_options = {
        .serves = RPC_SERVICE_AGENT, .methods = no_methods, .cookie = closed, .closed = on_closed};
    if (parse_token(options->token, secret, fingerprint, err) != 0 ||
        os_path_make_directory(options->directory, 0700, err) != 0) {
        queue_destroy(closed);
        return -1;
    }
    agent_state_init(&state, options->directory);
    int result = -1;
    if (agent_address_parse(options->server, &state.server_host, &state.server_port) != 0) {
        error_set(err, ERROR_REQUEST_INVALID, "%s is not of the form HOST:PORT", options->server);
        agent_state_release(&state);
        queue_destroy(closed);
        return -1;
    }
    struct channel_target target = {
        .host = state.server_host, .port = state.server_port, .proxy = options->proxy};
    struct tls *tls = tls_create_pinned(fingerprint, err);
    struct loop *loop = tls != NULL ? loop_create("enrol", err) : NULL;
    struct rpc *rpc =
        loop != NULL ? dial(loop, &target, tls, HOLDFAST__CONNECTION_ROLE__ENROL, &rpc_options, err) : NULL;
    if (rpc != NULL) {
        result = ask(rpc, &state, secret, fingerprint, err);
        void *nothing;
        rpc_close(rpc, NULL);
        queue_pop(closed, &nothing);
        rpc_unref(rpc);
    }
    loop_destroy(loop);
    tls_destroy(tls);
    queue_destroy(closed);
    agent_state_release(&state);
    return result;
}

int enrol_renew(const struct agent_state *state, struct rpc *rpc, struct error *err)
{
    Holdfast__RenewRequest request = HOLDFAST__RENEW_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    uint8_t *csr;
    size_t csr_length;
    if (pki_create_request(state->key_path, &csr, &csr_length, err) != 0) {
        return -1;
    }
    request.csr = (ProtobufCBinaryData){.len = csr_length, .data = csr};
    int result = rpc_call_wait(rpc, RPC_SERVICE_SERVER, SERVER_RENEW, &request.base, 0, &message, err);
    if (result == 0) {
        const Holdfast__EnrolReply *reply = (const void *)message;
        result = pki_write_certificate(state->certificate_path, reply->certificate.data,
                                       reply->certificate.len, err);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    free(csr);
    return result;
}
