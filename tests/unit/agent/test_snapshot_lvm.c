/* Snapshots of logical volumes that stay: which disks can have one, what is told from what LVM says. */
#include "lvm_fixture.h"

#include "agent/snapshots/snapshot_method.h"
#include <sys/sysmacros.h>

/* One row of lvs in a group of 20 GiB with so much free, in MiB. */
#define ROW(name, attributes, minor, size, free, origin, pool, data, metadata)                               \
    "{\"vg_name\":\"vg0\", \"lv_name\":\"" name "\", \"lv_attr\":\"" attributes "\", \"lv_size\":\"" size    \
    "\", \"lv_kernel_major\":\"253\", \"lv_kernel_minor\":\"" minor "\", \"origin\":\"" origin               \
    "\", \"pool_lv\":\"" pool "\", \"vg_free\":\"" free                                                      \
    "\", \"vg_size\":\"21474836480\", \"vg_extent_size\":\"4194304\", \"data_percent\":\"" data              \
    "\", \"metadata_percent\":\"" metadata "\"}"
#define HALF "10737418240"
#define TENTH "2147483648"
#define NEXT_TO_NONE "1073741824"
#define DATA(free) ROW("data", "owi-aos---", "3", "1073741824", free, "", "", "", "")
#define KEPT(attributes, size, free, data)                                                                   \
    ROW("holdfast-kept-p1-vda", attributes, "4", size, free, "data", "", data, "")
#define THIN(attributes)                                                                                     \
    ROW("holdfast-kept-p1-vda", attributes, "4", "1073741824", HALF, "data", "pool", "9", "")
#define POOL(data, metadata) ROW("pool", "twi-aotz--", "5", "1073741824", HALF, "", "", data, metadata)

static const struct snapshot_make_wish wish = {.point = "p1", .vm_uuid = "u1", .thick = true};
static const struct snapshot_make_wish careful = {.point = "p1", .vm_uuid = "u1"};

static json_t *kept(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "method", "lvm", "group", "vg0", "volume",
                     "holdfast-kept-p1-vda", "origin", "data", "alone", "vg0/data");
}

static void make_node(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 && mknod(path, S_IFBLK | 0600, makedev(253, 3)) != 0)
        fail_msg("this needs the right to make device nodes");
}

static void what_lies_at_the_path_decides(void **state)
{
    (void)state;
    struct error err;
    const char *node = in_directory("device");
    make_node(node);
    write_text(in_directory("file.raw"), "raw");
    static const struct {
        const char *file, *format, *lvs, *method, *says;
    } cases[] = {
        {"file.raw", "raw", REPORT(""), "clone", NULL},
        {"device", "raw", REPORT(DATA(HALF)), "lvm", NULL},
        {"device", "qcow2", REPORT(DATA(HALF)), "lvm", "only raw"},
        {"device", "raw", REPORT(""), "lvm", "no logical volume"},
        {"device", "raw", "no", "lvm", "does not say"},
        {".", "raw", REPORT(""), NULL, "neither a file nor a block device"},
        {"missing", "raw", REPORT(""), NULL, "can't be opened"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct snapshot_make_disk disk = {"vda", in_directory(cases[i].file), cases[i].format, 1, 1};
        say(cases[i].lvs);
        const struct snapshot_method *method = snapshot_method_for(&disk, &err);
        struct snapshot_part *part = NULL;
        json_t *record = json_object();
        if (cases[i].method)
            assert_string_equal(method->name, cases[i].method);
        else
            assert_null(method);
        if (method)
            part = method->plan(&wish, &disk, record, &err);
        assert_int_equal(part != NULL, cases[i].says == NULL);
        if (!part)
            assert_int_equal(err.code, ERROR_SNAPSHOT_NOT_KEPT);
        if (!part && !strstr(err.message, cases[i].says))
            fail_msg("\"%s\" does not say %s", err.message, cases[i].says);
        if (part)
            method->end(part);
        json_decref(record);
    }
}

static void records_name_what_is_made(void **state)
{
    (void)state;
    struct error err;
    const struct snapshot_make_disk disk = {"vda", in_directory("device"), "raw", 1, 1};
    make_node(disk.path);
    static const struct {
        const char *lvs;
        const char *alone;
    } cases[] = {
        {REPORT(DATA(HALF)), "vg0/data"},
        {REPORT(ROW("data", "Vwi-aotz--", "3", "1", HALF, "", "pool", "1", "")), NULL},
    };
    for (size_t i = 0; i < 2; i++) {
        json_t *record = json_object();
        say(cases[i].lvs);
        struct snapshot_part *part = snapshot_method_lvm.plan(&careful, &disk, record, &err);
        assert_int_equal(part == NULL, cases[i].alone != NULL); /* a thick one only when that is allowed */
        part = part ? part : snapshot_method_lvm.plan(&wish, &disk, record, &err);
        assert_non_null(part);
        snapshot_method_lvm.end(part);
        json_t *wanted = kept();
        json_object_del(wanted, "method");
        if (!cases[i].alone)
            json_object_del(wanted, "alone"); /* in a thin pool there may be several */
        assert_true(json_equal(record, wanted));
        json_decref(wanted);
        json_decref(record);
    }
}

static void room_is_asked_for_first(void **state)
{
    (void)state;
    struct error err;
    static const struct {
        const char *lvs;
        const char *says;
    } cases[] = {
        {REPORT(DATA(HALF)), NULL},
        {REPORT(DATA(TENTH)), "The volume group vg0 has 2048 MiB free; 20 %"},
        {REPORT(DATA("0")), "LVM can't make a snapshot"},
        {REPORT(ROW("data", "swi-aos---", "3", "1", HALF, "", "", "", "")), "LVM can't make a snapshot"},
        {REPORT(""), "LVM does not tell"},
        {"no", "LVM does not tell"},
        {REPORT(ROW("data", "Vwi-aotz--", "3", "1", "0", "", "pool", "79", "79")), NULL}, /* and its pool */
        {REPORT(ROW("data", "Vwi-aotz--", "3", "1", "0", "", "pool", "81", "1")), "20 % of the thin pool"},
        {REPORT(ROW("data", "Vwi-aotz--", "3", "1", "0", "", "pool", "1", "81")), "20 % of the thin pool"},
    };
    json_t *record = kept();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        say(cases[i].lvs);
        int result = snapshot_method_lvm.check_room(record, 0, 20, &err);
        assert_int_equal(result, cases[i].says ? -1 : 0);
        if (result != 0)
            assert_int_equal(err.code, ERROR_SNAPSHOT_NOT_KEPT);
        if (result != 0 && !strstr(err.message, cases[i].says))
            fail_msg("\"%s\" does not say %s", err.message, cases[i].says);
    }
    json_decref(record);
}

