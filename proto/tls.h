/*
 * TLS 1.3 contexts for both ends (RFC 8446), ALPN "holdfast/1".
 */
#ifndef HOLDFAST_PROTO_TLS_H
#define HOLDFAST_PROTO_TLS_H

#include "base/digest.h"
#include "base/error.h"

struct tls;

/* The server: its chain and key, and the CA that host certificates must come from. A client without
 * certificate is let in (for ROLE ENROL only: the channel tells, the caller refuses); one with a foreign or
 * expired one is not. */
struct tls *tls_create_server(const char *chain_path, const char *key_path, const char *ca_path,
                              struct error *err);
/* An enrolled agent. */
struct tls *tls_create_client(const char *certificate_path, const char *key_path, const char *ca_path,
                              struct error *err);
/* Its certificate was renewed: connections that are made from now on show what these files hold. Any thread,
 * also while others connect. On failure all stays as it was. */
int tls_renew_client(struct tls *tls, const char *certificate_path, const char *key_path, const char *ca_path,
                     struct error *err);
/* An agent that enrols: no certificate yet, the CA of the server's chain must have this fingerprint. */
struct tls *tls_create_pinned(const uint8_t ca_fingerprint[DIGEST_SIZE], struct error *err);
void tls_destroy(struct tls *tls);

#endif
