/* agent/files: the archive of a tree, its headers and its layout. libarchive says whether it is one. */
#include "agent/files/file_archive.h"
#include "agent/files/file_attributes.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "provider_fixture.h"
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADERS_MAX = 4 * 1024 * 1024, FILES = 300 };

/* --- headers */

/* What libarchive finds in the headers: the caller's to free; NULL when it complains. */
static struct archive_entry *parse(const struct buffer *headers)
{
    struct archive *reader = archive_read_new();
    struct archive_entry *entry = archive_entry_new();
    archive_read_support_format_tar(reader);
    assert_int_equal(archive_read_open_memory(reader, headers->data, headers->length), ARCHIVE_OK);
    if (archive_read_next_header2(reader, entry) != ARCHIVE_OK) {
        print_message("%s\n", archive_error_string(reader));
        archive_entry_free(entry);
        entry = NULL;
    }
    archive_read_free(reader);
    return entry;
}

static void check_header(const struct tar_entry *entry, uint64_t pad)
{
    struct buffer headers;
    buffer_init(&headers, HEADERS_MAX);
    assert_int_equal(tar_header_write(&headers, entry, 0), 0);
    size_t least = headers.length;
    assert_int_equal(least % TAR_BLOCK, 0);
    buffer_clear(&headers);
    assert_int_equal(tar_header_write(&headers, entry, pad), 0);
    assert_int_equal(headers.length, least + pad * TAR_BLOCK);
    struct archive_entry *parsed = parse(&headers);
    assert_non_null(parsed);
    char *path = memory_format("%s%s", entry->path, entry->type == TAR_DIRECTORY ? "/" : "");
    assert_string_equal(archive_entry_pathname(parsed), path);
    free(path);
    assert_int_equal(archive_entry_size(parsed), entry->size);
    assert_int_equal(archive_entry_mtime(parsed), entry->mtime_s);
    assert_int_equal(archive_entry_mtime_nsec(parsed), entry->mtime_ns);
    assert_int_equal(archive_entry_perm(parsed), entry->mode);
    assert_int_equal(archive_entry_uid(parsed), entry->uid);
    assert_int_equal(archive_entry_gid(parsed), entry->gid);
    if (entry->type == TAR_SYMBOLIC_LINK)
        assert_string_equal(archive_entry_symlink(parsed), entry->link);
    if (entry->type == TAR_HARD_LINK)
        assert_string_equal(archive_entry_hardlink(parsed), entry->link);
    archive_entry_free(parsed);
    buffer_free(&headers);
}

