#include "base/clock.h"
#include "base/memory.h"
#include "server/alerts/delivery_internal.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- header values (RFC 2047)
 * ------------------------------------------------------------------------------------- */

/* Bytes of a word before it is encoded: 75 characters with "=?UTF-8?B?" and "?=" around. */
enum { WORD_MAX = 45, WORD_ENCODED_MAX = 4 * (WORD_MAX + 2) / 3 + 1, UTF8_MORE_MAX = 3 };

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Up to `most` bytes, not ending within a character where the text is UTF-8. */
static size_t word_length(const char *text, size_t length, size_t most)
{
    if (length <= most) {
        return length;
    }
    size_t end = most;
    while (end > most - UTF8_MORE_MAX && ((unsigned char)text[end] & 0xc0) == 0x80) {
        end--;
    }
    return end;
}

static char *encode_words(const char *text)
{
    size_t left = strlen(text);
    size_t length = 0;
    size_t size = (left / (WORD_MAX - UTF8_MORE_MAX) + 2) * (WORD_ENCODED_MAX + sizeof "=?UTF-8?B?"
                                                                                       "?=\r\n ");
    char *out = memory_zalloc(size);
    while (left > 0) {
        unsigned char encoded[WORD_ENCODED_MAX + 4];
        size_t word = word_length(text, left, WORD_MAX);
        EVP_EncodeBlock(encoded, (const unsigned char *)text, (int)word);
        length += (size_t)snprintf(out + length, size - length, "%s=?UTF-8?B?%s?=", length > 0 ? "\r\n " : "",
                                   encoded);
        text += word;
        left -= word;
    }
    return out;
}

char *delivery_header_text(const char *text)
{
    enum { PLAIN_MAX = 60, TEXT_MAX = 400 };
    char *clean = memory_format("%.*s", (int)word_length(text, strlen(text), TEXT_MAX), text);
    bool plain = strlen(clean) <= PLAIN_MAX && strstr(clean, "=?") == NULL;
    for (char *c = clean; *c != '\0'; c++) {
        *c = is_control(*c) ? ' ' : *c;
        plain = plain && (unsigned char)*c < 0x7f;
    }
    if (plain) {
        return clean;
    }
    char *encoded = encode_words(clean);
    free(clean);
    return encoded;
}

/* --- the mail
 * ---------------------------------------------------------------------------------------------------- */

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char *line = memory_format("%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, line);
    free(line);
    return longer;
}

static struct curl_slist *make_headers(const struct delivery *delivery)
{
    const struct catalog_message *message = delivery->message;
    struct tm parts;
    char date[64];
    time_t created = (time_t)(message->created_ms / 1000);
    char *subject = delivery_header_text(message->subject);
    char *id = memory_format("<%s@%s.holdfast.invalid>", message->id, delivery->server_id);
    gmtime_r(&created, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    struct curl_slist *list = add_header(NULL, "From", delivery->to->sender);
    list = add_header(list, "To", delivery->to->recipients);
    list = add_header(list, "Subject", subject);
    list = add_header(list, "Date", date);
    list = add_header(list, "Message-ID", id);
    list = add_header(list, "Auto-Submitted", "auto-generated"); /* RFC 3834: nobody answers by machine */
    free(subject);
    free(id);
    return list;
}

static void add_part(curl_mime *mime, const char *text, const char *type)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    curl_mime_data(part, text, CURL_ZERO_TERMINATED);
    curl_mime_type(part, type);
    curl_mime_encoder(part, "quoted-printable");
}

static curl_mime *make_body(CURL *curl, const struct catalog_message *message)
{
    curl_mime *mail = curl_mime_init(curl);
    if (message->html[0] == '\0') {
        add_part(mail, message->body, "text/plain; charset=utf-8");
        return mail;
    }
    curl_mime *alternative = curl_mime_init(curl);
    add_part(alternative, message->body, "text/plain; charset=utf-8");
    add_part(alternative, message->html, "text/html; charset=utf-8");
    curl_mimepart *whole = curl_mime_addpart(mail);
    struct curl_slist *inside = curl_slist_append(NULL, "Content-Disposition: inline");
    curl_mime_subparts(whole, alternative);
    curl_mime_type(whole, "multipart/alternative");
    curl_mime_headers(whole, inside, 1);
    return mail;
}

static struct curl_slist *make_recipients(const char *recipients)
{
    struct curl_slist *list = NULL;
    while (*recipients != '\0') {
        size_t length = strcspn(recipients, ",");
        char *one = memory_format("%.*s", (int)length, recipients);
        list = curl_slist_append(list, one);
        free(one);
        recipients += length;
        recipients += *recipients == ',';
    }
    return list;
}

CURLcode delivery_send_mail(CURL *curl, const struct delivery *delivery)
{
    const struct catalog_notification *to = delivery->to;
    bool from_start = strcmp(to->security, "tls") == 0;
    char *url = memory_format("%s://%s/holdfast", from_start ? "smtps" : "smtp", to->server);
    struct curl_slist *headers = make_headers(delivery);
    struct curl_slist *recipients = make_recipients(to->recipients);
    curl_mime *body = make_body(curl, delivery->message);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL); /* or nothing */
    curl_easy_setopt(curl, CURLOPT_MAIL_FROM, to->sender);
    curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, recipients);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_MIMEPOST, body);
    if (to->user[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_USERNAME, to->user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, delivery->secret);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_mime_free(body);
    curl_slist_free_all(recipients);
    curl_slist_free_all(headers);
    free(url);
    return code;
}
