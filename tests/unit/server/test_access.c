/* Passwords, codes, limits, and who a token belongs to. */
#include "catalog_fixture.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "server/access/access.h"
#include "server/access/factor.h"
#include "server/access/limits.h"
#include "server/server.h"
#include "sql/statements.h"
#include <sqlite3.h>
#include <unistd.h>

static const int64_t start_ms = 1795000000000; /* some day in 2026 */
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

/* --- primitives */

/* RFC 7914, section 12 */
static void test_scrypt(void **state)
{
    (void)state;
    uint8_t out[64];
    char text[129];
    assert_int_equal(secret_scrypt("password", "NaCl", 4, 10, 8, 16, out, sizeof out), 0);
    bytes_to_hex(out, sizeof out, text);
    assert_string_equal(text, "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                              "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
    assert_int_equal(secret_scrypt("pleaseletmein", "SodiumChloride", 14, 14, 8, 1, out, sizeof out), 0);
    bytes_to_hex(out, sizeof out, text);
    assert_string_equal(text, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                              "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

static void test_password(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "scrypt$15$8$3$00$00",
        "scrypt$30$8$3$00112233445566778899aabbccddeeff$"
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "scrypt$15$8$3$00112233445566778899aabbccddeeff$"
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeffx",
    };
    char hash[SECRET_HASH_SIZE];
    secret_hash_password("correct horse", hash);
    assert_true(strncmp(hash, "scrypt$15$8$3$", 14) == 0);
    assert_true(secret_check_password("correct horse", hash));
    assert_false(secret_check_password("correct horsf", hash));
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_false(secret_check_password("", broken[i]));
    }
}

/* RFC 6238, appendix B: the last six digits of each */
static void test_totp(void **state)
{
    (void)state;
    static const struct {
        int64_t time_s;
        uint32_t code;
    } vectors[] = {{59, 287082},       {1111111109, 81804},  {1111111111, 50471},
                   {1234567890, 5924}, {2000000000, 279037}, {20000000000, 353130}};
    const uint8_t *key = (const uint8_t *)"12345678901234567890";
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        int64_t step = totp_step(vectors[i].time_s * SECOND);
        assert_int_equal(totp_code(key, step), vectors[i].code);
    }
    int64_t step;
    assert_true(totp_check(key, "081804", 1111111109LL * SECOND, 0, &step));
    assert_int_equal(step, 1111111109 / TOTP_STEP_S);
    assert_false(totp_check(key, "081804", 1111111109LL * SECOND, step, &step)); /* once */
    assert_true(totp_check(key, "081804", (1111111109LL + 30) * SECOND, 0, &step));
    assert_true(totp_check(key, "081804", (1111111109LL - 30) * SECOND, 0, &step));
    assert_false(totp_check(key, "081804", (1111111109LL + 60) * SECOND, 0, &step));
    assert_false(totp_check(key, "081804", (1111111109LL - 60) * SECOND, 0, &step));
    assert_false(totp_check(key, "81804", 1111111109LL * SECOND, 0, &step));
}

static void test_texts(void **state)
{
    (void)state;
    uint8_t bytes[20];
    char text[SECRET_BASE32_SIZE];
    char code[SECRET_RECOVERY_SIZE];
    char read[SECRET_RECOVERY_SIZE];
    secret_base32_encode((const uint8_t *)"foobarfoob", 10, text);
    assert_string_equal(text, "MZXW6YTBOJTG633C");
    secret_base32_encode((const uint8_t *)"12345678901234567890", 20, text);
    assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_int_equal(secret_base32_decode(text, bytes, sizeof bytes), 0);
    assert_memory_equal(bytes, "12345678901234567890", sizeof bytes);
    assert_int_equal(secret_base32_decode("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", bytes, sizeof bytes), -1);
    assert_int_equal(secret_base32_decode("GEZDGNBV", bytes, sizeof bytes), -1);
    secret_make_recovery_code(code);
    assert_int_equal(strlen(code), 19);
    assert_true(secret_read_recovery_code(code, read));
    assert_string_equal(code, read);
    assert_true(secret_read_recovery_code("ABCD efgh-IJKL2345", read));
    assert_string_equal(read, "abcd-efgh-ijkl-2345");
    assert_false(secret_read_recovery_code("abcd-efgh-ijkl-234", read));
    assert_false(secret_read_recovery_code("abcd-efgh-ijkl-23456", read));
    assert_false(secret_read_recovery_code("abcd-efgh-ijkl-1890", read));
}

