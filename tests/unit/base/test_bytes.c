#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/digest.h"
#include <string.h>

static void test_reader_stays_in_bounds(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    struct reader reader;
    reader_init(&reader, bytes, sizeof bytes);
    assert_int_equal(reader_u32(&reader), 0x04030201);
    assert_int_equal(reader_left(&reader), 3);
    assert_null(reader_bytes(&reader, 4));
    assert_true(reader_failed(&reader));
    assert_int_equal(reader_u8(&reader), 0); /* once failed, for good */
    assert_true(reader_failed(&reader));
}

static void test_arithmetic_that_does_not_fit(void **state)
{
    (void)state;
    uint64_t value;
    assert_true(bytes_add_u64(UINT64_MAX - 1, 1, &value));
    assert_int_equal(value, UINT64_MAX);
    assert_false(bytes_add_u64(UINT64_MAX, 1, &value));
    assert_true(bytes_multiply_u64(UINT64_MAX / 2, 2, &value));
    assert_false(bytes_multiply_u64(UINT64_MAX / 2 + 1, 2, &value));
}

static void test_hexadecimal(void **state)
{
    (void)state;
    uint8_t bytes[3];
    char text[7];
    assert_int_equal(bytes_from_hex("00fFa5", bytes, 3), 0);
    bytes_to_hex(bytes, 3, text);
    assert_string_equal(text, "00ffa5");
    assert_int_equal(bytes_from_hex("00fFa", bytes, 3), -1);
    assert_int_equal(bytes_from_hex("00fFa50", bytes, 3), -1);
    assert_int_equal(bytes_from_hex("00fFg5", bytes, 3), -1);
    assert_int_equal(bytes_from_hex("", bytes, 0), 0);
}

/* Whatever the place of the one bit, and wherever the bytes begin. */
static void test_zeros(void **state)
{
    (void)state;
    static uint8_t bytes[4200];
    for (size_t from = 0; from < 20; from++) {
        for (size_t length = 0; length < 200; length++) {
            assert_true(bytes_are_zero(bytes + from, length));
        }
        for (size_t at = from; at < sizeof bytes; at += 37) {
            bytes[at] = 0x80;
            assert_false(bytes_are_zero(bytes + from, sizeof bytes - from));
            assert_true(bytes_are_zero(bytes + from, at - from));
            bytes[at] = 0;
        }
    }
}

static void test_octal(void **state)
{
    (void)state;
    char text[] = "/mnt/a\\040b\\134\\04\\400\\";
    bytes_unescape_octal(text);
    assert_string_equal(text, "/mnt/a b\\\\04\\400\\");
}

static void test_digests(void **state)
{
    (void)state;
    uint8_t digest[DIGEST_SIZE];
    char text[2 * DIGEST_SIZE + 1];
    digest_sha256("abc", 3, digest); /* FIPS 180-4 */
    bytes_to_hex(digest, sizeof digest, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest); /* RFC 4231, case 2 */
    bytes_to_hex(digest, sizeof digest, text);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(digest_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(digest_crc32c(digest_crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_stays_in_bounds),
        cmocka_unit_test(test_arithmetic_that_does_not_fit),
        cmocka_unit_test(test_hexadecimal),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_octal),
        cmocka_unit_test(test_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
