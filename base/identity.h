/*
 * Identifiers and random bytes. Ids are random UUIDs (RFC 9562 version 4) in lower case.
 */
#ifndef HOLDFAST_BASE_IDENTITY_H
#define HOLDFAST_BASE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

enum { IDENTITY_SIZE = 37 }; /* 36 characters and a NUL */

void identity_create(char out[IDENTITY_SIZE]);
bool identity_is_valid(const char *text);
/* From the operating system's generator; aborts when it fails. */
void identity_random(void *out, size_t length);

#endif
