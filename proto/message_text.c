#include "proto/message_text.h"

#include "base/utf8.h"

static void repair_value(const ProtobufCFieldDescriptor *field, void *value)
{
    if (value == NULL || value == field->default_value) {
        return;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        utf8_repair(value);
    } else {
        message_repair_text(value);
    }
}

void message_repair_text(ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE) {
            continue;
        }
        char *at = (char *)message + field->offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t count = *(const size_t *)(const void *)((char *)message + field->quantifier_offset);
            void **values = *(void ***)(void *)at;
            for (size_t k = 0; k < count; k++) {
                repair_value(field, values[k]);
            }
        } else {
            repair_value(field, *(void **)(void *)at);
        }
    }
}
