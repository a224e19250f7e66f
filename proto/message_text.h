/*
 * Strings of messages are UTF-8 (https://protobuf.dev/programming-guides/proto3/#scalar), which protobuf-c
 * does not look at: JSON, the catalog and logs rely on it.
 */
#ifndef HOLDFAST_PROTO_MESSAGE_TEXT_H
#define HOLDFAST_PROTO_MESSAGE_TEXT_H

#include <protobuf-c/protobuf-c.h>

/* Every byte of an unpacked message's strings, at any depth, that belongs to no character becomes '?'. */
void message_repair_text(ProtobufCMessage *message);

#endif
