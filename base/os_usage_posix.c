#include "base/os_usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The second number of the file, in pages. */
static uint64_t resident_bytes(void)
{
    char line[128] = "";
    char *second = NULL;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fgets(line, sizeof line, file) != NULL) {
        strtoull(line, &second, 10);
    }
    fclose(file);
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t open_files(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        return 0;
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count > 3 ? count - 3 : 0; /* ".", "..", and what reads them */
}

struct os_usage os_usage_read(void)
{
    const uint64_t second_us = 1000000;
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return (struct os_usage){
        .resident_bytes = resident_bytes(),
        .open_files = open_files(),
        .cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * second_us +
                  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec),
    };
}
