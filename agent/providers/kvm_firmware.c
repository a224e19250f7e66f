#include "agent/providers/kvm_firmware.h"
#include "agent/providers/kvm_xml_tree.h"
#include "base/bytes.h"
#include "base/compress.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TPM_FILE_MAX = 1024 * 1024, PACKED_MAX = 4 * 1024 * 1024, LEVEL = 9 };

static const char namespace_uri[] = "urn:holdfast:firmware:1";
static const char tpm_directory[] = "/var/lib/libvirt/swtpm";
static const char nvram_name[] = "nvram";

void kvm_firmware_release(struct kvm_firmware *firmware)
{
    for (size_t i = 0; i < firmware->count; i++) {
        free(firmware->files[i].name);
        free(firmware->files[i].bytes);
    }
    firmware->count = 0;
}

bool kvm_firmware_has_nvram(const struct kvm_firmware *firmware)
{
    for (size_t i = 0; i < firmware->count; i++) {
        if (strcmp(firmware->files[i].name, nvram_name) == 0)
            return true;
    }
    return false;
}

/* --- where it lies */

/* malloc'd; NULL when the VM has none. */
static char *nvram_path(const xmlNode *top)
{
    xmlNode *nvram = xml_tree_child(xml_tree_child(top, "os"), "nvram");
    char *path = xml_tree_text(nvram);
    if (path && path[0] != '/') {
        free(path);
        return NULL;
    }
    return path;
}

/* The directory of the emulated TPM, malloc'd; NULL when the VM has none. */
static char *tpm_path(const xmlNode *top)
{
    xmlNode *backend = xml_tree_child(xml_tree_child(xml_tree_child(top, "devices"), "tpm"), "backend");
    char *uuid = xml_tree_text(xml_tree_child(top, "uuid"));
    char *path = NULL;
    if (uuid && !strchr(uuid, '/') && xml_tree_attribute_is(backend, "type", "emulator"))
        path = memory_format("%s/%s", tpm_directory, uuid);
    free(uuid);
    return path;
}

/* "tpm2/tpm2-00.permall": one directory, one file, nothing hidden. */
static bool is_tpm_name(const char *name)
{
    size_t slashes = 0;
    for (const char *c = name; *c; c++) {
        bool begins = c == name || c[-1] == '/';
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '/' && (*c != '.' || begins))
            return false;
        slashes += *c == '/';
    }
    return slashes == 1 && name[0] != '/' && strncmp(name, "tpm", 3) == 0 && name[strlen(name) - 1] != '/';
}

/* Where a file of the firmware belongs, malloc'd; NULL when the VM has no place for it. */
static char *place_of(const xmlNode *top, const char *name)
{
    if (strcmp(name, nvram_name) == 0)
        return nvram_path(top);
    char *directory = is_tpm_name(name) ? tpm_path(top) : NULL;
    char *path = directory ? memory_format("%s/%s", directory, name) : NULL;
    free(directory);
    return path;
}

/* --- reading it */

static void take_file(struct kvm_firmware *firmware, const char *name, const char *path, size_t limit)
{
    struct error err;
    struct kvm_firmware_file file = {0};
    if (firmware->count == KVM_FIRMWARE_FILES_MAX || !os_path_exists(path))
        return;
    if (os_file_read_whole(path, limit, &file.bytes, &file.length, &err) != 0) {
        log_error("firmware is not in the backup", &err);
        return;
    }
    file.name = memory_copy_text(name);
    firmware->files[firmware->count++] = file;
}

struct tpm_listing {
    struct kvm_firmware *firmware;
    const char *directory; /* of the VM */
    const char *version;   /* "tpm2" */
};

static int take_tpm_file(void *cookie, const char *file)
{
    const struct tpm_listing *listing = cookie;
    char *name = memory_format("%s/%s", listing->version, file);
    char *path = memory_format("%s/%s", listing->directory, name);
    if (is_tpm_name(name))
        take_file(listing->firmware, name, path, TPM_FILE_MAX);
    free(path);
    free(name);
    return 0;
}

static void take_tpm(struct kvm_firmware *firmware, const char *directory)
{
    static const char *const versions[] = {"tpm1.2", "tpm2"};
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct tpm_listing listing = {firmware, directory, versions[i]};
        struct error ignored;
        char *path = memory_format("%s/%s", directory, versions[i]);
        if (os_path_exists(path))
            (void)os_path_list(path, take_tpm_file, &listing, &ignored);
        free(path);
    }
}

