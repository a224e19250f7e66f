#include "base/memory.h"
#include "storage/map_node.h"
#include "storage/store_internal.h"

#include <stdlib.h>
#include <string.h>

/* Leaves held in memory before the tree is written out and let go: 2,048 leaves are 16 GiB of disk, about 9
 * MiB here. */
enum { LEAVES_MAX = 2048 };

struct map_tree {
    struct map_entries entries; /* of children in memory: as they were when loaded */
    struct map_tree **children; /* inner nodes: NULL where the child is not in memory */
    bool dirty;                 /* differs from what its parent's entry names */
};

struct map_writer {
    struct store *store;
    uint64_t chunk_count;
    unsigned depth;
    struct map_tree *root;
    size_t leaves;
};

static void tree_free(struct map_tree *tree)
{
    if (tree == NULL) {
        return;
    }
    if (tree->children != NULL) {
        for (unsigned i = 0; i < MAP_FANOUT; i++) {
            tree_free(tree->children[i]);
        }
        free(tree->children);
    }
    free(tree);
}

static struct map_tree *tree_load(struct map_writer *writer, const struct chunk_name *name, unsigned level,
                                  struct error *err)
{
    struct map_tree *tree = memory_zalloc(sizeof *tree);
    if (map_node_read(writer->store, name, level, &tree->entries, err) != 0) {
        free(tree);
        return NULL;
    }
    if (level > 0) {
        tree->children = memory_array(MAP_FANOUT, sizeof *tree->children);
    } else {
        writer->leaves++;
    }
    return tree;
}

static struct map_tree *tree_child(struct map_writer *writer, struct map_tree *tree, unsigned level,
                                   unsigned at, struct error *err)
{
    if (tree->children[at] == NULL) { /* NOLINT(clang-analyzer-core.NullDereference): only leaves have none */
        tree->children[at] = tree_load(writer, &tree->entries.names[at], level - 1, err);
    }
    return tree->children[at];
}

/* Write what is dirty below and at this node; its name, zero for a node of zeros. */
static int tree_flush(struct map_writer *writer, struct map_tree *tree, unsigned level,
                      struct chunk_name *name, struct error *err)
{
    for (unsigned i = 0; level > 0 && i < MAP_FANOUT; i++) {
        struct map_tree *child = tree->children[i];
        if (child != NULL && child->dirty &&
            tree_flush(writer, child, level - 1, &tree->entries.names[i], err) != 0) {
            return -1;
        }
    }
    uint8_t bytes[MAP_NODE_SIZE_MAX];
    size_t length = map_node_encode(&tree->entries, level, bytes);
    memset(name, 0, sizeof *name);
    if (length > 0 && store_put_node(writer->store, bytes, length, name, err) != 0) {
        return -1;
    }
    tree->dirty = false;
    return 0;
}

/* The root of a map of another depth, seen from this writer's: entry 0 leads on. */
static int fit_depth(struct map_writer *writer, const struct chunk_name *base, unsigned base_depth,
                     struct chunk_name *name, struct error *err)
{
    *name = *base;
    while (base_depth > writer->depth && !chunk_name_is_zero(name)) {
        struct map_entries entries;
        if (map_node_read(writer->store, name, base_depth - 1, &entries, err) != 0) {
            return -1;
        }
        *name = entries.names[0];
        base_depth--;
    }
    while (base_depth < writer->depth && !chunk_name_is_zero(name)) {
        struct map_entries entries = {0};
        uint8_t bytes[MAP_NODE_SIZE_MAX];
        entries.names[0] = *name;
        size_t length = map_node_encode(&entries, base_depth, bytes);
        if (store_put_node(writer->store, bytes, length, name, err) != 0) {
            return -1;
        }
        base_depth++;
    }
    return 0;
}

static int zero_range(struct map_writer *writer, struct map_tree *tree, unsigned level, uint64_t first,
                      uint64_t end, struct error *err);

struct map_writer *map_writer_open(struct store *store, uint64_t disk_size, const struct chunk_name *base,
                                   uint64_t base_size, struct error *err)
{
    static const struct chunk_name zero;
    struct map_writer *writer = memory_zalloc(sizeof *writer);
    struct chunk_name root;
    writer->store = store;
    writer->chunk_count = map_chunk_count(store, disk_size);
    writer->depth = map_depth(writer->chunk_count);
    uint64_t base_count = map_chunk_count(store, base_size);
    if (fit_depth(writer, base != NULL ? base : &zero, map_depth(base_count), &root, err) != 0 ||
        (writer->root = tree_load(writer, &root, writer->depth - 1, err)) == NULL ||
        (base_count > writer->chunk_count &&
         zero_range(writer, writer->root, writer->depth - 1, writer->chunk_count,
                    map_entry_span(writer->depth), err) != 0)) {
        map_writer_destroy(writer);
        return NULL;
    }
    return writer;
}

