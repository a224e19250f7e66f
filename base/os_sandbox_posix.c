#include "base/os_sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NOBODY = 65534,
    FILES = 4, /* those that are open: standard ones and one more */
};

#if defined(__x86_64__)
#define SANDBOX_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "Which system calls a process in the sandbox may make is not known for this processor."
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_SANITIZER 1
#endif
#endif

#define LOAD(field)                                                                                          \
    {                                                                                                        \
        BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, field)                                 \
    }
#define GIVE(answer)                                                                                         \
    {                                                                                                        \
        BPF_RET | BPF_K, 0, 0, (answer)                                                                      \
    }
/* Whoever asks for this call gets it. */
#define ALLOW(call) {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (call)}, GIVE(SECCOMP_RET_ALLOW)

/* Memory, time, what is open already, and the end. */
static const struct sock_filter sandbox_filter[] = {
    LOAD(arch),
    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SANDBOX_ARCHITECTURE},
    GIVE(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    ALLOW(SYS_read),
    ALLOW(SYS_write),
    ALLOW(SYS_readv),
    ALLOW(SYS_writev),
    ALLOW(SYS_recvfrom),
    ALLOW(SYS_recvmsg),
    ALLOW(SYS_sendto),
    ALLOW(SYS_sendmsg),
    ALLOW(SYS_ppoll),
#ifdef SYS_poll
    ALLOW(SYS_poll),
#endif
    ALLOW(SYS_fstat),
    ALLOW(SYS_lseek),
    ALLOW(SYS_close),
    ALLOW(SYS_mmap),
    ALLOW(SYS_munmap),
    ALLOW(SYS_mremap),
    ALLOW(SYS_mprotect),
    ALLOW(SYS_madvise),
    ALLOW(SYS_brk),
    ALLOW(SYS_futex),
    ALLOW(SYS_sched_yield),
    ALLOW(SYS_getpid),
    ALLOW(SYS_gettid),
    ALLOW(SYS_getrandom),
    ALLOW(SYS_clock_gettime),
    ALLOW(SYS_gettimeofday),
    ALLOW(SYS_clock_nanosleep),
    ALLOW(SYS_rt_sigaction),
    ALLOW(SYS_rt_sigprocmask),
    ALLOW(SYS_rt_sigreturn),
    ALLOW(SYS_sigaltstack),
    ALLOW(SYS_restart_syscall),
    ALLOW(SYS_exit),
    ALLOW(SYS_exit_group),
    GIVE(SECCOMP_RET_ERRNO | EPERM),
};

static int sandbox_failed(const char *what, struct error *err)
{
    return error_set_errno(err, ERROR_TOOL_FAILED, errno, "%s could not be given up", what);
}

void os_sandbox_close_files(unsigned first)
{
    (void)close_range(first, ~0u, 0); /* a kernel without it: what is open is closed at exec already */
}

static int sandbox_limit(__rlimit_resource_t resource, uint64_t most)
{
    const struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    return setrlimit(resource, &limit);
}

static int sandbox_limits(const struct os_sandbox *limits, struct error *err)
{
    int failed = sandbox_limit(RLIMIT_CPU, limits->cpu_seconds) |
                 sandbox_limit(RLIMIT_FSIZE, limits->output_bytes) | sandbox_limit(RLIMIT_NOFILE, FILES) |
                 sandbox_limit(RLIMIT_CORE, 0);
#ifndef SANDBOX_SANITIZER
    failed |= sandbox_limit(RLIMIT_AS, limits->memory_bytes);
#endif
    return failed != 0 ? sandbox_failed("Memory and time without limit", err) : 0;
}

/* Somebody who is not root can't, and has no need to. */
static int sandbox_become_nobody(struct error *err)
{
    if (geteuid() != 0) {
        return 0;
    }
    return setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
                   setresuid(NOBODY, NOBODY, NOBODY) != 0
               ? sandbox_failed("The rights of root", err)
               : 0;
}

int os_sandbox_enter(const struct os_sandbox *limits, struct error *err)
{
    const struct sock_fprog program = {.len = sizeof sandbox_filter / sizeof sandbox_filter[0],
                                       .filter = (struct sock_filter *)(uintptr_t)sandbox_filter};
    if (sandbox_limits(limits, err) != 0 || sandbox_become_nobody(err) != 0) {
        return -1;
    }
    /* a change of the user undoes what os_process asked for */
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
                   prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0
               ? sandbox_failed("The use of system calls", err)
               : 0;
}
