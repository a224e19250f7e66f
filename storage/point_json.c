#include "base/bytes.h"
#include "base/digest.h"
#include "base/memory.h"
#include "storage/point_internal.h"

#include <stdlib.h>
#include <string.h>

static json_t *text_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

static json_t *disk_to_json(const struct point_disk *disk)
{
    char root[65];
    bytes_to_hex(disk->root.bytes, sizeof disk->root.bytes, root);
    return json_pack("{s:o, s:o, s:I, s:s, s:I}", "name", text_or_null(disk->name), "format",
                     text_or_null(disk->format), "size", (json_int_t)disk->size, "root", root,
                     "transferred_bytes", (json_int_t)disk->transferred_bytes);
}

json_t *point_to_json(const struct point *point)
{
    json_t *disks = json_array();
    for (size_t i = 0; i < point->disk_count; i++) {
        json_array_append_new(disks, disk_to_json(&point->disks[i]));
    }
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:I, "
        "s:o}",
        "id", point->id, "datasource", point->datasource, "parent", point->parent, "vm_name",
        text_or_null(point->vm_name), "vm_uuid", text_or_null(point->vm_uuid), "host_id",
        text_or_null(point->host_id), "host_name", text_or_null(point->host_name), "kind",
        text_or_null(point->kind), "mode", text_or_null(point->mode), "consistency",
        text_or_null(point->consistency), "consistency_reason", text_or_null(point->consistency_reason),
        "configuration", text_or_null(point->configuration), "tracking", text_or_null(point->tracking),
        "time_ms", (json_int_t)point->time_ms, "committed_ms", (json_int_t)point->committed_ms,
        "locked_until_ms", (json_int_t)point->locked_until_ms, "retain_until_ms",
        (json_int_t)point->retain_until_ms, "read_bytes", (json_int_t)point->read_bytes, "sent_bytes",
        (json_int_t)point->sent_bytes, "stored_bytes", (json_int_t)point->stored_bytes, "disks", disks);
}

static bool get_text(const json_t *root, const char *key, char **out)
{
    const json_t *value = json_object_get(root, key);
    *out = memory_copy_text(json_string_value(value));
    return json_is_string(value) || json_is_null(value);
}

