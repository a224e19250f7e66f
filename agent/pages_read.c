#include "agent/pages_read.h"

#include "base/os_sandbox.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_FILE = 3, OUTPUT_BUFFER = 65536 };

const char pages_swap_partition[] = "swap-partition";
const char pages_swap_file[] = "swap-file";
const char pages_page_file[] = "page-file";
const char pages_asleep[] = "asleep";

const char *pages_kind_name(enum disk_pages_kind kind)
{
    return kind == DISK_PAGES_SWAP_PARTITION ? pages_swap_partition
           : kind == DISK_PAGES_SWAP_FILE    ? pages_swap_file
                                             : pages_page_file;
}

static int print_pages(const struct disk_pages *pages, struct error *err)
{
    size_t lines = 0;
    if (disk_pages_asleep(pages)) {
        puts(pages_asleep);
    }
    for (size_t i = 0; i < disk_pages_count(pages); i++) {
        const struct disk_pages_range *range = disk_pages_get(pages, i);
        if (range->length < PAGES_LENGTH_MIN) {
            continue;
        }
        if (++lines == PAGES_LINES_MAX) {
            return error_set(err, ERROR_LIMIT_EXCEEDED, "They are in too many pieces");
        }
        printf("%llu %llu %s\n", (unsigned long long)range->offset, (unsigned long long)range->length,
               pages_kind_name(range->kind));
    }
    return fflush(stdout) == 0 ? 0 : error_set(err, ERROR_TOOL_FAILED, "They could not be told");
}

static int read_and_print(const char *uri, struct error *err)
{
    static char buffer[OUTPUT_BUFFER];
    static const struct os_sandbox limits = {.memory_bytes = (uint64_t)512 << 20,
                                             .output_bytes = PAGES_LINES_MAX * PAGES_LINE_SIZE,
                                             .cpu_seconds = PAGES_SECONDS};
    os_sandbox_close_files(FIRST_FILE);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    struct disk_reader *reader = disk_reader_open_nbd(uri, NULL, err);
    if (reader == NULL || os_sandbox_enter(&limits, err) != 0) {
        return -1;
    }
    struct disk_pages *pages = disk_pages_find(reader, err);
    return pages != NULL ? print_pages(pages, err) : -1;
}

_Noreturn void pages_read(const char *uri)
{
    struct error err;
    int result = read_and_print(uri, &err);
    if (result != 0) {
        fprintf(stderr, "%s %s\n", err.message, err.cause);
    }
    _exit(result == 0 ? EXIT_SUCCESS : EXIT_FAILURE); /* what is left goes with the process */
}
