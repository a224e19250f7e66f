/* UEFI variables on their way into a configuration, and out of one that may be from anybody. */
#include "agent/providers/kvm_firmware.h"
#include "base/memory.h"
#include "provider_fixture.h"

static char *path;

enum { LENGTH = 540672 };

static char *domain(const char *inside)
{
    return memory_format("<domain type='kvm'><name>a</name><os><nvram>%s</nvram></os>"
                         "<uuid>c5c95f8e-6f04-46e9-9720-8e934d11b422</uuid>%s</domain>",
                         path, inside);
}

static void write_vars(void)
{
    struct error err;
    uint8_t *bytes = memory_alloc(LENGTH);
    memset(bytes, 0xff, LENGTH);
    memset(bytes, 1, 1000);
    assert_int_equal(os_file_write_whole(path, bytes, LENGTH, 0600, &err), 0);
    free(bytes);
}

static void variables_come_back(void **state)
{
    (void)state;
    struct error err;
    struct kvm_firmware firmware;
    char *missing;
    char *plain = domain("<metadata><app xmlns='urn:other'>kept</app></metadata>");
    write_vars();
    char *with = kvm_firmware_attach(plain, &missing);
    assert_null(missing);
    assert_true(strlen(with) < 8192); /* packed */
    char *without = kvm_firmware_detach(with, &firmware);
    assert_null(strstr(without, "holdfast:"));
    assert_non_null(strstr(without, "kept"));
    assert_int_equal(firmware.count, 1);
    assert_true(kvm_firmware_has_nvram(&firmware));
    assert_int_equal(firmware.files[0].length, LENGTH);
    assert_int_equal(firmware.files[0].bytes[999], 1);
    assert_int_equal(firmware.files[0].bytes[1000], 0xff);
    char *place = kvm_firmware_place(without, &firmware.files[0], &err);
    assert_string_equal(place, path);
    free(place);
    kvm_firmware_release(&firmware);
    free(without);
    free(with);
    free(plain);
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    struct error err;
    char *missing;
    char *xml = domain("<devices><tpm><backend type='emulator'/></tpm></devices>");
    assert_int_equal(os_path_remove(path, &err), 0);
    char *same = kvm_firmware_attach(xml, &missing);
    assert_string_equal(same, xml);
    assert_string_equal(missing, "its UEFI variables and the state of its TPM");
    free(missing);
    free(same);
    free(xml);
}

static void hostile_metadata_is_left_out(void **state)
{
    (void)state;
    static const char *const files[] = {
        "name='tpm2/../../../etc/passwd' size='1' compression='plain'>00",
        "name='tpm2/a/b' size='1' compression='plain'>00",
        "name='/etc/passwd' size='1' compression='plain'>00",
        "name='tpm2/.lock' size='1' compression='plain'>00",
        "name='tpm2/' size='1' compression='plain'>00",
        "name='nvram' size='99999999999' compression='plain'>00",
        "name='nvram' size='0' compression='plain'>",
        "name='nvram' size='2' compression='plain'>00",
        "name='nvram' size='1' compression='plain'>0",
        "name='nvram' size='1' compression='plain'>zz",
        "name='nvram' size='1048576' compression='zstd'>28b52ffd",
        "size='1' compression='plain'>00",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct kvm_firmware firmware;
        char *metadata =
            memory_format("<metadata><h:firmware xmlns:h='urn:holdfast:firmware:1'><h:file %s</h:file>"
                          "</h:firmware></metadata>",
                          files[i]);
        char *xml = domain(metadata);
        char *without = kvm_firmware_detach(xml, &firmware);
        assert_non_null(without);
        assert_int_equal(firmware.count, 0);
        assert_null(strstr(without, "metadata"));
        free(without);
        free(xml);
        free(metadata);
    }
    struct kvm_firmware firmware;
    assert_null(kvm_firmware_detach("{}", &firmware));
}

static int set_up(void **state)
{
    int result = make_directory(state);
    path = os_path_join(directory, "VARS.fd");
    return result;
}

static int tear_down(void **state)
{
    free(path);
    return remove_directory(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(variables_come_back),
                                       cmocka_unit_test(what_is_missing_is_said),
                                       cmocka_unit_test(hostile_metadata_is_left_out)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
