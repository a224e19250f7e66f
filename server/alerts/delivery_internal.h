/* Inside the delivery: its two kinds. What is common is set on the handle already. */
#ifndef HOLDFAST_SERVER_ALERTS_DELIVERY_INTERNAL_H
#define HOLDFAST_SERVER_ALERTS_DELIVERY_INTERNAL_H

#include "server/alerts/delivery.h"
#include <curl/curl.h>

CURLcode delivery_send_mail(CURL *curl, const struct delivery *delivery);
CURLcode delivery_post_webhook(CURL *curl, const struct delivery *delivery);

#endif
