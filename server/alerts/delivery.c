#include "server/alerts/delivery.h"

#include "base/memory.h"
#include "server/alerts/delivery_internal.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ADDRESS_MAX = 254, RECIPIENTS_MAX = 50, URL_MAX = 2048 };

/* --- what may be asked
 * ------------------------------------------------------------------------------------------- */

/* Printable ASCII without what has a meaning in a header or an envelope: LOCAL@DOMAIN. */
static bool is_address(const char *text, size_t length)
{
    const char *at = memchr(text, '@', length);
    bool valid = length <= ADDRESS_MAX && at != NULL && at != text && at + 1 < text + length;
    for (size_t i = 0; i < length && valid; i++) {
        valid = text[i] > ' ' && text[i] < 0x7f && strchr("<>()[]\\\",;:", text[i]) == NULL;
    }
    return valid && memchr(at + 1, '@', (size_t)(text + length - at - 1)) == NULL;
}

static int check_mail(const struct catalog_notification *to, struct error *err)
{
    const char *colon = strrchr(to->server, ':');
    char *end = NULL;
    long port = colon != NULL ? strtol(colon + 1, &end, 10) : 0;
    size_t host = colon != NULL ? (size_t)(colon - to->server) : 0;
    if (host == 0 || host > ADDRESS_MAX || *end != '\0' || port < 1 || port > UINT16_MAX ||
        strspn(to->server, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-[]:") !=
            strlen(to->server)) {
        return error_set(err, ERROR_REQUEST_INVALID, "\"%.100s\" is no mail server such as mail.example:587",
                         to->server);
    }
    if (strcmp(to->security, "starttls") != 0 && strcmp(to->security, "tls") != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "There is no security %.40s: starttls or tls",
                         to->security);
    }
    if (!is_address(to->sender, strlen(to->sender))) {
        return error_set(err, ERROR_REQUEST_INVALID, "\"%.100s\" is no address to send from", to->sender);
    }
    size_t count = 0;
    const char *next = to->recipients;
    do {
        size_t length = strcspn(next, ",");
        if (!is_address(next, length) || ++count > RECIPIENTS_MAX) {
            return error_set(err, ERROR_REQUEST_INVALID, "\"%.*s\" is no address to send to, or too much",
                             (int)(length < 100 ? length : 100), next);
        }
        next += length;
    } while (*next++ == ',');
    return 0;
}

static int check_webhook(const struct catalog_notification *to, struct error *err)
{
    CURLU *url = curl_url();
    char *scheme = NULL;
    char *user = NULL;
    bool valid = strlen(to->server) <= URL_MAX &&
                 curl_url_set(url, CURLUPART_URL, to->server, 0) == CURLUE_OK &&
                 curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                 strcasecmp(scheme, "https") == 0 && curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK;
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
    return valid ? 0
                 : error_set(err, ERROR_REQUEST_INVALID,
                             "A webhook's address begins with https:// and holds no user or password");
}

int delivery_check(const struct catalog_notification *to, struct error *err)
{
    return to->kind == NOTIFICATION_MAIL ? check_mail(to, err) : check_webhook(to, err);
}

/* --- sending
 * ----------------------------------------------------------------------------------------------------- */

static size_t discard(char *bytes, size_t size, size_t count, void *cookie)
{
    (void)bytes;
    (void)cookie;
    return size * count;
}

static int on_progress(void *cookie, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    const struct delivery *delivery = cookie;
    return delivery->stop != NULL && atomic_load(delivery->stop);
}

static void set_common(CURL *curl, const struct delivery *delivery, char *reason)
{
    const char *authorities = delivery->to->authorities;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)delivery->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)delivery->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)delivery);
    if (authorities[0] != '\0') {
        struct curl_blob blob = {
            .data = (void *)(uintptr_t)authorities, .len = strlen(authorities), .flags = CURL_BLOB_NOCOPY};
        curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
}

int delivery_send(const struct delivery *delivery, struct error *err)
{
    char reason[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        return error_set(err, ERROR_INTERNAL, "libcurl does not start");
    }
    set_common(curl, delivery, reason);
    CURLcode code = delivery->to->kind == NOTIFICATION_MAIL ? delivery_send_mail(curl, delivery)
                                                            : delivery_post_webhook(curl, delivery);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    bool refused =
        code == CURLE_OK && delivery->to->kind == NOTIFICATION_WEBHOOK && (status < 200 || status > 299);
    curl_easy_cleanup(curl);
    if (code == CURLE_OK && !refused) {
        return 0;
    }
    error_set(err, ERROR_NOTIFY_FAILED, "The message to %s could not be delivered", delivery->to->name);
    return refused ? error_set_cause(err, "It answered with status %ld", status)
                   : error_set_cause(err, "%s", reason[0] != '\0' ? reason : curl_easy_strerror(code));
}
