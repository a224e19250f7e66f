#include "agent/providers/kvm_domain_edit.h"
#include "agent/providers/kvm_xml.h"
#include "provider_fixture.h"

static const char domain_xml[] =
    "<domain type='qemu' id='7'><name>web &amp; co</name><uuid>c5c95f8e-6f04-46e9-9720-8e934d11b422</uuid>"
    "<genid>00000000-0000-4000-8000-000000000001</genid>"
    "<os><type>hvm</type><nvram template='/t.fd'>/n/web.fd</nvram></os>"
    "<sysinfo type='smbios'><system><entry "
    "name='uuid'>c5c95f8e-6f04-46e9-9720-8e934d11b422</entry></system></sysinfo>"
    "<devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/a.qcow2' index='2'>"
    "<seclabel model='dac' relabel='no'/></source><backingStore type='file'><source "
    "file='/i/base'/></backingStore>"
    "<target dev='vda'/><alias name='virtio-disk0'/></disk>"
    "<disk type='block' device='disk'><driver name='qemu'/><source dev='/dev/vg/b'/><target "
    "dev='vdb'/></disk>"
    "<disk type='network' device='disk'><source protocol='rbd' name='p/c'/><target dev='vdc'/></disk>"
    "<disk type='file' device='cdrom'><source file='/nonexistent/cd.iso'/><target "
    "dev='sda'/><readonly/></disk>"
    "<disk type='file' device='disk'><target dev='vdd'/></disk>"
    "<disk type='file' device='disk'><source file='/i/e'/><target dev='vde'/><readonly/></disk>"
    "<disk type='file' device='lun'><source file='/i/f'/><target dev='vdf'/></disk>"
    "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/>"
    "<target dev='vnet3'/><alias name='net0'/></interface>"
    "<serial type='file'><source path='/i/serial.log'/><target port='0'/></serial>"
    "<console type='file'><source path='/i/serial.log'/><target type='serial' port='0'/></console>"
    "<channel type='unix'><source mode='bind' path='/run/agent'/>"
    "<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>"
    "<graphics type='vnc' port='5901' autoport='no'/>"
    "<input type='tablet'><alias name='ua-mine'/></input>"
    "</devices>"
    "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+107</label></seclabel></domain>";

static void disks_are_found_with_what_is_wrong_with_them(void **state)
{
    (void)state;
    struct error err;
    struct kvm_domain domain;
    check(kvm_domain_parse(domain_xml, &domain, &err), err);
    static const struct {
        const char *target;
        const char *path;
        const char *format;
        bool block;
        bool supported;
    } expected[] = {
        {"vda", "/i/a.qcow2", "qcow2", false, true}, {"vdb", "/dev/vg/b", "raw", true, true},
        {"vdc", NULL, "raw", false, false},          {"vdd", NULL, "raw", false, false},
        {"vde", "/i/e", "raw", false, false},        {"vdf", "/i/f", "raw", false, false},
    };
    assert_string_equal(domain.name, "web & co");
    assert_int_equal(domain.agent, KVM_AGENT_CONNECTED);
    assert_true(domain.has_owner);
    assert_int_equal(domain.owner_uid, 64055);
    assert_int_equal(domain.owner_gid, 107);
    assert_int_equal(domain.disk_count, 6);
    for (size_t i = 0; i < 6; i++) {
        const struct kvm_disk *disk = kvm_domain_disk(&domain, expected[i].target);
        assert_non_null(disk);
        assert_string_equal(disk->format, expected[i].format);
        assert_int_equal(disk->block, expected[i].block);
        assert_int_equal(disk->problem == NULL, expected[i].supported);
        if (expected[i].path)
            assert_string_equal(disk->path, expected[i].path);
        else
            assert_null(disk->path);
    }
    assert_null(kvm_domain_disk(&domain, "sda"));
    kvm_domain_release(&domain);
}

static void nonsense_is_no_domain(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "<",
        "<volume/>",
        "<domain/>",
        "<domain><name>x</name></domain>",
        "<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><domain>&e;</domain>"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err;
        struct kvm_domain domain;
        assert_int_equal(kvm_domain_parse(texts[i], &domain, &err), -1);
        assert_int_equal(err.code, ERROR_INTERNAL);
    }
}

static void broken_bitmaps_have_no_size(void **state)
{
    (void)state;
    static const char xml[] = "<domaincheckpoint><name>c</name><disks>"
                              "<disk name='vda' checkpoint='bitmap' bitmap='c' size='65536'/>"
                              "<disk name='vdb' checkpoint='bitmap' bitmap='c'/>"
                              "<disk name='vdc' checkpoint='bitmap' bitmap='c' size='-1'/>"
                              "<disk name='vdd' checkpoint='bitmap' bitmap='c' size='12x'/>"
                              "</disks></domaincheckpoint>";
    assert_int_equal(kvm_checkpoint_dirty(xml, "vda"), 65536);
    assert_int_equal(kvm_checkpoint_dirty(xml, "vdb"), -1);
    assert_int_equal(kvm_checkpoint_dirty(xml, "vdc"), -1);
    assert_int_equal(kvm_checkpoint_dirty(xml, "vdd"), -1);
    assert_int_equal(kvm_checkpoint_dirty(xml, "vde"), -1);
    assert_int_equal(kvm_checkpoint_dirty("<x/>", "vda"), -1);
}

