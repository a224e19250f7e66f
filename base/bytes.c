#include "base/bytes.h"

#include <string.h>

void reader_init(struct reader *reader, const void *bytes, size_t length)
{
    reader->next = bytes;
    reader->end = length == 0 ? reader->next : reader->next + length;
    reader->failed = false;
}

const uint8_t *reader_bytes(struct reader *reader, size_t length)
{
    if (reader->failed || reader_left(reader) < length) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->next;
    if (length > 0) {
        reader->next += length;
    }
    return bytes;
}

uint8_t reader_u8(struct reader *reader)
{
    const uint8_t *bytes = reader_bytes(reader, 1);
    return bytes != NULL ? bytes[0] : 0;
}

uint16_t reader_u16(struct reader *reader)
{
    const uint8_t *bytes = reader_bytes(reader, 2);
    return bytes != NULL ? bytes_get_u16(bytes) : 0;
}

uint32_t reader_u32(struct reader *reader)
{
    const uint8_t *bytes = reader_bytes(reader, 4);
    return bytes != NULL ? bytes_get_u32(bytes) : 0;
}

uint64_t reader_u64(struct reader *reader)
{
    const uint8_t *bytes = reader_bytes(reader, 8);
    return bytes != NULL ? bytes_get_u64(bytes) : 0;
}

size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->next);
}

bool reader_failed(const struct reader *reader)
{
    return reader->failed;
}

void bytes_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

void bytes_put_u32(uint8_t *out, uint32_t value)
{
    bytes_put_u16(out, (uint16_t)value);
    bytes_put_u16(out + 2, (uint16_t)(value >> 16));
}

void bytes_put_u64(uint8_t *out, uint64_t value)
{
    bytes_put_u32(out, (uint32_t)value);
    bytes_put_u32(out + 4, (uint32_t)(value >> 32));
}

uint16_t bytes_get_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

uint32_t bytes_get_u32(const uint8_t *in)
{
    return (uint32_t)bytes_get_u16(in) | (uint32_t)bytes_get_u16(in + 2) << 16;
}

uint64_t bytes_get_u64(const uint8_t *in)
{
    return (uint64_t)bytes_get_u32(in) | (uint64_t)bytes_get_u32(in + 4) << 32;
}

bool bytes_are_zero(const void *bytes, size_t length)
{
    const uint8_t *start = bytes;
    if (length == 0) {
        return true;
    }
    /* Data seldom begins with zeros, so a short look decides most blocks; the rest is compared with itself,
     * one byte on, which memcmp does at memory speed. */
    return start[0] == 0 && memcmp(start, start + 1, length - 1) == 0;
}

void bytes_to_hex(const uint8_t *bytes, size_t length, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * length] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

int bytes_from_hex(const char *text, uint8_t *out, size_t length)
{
    if (strlen(text) != 2 * length) {
        return -1;
    }
    for (size_t i = 0; i < length; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

void bytes_unescape_octal(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        bool octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                     from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        *to = octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += octal ? 4 : 1;
    }
    *to = '\0';
}

bool bytes_add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

bool bytes_multiply_u64(uint64_t a, uint64_t b, uint64_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}
