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

enum { PACKED_MAX = 4 * 1024 * 1024, LEVEL = 9 }; /* packed: of all files, in the XML twice as long */

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

/* malloc'd; NULL when the VM has none in a file. */
static char *nvram_path(const xmlNode *top)
{
    xmlNode *nvram = xml_tree_child(xml_tree_child(top, "os"), "nvram");
    xmlNode *source = xml_tree_child(nvram, "source");
    char *path = source ? xml_tree_attribute(source, "file") : xml_tree_text(nvram);
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

/* --- reading it */

static bool take_file(struct kvm_firmware *firmware, const char *name, const char *path)
{
    struct error err;
    struct kvm_firmware_file file = {0};
    size_t taken = 0;
    for (size_t i = 0; i < firmware->count; i++)
        taken += firmware->files[i].length;
    if (firmware->count == KVM_FIRMWARE_FILES_MAX)
        return false;
    if (os_file_read_whole(path, KVM_FIRMWARE_BYTES_MAX - taken, &file.bytes, &file.length, &err) != 0) {
        log_error("firmware is not in the backup", &err);
        return false;
    }
    file.name = memory_copy_text(name);
    firmware->files[firmware->count++] = file;
    return true;
}

struct tpm_listing {
    struct kvm_firmware *firmware;
    const char *directory; /* of the VM */
    const char *version;   /* "tpm2" */
    bool failed;
};

static int take_tpm_file(void *cookie, const char *file)
{
    struct tpm_listing *listing = cookie;
    char *name = memory_format("%s/%s", listing->version, file);
    char *path = memory_format("%s/%s", listing->directory, name);
    if (is_tpm_name(name) && !take_file(listing->firmware, name, path))
        listing->failed = true;
    free(path);
    free(name);
    return 0;
}

/* True when there is one and all of it was taken. */
static bool take_tpm(struct kvm_firmware *firmware, const char *directory)
{
    static const char *const versions[] = {"tpm1.2", "tpm2"};
    size_t before = firmware->count;
    bool failed = false;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        struct tpm_listing listing = {.firmware = firmware, .directory = directory, .version = versions[i]};
        struct error ignored;
        char *path = memory_format("%s/%s", directory, versions[i]);
        if (os_path_exists(path) && os_path_list(path, take_tpm_file, &listing, &ignored) < 0)
            failed = true;
        failed = failed || listing.failed;
        free(path);
    }
    return !failed && firmware->count > before;
}

/* --- in the XML */

/* False when there is no room for it. */
static bool append_file(xmlNode *state, const struct kvm_firmware_file *file, size_t *room)
{
    uint8_t *packed = memory_alloc(compress_bound(file->length));
    size_t length = 0;
    enum compression compression = compress_run(file->bytes, file->length, LEVEL, packed, &length);
    bool fits = length <= *room;
    if (fits) {
        char *digits = memory_alloc(2 * length + 1);
        char size[32];
        *room -= length;
        bytes_to_hex(packed, length, digits);
        snprintf(size, sizeof size, "%zu", file->length);
        xmlNode *node = xmlNewTextChild(state, state->ns, (const xmlChar *)"file", (const xmlChar *)digits);
        xml_tree_set_attribute(node, "name", file->name);
        xml_tree_set_attribute(node, "size", size);
        xml_tree_set_attribute(node, "compression", compression == COMPRESSION_ZSTD ? "zstd" : "plain");
        free(digits);
    }
    free(packed);
    return fits;
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

/* All of it, or nothing: half a TPM is none. */
static bool append_files(xmlNode *top, const struct kvm_firmware *firmware)
{
    size_t room = PACKED_MAX;
    bool fits = true;
    xmlNode *state = xmlNewChild(xml_tree_require(top, "metadata"), NULL, (const xmlChar *)"firmware", NULL);
    xmlSetNs(state, xmlNewNs(state, (const xmlChar *)namespace_uri, (const xmlChar *)"holdfast"));
    for (size_t i = 0; i < firmware->count && fits; i++)
        fits = append_file(state, &firmware->files[i], &room);
    if (!fits) {
        xmlUnlinkNode(state);
        xmlFreeNode(state);
    }
    return fits;
}

char *kvm_firmware_attach(const char *xml, char **missing)
{
    struct kvm_firmware firmware = {0};
    *missing = NULL;
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    if (!doc)
        return memory_copy_text(xml);
    xmlNode *top = xmlDocGetRootElement(doc);
    char *nvram = nvram_path(top);
    char *tpm = tpm_path(top);
    bool has_nvram = nvram && take_file(&firmware, nvram_name, nvram);
    bool has_tpm = tpm && take_tpm(&firmware, tpm);
    bool fits = firmware.count == 0 || append_files(top, &firmware);
    char *result = firmware.count > 0 && fits ? take_text(doc) : memory_copy_text(xml);
    bool lacks_nvram = nvram && (!has_nvram || !fits);
    bool lacks_tpm = tpm && (!has_tpm || !fits);
    if (lacks_nvram || lacks_tpm)
        *missing =
            memory_format("%s%s%s", lacks_nvram ? "its UEFI variables" : "",
                          lacks_nvram && lacks_tpm ? " and " : "", lacks_tpm ? "the state of its TPM" : "");
    free(nvram);
    free(tpm);
    kvm_firmware_release(&firmware);
    xmlFreeDoc(doc);
    return result;
}

static bool unpack(const char *digits, size_t size, size_t room, bool zstd, uint8_t **bytes)
{
    size_t length = strlen(digits) / 2;
    if (size == 0 || size > room || length > PACKED_MAX)
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
    size_t room = KVM_FIRMWARE_BYTES_MAX;
    for (size_t i = 0; i < firmware->count; i++)
        room -= firmware->files[i].length;
    bool known = name && (strcmp(name, nvram_name) == 0 || is_tpm_name(name));
    if (known && digits && firmware->count < KVM_FIRMWARE_FILES_MAX &&
        unpack(digits, file.length, room, xml_tree_attribute_is(node, "compression", "zstd"), &file.bytes)) {
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

/* --- its places */

/* libvirt gives all of it to the TPM's user when the VM starts. */
static char *tpm_place(const char *directory, const char *name, struct error *err)
{
    char *path = memory_format("%s/%s", directory, name);
    char *parent = memory_format("%.*s", (int)(strrchr(path, '/') - path), path);
    int result = os_path_make_directory(parent, 0711, err);
    free(parent);
    if (result != 0) {
        free(path);
        return NULL;
    }
    return path;
}

char *kvm_firmware_place(const char *xml, const struct kvm_firmware_file *file, struct error *err)
{
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    const xmlNode *top = doc ? xmlDocGetRootElement(doc) : NULL;
    error_clear(err);
    char *path = NULL;
    if (strcmp(file->name, nvram_name) == 0) {
        path = nvram_path(top);
    } else {
        char *directory = tpm_path(top);
        path = directory ? tpm_place(directory, file->name, err) : NULL;
        free(directory);
    }
    xmlFreeDoc(doc);
    return path;
}
