#include "disk/disk_file.h"
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

int disk_file_size(int fd, const char *path, uint64_t *size, struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The size of %s could not be read.", path);
    if (S_ISREG(info.st_mode)) {
        *size = (uint64_t)info.st_size;
        return 0;
    }
    if (!S_ISBLK(info.st_mode))
        return error_set(err, ERROR_DISK_UNSUPPORTED, "%s is neither a file nor a block device.", path);
    if (ioctl(fd, BLKGETSIZE64, size) != 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno,
                               "The size of the device %s could not be read.", path);
    return 0;
}
