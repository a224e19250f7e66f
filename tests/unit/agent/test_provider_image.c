#include "agent/providers/image_registry.h"
#include "agent/providers/provider_list.h"
#include "agent/providers/provider_reply.h"
#include "provider_fixture.h"
#include <semaphore.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

static sem_t changes;
static void *provider;
static char uuid[IDENTITY_SIZE];
static const atomic_bool not_cancelled;

static void note_change(void *cookie)
{
    sem_post(cookie);
}

static int open_provider(void **state)
{
    struct error err;
    if (make_directory(state) != 0)
        return -1;
    const char *const raw[] = {"qemu-img", "create", "-q", "-f", "raw", in_directory("one.raw"), "8M", NULL};
    const char *const qcow2[] = {"qemu-img", "create", "-q", "-f", "qcow2", in_directory("two.qcow2"),
                                 "8M",       NULL};
    const char *const write[] = {
        "qemu-io", "-f", "qcow2", "-c", "write -P 65 1M 64k", in_directory("two.qcow2"), NULL};
    run_tool(raw);
    run_tool(qcow2);
    run_tool(write);
    sem_init(&changes, 0, 0);
    const struct provider_context context = {.data_directory = directory, .server_id = "server"};
    provider = provider_image.open(&context, note_change, &changes, &err);
    assert_non_null(provider);
    const char *const paths[] = {in_directory("one.raw"), in_directory("two.qcow2")};
    check(image_registry_add(directory, "pair", paths, 2, uuid, &err), err);
    return 0;
}

static int close_provider(void **state)
{
    provider_image.close(provider);
    sem_destroy(&changes);
    return remove_directory(state);
}

static void registered_images_are_discovered(void **state)
{
    (void)state;
    struct error err;
    sem_wait(&changes); /* the registration was noticed */
    Holdfast__DiscoverReply *reply = malloc(sizeof *reply);
    holdfast__discover_reply__init(reply);
    check(provider_image.discover(provider, reply, &err), err);
    assert_int_equal(reply->n_vms, 1);
    const Holdfast__Vm *vm = reply->vms[0];
    assert_string_equal(vm->name, "pair");
    assert_string_equal(vm->uuid, uuid);
    assert_string_equal(vm->kind, "image");
    assert_int_equal(vm->n_disks, 2);
    assert_string_equal(vm->disks[0]->format, "raw");
    assert_string_equal(vm->disks[1]->format, "qcow2");
    assert_string_equal(vm->disks[1]->name, "disk1");
    assert_int_equal(vm->disks[1]->size, 8 * MIB);
    assert_true(vm->disks[1]->supported);
    holdfast__discover_reply__free_unpacked(reply, NULL);
}

