#include "agent/providers/kvm_hooks.h"
#include "agent/providers/kvm_internal.h"
#include "base/clock.h"
#include "base/memory.h"
#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <poll.h>
#include <stdlib.h>

enum { ANSWER_TIMEOUT_S = 5, TOTAL_TIMEOUT_MS = 15000, STEP_MS = 20 }; /* of a guest with much to do */

/* Ends with 0 when qemu-ga runs a hook and the usual hook script would find something to run. */
static const char script[] =
    "c=$(tr '\\0' ' ' </proc/$PPID/cmdline)\n"
    "case $c in *' -F'*|*' --fsfreeze-hook'*) ;;\n"
    "*) grep -q '^[[:space:]]*fsfreeze-hook' /etc/qemu/qemu-ga.conf 2>/dev/null || exit 3 ;; esac\n"
    "for f in /etc/qemu/fsfreeze-hook.d/* /etc/qemu-ga/fsfreeze-hook.d/*; do\n"
    "  case $f in *.sample|*~|*.rpm*|*.dpkg*) continue ;; esac\n"
    "  [ -f \"$f\" ] && [ -x \"$f\" ] && exit 0\n"
    "done\n"
    "exit 3";

/* "return" of the answer, the caller's; NULL when there is none. */
static json_t *ask(virDomainPtr domain, json_t *command)
{
    char *text = json_dumps(command, JSON_COMPACT);
    char *answer = virDomainQemuAgentCommand(domain, text, ANSWER_TIMEOUT_S, 0);
    json_t *parsed = answer ? json_loads(answer, 0, NULL) : NULL;
    json_t *returned = json_incref(json_object_get(parsed, "return"));
    json_decref(parsed);
    free(answer);
    free(text);
    return returned;
}

static int64_t start_script(virDomainPtr domain)
{
    json_t *command = json_pack("{s:s, s:{s:s, s:[s, s]}}", "execute", "guest-exec", "arguments", "path",
                                "/bin/sh", "arg", "-c", script);
    json_t *returned = ask(domain, command);
    json_decref(command);
    int64_t pid = returned ? json_integer_value(json_object_get(returned, "pid")) : -1;
    json_decref(returned);
    return pid > 0 ? pid : -1;
}

/* Its exit status; -1 when it does not end. */
static int wait_script(virDomainPtr domain, int64_t pid)
{
    int64_t deadline = clock_monotonic_ms() + TOTAL_TIMEOUT_MS;
    int status = -1;
    json_t *command =
        json_pack("{s:s, s:{s:I}}", "execute", "guest-exec-status", "arguments", "pid", (json_int_t)pid);
    while (status < 0 && clock_monotonic_ms() < deadline) {
        json_t *returned = ask(domain, command); /* NULL: one question that was missed */
        if (json_is_true(json_object_get(returned, "exited"))) {
            const json_t *code = json_object_get(returned, "exitcode");
            status = code ? (int)json_integer_value(code) : 1;
        } else {
            poll(NULL, 0, STEP_MS);
        }
        json_decref(returned);
    }
    json_decref(command);
    return status;
}

int kvm_hooks_present(virDomainPtr domain, struct error *err)
{
    const char *name = virDomainGetName(domain); /* now: asking for it later would clear libvirt's error */
    int64_t pid = start_script(domain);
    int status = pid > 0 ? wait_script(domain, pid) : -1;
    if (status < 0)
        return kvm_error(err, ERROR_QUIESCE_NO_AGENT, "The guest agent of %s does not say whether hooks run.",
                         name);
    return status == 0 ? 1 : 0;
}
