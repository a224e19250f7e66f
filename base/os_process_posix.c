#include "base/os_process.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LAST_WORDS_MAX = 8192, EXEC_FAILED_STATUS = 127 };

struct os_process {
    pid_t pid;
    bool ended;
    int status; /* once ended */
    int words;  /* memory file that takes standard error, and standard output unless it is wanted apart */
    int output; /* memory file that takes standard output, or -1 */
    char *name; /* argv[0] */
    char last_words[LAST_WORDS_MAX + 1];
};

/*
 * The spawner. PR_SET_PDEATHSIG follows the thread that forked, not the process: a child made by a worker
 * would be killed when that worker ends. So every child is made by one thread that lives as long as the
 * process.
 */
struct spawn_request {
    const char *const *argv;
    int output;
    int words;
    bool survives; /* the death of this process */
    pid_t pid;     /* the answer, or -1 with errnum */
    int errnum;
    bool done;
};

static pthread_once_t spawner_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t spawner_lock =
    PTHREAD_MUTEX_INITIALIZER; /* guards spawner_request and what it points to */
static pthread_cond_t spawner_changed = PTHREAD_COND_INITIALIZER;
static struct spawn_request *spawner_request;
static int spawner_error;

/* In the child, between fork and exec: async-signal-safe calls only. */
static void child_exec(const struct spawn_request *request, pid_t parent, int report)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (!request->survives) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
        dup2(request->output, STDOUT_FILENO) >= 0 && dup2(request->words, STDERR_FILENO) >= 0) {
        execvp(request->argv[0], (char *const *)(uintptr_t)request->argv);
    }
    int errnum = errno;
    ssize_t written = write(report, &errnum, sizeof errnum);
    (void)written;
    _exit(EXEC_FAILED_STATUS);
}

static void spawn(struct spawn_request *request)
{
    int report[2];
    request->pid = -1;
    if (pipe2(report, O_CLOEXEC) != 0) {
        request->errnum = errno;
        return;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        child_exec(request, parent, report[1]);
    }
    request->errnum = errno;
    close(report[1]);
    if (pid > 0) {
        int errnum = 0;
        ssize_t got;
        do {
            got = read(report[0], &errnum, sizeof errnum);
        } while (got < 0 && errno == EINTR);
        if (got == (ssize_t)sizeof errnum) {
            waitpid(pid, NULL, 0);
            request->errnum = errnum;
        } else {
            request->pid = pid;
        }
    }
    close(report[0]);
}

static void *spawner_thread(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&spawner_lock);
    for (;;) {
        while (spawner_request == NULL || spawner_request->done) {
            pthread_cond_wait(&spawner_changed, &spawner_lock);
        }
        spawn(spawner_request);
        spawner_request->done = true;
        pthread_cond_broadcast(&spawner_changed);
    }
    return NULL;
}

