#include "base/identity.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void identity_random(void *out, size_t length)
{
    uint8_t *next = out;
    while (length > 0) {
        ssize_t got = getrandom(next, length, 0);
        if (got < 0) {
            perror("getrandom");
            abort();
        }
        next += got;
        length -= (size_t)got;
    }
}

void identity_create(char out[IDENTITY_SIZE])
{
    uint8_t b[16];
    identity_random(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, IDENTITY_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

bool identity_is_valid(const char *text)
{
    if (strlen(text) != IDENTITY_SIZE - 1) {
        return false;
    }
    for (size_t i = 0; i < IDENTITY_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (dash ? text[i] != '-' : !digit) {
            return false;
        }
    }
    return true;
}
