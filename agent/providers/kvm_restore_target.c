#include "agent/providers/kvm_restore_target.h"
#include "agent/providers/kvm_internal.h"
#include "agent/providers/kvm_xml_tree.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

/* --- pools */

static char *directory_of(const char *xml)
{
    xmlDoc *doc = xml_tree_parse(xml, "pool");
    if (!doc)
        return NULL;
    xmlNode *top = xmlDocGetRootElement(doc);
    bool files = xml_tree_attribute_is(top, "type", "dir") || xml_tree_attribute_is(top, "type", "fs") ||
                 xml_tree_attribute_is(top, "type", "netfs");
    char *path = files ? xml_tree_text(xml_tree_child(xml_tree_child(top, "target"), "path")) : NULL;
    xmlFreeDoc(doc);
    return path;
}

char *kvm_pool_directory(virConnectPtr connection, const char *pool, struct error *err)
{
    virStoragePoolPtr found = virStoragePoolLookupByName(connection, pool);
    if (!found) {
        error_set(err, ERROR_RESTORE_TARGET_MISSING, "There is no storage pool %s on this host.", pool);
        return NULL;
    }
    char *path = NULL;
    if (virStoragePoolIsActive(found) != 1) {
        error_set(err, ERROR_RESTORE_TARGET_MISSING, "The storage pool %s is not active.", pool);
    } else {
        char *xml = virStoragePoolGetXMLDesc(found, 0);
        path = xml ? directory_of(xml) : NULL;
        free(xml);
        if (!path)
            error_set(err, ERROR_RESTORE_TARGET_MISSING,
                      "The storage pool %s has no directory for files; name a pool of type dir, fs or netfs.",
                      pool);
    }
    virStoragePoolFree(found);
    return path;
}

void kvm_pool_refresh(virConnectPtr connection, const char *pool)
{
    virStoragePoolPtr found = pool[0] ? virStoragePoolLookupByName(connection, pool) : NULL;
    if (found && virStoragePoolRefresh(found, 0) != 0)
        log_event(LOG_WARNING, "storage pool was not refreshed", "pool=\"%s\" reason=\"%s\"", pool,
                  virGetLastErrorMessage());
    if (found)
        virStoragePoolFree(found);
}

/* --- networks */

static bool network_exists(virConnectPtr connection, const char *name)
{
    virNetworkPtr network = virNetworkLookupByName(connection, name);
    if (network)
        virNetworkFree(network);
    return network != NULL;
}

static bool bridge_exists(const char *name)
{
    char *path = memory_format("/sys/class/net/%s", name);
    bool exists = !strchr(name, '/') && os_path_exists(path);
    free(path);
    return exists;
}

static const char *new_name(const Holdfast__RestoreRequest *request, const char *old, bool *used)
{
    for (size_t i = 0; i < request->n_networks; i++) {
        if (strcmp(request->networks[i]->from, old) == 0) {
            used[i] = true;
            return request->networks[i]->to;
        }
    }
    return old;
}

/* One interface. *missing is set when what it is going to be connected to is not there. */
static void check_interface(virConnectPtr connection, const xmlNode *device,
                            const Holdfast__RestoreRequest *request, bool *used, char **missing)
{
    const xmlNode *source = xml_tree_child(device, "source");
    char *network = xml_tree_attribute(source, "network");
    char *bridge = network ? NULL : xml_tree_attribute(source, "bridge");
    const char *old = network ? network : bridge;
    if (old) {
        const char *name = new_name(request, old, used);
        bool exists = network ? network_exists(connection, name) : bridge_exists(name);
        if (!exists && !*missing)
            *missing = memory_copy_text(name);
    }
    free(network);
    free(bridge);
}

int kvm_networks_check(virConnectPtr connection, const Holdfast__RestoreRequest *request, char **missing,
                       struct error *err)
{
    *missing = NULL;
    xmlDoc *doc = xml_tree_parse(request->configuration, "domain");
    if (!doc)
        return error_set(err, ERROR_RESTORE_HOST_KIND,
                         "The configuration of %s is not that of a libvirt domain.", request->vm_name);
    bool *used = memory_array(request->n_networks + 1, sizeof *used);
    xmlNode *devices = xml_tree_child(xmlDocGetRootElement(doc), "devices");
    for (xmlNode *device = devices ? devices->children : NULL; device; device = device->next) {
        if (xml_tree_is(device, "interface"))
            check_interface(connection, device, request, used, missing);
    }
    int result = 0;
    for (size_t i = 0; i < request->n_networks && result == 0; i++) {
        if (!used[i])
            result = error_set(err, ERROR_REQUEST_INVALID, "No interface of %s is connected to %s.",
                               request->vm_name, request->networks[i]->from);
        else if (*missing && strcmp(*missing, request->networks[i]->to) == 0)
            result = error_set(err, ERROR_RESTORE_TARGET_MISSING, "There is no network %s on this host.",
                               *missing);
    }
    if (result == 0 && *missing && request->start)
        result =
            error_set(err, ERROR_RESTORE_TARGET_MISSING,
                      "%s is connected to the network %s, which this host does not have; name another one.",
                      request->vm_name, *missing);
    free(used);
    xmlFreeDoc(doc);
    if (result != 0) {
        free(*missing);
        *missing = NULL;
    }
    return result;
}
