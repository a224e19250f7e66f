#include "cli/client.h"

#include "base/memory.h"
#include "base/version.h"
#include "cli/client_internal.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CLIENT_REPLY_MAX = 64 * 1024 * 1024,
    CLIENT_PAGE = 500,
    CLIENT_CONNECT_TIMEOUT_S = 15,
    CLIENT_TRIES = 4, /* of a request whose answer was lost */
    CLIENT_AGAIN_MS = 500,
    CLIENT_CALL_TIMEOUT_S = 600, /* a discovery waits for its host */
};

static int check_server(const char *server, struct failure *failure)
{
    if (strncmp(server, "https://", 8) != 0 || server[8] == '\0' || strpbrk(server + 8, "/?#@ ") != NULL) {
        return failure_set(failure, ERROR_REQUEST_INVALID,
                           "“%s” is not the address of a server: https://HOST:PORT", server);
    }
    return 0;
}

/* What goes into a header: printable, no blanks. */
static bool is_word(const char *text)
{
    while (isgraph((unsigned char)*text)) {
        text++;
    }
    return *text == '\0';
}

static int add_header(struct client *client, const char *name, const char *value, struct failure *failure)
{
    char *header = memory_format("%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(client->headers, header);
    free(header);
    if (more == NULL) {
        return failure_set(failure, ERROR_INTERNAL, "The HTTP library could not be started");
    }
    client->headers = more;
    return 0;
}

static int add_token(struct client *client, const char *token, struct failure *failure)
{
    char *value = memory_format("Bearer %s", token);
    int result = add_header(client, "Authorization", value, failure);
    free(value);
    return result;
}

struct client *client_create(const struct settings *settings, struct failure *failure)
{
    if (check_server(settings->server, failure) != 0) {
        return NULL;
    }
    if (settings->token != NULL && !is_word(settings->token)) {
        failure_set(failure, ERROR_AUTHENTICATION_FAILED, "The token holds characters that no token has");
        return NULL;
    }
    struct client *client = memory_zalloc(sizeof *client);
    client->server = memory_copy_text(settings->server);
    client->ca = memory_copy_text(settings->ca);
    identity_create(client->key);
    client->curl = curl_easy_init();
    if (client->curl == NULL) {
        failure_set(failure, ERROR_INTERNAL, "The HTTP library could not be started");
    }
    if (client->curl == NULL || add_header(client, "Content-Type", "application/json", failure) != 0 ||
        (settings->token != NULL && add_token(client, settings->token, failure) != 0)) {
        client_destroy(client);
        return NULL;
    }
    return client;
}

void client_limit_time(struct client *client, long seconds)
{
    client->limit_s = seconds;
}

int client_set_code(struct client *client, const char *code, struct failure *failure)
{
    if (*code == '\0' || !is_word(code)) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "The code holds characters that no code has");
    }
    client->has_code = true;
    return add_header(client, "Holdfast-Second-Factor", code, failure);
}

void client_ask_code(struct client *client, char *(*ask)(void))
{
    client->ask_code = ask;
}

void client_destroy(struct client *client)
{
    if (client == NULL) {
        return;
    }
    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->headers);
    free(client->server);
    free(client->ca);
    free(client);
}

static void append_encoded(struct buffer *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        bool plain = *c < 0x80 && (isalnum(*c) || strchr("-._~", *c) != NULL);
        (void)(plain ? buffer_append(out, c, 1) : buffer_append_format(out, "%%%02X", *c));
    }
}

char *client_path(const char *template, ...)
{
    va_list texts;
    struct buffer out;
    buffer_init(&out, SIZE_MAX / 2);
    va_start(texts, template);
    for (const char *c = template; *c != '\0'; c++) {
        if (c[0] == '%' && c[1] == 's') {
            append_encoded(&out, va_arg(texts, const char *));
            c++;
        } else {
            buffer_append(&out, c, 1);
        }
    }
    va_end(texts);
    char *path = memory_copy_text(buffer_text(&out));
    buffer_free(&out);
    return path;
}

void client_prepare(struct client *client, const char *method, const char *url)
{
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    client->reason[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "holdfast/" HOLDFAST_VERSION);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->reason);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CLIENT_CONNECT_TIMEOUT_S);
    if (client->ca != NULL) {
        struct curl_blob blob = {.data = client->ca, .len = strlen(client->ca), .flags = CURL_BLOB_NOCOPY};
        curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
}

int client_fail(const struct client *client, CURLcode code, struct failure *failure)
{
    bool tls = code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
               code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER ||
               code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR;
    if (tls) {
        failure_set(failure, ERROR_TLS_FAILED, "No secure connection with the server %s", client->server);
        snprintf(failure->action, sizeof failure->action,
                 "Check that --ca of `holdfast login` was this server's ca.pem, and that the address is one "
                 "that its "
                 "certificate names.");
    } else {
        failure_set(failure, ERROR_SERVER_UNREACHABLE, "The server %s can't be reached", client->server);
    }
    snprintf(failure->cause, sizeof failure->cause, "%s",
             client->reason[0] != '\0' ? client->reason : curl_easy_strerror(code));
    return -1;
}

int client_parse(struct buffer *body, json_t **reply, struct failure *failure)
{
    json_error_t json_error;
    *reply = NULL;
    if (body->length == 0) {
        return 0;
    }
    *reply = json_loadb((const char *)body->data, body->length, JSON_REJECT_DUPLICATES, &json_error);
    if (*reply == NULL) {
        failure_set(failure, ERROR_PROTOCOL_INVALID, "The server's answer is not JSON");
        snprintf(failure->cause, sizeof failure->cause, "%s", json_error.text);
        return -1;
    }
    return 0;
}

