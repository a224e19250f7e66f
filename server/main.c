/* holdfastd: the command line of the server. */
#include "base/log.h"
#include "base/manual.h"
#include "base/memory.h"
#include "base/os_service.h"
#include "base/version.h"
#include "server/api/api.h"
#include "server/main_key.h"
#include "server/server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 32 };
static const char default_directory[] = "/var/lib/holdfast";

enum {
    OPTION_DATA = 256,
    OPTION_CONFIG,
    OPTION_LISTEN,
    OPTION_AGENT,
    OPTION_API,
    OPTION_NAME,
    OPTION_CHUNK,
    OPTION_STORE,
    OPTION_PASSPHRASE,
    OPTION_KEY,
    OPTION_RECOVERY,
    OPTION_NEW_PASSPHRASE,
    OPTION_NEW_KEY,
};

static const struct program_command commands[] = {
    {"init [--data DIR] [--listen ADDRESS] [--agent-port PORT] [--api-port PORT]\n"
     "[--host-name NAME ...] [--chunk-size BYTES] [--store DIR]\n"
     "[--passphrase-file FILE | --key-file FILE]",
     "make a server: its certificate authority, catalog, store, admin token and configuration"},
    {"run [--data DIR] [--config FILE]", "serve agents and the API until SIGTERM"},
    {"admin-token [--data DIR]",
     "make a new admin.token, when it is lost or known to others; also while the server runs"},
    {"key list | add | change | recovery | remove SLOT [--data DIR] [--config FILE]\n"
     "[--new-passphrase-file FILE | --new-key-file FILE]\n"
     "[--passphrase-file FILE | --key-file FILE | --recovery-file FILE]",
     "the secrets that open an encrypted store, while the server is stopped"},
    {NULL, NULL},
};

static const struct program_option options[] = {
    {"data", "DIR", "what the server keeps (default /var/lib/holdfast)", OPTION_DATA},
    {"config", "FILE", "settings (default DIR/holdfastd.conf)", OPTION_CONFIG},
    {"listen", "ADDRESS", "init: address to serve on (default 0.0.0.0, all of them)", OPTION_LISTEN},
    {"agent-port", "PORT", "init: for agents (default 7460)", OPTION_AGENT},
    {"api-port", "PORT", "init: for the API and `holdfast` (default 7461)", OPTION_API},
    {"host-name", "NAME", "init: one more name or address that the server is reached by", OPTION_NAME},
    {"chunk-size", "BYTES", "init: of the store, a power of two from 64K to 4M (default 64K)", OPTION_CHUNK},
    {"store", "DIR", "init: the store's directory (default DIR/store); one that is there is taken over",
     OPTION_STORE},
    {"passphrase-file", "FILE",
     "init: encrypt the store, or open the one that is there; the configuration\n"
     "names the file from then on. key: opens the store",
     OPTION_PASSPHRASE},
    {"key-file", "FILE", "the same with a key file", OPTION_KEY},
    {"recovery-file", "FILE", "key: opens the store with the recovery key", OPTION_RECOVERY},
    {"new-passphrase-file", "FILE", "key: the passphrase that opens it from now on", OPTION_NEW_PASSPHRASE},
    {"new-key-file", "FILE", "key: the key file that opens it from now on", OPTION_NEW_KEY},
    {"help", NULL, "this text", 'h'},
    {"version", NULL, "print the version", 'v'},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "holdfastd",
    .section = 8,
    .summary = "the server of Holdfast, backup for virtual machines",
    .about = "The server keeps policies, the catalog and the data. Agents on hypervisor hosts dial its agent "
             "port;\n"
             "operators use its API by holdfast(1).",
    .commands = commands,
    .options = options,
    .settings = "In DIR/holdfastd.conf, one \"key = value\" a line:",
    .keys = server_config_keys,
    .exit_status = "0 done, 1 failed, 2 usage, 6 refused in this state",
    .see_also = "holdfast(1), holdfast-agent(8)",
};

struct arguments {
    const char *data_directory;
    const char *config;
    struct server_init_options init;
    const char *names[NAMES_MAX + 1];
    size_t name_count;
    bool init_only; /* an option that only init has was given */
    struct store_secret_file secret;
    struct store_secret_file new_secret;
};

static int print_error(const struct error *err)
{
    fprintf(stderr, "holdfastd: %s\n", err->message);
    if (err->cause[0] != '\0') {
        fprintf(stderr, "  cause: %s\n", err->cause);
    }
    fprintf(stderr, "  do:    %s\n  code:  %s\n", error_code_action(err->code), error_code_name(err->code));
    return (int)error_code_exit_status(err->code);
}

