#include "lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/os_file.h"
#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 1800, STEP_MS = 100, OUTPUT_MAX = 65536, ANSWER_S = 60, LISTEN_MS = 180000 };

virConnectPtr lab_connection;
char lab_directory[64];

static void silent(void *cookie, virErrorPtr error)
{
    (void)cookie, (void)error;
}

int lab_open(void)
{
    const char *uri = getenv("HOLDFAST_LAB_URI");
    virSetErrorFunc(NULL, silent);
    lab_connection = uri ? virConnectOpen(uri) : NULL;
    strcpy(lab_directory, "/tmp/holdfast-lab-XXXXXX");
    /* QEMU may run as a user of its own, who must get to its scratch below. */
    return lab_connection && mkdtemp(lab_directory) && chmod(lab_directory, 0711) == 0 ? 0 : -1;
}

void lab_close(void)
{
    struct error err;
    virConnectClose(lab_connection);
    (void)os_path_remove_tree(lab_directory, &err);
}

virDomainPtr lab_domain(const char *name)
{
    virDomainPtr domain = virDomainLookupByName(lab_connection, name);
    assert_non_null(domain);
    return domain;
}

/* libvirt sends a command only after the agent has said within five seconds that it listens: one that is
 * refused before its own time is over was not sent. */
static json_t *ask_agent(virDomainPtr domain, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    char *answer = NULL;
    int64_t limit = clock_monotonic_ms() + LISTEN_MS;
    int64_t asked;
    do {
        asked = clock_monotonic_ms();
        answer = virDomainQemuAgentCommand(domain, text, ANSWER_S, 0);
    } while (!answer && virGetLastErrorCode() == VIR_ERR_AGENT_UNRESPONSIVE &&
             clock_monotonic_ms() < asked + ANSWER_S * 1000 && clock_monotonic_ms() < limit &&
             poll(NULL, 0, STEP_MS) == 0);
    json_decref(request);
    free(text);
    json_t *root = answer ? json_loads(answer, 0, NULL) : NULL;
    free(answer);
    json_t *value = json_incref(json_object_get(root, "return"));
    json_decref(root);
    return value;
}

static char *decode(const json_t *status, const char *name)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = json_string_value(json_object_get(status, name));
    char *out = calloc(1, OUTPUT_MAX);
    size_t length = 0;
    uint32_t bits = 0;
    int have = 0;
    for (; text && *text && *text != '=' && length + 1 < OUTPUT_MAX; text++) {
        bits = bits << 6 | (uint32_t)(strchr(alphabet, *text) - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[length++] = (char)(bits >> have & 0xff);
        }
    }
    return out;
}

char *lab_guest(virDomainPtr domain, const char *command)
{
    json_t *started =
        ask_agent(domain, json_pack("{s:s, s:{s:s, s:[ss], s:b}}", "execute", "guest-exec", "arguments",
                                    "path", "/bin/bash", "arg", "-c", command, "capture-output", 1));
    if (!started)
        fail_msg("guest agent: %s", virGetLastErrorMessage());
    json_int_t pid = json_integer_value(json_object_get(started, "pid"));
    json_decref(started);
    for (int i = 0; i < TRIES; i++) {
        json_t *status = ask_agent(
            domain, json_pack("{s:s, s:{s:I}}", "execute", "guest-exec-status", "arguments", "pid", pid));
        if (json_is_true(json_object_get(status, "exited"))) {
            char *errors = decode(status, "err-data");
            if (json_integer_value(json_object_get(status, "exitcode")) != 0)
                fail_msg("in the guest: %s: %s", command, errors);
            free(errors);
            char *output = decode(status, "out-data");
            json_decref(status);
            return output;
        }
        json_decref(status);
        poll(NULL, 0, STEP_MS);
    }
    fail_msg("in the guest: %s: no end", command);
    return NULL;
}

void lab_wait_agent(virDomainPtr domain)
{
    for (int i = 0; i < TRIES; i++) {
        char *answer = virDomainQemuAgentCommand(domain, "{\"execute\":\"guest-ping\"}", 5, 0);
        if (answer) {
            free(answer);
            return;
        }
        poll(NULL, 0, STEP_MS);
    }
    fail_msg("the guest agent does not answer");
}

void lab_wait_state(virDomainPtr domain, int wanted)
{
    int state = -1;
    for (int i = 0; i < TRIES; i++) {
        if (virDomainGetState(domain, &state, NULL, 0) == 0 && state == wanted)
            return;
        poll(NULL, 0, STEP_MS);
    }
    fail_msg("the VM is in state %d, not %d", state, wanted);
}

void lab_shut_down(virDomainPtr domain)
{
    for (int i = 0; i < TRIES && virDomainIsActive(domain) == 1; i++) {
        if (virDomainShutdownFlags(domain, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT) == 0)
            break;
        poll(NULL, 0, STEP_MS);
    }
    lab_wait_state(domain, VIR_DOMAIN_SHUTOFF);
}

/* QEMU's process is found by the UUID on its command line. */
void lab_kill_qemu(virDomainPtr domain)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    char command[200];
    virDomainGetUUIDString(domain, uuid);
    snprintf(command, sizeof command, "pgrep -f '^/usr/bin/qemu-system.*-uuid %s'", uuid);
    FILE *pipe = popen(command, "r");
    int pid = 0;
    assert_non_null(pipe);
    assert_int_equal(fscanf(pipe, "%d", &pid), 1);
    pclose(pipe);
    assert_true(pid > 1);
    kill(pid, SIGKILL);
    lab_wait_state(domain, VIR_DOMAIN_SHUTOFF);
}

int lab_checkpoints(virDomainPtr domain)
{
    return virDomainListAllCheckpoints(domain, NULL, 0);
}
