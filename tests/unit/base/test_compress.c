#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compress.h"
#include "base/identity.h"
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { LENGTH = 100000, ROOM = 2 * LENGTH };

static uint8_t plain[LENGTH];
static uint8_t packed[ROOM];
static uint8_t out[LENGTH + 1];

static size_t pack_text(void)
{
    size_t length;
    memset(plain, 'x', sizeof plain);
    assert_int_equal(compress_run(plain, LENGTH, 1, packed, &length), COMPRESSION_ZSTD);
    return length;
}

static void test_there_and_back(void **state)
{
    (void)state;
    size_t length = pack_text();
    assert_true(length < LENGTH / 100);
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, length, out, LENGTH), 0);
    assert_memory_equal(out, plain, LENGTH);
}

static void test_what_does_not_shrink_stays_plain(void **state)
{
    (void)state;
    size_t length;
    identity_random(plain, sizeof plain);
    assert_int_equal(compress_run(plain, LENGTH, 1, packed, &length), COMPRESSION_PLAIN);
    assert_int_equal(length, LENGTH);
    assert_int_equal(decompress_run(COMPRESSION_PLAIN, packed, length, out, LENGTH), 0);
    assert_int_equal(decompress_run(COMPRESSION_PLAIN, packed, length - 1, out, LENGTH), -1);
}

static void test_other_lengths_are_refused(void **state)
{
    (void)state;
    size_t length = pack_text();
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, length, out, LENGTH + 1), -1);
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, length, out, LENGTH - 1), -1);
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, length - 1, out, LENGTH), -1);
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, 0, out, LENGTH), -1);
    packed[length] = 0;
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, length + 1, out, LENGTH), -1);
}

/* The store keeps what arrives as it is, and its format promises one frame. */
static void test_several_frames_are_refused(void **state)
{
    (void)state;
    static const uint8_t skippable[] = {0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 'x'};
    memset(plain, 'x', sizeof plain);
    size_t first = ZSTD_compress(packed, ROOM, plain, LENGTH / 2, 1);
    size_t second = ZSTD_compress(packed + first, ROOM - first, plain, LENGTH - LENGTH / 2, 1);
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, first + second, out, LENGTH), -1);
    size_t length = pack_text();
    memmove(packed + sizeof skippable, packed, length);
    memcpy(packed, skippable, sizeof skippable);
    assert_int_equal(decompress_run(COMPRESSION_ZSTD, packed, length + sizeof skippable, out, LENGTH), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_what_does_not_shrink_stays_plain),
        cmocka_unit_test(test_other_lengths_are_refused),
        cmocka_unit_test(test_several_frames_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
