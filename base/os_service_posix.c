#include "base/os_service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void os_service_keep_standard_files(void)
{
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
        if (fcntl(number, F_GETFD) == -1 && errno == EBADF &&
            open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY) != number) {
            abort(); /* the lowest that is free is taken, and /dev/null is there */
        }
    }
}

void os_service_ignore_broken_pipes(void)
{
    signal(SIGPIPE, SIG_IGN);
}

void os_service_start(void)
{
    sigset_t ending;
    ending_signals(&ending);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    os_service_ignore_broken_pipes();
}

void os_service_ready(void)
{
    static const char state[] = "READY=1";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path) {
        return;
    }
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        /* Nobody is harmed when the manager does not listen. */
        ssize_t ignored = sendto(fd, state, sizeof state - 1, MSG_NOSIGNAL, (struct sockaddr *)&address,
                                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
        (void)ignored;
        close(fd);
    }
}

void os_service_wait(void)
{
    sigset_t ending;
    int received;
    ending_signals(&ending);
    sigwait(&ending, &received);
}
