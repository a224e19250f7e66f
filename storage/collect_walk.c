#include "storage/collect_walk.h"

#include "base/memory.h"
#include "storage/node_reader.h"
#include <stdlib.h>
#include <string.h>

enum {
    NAMES_AT_ONCE = 8192,
    LOOKUPS_AT_ONCE = 512, /* writers wait for so many */
    GAP_MAX = 16 * 1024,   /* bytes between two nodes that are read in one go */
    STEPS_CAPACITY = 1024,
};

/* A name that a node has and that is to be marked. */
struct finding {
    struct stored_name stored;
    struct chunk_name name;
    struct chunk_name like;
    bool node;
    bool walk; /* a node that was not marked before */
};

struct walker_memory {
    struct store *store;
    struct node_reader *nodes;
    struct node_reader *likes; /* they lie elsewhere */
    struct chunk_location like_locations[WALKER_STEPS_MAX];
    struct finding findings[NAMES_AT_ONCE];
    size_t finding_count;
    /* what the index is asked */
    struct stored_name stored[NAMES_AT_ONCE];
    struct chunk_location locations[NAMES_AT_ONCE];
};

void walker_init(struct walker *walker, struct store *store)
{
    *walker = (struct walker){.memory = memory_zalloc(sizeof *walker->memory)};
    walker->memory->store = store;
    walker->memory->nodes = node_reader_create(store);
    walker->memory->likes = node_reader_create(store);
}

void walker_clear(struct walker *walker)
{
    node_reader_destroy(walker->memory->nodes);
    node_reader_destroy(walker->memory->likes);
    free(walker->memory);
    free(walker->found.items);
}

void walk_steps_add(struct walk_steps *steps, const struct walk_step *added, size_t count)
{
    if (steps->count + count > steps->capacity) {
        steps->capacity = steps->capacity * 2 + count + STEPS_CAPACITY;
        steps->items = memory_resize(steps->items, steps->capacity, sizeof *steps->items);
    }
    if (count > 0) {
        memcpy(steps->items + steps->count, added, count * sizeof *added);
        steps->count += count;
    }
}

/* --- from names to marks */

/* Where the first `count` of memory->stored lie. */
static int locate(struct walker_memory *memory, size_t count, struct error *err)
{
    struct store *store = memory->store;
    pthread_rwlock_rdlock(&store->gate);
    int result = 0;
    for (size_t from = 0; from < count && result == 0; from += LOOKUPS_AT_ONCE) {
        size_t some = count - from < LOOKUPS_AT_ONCE ? count - from : LOOKUPS_AT_ONCE;
        result = index_find_many(store->index, memory->stored + from, some, memory->locations + from, err);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        if (memory->locations[i].container == 0) {
            /* perhaps pending, of a writer that is at work: in a container that stays */
            result = store_lookup(store, &memory->stored[i], &memory->locations[i], err) < 0 ? -1 : 0;
        }
    }
    pthread_rwlock_unlock(&store->gate);
    return result;
}

/* With users.lock held. */
static int mark_finding(struct store *store, struct finding *finding, const struct chunk_location *location,
                        struct error *err)
{
    if (location->container == 0) {
        return finding->node ? error_set(err, ERROR_CHUNK_DAMAGED, "A map node is missing") : 0;
    }
    enum marks_outcome outcome = marks_add(store->users.marks, location, err);
    finding->walk = finding->node && (outcome == MARKS_NEW || outcome == MARKS_ELSEWHERE);
    return outcome == MARKS_FAILED ? -1 : 0;
}

static int compare_stored(const void *a, const void *b)
{
    return memcmp(&((const struct finding *)a)->stored, &((const struct finding *)b)->stored,
                  sizeof(struct stored_name));
}

/* The findings are marked, and steps for those that are nodes. */
int walker_finish(struct walker *walker, struct error *err)
{
    struct walker_memory *memory = walker->memory;
    struct store *store = memory->store;
    size_t count = memory->finding_count;
    memory->finding_count = 0;
    qsort(memory->findings, count, sizeof *memory->findings, compare_stored);
    for (size_t i = 0; i < count; i++) {
        memory->stored[i] = memory->findings[i].stored;
    }
    if (count > 0 && locate(memory, count, err) != 0) {
        return -1;
    }
    int result = 0;
    pthread_mutex_lock(&store->users.lock);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = mark_finding(store, &memory->findings[i], &memory->locations[i], err);
    }
    pthread_mutex_unlock(&store->users.lock);
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct finding *finding = &memory->findings[i];
        if (finding->walk) {
            struct walk_step step = {
                .name = finding->name, .location = memory->locations[i], .like = finding->like};
            walk_steps_add(&walker->found, &step, 1);
        }
    }
    return result;
}

