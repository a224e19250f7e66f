#include "agent/providers/kvm_domain_edit.h"
#include "agent/providers/kvm_xml_tree.h"
#include "base/identity.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What only a running domain has. Names that a user gave to devices begin with "ua-". */
static void strip_runtime(xmlNode *device)
{
    xmlNode *alias = xml_tree_child(device, "alias");
    char *name = xml_tree_attribute(alias, "name");
    if (alias && (!name || strncmp(name, "ua-", 3) != 0))
        xml_tree_remove(device, "alias");
    free(name);
    xmlNode *source = xml_tree_child(device, "source");
    if (source) {
        xmlUnsetProp(source, (const xmlChar *)"index");
        xml_tree_remove(source, "seclabel");
    }
}

static const struct kvm_edit_disk *find_disk(const struct kvm_edit *edit, const xmlNode *device)
{
    char *target = xml_tree_attribute(xml_tree_child(device, "target"), "dev");
    const struct kvm_edit_disk *found = NULL;
    for (size_t i = 0; target && i < edit->disk_count; i++) {
        if (strcmp(edit->disks[i].target, target) == 0)
            found = &edit->disks[i];
    }
    free(target);
    return found;
}

static void place_disk(xmlNode *device, const struct kvm_edit_disk *disk)
{
    xml_tree_remove(device, "backingStore");
    xml_tree_remove(device, "mirror");
    xml_tree_remove(device, "source");
    xml_tree_set_attribute(device, "type", disk->block ? "block" : "file");
    xml_tree_set_attribute(xml_tree_require(device, "source"), disk->block ? "dev" : "file", disk->path);
    xmlNode *driver = xml_tree_require(device, "driver");
    xml_tree_set_attribute(driver, "type", disk->format);
    if (!xmlHasProp(driver, (const xmlChar *)"name"))
        xml_tree_set_attribute(driver, "name", "qemu");
}

/* A medium that is not on this host leaves the drive empty. */
static void empty_drive(xmlNode *device)
{
    char *file = xml_tree_attribute(xml_tree_child(device, "source"), "file");
    if (!file || access(file, F_OK) != 0)
        xml_tree_remove(device, "source");
    free(file);
}

/* False: the disk has no place in the definition. */
static bool edit_disk(xmlNode *device, const struct kvm_edit *edit)
{
    if (xml_tree_attribute_is(device, "device", "cdrom") ||
        xml_tree_attribute_is(device, "device", "floppy")) {
        empty_drive(device);
        return true;
    }
    const struct kvm_edit_disk *disk = find_disk(edit, device);
    if (disk)
        place_disk(device, disk);
    return disk || !edit->directory;
}

/* <source network="..."/> or bridge="..." */
static void connect_interface(xmlNode *device, const struct kvm_edit *edit)
{
    static const char *const kinds[] = {"network", "bridge"};
    xmlNode *source = xml_tree_child(device, "source");
    for (size_t kind = 0; source && kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (size_t i = 0; i < edit->network_count; i++) {
            if (xml_tree_attribute_is(source, kinds[kind], edit->networks[i].from)) {
                xml_tree_set_attribute(source, kinds[kind], edit->networks[i].to);
                xmlUnsetProp(source, (const xmlChar *)"portid"); /* of the old one */
                break;
            }
        }
    }
}

static void edit_interface(xmlNode *device, const struct kvm_edit *edit)
{
    connect_interface(device, edit);
    char *tap = xml_tree_attribute(xml_tree_child(device, "target"), "dev");
    if (edit->uuid)
        xml_tree_remove(device, "mac"); /* libvirt makes a new one */
    if (edit->uuid || (tap && strncmp(tap, "vnet", 4) == 0))
        xml_tree_remove(device, "target");
    free(tap);
}

/* Where a serial port or the like writes to, beside the new disks; malloc'd. A "console" of the type "serial"
 * is the serial port of its number once more. */
static char *character_path(const xmlNode *device, const struct kvm_edit *edit, const char *suffix)
{
    const xmlNode *target = xml_tree_child(device, "target");
    bool serial = xml_tree_is(device, "console") && xml_tree_attribute_is(target, "type", "serial");
    char *port = xml_tree_attribute(target, "port");
    char *path = memory_format("%s/%s-%s%s.%s", edit->directory, edit->name,
                               serial ? "serial" : (const char *)device->name, port ? port : "0", suffix);
    free(port);
    return path;
}