static char *repeat(const char *text, size_t count)
{
    size_t length = strlen(text);
    char *result = memory_zalloc(count * length + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(result + i * length, text, length);
    return result;
}

static void headers_say_what_was_said(void **state)
{
    (void)state;
    char *long_path = repeat("directory/", 409);
    char *odd_path = repeat("\xff\xfe", 90);
    char *exact = repeat("x", 100);
    const struct tar_entry entries[] = {
        {.type = TAR_FILE, .path = "a", .link = "", .size = 5, .mode = 0644, .mtime_s = 1700000000},
        {.type = TAR_FILE, .path = "new\nline", .link = "", .mode = 04755, .mtime_s = 1, .mtime_ns = 1},
        {.type = TAR_FILE, .path = exact, .link = "", .mode = 0600, .mtime_ns = 999999999},
        {.type = TAR_DIRECTORY, .path = exact, .link = "", .mode = 01777},
        {.type = TAR_FILE, .path = long_path, .link = "", .size = 1},
        {.type = TAR_FILE, .path = odd_path, .link = ""},
        {.type = TAR_FILE, .path = "\xff", .link = ""},
        {.type = TAR_FILE, .path = "big", .link = "", .size = ((uint64_t)1 << 33) - 1},
        {.type = TAR_FILE, .path = "bigger", .link = "", .size = (uint64_t)1 << 33},
        {.type = TAR_FILE, .path = "huge", .link = "", .size = ((uint64_t)1 << 50) + 1},
        {.type = TAR_FILE, .path = "old", .link = "", .mtime_s = -3, .mtime_ns = 0},
        {.type = TAR_FILE, .path = "late", .link = "", .mtime_s = (int64_t)1 << 34, .mtime_ns = 5},
        {.type = TAR_FILE, .path = "far", .link = "", .uid = 4294967294, .gid = 2097152},
        {.type = TAR_SYMBOLIC_LINK, .path = "link", .link = long_path},
        {.type = TAR_SYMBOLIC_LINK, .path = "odd", .link = odd_path},
        {.type = TAR_HARD_LINK, .path = "same", .link = "a/b"},
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        for (uint64_t pad = 0; pad < 130; pad += pad < 3 ? 1 : 63)
            check_header(&entries[i], pad);
    }
    free(long_path);
    free(odd_path);
    free(exact);
}

/* libarchive reads fractions before 1970 wrongly: the text itself. */
static void times_before_1970(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        uint32_t nanoseconds;
        const char *text;
    } cases[] = {{-2, 500000000, "mtime=-1.500000000\n"},
                 {-1, 999999999, "mtime=-0.000000001\n"},
                 {-7, 0, "mtime=-7.000000000\n"},
                 {0, 1, "mtime=0.000000001\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out;
        struct tar_entry entry = {.type = TAR_FILE,
                                  .path = "a",
                                  .link = "",
                                  .mtime_s = cases[i].seconds,
                                  .mtime_ns = cases[i].nanoseconds};
        buffer_init(&out, HEADERS_MAX);
        assert_int_equal(tar_header_write(&out, &entry, 0), 0);
        assert_non_null(memmem(out.data, out.length, cases[i].text, strlen(cases[i].text)));
        buffer_free(&out);
    }
}

/* The length of a record counts its own digits. */
static void records_have_their_length(void **state)
{
    (void)state;
    char *value = repeat("v", 11000);
    for (size_t length = 0; length <= 11000; length += length < 1200 ? 1 : 97) {
        struct buffer out;
        buffer_init(&out, HEADERS_MAX);
        assert_int_equal(tar_header_attribute(&out, "k", value, length), 0);
        assert_int_equal(strtoul(buffer_text(&out), NULL, 10), out.length);
        buffer_free(&out);
    }
    free(value);
}

static void access_lists_become_text(void **state)
{
    (void)state;
    static const uint8_t list[] = {
        2, 0, 0,   0,   1,   0,   7,  0, 255, 255, 255, 255, 2,   0,   4,  0, 210, 4, 0,   0,   4,   0,
        5, 0, 255, 255, 255, 255, 16, 0, 7,   0,   255, 255, 255, 255, 32, 0, 0,   0, 255, 255, 255, 255,
    };
    struct buffer text;
    buffer_init(&text, 1024);
    assert_int_equal(file_attributes_acl(list, sizeof list, &text), 0);
    assert_string_equal(buffer_text(&text), "user::rwx,user:1234:r--,group::r-x,mask::rwx,other::---");
    buffer_clear(&text);
    assert_int_equal(file_attributes_acl(list, sizeof list - 1, &text), -1);
    assert_int_equal(file_attributes_acl(list, 3, &text), -1);
    assert_int_equal(file_attributes_acl("\x03\0\0\0", 4, &text), -1);
    buffer_free(&text);
}

/* --- the archive of a tree */

static unsigned random_seed;

static size_t random_below(size_t limit)
{
    random_seed = random_seed * 1103515245u + 12345u;
    return (random_seed >> 8) % limit;
}

static void write_random(const char *path, size_t size)
{
    uint8_t *bytes = memory_zalloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)random_below(256);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
}

