#include "server/audit/chain.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_MAX = 1024 * 1024 };

void chain_head_init(struct chain_head *head)
{
    head->number = 0;
    memset(head->hash, '0', sizeof head->hash - 1);
    head->hash[sizeof head->hash - 1] = '\0';
}

static void add_text(struct buffer *buffer, const char *text)
{
    buffer_append_format(buffer, "%zu:", strlen(text));
    buffer_append_text(buffer, text);
    buffer_append_text(buffer, ",");
}

static void add_number(struct buffer *buffer, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    add_text(buffer, text);
}

void chain_hash(const char *previous, const struct catalog_audit *row, char hash[CHAIN_HASH_SIZE])
{
    struct buffer buffer;
    uint8_t digest[DIGEST_SIZE];
    buffer_init(&buffer, ENTRY_MAX);
    buffer_append_text(&buffer, previous);
    add_number(&buffer, row->number);
    add_number(&buffer, row->time_ms);
    add_text(&buffer, row->actor);
    add_text(&buffer, row->address);
    add_text(&buffer, row->action);
    add_text(&buffer, row->object);
    add_text(&buffer, row->outcome);
    add_text(&buffer, row->code);
    add_text(&buffer, row->detail);
    add_number(&buffer, row->of);
    digest_sha256(buffer.data, buffer.length, digest);
    bytes_to_hex(digest, sizeof digest, hash);
    buffer_free(&buffer);
}

int chain_follow(struct chain_head *head, const struct catalog_audit *row, const char **why)
{
    char hash[CHAIN_HASH_SIZE];
    if (row->number != head->number + 1) {
        *why = "entries before it are missing";
        return -1;
    }
    chain_hash(head->hash, row, hash);
    if (strcmp(hash, row->hash) != 0) {
        *why = "it, or the one before it, was changed";
        return -1;
    }
    head->number = row->number;
    memcpy(head->hash, hash, sizeof hash);
    return 0;
}

int chain_head_parse(const char *text, struct chain_head *head)
{
    uint8_t digest[DIGEST_SIZE];
    char *end;
    long long number = strtoll(text, &end, 10);
    if (end == text || number < 1 || *end != ' ' || strlen(end + 1) < CHAIN_HASH_SIZE - 1) {
        return -1;
    }
    memcpy(head->hash, end + 1, CHAIN_HASH_SIZE - 1);
    head->hash[CHAIN_HASH_SIZE - 1] = '\0';
    head->number = number;
    return bytes_from_hex(head->hash, digest, sizeof digest);
}
