#include "agent/providers/lvm.h"
#include "lvm_fixture.h"
#include <sys/sysmacros.h>

static void answers_of_lvs_are_read(void **state)
{
    (void)state;
    struct error err;
    struct lvm_volume volume;
    const char *two = REPORT(VOLUME("root", "-wi-ao----", "0", "", "",
                                    "") "," VOLUME("thin", "Vwi-aotz--", "1", "", "pool", "12.34"));
    assert_int_equal(lvm_parse(two, makedev(253, 1), &volume, &err), 1);
    assert_string_equal(volume.group, "vg0");
    assert_string_equal(volume.name, "thin");
    assert_string_equal(volume.pool, "pool");
    assert_string_equal(volume.origin, "");
    assert_string_equal(volume.attributes, "Vwi-aotz--");
    assert_true(volume.device == makedev(253, 1));
    assert_int_equal(volume.size, 1024 * mib);
    assert_int_equal(volume.extent, 4 * mib);
    assert_int_equal(volume.group_free, 10240 * mib);
    assert_int_equal(volume.group_size, 20480 * mib);
    assert_true(volume.data_percent > 12.3 && volume.data_percent < 12.4);
    assert_true(volume.metadata_percent < 0);
    assert_int_equal(lvm_parse(two, 0, &volume, &err), 1);
    assert_string_equal(volume.name, "root");
    assert_int_equal(lvm_parse(two, makedev(253, 2), &volume, &err), 0);
    assert_int_equal(lvm_parse(REPORT(""), makedev(253, 2), &volume, &err), 0);
    assert_int_equal(lvm_parse(REPORT(VOLUME("off", "-wi-------", "-1", "", "", "")), 0, &volume, &err), 1);
    assert_true(volume.device == 0);
}

static void useless_answers_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{\"report\": 3}",
        "{\"report\": [",
        REPORT("{}"),
        REPORT("{\"vg_name\":\"vg0\", \"lv_name\":7}"),
        REPORT(VOLUME("--yes", "-wi-ao----", "1", "", "", "")),
        REPORT(VOLUME("a b", "-wi-ao----", "1", "", "", "")),
        REPORT(VOLUME("a", "-wi-ao----", "1", "", "../pool", "")),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err;
        struct lvm_volume volume;
        if (lvm_parse(texts[i], 0, &volume, &err) != -1)
            fail_msg("taken: %s", texts[i]);
        assert_int_equal(err.code, ERROR_TOOL_FAILED);
    }
}

static void snapshots_have_a_sensible_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t size, free, extent, wanted; /* MiB */
    } cases[] = {
        {100, 10000, 4, 64},  {10000, 100000, 4, 1000}, {10010, 100000, 4, 1004},
        {10000, 500, 4, 500}, {10000, 503, 4, 500},     {10000, 3, 4, 0},
        {10000, 0, 4, 0},     {700, 100, 64, 64},       {4000000, 1000000, 4, 65536},
        {650, 1000, 32, 96},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lvm_volume volume = {.attributes = "-wi-ao----",
                                    .size = cases[i].size * mib,
                                    .group_free = cases[i].free * mib,
                                    .extent = cases[i].extent * mib};
        assert_int_equal(lvm_snapshot_size(&volume) / mib, cases[i].wanted);
        struct error err;
        assert_int_equal(lvm_check_snapshot(&volume, &err), cases[i].wanted ? 0 : -1);
    }
}

#define ASKS(selection)                                                                                      \
    "lvs --reportformat json --units b --nosuffix --options "                                                \
    "vg_name,lv_name,lv_attr,lv_size,lv_kernel_major,lv_kernel_minor,origin,pool_lv,vg_free,vg_size,"        \
    "vg_extent_size,data_percent,metadata_percent --select " selection "\n"
#define ASKS_FOR(name) ASKS("vg_name=\"vg0\" && lv_name=\"" name "\"")

static void programs_are_called_as_their_manuals_say(void **state)
{
    (void)state;
    struct error err;
    struct lvm_volume volume;
    struct lvm_volume snapshot;
    say(REPORT(VOLUME("data", "-wi-ao----", "3", "", "", "")));
    assert_int_equal(lvm_find_device(makedev(253, 3), &volume, &err), 1);
    check_text(in_directory("calls"), ASKS("lv_kernel_major=253 && lv_kernel_minor=3"));
    assert_int_equal(lvm_find_device(makedev(7, 0), &volume, &err), 0);
    assert_int_equal(lvm_find_device(makedev(253, 3), &volume, &err), 1);

    say(REPORT(VOLUME("holdfast-1", "swi-a-s---", "4", "data", "", "0.00")));
    check(lvm_snapshot_create(&volume, "holdfast-1", &snapshot, &err), err);
    check_text(in_directory("calls"),
               "lvcreate --snapshot --permission r --name holdfast-1 --addtag holdfast "
               "--size 109051904b vg0/data\n" ASKS_FOR("holdfast-1"));
    assert_true(snapshot.device == makedev(253, 4));
    assert_string_equal(snapshot.origin, "data");

    strcpy(volume.pool, "pool");
    say(REPORT(VOLUME("holdfast-2", "Vri-a-tz--", "5", "data", "pool", "50.00")));
    check(lvm_snapshot_create(&volume, "holdfast-2", &snapshot, &err), err);
    check_text(in_directory("calls"),
               "lvcreate --snapshot --permission r --name holdfast-2 --addtag holdfast "
               "--setactivationskip n vg0/data\n" ASKS_FOR("holdfast-2"));

    say(REPORT(VOLUME("holdfast-1", "swi-a-s---", "4", "data", "", "0.00")));
    check(lvm_snapshot_remove("vg0", "holdfast-1", "data", &err), err);
    check_text(in_directory("calls"), ASKS_FOR("holdfast-1") "lvremove --yes vg0/holdfast-1\n");
}