static void spawner_start(void)
{
    pthread_t thread;
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    spawner_error = pthread_create(&thread, NULL, spawner_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (spawner_error == 0) {
        pthread_setname_np(thread, "spawner");
        pthread_detach(thread);
    }
}

static void spawner_ask(struct spawn_request *request)
{
    pthread_once(&spawner_once, spawner_start);
    if (spawner_error != 0) {
        request->pid = -1;
        request->errnum = spawner_error;
        return;
    }
    pthread_mutex_lock(&spawner_lock);
    while (spawner_request != NULL) {
        pthread_cond_wait(&spawner_changed, &spawner_lock);
    }
    spawner_request = request;
    pthread_cond_broadcast(&spawner_changed);
    while (!request->done) {
        pthread_cond_wait(&spawner_changed, &spawner_lock);
    }
    spawner_request = NULL;
    pthread_cond_broadcast(&spawner_changed);
    pthread_mutex_unlock(&spawner_lock);
}

static void process_free(struct os_process *process)
{
    if (process->output >= 0) {
        close(process->output);
    }
    if (process->words >= 0) {
        close(process->words);
    }
    free(process->name);
    free(process);
}

static struct os_process *process_start(const char *const *argv, bool keep_output, bool survives,
                                        struct error *err)
{
    struct os_process *process = memory_zalloc(sizeof *process);
    process->name = memory_copy_text(argv[0]);
    process->words = memfd_create("words", MFD_CLOEXEC);
    process->output = keep_output ? memfd_create("output", MFD_CLOEXEC) : -1;
    if (process->words < 0 || (keep_output && process->output < 0)) {
        error_set_errno(err, ERROR_TOOL_FAILED, errno, "%s could not be started", argv[0]);
        process_free(process);
        return NULL;
    }
    struct spawn_request request = {
        .argv = argv,
        .words = process->words,
        .output = keep_output ? process->output : process->words,
        .survives = survives,
    };
    spawner_ask(&request);
    if (request.pid < 0) {
        error_set_errno(err, ERROR_TOOL_FAILED, request.errnum, "%s could not be started", argv[0]);
        process_free(process);
        return NULL;
    }
    process->pid = request.pid;
    return process;
}

struct os_process *os_process_start(const char *const *argv, struct error *err)
{
    return process_start(argv, false, false, err);
}

static void process_ended(struct os_process *process, int status)
{
    process->ended = true;
    process->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int os_process_wait(struct os_process *process, int *status, struct error *err)
{
    int raw;
    while (!process->ended) {
        if (waitpid(process->pid, &raw, 0) == process->pid) {
            process_ended(process, raw);
        } else if (errno != EINTR) {
            return error_set_errno(err, ERROR_TOOL_FAILED, errno, "The end of %s could not be awaited",
                                   process->name);
        }
    }
    *status = process->status;
    return 0;
}

int os_process_poll(struct os_process *process, int *status)
{
    int raw;
    if (!process->ended && waitpid(process->pid, &raw, WNOHANG) == process->pid) {
        process_ended(process, raw);
    }
    if (process->ended) {
        *status = process->status;
    }
    return process->ended ? 1 : 0;
}

const char *os_process_last_words(struct os_process *process)
{
    struct stat file;
    off_t start = fstat(process->words, &file) == 0 && file.st_size > LAST_WORDS_MAX
                      ? file.st_size - LAST_WORDS_MAX
                      : 0;
    ssize_t got = pread(process->words, process->last_words, LAST_WORDS_MAX, start);
    size_t length = got > 0 ? (size_t)got : 0;
    while (length > 0 && process->last_words[length - 1] == '\n') {
        length--;
    }
    process->last_words[length] = '\0';
    return process->last_words;
}

/* True when it ended in time. */
static bool process_await(struct os_process *process, unsigned timeout_ms)
{
    const struct timespec step = {.tv_nsec = 5 * 1000000};
    int status;
    for (unsigned waited_ms = 0;; waited_ms += 5) {
        if (os_process_poll(process, &status) == 1) {
            return true;
        }
        if (waited_ms >= timeout_ms) {
            return false;
        }
        nanosleep(&step, NULL);
    }
}

void os_process_stop(struct os_process *process, unsigned timeout_ms)
{
    if (process == NULL) {
        return;
    }
    int status;
    if (os_process_poll(process, &status) == 0) {
        kill(process->pid, SIGTERM);
        if (!process_await(process, timeout_ms)) {
            struct error ignored;
            kill(process->pid, SIGKILL);
            os_process_wait(process, &status, &ignored);
        }
    }
    process_free(process);
}

static int read_output(struct os_process *process, size_t limit, char **output, struct error *err)
{
    struct stat file;
    if (fstat(process->output, &file) != 0 || (size_t)file.st_size > limit) {
        return error_set(err, ERROR_TOOL_FAILED, "%s said more than %zu bytes", process->name, limit);
    }
    size_t length = (size_t)file.st_size;
    *output = memory_alloc(length + 1);
    ssize_t got = pread(process->output, *output, length, 0);
    (*output)[got > 0 ? (size_t)got : 0] = '\0';
    return 0;
}

/* It was waited for. Frees it. */
static int settle(struct os_process *process, int status, size_t limit, char **output, struct error *err)
{
    int result = 0;
    if (status != 0) {
        error_set(err, ERROR_TOOL_FAILED, "%s ended with status %d", process->name, status);
        result = error_set_cause(err, "%.400s", os_process_last_words(process));
    } else if (output != NULL) {
        result = read_output(process, limit, output, err);
    }
    process_free(process);
    return result;
}

static int run(const char *const *argv, size_t limit, char **output, bool survives, struct error *err)
{
    int status;
    struct os_process *process = process_start(argv, output != NULL, survives, err);
    if (process == NULL) {
        return -1;
    }
    if (os_process_wait(process, &status, err) != 0) {
        process_free(process);
        return -1;
    }
    return settle(process, status, limit, output, err);
}

int os_process_run_for(const char *const *argv, unsigned timeout_ms, size_t limit, char **output,
                       struct error *err)
{
    struct os_process *process = process_start(argv, output != NULL, false, err);
    if (process == NULL) {
        return -1;
    }
    if (!process_await(process, timeout_ms)) {
        os_process_stop(process, 0);
        return error_set(err, ERROR_TOOL_FAILED, "%s did not end within %u ms", argv[0], timeout_ms);
    }
    return settle(process, process->status, limit, output, err);
}

int os_process_run(const char *const *argv, size_t limit, char **output, struct error *err)
{
    return run(argv, limit, output, false, err);
}

int os_process_run_through(const char *const *argv, size_t limit, char **output, struct error *err)
{
    return run(argv, limit, output, true, err);
}
