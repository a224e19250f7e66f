/* Framing: what is encoded is decoded, and what the protocol does not allow is refused before memory is
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "proto/frame.h"

static void test_round_trip(void **state)
{
    (void)state;
    const struct frame_header header = {
        .message_length = 7, .payload_length = 1048576, .stream = 0xfffffffe, .kind = FRAME_DATA, .type = 3};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header decoded;
    struct error err;
    frame_header_encode(&header, bytes);
    assert_int_equal(frame_header_decode(bytes, &decoded, &err), 0);
    assert_memory_equal(&decoded, &header, sizeof header);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct frame_header bad[] = {
        {.kind = 0},
        {.kind = 10},
        {.kind = FRAME_PING, .flags = 1},
        {.kind = FRAME_PING, .message_length = 1},
        {.kind = FRAME_HELLO, .message_length = FRAME_DATA_MESSAGE_MAX + 1},
        {.kind = FRAME_HELLO, .payload_length = 1},
        {.kind = FRAME_REQUEST, .message_length = FRAME_MESSAGE_MAX + 1},
        {.kind = FRAME_REQUEST, .payload_length = 1},
        {.kind = FRAME_DATA, .payload_length = FRAME_PAYLOAD_MAX + 1},
        {.kind = FRAME_DATA, .message_length = UINT32_MAX, .payload_length = UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t bytes[FRAME_HEADER_SIZE];
        struct frame_header decoded;
        struct error err;
        frame_header_encode(&bad[i], bytes);
        assert_int_equal(frame_header_decode(bytes, &decoded, &err), -1);
        assert_int_equal(err.code, ERROR_PROTOCOL_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
