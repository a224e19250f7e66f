/* Frames as they come from the network: header, then the message of the method, as the channel parses them.
 */
#include "proto/agent.pb-c.h"
#include "proto/data.pb-c.h"
#include "proto/frame.h"
#include "proto/server.pb-c.h"

static const ProtobufCMessageDescriptor *const messages[] = {
    &holdfast__hello__descriptor,
    &holdfast__enrol_request__descriptor,
    &holdfast__register_request__descriptor,
    &holdfast__vm_report__descriptor,
    &holdfast__backup_begin_reply__descriptor,
    &holdfast__restore_request__descriptor,
    &holdfast__backup_offer__descriptor,
    &holdfast__chunk_run__descriptor,
    &holdfast__restore_read__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size >= FRAME_HEADER_SIZE) {
        struct frame_header header;
        struct error err;
        if (frame_header_decode(data, &header, &err) != 0) {
            return 0;
        }
        data += FRAME_HEADER_SIZE;
        size -= FRAME_HEADER_SIZE;
        if (header.message_length > size) {
            return 0;
        }
        const ProtobufCMessageDescriptor *descriptor =
            messages[header.type % (sizeof messages / sizeof *messages)];
        ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, header.message_length, data);
        if (message != NULL) {
            protobuf_c_message_free_unpacked(message, NULL);
        }
        data += header.message_length;
        size -= header.message_length;
        if (header.payload_length > size) {
            return 0;
        }
        data += header.payload_length;
        size -= header.payload_length;
    }
    return 0;
}
