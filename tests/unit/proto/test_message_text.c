/* What a peer calls text is text, at any depth. */
#include "proto/message_text.h"
#include "proto/server.pb-c.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_string_is_repaired(void **state)
{
    (void)state;
    Holdfast__Disk disk = HOLDFAST__DISK__INIT;
    Holdfast__Vm vm = HOLDFAST__VM__INIT;
    Holdfast__SilentKind silent = HOLDFAST__SILENT_KIND__INIT;
    Holdfast__VmReport report = HOLDFAST__VM_REPORT__INIT;
    disk.name = "vda";
    disk.path = "/srv/\xff.raw";
    vm.name = "w\xc3\xbc"
              "st\xc3";
    vm.disks = (Holdfast__Disk *[]){&disk, &disk};
    vm.n_disks = 2;
    silent.reason = "\xed\xa0\x80";
    report.vms = (Holdfast__Vm *[]){&vm};
    report.n_vms = 1;
    report.silent = (Holdfast__SilentKind *[]){&silent};
    report.n_silent = 1;

    uint8_t packed[512];
    size_t length = holdfast__vm_report__pack(&report, packed);
    Holdfast__VmReport *got = holdfast__vm_report__unpack(NULL, length, packed);
    assert_non_null(got);
    message_repair_text(&got->base);
    assert_string_equal(got->vms[0]->name, "w\xc3\xbcst?");
    assert_string_equal(got->vms[0]->uuid, ""); /* as it was when nothing was said */
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(got->vms[0]->disks[i]->name, "vda");
        assert_string_equal(got->vms[0]->disks[i]->path, "/srv/?.raw");
    }
    assert_string_equal(got->silent[0]->reason, "???");
    holdfast__vm_report__free_unpacked(got, NULL);
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    Holdfast__VmReport *got = holdfast__vm_report__unpack(NULL, 0, NULL);
    assert_non_null(got);
    message_repair_text(&got->base);
    assert_int_equal(got->n_vms, 0);
    holdfast__vm_report__free_unpacked(got, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_string_is_repaired),
        cmocka_unit_test(nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
