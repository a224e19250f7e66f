#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"
#include "server/alerts/delivery_internal.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *make_body(const struct delivery *delivery)
{
    const struct catalog_message *message = delivery->message;
    char time[CLOCK_TEXT_SIZE];
    json_t *data = json_loads(message->data, 0, NULL);
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "id", message->id, "event", message->event, "time",
                  clock_format_wall(message->created_ms, time), "server", delivery->server_id, "subject",
                  message->subject, "text", message->body, "data", data != NULL ? data : json_object());
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text != NULL ? text : memory_copy_text("{}");
}

static struct curl_slist *add_header(struct curl_slist *list, char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    free(line);
    return longer;
}

static struct curl_slist *make_headers(const struct delivery *delivery, const char *body)
{
    uint8_t digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];
    long long now_s = (long long)(clock_wall_ms() / 1000);
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    list = curl_slist_append(list, "Expect:");
    list = add_header(list, memory_format("X-Holdfast-Delivery: %s", delivery->message->id));
    list = add_header(list, memory_format("X-Holdfast-Event: %s", delivery->message->event));
    list = add_header(list, memory_format("X-Holdfast-Timestamp: %lld", now_s));
    if (delivery->secret[0] != '\0') {
        char *with_time = memory_format("%lld.%s", now_s, body);
        digest_hmac_sha256(delivery->secret, strlen(delivery->secret), with_time, strlen(with_time), digest);
        bytes_to_hex(digest, sizeof digest, hex);
        list = add_header(list, memory_format("X-Holdfast-Signature: sha256=%s", hex));
        free(with_time);
    }
    return list;
}

CURLcode delivery_post_webhook(CURL *curl, const struct delivery *delivery)
{
    char *body = make_body(delivery);
    struct curl_slist *headers = make_headers(delivery, body);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_URL, delivery->to->server);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "holdfast");
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    free(body);
    return code;
}
