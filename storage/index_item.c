#include "storage/index_item.h"

#include "base/bytes.h"
#include <string.h>

enum { NODE_BIT = 0x80, UNIT = 8 };

void index_item_encode(const struct chunk_location *location, bool node, uint8_t value[INDEX_VALUE_SIZE])
{
    uint8_t wide[8];
    bytes_put_u64(wide, location->container);
    memcpy(value, wide, 5);
    if (node) {
        value[4] |= NODE_BIT;
    }
    bytes_put_u64(wide, location->offset / UNIT);
    memcpy(value + 5, wide, 3);
    bytes_put_u64(wide, location->length / UNIT);
    memcpy(value + 8, wide, 3);
    value[11] = (uint8_t)(location->position << 4 | (location->run_count - 1));
}

void index_item_decode(const uint8_t value[INDEX_VALUE_SIZE], struct chunk_location *location, bool *node)
{
    uint8_t wide[8] = {0};
    memcpy(wide, value, 5);
    *node = (wide[4] & NODE_BIT) != 0;
    wide[4] &= (uint8_t)~NODE_BIT;
    location->container = bytes_get_u64(wide);
    memset(wide, 0, sizeof wide);
    memcpy(wide, value + 5, 3);
    location->offset = bytes_get_u32(wide) * UNIT;
    memcpy(wide, value + 8, 3);
    location->length = bytes_get_u32(wide) * UNIT;
    location->position = value[11] >> 4;
    location->run_count = (uint8_t)((value[11] & 15) + 1);
}
