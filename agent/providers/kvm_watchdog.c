#include "agent/providers/kvm_watchdog.h"
#include "base/log.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TRY_MS = 1000,
    PIPE_FD = 3,
    ARGUMENTS_MAX = 16,
    CALM = 'c',  /* what the watchdog is told: all is well */
    ARMED = 'a', /* the time begins, again */
};

extern char **environ;

/* From here to watchdog_run: in a fork of a process with threads, async-signal-safe calls only. */
static void act(char *const *argv, unsigned tries)
{
    if (argv[0] == NULL)
        return;
    for (unsigned i = 0; i < tries; i++) {
        pid_t child = fork();
        if (child == 0) {
            execve(argv[0], argv, environ);
            _exit(127);
        }
        int status = -1;
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (child > 0 && status == 0)
            return;
        poll(NULL, 0, TRY_MS);
    }
}

/* Nothing of the agent is kept: no connection, no lock, no terminal. */
static void let_go(int pipe_end)
{
    signal(SIGTERM, SIG_IGN); /* a service that stops sends it to all: this one ends when its work is done */
    signal(SIGINT, SIG_IGN);
    setsid();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR);
    if (pipe_end != PIPE_FD)
        dup2(pipe_end, PIPE_FD);
    for (int fd = 0; fd < PIPE_FD && null >= 0; fd++)
        dup2(null, fd);
    syscall(SYS_close_range, PIPE_FD + 1, ~0U, 0);
    fcntl(PIPE_FD, F_SETFD, FD_CLOEXEC);
}

static void watchdog_run(int pipe_end, char *const *argv, unsigned tries, int timeout_ms, bool idle)
{
    let_go(pipe_end);
    struct pollfd wait = {.fd = PIPE_FD, .events = POLLIN};
    char word = ARMED;
    while (word == ARMED) {
        int ready = poll(&wait, 1, idle ? -1 : timeout_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || read(PIPE_FD, &word, 1) != 1) {
            act(argv, tries);
            _exit(0);
        }
        idle = false;
    }
    _exit(0);
}

static int start(const char *const *argv, unsigned tries, int timeout_ms, bool idle)
{
    int ends[2];
    char *copy[ARGUMENTS_MAX] = {NULL};
    for (size_t i = 0; i + 1 < ARGUMENTS_MAX && argv[i]; i++)
        copy[i] = memory_copy_text(argv[i]);
    int result = KVM_WATCHDOG_NONE;
    if (pipe2(ends, O_CLOEXEC) == 0) {
        pid_t child = fork();
        if (child == 0) {
            /* Once more, so that nobody here has to wait for it. */
            if (fork() == 0) {
                close(ends[1]);
                watchdog_run(ends[0], copy, tries, timeout_ms, idle);
            }
            _exit(0);
        }
        close(ends[0]);
        while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
        if (child > 0)
            result = ends[1];
        else
            close(ends[1]);
    }
    if (result == KVM_WATCHDOG_NONE)
        log_event(LOG_WARNING, "watchdog of a guest could not be started", "reason=\"%s\"", strerror(errno));
    for (size_t i = 0; copy[i]; i++)
        free(copy[i]);
    return result;
}

int kvm_watchdog_start(const char *const *argv, unsigned tries, int timeout_ms)
{
    return start(argv, tries, timeout_ms, false);
}

int kvm_watchdog_start_idle(const char *const *argv, unsigned tries, int timeout_ms)
{
    return start(argv, tries, timeout_ms, true);
}

int kvm_watchdog_arm(int watchdog)
{
    const char word = ARMED;
    return write(watchdog, &word, 1) == 1 ? 0 : -1;
}

void kvm_watchdog_release(int *watchdog, bool calm)
{
    if (*watchdog == KVM_WATCHDOG_NONE)
        return;
    if (calm && write(*watchdog, &(char){CALM}, 1) != 1)
        log_event(LOG_WARNING, "watchdog of a guest could not be told", "reason=\"%s\"", strerror(errno));
    close(*watchdog);
    *watchdog = KVM_WATCHDOG_NONE;
}
