#include "proto/frame.h"

#include "base/bytes.h"

void frame_header_encode(const struct frame_header *header, uint8_t out[FRAME_HEADER_SIZE])
{
    bytes_put_u32(out, header->message_length);
    bytes_put_u32(out + 4, header->payload_length);
    bytes_put_u32(out + 8, header->stream);
    out[12] = header->kind;
    out[13] = header->flags;
    bytes_put_u16(out + 14, header->type);
}

struct frame_limits {
    uint32_t message;
    uint32_t payload;
};

static const struct frame_limits limits[] = {
    [FRAME_HELLO] = {FRAME_DATA_MESSAGE_MAX, 0},
    [FRAME_REQUEST] = {FRAME_MESSAGE_MAX, 0},
    [FRAME_RESPONSE] = {FRAME_MESSAGE_MAX, 0},
    [FRAME_FAILURE] = {FRAME_DATA_MESSAGE_MAX, 0},
    [FRAME_CANCEL] = {0, 0},
    [FRAME_PING] = {0, 0},
    [FRAME_PONG] = {0, 0},
    [FRAME_DATA] = {FRAME_DATA_MESSAGE_MAX, FRAME_PAYLOAD_MAX},
    [FRAME_CREDIT] = {0, 0},
};

int frame_header_decode(const uint8_t in[FRAME_HEADER_SIZE], struct frame_header *header, struct error *err)
{
    *header = (struct frame_header){
        .message_length = bytes_get_u32(in),
        .payload_length = bytes_get_u32(in + 4),
        .stream = bytes_get_u32(in + 8),
        .kind = in[12],
        .flags = in[13],
        .type = bytes_get_u16(in + 14),
    };
    if (header->kind < FRAME_HELLO || header->kind > FRAME_CREDIT) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A frame is of unknown kind %u", header->kind);
    }
    if (header->flags != 0) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A frame has unknown flags %#x", header->flags);
    }
    const struct frame_limits *limit = &limits[header->kind];
    if (header->message_length > limit->message || header->payload_length > limit->payload) {
        return error_set(err, ERROR_PROTOCOL_INVALID,
                         "A frame of kind %u is too long: message %u, payload %u", header->kind,
                         header->message_length, header->payload_length);
    }
    return 0;
}