static bool get_id(const json_t *root, const char *key, char out[IDENTITY_SIZE], bool may_be_empty)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (text == NULL || !(identity_is_valid(text) || (may_be_empty && text[0] == '\0'))) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool get_number(const json_t *root, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(root, key);
    *out = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* Records from before these members were have none of them. */
static bool get_later_time(const json_t *root, const char *key, int64_t *out)
{
    uint64_t value = 0;
    bool good = json_object_get(root, key) == NULL || get_number(root, key, &value);
    *out = (int64_t)value;
    return good;
}

static bool disk_from_json(const json_t *value, struct point *point)
{
    char *name = NULL;
    if (!get_text(value, "name", &name) || name == NULL) {
        free(name);
        return false;
    }
    struct point_disk *disk = point_add_disk(point, name);
    free(name);
    const char *root = json_string_value(json_object_get(value, "root"));
    return get_text(value, "format", &disk->format) && get_number(value, "size", &disk->size) &&
           root != NULL && bytes_from_hex(root, disk->root.bytes, sizeof disk->root.bytes) == 0 &&
           get_number(value, "transferred_bytes", &disk->transferred_bytes);
}

struct point *point_from_json(const json_t *root)
{
    struct point *point = point_create();
    uint64_t time_ms = 0;
    uint64_t committed_ms = 0;
    const json_t *disks = json_object_get(root, "disks");
    bool good = get_id(root, "id", point->id, false) &&
                get_id(root, "datasource", point->datasource, false) &&
                get_id(root, "parent", point->parent, true) && get_text(root, "vm_name", &point->vm_name) &&
                get_text(root, "vm_uuid", &point->vm_uuid) && get_text(root, "host_id", &point->host_id) &&
                get_text(root, "host_name", &point->host_name) && get_text(root, "kind", &point->kind) &&
                get_text(root, "mode", &point->mode) && get_text(root, "consistency", &point->consistency) &&
                get_text(root, "consistency_reason", &point->consistency_reason) &&
                get_text(root, "configuration", &point->configuration) &&
                get_text(root, "tracking", &point->tracking) && get_number(root, "time_ms", &time_ms) &&
                get_number(root, "committed_ms", &committed_ms) &&
                get_later_time(root, "locked_until_ms", &point->locked_until_ms) &&
                get_later_time(root, "retain_until_ms", &point->retain_until_ms) &&
                get_number(root, "read_bytes", &point->read_bytes) &&
                get_number(root, "sent_bytes", &point->sent_bytes) &&
                get_number(root, "stored_bytes", &point->stored_bytes) && json_is_array(disks);
    for (size_t i = 0; good && i < json_array_size(disks); i++) {
        good = disk_from_json(json_array_get(disks, i), point);
    }
    point->time_ms = (int64_t)time_ms;
    point->committed_ms = (int64_t)committed_ms;
    if (!good) {
        point_destroy(point);
        return NULL;
    }
    return point;
}

/* --- envelopes */

static const uint8_t envelope_magic[8] = "HFPOINT";
enum { ENVELOPE_VERSION = 1, ENVELOPE_SEALED = 1 };

int envelope_write(struct store *store, const char *object, const json_t *root, struct error *err)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        return error_set(err, ERROR_INTERNAL, "A record for %s could not be made", object);
    }
    size_t length = strlen(text);
    size_t payload = length + (store->seal != NULL ? SEAL_OVERHEAD : 0);
    size_t total = ENVELOPE_HEADER_SIZE + payload + 4;
    uint8_t *bytes = memory_zalloc(total);
    memcpy(bytes, envelope_magic, sizeof envelope_magic);
    bytes_put_u32(bytes + 8, ENVELOPE_VERSION);
    bytes_put_u32(bytes + 32, (uint32_t)payload);
    if (store->seal != NULL) {
        bytes_put_u32(bytes + 12, ENVELOPE_SEALED);
        bytes_put_u32(bytes + 16, seal_key_id(store->seal));
        seal_encrypt(seal_data_key(store->seal), bytes, ENVELOPE_HEADER_SIZE, text, length,
                     bytes + ENVELOPE_HEADER_SIZE);
    } else {
        memcpy(bytes + ENVELOPE_HEADER_SIZE, text, length);
    }
    bytes_put_u32(bytes + total - 4, digest_crc32c(0, bytes, total - 4));
    int result = payload <= ENVELOPE_PAYLOAD_MAX
                     ? store->backend->operations->put(store->backend, object, bytes, total, err)
                     : error_set(err, ERROR_LIMIT_EXCEEDED, "A record for %s is too long", object);
    free(bytes);
    free(text);
    return result;
}

json_t *envelope_parse(uint8_t *bytes, size_t length, const struct seal *seal)
{
    if (length < ENVELOPE_HEADER_SIZE + 4 || memcmp(bytes, envelope_magic, sizeof envelope_magic) != 0 ||
        bytes_get_u32(bytes + 8) != ENVELOPE_VERSION) {
        return NULL;
    }
    uint8_t *payload = bytes + ENVELOPE_HEADER_SIZE;
    size_t payload_length = bytes_get_u32(bytes + 32);
    uint32_t flags = bytes_get_u32(bytes + 12);
    if (payload_length != length - ENVELOPE_HEADER_SIZE - 4 ||
        digest_crc32c(0, bytes, length - 4) != bytes_get_u32(bytes + length - 4) ||
        flags != (seal != NULL ? ENVELOPE_SEALED : 0)) {
        return NULL;
    }
    if (seal != NULL && (bytes_get_u32(bytes + 16) != seal_key_id(seal) ||
                         seal_decrypt(seal_data_key(seal), bytes, ENVELOPE_HEADER_SIZE, payload,
                                      payload_length, &payload, &payload_length) != 0)) {
        return NULL;
    }
    json_t *root = json_loadb((const char *)payload, payload_length, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

int envelope_read(struct store *store, const char *object, json_t **root, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    int found = backend_get_whole(store->backend, object, ENVELOPE_HEADER_SIZE + ENVELOPE_PAYLOAD_MAX + 4,
                                  &bytes, &length, err);
    if (found != 1) {
        return found;
    }
    *root = envelope_parse(bytes, length, store->seal);
    free(bytes);
    return *root != NULL ? 1 : error_set(err, ERROR_RP_DAMAGED, "The record %s is damaged", object);
}