static void nothing_else_is_removed(void **state)
{
    (void)state;
    struct error err;
    say(REPORT(VOLUME("data", "-wi-ao----", "3", "", "", "")));
    assert_int_equal(lvm_snapshot_remove("vg0", "data", "root", &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_FAILED);
    check_text(in_directory("calls"), ASKS_FOR("data"));
    say(REPORT("")); /* it has gone: fine */
    check(lvm_snapshot_remove("vg0", "holdfast-1", "root", &err), err);
    check_text(in_directory("calls"), ASKS_FOR("holdfast-1"));
    assert_int_equal(lvm_snapshot_remove("vg0", "-f", "root", &err), -1);
    assert_int_equal(lvm_snapshot_remove("vg0\" || lv_name=\"x", "a", "root", &err), -1);
    check_text(in_directory("calls"), ASKS_FOR("holdfast-1"));
}

static void full_and_lost_snapshots_are_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        const char *pool;
        enum error_code code;
    } cases[] = {
        {REPORT(VOLUME("s", "swi-a-s---", "4", "data", "", "89.90")), "", ERROR_NONE},
        {REPORT(VOLUME("s", "swi-a-s---", "4", "data", "", "90.10")), "", ERROR_SCRATCH_SPACE_LOW},
        {REPORT(VOLUME("s", "swi-I-s---", "4", "data", "", "100.00")), "", ERROR_SCRATCH_SPACE_LOW},
        {REPORT(VOLUME("s", "swi-S-s---", "4", "data", "", "")), "", ERROR_SCRATCH_SPACE_LOW},
        {REPORT(""), "", ERROR_SNAPSHOT_FAILED},
        {"no", "", ERROR_TOOL_FAILED},
        {REPORT(VOLUME("s", "Vri-a-tz--", "4", "data", "pool", "94.00")), "pool", ERROR_NONE},
        {REPORT(VOLUME("s", "Vri-a-tz--", "4", "data", "pool", "96.00")), "pool", ERROR_SCRATCH_SPACE_LOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        struct lvm_volume snapshot = {.group = "vg0", .name = "s", .origin = "data"};
        snprintf(snapshot.pool, sizeof snapshot.pool, "%s", cases[i].pool);
        say(cases[i].says);
        assert_int_equal(lvm_snapshot_check(&snapshot, &err), cases[i].code == ERROR_NONE ? 0 : -1);
        if (cases[i].code != ERROR_NONE)
            assert_int_equal(err.code, cases[i].code);
    }
}

static void snapshots_that_lvm_makes_none_of_are_not_tried(void **state)
{
    (void)state;
    static const char *const attributes[] = {"swi-aos---", "Owi-aos---", "Swi-aos---"};
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        struct error err;
        struct lvm_volume volume = {.size = 1024 * mib, .group_free = 1024 * mib};
        snprintf(volume.attributes, sizeof volume.attributes, "%s", attributes[i]);
        assert_int_equal(lvm_check_snapshot(&volume, &err), -1);
        assert_int_equal(err.code, ERROR_SNAPSHOT_FAILED);
    }
}

static void failures_of_programs_are_told(void **state)
{
    (void)state;
    struct error err;
    struct lvm_volume volume = {.group = "vg0", .name = "data", .size = 1024 * mib, .group_free = 1024 * mib};
    struct lvm_volume snapshot;
    say(REPORT(""));
    assert_int_equal(lvm_snapshot_create(&volume, "s", &snapshot, &err), -1); /* made, but not to be seen */
    assert_int_equal(err.code, ERROR_SNAPSHOT_FAILED);
    write_text(in_directory("lvcreate.fails"), "");
    assert_int_equal(lvm_snapshot_create(&volume, "s", &snapshot, &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_FAILED);
    assert_non_null(strstr(err.cause, "lvcreate"));
    write_text(in_directory("lvs.fails"), "");
    assert_int_equal(lvm_find_device(makedev(253, 3), &volume, &err), -1);
    assert_int_equal(err.code, ERROR_TOOL_FAILED);
    assert_non_null(strstr(err.cause, "no luck"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_lvs_are_read),
        cmocka_unit_test(useless_answers_are_refused),
        cmocka_unit_test(snapshots_have_a_sensible_size),
        cmocka_unit_test(programs_are_called_as_their_manuals_say),
        cmocka_unit_test(nothing_else_is_removed),
        cmocka_unit_test(full_and_lost_snapshots_are_noticed),
        cmocka_unit_test(snapshots_that_lvm_makes_none_of_are_not_tried),
        cmocka_unit_test(failures_of_programs_are_told),
    };
    return cmocka_run_group_tests(tests, make_programs, remove_directory);
}
