/* A backup job that libvirt can't end: the agent goes on trying by itself, and its journal goes with the job.
 * The VM is that of libvirt's test driver; its backup job is this test's. */
#include "provider_fixture.h"

#include "agent/providers/job_journal.h"
#include "agent/providers/kvm_backup.h"
#include "agent/providers/kvm_watchdog.h"
#include "agent/providers/provider_list.h"
#include "base/memory.h"
#include <time.h>

static const char vm_uuid[] = "6695eb01-f6a4-8304-79aa-97f2502e193f"; /* of the test driver */

static atomic_int refusals; /* how often the job is still not ended */
static atomic_bool serving; /* the job runs */
static atomic_bool away;    /* libvirt does not answer */
static char socket_path[256];
static atomic_int_fast64_t skew_ms;
static struct config *config;
static void *provider;

/* Takes the place of libvirt's. */
char *virDomainBackupGetXMLDesc(virDomainPtr domain, unsigned int flags)
{
    (void)domain, (void)flags;
    return atomic_load(&serving)
               ? memory_format("<domainbackup><server socket='%s'/></domainbackup>", socket_path)
               : NULL;
}

int virDomainAbortJob(virDomainPtr domain)
{
    (void)domain;
    atomic_fetch_add(&skew_ms, 30000); /* a call that waited, and whoever called it has waited enough soon */
    if (atomic_fetch_sub(&refusals, 1) > 0)
        return -1;
    atomic_store(&serving, false);
    return 0;
}

virDomainPtr virDomainLookupByUUIDString(virConnectPtr connection, const char *uuid)
{
    return atomic_load(&away) ? NULL
                              : virDomainLookupByName(connection, strcmp(uuid, vm_uuid) == 0 ? "test" : "");
}

int64_t __real_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_ms(void);

int64_t __wrap_clock_monotonic_ms(void)
{
    return __real_clock_monotonic_ms() + atomic_load(&skew_ms);
}

static int open_provider(void **state)
{
    static const struct config_key keys[] = {{"libvirt-uri", NULL, ""},
                                             {"scratch-directory", NULL, ""},
                                             {"scratch-max-bytes", NULL, ""},
                                             {NULL, NULL, NULL}};
    struct error err;
    if (make_directory(state) != 0)
        return -1;
    config = config_load(NULL, keys, &err);
    check(config_set(config, "libvirt-uri", "test:///default", &err), err);
    const struct provider_context context = {directory, "11111111-2222-4333-8444-555555555555", config, NULL};
    provider = provider_kvm.open(&context, NULL, NULL, &err);
    check(provider ? 0 : -1, err);
    snprintf(socket_path, sizeof socket_path, "%s/scratch/job-1/nbd", directory);
    return 0;
}

static int close_provider(void **state)
{
    provider_kvm.close(provider);
    config_destroy(config);
    return remove_directory(state);
}

/* As kvm_backup_begin leaves it. */
static struct provider_backup *begun(const char *job)
{
    struct error err;
    struct provider_backup *backup = memory_zalloc(sizeof *backup);
    backup->provider = provider;
    backup->watchdog = KVM_WATCHDOG_NONE;
    backup->job = memory_copy_text(job);
    backup->uuid = memory_copy_text(vm_uuid);
    backup->name = memory_copy_text("test");
    backup->running = true;
    backup->scratch.directory = memory_format("%s/scratch/%s", directory, job);
    backup->scratch.socket = memory_copy_text(socket_path);
    check(os_path_make_directory(in_directory("scratch"), 0700, &err), err);
    check(os_path_make_directory(backup->scratch.directory, 0700, &err), err);
    sem_init(&backup->stop, 0, 0);
    pthread_mutex_init(&backup->lock, NULL);
    check(kvm_journal_write(backup, "reading", &err), err);
    atomic_store(&serving, true);
    return backup;
}

static int end(struct provider_backup *backup, const char *job, struct error *err)
{
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    request.job = (char *)job;
    request.kind = (char *)"kvm";
    request.vm_uuid = (char *)vm_uuid;
    request.committed = true;
    return provider_kvm.backup_end(provider, backup, &request, err);
}

static bool journal_goes(void)
{
    struct timespec moment = {.tv_nsec = 20000000};
    for (int i = 0; i < 3000 && os_path_exists(in_directory("jobs/job-1.json")); i++)
        nanosleep(&moment, NULL);
    return !os_path_exists(in_directory("jobs/job-1.json"));
}

static void a_job_that_ends_leaves_no_journal(void **state)
{
    (void)state;
    struct error err;
    atomic_store(&refusals, 1); /* it is asked until it does */
    check(end(begun("job-1"), "job-1", &err), err);
    assert_false(os_path_exists(in_directory("jobs/job-1.json")));
}

static void a_job_that_does_not_end_is_ended_later(void **state)
{
    (void)state;
    struct error err;
    atomic_store(&refusals, 1000000);
    assert_int_equal(end(begun("job-1"), "job-1", &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_FAILED);
    assert_true(os_path_exists(in_directory("jobs/job-1.json")));
    atomic_store(&refusals, 1); /* one more try fails */
    assert_true(journal_goes());
    assert_false(atomic_load(&serving));
    assert_true(atomic_load(&refusals) < 1);
}

static void a_job_is_ended_when_libvirt_is_back(void **state)
{
    (void)state;
    struct error err;
    atomic_store(&refusals, 0);
    atomic_store(&away, true);
    assert_int_equal(end(begun("job-1"), "job-1", &err), -1);
    assert_true(os_path_exists(in_directory("jobs/job-1.json")));
    assert_int_equal(end(NULL, "job-1", &err), -1); /* as after a start of the agent */
    assert_true(os_path_exists(in_directory("jobs/job-1.json")));
    assert_true(atomic_load(&serving));
    atomic_store(&away, false);
    assert_true(journal_goes());
    assert_false(atomic_load(&serving));
}

static void another_backup_is_left_alone(void **state)
{
    (void)state;
    struct error err;
    atomic_store(&refusals, 1000000);
    assert_int_equal(end(begun("job-1"), "job-1", &err), -1);
    snprintf(socket_path, sizeof socket_path, "%s/scratch/job-2/nbd", directory); /* the job that runs now */
    struct provider_backup *other = begun("job-2");
    atomic_store(&refusals, 0);
    assert_true(journal_goes());
    assert_true(atomic_load(&serving));
    assert_true(os_path_exists(in_directory("jobs/job-2.json")));
    check(end(other, "job-2", &err), err);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_provider, close_provider)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_job_that_ends_leaves_no_journal),
        test(a_job_that_does_not_end_is_ended_later),
        test(a_job_is_ended_when_libvirt_is_back),
        test(another_backup_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
