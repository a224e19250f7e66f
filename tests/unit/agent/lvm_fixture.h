/* LVM's programs for tests: they say what a test wants and do nothing. */
#ifndef HOLDFAST_TESTS_LVM_FIXTURE_H
#define HOLDFAST_TESTS_LVM_FIXTURE_H

#include "provider_fixture.h"
#include <sys/stat.h>

static const uint64_t mib = 1024 * 1024;

/* Programs that note how they were called; lvs says what the test wants. */
static inline int make_programs(void **state)
{
    static const char *const names[] = {"lvs", "lvcreate", "lvremove", "lvextend", "lvchange"};
    if (make_directory(state) != 0)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char script[512];
        snprintf(script, sizeof script,
                 "#!/bin/sh\necho \"%s $*\" >>%s/calls\n[ -e %s/%s.says ] && cat %s/%s.says\n"
                 "[ ! -e %s/%s.fails ] || { echo no luck >&2; exit 5; }\n",
                 names[i], directory, directory, names[i], directory, names[i], directory, names[i]);
        write_text(in_directory(names[i]), script);
        if (chmod(in_directory(names[i]), 0700) != 0)
            return -1;
    }
    const char *path = getenv("PATH");
    char *list = malloc(strlen(path ? path : "") + sizeof directory + 2);
    sprintf(list, "%s:%s", directory, path ? path : "");
    int result = setenv("PATH", list, 1);
    free(list);
    return result;
}

#define VOLUME(name, attributes, minor, origin, pool, data)                                                  \
    "{\"vg_name\":\"vg0\", \"lv_name\":\"" name "\", \"lv_attr\":\"" attributes                              \
    "\", \"lv_size\":\"1073741824\", \"lv_kernel_major\":\"253\", \"lv_kernel_minor\":\"" minor              \
    "\", \"origin\":\"" origin "\", \"pool_lv\":\"" pool                                                     \
    "\", \"vg_free\":\"10737418240\", \"vg_size\":\"21474836480\", \"vg_extent_size\":\"4194304\", "         \
    "\"data_percent\":\"" data "\", \"metadata_percent\":\"\"}"
#define REPORT(volumes) "{\"report\": [{\"lv\": [" volumes "]}], \"log\": []}"

static inline void say(const char *lvs)
{
    struct error err;
    os_path_remove(in_directory("calls"), &err);
    write_text(in_directory("lvs.says"), lvs);
}

#endif