static void test_roles(void **state)
{
    (void)state;
    assert_true(access_role_allows(ROLE_ADMINISTRATOR, ROLE_OPERATOR));
    assert_true(access_role_allows(ROLE_VIEWER, ROLE_ANYONE));
    assert_false(access_role_allows(ROLE_VIEWER, ROLE_OPERATOR));
    assert_int_equal(access_role_lesser(ROLE_ADMINISTRATOR, ROLE_VIEWER), ROLE_VIEWER);
    enum access_role role;
    assert_int_equal(access_role_parse("anyone", &role), -1);
    assert_int_equal(access_role_parse("operator", &role), 0);
    assert_int_equal(role, ROLE_OPERATOR);
}

/* --- limits */

static void test_rate(void **state)
{
    (void)state;
    int64_t wait_ms;
    clock_test_set(start_ms);
    struct rate_limit *limit = rate_limit_create(2, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(rate_limit_take(limit, "a", &wait_ms));
    }
    assert_false(rate_limit_take(limit, "a", &wait_ms));
    assert_in_range(wait_ms, 400, 600);
    assert_true(rate_limit_take(limit, "b", &wait_ms));
    clock_test_advance_ms(wait_ms + 600);
    assert_true(rate_limit_take(limit, "a", &wait_ms));
    rate_limit_destroy(limit);
    clock_test_clear();
}

static void test_lockout(void **state)
{
    (void)state;
    clock_test_set(start_ms);
    struct lockout *lockout = lockout_create(3);
    static const int64_t waits[] = {0, 0, 5, 10, 20, 40, 80, 160, 320, 640, 900, 900};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        lockout_wrong(lockout, "alice");
        assert_int_equal(lockout_wait_ms(lockout, "alice"), waits[i] * SECOND);
        clock_test_advance_ms(waits[i] * SECOND);
        assert_int_equal(lockout_wait_ms(lockout, "alice"), 0);
    }
    assert_int_equal(lockout_wait_ms(lockout, "bob"), 0);
    /* many others don't make it forget */
    lockout_wrong(lockout, "alice");
    for (int i = 0; i < 20000; i++) {
        char key[32];
        snprintf(key, sizeof key, "other %d", i);
        lockout_wrong(lockout, key);
    }
    assert_int_equal(lockout_wait_ms(lockout, "alice"), 900 * SECOND);
    lockout_right(lockout, "alice");
    assert_int_equal(lockout_wait_ms(lockout, "alice"), 0);
    for (int i = 0; i < 3; i++) {
        lockout_wrong(lockout, "alice");
    }
    lockout_undo(lockout, "alice");
    assert_int_equal(lockout_wait_ms(lockout, "alice"), 0);
    lockout_wrong(lockout, "alice");
    assert_int_equal(lockout_wait_ms(lockout, "alice"), 5 * SECOND);
    clock_test_advance_ms(HOUR + SECOND);
    assert_int_equal(lockout_wait_ms(lockout, "alice"), 0);
    lockout_wrong(lockout, "alice");
    assert_int_equal(lockout_wait_ms(lockout, "alice"), 0); /* forgotten */
    lockout_destroy(lockout);
    clock_test_clear();
}

/* --- who a token belongs to */

static struct access *begin_access(struct catalog_world *world, const char *factor)
{
    struct error err;
    struct config *config = config_load(NULL, server_config_keys, &err);
    check(config_set(config, "second-factor", factor, &err), err);
    struct access *access = access_create(world->catalog, config, world->root, &err);
    check(access != NULL ? 0 : -1, err);
    config_destroy(config);
    return access;
}

