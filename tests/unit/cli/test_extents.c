/* The stream of a restored disk: whole, cut, damaged, lying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "cli/extents.h"

enum { CHUNK = 65536, DISK = 4 * CHUNK, STREAM_MAX = 2 * CHUNK };

struct stream {
    uint8_t bytes[STREAM_MAX];
    size_t length;
    size_t place; /* offset of the place's chunk index */
    size_t payload;
    size_t end;
};

/* One chunk at place 2 of 4. */
static void make_stream(struct stream *stream)
{
    uint8_t chunk[CHUNK];
    memset(chunk, 'x', sizeof chunk);
    uint8_t *out = stream->bytes;
    memcpy(out, "HFXS", 4);
    bytes_put_u32(out + 4, CHUNK);
    bytes_put_u64(out + 8, DISK);
    memcpy(out + 16, "HFXR\0\1\0\0", 8);
    bytes_put_u32(out + 24, 1);
    bytes_put_u32(out + 28, CHUNK);
    digest_sha256(chunk, sizeof chunk, out + 32);
    stream->place = 64;
    bytes_put_u64(out + 64, 2);
    bytes_put_u32(out + 72, 0);
    stream->payload = 76;
    memcpy(out + 76, chunk, sizeof chunk);
    stream->end = 76 + CHUNK;
    memcpy(out + stream->end, "HFXE", 4);
    bytes_put_u64(out + stream->end + 4, 1);
    stream->length = stream->end + 12;
}

/* Feeds the stream in pieces; gives the code that it failed with, "" for none. */
static const char *feed(const struct stream *stream, size_t piece, uint8_t *disk)
{
    static struct failure failure;
    char path[] = "/tmp/holdfast-extents-XXXXXX";
    struct error err;
    int result = 0;
    close(mkstemp(path));
    unlink(path);
    failure.code[0] = '\0';
    struct disk_writer *writer = disk_writer_create(path, "raw", DISK, &err);
    assert_non_null(writer);
    struct extents *extents = extents_create(writer, DISK);
    for (size_t at = 0; at < stream->length && result == 0; at += piece) {
        size_t length = stream->length - at < piece ? stream->length - at : piece;
        result = extents_feed(extents, stream->bytes + at, length, &failure);
    }
    if (result == 0) {
        result = extents_finish(extents, &failure);
    }
    extents_destroy(extents);
    if (result == 0) {
        uint8_t *bytes = NULL;
        size_t length = 0;
        assert_int_equal(disk_writer_finish(writer, &err), 0);
        assert_int_equal(os_file_read_whole(path, DISK, &bytes, &length, &err), 0);
        assert_int_equal(length, DISK);
        for (size_t i = 0; i < length; i++) {
            disk[i] = bytes[i];
        }
        free(bytes);
        unlink(path);
    } else {
        disk_writer_abandon(writer);
        assert_int_equal(access(path, F_OK), -1);
    }
    return failure.code;
}

static void test_whole(void **state)
{
    (void)state;
    static struct stream stream;
    static uint8_t disk[DISK];
    static const size_t pieces[] = {1, 7, 4096, STREAM_MAX};
    make_stream(&stream);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        assert_string_equal(feed(&stream, pieces[i], disk), "");
        assert_int_equal(disk[2 * CHUNK - 1], 0);
        assert_int_equal(disk[2 * CHUNK], 'x');
        assert_int_equal(disk[3 * CHUNK - 1], 'x');
        assert_int_equal(disk[3 * CHUNK], 0);
    }
}

static void test_wrong(void **state)
{
    (void)state;
    static struct stream stream;
    make_stream(&stream);
    stream.bytes[stream.payload + 100] ^= 1;
    assert_string_equal(feed(&stream, 4096, NULL), "CHUNK_DAMAGED");
    make_stream(&stream);
    bytes_put_u64(stream.bytes + stream.place, 4); /* behind the disk's end */
    assert_string_equal(feed(&stream, 4096, NULL), "PROTOCOL_INVALID");
    make_stream(&stream);
    bytes_put_u32(stream.bytes + stream.place + 8, 1); /* a chunk that the run does not have */
    assert_string_equal(feed(&stream, 4096, NULL), "PROTOCOL_INVALID");
    make_stream(&stream);
    bytes_put_u64(stream.bytes + 8, DISK + 1);
    assert_string_equal(feed(&stream, 4096, NULL), "PROTOCOL_INVALID");
    make_stream(&stream);
    bytes_put_u64(stream.bytes + stream.end + 4, 2); /* one place is missing */
    assert_string_equal(feed(&stream, 4096, NULL), "PROTOCOL_INVALID");
    make_stream(&stream);
    stream.bytes[16] = 'h';
    assert_string_equal(feed(&stream, 4096, NULL), "PROTOCOL_INVALID");
}

static void test_cut(void **state)
{
    (void)state;
    static struct stream stream;
    make_stream(&stream);
    stream.length = stream.end;
    assert_string_equal(feed(&stream, 4096, NULL), "CONNECTION_LOST");
    stream.length = 0;
    assert_string_equal(feed(&stream, 4096, NULL), "CONNECTION_LOST");
}

static void test_failure_of_the_server(void **state)
{
    (void)state;
    static const char text[] = "{\"code\":\"CHUNK_DAMAGED\",\"message\":\"Disk vda is damaged\"}";
    static struct stream stream;
    make_stream(&stream);
    memcpy(stream.bytes + 16, "HFXF", 4);
    bytes_put_u32(stream.bytes + 20, sizeof text - 1);
    memcpy(stream.bytes + 24, text, sizeof text - 1);
    stream.length = 24 + sizeof text - 1;
    assert_string_equal(feed(&stream, 5, NULL), "CHUNK_DAMAGED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_failure_of_the_server)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
