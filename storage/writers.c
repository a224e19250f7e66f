#include "storage/writers.h"

#include "base/log.h"
#include "base/memory.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>

void name_list_add(struct name_list *list, const struct chunk_name *name)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->names = memory_resize(list->names, list->capacity, sizeof *list->names);
    }
    list->names[list->count++] = *name;
}

void store_users_init(struct store_users *users)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&users->lock, NULL);
    pthread_cond_init(&users->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void store_users_destroy(struct store *store)
{
    struct error err;
    if (store->users.doomed_count > 0 && store_reap(store, true, &err) != 0) {
        log_error("an emptied container stays until the next collection", &err);
    }
    free(store->users.doomed);
    pthread_cond_destroy(&store->users.changed);
    pthread_mutex_destroy(&store->users.lock);
}

/* --- writers */

struct store_writer *store_writer_begin(struct store *store)
{
    struct store_users *users = &store->users;
    struct store_writer *writer = memory_zalloc(sizeof *writer);
    writer->store = store;
    pthread_mutex_lock(&users->lock);
    writer->serial = ++users->serial;
    writer->next = users->writers;
    if (writer->next != NULL) {
        writer->next->previous = writer;
    }
    users->writers = writer;
    pthread_mutex_unlock(&users->lock);
    return writer;
}

void store_writer_end(struct store_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    struct store_users *users = &writer->store->users;
    pthread_mutex_lock(&users->lock);
    if (writer->previous != NULL) {
        writer->previous->next = writer->next;
    } else {
        users->writers = writer->next;
    }
    if (writer->next != NULL) {
        writer->next->previous = writer->previous;
    }
    pthread_cond_broadcast(&users->changed);
    pthread_mutex_unlock(&users->lock);
    free(writer->pins.names);
    free(writer);
}

int store_writer_pin(struct store_writer *writer, const struct chunk_name *root, struct error *err)
{
    struct store *store = writer->store;
    struct store_users *users = &store->users;
    struct stored_name stored;
    struct chunk_location location;
    if (chunk_name_is_zero(root)) {
        return 0;
    }
    seal_name(store->seal, root, &stored);
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, &stored, &location, err);
    bool usable = true;
    pthread_mutex_lock(&users->lock);
    if (users->phase == COLLECT_MARK) {
        name_list_add(&users->touched, root);
    } else if (users->phase == COLLECT_SWEEP && found == 1) {
        usable = marks_is_live(users->marks, &location);
    }
    name_list_add(&writer->pins, root);
    pthread_mutex_unlock(&users->lock);
    pthread_rwlock_unlock(&store->gate);
    return found < 0 ? -1
           : usable  ? 0
                     : error_set(err, ERROR_RP_NOT_FOUND, "What a backup builds on is being collected");
}

bool store_writer_may_use(struct store *store, const struct chunk_name *name,
                          const struct chunk_location *location, bool node)
{
    struct store_users *users = &store->users;
    bool usable = true;
    pthread_mutex_lock(&users->lock);
    if (users->phase == COLLECT_SWEEP) {
        usable = marks_is_live(users->marks, location);
    } else if (users->phase == COLLECT_MARK && node) {
        name_list_add(&users->touched, name);
    } else if (users->phase == COLLECT_MARK && !users->failed) {
        users->failed = marks_add(users->marks, location, &users->failure) == MARKS_FAILED;
    }
    pthread_mutex_unlock(&users->lock);
    return usable;
}

/* --- leases */

void store_lease_begin(struct store *store, struct store_lease *lease)
{
    struct store_users *users = &store->users;
    pthread_mutex_lock(&users->lock);
    *lease = (struct store_lease){.store = store, .serial = ++users->serial, .next = users->leases};
    if (lease->next != NULL) {
        lease->next->previous = lease;
    }
    users->leases = lease;
    pthread_mutex_unlock(&users->lock);
}

void store_lease_end(struct store_lease *lease)
{
    struct store *store = lease->store;
    struct store_users *users = &store->users;
    struct error err;
    pthread_mutex_lock(&users->lock);
    if (lease->previous != NULL) {
        lease->previous->next = lease->next;
    } else {
        users->leases = lease->next;
    }
    if (lease->next != NULL) {
        lease->next->previous = lease->previous;
    }
    bool doomed = users->doomed_count > 0;
    if (doomed) {
        pthread_cond_broadcast(&users->changed);
    }
    pthread_mutex_unlock(&users->lock);
    if (doomed && store_reap(store, false, &err) != 0) {
        log_error("an emptied container could not be removed", &err);
    }
}

/* Takes one container that can go out of the list. */
static bool take_doomed(struct store_users *users, bool force, uint64_t *container)
{
    uint64_t oldest = UINT64_MAX;
    bool taken = false;
    pthread_mutex_lock(&users->lock);
    for (const struct store_lease *lease = users->leases; lease != NULL && !force; lease = lease->next) {
        oldest = lease->serial < oldest ? lease->serial : oldest;
    }
    for (size_t i = 0; i < users->doomed_count && !taken; i++) {
        if (users->doomed[i].serial < oldest) {
            *container = users->doomed[i].container;
            users->doomed[i] = users->doomed[--users->doomed_count];
            taken = true;
        }
    }
    pthread_mutex_unlock(&users->lock);
    return taken;
}

int store_reap(struct store *store, bool force, struct error *err)
{
    char name[STORE_CONTAINER_NAME_SIZE];
    uint64_t container;
    int result = 0;
    while (result == 0 && take_doomed(&store->users, force, &container)) {
        result =
            store->backend->operations->remove(store->backend, store_container_name(container, name), err);
    }
    return result;
}
