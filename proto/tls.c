#include "proto/tls.h"

#include "base/memory.h"
#include "proto/tls_internal.h"
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tls {
    pthread_mutex_t lock; /* guards: */
    SSL_CTX *context;
    uint8_t fingerprint[DIGEST_SIZE]; /* pinned only */
};

/* Wire form of RFC 7301: a length, then the name. */
static const unsigned char protocol_list[] = "\x0aholdfast/1";
enum { PROTOCOL_LIST_LENGTH = sizeof protocol_list - 1 };

int tls_error(struct error *err, unsigned long openssl_error)
{
    char reason[256];
    ERR_error_string_n(openssl_error, reason, sizeof reason);
    switch (ERR_GET_REASON(openssl_error)) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        error_set(err, ERROR_HOST_CERT_REFUSED,
                  "A certificate was refused: expired, revoked, or from another server");
        break;
    default:
        error_set(err, ERROR_TLS_FAILED, "The secure connection could not be made or was broken");
        break;
    }
    return error_set_cause(err, "%s", reason);
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                           const unsigned char *offered, unsigned int offered_length, void *unused)
{
    (void)ssl;
    (void)unused;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_length, protocol_list, PROTOCOL_LIST_LENGTH, offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static struct tls *tls_create(const SSL_METHOD *method, struct error *err)
{
    struct tls *tls = memory_zalloc(sizeof *tls);
    pthread_mutex_init(&tls->lock, NULL);
    tls->context = SSL_CTX_new(method);
    if (tls->context == NULL || SSL_CTX_set_min_proto_version(tls->context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(tls->context, protocol_list, PROTOCOL_LIST_LENGTH) != 0) {
        tls_error(err, ERR_get_error());
        tls_destroy(tls);
        return NULL;
    }
    /* Idle connections are many: they give their buffers back. Tickets would let a revoked host in again.
     * Partial writes must stay off: libevent 2.1 goes on with the next piece of its output after a short
     * SSL_write. */
    SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(tls->context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(tls->context, 0);
    SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    return tls;
}

static int tls_load(struct tls *tls, const char *chain_path, const char *key_path, const char *ca_path,
                    struct error *err)
{
    if (SSL_CTX_use_certificate_chain_file(tls->context, chain_path) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls->context, key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls->context) != 1 ||
        SSL_CTX_load_verify_file(tls->context, ca_path) != 1) {
        tls_error(err, ERR_get_error());
        ERR_clear_error();
        return error_wrap(err, ERROR_TLS_FAILED, "The certificates %s, %s, %s can't be used", chain_path,
                          key_path, ca_path);
    }
    return 0;
}

struct tls *tls_create_server(const char *chain_path, const char *key_path, const char *ca_path,
                              struct error *err)
{
    struct tls *tls = tls_create(TLS_server_method(), err);
    if (tls == NULL) {
        return NULL;
    }
    if (tls_load(tls, chain_path, key_path, ca_path, err) != 0) {
        tls_destroy(tls);
        return NULL;
    }
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_select_cb(tls->context, select_protocol, NULL);
    return tls;
}

struct tls *tls_create_client(const char *certificate_path, const char *key_path, const char *ca_path,
                              struct error *err)
{
    struct tls *tls = tls_create(TLS_client_method(), err);
    if (tls == NULL) {
        return NULL;
    }
    if (tls_load(tls, certificate_path, key_path, ca_path, err) != 0) {
        tls_destroy(tls);
        return NULL;
    }
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    return tls;
}

int tls_renew_client(struct tls *tls, const char *certificate_path, const char *key_path, const char *ca_path,
                     struct error *err)
{
    struct tls *renewed = tls_create_client(certificate_path, key_path, ca_path, err);
    if (renewed == NULL) {
        return -1;
    }
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context; /* connections that were made with it keep it alive */
    tls->context = renewed->context;
    renewed->context = old;
    pthread_mutex_unlock(&tls->lock);
    tls_destroy(renewed);
    return 0;
}

/* The last certificate of the presented chain must be the pinned CA; the rest is verified against it as
 * usual. */
static int verify_pinned(X509_STORE_CTX *verification, void *cookie)
{
    const struct tls *tls = cookie;
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(verification);
    X509 *last =
        chain != NULL && sk_X509_num(chain) > 0 ? sk_X509_value(chain, sk_X509_num(chain) - 1) : NULL;
    uint8_t fingerprint[DIGEST_SIZE];
    unsigned int length = 0;
    if (last == NULL || X509_digest(last, EVP_sha256(), fingerprint, &length) != 1 || length != DIGEST_SIZE ||
        memcmp(fingerprint, tls->fingerprint, DIGEST_SIZE) != 0) {
        X509_STORE_CTX_set_error(verification, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
        return 0;
    }
    STACK_OF(X509) *trusted = sk_X509_new_null();
    if (trusted == NULL || sk_X509_push(trusted, last) == 0) {
        sk_X509_free(trusted);
        return 0;
    }
    X509_STORE_CTX_set0_trusted_stack(verification, trusted);
    int verified = X509_verify_cert(verification);
    sk_X509_free(trusted);
    return verified;
}

struct tls *tls_create_pinned(const uint8_t ca_fingerprint[DIGEST_SIZE], struct error *err)
{
    struct tls *tls = tls_create(TLS_client_method(), err);
    if (tls != NULL) {
        memcpy(tls->fingerprint, ca_fingerprint, DIGEST_SIZE);
        SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(tls->context, verify_pinned, tls);
    }
    return tls;
}

void tls_destroy(struct tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context);
        pthread_mutex_destroy(&tls->lock);
        free(tls);
    }
}

SSL *tls_session(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    SSL *session = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->lock);
    return session;
}

bool tls_protocol_agreed(const SSL *ssl)
{
    const unsigned char *chosen = NULL;
    unsigned int length = 0;
    SSL_get0_alpn_selected(ssl, &chosen, &length);
    return length == PROTOCOL_LIST_LENGTH - 1 && memcmp(chosen, protocol_list + 1, length) == 0;
}
