/* holdfast-agent: the command line of the agent. */
#include "agent/enrol.h"
#include "agent/files/file_extract.h"
#include "agent/pages_read.h"
#include "agent/providers/image_registry.h"
#include "agent/session.h"
#include "base/log.h"
#include "base/manual.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/os_service.h"
#include "base/version.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char default_directory[] = "/var/lib/holdfast-agent";

enum {
    OPTION_DATA = 256,
    OPTION_TOKEN,
    OPTION_PROXY,
    OPTION_CONFIG,
    OPTION_LIBVIRT,
    OPTION_EXCLUDE,
    OPTION_ALL_FILE_SYSTEMS,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct program_command program_commands[] = {
    {"enrol SERVER[:PORT] --token TOKEN [--data DIR] [--proxy http://HOST:PORT]",
     "trade a one-time token (holdfast host token) for this host's certificate"},
    {"add-image NAME DISK... [--data DIR]", "make image files or block devices a datasource of this host"},
    {"remove-image NAME [--data DIR]", "it is none any more; its disks and recovery points stay"},
    {"add-files NAME PATH... [--exclude PATTERN]... [--all-file-systems] [--data DIR]",
     "make directories, or single files, a datasource of this host"},
    {"remove-files NAME [--data DIR]", "it is none any more; its files and recovery points stay"},
    {"run [--data DIR] [--config FILE] [--libvirt-uri URI]",
     "connect to the server and protect this host's VMs, images and files"},
    {NULL, NULL},
};

static const struct program_option program_options[] = {
    {"data", "DIR", "what the agent keeps (default /var/lib/holdfast-agent)", OPTION_DATA},
    {"token", "TOKEN", "or the environment's HOLDFAST_TOKEN, which no process list shows", OPTION_TOKEN},
    {"proxy", "URL", "HTTP proxy on the way to the server; kept in DIR/agent.conf", OPTION_PROXY},
    {"config", "FILE", "settings (default DIR/agent.conf)", OPTION_CONFIG},
    {"libvirt-uri", "URI", "where libvirt is reached (default qemu:///system)", OPTION_LIBVIRT},
    {"exclude", "PATTERN",
     "leave out of the files: with a slash a pattern of whole paths (/srv/*/cache), else of names (*.tmp)",
     OPTION_EXCLUDE},
    {"all-file-systems", NULL, "follow also what is mounted below the directories (default: not)",
     OPTION_ALL_FILE_SYSTEMS},
    {"help", NULL, "this text", OPTION_HELP},
    {"version", NULL, "print the version", OPTION_VERSION},
    {NULL, NULL, NULL, 0},
};

static const struct program program = {
    .name = "holdfast-agent",
    .section = 8,
    .summary = "the agent of Holdfast on a hypervisor host",
    .about =
        "The agent dials the server, holdfastd(8), and is never dialled. It lists the VMs, images and "
        "files of its host,\n"
        "reads what changed when the server asks for a backup, and writes disks when it asks for a restore.",
    .commands = program_commands,
    .options = program_options,
    .settings = "In DIR/agent.conf, one \"key = value\" a line:",
    .keys = agent_config_keys,
    .exit_status =
        "0 done, 1 failed, 2 usage, 3 the server can't be reached, 4 not permitted, 6 refused in this state",
    .see_also = "holdfast(1), holdfastd(8)",
};

struct arguments {
    const char *directory;
    const char *token;
    const char *proxy;
    const char *config;
    const char *libvirt_uri;
    const char **excludes;
    size_t exclude_count;
    bool all_file_systems;
    char **words; /* what is left */
    int word_count;
};

static int print_error(const struct error *err)
{
    fprintf(stderr, "holdfast-agent: %s\n", err->message);
    if (err->cause[0] != '\0') {
        fprintf(stderr, "  cause: %s\n", err->cause);
    }
    fprintf(stderr, "  do:    %s\n  code:  %s\n", error_code_action(err->code), error_code_name(err->code));
    return (int)error_code_exit_status(err->code);
}

static int usage(const char *problem)
{
    fprintf(stderr, "holdfast-agent: %s\ntry: holdfast-agent --help\n", problem);
    return EXIT_STATUS_USAGE;
}

static int parse(int argc, char **argv, struct arguments *arguments)
{
    struct option *table = program_getopt(program_options);
    int option;
    *arguments = (struct arguments){.directory = default_directory, .token = getenv("HOLDFAST_TOKEN")};
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (option) {
        case OPTION_DATA:
            arguments->directory = optarg;
            break;
        case OPTION_TOKEN:
            arguments->token = optarg;
            break;
        case OPTION_PROXY:
            arguments->proxy = optarg;
            break;
        case OPTION_CONFIG:
            arguments->config = optarg;
            break;
        case OPTION_LIBVIRT:
            arguments->libvirt_uri = optarg;
            break;
        case OPTION_EXCLUDE:
            arguments->excludes =
                memory_resize(arguments->excludes, arguments->exclude_count + 1, sizeof *arguments->excludes);
            arguments->excludes[arguments->exclude_count++] = optarg;
            break;
        case OPTION_ALL_FILE_SYSTEMS:
            arguments->all_file_systems = true;
            break;
        case OPTION_HELP:
            program_print_help(&program, stdout);
            exit(EXIT_SUCCESS);
        case PROGRAM_MANUAL:
            program_print_manual(&program, stdout);
            exit(EXIT_SUCCESS);
        case OPTION_VERSION:
            printf("holdfast-agent %s\n", HOLDFAST_VERSION);
            exit(EXIT_SUCCESS);
        default:
            free(table);
            return -1;
        }
    }
    free(table);
    arguments->words = argv + optind;
    arguments->word_count = argc - optind;
    return 0;
}