static bool was_called(const char *program)
{
    struct error err;
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (os_file_read_whole(in_directory("calls"), 1024 * 1024, &bytes, &length, &err) != 0)
        return false;
    bool found = strstr((char *)bytes, program) != NULL;
    free(bytes);
    return found;
}

static enum snapshot_state tended(const char *lvs)
{
    json_t *record = kept();
    say(lvs);
    void *view = snapshot_method_lvm.look();
    assert_non_null(view);
    enum snapshot_state state = snapshot_method_lvm.tend(record, view, 10);
    snapshot_method_lvm.forget(view);
    json_decref(record);
    return state;
}

static void what_lvm_says_decides_whether_it_stays(void **state)
{
    (void)state;
    static const struct {
        const char *lvs;
        enum snapshot_state wanted;
        bool extends;
    } cases[] = {
        {REPORT(DATA(HALF) "," KEPT("sri-a-s---", "109051904", HALF, "79.9")), SNAPSHOT_FINE, false},
        {REPORT(DATA(HALF) "," KEPT("sri-a-s---", "109051904", HALF, "80.1")), SNAPSHOT_FINE, true},
        {REPORT(DATA(TENTH) "," KEPT("sri-a-s---", "109051904", TENTH, "80.1")), SNAPSHOT_FULL, false},
        /* larger than the volume: it can't run full */
        {REPORT(DATA(TENTH) "," KEPT("sri-a-s---", "1077936128", TENTH, "99.0")), SNAPSHOT_FINE, false},
        {REPORT(DATA(NEXT_TO_NONE) "," KEPT("sri-a-s---", "109051904", NEXT_TO_NONE, "1.0")), SNAPSHOT_SHORT,
         false},
        {REPORT(DATA(HALF) "," KEPT("sri-I-s---", "109051904", HALF, "100.0")), SNAPSHOT_SPOILED, false},
        {REPORT(""), SNAPSHOT_LOST, false},
        {REPORT(POOL("89", "10") "," THIN("Vri-a-tz--")), SNAPSHOT_FINE, false},
        {REPORT(POOL("91", "10") "," THIN("Vri-a-tz--")), SNAPSHOT_SHORT, false},
        {REPORT(POOL("10", "91") "," THIN("Vri-a-tz--")), SNAPSHOT_SHORT, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (tended(cases[i].lvs) != cases[i].wanted)
            fail_msg("case %zu is %d", i, (int)tended(cases[i].lvs));
        assert_int_equal(was_called("lvextend --size +54525952b vg0/holdfast-kept-p1-vda"), cases[i].extends);
    }
    struct error err;
    write_text(in_directory("lvextend.fails"), "");
    assert_int_equal(tended(REPORT(DATA(HALF) "," KEPT("sri-a-s---", "109051904", HALF, "90.0"))),
                     SNAPSHOT_FULL);
    check(os_path_remove(in_directory("lvextend.fails"), &err), err);
}

static void what_is_lost_is_not_read(void **state)
{
    (void)state;
    struct error err;
    json_t *record = kept();
    static const struct {
        const char *lvs;
        bool there;
    } cases[] = {
        {REPORT(KEPT("sri-I-s---", "109051904", HALF, "100.0")), true},
        {REPORT(""), false},
        {"no", true}, /* it may be */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        say(cases[i].lvs);
        assert_null(snapshot_method_lvm.locate(record, &err));
        assert_int_equal(err.code, ERROR_SNAPSHOT_GONE);
        assert_int_equal(snapshot_method_lvm.is_there(record), cases[i].there);
    }
    say("no");
    assert_null(snapshot_method_lvm.look());
    assert_int_equal(snapshot_method_lvm.remove(record, &err), -1);
    assert_false(was_called("lvremove"));
    say(REPORT(KEPT("sri-a-s---", "109051904", HALF, "1.0")));
    check(snapshot_method_lvm.remove(record, &err), err);
    assert_true(was_called("lvremove --yes vg0/holdfast-kept-p1-vda"));
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_at_the_path_decides),
        cmocka_unit_test(records_name_what_is_made),
        cmocka_unit_test(room_is_asked_for_first),
        cmocka_unit_test(what_lvm_says_decides_whether_it_stays),
        cmocka_unit_test(what_is_lost_is_not_read),
    };
    return cmocka_run_group_tests(tests, make_programs, remove_directory);
}