static size_t on_reply(char *bytes, size_t size, size_t count, void *cookie)
{
    return buffer_append(cookie, bytes, size * count) == 0 ? size * count : 0;
}

/* The answer is there: an error of the server's, or what was asked for. */
static int take_reply(struct client *client, struct buffer *body, json_t **reply, struct failure *failure)
{
    long status = 0;
    json_t *value = NULL;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    int result = client_parse(body, &value, failure);
    if (status >= 300) {
        result = failure_from_reply(failure, status, value);
    }
    if (result == 0 && reply != NULL) {
        *reply = value;
    } else {
        json_decref(value);
    }
    return result;
}

/* As for every request, and the key by which the server knows this one when it comes again. */
static struct curl_slist *keyed_headers(struct client *client)
{
    struct curl_slist *headers = NULL;
    char *key = memory_format("Idempotency-Key: %s-%u", client->key, ++client->calls);
    for (const struct curl_slist *header = client->headers; header != NULL; header = header->next) {
        headers = curl_slist_append(headers, header->data);
    }
    headers = curl_slist_append(headers, key);
    free(key);
    return headers;
}

/* The connection went when the request may have been taken. */
static bool was_cut_off(CURLcode code)
{
    return code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
           code == CURLE_PARTIAL_FILE;
}

/* One try. *again tells whether the request may have been taken and not answered. */
static int call_once(struct client *client, const char *method, const char *url, const char *text,
                     struct curl_slist *headers, json_t **reply, bool *again, struct failure *failure)
{
    struct buffer answer;
    buffer_init(&answer, CLIENT_REPLY_MAX);
    client_prepare(client, method, url);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT,
                     client->limit_s > 0 ? client->limit_s : (long)CLIENT_CALL_TIMEOUT_S);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_reply);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &answer);
    if (headers != NULL) {
        curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    }
    if (text != NULL) {
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, text);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
    }
    CURLcode code = curl_easy_perform(client->curl);
    int result =
        code == CURLE_OK ? take_reply(client, &answer, reply, failure) : client_fail(client, code, failure);
    *again = was_cut_off(code) || (result != 0 && strcmp(failure->code, "IDEMPOTENCY_RUNNING") == 0);
    buffer_free(&answer);
    return result;
}

/* Repeated while the request may have been taken and not answered: its key keeps it from being done twice. */
static int call_tries(struct client *client, const char *method, const char *url, const char *text,
                      json_t **reply, struct failure *failure)
{
    struct curl_slist *headers = strcmp(method, "GET") != 0 ? keyed_headers(client) : NULL;
    bool again = true;
    int result = -1;
    for (unsigned tries = 0; tries < CLIENT_TRIES && again; tries++) {
        if (tries > 0) {
            nanosleep(&(struct timespec){.tv_nsec = CLIENT_AGAIN_MS * 1000000L}, NULL);
        }
        result = call_once(client, method, url, text, headers, reply, &again, failure);
    }
    curl_slist_free_all(headers);
    return result;
}

/* The server wants a second factor: ask for it. False when there is nobody to ask. */
static bool ask_code(struct client *client, const struct failure *failure)
{
    struct failure ignored;
    if (strcmp(failure->code, error_code_name(ERROR_SECOND_FACTOR_REQUIRED)) != 0 || client->has_code ||
        client->ask_code == NULL) {
        return false;
    }
    char *code = client->ask_code();
    bool given = code != NULL && client_set_code(client, code, &ignored) == 0;
    free(code);
    return given;
}

int client_call(struct client *client, const char *method, const char *path, json_t *body, json_t **reply,
                struct failure *failure)
{
    char *url = memory_format("%s%s", client->server, path);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    int result = call_tries(client, method, url, text, reply, failure);
    if (result != 0 && ask_code(client, failure)) {
        result = call_tries(client, method, url, text, reply, failure);
    }
    free(text);
    free(url);
    return result;
}

int client_list(struct client *client, const char *path, size_t limit, json_t **items,
                struct failure *failure)
{
    char *after = NULL;
    int result;
    *items = json_array();
    do {
        size_t left = limit == 0 ? CLIENT_PAGE : limit - json_array_size(*items);
        char *page = memory_format("%s%climit=%zu%s%s", path, strchr(path, '?') != NULL ? '&' : '?',
                                   left < CLIENT_PAGE ? left : CLIENT_PAGE, after != NULL ? "&after=" : "",
                                   after != NULL ? after : "");
        json_t *reply = NULL;
        result = client_call(client, "GET", page, NULL, &reply, failure);
        free(page);
        free(after);
        after = NULL;
        if (result == 0 && json_is_array(json_object_get(reply, "items"))) {
            json_array_extend(*items, json_object_get(reply, "items"));
            const char *next = json_string_value(json_object_get(reply, "next"));
            after = next != NULL ? client_path("%s", next) : NULL;
        } else if (result == 0) {
            result = failure_set(failure, ERROR_PROTOCOL_INVALID, "The server's answer is not a list");
        }
        json_decref(reply);
    } while (result == 0 && after != NULL && (limit == 0 || json_array_size(*items) < limit));
    free(after);
    if (result != 0) {
        json_decref(*items);
        *items = NULL;
    }
    return result;
}