static struct config *load_config(const struct arguments *arguments, struct error *err)
{
    char *path = os_path_join(arguments->directory, "agent.conf");
    struct config *config = NULL;
    if (arguments->config != NULL && !os_path_exists(arguments->config)) {
        error_set(err, ERROR_CONFIG_INVALID, "There is no file %s", arguments->config);
    } else {
        config = config_load(arguments->config != NULL ? arguments->config : path, agent_config_keys, err);
    }
    free(path);
    if (config != NULL &&
        ((arguments->proxy != NULL && config_set(config, "proxy", arguments->proxy, err) != 0) ||
         (arguments->libvirt_uri != NULL &&
          config_set(config, "libvirt-uri", arguments->libvirt_uri, err) != 0))) {
        config_destroy(config);
        return NULL;
    }
    return config;
}

/* Keep the proxy for `run`. */
static int remember_proxy(const struct arguments *arguments, struct error *err)
{
    char *path = os_path_join(arguments->directory, "agent.conf");
    uint8_t *old = NULL;
    size_t length = 0;
    int result = 0;
    if (os_path_exists(path)) {
        result = os_file_read_whole(path, 1024 * 1024, &old, &length, err);
    }
    if (result == 0) {
        char *text =
            memory_format("%.*s%sproxy = %s\n", (int)length, old != NULL ? (const char *)old : "",
                          old != NULL && length > 0 && old[length - 1] != '\n' ? "\n" : "", arguments->proxy);
        result = os_file_write_whole(path, text, strlen(text), 0600, err);
        free(text);
    }
    free(old);
    free(path);
    return result;
}

static struct os_file *lock_directory(const char *directory, struct error *err)
{
    char *path = os_path_join(directory, "lock");
    struct os_file *lock = os_file_open(path, OS_FILE_OPEN_CREATE, err);
    free(path);
    if (lock != NULL && os_file_lock(lock, err) != 0) {
        error_wrap(err, ERROR_AGENT_BUSY, "An agent runs on %s already", directory);
        os_file_close(lock);
        return NULL;
    }
    return lock;
}

static int run_enrol(const struct arguments *arguments)
{
    struct error err;
    struct agent_proxy proxy = {0};
    if (arguments->word_count != 2) {
        return usage("enrol takes the server's address");
    }
    if (arguments->token == NULL) {
        return usage("enrol needs --token TOKEN (or HOLDFAST_TOKEN)");
    }
    struct config *config = load_config(arguments, &err);
    int result = config != NULL ? agent_proxy_read(config, &proxy, &err) : -1;
    struct os_file *lock = NULL;
    if (result == 0) {
        result = os_path_make_directory(arguments->directory, 0700, &err);
    }
    if (result == 0) {
        lock = lock_directory(arguments->directory, &err);
        result = lock != NULL ? 0 : -1;
    }
    if (result == 0) {
        struct enrol_options options = {.server = arguments->words[1],
                                        .token = arguments->token,
                                        .directory = arguments->directory,
                                        .proxy = proxy.used ? &proxy.proxy : NULL};
        result = enrol(&options, &err);
    }
    if (result == 0 && arguments->proxy != NULL) {
        result = remember_proxy(arguments, &err);
    }
    os_file_close(lock);
    agent_proxy_release(&proxy);
    config_destroy(config);
    if (result != 0) {
        return print_error(&err);
    }
    printf("This host is enrolled with %s. Start the agent: holdfast-agent run --data %s\n",
           arguments->words[1], arguments->directory);
    return EXIT_SUCCESS;
}

