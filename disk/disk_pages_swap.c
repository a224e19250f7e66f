#include "base/bytes.h"
#include "base/memory.h"
#include "disk/disk_pages_internal.h"
#include <stdlib.h>
#include <string.h>

enum {
    SIGNATURE_SIZE = 10, /* it ends the first page */
    BOOT_SIZE = 1024,    /* left to boot loaders; mkswap(8) writes zeros */
    VERSION = BOOT_SIZE,
    LAST_PAGE = BOOT_SIZE + 4,
    BAD_PAGES = BOOT_SIZE + 8,
    PADDING = BOOT_SIZE + 44, /* behind the UUID and the label */
    RESUME_NOTES = 64,        /* before the signature; the kernel's struct swsusp_header stays there */
};

/* Instead of "SWAPSPACE2", padded with zeros: the kernel's kernel/power/swap.c and user.c, and older ones. */
static const char *const asleep_signatures[] = {"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001",
                                                "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"};

static enum disk_swap_state signature_state(const uint8_t *signature)
{
    if (memcmp(signature, "SWAPSPACE2", SIGNATURE_SIZE) == 0)
        return DISK_SWAP_READY;
    for (size_t i = 0; i < sizeof asleep_signatures / sizeof *asleep_signatures; i++) {
        if (memcmp(signature, asleep_signatures[i], strlen(asleep_signatures[i])) == 0)
            return DISK_SWAP_ASLEEP;
    }
    return DISK_SWAP_NONE;
}

/* mkswap writes the whole page. What is not zero may be of something that was made here later and left the
 * signature in place. Areas with bad pages are left alone. */
static bool header_is_sound(const uint8_t *page, size_t page_size)
{
    return bytes_are_zero(page, BOOT_SIZE) && bytes_get_u32(page + VERSION) == 1 &&
           bytes_get_u32(page + BAD_PAGES) == 0 &&
           bytes_are_zero(page + PADDING, page_size - RESUME_NOTES - PADDING);
}

struct disk_swap disk_swap_parse(const uint8_t *start, size_t length, uint64_t area)
{
    struct disk_swap swap = {DISK_SWAP_NONE, 0, 0};
    for (size_t page = DISK_SWAP_PAGE_MIN; page <= DISK_SWAP_PAGE_MAX && page <= length; page *= 2) {
        swap.state = signature_state(start + page - SIGNATURE_SIZE);
        if (swap.state == DISK_SWAP_NONE)
            continue;
        if (swap.state == DISK_SWAP_ASLEEP)
            return swap;
        uint64_t last_page = bytes_get_u32(start + LAST_PAGE);
        if (!header_is_sound(start, page) || last_page == 0 || last_page >= area / page) {
            swap.state = DISK_SWAP_NONE;
            return swap;
        }
        swap.offset = page;
        swap.length = last_page * page;
        return swap;
    }
    return swap;
}

/* What may have been made on a former swap partition without a change of its first page, or with one in an
 * area that mkswap leaves to others. */
static bool is_something_else(struct disk_volume *volume)
{
    static const struct {
        uint32_t offset;
        uint8_t length;
        const char *bytes;
    } marks[] = {
        {4096, 4, "\xfc\x4e\x2b\xa9"},                                   /* Linux MD 1.2 */
        {4096 + 24, 4, "\xc6\x85\x73\xf6"},                              /* bcache, bcachefs */
        {8192 + 52, 5, "ReIsE"},                                         /* ReiserFS 3.5 */
        {16384, 12, "\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"}, /* ZFS: a label's list of pairs */
        {32768, 4, "JFS1"},
        {32769, 5, "CD001"},            /* ISO 9660 */
        {32769, 5, "BEA01"},            /* UDF */
        {65536, 4, "\x01\x16\x19\x70"}, /* GFS2 */
        {65536 + 52, 5, "ReIsE"},
        {65536 + 64, 8, "_BHRfS_M"}, /* Btrfs */
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        uint8_t found[16];
        if (disk_volume_read(volume, marks[i].offset, found, marks[i].length) &&
            memcmp(found, marks[i].bytes, marks[i].length) == 0)
            return true;
    }
    return false;
}

bool disk_pages_find_swap(struct disk_pages *pages, struct disk_volume *volume)
{
    size_t length = volume->length < DISK_SWAP_PAGE_MAX ? (size_t)volume->length : DISK_SWAP_PAGE_MAX;
    uint8_t *start = memory_alloc(DISK_SWAP_PAGE_MAX);
    struct disk_swap swap = {DISK_SWAP_NONE, 0, 0};
    if (disk_volume_read(volume, 0, start, length))
        swap = disk_swap_parse(start, length, volume->length);
    free(start);
    if (swap.state == DISK_SWAP_ASLEEP)
        pages->asleep = true;
    if (swap.state == DISK_SWAP_READY && !is_something_else(volume) && !volume->failed)
        disk_pages_add(pages, volume, DISK_PAGES_SWAP_PARTITION, swap.offset, swap.length);
    return swap.state != DISK_SWAP_NONE;
}