/* Write everything out and keep only the root in memory. */
static int trim(struct map_writer *writer, struct error *err)
{
    struct chunk_name root;
    if (map_writer_flush(writer, &root, err) != 0) {
        return -1;
    }
    if (writer->root->children != NULL) {
        for (unsigned i = 0; i < MAP_FANOUT; i++) {
            tree_free(writer->root->children[i]);
            writer->root->children[i] = NULL;
        }
    }
    writer->leaves = 0;
    return 0;
}

static int check_index(const struct map_writer *writer, uint64_t first, uint64_t count, struct error *err)
{
    if (count > writer->chunk_count || first > writer->chunk_count - count) {
        return error_set(err, ERROR_REQUEST_INVALID, "Chunk %llu lies past the end of a disk of %llu chunks",
                         (unsigned long long)(first + count - 1), (unsigned long long)writer->chunk_count);
    }
    return 0;
}

/* The leaf of an index, in memory. mark: what is on the way becomes dirty. */
static struct map_tree *find_leaf(struct map_writer *writer, uint64_t index, bool mark, struct error *err)
{
    struct map_tree *tree = writer->root;
    for (unsigned level = writer->depth - 1;; level--) {
        if (mark) {
            tree->dirty = true;
        }
        if (level == 0) {
            return tree;
        }
        tree = tree_child(writer, tree, level, (unsigned)(index / map_entry_span(level) % MAP_FANOUT), err);
        if (tree == NULL) {
            return NULL;
        }
    }
}

int map_writer_set(struct map_writer *writer, uint64_t index, const struct chunk_name *name,
                   struct error *err)
{
    static const struct chunk_name zero;
    struct chunk_name now;
    if (map_writer_get(writer, index, &now, err) != 0) {
        return -1;
    }
    const struct chunk_name *wanted = name != NULL ? name : &zero;
    if (chunk_name_equal(&now, wanted)) {
        return 0;
    }
    struct map_tree *leaf = find_leaf(writer, index, true, err);
    if (leaf == NULL) {
        return -1;
    }
    leaf->entries.names[index % MAP_FANOUT] = *wanted;
    return 0;
}

int map_writer_get(struct map_writer *writer, uint64_t index, struct chunk_name *name, struct error *err)
{
    if (check_index(writer, index, 1, err) != 0 || (writer->leaves >= LEAVES_MAX && trim(writer, err) != 0)) {
        return -1;
    }
    struct map_tree *leaf = find_leaf(writer, index, false, err);
    if (leaf == NULL) {
        return -1;
    }
    *name = leaf->entries.names[index % MAP_FANOUT];
    return 0;
}

static bool tree_entry_is_zero(const struct map_tree *tree, unsigned at)
{
    return chunk_name_is_zero(&tree->entries.names[at]) &&
           (tree->children == NULL || tree->children[at] == NULL);
}

/* first and end are relative to the node. Whole entries are dropped without being read. */
static int zero_range(struct map_writer *writer, struct map_tree *tree, unsigned level, uint64_t first,
                      uint64_t end, struct error *err)
{
    uint64_t span = map_entry_span(level);
    for (uint64_t at = first / span; at < MAP_FANOUT && at * span < end; at++) {
        uint64_t from = at * span > first ? at * span : first;
        uint64_t to = (at + 1) * span < end ? (at + 1) * span : end;
        if (tree_entry_is_zero(tree, (unsigned)at)) {
            continue;
        }
        tree->dirty = true;
        if (to - from == span) {
            memset(&tree->entries.names[at], 0, sizeof tree->entries.names[at]);
            if (tree->children != NULL) {
                tree_free(tree->children[at]);
                tree->children[at] = NULL;
            }
            continue;
        }
        struct map_tree *child = tree_child(writer, tree, level, (unsigned)at, err);
        if (child == NULL ||
            zero_range(writer, child, level - 1, from - at * span, to - at * span, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int map_writer_set_zeros(struct map_writer *writer, uint64_t first, uint64_t count, struct error *err)
{
    if (count == 0) {
        return 0;
    }
    if (check_index(writer, first, count, err) != 0 ||
        (writer->leaves >= LEAVES_MAX && trim(writer, err) != 0)) {
        return -1;
    }
    return zero_range(writer, writer->root, writer->depth - 1, first, first + count, err);
}

int map_writer_flush(struct map_writer *writer, struct chunk_name *root, struct error *err)
{
    return tree_flush(writer, writer->root, writer->depth - 1, root, err);
}

void map_writer_destroy(struct map_writer *writer)
{
    if (writer != NULL) {
        tree_free(writer->root);
        free(writer);
    }
}
