/* What a process in the sandbox can't do any more, and programs that don't end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/os_process.h"
#include "base/os_sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_refused(int result)
{
    return result == -1 && errno == EPERM;
}

/* In a process of its own; the number of the first thing that is still possible, 0 for none. */
static int try_everything(int pipe_end)
{
    static const struct os_sandbox limits = {
        .memory_bytes = (uint64_t)512 << 20, .output_bytes = 4096, .cpu_seconds = 10};
    struct error err;
    bool was_root = geteuid() == 0;
    if (os_sandbox_enter(&limits, &err) != 0) {
        return 1;
    }
    if (!is_refused(open("/dev/null", O_RDONLY | O_CLOEXEC))) {
        return 2;
    }
    if (!is_refused(socket(AF_UNIX, SOCK_STREAM, 0))) {
        return 3;
    }
    if (!is_refused(fork())) {
        return 4;
    }
    if (!is_refused(execl("/bin/true", "true", (char *)NULL))) {
        return 5;
    }
    if (was_root && !is_refused(setuid(0))) {
        return 6;
    }
    return write(pipe_end, "x", 1) == 1 ? 0 : 7; /* what is open stays */
}

static void nothing_new_is_possible(void **state)
{
    (void)state;
    int ends[2];
    int status = 0;
    char said = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(try_everything(ends[1]));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(read(ends[0], &said, 1), 1);
    close(ends[0]);
    close(ends[1]);
}

static void programs_are_ended_in_time(void **state)
{
    (void)state;
    static const char *const sleeper[] = {"sleep", "60", NULL};
    static const char *const quick[] = {"echo", "word", NULL};
    struct error err;
    char *output = NULL;
    int64_t begun = clock_monotonic_ms();
    assert_int_equal(os_process_run_for(sleeper, 100, 1024, NULL, &err), -1);
    assert_int_equal(err.code, ERROR_TOOL_FAILED);
    assert_true(clock_monotonic_ms() - begun < 30000);
    assert_int_equal(os_process_run_for(quick, 30000, 1024, &output, &err), 0);
    assert_string_equal(output, "word\n");
    free(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_new_is_possible),
        cmocka_unit_test(programs_are_ended_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
