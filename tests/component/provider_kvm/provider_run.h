/*
 * What the tests of the KVM provider share: the provider, the VM, and backups of it, each compared with what
 * the server would have by then.
 */
#ifndef HOLDFAST_TESTS_PROVIDER_RUN_H
#define HOLDFAST_TESTS_PROVIDER_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/providers/kvm_backup.h"
#include "agent/providers/provider_list.h"
#include "base/memory.h"

enum { MIB = 1024 * 1024, EXTENTS = 64, DISKS = 2 };

extern const char server_id[];
extern const atomic_bool not_cancelled;
extern const char *vm_name;
extern char vm_uuid[VIR_UUID_STRING_BUFLEN];
extern virDomainPtr vm;
extern void *provider;
extern struct config *config;
extern char *tracking; /* of the last committed backup */
extern char *metadata;
extern uint64_t sizes[DISKS]; /* of its disks */
extern char *replica[DISKS];  /* raw files: what the server would have */
extern int jobs;

#define check_ok(call, err)                                                                                  \
    do {                                                                                                     \
        char text_[3 * ERROR_TEXT_MAX];                                                                      \
        if ((call) != 0)                                                                                     \
            fail_msg("%s", error_format(&(err), text_, sizeof text_));                                       \
    } while (0)

struct run {
    char job[40];
    struct provider_backup *backup;
    Holdfast__BackupBeginReply *reply;
};

void open_provider(const char *scratch_max);
void close_provider(void);
void begin(struct run *run, const char *consistency, bool incremental, struct error *err);
void end(struct run *run, bool committed);
uint64_t transfer(struct run *run, size_t disk);
void compare(struct run *run, size_t disk);
uint64_t back_up(const char *consistency, bool incremental, bool expect_incremental);
void nothing_is_left(void);

#endif
