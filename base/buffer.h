/*
 * A growable byte buffer with an upper bound. Not thread-safe. Used for messages and text that are built up.
 */
#ifndef HOLDFAST_BASE_BUFFER_H
#define HOLDFAST_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
    size_t limit; /* never grows past this many bytes */
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_free(struct buffer *buffer);
void buffer_clear(struct buffer *buffer); /* length 0, memory kept */
/* 0, or -1 when the limit would be passed (nothing is changed then). Running out of memory aborts the
 * process. */
int buffer_append(struct buffer *buffer, const void *bytes, size_t length);
int buffer_append_text(struct buffer *buffer, const char *text);
int buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for `length` more bytes; the caller writes there and adds to `length`. NULL past the limit. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t length);
/* The bytes as text with a NUL behind; owned by the buffer until it changes. */
const char *buffer_text(struct buffer *buffer);

#endif
