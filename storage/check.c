#include "storage/check.h"

#include "base/memory.h"
#include "storage/location_set.h"
#include "storage/map_node.h"
#include "storage/store_internal.h"
#include <stdlib.h>

struct checker {
    struct store *store;
    struct location_set *whole; /* nodes below which nothing is missing */
};

struct checker *checker_create(struct store *store)
{
    struct checker *checker = memory_zalloc(sizeof *checker);
    checker->store = store;
    checker->whole = location_set_create();
    return checker;
}

void checker_destroy(struct checker *checker)
{
    location_set_destroy(checker->whole);
    free(checker);
}

static int check_leaf(struct checker *checker, const struct map_entries *entries, uint64_t *missing,
                      struct error *err)
{
    struct chunk_name names[MAP_FANOUT];
    struct chunk_location locations[MAP_FANOUT];
    size_t count = 0;
    for (unsigned i = 0; i < MAP_FANOUT; i++) {
        if (!chunk_name_is_zero(&entries->names[i])) {
            names[count++] = entries->names[i];
        }
    }
    if (chunk_locate(checker->store, names, count, locations, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        *missing += locations[i].container == 0;
    }
    return 0;
}

static int check_tree(struct checker *checker, const struct chunk_name *name, unsigned level,
                      uint64_t *missing, struct error *err)
{
    struct chunk_location location;
    struct map_entries entries;
    uint64_t here = 0;
    if (chunk_name_is_zero(name)) {
        return 0;
    }
    if (chunk_locate(checker->store, name, 1, &location, err) != 0) {
        return -1;
    }
    if (location.container != 0 && location_set_has(checker->whole, &location)) {
        return 0;
    }
    if (location.container == 0 || map_node_read(checker->store, name, level, &entries, err) != 0) {
        if (location.container != 0 && err->code != ERROR_CHUNK_DAMAGED) {
            return -1;
        }
        (*missing)++;
        return 0;
    }
    int result = level == 0 ? check_leaf(checker, &entries, &here, err) : 0;
    for (unsigned i = 0; level > 0 && i < MAP_FANOUT && result == 0; i++) {
        result = check_tree(checker, &entries.names[i], level - 1, &here, err);
    }
    if (result == 0 && here == 0) {
        location_set_add(checker->whole, &location);
    }
    *missing += here;
    return result;
}

int checker_check_point(struct checker *checker, const char *point_id, uint64_t *missing_chunks,
                        struct error *err)
{
    *missing_chunks = 0;
    struct point *point = point_read(checker->store, point_id, err);
    if (point == NULL) {
        return err->code == ERROR_RP_DAMAGED ? 0 : -1;
    }
    int result = 0;
    for (size_t i = 0; i < point->disk_count && result == 0; i++) {
        unsigned depth = map_depth(map_chunk_count(checker->store, point->disks[i].size));
        result = check_tree(checker, &point->disks[i].root, depth - 1, missing_chunks, err);
    }
    point_destroy(point);
    return result != 0 ? -1 : *missing_chunks == 0;
}

int store_check_point(struct store *store, const char *point_id, uint64_t *missing_chunks, struct error *err)
{
    struct checker *checker = checker_create(store);
    int result = checker_check_point(checker, point_id, missing_chunks, err);
    checker_destroy(checker);
    return result;
}