static void requests_are_written(void **state)
{
    (void)state;
    const struct kvm_backup_disk disks[] = {{"vda", "/s/<a>", "old"}, {"vdb", "/s/b'", NULL}};
    char *xml = kvm_backup_xml("/s/nbd", disks, 2);
    assert_string_equal(xml,
                        "<domainbackup mode='pull'><server transport='unix' socket='/s/nbd'/><disks>"
                        "<disk type='file' backup='yes' name='vda' exportname='vda' backupmode='incremental' "
                        "incremental='old' exportbitmap='holdfast'><scratch file='/s/&lt;a&gt;'/></disk>"
                        "<disk type='file' backup='yes' name='vdb' exportname='vdb' backupmode='full'>"
                        "<scratch file='/s/b&apos;'/></disk></disks></domainbackup>");
    free(xml);
    const char *const targets[] = {"vda"};
    xml = kvm_checkpoint_xml("new", 5, targets, 1);
    assert_string_equal(xml,
                        "<domaincheckpoint><name>new</name><creationTime>5</creationTime><disks>"
                        "<disk checkpoint='bitmap' name='vda' bitmap='new'/></disks></domaincheckpoint>");
    free(xml);
}

static const struct kvm_edit_disk new_disks[] = {{"vda", "/new/x-vda.raw", "raw", false}};

static void check_parts(const char *xml, const char *const *present, const char *const *absent)
{
    for (; *present; present++) {
        if (!strstr(xml, *present))
            fail_msg("missing: %s in %s", *present, xml);
    }
    for (; *absent; absent++) {
        if (strstr(xml, *absent))
            fail_msg("still there: %s in %s", *absent, xml);
    }
}

static void copy_shares_nothing_with_the_original(void **state)
{
    (void)state;
    struct error err;
    const struct kvm_edit edit = {.name = "a<b",
                                  .uuid = "99999999-0000-4000-8000-000000000001",
                                  .directory = "/new",
                                  .disks = new_disks,
                                  .disk_count = 1};
    char *xml = kvm_domain_edit(domain_xml, &edit, &err);
    assert_non_null(xml);
    static const char *const present[] = {"<name>a&lt;b</name>",
                                          "<uuid>99999999-0000-4000-8000-000000000001</uuid>",
                                          "<entry name=\"uuid\">99999999-0000-4000-8000-000000000001</entry>",
                                          "<source file=\"/new/x-vda.raw\"/>",
                                          "type=\"raw\"",
                                          "path=\"/new/a&lt;b-serial0.log\"",
                                          "ua-mine",
                                          "device=\"cdrom\"",
                                          "autoport=\"yes\"",
                                          "<nvram template=\"/t.fd\"/>",
                                          "org.qemu.guest_agent.0",
                                          NULL};
    static const char *const absent[] = {"c5c95f8e",        "id=\"7\"", "52:54:00",     "vnet3",   "/i/",
                                         "virtio-disk0",    "seclabel", "backingStore", "/dev/vg", "rbd",
                                         "/run/agent",      "cd.iso",   "5901",         "index=",  "web.fd",
                                         "<genid>00000000", NULL};
    check_parts(xml, present, absent);
    free(xml);
}

static void networks_are_exchanged(void **state)
{
    (void)state;
    struct error err;
    static const struct kvm_edit_network networks[] = {{"other", "wrong"}, {"default", "lan"}};
    const struct kvm_edit edit = {.name = "b",
                                  .uuid = "99999999-0000-4000-8000-000000000001",
                                  .directory = "/new",
                                  .networks = networks,
                                  .network_count = 2,
                                  .nvram = "/new/b_VARS.fd"};
    char *xml = kvm_domain_edit(domain_xml, &edit, &err);
    assert_non_null(xml);
    static const char *const present[] = {"<source network=\"lan\"/>", ">/new/b_VARS.fd</nvram>", NULL};
    static const char *const absent[] = {"default", "wrong", "/n/web.fd", NULL};
    check_parts(xml, present, absent);
    free(xml);
}

static void original_keeps_its_identity(void **state)
{
    (void)state;
    struct error err;
    const struct kvm_edit edit = {.name = "web & co", .disks = new_disks, .disk_count = 1};
    char *xml = kvm_domain_edit(domain_xml, &edit, &err);
    assert_non_null(xml);
    static const char *const present[] = {"<name>web &amp; co</name>",
                                          "<uuid>c5c95f8e-6f04-46e9-9720-8e934d11b422</uuid>",
                                          "52:54:00:00:00:01",
                                          "<source file=\"/new/x-vda.raw\"/>",
                                          "/dev/vg/b",
                                          "rbd",
                                          "/i/serial.log",
                                          "/n/web.fd",
                                          NULL};
    static const char *const absent[] = {"id=\"7\"",         "vnet3", "virtio-disk0", "backingStore",
                                         "type=\"dynamic\"", NULL};
    check_parts(xml, present, absent);
    free(xml);
    assert_null(kvm_domain_edit("{}", &edit, &err));
    assert_int_equal(err.code, ERROR_RESTORE_HOST_KIND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_are_found_with_what_is_wrong_with_them),
        cmocka_unit_test(nonsense_is_no_domain),
        cmocka_unit_test(broken_bitmaps_have_no_size),
        cmocka_unit_test(requests_are_written),
        cmocka_unit_test(copy_shares_nothing_with_the_original),
        cmocka_unit_test(networks_are_exchanged),
        cmocka_unit_test(original_keeps_its_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
