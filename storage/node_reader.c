#include "storage/node_reader.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = RECORD_HEADER_SIZE + RECORD_NAME_SIZE + MAP_NODE_SIZE_MAX + SEAL_OVERHEAD + 16 };

struct node_reader {
    struct store *store;
    uint64_t container; /* of what lies in `stretch`; 0: nothing */
    uint32_t offset;
    uint32_t length;
    uint8_t stretch[NODE_READER_BYTES];
    uint8_t record[RECORD_MAX]; /* opening it changes it */
};

struct node_reader *node_reader_create(struct store *store)
{
    struct node_reader *reader = memory_zalloc(sizeof *reader);
    reader->store = store;
    return reader;
}

void node_reader_destroy(struct node_reader *reader)
{
    free(reader);
}

static bool holds(const struct node_reader *reader, const struct chunk_location *location)
{
    return reader->container == location->container && location->offset >= reader->offset &&
           location->offset - reader->offset + location->length <= reader->length;
}

/* A stretch that can't be read is no fault of this record's: it is then read alone. */
static void read_stretch(struct node_reader *reader, const struct chunk_location *location, uint32_t until)
{
    struct error ignored;
    uint32_t length = until - location->offset;
    struct chunk_location stretch = {.container = location->container,
                                     .offset = location->offset,
                                     .length = length < NODE_READER_BYTES ? length : NODE_READER_BYTES};
    reader->container = 0;
    if (store_read_bytes(reader->store, &stretch, reader->stretch, &ignored) == 0) {
        reader->container = stretch.container;
        reader->offset = stretch.offset;
        reader->length = stretch.length;
    }
}

static int get_record(struct node_reader *reader, const struct node_wanted *wanted, struct error *err)
{
    const struct chunk_location *location = wanted->location;
    if (!holds(reader, location) && wanted->until > location->offset + location->length) {
        read_stretch(reader, location, wanted->until);
    }
    if (holds(reader, location)) {
        memcpy(reader->record, reader->stretch + (location->offset - reader->offset), location->length);
        return 0;
    }
    return store_read_bytes(reader->store, location, reader->record, err);
}

static bool is_named(const struct store *store, const struct stored_record *record,
                     const struct node_wanted *wanted)
{
    struct chunk_name name;
    struct stored_name stored;
    if (wanted->checked) {
        seal_name(store->seal, wanted->name, &stored);
        return memcmp(record->record.names, stored.bytes, sizeof stored.bytes) == 0;
    }
    chunk_name_of(record->payload, record->length, &name);
    return chunk_name_equal(&name, wanted->name);
}

/* With the gate held. */
static int open_node(struct node_reader *reader, const struct node_wanted *wanted,
                     struct stored_record *record, struct error *err)
{
    struct stored_name stored;
    int result = get_record(reader, wanted, err);
    if (result == 0) {
        result = store_open_record(reader->store, wanted->location, reader->record, record, err);
    }
    if (result == 0 && !is_named(reader->store, record, wanted)) {
        result = store_damaged_error(wanted->location, "a map node's name does not match", err);
    }
    if (result != 0 && err->code == ERROR_CHUNK_DAMAGED) {
        seal_name(reader->store->seal, wanted->name, &stored);
        store_quarantine(reader->store, &stored);
    }
    return result;
}

int node_reader_read(struct node_reader *reader, const struct node_wanted *wanted, unsigned *level,
                     struct map_entries *entries, struct error *err)
{
    static const size_t level_at = 4;
    struct stored_record record;
    if (wanted->location->length > sizeof reader->record) {
        return store_damaged_error(wanted->location, "it is too long for a map node", err);
    }
    pthread_rwlock_rdlock(&reader->store->gate);
    int result = open_node(reader, wanted, &record, err);
    pthread_rwlock_unlock(&reader->store->gate);
    if (result != 0) {
        return -1;
    }
    *level = record.length > level_at ? record.payload[level_at] : 0;
    return map_node_decode(record.payload, record.length, *level, entries) == 0
               ? 0
               : error_set(err, ERROR_CHUNK_DAMAGED, "A map node is damaged");
}
