/*
 * A process of its own that does something for a guest when this one dies before it could, or takes too long.
 * It survives SIGKILL of the agent and ignores SIGTERM.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_WATCHDOG_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_WATCHDOG_H

#include <stdbool.h>

enum { KVM_WATCHDOG_NONE = -1 };

/* argv: the program to run then, by its absolute path, NULL at the end; copied. It is run up to `tries`
 * times, a second apart, until it ends with 0. timeout_ms: run it after that time even if this process lives;
 * -1: never. Returns a handle, or KVM_WATCHDOG_NONE when it can't be started. Any thread. */
int kvm_watchdog_start(const char *const *argv, unsigned tries, int timeout_ms);
/* The same, but the time begins only with kvm_watchdog_arm (and anew with each). That is quick; -1: the
 * watchdog has gone. */
int kvm_watchdog_start_idle(const char *const *argv, unsigned tries, int timeout_ms);
int kvm_watchdog_arm(int watchdog);
/* calm: all is well, it ends without doing anything. Otherwise it acts now. NONE is fine; the handle is NONE
 * after. */
void kvm_watchdog_release(int *watchdog, bool calm);

#endif
