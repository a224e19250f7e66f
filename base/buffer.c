#include "base/buffer.h"

#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit};
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    buffer_init(buffer, buffer->limit);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
}

/* One byte more than asked for, so that buffer_text always has room for its NUL. */
static void buffer_grow(struct buffer *buffer, size_t length)
{
    size_t needed = buffer->length + length + 1;
    if (needed <= buffer->capacity) {
        return;
    }
    size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;
    while (capacity < needed) {
        capacity += capacity;
    }
    buffer->data = memory_resize(buffer->data, capacity, 1);
    buffer->capacity = capacity;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t length)
{
    if (length > buffer->limit - buffer->length) {
        return NULL;
    }
    buffer_grow(buffer, length);
    return buffer->data + buffer->length;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t length)
{
    uint8_t *room = buffer_reserve(buffer, length);
    if (room == NULL) {
        return -1;
    }
    if (length > 0) {
        memcpy(room, bytes, length);
    }
    buffer->length += length;
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return -1;
    }
    int result = buffer_append(buffer, text, (size_t)length);
    free(text);
    return result;
}

const char *buffer_text(struct buffer *buffer)
{
    buffer_grow(buffer, 0);
    buffer->data[buffer->length] = '\0';
    return (const char *)buffer->data;
}