static int add_finding(struct walker *walker, const struct chunk_name *name, const struct chunk_name *like,
                       bool node, struct error *err)
{
    struct walker_memory *memory = walker->memory;
    if (memory->finding_count == NAMES_AT_ONCE && walker_finish(walker, err) != 0) {
        return -1;
    }
    struct finding *finding = &memory->findings[memory->finding_count++];
    *finding = (struct finding){.name = *name, .like = *like, .node = node};
    seal_name(memory->store->seal, name, &finding->stored);
    return 0;
}

int walker_add_root(struct walker *walker, const struct chunk_name *root, const struct chunk_name *like,
                    struct error *err)
{
    return add_finding(walker, root, like, true, err);
}

/* --- from nodes to names */

/* How many of the nodes can be read in one go, and where the last of them ends. */
static size_t find_stretch(const struct walk_step *steps, size_t count, uint32_t *until)
{
    const struct chunk_location *first = &steps->location;
    uint32_t end = first->offset + first->length;
    size_t i;
    for (i = 1; i < count; i++) {
        const struct chunk_location *next = &steps[i].location;
        if (next->container != first->container || next->offset < first->offset ||
            next->offset > end + GAP_MAX || next->offset - first->offset + next->length > NODE_READER_BYTES) {
            break;
        }
        end = next->offset + next->length > end ? next->offset + next->length : end;
    }
    *until = end;
    return i;
}

/* The node at the same place of the tree that was walked before; zeros when there is none, or it can't be
 * read: then there is more to mark. */
static void read_like(struct walker_memory *memory, const struct walk_step *step,
                      const struct chunk_location *location, unsigned level, struct map_entries *entries)
{
    struct error ignored;
    unsigned found = level;
    struct node_wanted wanted = {.name = &step->like, .location = location, .checked = true};
    if (location->container == 0 ||
        node_reader_read(memory->likes, &wanted, &found, entries, &ignored) != 0 || found != level) {
        memset(entries, 0, sizeof *entries);
    }
}

static int walk_node(struct walker *walker, const struct walk_step *step, uint32_t until,
                     const struct chunk_location *like, struct error *err)
{
    struct walker_memory *memory = walker->memory;
    struct map_entries entries;
    struct map_entries before;
    unsigned level;
    struct node_wanted wanted = {.name = &step->name, .location = &step->location, .until = until};
    if (node_reader_read(memory->nodes, &wanted, &level, &entries, err) != 0) {
        return -1;
    }
    read_like(memory, step, like, level, &before);
    int result = 0;
    for (unsigned i = 0; i < MAP_FANOUT && result == 0; i++) {
        const struct chunk_name *name = &entries.names[i];
        if (!chunk_name_is_zero(name) && !chunk_name_equal(name, &before.names[i])) {
            result = add_finding(walker, name, &before.names[i], level > 0, err);
            walker->chunks += level == 0;
        }
    }
    walker->nodes++;
    return result;
}

static int locate_likes(struct walker_memory *memory, const struct walk_step *steps, size_t count,
                        struct error *err)
{
    size_t asked[WALKER_STEPS_MAX];
    size_t asked_count = 0;
    memset(memory->like_locations, 0, sizeof memory->like_locations);
    for (size_t i = 0; i < count; i++) {
        if (!chunk_name_is_zero(&steps[i].like)) {
            seal_name(memory->store->seal, &steps[i].like, &memory->stored[asked_count]);
            asked[asked_count++] = i;
        }
    }
    if (locate(memory, asked_count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < asked_count; i++) {
        memory->like_locations[asked[i]] = memory->locations[i];
    }
    return 0;
}

int walker_walk(struct walker *walker, const struct walk_step *steps, size_t count, struct error *err)
{
    struct walker_memory *memory = walker->memory;
    int result = locate_likes(memory, steps, count, err);
    size_t stretch_end = 0;
    uint32_t until = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        if (i == stretch_end) {
            stretch_end += find_stretch(steps + i, count - i, &until);
        }
        result = walk_node(walker, steps + i, until, &memory->like_locations[i], err);
    }
    return result;
}
