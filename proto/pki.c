#include "proto/pki.h"

#include "base/bytes.h"
#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PKI_FILE_MAX = 1024 * 1024, PKI_CSR_MAX = 16384, PKI_AUTHORITY_DAYS = 7300, PKI_SERIAL_BYTES = 16 };

static int pki_fail(struct error *err, enum error_code code, const char *what)
{
    char reason[256] = "";
    unsigned long openssl_error = ERR_get_error();
    if (openssl_error != 0) {
        ERR_error_string_n(openssl_error, reason, sizeof reason);
    }
    ERR_clear_error();
    error_set(err, code, "%s", what);
    return error_set_cause(err, "%s", reason);
}

static EVP_PKEY *pki_make_key(struct error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL) {
        pki_fail(err, ERROR_INTERNAL, "A key could not be made");
    }
    return key;
}

static int pki_write_bio(BIO *bio, const char *path, unsigned mode, struct error *err)
{
    char *bytes;
    long length = BIO_get_mem_data(bio, &bytes);
    return os_file_write_whole(path, bytes, (size_t)length, mode, err);
}

static int pki_write_key(const char *path, EVP_PKEY *key, struct error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int result = bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                     ? pki_write_bio(bio, path, 0600, err)
                     : pki_fail(err, ERROR_INTERNAL, "A key could not be encoded");
    BIO_free(bio);
    return result;
}

static int pki_write_chain(const char *path, X509 *first, X509 *second, struct error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int result = bio != NULL && PEM_write_bio_X509(bio, first) == 1 &&
                         (second == NULL || PEM_write_bio_X509(bio, second) == 1)
                     ? pki_write_bio(bio, path, 0644, err)
                     : pki_fail(err, ERROR_INTERNAL, "A certificate could not be encoded");
    BIO_free(bio);
    return result;
}

static BIO *pki_read_file(const char *path, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    if (os_file_read_whole(path, PKI_FILE_MAX, &bytes, &length, err) != 0) {
        return NULL;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL || BIO_write(bio, bytes, (int)length) != (int)length) {
        pki_fail(err, ERROR_INTERNAL, "A file could not be held");
        BIO_free(bio);
        bio = NULL;
    }
    OPENSSL_cleanse(bytes, length);
    free(bytes);
    return bio;
}