static const struct catalog_user *add_user(struct catalog_world *world, const char *name,
                                           enum access_role role, const char *password)
{
    struct error err;
    char id[IDENTITY_SIZE];
    char hash[SECRET_HASH_SIZE] = "";
    identity_create(id);
    if (password != NULL) {
        secret_hash_password(password, hash);
    }
    struct catalog_user user = {
        .id = id, .name = name, .role = role, .everything = true, .password_hash = hash};
    check(catalog_user_insert(world->catalog, &user, &err), err);
    const struct catalog_user *found = catalog_user_find(world->catalog, world->arena, name, &err);
    check(found != NULL ? 0 : -1, err);
    return found;
}

static enum error_code log_in(struct catalog_world *world, struct access *access, const char *user,
                              const char *password, const char *code, char *digest)
{
    struct error err = {.code = ERROR_NONE};
    struct access_identity identity;
    char token[SECRET_TOKEN_SIZE];
    int64_t wait_ms = 0;
    struct access_login login = {.user = user, .password = password, .code = code, .address = "192.0.2.1"};
    if (access_log_in(access, world->arena, &login, token, &identity, &wait_ms, &err) != 0) {
        return err.code;
    }
    secret_digest(token, digest);
    return ERROR_NONE;
}

static enum error_code authenticate(struct catalog_world *world, struct access *access, const char *digest,
                                    struct access_identity *identity)
{
    struct error err = {.code = ERROR_NONE};
    return access_authenticate(access, world->arena, digest, identity, &err) != 0 ? err.code : ERROR_NONE;
}

static void test_session(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    char digest[SECRET_DIGEST_SIZE];
    struct access_identity identity;
    clock_test_set(start_ms);
    struct access *access = begin_access(world, "if-set");
    const struct catalog_user *alice = add_user(world, "alice", ROLE_OPERATOR, "correct horse");
    assert_int_equal(log_in(world, access, "alice", "correct horse", NULL, digest), ERROR_NONE);
    assert_int_equal(authenticate(world, access, digest, &identity), ERROR_NONE);
    assert_string_equal(identity.user_name, "alice");
    assert_int_equal(identity.role, ROLE_OPERATOR);
    /* what the user is counts at once */
    struct catalog_user changed = *alice;
    changed.role = ROLE_VIEWER;
    check(catalog_user_update(world->catalog, &changed, &err), err);
    assert_int_equal(authenticate(world, access, digest, &identity), ERROR_NONE);
    assert_int_equal(identity.role, ROLE_VIEWER);
    changed.disabled = true;
    check(catalog_user_update(world->catalog, &changed, &err), err);
    assert_int_equal(authenticate(world, access, digest, &identity), ERROR_AUTHENTICATION_FAILED);
    changed.disabled = false;
    check(catalog_user_update(world->catalog, &changed, &err), err);
    /* used: not idle; 12 hours are the end in any case */
    for (int i = 0; i < 14; i++) {
        clock_test_advance_ms(50 * MINUTE);
        assert_int_equal(authenticate(world, access, digest, &identity), ERROR_NONE);
    }
    clock_test_advance_ms(21 * MINUTE);
    assert_int_equal(authenticate(world, access, digest, &identity), ERROR_SESSION_EXPIRED);
    assert_int_equal(log_in(world, access, "alice", "correct horse", NULL, digest), ERROR_NONE);
    clock_test_advance_ms(61 * MINUTE);
    assert_int_equal(authenticate(world, access, digest, &identity), ERROR_SESSION_EXPIRED);
    access_destroy(access);
    clock_test_clear();
}

/* Nobody learns who is there; five tries, then none counts for a time. */
static void test_wrong_password(void **state)
{
    struct catalog_world *world = *state;
    char digest[SECRET_DIGEST_SIZE];
    clock_test_set(start_ms);
    struct access *access = begin_access(world, "if-set");
    add_user(world, "nopassword", ROLE_VIEWER, NULL);
    assert_int_equal(log_in(world, access, "nopassword", "", NULL, digest), ERROR_AUTHENTICATION_FAILED);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(log_in(world, access, "nobody", "guess", NULL, digest), ERROR_AUTHENTICATION_FAILED);
    }
    assert_int_equal(log_in(world, access, "nobody", "guess", NULL, digest), ERROR_LOGIN_DELAYED);
    access_destroy(access);
    clock_test_clear();
}

