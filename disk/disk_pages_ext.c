#include "base/bytes.h"
#include "base/memory.h"
#include "disk/disk_ext.h"
#include "disk/disk_pages_internal.h"
#include <stdlib.h>
#include <string.h>

enum {
    FSTAB_SIZE_MAX = 64 * 1024,
    FILES_MAX = 32, /* looked at in one file system */
};

/* Where distributions and administrators put them; a file system may be mounted below /var or /swap. */
static const char *const usual_paths[] = {"/swapfile",         "/swap.img", "/swap",         "/swapfile1",
                                          "/swapfile2",        "/swap0",    "/.swapfile",    "/swap/swapfile",
                                          "/swap/swap.img",    "/var/swap", "/var/swapfile", "/var/swap.img",
                                          "/var/swap/swapfile"};

struct search {
    struct disk_pages *pages;
    struct disk_ext ext;
    ext2_ino_t seen[FILES_MAX];
    size_t seen_count;
};

/* What goes from a file to the disk: its bytes from `start` to `end`. */
struct swap_file {
    struct search *search;
    uint64_t start;
    uint64_t end;
};

static bool add_run(void *cookie, uint64_t in_file, uint64_t in_volume, uint64_t length)
{
    const struct swap_file *file = cookie;
    uint64_t start = in_file < file->start ? file->start : in_file;
    uint64_t end = in_file + length < file->end ? in_file + length : file->end;
    if (start >= end)
        return true;
    return disk_pages_add(file->search->pages, file->search->ext.volume, DISK_PAGES_SWAP_FILE,
                          in_volume + (start - in_file), end - start);
}

static bool first_time(struct search *search, ext2_ino_t number)
{
    for (size_t i = 0; i < search->seen_count; i++) {
        if (search->seen[i] == number)
            return false;
    }
    if (search->seen_count == FILES_MAX)
        return false;
    search->seen[search->seen_count++] = number;
    return true;
}

static void add_swap_file(struct search *search, ext2_ino_t number, struct ext2_inode *inode,
                          const uint8_t *start, size_t length)
{
    struct disk_swap swap = disk_swap_parse(start, length, EXT2_I_SIZE(inode));
    if (swap.state == DISK_SWAP_ASLEEP)
        search->pages->asleep = true;
    if (swap.state != DISK_SWAP_READY)
        return;
    struct swap_file file = {search, swap.offset, swap.offset + swap.length};
    size_t before = search->pages->count;
    if (!disk_ext_walk_file(&search->ext, number, inode, add_run, &file) || search->ext.stale)
        search->pages->count = before; /* what the map says may be another file's by now */
}

static void look_at_path(struct search *search, const char *path)
{
    ext2_ino_t number = 0;
    struct ext2_inode inode;
    if (!disk_ext_lookup(&search->ext, path, &number) || !first_time(search, number))
        return;
    search->ext.stale = false;
    uint8_t *start = memory_alloc(DISK_SWAP_PAGE_MAX);
    size_t length = 0;
    if (disk_ext_read_file_inode(&search->ext, number, &inode) &&
        disk_ext_read_file(&search->ext, number, &inode, start, DISK_SWAP_PAGE_MAX, &length))
        add_swap_file(search, number, &inode, start, length);
    free(start);
}

static void look_at_fstab_line(struct search *search, char *line)
{
    char *rest = NULL;
    char *what = strtok_r(line, " \t\r", &rest);
    if (!what || what[0] != '/')
        return;
    const char *where = strtok_r(NULL, " \t\r", &rest);
    const char *type = strtok_r(NULL, " \t\r", &rest);
    if (!where || !type || strcmp(type, "swap") != 0)
        return;
    bytes_unescape_octal(what);
    look_at_path(search, what);
}

static void look_at_fstab(struct search *search)
{
    ext2_ino_t number = 0;
    struct ext2_inode inode;
    char *text = memory_alloc(FSTAB_SIZE_MAX + 1);
    size_t length = 0;
    if (disk_ext_lookup(&search->ext, "/etc/fstab", &number) &&
        disk_ext_read_file_inode(&search->ext, number, &inode) &&
        disk_ext_read_file(&search->ext, number, &inode, text, FSTAB_SIZE_MAX, &length)) {
        text[length] = '\0';
        char *rest = NULL;
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            look_at_fstab_line(search, line);
    }
    free(text);
}

void disk_pages_find_ext(struct disk_pages *pages, struct disk_volume *volume)
{
    struct search search = {.pages = pages};
    if (!disk_ext_open(&search.ext, volume))
        return;
    for (size_t i = 0; i < sizeof usual_paths / sizeof *usual_paths; i++)
        look_at_path(&search, usual_paths[i]);
    look_at_fstab(&search);
    disk_ext_close(&search.ext);
}
