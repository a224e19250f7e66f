#include "agent/providers/kvm_xml.h"
#include "agent/providers/kvm_xml_tree.h"
#include "base/buffer.h"
#include "base/memory.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { XML_LIMIT = 16 * 1024 * 1024, DISKS_MAX = 1024 };

static char *find_problem(const xmlNode *node, const char *type, const struct kvm_disk *disk)
{
    if (xml_tree_attribute_is(node, "device", "lun"))
        return memory_copy_text("it is passed through to the VM");
    if (!type || (strcmp(type, "file") != 0 && strcmp(type, "block") != 0))
        return memory_format("its source is of the kind \"%s\"", type ? type : "none");
    if (!disk->path || disk->path[0] == '\0')
        return memory_copy_text("it has no source");
    if (xml_tree_child(node, "readonly"))
        return memory_copy_text("it is read-only");
    if (xml_tree_child(node, "transient"))
        return memory_copy_text("its changes are dropped when the VM stops");
    if (xml_tree_child(xml_tree_child(node, "source"), "encryption"))
        return memory_copy_text("it is encrypted by QEMU");
    return NULL;
}

static void take_disk(const xmlNode *node, struct kvm_domain *domain)
{
    if (xml_tree_attribute_is(node, "device", "cdrom") || xml_tree_attribute_is(node, "device", "floppy"))
        return;
    char *target = xml_tree_attribute(xml_tree_child(node, "target"), "dev");
    if (!target || domain->disk_count >= DISKS_MAX) {
        free(target);
        return;
    }
    domain->disks = memory_resize(domain->disks, domain->disk_count + 1, sizeof *domain->disks);
    struct kvm_disk *disk = &domain->disks[domain->disk_count++];
    memset(disk, 0, sizeof *disk);
    char *type = xml_tree_attribute(node, "type");
    disk->target = target;
    disk->block = type && strcmp(type, "block") == 0;
    disk->path = xml_tree_attribute(xml_tree_child(node, "source"), disk->block ? "dev" : "file");
    disk->format = xml_tree_attribute(xml_tree_child(node, "driver"), "type");
    if (!disk->format)
        disk->format = memory_copy_text("raw");
    disk->problem = find_problem(node, type, disk);
    free(type);
}

static void take_channel(const xmlNode *node, struct kvm_domain *domain)
{
    const xmlNode *target = xml_tree_child(node, "target");
    if (xml_tree_attribute_is(target, "name", "org.qemu.guest_agent.0"))
        domain->agent =
            xml_tree_attribute_is(target, "state", "connected") ? KVM_AGENT_CONNECTED : KVM_AGENT_SILENT;
}

/* <seclabel model='dac'><label>+64055:+64055</label> */
static void take_owner(const xmlNode *node, struct kvm_domain *domain)
{
    if (!xml_tree_attribute_is(node, "model", "dac"))
        return;
    char *label = xml_tree_text(xml_tree_child(node, "label"));
    char *group = NULL;
    if (label && label[0] == '+') {
        domain->owner_uid = (unsigned)strtoul(label + 1, &group, 10);
        if (strncmp(group, ":+", 2) == 0) {
            domain->owner_gid = (unsigned)strtoul(group + 2, NULL, 10);
            domain->has_owner = true;
        }
    }
    free(label);
}

int kvm_domain_parse(const char *xml, struct kvm_domain *domain, struct error *err)
{
    memset(domain, 0, sizeof *domain);
    xmlDoc *doc = xml_tree_parse(xml, "domain");
    if (!doc)
        return error_set(err, ERROR_INTERNAL, "The description of a VM is not a libvirt domain.");
    const xmlNode *top = xmlDocGetRootElement(doc);
    domain->name = xml_tree_text(xml_tree_child(top, "name"));
    domain->uuid = xml_tree_text(xml_tree_child(top, "uuid"));
    for (const xmlNode *node = top->children; node; node = node->next) {
        if (xml_tree_is(node, "seclabel"))
            take_owner(node, domain);
    }
    const xmlNode *devices = xml_tree_child(top, "devices");
    for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
        if (xml_tree_is(node, "disk"))
            take_disk(node, domain);
        else if (xml_tree_is(node, "channel"))
            take_channel(node, domain);
    }
    xmlFreeDoc(doc);
    if (domain->name && domain->uuid)
        return 0;
    kvm_domain_release(domain);
    return error_set(err, ERROR_INTERNAL, "The description of a VM has no name or no UUID.");
}