static const char plain_secret[] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

static const char *code_at(const struct catalog_world *world, const struct catalog_user *user, int64_t ms,
                           char text[8])
{
    struct error err;
    uint8_t key[TOTP_KEY_SIZE];
    check(factor_open(world->root, user->id, user->totp_secret, key, &err), err);
    snprintf(text, 8, "%06u", totp_code(key, totp_step(ms)) % 1000000);
    return text;
}

static enum error_code try_factor(struct access *access, const struct catalog_user *user, const char *code,
                                  bool demanded)
{
    struct error err = {.code = ERROR_NONE};
    int64_t wait_ms;
    return access_check_factor(access, user, code, demanded, &wait_ms, &err) != 0 ? err.code : ERROR_NONE;
}

static void test_second_factor(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    char text[8];
    char digest[SECRET_DIGEST_SIZE];
    bool done;
    clock_test_set(start_ms);
    struct access *access = begin_access(world, "required");
    const struct catalog_user *alice = add_user(world, "alice", ROLE_OPERATOR, "correct horse");
    assert_int_equal(try_factor(access, alice, NULL, false), ERROR_NONE);
    assert_int_equal(try_factor(access, alice, "123456", true), ERROR_SECOND_FACTOR_REQUIRED);
    const char *secret;
    check(factor_seal(world->root, alice->id, plain_secret, world->arena, &secret, &err), err);
    check(catalog_user_set_totp_pending(world->catalog, alice->id, secret, &err), err);
    check(catalog_user_confirm_totp(world->catalog, alice->id, "another", 1, &done, &err), err);
    assert_false(done);
    check(catalog_user_confirm_totp(world->catalog, alice->id, secret, 1, &done, &err), err);
    assert_true(done);
    secret_digest("abcd-efgh-ijkl-mnop", digest);
    check(catalog_recovery_code_add(world->catalog, alice->id, digest, &err), err);
    alice = catalog_user_find(world->catalog, world->arena, "alice", &err);
    assert_int_equal(alice->recovery_codes, 1);
    assert_int_equal(try_factor(access, alice, NULL, false), ERROR_SECOND_FACTOR_REQUIRED);
    assert_int_equal(log_in(world, access, "alice", "correct horse", NULL, digest),
                     ERROR_SECOND_FACTOR_REQUIRED);
    assert_int_equal(
        log_in(world, access, "alice", "correct horse", code_at(world, alice, start_ms, text), digest),
        ERROR_NONE);
    /* once, also for who still has the row of before; nor any code before it */
    assert_int_equal(try_factor(access, alice, text, false), ERROR_AUTHENTICATION_FAILED);
    assert_int_equal(try_factor(access, alice, code_at(world, alice, start_ms - 30 * SECOND, text), false),
                     ERROR_AUTHENTICATION_FAILED);
    assert_int_equal(try_factor(access, alice, code_at(world, alice, start_ms + 30 * SECOND, text), false),
                     ERROR_NONE);
    assert_int_equal(try_factor(access, alice, "ABCDEFGHIJKLMNOP", false), ERROR_NONE);
    assert_int_equal(try_factor(access, alice, "ABCDEFGHIJKLMNOP", false), ERROR_AUTHENTICATION_FAILED);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(try_factor(access, alice, "000000", false), ERROR_AUTHENTICATION_FAILED);
    }
    assert_int_equal(try_factor(access, alice, "000000", false), ERROR_LOGIN_DELAYED);
    access_destroy(access);
    clock_test_clear();
}

/* --- second factors in the catalog */

static bool has_text(const char *path, const char *text)
{
    struct error err;
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (!os_path_exists(path)) {
        return false;
    }
    check(os_file_read_whole(path, 1 << 24, &bytes, &length, &err), err);
    bool has = memmem(bytes, length, text, strlen(text)) != NULL;
    free(bytes);
    return has;
}

static bool catalog_has_text(const struct catalog_world *world, const char *text)
{
    char *log = memory_format("%s-wal", world->path);
    bool has = has_text(world->path, text) || has_text(log, text);
    free(log);
    return has;
}