static int usage(const char *problem)
{
    fprintf(stderr, "holdfastd: %s\ntry: holdfastd --help\n", problem);
    return EXIT_STATUS_USAGE;
}

/* With what was typed. */
static int usage_of(const char *typed, const char *problem)
{
    fprintf(stderr, "holdfastd: %.100s: %s\ntry: holdfastd --help\n", typed, problem);
    return EXIT_STATUS_USAGE;
}

static int parse_port(const char *text, uint16_t *port)
{
    char *end;
    long value = strtol(text, &end, 10);
    *port = (uint16_t)value;
    return end != text && *end == '\0' && value >= 1 && value <= UINT16_MAX ? 0 : -1;
}

static int parse_chunk_size(const char *text, uint32_t *chunk_size)
{
    uint64_t bytes;
    bool valid = config_parse_size(text, &bytes) == 0 && bytes >= STORE_CHUNK_SIZE_MIN &&
                 bytes <= STORE_CHUNK_SIZE_MAX && (bytes & (bytes - 1)) == 0;
    *chunk_size = valid ? (uint32_t)bytes : 0;
    return valid ? 0 : -1;
}

static const char *parse_init_option(int option, struct arguments *arguments)
{
    arguments->init_only = true;
    switch (option) {
    case OPTION_LISTEN:
        arguments->init.listen_address = optarg;
        return NULL;
    case OPTION_AGENT:
        return parse_port(optarg, &arguments->init.agent_port) == 0 ? NULL : "--agent-port is 1 to 65535";
    case OPTION_API:
        return parse_port(optarg, &arguments->init.api_port) == 0 ? NULL : "--api-port is 1 to 65535";
    case OPTION_NAME:
        if (arguments->name_count == NAMES_MAX) {
            return "too many names";
        }
        arguments->names[arguments->name_count++] = optarg;
        return NULL;
    case OPTION_CHUNK:
        return parse_chunk_size(optarg, &arguments->init.chunk_size) == 0
                   ? NULL
                   : "--chunk-size is a power of two from 64K to 4M";
    case OPTION_STORE:
        arguments->init.store = optarg;
        return NULL;
    default:
        return "there is no such option, or it lacks its value";
    }
}

/* False when it is another option. */
static bool parse_secret_option(int option, struct arguments *arguments)
{
    switch (option) {
    case OPTION_PASSPHRASE:
        arguments->secret = (struct store_secret_file){STORE_KEY_PASSPHRASE, optarg};
        return true;
    case OPTION_KEY:
        arguments->secret = (struct store_secret_file){STORE_KEY_FILE, optarg};
        return true;
    case OPTION_RECOVERY:
        arguments->secret = (struct store_secret_file){STORE_KEY_RECOVERY, optarg};
        return true;
    case OPTION_NEW_PASSPHRASE:
        arguments->new_secret = (struct store_secret_file){STORE_KEY_PASSPHRASE, optarg};
        return true;
    case OPTION_NEW_KEY:
        arguments->new_secret = (struct store_secret_file){STORE_KEY_FILE, optarg};
        return true;
    default:
        return false;
    }
}

/* NULL, or what is wrong. */
static const char *parse(int argc, char **argv, struct arguments *arguments)
{
    struct option *table = program_getopt(options);
    const char *problem = NULL;
    int option;
    opterr = 0;
    while (problem == NULL && (option = getopt_long(argc, argv, "h", table, NULL)) != -1) {
        switch (option) {
        case OPTION_DATA:
            arguments->data_directory = optarg;
            break;
        case OPTION_CONFIG:
            arguments->config = optarg;
            break;
        case 'h':
            program_print_help(&program, stdout);
            exit(EXIT_STATUS_DONE);
        case PROGRAM_MANUAL:
            program_print_manual(&program, stdout);
            exit(EXIT_STATUS_DONE);
        case 'v':
            printf("holdfastd %s\n", HOLDFAST_VERSION);
            exit(EXIT_STATUS_DONE);
        default:
            problem = parse_secret_option(option, arguments) ? NULL : parse_init_option(option, arguments);
        }
    }
    free(table);
    return problem;
}

static unsigned port_or(uint16_t port, unsigned otherwise)
{
    return port != 0 ? port : otherwise;
}

