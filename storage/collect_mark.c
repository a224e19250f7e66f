#include "storage/collect_mark.h"

#include "base/memory.h"
#include "storage/map_node.h"
#include <stdlib.h>
#include <string.h>

enum {
    NODES_AT_ONCE = 4096,
    NAMES_AT_ONCE = 8192,
    LOOKUPS_AT_ONCE = 512, /* writers wait for so many */
    WATCH_EVERY = 1024,    /* nodes */
};

/* A node that is marked and is to be walked. */
struct step {
    struct chunk_name name;
    struct chunk_location location;
    struct chunk_name like; /* a node of a tree that was walked before, mostly the same; or the zero name */
    struct chunk_location like_location; /* when the step is taken; container 0: none */
};

/* A name that a node has and that is to be marked. */
struct finding {
    struct stored_name stored;
    struct chunk_name name;
    struct chunk_name like;
    bool node;
};

struct marker {
    struct store *store;
    marker_watch watch;
    void *cookie;
    struct marker_figures figures;
    struct step *steps; /* a stack: depth first, so that it stays short */
    size_t step_count;
    size_t step_capacity;
    struct step batch[NODES_AT_ONCE];
    struct finding findings[NAMES_AT_ONCE];
    size_t finding_count;
    /* what the index is asked */
    struct stored_name stored[NAMES_AT_ONCE];
    struct chunk_location locations[NAMES_AT_ONCE];
};

struct marker *marker_create(struct store *store, marker_watch watch, void *cookie)
{
    struct marker *marker = memory_zalloc(sizeof *marker);
    marker->store = store;
    marker->watch = watch;
    marker->cookie = cookie;
    return marker;
}

void marker_destroy(struct marker *marker)
{
    if (marker != NULL) {
        free(marker->steps);
        free(marker);
    }
}

const struct marker_figures *marker_figures(const struct marker *marker)
{
    return &marker->figures;
}

/* --- from names to marks */

/* Where the first `count` of marker->stored lie. */
static int locate(struct marker *marker, size_t count, struct error *err)
{
    struct store *store = marker->store;
    pthread_rwlock_rdlock(&store->gate);
    int result = 0;
    for (size_t from = 0; from < count && result == 0; from += LOOKUPS_AT_ONCE) {
        size_t some = count - from < LOOKUPS_AT_ONCE ? count - from : LOOKUPS_AT_ONCE;
        result = index_find_many(store->index, marker->stored + from, some, marker->locations + from, err);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        if (marker->locations[i].container == 0) {
            /* perhaps pending, of a writer that is at work: in a container that stays */
            result = store_lookup(store, &marker->stored[i], &marker->locations[i], err) < 0 ? -1 : 0;
        }
    }
    pthread_rwlock_unlock(&store->gate);
    return result;
}

static void add_step(struct marker *marker, const struct finding *finding,
                     const struct chunk_location *location)
{
    if (marker->step_count == marker->step_capacity) {
        marker->step_capacity = marker->step_capacity * 2 + NODES_AT_ONCE;
        marker->steps = memory_resize(marker->steps, marker->step_capacity, sizeof *marker->steps);
    }
    marker->steps[marker->step_count++] =
        (struct step){.name = finding->name, .location = *location, .like = finding->like};
}

static int mark_finding(struct marker *marker, const struct finding *finding,
                        const struct chunk_location *location, struct error *err)
{
    if (location->container == 0) {
        return finding->node ? error_set(err, ERROR_CHUNK_DAMAGED, "A map node is missing") : 0;
    }
    enum marks_outcome outcome = marks_add(marker->store->users.marks, location, err);
    if (finding->node && (outcome == MARKS_NEW || outcome == MARKS_ELSEWHERE)) {
        add_step(marker, finding, location);
    }
    return outcome == MARKS_FAILED ? -1 : 0;
}

static int compare_stored(const void *a, const void *b)
{
    return memcmp(&((const struct finding *)a)->stored, &((const struct finding *)b)->stored,
                  sizeof(struct stored_name));
}

/* The findings are marked, and steps for those that are nodes. */
static int mark_findings(struct marker *marker, struct error *err)
{
    size_t count = marker->finding_count;
    qsort(marker->findings, count, sizeof *marker->findings, compare_stored);
    for (size_t i = 0; i < count; i++) {
        marker->stored[i] = marker->findings[i].stored;
    }
    int result = locate(marker, count, err);
    pthread_mutex_lock(&marker->store->users.lock);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = mark_finding(marker, &marker->findings[i], &marker->locations[i], err);
    }
    pthread_mutex_unlock(&marker->store->users.lock);
    marker->finding_count = 0;
    return result;
}