static void bad_registrations_are_refused(void **state)
{
    (void)state;
    struct error err;
    char other[IDENTITY_SIZE];
    const char *missing = in_directory("missing");
    const char *present = in_directory("one.raw");
    assert_int_equal(image_registry_add(directory, "pair", &present, 1, other, &err), -1);
    assert_int_equal(err.code, ERROR_NAME_TAKEN);
    assert_int_equal(image_registry_add(directory, "new", &missing, 1, other, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
    assert_int_equal(image_registry_add(directory, "a/b", &present, 1, other, &err), -1);
    assert_int_equal(err.code, ERROR_REQUEST_INVALID);
    assert_int_equal(image_registry_add(directory, "new", &present, 0, other, &err), -1);
    assert_int_equal(err.code, ERROR_REQUEST_INVALID);
    const char *device = "/dev/null";
    assert_int_equal(image_registry_add(directory, "new", &device, 1, other, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_UNSUPPORTED);
}

static void a_registration_is_removed(void **state)
{
    (void)state;
    struct error err;
    char other[IDENTITY_SIZE];
    const char *present = in_directory("one.raw");
    check(image_registry_add(directory, "second", &present, 1, other, &err), err);
    check(image_registry_remove(directory, "second", &err), err);
    assert_int_equal(image_registry_remove(directory, "second", &err), -1);
    assert_int_equal(err.code, ERROR_VM_NOT_FOUND);
    struct image_registry registry;
    check(image_registry_load(directory, &registry, &err), err);
    assert_null(image_registry_find(&registry, other));
    assert_non_null(image_registry_find(&registry, uuid));
    image_registry_release(&registry);
}

static struct provider_backup *begin(const char *id, Holdfast__BackupBeginReply *reply, struct error *err)
{
    Holdfast__BackupBeginRequest request = HOLDFAST__BACKUP_BEGIN_REQUEST__INIT;
    request.job = (char *)"job-1";
    request.vm_uuid = (char *)id;
    request.consistency = (char *)"filesystem";
    return provider_image.backup_begin(provider, &request, &not_cancelled, reply, err);
}

static Holdfast__BackupBeginReply *new_reply(void)
{
    Holdfast__BackupBeginReply *reply = malloc(sizeof *reply);
    assert_non_null(reply);
    holdfast__backup_begin_reply__init(reply);
    return reply;
}

static void end(struct provider_backup *backup)
{
    struct error err;
    const Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    check(provider_image.backup_end(provider, backup, &request, &err), err);
}

static void every_disk_is_read_whole(void **state)
{
    (void)state;
    struct error err;
    Holdfast__BackupBeginReply *reply = new_reply();
    struct provider_backup *backup = begin(uuid, reply, &err);
    assert_non_null(backup);
    assert_string_equal(reply->consistency, "crash");
    assert_int_equal(strncmp(reply->consistency_reason, "QUIESCE_NO_AGENT: ", 18), 0);
    assert_string_equal(reply->vm_name, "pair");
    assert_string_equal(reply->tracking, "");
    assert_int_equal(reply->n_disks, 2);
    assert_false(reply->disks[1]->incremental);
    assert_int_equal(reply->disks[1]->size, 8 * MIB);
    struct disk_reader *reader = provider_image.backup_open_disk(backup, 1, &err);
    assert_non_null(reader);
    unsigned char bytes[2] = {0};
    check(disk_reader_read(reader, MIB - 1, bytes, 2, &err), err);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[1], 65);
    disk_reader_close(reader);
    check(provider_image.backup_check(backup, &err), err);
    end(backup);
    holdfast__backup_begin_reply__free_unpacked(reply, NULL);
    reply = new_reply();
    assert_null(begin("00000000-0000-4000-8000-000000000000", reply, &err));
    assert_int_equal(err.code, ERROR_VM_NOT_FOUND);
    holdfast__backup_begin_reply__free_unpacked(reply, NULL);
}

static void resized_disk_is_noticed(void **state)
{
    (void)state;
    struct error err;
    static const char *const sizes[] = {"9M", "8M"};
    for (size_t i = 0; i < 2; i++) { /* grown, then shrunk */
        Holdfast__BackupBeginReply *reply = new_reply();
        struct provider_backup *backup = begin(uuid, reply, &err);
        assert_non_null(backup);
        const char *const resize[] = {
            "qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", in_directory("two.qcow2"), sizes[i], NULL};
        run_tool(resize);
        assert_int_equal(provider_image.backup_check(backup, &err), -1);
        assert_int_equal(err.code, ERROR_DISK_CHANGED);
        assert_null(provider_image.backup_open_disk(backup, 1, &err));
        assert_int_equal(err.code, ERROR_DISK_CHANGED);
        end(backup);
        holdfast__backup_begin_reply__free_unpacked(reply, NULL);
    }
}

struct restore_case {
    bool to_original;
    const char *new_name;
    const char *directory;
    enum error_code code;
    const char *path; /* of the second disk, below the test's directory */
};

static void restore_one(const struct restore_case *wanted)
{
    struct error err;
    Holdfast__RestoreDisk disks[2] = {HOLDFAST__RESTORE_DISK__INIT, HOLDFAST__RESTORE_DISK__INIT};
    Holdfast__RestoreDisk *list[2] = {&disks[0], &disks[1]};
    disks[0] = (Holdfast__RestoreDisk){disks[0].base, (char *)"disk0", 8 * MIB, (char *)"raw"};
    disks[1] = (Holdfast__RestoreDisk){disks[1].base, (char *)"disk1", 8 * MIB, (char *)"qcow2"};
    Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
    request.job = (char *)"job-2";
    request.vm_uuid = uuid;
    request.vm_name = (char *)"pair";
    request.configuration = (char *)"{}";
    request.to_original = wanted->to_original;
    request.new_name = (char *)wanted->new_name;
    request.directory = (char *)wanted->directory;
    request.disks = list;
    request.n_disks = 2;
    struct provider_restore *restore = provider_image.restore_begin(provider, &request, &err);
    if (wanted->code != ERROR_NONE) {
        assert_null(restore);
        assert_int_equal(err.code, wanted->code);
        return;
    }
    assert_non_null(restore);
    check(disk_writer_write(provider_image.restore_disk(restore, 1), 3 * MIB, "restored", 8, &err), err);
    Holdfast__RestoreReply *reply = malloc(sizeof *reply);
    assert_non_null(reply);
    holdfast__restore_reply__init(reply);
    check(provider_image.restore_commit(restore, reply, &err), err);
    assert_int_equal(reply->n_paths, 2);
    assert_string_equal(reply->paths[1], in_directory(wanted->path));
    struct disk_reader *reader = disk_reader_open_image(reply->paths[1], "qcow2", NULL, &err);
    assert_non_null(reader);
    char bytes[9] = {0};
    check(disk_reader_read(reader, 3 * MIB, bytes, 8, &err), err);
    assert_string_equal(bytes, "restored");
    disk_reader_close(reader);
    holdfast__restore_reply__free_unpacked(reply, NULL);
}

static void disks_are_restored_where_asked(void **state)
{
    (void)state;
    struct error err;
    const char *other = in_directory("other");
    check(os_path_make_directory(other, 0700, &err), err);
    const struct restore_case cases[] = {
        {true, "", "", ERROR_NONE, "two.qcow2"},
        {false, "", other, ERROR_NONE, "other/pair-disk1.qcow2"},
        {false, "", other, ERROR_RESTORE_PATH_EXISTS, NULL},
        {false, "copy", "", ERROR_NONE, "copy-disk1.qcow2"},
        {false, "../copy", "", ERROR_REQUEST_INVALID, NULL},
        {false, "copy", "/nonexistent", ERROR_RESTORE_TARGET_MISSING, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        restore_one(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registered_images_are_discovered), cmocka_unit_test(bad_registrations_are_refused),
        cmocka_unit_test(a_registration_is_removed),        cmocka_unit_test(every_disk_is_read_whole),
        cmocka_unit_test(resized_disk_is_noticed),          cmocka_unit_test(disks_are_restored_where_asked),
    };
    return cmocka_run_group_tests(tests, open_provider, close_provider);
}