void kvm_domain_release(struct kvm_domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        free(domain->disks[i].target);
        free(domain->disks[i].path);
        free(domain->disks[i].format);
        free(domain->disks[i].problem);
    }
    free(domain->disks);
    free(domain->name);
    free(domain->uuid);
    memset(domain, 0, sizeof *domain);
}

const struct kvm_disk *kvm_domain_disk(const struct kvm_domain *domain, const char *target)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        if (strcmp(domain->disks[i].target, target) == 0)
            return &domain->disks[i];
    }
    return NULL;
}

int64_t kvm_checkpoint_dirty(const char *xml, const char *target)
{
    int64_t dirty = -1;
    xmlDoc *doc = xml_tree_parse(xml, "domaincheckpoint");
    const xmlNode *disks = doc ? xml_tree_child(xmlDocGetRootElement(doc), "disks") : NULL;
    for (const xmlNode *node = disks ? disks->children : NULL; node; node = node->next) {
        if (!xml_tree_is(node, "disk") || !xml_tree_attribute_is(node, "name", target))
            continue;
        char *size = xml_tree_attribute(node, "size");
        char *end = NULL;
        errno = 0;
        long long value = size ? strtoll(size, &end, 10) : -1;
        if (size && errno == 0 && end != size && *end == '\0' && value >= 0)
            dirty = value;
        free(size);
    }
    xmlFreeDoc(doc);
    return dirty;
}

static void append_escaped(struct buffer *xml, const char *text)
{
    for (const char *c = text; *c; c++) {
        const char *safe = *c == '&'    ? "&amp;"
                           : *c == '<'  ? "&lt;"
                           : *c == '>'  ? "&gt;"
                           : *c == '\'' ? "&apos;"
                                        : NULL;
        if (safe)
            buffer_append_text(xml, safe);
        else
            buffer_append(xml, c, 1);
    }
}

static void append_attribute(struct buffer *xml, const char *name, const char *value)
{
    buffer_append_format(xml, " %s='", name);
    append_escaped(xml, value);
    buffer_append_text(xml, "'");
}

static char *take_text(struct buffer *xml)
{
    char *text = memory_copy_text(buffer_text(xml));
    buffer_free(xml);
    return text;
}

char *kvm_backup_xml(const char *socket, const struct kvm_backup_disk *disks, size_t count)
{
    struct buffer xml;
    buffer_init(&xml, XML_LIMIT);
    buffer_append_text(&xml, "<domainbackup mode='pull'><server transport='unix'");
    append_attribute(&xml, "socket", socket);
    buffer_append_text(&xml, "/><disks>");
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(&xml, "<disk type='file' backup='yes'");
        append_attribute(&xml, "name", disks[i].target);
        append_attribute(&xml, "exportname", disks[i].target);
        if (disks[i].incremental) {
            append_attribute(&xml, "backupmode", "incremental");
            append_attribute(&xml, "incremental", disks[i].incremental);
            append_attribute(&xml, "exportbitmap", KVM_EXPORT_BITMAP);
        } else {
            append_attribute(&xml, "backupmode", "full");
        }
        buffer_append_text(&xml, "><scratch");
        append_attribute(&xml, "file", disks[i].scratch);
        buffer_append_text(&xml, "/></disk>");
    }
    buffer_append_text(&xml, "</disks></domainbackup>");
    return take_text(&xml);
}

char *kvm_checkpoint_xml(const char *name, int64_t time, const char *const *targets, size_t count)
{
    struct buffer xml;
    buffer_init(&xml, XML_LIMIT);
    buffer_append_text(&xml, "<domaincheckpoint><name>");
    append_escaped(&xml, name);
    buffer_append_text(&xml, "</name>");
    if (time)
        buffer_append_format(&xml, "<creationTime>%lld</creationTime>", (long long)time);
    buffer_append_text(&xml, "<disks>");
    for (size_t i = 0; i < count; i++) {
        buffer_append_text(&xml, "<disk checkpoint='bitmap'");
        append_attribute(&xml, "name", targets[i]);
        append_attribute(&xml, "bitmap", name);
        buffer_append_text(&xml, "/>");
    }
    buffer_append_text(&xml, "</disks></domaincheckpoint>");
    return take_text(&xml);
}
