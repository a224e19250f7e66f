/* Map nodes as a damaged store may give them. */
#include "storage/map_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct map_entries entries;
    uint8_t again[MAP_NODE_SIZE_MAX];
    for (unsigned level = 0; level < 4; level++) {
        if (map_node_decode(data, size, level, &entries) == 0) {
            map_node_encode(&entries, level, again);
        }
    }
    return 0;
}
