/*
 * Extended attributes and access control lists of a file as records of an archive: SCHILY.xattr.NAME, and for
 * the lists the text that SCHILY.acl.access and SCHILY.acl.default take (acl(5), tar(5) of libarchive).
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_ATTRIBUTES_H
#define HOLDFAST_AGENT_FILES_FILE_ATTRIBUTES_H

#include "base/buffer.h"

/* Of an open file (fd ≥ 0), or of what is at the path, itself if that is a link. 0, or an errno when they
 * can't be read or are too long; a file system without them has none. */
int file_attributes_read(int fd, const char *path, struct buffer *out);

/* The text of an access control list as it is in system.posix_acl_access: "user::rw-,user:1000:r--,…". -1
 * when it is none. Pure. */
int file_attributes_acl(const void *bytes, size_t length, struct buffer *out);

#endif
