#include "agent/providers/kvm_xml_tree.h"
#include "base/memory.h"
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

enum { XML_LIMIT = 16 * 1024 * 1024 };

xmlDoc *xml_tree_parse(const char *text, const char *root)
{
    size_t length = strlen(text);
    if (length > XML_LIMIT)
        return NULL;
    xmlDoc *doc =
        xmlReadMemory(text, (int)length, NULL, NULL,
                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS);
    const xmlNode *top = doc ? xmlDocGetRootElement(doc) : NULL;
    if (top && xml_tree_is(top, root))
        return doc;
    xmlFreeDoc(doc);
    return NULL;
}

bool xml_tree_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

xmlNode *xml_tree_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (xml_tree_is(node, name))
            return node;
    }
    return NULL;
}

char *xml_tree_attribute(const xmlNode *node, const char *name)
{
    xmlChar *value = node ? xmlGetProp(node, (const xmlChar *)name) : NULL;
    char *copy = memory_copy_text((const char *)value);
    xmlFree(value);
    return copy;
}

bool xml_tree_attribute_is(const xmlNode *node, const char *name, const char *value)
{
    char *text = xml_tree_attribute(node, name);
    bool same = text && strcmp(text, value) == 0;
    free(text);
    return same;
}

char *xml_tree_text(const xmlNode *node)
{
    xmlChar *content = node ? xmlNodeGetContent(node) : NULL;
    char *copy = memory_copy_text((const char *)content);
    xmlFree(content);
    return copy;
}

void xml_tree_set_attribute(xmlNode *node, const char *name, const char *value)
{
    xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

void xml_tree_set_text(xmlNode *node, const char *text)
{
    xmlNodeSetContent(node, NULL);
    xmlNodeAddContent(node, (const xmlChar *)text); /* escapes, where xmlNodeSetContent would parse */
}

xmlNode *xml_tree_require(xmlNode *parent, const char *name)
{
    xmlNode *node = xml_tree_child(parent, name);
    return node ? node : xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

void xml_tree_remove(xmlNode *parent, const char *name)
{
    for (xmlNode *node = xml_tree_child(parent, name); node; node = xml_tree_child(parent, name)) {
        xmlUnlinkNode(node);
        xmlFreeNode(node);
    }
}