static X509 *pki_read_x509(const char *path, struct error *err)
{
    BIO *bio = pki_read_file(path, err);
    if (bio == NULL) {
        return NULL;
    }
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (certificate == NULL) {
        pki_fail(err, ERROR_TLS_FAILED, "A certificate file does not hold a certificate");
    }
    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *pki_read_key(const char *path, struct error *err)
{
    BIO *bio = pki_read_file(path, err);
    if (bio == NULL) {
        return NULL;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    if (key == NULL) {
        pki_fail(err, ERROR_TLS_FAILED, "A key file does not hold a key");
    }
    BIO_free(bio);
    return key;
}

static int pki_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (extension == NULL) {
        return 0;
    }
    int added = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

static int pki_set_serial(X509 *certificate, char *hex)
{
    uint8_t serial[PKI_SERIAL_BYTES];
    identity_random(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and always of the same length */
    if (hex != NULL) {
        bytes_to_hex(serial, sizeof serial, hex);
    }
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    int set = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return set;
}

struct pki_subject {
    const char *common_name;
    EVP_PKEY *key; /* its public half is certified */
    int64_t days;
    const char *const (*extensions)[2]; /* {long name or short name, value} … {NULL, NULL} */
};

/* issuer NULL: self-signed. */
static X509 *pki_issue(const struct pki_subject *subject, X509 *issuer, EVP_PKEY *issuer_key, char *serial,
                       struct error *err)
{
    X509 *certificate = X509_new();
    X509_NAME *name = certificate != NULL ? X509_get_subject_name(certificate) : NULL;
    X509 *signer = issuer != NULL ? issuer : certificate;
    int good = certificate != NULL && X509_set_version(certificate, 2) == 1 &&
               pki_set_serial(certificate, serial) == 1 &&
               X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
               X509_time_adj_ex(X509_getm_notAfter(certificate), (int)subject->days, 0, NULL) != NULL &&
               X509_set_pubkey(certificate, subject->key) == 1 &&
               X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                          (const unsigned char *)subject->common_name, -1, -1, 0) == 1 &&
               X509_set_issuer_name(certificate, X509_get_subject_name(signer)) == 1;
    for (size_t i = 0; good && subject->extensions[i][0] != NULL; i++) {
        good = pki_add_extension(certificate, signer, OBJ_txt2nid(subject->extensions[i][0]),
                                 subject->extensions[i][1]) == 1;
    }
    if (!good || X509_sign(certificate, issuer_key, EVP_sha256()) == 0) {
        pki_fail(err, ERROR_INTERNAL, "A certificate could not be made");
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

/* "DNS:a,IP:192.0.2.1", malloc'd. */
static char *pki_alternative_names(const char *const *names)
{
    char *list = memory_copy_text("DNS:holdfast");
    for (; *names != NULL; names++) {
        uint8_t address[16];
        bool ip = inet_pton(AF_INET, *names, address) == 1 || inet_pton(AF_INET6, *names, address) == 1;
        char *longer = memory_format("%s,%s:%s", list, ip ? "IP" : "DNS", *names);
        free(list);
        list = longer;
    }
    return list;
}

static int pki_write_authority(const char *directory, X509 *ca, EVP_PKEY *ca_key, X509 *server,
                               EVP_PKEY *server_key, struct error *err)
{
    char *ca_path = os_path_join(directory, "ca.pem");
    char *ca_key_path = os_path_join(directory, "ca.key");
    char *server_path = os_path_join(directory, "server.pem");
    char *server_key_path = os_path_join(directory, "server.key");
    int result = pki_write_key(ca_key_path, ca_key, err);
    if (result == 0) {
        result = pki_write_chain(ca_path, ca, NULL, err);
    }
    if (result == 0) {
        result = pki_write_key(server_key_path, server_key, err);
    }
    if (result == 0) {
        result = pki_write_chain(server_path, server, ca, err);
    }
    free(ca_path);
    free(ca_key_path);
    free(server_path);
    free(server_key_path);
    return result;
}

int pki_create_authority(const char *directory, const char *const *host_names, struct error *err)
{
    int result = -1;
    X509 *ca = NULL;
    X509 *server = NULL;
    char *names = pki_alternative_names(host_names);
    EVP_PKEY *ca_key = pki_make_key(err);
    EVP_PKEY *server_key = ca_key != NULL ? pki_make_key(err) : NULL;
    if (server_key == NULL) {
        goto done;
    }
    const char *const ca_extensions[][2] = {{"basicConstraints", "critical,CA:TRUE,pathlen:0"},
                                            {"keyUsage", "critical,keyCertSign,cRLSign"},
                                            {"subjectKeyIdentifier", "hash"},
                                            {NULL, NULL}};
    const char *const server_extensions[][2] = {{"basicConstraints", "critical,CA:FALSE"},
                                                {"keyUsage", "critical,digitalSignature"},
                                                {"extendedKeyUsage", "serverAuth"},
                                                {"subjectAltName", names},
                                                {NULL, NULL}};
    char id[IDENTITY_SIZE];
    char ca_name[IDENTITY_SIZE + 16];
    identity_create(id);
    snprintf(ca_name, sizeof ca_name, "Holdfast CA %.8s", id);
    ca = pki_issue(&(struct pki_subject){ca_name, ca_key, PKI_AUTHORITY_DAYS, ca_extensions}, NULL, ca_key,
                   NULL, err);
    if (ca == NULL) {
        goto done;
    }
    server = pki_issue(&(struct pki_subject){"holdfast", server_key, PKI_AUTHORITY_DAYS, server_extensions},
                       ca, ca_key, NULL, err);
    if (server != NULL) {
        result = pki_write_authority(directory, ca, ca_key, server, server_key, err);
    }
done:
    X509_free(server);
    X509_free(ca);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(ca_key);
    free(names);
    return result;
}

int pki_fingerprint(const char *pem_path, uint8_t fingerprint[DIGEST_SIZE], struct error *err)
{
    uint8_t *der;
    size_t length;
    if (pki_read_certificate(pem_path, &der, &length, err) != 0) {
        return -1;
    }
    digest_sha256(der, length, fingerprint);
    free(der);
    return 0;
}

/* DER of anything that i2d can write, malloc'd by us. */
#define PKI_TO_DER(i2d, object, bytes, length)                                                               \
    do {                                                                                                     \
        unsigned char *encoded = NULL;                                                                       \
        int n = i2d(object, &encoded);                                                                       \
        *(bytes) = n > 0 ? memory_copy(encoded, (size_t)n) : NULL;                                           \
        *(length) = n > 0 ? (size_t)n : 0;                                                                   \
        OPENSSL_free(encoded);                                                                               \
    } while (0)

int pki_create_request(const char *key_path, uint8_t **csr, size_t *csr_length, struct error *err)
{
    int result = -1;
    X509_REQ *request = NULL;
    EVP_PKEY *key;
    if (os_path_exists(key_path)) {
        key = pki_read_key(key_path, err);
    } else {
        key = pki_make_key(err);
        if (key != NULL && pki_write_key(key_path, key, err) != 0) {
            goto done;
        }
    }
    if (key == NULL) {
        goto done;
    }
    request = X509_REQ_new();
    if (request == NULL || X509_REQ_set_version(request, 0) != 1 || X509_REQ_set_pubkey(request, key) != 1 ||
        X509_REQ_sign(request, key, EVP_sha256()) == 0) {
        pki_fail(err, ERROR_INTERNAL, "A certificate request could not be made");
        goto done;
    }
    PKI_TO_DER(i2d_X509_REQ, request, csr, csr_length);
    result = *csr != NULL ? 0 : pki_fail(err, ERROR_INTERNAL, "A certificate request could not be encoded");
done:
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    return result;
}

/* The public key of a request whose signature is right. */
static EVP_PKEY *pki_request_key(const uint8_t *csr, size_t length, struct error *err)
{
    const unsigned char *next = csr;
    EVP_PKEY *key = NULL;
    X509_REQ *request = length <= PKI_CSR_MAX ? d2i_X509_REQ(NULL, &next, (long)length) : NULL;
    if (request != NULL && next == csr + length) {
        key = X509_REQ_get_pubkey(request);
        if (key != NULL && (!EVP_PKEY_is_a(key, "EC") || X509_REQ_verify(request, key) != 1)) {
            EVP_PKEY_free(key);
            key = NULL;
        }
    }
    X509_REQ_free(request);
    if (key == NULL) {
        pki_fail(err, ERROR_PROTOCOL_INVALID, "The certificate request is not valid");
    }
    return key;
}

int pki_sign_request(const char *directory, const uint8_t *csr, size_t csr_length, const char *host_id,
                     int64_t valid_days, uint8_t **certificate, size_t *certificate_length, char serial[41],
                     struct error *err)
{
    static const char *const extensions[][2] = {{"basicConstraints", "critical,CA:FALSE"},
                                                {"keyUsage", "critical,digitalSignature"},
                                                {"extendedKeyUsage", "clientAuth"},
                                                {NULL, NULL}};
    int result = -1;
    X509 *issued = NULL;
    X509 *ca = NULL;
    EVP_PKEY *ca_key = NULL;
    char *ca_path = os_path_join(directory, "ca.pem");
    char *ca_key_path = os_path_join(directory, "ca.key");
    EVP_PKEY *key = pki_request_key(csr, csr_length, err);
    if (key == NULL || (ca = pki_read_x509(ca_path, err)) == NULL ||
        (ca_key = pki_read_key(ca_key_path, err)) == NULL) {
        goto done;
    }
    issued = pki_issue(&(struct pki_subject){host_id, key, valid_days, extensions}, ca, ca_key, serial, err);
    if (issued == NULL) {
        goto done;
    }
    PKI_TO_DER(i2d_X509, issued, certificate, certificate_length);
    result = *certificate != NULL ? 0 : pki_fail(err, ERROR_INTERNAL, "A certificate could not be encoded");
done:
    X509_free(issued);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    free(ca_path);
    free(ca_key_path);
    return result;
}

int pki_read_certificate(const char *pem_path, uint8_t **certificate, size_t *length, struct error *err)
{
    X509 *x509 = pki_read_x509(pem_path, err);
    if (x509 == NULL) {
        return -1;
    }
    PKI_TO_DER(i2d_X509, x509, certificate, length);
    X509_free(x509);
    return *certificate != NULL ? 0 : pki_fail(err, ERROR_INTERNAL, "A certificate could not be encoded");
}

int pki_write_certificate(const char *pem_path, const uint8_t *certificate, size_t length, struct error *err)
{
    const unsigned char *next = certificate;
    X509 *x509 = length <= PKI_CSR_MAX ? d2i_X509(NULL, &next, (long)length) : NULL;
    if (x509 == NULL) {
        return pki_fail(err, ERROR_PROTOCOL_INVALID, "The certificate that was received is not valid");
    }
    int result = pki_write_chain(pem_path, x509, NULL, err);
    X509_free(x509);
    return result;
}

int pki_expiry(const char *pem_path, int64_t *expiry_ms, struct error *err)
{
    X509 *x509 = pki_read_x509(pem_path, err);
    if (x509 == NULL) {
        return -1;
    }
    struct tm end;
    int converted = ASN1_TIME_to_tm(X509_get0_notAfter(x509), &end);
    X509_free(x509);
    if (converted != 1) {
        return pki_fail(err, ERROR_TLS_FAILED, "The end of a certificate's validity can't be read");
    }
    *expiry_ms = (int64_t)timegm(&end) * 1000;
    return 0;
}
