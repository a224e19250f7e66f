#include "base/memory.h"
#include "storage/map_node.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 10 };

/* The path to the leaf that was read last: reading in order reads every node once. */
struct map_reader {
    struct store *store;
    uint64_t chunk_count;
    unsigned depth;
    struct map_entries nodes[DEPTH_MAX];
    uint64_t first[DEPTH_MAX]; /* first chunk below the node at that level */
    bool loaded[DEPTH_MAX];
};

struct map_reader *map_reader_open(struct store *store, const struct chunk_name *root, uint64_t disk_size,
                                   struct error *err)
{
    struct map_reader *reader = memory_zalloc(sizeof *reader);
    reader->store = store;
    reader->chunk_count = map_chunk_count(store, disk_size);
    reader->depth = map_depth(reader->chunk_count);
    unsigned top = reader->depth - 1;
    if (map_node_read(store, root, top, &reader->nodes[top], err) != 0) {
        free(reader);
        return NULL;
    }
    reader->loaded[top] = true;
    return reader;
}

/* Bring the path to an index in, down to `level`. */
static int load_path(struct map_reader *reader, uint64_t index, unsigned level, struct error *err)
{
    for (unsigned l = reader->depth - 1; l > level; l--) {
        uint64_t span = map_entry_span(l);
        uint64_t first = index / span * span;
        if (reader->loaded[l - 1] && reader->first[l - 1] == first) {
            continue;
        }
        reader->loaded[l - 1] = false;
        if (map_node_read(reader->store, &reader->nodes[l].names[index / span % MAP_FANOUT], l - 1,
                          &reader->nodes[l - 1], err) != 0) {
            return -1;
        }
        reader->loaded[l - 1] = true;
        reader->first[l - 1] = first;
        for (unsigned below = l - 1; below > 0; below--) {
            reader->loaded[below - 1] = false;
        }
    }
    return 0;
}

int map_reader_get(struct map_reader *reader, uint64_t index, struct chunk_name *name, struct error *err)
{
    if (index >= reader->chunk_count) {
        return error_set(err, ERROR_REQUEST_INVALID, "Chunk %llu lies past the end of the disk",
                         (unsigned long long)index);
    }
    if (load_path(reader, index, 0, err) != 0) {
        return -1;
    }
    *name = reader->nodes[0].names[index % MAP_FANOUT];
    return 0;
}

/* How many chunks from index on lie below a zero entry of the path; 0 when the chunk itself is not zero. */
static int zeros_at(struct map_reader *reader, uint64_t index, uint64_t *count, struct error *err)
{
    for (unsigned level = reader->depth - 1;; level--) {
        uint64_t span = map_entry_span(level);
        if (load_path(reader, index, level, err) != 0) {
            return -1;
        }
        if (chunk_name_is_zero(&reader->nodes[level].names[index / span % MAP_FANOUT])) {
            *count = span - index % span;
            return 0;
        }
        if (level == 0) {
            *count = 0;
            return 0;
        }
    }
}

int map_reader_list(struct map_reader *reader, uint64_t *next, struct map_entry *entries, size_t capacity,
                    size_t *count, struct error *err)
{
    *count = 0;
    while (*next < reader->chunk_count && *count < capacity) {
        uint64_t zeros;
        if (zeros_at(reader, *next, &zeros, err) != 0) {
            return -1;
        }
        if (zeros > 0) {
            *next = zeros < reader->chunk_count - *next ? *next + zeros : reader->chunk_count;
            continue;
        }
        entries[*count] =
            (struct map_entry){.index = *next, .name = reader->nodes[0].names[*next % MAP_FANOUT]};
        (*count)++;
        (*next)++;
    }
    return 0;
}

void map_reader_destroy(struct map_reader *reader)
{
    free(reader);
}
