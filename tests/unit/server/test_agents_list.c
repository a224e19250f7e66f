/* Lists of a host's VMs that arrive in another order than they were begun in. */
#include "catalog_fixture.h"

#include "server/agents/agents_internal.h"

struct listing {
    struct agents agents;
    struct agent_session session;
};

static void listing_begin(struct listing *listing, struct catalog_world *world)
{
    world_host(world, "h1", "alpha");
    *listing = (struct listing){.agents = {.options = {.catalog = world->catalog}}};
    listing->session.agents = &listing->agents;
    strcpy(listing->session.host_id, "h1");
    pthread_mutex_init(&listing->session.list_lock, NULL);
}

static void listing_end(struct listing *listing)
{
    pthread_mutex_destroy(&listing->session.list_lock);
}

/* A list of one VM, or of none. */
static void store(struct listing *listing, uint64_t number, const char *name)
{
    struct error err;
    char *text = memory_copy_text(name);
    Holdfast__Vm vm = HOLDFAST__VM__INIT;
    vm.uuid = vm.name = text;
    vm.kind = (char[]){"image"};
    vm.power = (char[]){"off"};
    Holdfast__VmReport report = HOLDFAST__VM_REPORT__INIT;
    report.number = number;
    report.vms = (Holdfast__Vm *[]){&vm};
    report.n_vms = name[0] != '\0' ? 1 : 0;
    check(agents_store_list(&listing->session, &report, &err), err);
    free(text);
}

static bool is_present(struct catalog_world *world, const char *name)
{
    struct error err;
    const struct catalog_vm *vm = catalog_vm_find(world->catalog, world->arena, name, &err);
    return vm != NULL && vm->present;
}

static void a_list_that_was_begun_before_changes_nothing(void **state)
{
    struct catalog_world *world = *state;
    struct listing listing;
    listing_begin(&listing, world);
    store(&listing, 2, "web");
    store(&listing, 1, "");
    assert_true(is_present(world, "web"));
    store(&listing, 3, "");
    assert_false(is_present(world, "web"));
    store(&listing, 4, "web");
    assert_true(is_present(world, "web"));
    listing_end(&listing);
}

static void agents_that_do_not_count_are_believed(void **state)
{
    struct catalog_world *world = *state;
    struct listing listing;
    listing_begin(&listing, world);
    store(&listing, 0, "web");
    store(&listing, 0, "");
    assert_false(is_present(world, "web"));
    listing_end(&listing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_list_that_was_begun_before_changes_nothing, world_begin, world_end),
        cmocka_unit_test_setup_teardown(agents_that_do_not_count_are_believed, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