/* --- in the XML */

static void append_file(xmlNode *state, const struct kvm_firmware_file *file)
{
    uint8_t *packed = memory_alloc(compress_bound(file->length));
    size_t length = 0;
    enum compression compression = compress_run(file->bytes, file->length, LEVEL, packed, &length);
    if (length <= PACKED_MAX) {
        char *digits = memory_alloc(2 * length + 1);
        char size[32];
        bytes_to_hex(packed, length, digits);
        snprintf(size, sizeof size, "%zu", file->length);
        xmlNode *node = xmlNewTextChild(state, state->ns, (const xmlChar *)"file", (const xmlChar *)digits);
        xml_tree_set_attribute(node, "name", file->name);
        xml_tree_set_attribute(node, "size", size);
        xml_tree_set_attribute(node, "compression", compression == COMPRESSION_ZSTD ? "zstd" : "plain");
        free(digits);
    }
    free(packed);
}

static char *take_text(xmlDoc *doc)
{
    xmlChar *text = NULL;
    int length = 0;
    xmlDocDumpFormatMemory(doc, &text, &length, 1);
    char *result = memory_copy_text((const char *)text);
    xmlFree(text);
    return result;
}

char *kvm_firmware_attach(const char *xml)
{
    struct kvm_firmware firmware = {0};
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    if (!doc)
        return memory_copy_text(xml);
    xmlNode *top = xmlDocGetRootElement(doc);
    char *nvram = nvram_path(top);
    char *tpm = tpm_path(top);
    if (nvram)
        take_file(&firmware, nvram_name, nvram, KVM_FIRMWARE_FILE_MAX);
    if (tpm)
        take_tpm(&firmware, tpm);
    char *result = NULL;
    if (firmware.count > 0) {
        xmlNode *state =
            xmlNewChild(xml_tree_require(top, "metadata"), NULL, (const xmlChar *)"firmware", NULL);
        xmlSetNs(state, xmlNewNs(state, (const xmlChar *)namespace_uri, (const xmlChar *)"holdfast"));
        for (size_t i = 0; i < firmware.count; i++)
            append_file(state, &firmware.files[i]);
        result = take_text(doc);
    }
    free(nvram);
    free(tpm);
    kvm_firmware_release(&firmware);
    xmlFreeDoc(doc);
    return result ? result : memory_copy_text(xml);
}

static bool unpack(const char *digits, size_t size, bool zstd, uint8_t **bytes)
{
    size_t length = strlen(digits) / 2;
    if (size == 0 || size > KVM_FIRMWARE_FILE_MAX || length > PACKED_MAX)
        return false;
    uint8_t *packed = memory_alloc(length + 1);
    *bytes = memory_alloc(size);
    bool good =
        strlen(digits) == 2 * length && bytes_from_hex(digits, packed, length) == 0 &&
        decompress_run(zstd ? COMPRESSION_ZSTD : COMPRESSION_PLAIN, packed, length, *bytes, size) == 0;
    free(packed);
    if (!good) {
        free(*bytes);
        *bytes = NULL;
    }
    return good;
}

static void detach_file(const xmlNode *node, struct kvm_firmware *firmware)
{
    char *name = xml_tree_attribute(node, "name");
    char *size = xml_tree_attribute(node, "size");
    char *digits = xml_tree_text(node);
    struct kvm_firmware_file file = {.length = size ? strtoul(size, NULL, 10) : 0};
    bool known = name && (strcmp(name, nvram_name) == 0 || is_tpm_name(name));
    if (known && digits && firmware->count < KVM_FIRMWARE_FILES_MAX &&
        unpack(digits, file.length, xml_tree_attribute_is(node, "compression", "zstd"), &file.bytes)) {
        file.name = name;
        name = NULL;
        firmware->files[firmware->count++] = file;
    }
    free(name);
    free(size);
    free(digits);
}

