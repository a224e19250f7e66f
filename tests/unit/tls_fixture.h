/* Certificates of a server on loopback and of the host "host-1", made in a directory of the test. */
#ifndef HOLDFAST_TESTS_TLS_FIXTURE_H
#define HOLDFAST_TESTS_TLS_FIXTURE_H

#include "base/os_file.h"
#include "check.h"
#include "proto/pki.h"
#include "proto/tls.h"
#include <stdlib.h>

static inline void make_tls(const char *where, struct tls **server, struct tls **host)
{
    struct error err;
    const char *const names[] = {"127.0.0.1", NULL};
    char *ca = os_path_join(where, "ca.pem");
    char *server_pem = os_path_join(where, "server.pem");
    char *server_key = os_path_join(where, "server.key");
    char *host_pem = os_path_join(where, "host.pem");
    char *host_key = os_path_join(where, "host.key");
    uint8_t *csr;
    uint8_t *certificate;
    size_t csr_length;
    size_t length;
    char serial[41];
    check(pki_create_authority(where, names, &err), err);
    check(pki_create_request(host_key, &csr, &csr_length, &err), err);
    check(pki_sign_request(where, csr, csr_length, "host-1", 30, &certificate, &length, serial, &err), err);
    check(pki_write_certificate(host_pem, certificate, length, &err), err);
    *server = tls_create_server(server_pem, server_key, ca, &err);
    check(*server != NULL ? 0 : -1, err);
    *host = tls_create_client(host_pem, host_key, ca, &err);
    check(*host != NULL ? 0 : -1, err);
    free(csr);
    free(certificate);
    free(ca);
    free(server_pem);
    free(server_key);
    free(host_pem);
    free(host_key);
}

#endif
