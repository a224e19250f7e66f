#include "storage/map_node.h"

#include "base/bytes.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>

static const uint8_t node_magic[4] = {'H', 'F', 'M', 'N'};

uint64_t map_chunk_count(const struct store *store, uint64_t disk_size)
{
    uint32_t chunk_size = store_chunk_size(store);
    return disk_size / chunk_size + (disk_size % chunk_size != 0);
}

unsigned map_depth(uint64_t chunk_count)
{
    unsigned depth = 1;
    for (uint64_t covered = MAP_FANOUT; covered < chunk_count; covered *= MAP_FANOUT) {
        depth++;
    }
    return depth;
}

uint64_t map_entry_span(unsigned level)
{
    uint64_t span = 1;
    while (level-- > 0) {
        span *= MAP_FANOUT;
    }
    return span;
}

size_t map_node_encode(const struct map_entries *entries, unsigned level, uint8_t out[MAP_NODE_SIZE_MAX])
{
    uint8_t *next = out + MAP_NODE_HEADER_SIZE;
    memset(out, 0, MAP_NODE_HEADER_SIZE);
    memcpy(out, node_magic, sizeof node_magic);
    out[4] = (uint8_t)level;
    for (unsigned i = 0; i < MAP_FANOUT; i++) {
        if (!chunk_name_is_zero(&entries->names[i])) {
            out[8 + i / 8] = (uint8_t)(out[8 + i / 8] | 1u << (i % 8));
            memcpy(next, entries->names[i].bytes, 32);
            next += 32;
        }
    }
    size_t length = (size_t)(next - out);
    return length > MAP_NODE_HEADER_SIZE ? length : 0;
}

int map_node_decode(const uint8_t *bytes, size_t length, unsigned level, struct map_entries *entries)
{
    struct reader reader;
    reader_init(&reader, bytes, length);
    const uint8_t *header = reader_bytes(&reader, MAP_NODE_HEADER_SIZE);
    if (header == NULL || memcmp(header, node_magic, sizeof node_magic) != 0 || header[4] != level) {
        return -1;
    }
    memset(entries, 0, sizeof *entries);
    for (unsigned i = 0; i < MAP_FANOUT; i++) {
        if (header[8 + i / 8] >> (i % 8) & 1) {
            const uint8_t *name = reader_bytes(&reader, 32);
            if (name == NULL) {
                return -1;
            }
            memcpy(entries->names[i].bytes, name, 32);
        }
    }
    return reader_left(&reader) == 0 ? 0 : -1;
}

int map_node_read(struct store *store, const struct chunk_name *name, unsigned level,
                  struct map_entries *entries, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    if (chunk_name_is_zero(name)) {
        memset(entries, 0, sizeof *entries);
        return 0;
    }
    if (store_read_node(store, name, &bytes, &length, err) != 0) {
        return -1;
    }
    int result = map_node_decode(bytes, length, level, entries);
    free(bytes);
    return result == 0
               ? 0
               : error_set(err, ERROR_CHUNK_DAMAGED, "A map node is damaged: it is not of level %u", level);
}