/* Files and sockets of their own; what libvirt names itself it names anew. */
static void edit_character_device(xmlNode *device, const struct kvm_edit *edit)
{
    if (!edit->directory)
        return;
    bool file = xml_tree_attribute_is(device, "type", "file");
    bool socket = xml_tree_attribute_is(device, "type", "unix");
    if ((socket && xml_tree_is(device, "channel")) || xml_tree_attribute_is(device, "type", "pty"))
        xml_tree_remove(device, "source");
    xmlUnsetProp(device, (const xmlChar *)"tty"); /* of a running domain only */
    xmlNode *source = xml_tree_child(device, "source");
    xmlNode *record = xml_tree_child(device, "log");
    char *path = character_path(device, edit, socket ? "socket" : "log");
    char *record_path = character_path(device, edit, file ? "copy.log" : "log");
    if (source && (file || socket))
        xml_tree_set_attribute(source, "path", path);
    if (record)
        xml_tree_set_attribute(record, "file", record_path);
    free(record_path);
    free(path);
}

static void edit_new_identity(xmlNode *device)
{
    if (xml_tree_is(device, "graphics") && xmlHasProp(device, (const xmlChar *)"port")) {
        xmlUnsetProp(device, (const xmlChar *)"port");
        xmlUnsetProp(device, (const xmlChar *)"tlsPort");
        xml_tree_set_attribute(device, "autoport", "yes");
    }
    xmlNode *cid = xml_tree_is(device, "vsock") ? xml_tree_child(device, "cid") : NULL;
    if (cid) {
        xml_tree_set_attribute(cid, "auto", "yes");
        xmlUnsetProp(cid, (const xmlChar *)"address");
    }
}

static void edit_devices(xmlNode *devices, const struct kvm_edit *edit)
{
    for (xmlNode *device = devices ? devices->children : NULL, *next; device; device = next) {
        next = device->next;
        if (device->type != XML_ELEMENT_NODE)
            continue;
        strip_runtime(device);
        if (xml_tree_is(device, "disk") && !edit_disk(device, edit)) {
            xmlUnlinkNode(device);
            xmlFreeNode(device);
            continue;
        }
        if (xml_tree_is(device, "interface"))
            edit_interface(device, edit);
        if (xml_tree_is(device, "serial") || xml_tree_is(device, "parallel") ||
            xml_tree_is(device, "channel") || xml_tree_is(device, "console"))
            edit_character_device(device, edit);
        if (edit->uuid)
            edit_new_identity(device);
    }
}

static void edit_system_uuid(xmlNode *top, const char *uuid)
{
    xmlNode *system = xml_tree_child(xml_tree_child(top, "sysinfo"), "system");
    for (xmlNode *entry = system ? system->children : NULL; entry; entry = entry->next) {
        if (xml_tree_is(entry, "entry") && xml_tree_attribute_is(entry, "name", "uuid"))
            xml_tree_set_text(entry, uuid);
    }
}

static void edit_top(xmlNode *top, const struct kvm_edit *edit)
{
    xmlUnsetProp(top, (const xmlChar *)"id");
    xml_tree_set_text(xml_tree_require(top, "name"), edit->name);
    for (xmlNode *label = top->children, *next; label; label = next) {
        next = label->next;
        if (xml_tree_is(label, "seclabel") && !xml_tree_attribute_is(label, "type", "static")) {
            xmlUnlinkNode(label);
            xmlFreeNode(label);
        }
    }
    xmlNode *generation = xml_tree_child(top, "genid"); /* tells the guest that time was turned back */
    if (generation) {
        char fresh[IDENTITY_SIZE];
        identity_create(fresh);
        xml_tree_set_text(generation, fresh);
    }
    xmlNode *nvram = xml_tree_child(xml_tree_child(top, "os"), "nvram");
    if (nvram && (edit->nvram || edit->uuid)) {
        xml_tree_remove(nvram, "source");
        xmlUnsetProp(nvram, (const xmlChar *)"type");
    }
    if (nvram && edit->nvram)
        xml_tree_set_text(nvram, edit->nvram);
    if (!edit->uuid)
        return;
    xml_tree_set_text(xml_tree_require(top, "uuid"), edit->uuid);
    edit_system_uuid(top, edit->uuid);
    if (nvram)
        xml_tree_set_text(nvram,
                          edit->nvram ? edit->nvram : ""); /* "": libvirt makes one from the template */
}

char *kvm_domain_edit(const char *xml, const struct kvm_edit *edit, struct error *err)
{
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    if (!doc) {
        error_set(err, ERROR_RESTORE_HOST_KIND, "The configuration of %s is not that of a libvirt domain.",
                  edit->name);
        return NULL;
    }
    xmlNode *top = xmlDocGetRootElement(doc);
    edit_top(top, edit);
    edit_devices(xml_tree_child(top, "devices"), edit);
    xmlChar *text = NULL;
    int length = 0;
    xmlDocDumpFormatMemory(doc, &text, &length, 1);
    char *result = memory_copy_text((const char *)text);
    xmlFree(text);
    xmlFreeDoc(doc);
    return result;
}
