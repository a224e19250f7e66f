/*
 * Bytes from outside: a bounds-checked reader, little-endian store and load, hexadecimal, and
 * overflow-checked arithmetic. A reader never reads past its end; once one read fails all later ones fail and
 * give zero, so a parser checks `reader_failed` once at the end, and before it uses a length.
 */
#ifndef HOLDFAST_BASE_BYTES_H
#define HOLDFAST_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *next;
    const uint8_t *end;
    bool failed;
};

void reader_init(struct reader *reader, const void *bytes, size_t length);
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
/* A borrowed pointer into the input, valid as long as the input is; NULL (and failed) when fewer bytes are
 * left. */
const uint8_t *reader_bytes(struct reader *reader, size_t length);
size_t reader_left(const struct reader *reader);
bool reader_failed(const struct reader *reader);

void bytes_put_u16(uint8_t *out, uint16_t value);
void bytes_put_u32(uint8_t *out, uint32_t value);
void bytes_put_u64(uint8_t *out, uint64_t value);
uint16_t bytes_get_u16(const uint8_t *in);
uint32_t bytes_get_u32(const uint8_t *in);
uint64_t bytes_get_u64(const uint8_t *in);

/* True when every byte is zero. Fast (vectorized by the compiler); used on every block that is read. */
bool bytes_are_zero(const void *bytes, size_t length);

/* Lower-case hexadecimal; out has 2 * length + 1 bytes. */
void bytes_to_hex(const uint8_t *bytes, size_t length, char *out);
/* Exactly 2 * length digits, either case; -1 otherwise. */
int bytes_from_hex(const char *text, uint8_t *out, size_t length);

/* The fields of fstab and mountinfo: \040 and so on become what they stand for, in place. getmntent(3) */
void bytes_unescape_octal(char *text);

/* a + b and a * b; false when the result does not fit. */
bool bytes_add_u64(uint64_t a, uint64_t b, uint64_t *sum);
bool bytes_multiply_u64(uint64_t a, uint64_t b, uint64_t *product);

#endif