char *kvm_firmware_detach(const char *xml, struct kvm_firmware *firmware)
{
    *firmware = (struct kvm_firmware){0};
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    if (!doc)
        return NULL;
    xmlNode *metadata = xml_tree_child(xmlDocGetRootElement(doc), "metadata");
    for (xmlNode *state = metadata ? metadata->children : NULL, *next; state; state = next) {
        next = state->next;
        if (!xml_tree_is(state, "firmware") || !state->ns ||
            strcmp((const char *)state->ns->href, namespace_uri) != 0)
            continue;
        for (const xmlNode *file = state->children; file; file = file->next) {
            if (xml_tree_is(file, "file"))
                detach_file(file, firmware);
        }
        xmlUnlinkNode(state);
        xmlFreeNode(state);
    }
    if (metadata && !xmlFirstElementChild(metadata)) {
        xmlUnlinkNode(metadata);
        xmlFreeNode(metadata);
    }
    char *result = take_text(doc);
    xmlFreeDoc(doc);
    return result;
}

/* --- writing it */

struct kvm_firmware_undo {
    char *paths[KVM_FIRMWARE_FILES_MAX];
    uint8_t *old[KVM_FIRMWARE_FILES_MAX]; /* NULL: there was none */
    size_t old_lengths[KVM_FIRMWARE_FILES_MAX];
    size_t count;
};

void kvm_firmware_settle(struct kvm_firmware_undo *undo)
{
    for (size_t i = 0; undo && i < undo->count; i++) {
        free(undo->paths[i]);
        free(undo->old[i]);
    }
    free(undo);
}

/* Content changes, the file's owner and mode stay: QEMU's user may own it. */
static int put_bytes(const char *path, const uint8_t *bytes, size_t length, struct error *err)
{
    struct stat before;
    bool existed = stat(path, &before) == 0;
    if (os_file_write_whole(path, bytes, length, existed ? before.st_mode & 0777 : 0600, err) != 0)
        return -1;
    if (existed && chown(path, before.st_uid, before.st_gid) != 0)
        return error_set(err, ERROR_FILE_FAILED, "The owner of %s could not be kept.", path);
    return 0;
}

void kvm_firmware_undo(struct kvm_firmware_undo *undo)
{
    struct error err;
    for (size_t i = undo ? undo->count : 0; i > 0; i--) {
        const char *path = undo->paths[i - 1];
        int result = undo->old[i - 1] ? put_bytes(path, undo->old[i - 1], undo->old_lengths[i - 1], &err)
                                      : os_path_remove(path, &err);
        if (result != 0)
            log_error("firmware could not be put back", &err);
    }
    kvm_firmware_settle(undo);
}

/* The directory of a TPM that this host has not seen; libvirt gives all of it to the TPM's user when it
 * starts. */
static int make_tpm_directory(const char *path, struct error *err)
{
    char *directory = memory_format("%.*s", (int)(strrchr(path, '/') - path), path);
    int result = os_path_make_directory(directory, 0711, err);
    free(directory);
    return result;
}

static int write_file(struct kvm_firmware_undo *undo, const struct kvm_firmware_file *file, char *path,
                      struct error *err)
{
    size_t at = undo->count;
    undo->paths[at] = path;
    if (strcmp(file->name, nvram_name) != 0 && make_tpm_directory(path, err) != 0)
        return -1;
    if (os_path_exists(path) &&
        os_file_read_whole(path, KVM_FIRMWARE_FILE_MAX, &undo->old[at], &undo->old_lengths[at], err) != 0)
        return -1;
    undo->count++;
    return put_bytes(path, file->bytes, file->length, err);
}

struct kvm_firmware_undo *kvm_firmware_write(const struct kvm_firmware *firmware, const char *xml,
                                             struct error *err)
{
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    struct kvm_firmware_undo *undo = memory_zalloc(sizeof *undo);
    int result = doc ? 0 : error_set(err, ERROR_RESTORE_FAILED, "The new definition can't be read.");
    for (size_t i = 0; i < firmware->count && result == 0; i++) {
        char *path = place_of(xmlDocGetRootElement(doc), firmware->files[i].name);
        if (path) {
            result = write_file(undo, &firmware->files[i], path, err);
            if (undo->count == 0 || undo->paths[undo->count - 1] != path)
                free(path); /* it was not begun */
        }
    }
    xmlFreeDoc(doc);
    if (result != 0) {
        kvm_firmware_undo(undo);
        return NULL;
    }
    return undo;
}
