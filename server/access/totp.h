/*
 * Time-based one-time passwords: RFC 6238 (and RFC 4226) with HMAC-SHA-1, 30 seconds and 6 digits, as every
 * authenticator application has them. Thread-safe.
 */
#ifndef HOLDFAST_SERVER_ACCESS_TOTP_H
#define HOLDFAST_SERVER_ACCESS_TOTP_H

#include <stdbool.h>
#include <stdint.h>

enum { TOTP_KEY_SIZE = 20, TOTP_DIGITS = 6, TOTP_STEP_S = 30 };

/* The number of the step that a time is in. */
int64_t totp_step(int64_t wall_ms);
/* The code of a step: 0 to 999999. */
uint32_t totp_code(const uint8_t key[TOTP_KEY_SIZE], int64_t step);
/* Is this the code of now, or of the step before or after, and later than last_step? Then *step is which. In
 * constant time. */
bool totp_check(const uint8_t key[TOTP_KEY_SIZE], const char *code, int64_t wall_ms, int64_t last_step,
                int64_t *step);

#endif
