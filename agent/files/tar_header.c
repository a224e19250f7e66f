#include "agent/files/tar_header.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* POSIX.1-2008, pax, "ustar Header Block". */
struct ustar {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char user[32];
    char group[32];
    char major[8];
    char minor[8];
    char prefix[155];
    char rest[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is one block");

enum { COMMENT_FIXED = 10 }; /* " comment=" and the line's end */

static const uint64_t octal_7_max = 07777777;      /* what a field of 8 bytes holds */
static const uint64_t octal_11_max = 077777777777; /* of 12 */

static void put_octal(char *field, size_t size, uint64_t value)
{
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

static size_t count_digits(size_t value)
{
    size_t digits = 1;
    for (; value >= 10; value /= 10)
        digits++;
    return digits;
}

int tar_header_attribute(struct buffer *out, const char *keyword, const void *value, size_t length)
{
    size_t fixed = strlen(keyword) + length + 3; /* " ", "=", "\n" */
    size_t whole = fixed + count_digits(fixed);
    whole = fixed + count_digits(whole); /* the digits may have become one more */
    return buffer_append_format(out, "%zu %s=", whole, keyword) == 0 &&
                   buffer_append(out, value, length) == 0 && buffer_append_text(out, "\n") == 0
               ? 0
               : -1;
}

static int add_text(struct buffer *out, const char *keyword, const char *text)
{
    return tar_header_attribute(out, keyword, text, strlen(text));
}

static int add_number(struct buffer *out, const char *keyword, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return add_text(out, keyword, text);
}

static int add_time(struct buffer *out, int64_t seconds, uint32_t nanoseconds)
{
    char text[40];
    bool before = seconds < 0; /* -1.5 s is noted as -2 s and half a second */
    uint64_t whole = before ? -(uint64_t)seconds : (uint64_t)seconds;
    if (before && nanoseconds > 0) {
        whole--;
        nanoseconds = 1000000000 - nanoseconds;
    }
    snprintf(text, sizeof text, "%s%llu.%09u", before ? "-" : "", (unsigned long long)whole, nanoseconds);
    return add_text(out, "mtime", text);
}

/* "path", or "path/" of a directory. */
static int add_path(struct buffer *out, const struct tar_entry *entry)
{
    struct buffer path;
    buffer_init(&path, 2 * TAR_BLOCK * TAR_BLOCK);
    int result = buffer_append_text(&path, entry->path);
    if (result == 0 && entry->type == TAR_DIRECTORY)
        result = buffer_append_text(&path, "/");
    if (result == 0)
        result = tar_header_attribute(out, "path", path.data, path.length);
    buffer_free(&path);
    return result;
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text); /* which is UTF-8, or nothing */
    json_decref(string);
    return string != NULL;
}

/* What does not fit into the header itself. */
static int add_records(struct buffer *out, const struct tar_entry *entry)
{
    size_t path = strlen(entry->path) + (entry->type == TAR_DIRECTORY);
    bool long_path = path > sizeof((struct ustar *)0)->name;
    bool long_link = strlen(entry->link) > sizeof((struct ustar *)0)->link;
    int result = 0;
    if ((long_path && !is_utf8(entry->path)) || (long_link && !is_utf8(entry->link)))
        result |= add_text(out, "hdrcharset", "BINARY");
    if (long_path)
        result |= add_path(out, entry);
    if (long_link)
        result |= add_text(out, "linkpath", entry->link);
    if (entry->size > octal_11_max)
        result |= add_number(out, "size", entry->size);
    result |= add_time(out, entry->mtime_s, entry->mtime_ns); /* always: there is a record to pad */
    if (entry->uid > octal_7_max)
        result |= add_number(out, "uid", entry->uid);
    if (entry->gid > octal_7_max)
        result |= add_number(out, "gid", entry->gid);
    result |= buffer_append(out, entry->attributes, entry->attributes_length);
    return result;
}

/* A comment that makes the records end at a block's end, `pad` blocks behind where they would. */
static int add_padding(struct buffer *out, size_t length, uint64_t pad)
{
    uint64_t whole = (uint64_t)(TAR_BLOCK - length % TAR_BLOCK) % TAR_BLOCK + pad * TAR_BLOCK;
    if (whole > SIZE_MAX / 2)
        return -1;
    size_t digits = count_digits((size_t)whole);
    if (buffer_append_format(out, "%zu comment=", (size_t)whole) != 0)
        return -1;
    size_t fill = (size_t)whole - digits - COMMENT_FIXED;
    uint8_t *room = buffer_reserve(out, fill + 1);
    if (!room)
        return -1;
    memset(room, ' ', fill);
    room[fill] = '\n';
    out->length += fill + 1;
    return 0;
}

static int fill_block(struct buffer *out)
{
    static const uint8_t zeros[TAR_BLOCK];
    size_t over = out->length % TAR_BLOCK;
    return over == 0 ? 0 : buffer_append(out, zeros, TAR_BLOCK - over);
}

static void seal(struct ustar *header)
{
    unsigned sum = 0;
    memcpy(header->magic, "ustar", sizeof header->magic);
    memcpy(header->version, "00", sizeof header->version);
    memset(header->checksum, ' ', sizeof header->checksum);
    for (size_t i = 0; i < sizeof *header; i++)
        sum += ((const unsigned char *)header)[i];
    put_octal(header->checksum, sizeof header->checksum - 1, sum);
    header->checksum[sizeof header->checksum - 2] = '\0';
}

/* As much of it as there is room for. */
static void put_text(char *field, size_t size, const char *text)
{
    memcpy(field, text, strnlen(text, size));
}

static int write_extended(struct buffer *out, const struct buffer *records)
{
    struct ustar header = {.type = 'x'};
    put_text(header.name, sizeof header.name, "PaxHeaders/entry");
    put_octal(header.mode, sizeof header.mode, 0644);
    put_octal(header.uid, sizeof header.uid, 0);
    put_octal(header.gid, sizeof header.gid, 0);
    put_octal(header.size, sizeof header.size, records->length);
    put_octal(header.mtime, sizeof header.mtime, 0);
    seal(&header);
    return buffer_append(out, &header, sizeof header) == 0 &&
                   buffer_append(out, records->data, records->length) == 0 && fill_block(out) == 0
               ? 0
               : -1;
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value > limit ? 0 : value;
}

static int write_header(struct buffer *out, const struct tar_entry *entry)
{
    struct ustar header = {.type = (char)entry->type};
    size_t length = strlen(entry->path);
    put_text(header.name, sizeof header.name, entry->path);
    if (entry->type == TAR_DIRECTORY && length < sizeof header.name)
        header.name[length] = '/';
    put_text(header.link, sizeof header.link, entry->link);
    put_octal(header.mode, sizeof header.mode, entry->mode & 07777);
    put_octal(header.uid, sizeof header.uid, at_most(entry->uid, octal_7_max));
    put_octal(header.gid, sizeof header.gid, at_most(entry->gid, octal_7_max));
    put_octal(header.size, sizeof header.size, at_most(entry->size, octal_11_max));
    put_octal(header.mtime, sizeof header.mtime,
              entry->mtime_s < 0 ? 0 : at_most((uint64_t)entry->mtime_s, octal_11_max));
    put_octal(header.major, sizeof header.major, at_most(entry->major, octal_7_max));
    put_octal(header.minor, sizeof header.minor, at_most(entry->minor, octal_7_max));
    seal(&header);
    return buffer_append(out, &header, sizeof header);
}

int tar_header_write(struct buffer *out, const struct tar_entry *entry, uint64_t pad)
{
    struct buffer records;
    buffer_init(&records, out->limit);
    int result = add_records(&records, entry);
    if (result == 0 && pad > 0)
        result = add_padding(&records, records.length, pad);
    if (result == 0)
        result = write_extended(out, &records);
    if (result == 0)
        result = write_header(out, entry);
    buffer_free(&records);
    return result;
}
