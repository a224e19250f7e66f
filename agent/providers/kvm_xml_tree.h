/*
 * Small helpers around libxml2's tree, for the files that read and write libvirt's XML.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_XML_TREE_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_XML_TREE_H

#include <libxml/tree.h>
#include <stdbool.h>

/* The document, if its root element is called that; NULL otherwise. xmlFreeDoc. Nothing is fetched and no
 * entity is expanded: the text may come from another machine. */
xmlDoc *xml_tree_parse(const char *text, const char *root);
bool xml_tree_is(const xmlNode *node, const char *name);
/* The first child element of that name, or NULL. parent may be NULL. */
xmlNode *xml_tree_child(const xmlNode *parent, const char *name);
/* malloc'd; NULL when there is no such attribute or no node. */
char *xml_tree_attribute(const xmlNode *node, const char *name);
bool xml_tree_attribute_is(const xmlNode *node, const char *name, const char *value);
/* malloc'd; NULL when there is no node. */
char *xml_tree_text(const xmlNode *node);
void xml_tree_set_attribute(xmlNode *node, const char *name, const char *value);
void xml_tree_set_text(xmlNode *node, const char *text);
/* The child element of that name, made when it is missing. */
xmlNode *xml_tree_require(xmlNode *parent, const char *name);
/* Remove every child element of that name. */
void xml_tree_remove(xmlNode *parent, const char *name);

#endif
