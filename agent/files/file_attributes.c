#include "agent/files/file_attributes.h"
#include "agent/files/tar_header.h"
#include "base/bytes.h"
#include "base/memory.h"
#include <errno.h>
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/xattr.h>

enum { ACL_TEXT_MAX = 1024 * 1024, KEYWORD_SIZE = 300 };

static const char *tag_name(unsigned tag)
{
    switch (tag) {
    case ACL_USER_OBJ:
    case ACL_USER:
        return "user";
    case ACL_GROUP_OBJ:
    case ACL_GROUP:
        return "group";
    case ACL_MASK:
        return "mask";
    case ACL_OTHER:
        return "other";
    default:
        return NULL;
    }
}

int file_attributes_acl(const void *bytes, size_t length, struct buffer *out)
{
    struct reader reader;
    reader_init(&reader, bytes, length);
    if (reader_u32(&reader) != POSIX_ACL_XATTR_VERSION)
        return -1;
    while (reader_left(&reader) > 0) {
        unsigned tag = reader_u16(&reader);
        unsigned permissions = reader_u16(&reader);
        uint32_t id = reader_u32(&reader);
        const char *name = tag_name(tag);
        char number[16] = "";
        if (reader_failed(&reader) || !name)
            return -1;
        if (tag == ACL_USER || tag == ACL_GROUP)
            snprintf(number, sizeof number, "%u", id);
        if (buffer_append_format(out, "%s%s:%s:%c%c%c", out->length > 0 ? "," : "", name, number,
                                 permissions & ACL_READ ? 'r' : '-', permissions & ACL_WRITE ? 'w' : '-',
                                 permissions & ACL_EXECUTE ? 'x' : '-') != 0)
            return -1;
    }
    return 0;
}

static ssize_t list_names(int fd, const char *path, char *names, size_t size)
{
    return fd >= 0 ? flistxattr(fd, names, size) : llistxattr(path, names, size);
}

static ssize_t get_value(int fd, const char *path, const char *name, void *value, size_t size)
{
    return fd >= 0 ? fgetxattr(fd, name, value, size) : lgetxattr(path, name, value, size);
}

static int add_acl(const char *keyword, const void *value, size_t length, struct buffer *out)
{
    struct buffer text;
    buffer_init(&text, ACL_TEXT_MAX);
    int result = file_attributes_acl(value, length, &text);
    if (result == 0)
        result = tar_header_attribute(out, keyword, text.data, text.length);
    buffer_free(&text);
    return result;
}

/* What the kernel alone looks after is not archived. */
static int add_attribute(const char *name, const void *value, size_t length, struct buffer *out)
{
    char keyword[KEYWORD_SIZE];
    if (strcmp(name, "system.posix_acl_access") == 0)
        return add_acl("SCHILY.acl.access", value, length, out);
    if (strcmp(name, "system.posix_acl_default") == 0)
        return add_acl("SCHILY.acl.default", value, length, out);
    if (strncmp(name, "system.", 7) == 0)
        return 0;
    if (strchr(name, '='))
        return -1; /* the record would have another name */
    snprintf(keyword, sizeof keyword, "SCHILY.xattr.%s", name);
    return tar_header_attribute(out, keyword, value, length);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* By name: the same attributes always give the same bytes. */
static int add_all(int fd, const char *path, const char *names, size_t length, struct buffer *out)
{
    size_t count = 0;
    const char **list = memory_array(length + 1, sizeof *list);
    char *value = memory_alloc(XATTR_SIZE_MAX);
    int result = 0;
    for (const char *name = names; name < names + length; name += strlen(name) + 1)
        list[count++] = name;
    qsort(list, count, sizeof *list, compare_names);
    for (size_t i = 0; i < count && result == 0; i++) {
        ssize_t got = get_value(fd, path, list[i], value, XATTR_SIZE_MAX);
        if (got < 0)
            result = errno == ENODATA ? 0 : errno;
        else if (add_attribute(list[i], value, (size_t)got, out) != 0)
            result = E2BIG;
    }
    free(value);
    free(list);
    return result;
}

int file_attributes_read(int fd, const char *path, struct buffer *out)
{
    char names[4096];
    ssize_t length = list_names(fd, path, names, sizeof names - 1);
    if (length == 0 || (length < 0 && errno == ENOTSUP))
        return 0;
    if (length > 0) {
        names[length] = '\0';
        return add_all(fd, path, names, (size_t)length, out);
    }
    if (errno != ERANGE)
        return errno;
    char *many = memory_zalloc(XATTR_LIST_MAX + 1);
    length = list_names(fd, path, many, XATTR_LIST_MAX);
    int result = length < 0 ? errno : add_all(fd, path, many, (size_t)length, out);
    free(many);
    return result;
}
