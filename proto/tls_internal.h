/* Inside the room: what channels need of a TLS context. */
#ifndef HOLDFAST_PROTO_TLS_INTERNAL_H
#define HOLDFAST_PROTO_TLS_INTERNAL_H

#include "proto/tls.h"
#include <openssl/ssl.h>
#include <stdbool.h>

/* A new session of this context; NULL only out of memory. */
SSL *tls_session(struct tls *tls);
/* After the handshake: was the protocol agreed on? */
bool tls_protocol_agreed(const SSL *ssl);
/* Fill err from OpenSSL's error code (0: the connection just ended). */
int tls_error(struct error *err, unsigned long openssl_error);

#endif
