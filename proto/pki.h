/*
 * The server's own certificate authority, and the keys of both sides (X.509, RFC 5280; OpenSSL). Keys are
 * ECDSA P-256. A host certificate's subject CN is the host id, with extended key usage clientAuth; the
 * server's has serverAuth, so that no host can pose as the server. All calls block shortly; thread-safe.
 */
#ifndef HOLDFAST_PROTO_PKI_H
#define HOLDFAST_PROTO_PKI_H

#include "base/digest.h"
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Make ca.pem, ca.key, server.pem (server certificate, then CA) and server.key in the directory. host_names:
 * DNS names and IP addresses for the server's certificate (the console and API use it, too), ends with NULL.
 */
int pki_create_authority(const char *directory, const char *const *host_names, struct error *err);

/* SHA-256 over the DER of the certificate in a PEM file. */
int pki_fingerprint(const char *pem_path, uint8_t fingerprint[DIGEST_SIZE], struct error *err);

/* Make a key (PEM file, mode 0600; an existing one is used) and a signing request (DER, malloc'd). */
int pki_create_request(const char *key_path, uint8_t **csr, size_t *csr_length, struct error *err);

/* Sign a host's request with the CA in the directory: only its public key is used. serial: 32 hexadecimal
 * digits. PROTOCOL_INVALID for a request that does not parse or whose signature is wrong. */
int pki_sign_request(const char *directory, const uint8_t *csr, size_t csr_length, const char *host_id,
                     int64_t valid_days, uint8_t **certificate, size_t *certificate_length, char serial[41],
                     struct error *err);
/* The CA's certificate, DER, malloc'd. */
int pki_read_certificate(const char *pem_path, uint8_t **certificate, size_t *length, struct error *err);
/* Write DER as PEM, durable. */
int pki_write_certificate(const char *pem_path, const uint8_t *certificate, size_t length, struct error *err);
/* Not-after of the first certificate of a PEM file, wall time. */
int pki_expiry(const char *pem_path, int64_t *expiry_ms, struct error *err);

#endif
