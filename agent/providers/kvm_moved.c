/* A VM that was migrated away is told from one that was deleted. libvirt says so once, in the event of its
 * stop here. */
#include "agent/providers/kvm_internal.h"
#include "agent/providers/provider_reply.h"
#include <string.h>

/* The entry's position, or moved_count. With the lock held. */
static size_t find_locked(const struct kvm_provider *provider, const char *uuid)
{
    size_t at = 0;
    while (at < provider->moved_count && strcmp(provider->moved[at], uuid) != 0)
        at++;
    return at;
}

static void remove_locked(struct kvm_provider *provider, size_t at)
{
    provider->moved_count--;
    memmove(provider->moved[at], provider->moved[at + 1],
            (provider->moved_count - at) * sizeof provider->moved[0]);
}

static void forget_locked(struct kvm_provider *provider, const char *uuid)
{
    size_t at = find_locked(provider, uuid);
    if (at < provider->moved_count)
        remove_locked(provider, at);
}

void kvm_moved_note(struct kvm_provider *provider, const char *uuid)
{
    pthread_mutex_lock(&provider->moved_lock);
    forget_locked(provider, uuid);
    if (provider->moved_count == KVM_MOVED_MAX)
        remove_locked(provider, 0);
    char *entry = provider->moved[provider->moved_count++];
    memcpy(entry, uuid, VIR_UUID_STRING_BUFLEN);
    pthread_mutex_unlock(&provider->moved_lock);
}

void kvm_moved_forget(struct kvm_provider *provider, const char *uuid)
{
    pthread_mutex_lock(&provider->moved_lock);
    forget_locked(provider, uuid);
    pthread_mutex_unlock(&provider->moved_lock);
}

bool kvm_moved_has(struct kvm_provider *provider, const char *uuid)
{
    pthread_mutex_lock(&provider->moved_lock);
    bool has = find_locked(provider, uuid) < provider->moved_count;
    pthread_mutex_unlock(&provider->moved_lock);
    return has;
}

static bool is_listed(const Holdfast__DiscoverReply *reply, const char *uuid)
{
    for (size_t i = 0; i < reply->n_vms; i++) {
        if (strcmp(reply->vms[i]->kind, kvm_kind) == 0 && strcmp(reply->vms[i]->uuid, uuid) == 0)
            return true;
    }
    return false;
}

void kvm_moved_list(struct kvm_provider *provider, Holdfast__DiscoverReply *reply)
{
    pthread_mutex_lock(&provider->moved_lock);
    for (size_t i = 0; i < provider->moved_count; i++) {
        if (!is_listed(reply, provider->moved[i]))
            provider_add_moved(reply, kvm_kind, provider->moved[i]);
    }
    pthread_mutex_unlock(&provider->moved_lock);
}