static int run_init(struct arguments *arguments)
{
    struct error err;
    bool made;
    if (arguments->config != NULL) {
        return usage("init takes no --config");
    }
    if (port_or(arguments->init.agent_port, AGENT_PORT_DEFAULT) ==
        port_or(arguments->init.api_port, API_PORT_DEFAULT)) {
        return usage("--agent-port and --api-port can't be the same");
    }
    if (arguments->init.listen_address != NULL && arguments->name_count < NAMES_MAX) {
        arguments->names[arguments->name_count++] = arguments->init.listen_address;
    }
    log_init("server", LOG_WARNING);
    if (arguments->new_secret.path != NULL || arguments->secret.kind == STORE_KEY_RECOVERY) {
        return usage("init takes --passphrase-file or --key-file");
    }
    arguments->init.data_directory = arguments->data_directory;
    arguments->init.secret = arguments->secret;
    arguments->init.names = arguments->names;
    if (server_init(&arguments->init, &made, &err) != 0) {
        return print_error(&err);
    }
    if (made) {
        printf("A server is made in %s. Start it: holdfastd run --data %s\n"
               "Then log in: holdfast login https://HOST:%u --ca %s/ca.pem --token-file %s/admin.token\n",
               arguments->data_directory, arguments->data_directory,
               port_or(arguments->init.api_port, API_PORT_DEFAULT), arguments->data_directory,
               arguments->data_directory);
    } else {
        printf("%s is initialized already; nothing was changed.\n", arguments->data_directory);
    }
    return EXIT_STATUS_DONE;
}

static int run_server(const struct arguments *arguments)
{
    struct error err;
    if (arguments->init_only || arguments->secret.path != NULL || arguments->new_secret.path != NULL) {
        return usage("run takes only --data and --config; the rest is in DIR/holdfastd.conf");
    }
    log_init("server", LOG_INFO);
    os_service_start();
    struct server *server = server_create(arguments->data_directory, arguments->config, &err);
    struct api *api = server != NULL ? api_start(server, &err) : NULL;
    if (api == NULL) {
        server_destroy(server);
        return print_error(&err);
    }
    log_event(LOG_INFO, "serving", "id=%s agents=%u api=%u", server_id(server),
              agents_port(server_agents(server)), api_port(api));
    os_service_ready();
    os_service_wait();
    log_event(LOG_INFO, "stopping", NULL);
    api_stop(api);
    server_destroy(server);
    return EXIT_STATUS_DONE;
}

static int run_keys(const struct arguments *arguments, char **words, int count)
{
    struct error err;
    struct key_arguments key = {.data_directory = arguments->data_directory,
                                .config = arguments->config,
                                .with = arguments->secret,
                                .new_secret = arguments->new_secret,
                                .words = (const char *const *)(uintptr_t)words,
                                .word_count = count};
    if (arguments->init_only) {
        return usage("key takes no option of init");
    }
    log_init("server", LOG_WARNING);
    int status = run_key(&key, &err);
    return status == EXIT_STATUS_DONE ? EXIT_STATUS_DONE : print_error(&err);
}

static int run_admin_token(const struct arguments *arguments)
{
    struct error err;
    if (arguments->init_only || arguments->config != NULL || arguments->secret.path != NULL ||
        arguments->new_secret.path != NULL) {
        return usage("admin-token takes only --data");
    }
    log_init("server", LOG_WARNING);
    if (server_make_admin_token(arguments->data_directory, &err) != 0) {
        return print_error(&err);
    }
    printf("%s/admin.token is new; the one before works no more.\n", arguments->data_directory);
    return EXIT_STATUS_DONE;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.data_directory = default_directory};
    os_service_keep_standard_files();
    memory_share_arenas();
    const char *problem = parse(argc, argv, &arguments);
    if (problem != NULL) {
        return usage_of(argv[optind - 1], problem);
    }
    if (arguments.data_directory[0] == '\0') {
        return usage("--data is empty");
    }
    if (argc > optind && strcmp(argv[optind], "key") == 0) {
        return run_keys(&arguments, argv + optind + 1, argc - optind - 1);
    }
    if (argc - optind != 1) {
        return argc == optind ? usage("name a command: init, run, admin-token or key")
                              : usage_of(argv[optind + 1], "one command, please");
    }
    if (strcmp(argv[optind], "init") == 0) {
        return run_init(&arguments);
    }
    if (strcmp(argv[optind], "admin-token") == 0) {
        return run_admin_token(&arguments);
    }
    return strcmp(argv[optind], "run") == 0
               ? run_server(&arguments)
               : usage_of(argv[optind], "there is no such command; init, run, admin-token or key");
}
