/*
 * Framing (docs/protocol.md): a header of 16 bytes, little-endian, then a protobuf message, then raw bytes.
 *   u32 message_length, u32 payload_length, u32 stream, u8 kind, u8 flags (0), u16 type
 */
#ifndef HOLDFAST_PROTO_FRAME_H
#define HOLDFAST_PROTO_FRAME_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER_SIZE = 16,
    FRAME_MESSAGE_MAX = 16 * 1024 * 1024,         /* a control message: the VM report of a large host */
    FRAME_DATA_MESSAGE_MAX = 64 * 1024,           /* the message of a DATA frame */
    FRAME_PAYLOAD_MAX = 16 * 1024 * 1024 + 65536, /* 16 chunks of 1 MiB and what zstd may add */
};

enum frame_kind {
    FRAME_HELLO = 1,
    FRAME_REQUEST = 2,  /* stream: request id; type: service << 8 | method */
    FRAME_RESPONSE = 3, /* stream: the request's */
    FRAME_FAILURE = 4,  /* stream: the request's; message: Failure */
    FRAME_CANCEL = 5,   /* stream: the request's; no message */
    FRAME_PING = 6,
    FRAME_PONG = 7,
    FRAME_DATA = 8,   /* type: DataType */
    FRAME_CREDIT = 9, /* stream: number of bytes granted; no message */
};

struct frame_header {
    uint32_t message_length;
    uint32_t payload_length;
    uint32_t stream;
    uint8_t kind;
    uint8_t flags;
    uint16_t type;
};

void frame_header_encode(const struct frame_header *header, uint8_t out[FRAME_HEADER_SIZE]);
/* PROTOCOL_INVALID for an unknown kind, flags that are set, or lengths that the kind does not allow. */
int frame_header_decode(const uint8_t in[FRAME_HEADER_SIZE], struct frame_header *header, struct error *err);

#endif
