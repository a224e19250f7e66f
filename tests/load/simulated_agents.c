/*
 * Many hosts in one process: the load test's agents. They speak the real protocol over real TLS.
 *
 *   simulated_agents enrol SERVER:PORT DIR FIRST COUNT < TOKENS   enrols hosts FIRST … in DIR/host-NNNN
 *   simulated_agents run DIR FIRST COUNT VMS                      hosts with VMS VMs each that back up
 *   simulated_agents idle DIR FIRST COUNT VMS                     hosts that only stay connected
 *   simulated_agents check FILE VM                                compares a raw disk; prints its epoch
 *
 * `run` and `idle` obey lines on standard input: "state" (answers "REGISTERED LOST"), "drop N" (cuts the
 * connections of N hosts), "delay MS" (of every chunk that is read), and end with it.
 */
#include "agent/enrol.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/os_service.h"
#include "simulated_host.h"
#include "synthetic_disk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 512, NAME_SIZE = 32 };

static char enrolled_name[NAME_SIZE];

/* What agent/enrol.c asks for: every host has a name of its own. */
int gethostname(char *name, size_t length);
int gethostname(char *name, size_t length)
{
    snprintf(name, length, "%s", enrolled_name);
    return 0;
}

static int fail(const char *what, const struct error *err)
{
    fprintf(stderr, "simulated_agents: %s: %s (%s)\n", what, err->message, err->cause);
    return EXIT_FAILURE;
}

static void host_name(unsigned number, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "host-%04u", number);
}

static int enrol_hosts(const char *server, const char *directory, unsigned first, unsigned count)
{
    char token[LINE_SIZE];
    struct error err;
    for (unsigned i = first; i < first + count; i++) {
        if (fgets(token, sizeof token, stdin) == NULL) {
            fprintf(stderr, "simulated_agents: there are not enough tokens\n");
            return EXIT_FAILURE;
        }
        token[strcspn(token, "\n")] = '\0';
        host_name(i, enrolled_name);
        char *path = os_path_join(directory, enrolled_name);
        struct enrol_options options = {.server = server, .token = token, .directory = path};
        int result = enrol(&options, &err);
        free(path);
        if (result != 0) {
            return fail(enrolled_name, &err);
        }
    }
    return EXIT_SUCCESS;
}

static void obey(struct simulated_host **hosts, unsigned count)
{
    char line[LINE_SIZE];
    unsigned number;
    unsigned next = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "state\n") == 0) {
            printf("%u %u\n", simulated_hosts_registered(), simulated_hosts_lost());
            fflush(stdout);
        } else if (sscanf(line, "drop %u", &number) == 1) {
            for (; number > 0; number--) {
                simulated_host_drop(hosts[next++ % count]);
            }
        } else if (sscanf(line, "delay %u", &number) == 1) {
            atomic_store(&synthetic_delay_ms, number);
        }
    }
}

static int run_hosts(const char *directory, unsigned first, unsigned count, unsigned vms, bool idle)
{
    struct error err;
    struct simulated_host **hosts = memory_array(count, sizeof(struct simulated_host *));
    struct loop *loop = loop_create("hosts", &err);
    int status = loop != NULL ? EXIT_SUCCESS : fail("loop", &err);
    for (unsigned i = 0; i < count && status == EXIT_SUCCESS; i++) {
        char name[NAME_SIZE];
        host_name(first + i, name);
        char *path = os_path_join(directory, name);
        struct simulated_host_options options = {.loop = loop,
                                                 .directory = path,
                                                 .name = name,
                                                 .first_vm = (first + i) * vms,
                                                 .vms = vms,
                                                 .idle = idle};
        hosts[i] = simulated_host_create(&options, &err);
        status = hosts[i] != NULL ? EXIT_SUCCESS : fail(name, &err);
        free(path);
    }
    if (status == EXIT_SUCCESS) {
        obey(hosts, count);
    }
    for (unsigned i = 0; i < count; i++) {
        if (hosts[i] != NULL) {
            simulated_host_destroy(hosts[i]);
        }
    }
    loop_destroy(loop);
    free(hosts);
    return status;
}

static int check_disk(const char *path, unsigned vm)
{
    unsigned epoch;
    if (synthetic_check(path, vm, &epoch) != 0) {
        return EXIT_FAILURE;
    }
    printf("%u\n", epoch);
    return EXIT_SUCCESS;
}

static unsigned number_of(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    log_init("agents", LOG_ERROR);
    os_service_ignore_broken_pipes();
    if (argc == 6 && strcmp(argv[1], "enrol") == 0) {
        return enrol_hosts(argv[2], argv[3], number_of(argv[4]), number_of(argv[5]));
    }
    if (argc == 6 && (strcmp(argv[1], "run") == 0 || strcmp(argv[1], "idle") == 0)) {
        return run_hosts(argv[2], number_of(argv[3]), number_of(argv[4]), number_of(argv[5]),
                         argv[1][0] == 'i');
    }
    if (argc == 4 && strcmp(argv[1], "check") == 0) {
        return check_disk(argv[2], number_of(argv[3]));
    }
    fprintf(stderr, "usage: simulated_agents enrol|run|idle|check ...\n");
    return EXIT_FAILURE;
}