static int run_add_image(const struct arguments *arguments)
{
    struct error err;
    char uuid[IDENTITY_SIZE];
    if (arguments->word_count < 3) {
        return usage("add-image takes a name and at least one disk");
    }
    if (os_path_make_directory(arguments->directory, 0700, &err) != 0 ||
        image_registry_add(arguments->directory, arguments->words[1],
                           (const char *const *)(uintptr_t)(arguments->words + 2),
                           (size_t)arguments->word_count - 2, uuid, &err) != 0) {
        return print_error(&err);
    }
    printf("%s is a datasource of this host now (%s)\n", arguments->words[1], uuid);
    return EXIT_SUCCESS;
}

static int run_add_files(const struct arguments *arguments)
{
    struct error err;
    char uuid[IDENTITY_SIZE];
    if (arguments->word_count < 3) {
        return usage("add-files takes a name and at least one directory or file");
    }
    struct files_source *files = NULL;
    if (os_path_make_directory(arguments->directory, 0700, &err) == 0) {
        files = files_source_create((const char *const *)(uintptr_t)(arguments->words + 2),
                                    (size_t)arguments->word_count - 2, arguments->excludes,
                                    arguments->exclude_count, arguments->all_file_systems, &err);
    }
    if (files == NULL ||
        image_registry_add_files(arguments->directory, arguments->words[1], files, uuid, &err) != 0) {
        return print_error(&err);
    }
    printf("%s is a datasource of this host now (%s)\n", arguments->words[1], uuid);
    return EXIT_SUCCESS;
}

static int run_remove_image(const struct arguments *arguments)
{
    struct error err;
    if (arguments->word_count != 2) {
        return usage("remove-image and remove-files take a name");
    }
    if (image_registry_remove(arguments->directory, arguments->words[1], &err) != 0) {
        return print_error(&err);
    }
    printf("%s is no datasource of this host any more\n", arguments->words[1]);
    return EXIT_SUCCESS;
}

static int serve(const struct agent_state *state, const struct config *config, struct error *err)
{
    enum log_level level;
    enum log_format format;
    if (log_format_parse(config_text(config, "log-format"), &format) != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "log-format must be text or json");
    }
    if (log_level_parse(config_text(config, "log-level"), &level) != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "log-level must be debug, info, warning or error");
    }
    log_init("agent", level);
    log_set_format(format);
    struct session *session = session_create(state, config, err);
    if (session == NULL) {
        return -1;
    }
    os_service_ready();
    os_service_wait();
    log_event(LOG_INFO, "stopping", NULL);
    session_destroy(session);
    return 0;
}

static int run_agent(const struct arguments *arguments)
{
    struct error err;
    struct agent_state state;
    int result = -1;
    if (arguments->word_count != 1) {
        return usage("run takes no words");
    }
    os_service_start();
    if (agent_state_load(&state, arguments->directory, &err) != 0) {
        return print_error(&err);
    }
    struct os_file *lock = lock_directory(arguments->directory, &err);
    struct config *config = lock != NULL ? load_config(arguments, &err) : NULL;
    if (config != NULL) {
        result = serve(&state, config, &err);
    }
    config_destroy(config);
    os_file_close(lock);
    agent_state_release(&state);
    return result == 0 ? EXIT_SUCCESS : print_error(&err);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct arguments *arguments);
    } commands[] = {
        {"enrol", run_enrol},         {"add-image", run_add_image},       {"remove-image", run_remove_image},
        {"add-files", run_add_files}, {"remove-files", run_remove_image}, {"run", run_agent}};
    struct arguments arguments;
    os_service_keep_standard_files();
    log_init("agent", LOG_WARNING);
    os_service_ignore_broken_pipes();
    if (argc == 3 && strcmp(argv[1], "read-pages") == 0) { /* the agent itself asks for this one */
        pages_read(argv[2]);
    }
    if (argc == 5 && strcmp(argv[1], "extract-files") == 0) { /* likewise */
        file_extract_process(argv[2], argv[3], strcmp(argv[4], "replace") == 0);
    }
    if (parse(argc, argv, &arguments) != 0) {
        return EXIT_STATUS_USAGE;
    }
    if (arguments.word_count == 0) {
        return usage("a command is missing");
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(arguments.words[0], commands[i].name) == 0) {
            int status = commands[i].run(&arguments);
            free(arguments.excludes);
            return status;
        }
    }
    fprintf(stderr, "holdfast-agent: there is no command \"%.100s\"\n", arguments.words[0]);
    return usage("enrol, add-image, remove-image or run");
}