static void test_sealed_factor(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    uint8_t key[TOTP_KEY_SIZE];
    const char *sealed;
    check(factor_seal(world->root, "one", plain_secret, world->arena, &sealed, &err), err);
    assert_null(strstr(sealed, plain_secret));
    check(factor_open(world->root, "one", sealed, key, &err), err);
    assert_memory_equal(key, "12345678901234567890", sizeof key);
    assert_int_equal(factor_open(world->root, "another", sealed, key, &err), -1);
    assert_int_equal(err.code, ERROR_SECRET_UNREADABLE);
    assert_int_equal(factor_open(world->root, "one", plain_secret, key, &err), -1);
    assert_int_equal(err.code, ERROR_SECRET_UNREADABLE);
    char *path = os_path_join(world->root, "factor.key");
    check(os_file_write_whole(path, "another key, which has 32 bytes.", 32, 0600, &err), err);
    assert_int_equal(factor_open(world->root, "one", sealed, key, &err), -1);
    assert_int_equal(err.code, ERROR_SECRET_UNREADABLE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(factor_open(world->root, "one", sealed, key, &err), -1);
    assert_int_equal(err.code, ERROR_SECRET_UNREADABLE);
    free(path);
}

/* As the migration leaves a catalog of before: interrupted behind the sealing, it goes on from there. */
static void test_take_over(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    uint8_t key[TOTP_KEY_SIZE];
    const struct catalog_user *bob = add_user(world, "bob", ROLE_VIEWER, NULL);
    check(catalog_user_set_totp_secret(world->catalog, bob->id, plain_secret, &err), err);
    check(catalog_setting_set(world->catalog, "factor_secrets", "plain", &err), err);
    assert_true(catalog_has_text(world, plain_secret));
    check(factor_take_over(world->catalog, world->root, &err), err);
    assert_false(catalog_has_text(world, plain_secret));
    bob = catalog_user_find(world->catalog, world->arena, "bob", &err);
    check(factor_open(world->root, bob->id, bob->totp_secret, key, &err), err);
    assert_memory_equal(key, "12345678901234567890", sizeof key);
    check(catalog_setting_set(world->catalog, "factor_secrets", "traces", &err), err);
    check(factor_take_over(world->catalog, world->root, &err), err);
    check(factor_take_over(world->catalog, world->root, &err), err);
    const struct catalog_user *again = catalog_user_find(world->catalog, world->arena, "bob", &err);
    assert_string_equal(again->totp_secret, bob->totp_secret);
}

/* A catalog of version 11, which had them in plain. */
static void test_migration(void **state)
{
    enum { VERSION_BEFORE = 11 };
    struct catalog_world *world = *state;
    struct error err;
    sqlite3 *database;
    uint8_t key[TOTP_KEY_SIZE];
    char *path = os_path_join(world->root, "old.db");
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    for (int i = 0; i < VERSION_BEFORE; i++) {
        assert_int_equal(sqlite3_exec(database, sql_migrations[i], NULL, NULL, NULL), SQLITE_OK);
    }
    assert_int_equal(sqlite3_exec(database,
                                  "INSERT INTO users (id, name, role, everything, totp_secret, totp_pending,"
                                  " created_ms) VALUES ('u1', 'old', 'viewer', 1,"
                                  " 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ', 'PENDING', 0);"
                                  "PRAGMA user_version = 11",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(database);
    struct catalog *catalog = catalog_open(path, &err);
    check(catalog != NULL ? 0 : -1, err);
    check(factor_take_over(catalog, world->root, &err), err);
    const struct catalog_user *old = catalog_user_find(catalog, world->arena, "old", &err);
    check(factor_open(world->root, "u1", old->totp_secret, key, &err), err);
    assert_memory_equal(key, "12345678901234567890", sizeof key);
    assert_string_equal(old->totp_pending, "");
    assert_false(has_text(path, plain_secret));
    catalog_close(catalog);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sealed_factor, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_take_over, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_migration, world_begin, world_end),
        cmocka_unit_test(test_scrypt),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_totp),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_lockout),
        cmocka_unit_test_setup_teardown(test_session, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_wrong_password, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_second_factor, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