/* Files of all sizes in some directories, one of them with holes. */
static void make_tree(unsigned seed)
{
    random_seed = seed;
    for (size_t i = 0; i < 8; i++) {
        char name[40];
        snprintf(name, sizeof name, "tree/%zu/%zu", i % 3, i);
        struct error err;
        check(os_path_make_directory(in_directory(name), 0755, &err), err);
    }
    for (size_t i = 0; i < FILES; i++) {
        char name[40];
        size_t sub = random_below(8);
        snprintf(name, sizeof name, "tree/%zu/%zu/%zu", sub % 3, sub, random_below(1000000));
        write_random(in_directory(name), random_below(40) == 0 ? random_below(400000) : random_below(3000));
    }
    assert_int_equal(symlink("nowhere", in_directory("tree/link")), 0);
    int fd = open(in_directory("tree/1/holes"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(pwrite(fd, "data", 4, 5 << 20), 4);
    assert_int_equal(ftruncate(fd, 9 << 20), 0);
    close(fd);
}

static char tree_path[] = "srv/tree"; /* in the archive: always the same, so that the layout is */
static struct file_root root;

static struct file_archive *open_tree(void)
{
    struct error err;
    root = (struct file_root){.path = tree_path, .fd = open(in_directory("tree"), O_RDONLY | O_DIRECTORY)};
    struct file_archive_options options = {.walk = {.roots = &root, .root_count = 1},
                                           .layout = in_directory("new"),
                                           .former = in_directory("old")};
    struct file_archive *archive = file_archive_open(&options, &err);
    if (!archive)
        fail_msg("%s", err.message);
    assert_int_equal(file_archive_size(archive) % FILE_LAYOUT_ALIGNMENT, 0);
    return archive;
}

static void close_tree(struct file_archive *archive)
{
    file_archive_close(archive);
    close(root.fd);
    assert_int_equal(rename(in_directory("new"), in_directory("old")), 0);
}

static uint8_t *read_whole(struct file_archive *archive)
{
    struct error err;
    size_t size = (size_t)file_archive_size(archive);
    uint8_t *bytes = memory_alloc(size);
    struct disk_reader *reader = file_archive_reader(archive);
    check(disk_reader_read(reader, 0, bytes, size, &err), err);
    disk_reader_close(reader);
    return bytes;
}

static size_t count_entries(const uint8_t *bytes, size_t size)
{
    struct archive *reader = archive_read_new();
    struct archive_entry *entry;
    size_t count = 0;
    archive_read_support_format_tar(reader);
    assert_int_equal(archive_read_open_memory(reader, bytes, size), ARCHIVE_OK);
    int result;
    while ((result = archive_read_next_header(reader, &entry)) == ARCHIVE_OK)
        count++;
    assert_int_equal(result, ARCHIVE_EOF);
    archive_read_free(reader);
    return count;
}

static void check_no_troubles(struct file_archive *archive)
{
    Holdfast__Failure **warnings = NULL;
    size_t count = 0;
    file_archive_troubles(archive, &warnings, &count);
    if (count > 0)
        fail_msg("%s", warnings[0]->message);
}

static void any_place_reads_as_the_whole(void **state)
{
    (void)state;
    struct error err;
    for (unsigned seed = 1; seed <= 2; seed++) {
        make_tree(seed);
        struct file_archive *archive = open_tree();
        size_t size = (size_t)file_archive_size(archive);
        uint8_t *whole = read_whole(archive);
        assert_in_range(count_entries(whole, size), FILES, FILES + 20);
        struct disk_reader *reader = file_archive_reader(archive);
        uint8_t *piece = memory_alloc(300000);
        for (size_t i = 0; i < 500; i++) {
            size_t offset = random_below(size);
            size_t length = random_below(i % 10 == 0 ? 300000 : 2000);
            length = length < size - offset ? length : size - offset;
            check(disk_reader_read(reader, offset, piece, length, &err), err);
            assert_memory_equal(piece, whole + offset, length);
        }
        check_no_troubles(archive);
        free(piece);
        free(whole);
        disk_reader_close(reader);
        close_tree(archive);
        check(os_path_remove_tree(in_directory("tree"), &err), err);
    }
}

/* Extents follow one another to the end, and where they say zeros are zeros. */
static void extents_cover_it(void **state)
{
    (void)state;
    struct error err;
    make_tree(7);
    struct file_archive *archive = open_tree();
    uint64_t size = file_archive_size(archive);
    uint8_t *whole = read_whole(archive);
    struct disk_reader *reader = file_archive_reader(archive);
    uint64_t zeros = 0;
    for (uint64_t at = 0; at < size;) {
        struct disk_extent extents[5];
        size_t count = 0;
        check(disk_reader_extents(reader, at, 1 + random_below(3 << 20), extents, 5, &count, &err), err);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(extents[i].offset, at);
            assert_true(extents[i].length > 0);
            at += extents[i].length;
            if (extents[i].kind != DISK_EXTENT_ZERO)
                continue;
            zeros += extents[i].length;
            assert_true(bytes_are_zero(whole + extents[i].offset, extents[i].length));
        }
    }
    assert_in_range(zeros, 8 << 20, 10 << 20);
    free(whole);
    disk_reader_close(reader);
    close_tree(archive);
    check(os_path_remove_tree(in_directory("tree"), &err), err);
}

/* What did not change is in the new archive in the same chunks, and is found where it was. */
static void chunks_stay(void **state)
{
    (void)state;
    enum { CHUNK = FILE_LAYOUT_ALIGNMENT };
    struct error err;
    make_tree(11);
    struct file_archive *archive = open_tree();
    size_t former_size = (size_t)file_archive_size(archive);
    uint8_t *before = read_whole(archive);
    close_tree(archive);
    write_random(in_directory("tree/000"), 200000);
    write_random(in_directory("tree/0/0/000"), 1000);
    write_random(in_directory("tree/1/zzz"), 70000);
    archive = open_tree();
    size_t size = (size_t)file_archive_size(archive);
    uint8_t *after = read_whole(archive);
    assert_true(size > former_size);
    size_t unlike = 0;
    for (uint64_t at = 0; at < size; at += CHUNK) {
        uint64_t former = file_archive_former(archive, at);
        former = former == UINT64_MAX ? at : former;
        assert_int_equal(former % CHUNK, 0);
        if (former + CHUNK > former_size || memcmp(before + former, after + at, CHUNK) != 0)
            unlike++;
    }
    /* of what is new 270 KiB; some chunks beside it; some hundred KiB of small files up to the next aligned
     */
    assert_in_range(unlike, 4, 15);
    assert_true(size / CHUNK > 100);
    free(before);
    free(after);
    close_tree(archive);
    check(os_path_remove_tree(in_directory("tree"), &err), err);
}

static void files_that_change_are_told(void **state)
{
    (void)state;
    struct error err;
    check(os_path_make_directory(in_directory("tree"), 0755, &err), err);
    write_random(in_directory("tree/gone"), 1000);
    write_random(in_directory("tree/grown"), 1000);
    write_random(in_directory("tree/shrunk"), 100000);
    write_random(in_directory("tree/still"), 1000);
    struct file_archive *archive = open_tree();
    assert_int_equal(unlink(in_directory("tree/gone")), 0);
    assert_int_equal(truncate(in_directory("tree/grown"), 2000), 0);
    assert_int_equal(truncate(in_directory("tree/shrunk"), 10), 0);
    uint8_t *whole = read_whole(archive);
    assert_int_equal(count_entries(whole, (size_t)file_archive_size(archive)), 5);
    free(whole);
    Holdfast__Failure **warnings = NULL;
    size_t count = 0;
    file_archive_troubles(archive, &warnings, &count);
    assert_int_equal(count, 2);
    assert_non_null(strstr(warnings[0]->message, "2 files changed"));
    assert_non_null(strstr(warnings[0]->message, "tree/grown, /"));
    assert_non_null(strstr(warnings[1]->message, "1 file went away"));
    for (size_t i = 0; i < count; i++)
        holdfast__failure__free_unpacked(warnings[i], NULL);
    free(warnings);
    close_tree(archive);
    check(os_path_remove_tree(in_directory("tree"), &err), err);
}

/* Whoever exchanges a directory for a link while it is read does not get at what he may not read. */
static void links_are_not_followed(void **state)
{
    (void)state;
    static const char secret[] = "this is a secret";
    struct error err;
    check(os_path_make_directory(in_directory("tree/d"), 0755, &err), err);
    check(os_path_make_directory(in_directory("outside"), 0755, &err), err);
    write_text(in_directory("tree/d/file"), "this is no secret");
    write_text(in_directory("tree/file"), "this is no secret");
    write_text(in_directory("outside/file"), secret);
    assert_int_equal(symlink(in_directory("outside"), in_directory("tree/link")), 0);
    struct file_archive *archive = open_tree();
    assert_int_equal(rename(in_directory("tree/d"), in_directory("tree/e")), 0);
    assert_int_equal(symlink(in_directory("outside"), in_directory("tree/d")), 0);
    assert_int_equal(unlink(in_directory("tree/file")), 0);
    assert_int_equal(symlink(in_directory("outside/file"), in_directory("tree/file")), 0);
    uint8_t *whole = read_whole(archive);
    size_t size = (size_t)file_archive_size(archive);
    assert_int_equal(count_entries(whole, size), 5);
    assert_null(memmem(whole, size, secret, sizeof secret - 1));
    free(whole);
    Holdfast__Failure **warnings = NULL;
    size_t count = 0;
    file_archive_troubles(archive, &warnings, &count);
    assert_int_equal(count, 1);
    assert_non_null(strstr(warnings[0]->message, "2 files could not be read to the end"));
    holdfast__failure__free_unpacked(warnings[0], NULL);
    free(warnings);
    close_tree(archive);
    check(os_path_remove_tree(in_directory("tree"), &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_say_what_was_said),
        cmocka_unit_test(times_before_1970),
        cmocka_unit_test(records_have_their_length),
        cmocka_unit_test(access_lists_become_text),
        cmocka_unit_test(any_place_reads_as_the_whole),
        cmocka_unit_test(extents_cover_it),
        cmocka_unit_test(chunks_stay),
        cmocka_unit_test(files_that_change_are_told),
        cmocka_unit_test(links_are_not_followed),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
