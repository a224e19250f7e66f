/*
 * One message to one receiver: a mail by SMTP (RFC 5321) with STARTTLS (RFC 3207) or TLS from the first byte
 * (RFC 8314), or an HTTPS POST. Through libcurl. The certificate is checked against the system's authorities
 * or those that are given, always; nothing is sent in the clear.
 *
 * A webhook gets a JSON body {id, event, time, server, subject, text, data} and
 *   X-Holdfast-Delivery: ID             the same for every try of one message
 *   X-Holdfast-Event: EVENT
 *   X-Holdfast-Timestamp: SECONDS       since 1970
 *   X-Holdfast-Signature: sha256=HEX    HMAC-SHA-256 of "SECONDS.BODY" with the shared secret
 * and is delivered when the answer's status is 200 to 299. Redirections are not followed.
 *
 * Thread-safe; blocks up to timeout_ms.
 */
#ifndef HOLDFAST_SERVER_ALERTS_DELIVERY_H
#define HOLDFAST_SERVER_ALERTS_DELIVERY_H

#include "server/catalog/catalog_notifications.h"
#include <stdatomic.h>

struct delivery {
    const struct catalog_notification *to;
    const char *secret; /* plain; "" for none */
    const struct catalog_message *message;
    const char *server_id;
    unsigned timeout_ms;
    const atomic_bool *stop; /* gives up when it is set; NULL: never */
};

/* NOTIFY_FAILED, with the reason as its cause; no secret is in it. */
int delivery_send(const struct delivery *delivery, struct error *err);

/* REQUEST_INVALID: an address that can't be one, a server or URL that is not of the form above. */
int delivery_check(const struct catalog_notification *to, struct error *err);

/* A header's value of any UTF-8 text, malloc'd: control characters are gone, what is not ASCII is encoded as
 * RFC 2047 says, folded. */
char *delivery_header_text(const char *text);

#endif
