/* While QEMU keeps a frozen view, every block that the guest overwrites goes to scratch first. This looks
 * after the guest: when scratch runs short the backup is given up before QEMU would stop the guest. */
#include "agent/providers/kvm_backup.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <string.h>

enum { TICK_MS = 200 };

static void give_up(struct provider_backup *backup, const struct error *why)
{
    pthread_mutex_lock(&backup->lock);
    bool first = !backup->given_up;
    if (first)
        backup->failure = *why;
    backup->given_up = true;
    pthread_mutex_unlock(&backup->lock);
    if (first)
        log_error("backup is given up", why);
}

int kvm_backup_given_up(struct provider_backup *backup, struct error *err)
{
    pthread_mutex_lock(&backup->lock);
    bool given_up = backup->given_up;
    if (given_up)
        *err = backup->failure;
    pthread_mutex_unlock(&backup->lock);
    return given_up ? -1 : 0;
}

/* 0 all is well; otherwise the reason to give up. *resume: the guest stands still on our account. */
static int inspect(struct provider_backup *backup, virDomainPtr domain, bool *resume, struct error *err)
{
    int state = 0;
    int reason = 0;
    *resume = false;
    if (virDomainGetState(domain, &state, &reason, 0) == 0) {
        if (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR) {
            *resume = true;
            return error_set(err, ERROR_GUEST_PAUSED,
                             "The guest %s was stopped by an I/O error during its backup; it was resumed.",
                             backup->name);
        }
        if (strcmp(kvm_power(state, reason), "off") == 0)
            return error_set(err, ERROR_SNAPSHOT_FAILED, "The VM %s stopped during its backup.",
                             backup->name);
    }
    return kvm_scratch_check(&backup->scratch, backup->name, err);
}

/* True when there is nothing more to look after. */
static bool look(struct provider_backup *backup)
{
    struct error err;
    bool resume = false;
    virDomainPtr domain = kvm_domain_lookup(backup->provider, backup->uuid, &err);
    if (!domain && err.code == ERROR_VM_NOT_FOUND) {
        error_set(&err, ERROR_SNAPSHOT_FAILED, "The VM %s went away during its backup.", backup->name);
        give_up(backup, &err);
        return true;
    }
    if (!domain) { /* libvirt is down for now; QEMU goes on */
        if (kvm_scratch_check(&backup->scratch, backup->name, &err) != 0)
            give_up(backup, &err);
        return false;
    }
    bool done = false;
    if (inspect(backup, domain, &resume, &err) != 0)
        give_up(backup, &err);
    if (kvm_backup_given_up(backup, &err) != 0 && pthread_mutex_trylock(&backup->connecting) == 0) {
        done = kvm_backup_stop_job(domain, backup->scratch.socket) == 0;
        pthread_mutex_unlock(&backup->connecting);
    }
    if (resume && virDomainResume(domain) != 0) {
        kvm_error(&err, ERROR_SNAPSHOT_FAILED, "The guest %s could not be resumed.", backup->name);
        log_error("guest stands still", &err);
        done = false;
    }
    virDomainFree(domain);
    return done;
}

static void *watch(void *cookie)
{
    struct provider_backup *backup = cookie;
    log_set_job(backup->job);
    while (!look(backup)) {
        struct timespec until = clock_deadline(TICK_MS);
        if (sem_clockwait(&backup->stop, CLOCK_MONOTONIC, &until) == 0)
            break;
    }
    return NULL;
}

int kvm_backup_watch(struct provider_backup *backup, struct error *err)
{
    if (pthread_create(&backup->watcher, NULL, watch, backup) != 0)
        return error_set(err, ERROR_SNAPSHOT_FAILED, "The backup of %s can't be watched over.", backup->name);
    backup->watching = true;
    return 0;
}

void kvm_backup_unwatch(struct provider_backup *backup)
{
    if (!backup->watching)
        return;
    sem_post(&backup->stop);
    pthread_join(backup->watcher, NULL);
    backup->watching = false;
}