static int add_finding(struct marker *marker, const struct chunk_name *name, const struct chunk_name *like,
                       bool node, struct error *err)
{
    if (marker->finding_count == NAMES_AT_ONCE && mark_findings(marker, err) != 0) {
        return -1;
    }
    struct finding *finding = &marker->findings[marker->finding_count++];
    *finding = (struct finding){.name = *name, .like = *like, .node = node};
    seal_name(marker->store->seal, name, &finding->stored);
    return 0;
}

/* --- from nodes to names */

static int read_node(struct marker *marker, const struct chunk_name *name,
                     const struct chunk_location *location, unsigned *level, struct map_entries *entries,
                     struct error *err)
{
    static const size_t level_at = 4;
    uint8_t *bytes;
    size_t length;
    if (store_read_node_at(marker->store, name, location, &bytes, &length, err) != 0) {
        return -1;
    }
    *level = length > level_at ? bytes[level_at] : 0;
    int decoded = map_node_decode(bytes, length, *level, entries);
    free(bytes);
    return decoded == 0 ? 0 : error_set(err, ERROR_CHUNK_DAMAGED, "A map node is damaged");
}

static int walk(struct marker *marker, const struct step *step, struct error *err)
{
    struct map_entries entries;
    struct map_entries before = {0};
    unsigned level;
    unsigned level_before;
    if (read_node(marker, &step->name, &step->location, &level, &entries, err) != 0) {
        return -1;
    }
    if (step->like_location.container != 0 &&
        (read_node(marker, &step->like, &step->like_location, &level_before, &before, err) != 0 ||
         level_before != level)) {
        memset(&before, 0, sizeof before);
    }
    int result = 0;
    for (unsigned i = 0; i < MAP_FANOUT && result == 0; i++) {
        const struct chunk_name *name = &entries.names[i];
        if (!chunk_name_is_zero(name) && !chunk_name_equal(name, &before.names[i])) {
            result = add_finding(marker, name, &before.names[i], level > 0, err);
            marker->figures.chunks += level == 0;
        }
    }
    marker->figures.nodes++;
    if (result == 0 && marker->figures.nodes % WATCH_EVERY == 0) {
        result = marker->watch(marker->cookie, &marker->figures);
    }
    return result;
}

static int compare_places(const void *a, const void *b)
{
    const struct chunk_location *left = &((const struct step *)a)->location;
    const struct chunk_location *right = &((const struct step *)b)->location;
    if (left->container != right->container) {
        return left->container < right->container ? -1 : 1;
    }
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* Many of the nodes that wait, in the order in which they lie on the disk: a backup wrote those of one level
 * one behind the other, so that the operating system reads ahead. */
static int walk_some(struct marker *marker, struct error *err)
{
    size_t count = marker->step_count < NODES_AT_ONCE ? marker->step_count : NODES_AT_ONCE;
    marker->step_count -= count;
    memcpy(marker->batch, marker->steps + marker->step_count, count * sizeof *marker->batch);
    for (size_t i = 0; i < count; i++) {
        seal_name(marker->store->seal, &marker->batch[i].like, &marker->stored[i]);
    }
    int result = locate(marker, count, err);
    for (size_t i = 0; i < count; i++) {
        if (!chunk_name_is_zero(&marker->batch[i].like)) {
            marker->batch[i].like_location = marker->locations[i];
        }
    }
    qsort(marker->batch, count, sizeof *marker->batch, compare_places);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = walk(marker, &marker->batch[i], err);
    }
    return result == 0 ? mark_findings(marker, err) : -1;
}

int marker_add_tree(struct marker *marker, const struct chunk_name *root, const struct chunk_name *like,
                    struct error *err)
{
    if (chunk_name_is_zero(root) || chunk_name_equal(root, like)) {
        return 0;
    }
    marker->step_count = 0;
    marker->finding_count = 0;
    int result = add_finding(marker, root, like, true, err);
    if (result == 0) {
        result = mark_findings(marker, err);
    }
    while (result == 0 && marker->step_count > 0) {
        result = walk_some(marker, err);
    }
    return result;
}
