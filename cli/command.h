/*
 * The commands of `holdfast`: one table (command_table.c) from which the command line is read and its help is
 * written, and what every command needs to run.
 */
#ifndef HOLDFAST_CLI_COMMAND_H
#define HOLDFAST_CLI_COMMAND_H

#include "cli/failure.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arguments;
struct client;
struct settings;

/* One run of the program. */
struct cli {
    const struct arguments *arguments;
    bool json;
    FILE *out;
    FILE *err;
    struct client *client; /* made by cli_client */
};

struct cli_option {
    const char *name;  /* without dashes; NULL ends a list */
    const char *value; /* what stands for its value in the help; NULL: a flag */
    const char *help;
    bool repeat;
};

struct cli_command {
    const char *name;      /* "policy create"; NULL ends the table */
    const char *arguments; /* "NAME", "RP DISK", "[CODE]" */
    size_t minimum;        /* of arguments */
    size_t maximum;
    const char *summary;
    const struct cli_option *options;                     /* NULL: none of its own */
    const char *notes;                                    /* more for its help, or NULL */
    const char *examples;                                 /* lines, each with \n */
    int (*run)(struct cli *cli, struct failure *failure); /* 0, or -1; -2: failed and told already */
};

enum { CLI_TOLD = -2 };

extern const struct cli_command cli_commands[];
extern const struct cli_option cli_global_options[];

/* Run the program: parse, run, print what failed. Gives the exit status. */
int cli_main(int argc, char *const *argv, FILE *out, FILE *err);

/* The client of the server that was logged in to; NULL on failure. Owned by cli. */
struct client *cli_client(struct cli *cli, struct failure *failure);
/* Another client, of these settings, instead. */
int cli_set_client(struct cli *cli, const struct settings *settings, struct failure *failure);
/* Pretty-printed, with a newline. */
void cli_print_json(const struct cli *cli, const json_t *value);
/* {"items":…,"next":null}; takes the items over. */
void cli_print_items(const struct cli *cli, json_t *items);
/* A line "Label:   value" of a detail view; NULL or empty: "-". */
void cli_print_field(const struct cli *cli, const char *label, const char *text);
void cli_take_field(const struct cli *cli, const char *label, char *text); /* frees the text */

/* Members of objects from the server, by "name" or "name.name"; absent or of another kind: NULL, 0, false. */
const char *cli_text(const json_t *object, const char *path);
uint64_t cli_number(const json_t *object, const char *path);
bool cli_truth(const json_t *object, const char *path);
const json_t *cli_member(const json_t *object, const char *path);

/* Set a member to a rate such as "20M" (bytes a second), "none" gives 0. text NULL: nothing. */
int cli_add_rate(json_t *body, const char *name, const char *text, struct failure *failure);

/* A member of what an option gives as A=B, any number of times: {"A": "B"}. form: for the message, "OLD=NEW".
 */
int cli_add_pairs(json_t *body, const char *name, const struct cli *cli, const char *option, const char *form,
                  struct failure *failure);

/* A call about one recovery point: /v1/recovery-points/REFERENCE and template_end. Takes the body over. */
int cli_call_point(struct cli *cli, const char *reference, const char *method, const char *template_end,
                   json_t *body, json_t **reply, struct failure *failure);

/* The help of everything, of a family ("host"), of one command. */
void help_print_all(FILE *out);
void help_print_family(const char *family, FILE *out);
void help_print_manual(FILE *out); /* the page holdfast(1) */
void help_print_command(const struct cli_command *command, FILE *out);

/* The commands themselves. */
int run_login(struct cli *cli, struct failure *failure);
int run_logout(struct cli *cli, struct failure *failure);
int run_whoami(struct cli *cli, struct failure *failure);
int run_user_create(struct cli *cli, struct failure *failure);
int run_user_list(struct cli *cli, struct failure *failure);
int run_user_show(struct cli *cli, struct failure *failure);
int run_user_edit(struct cli *cli, struct failure *failure);
int run_user_delete(struct cli *cli, struct failure *failure);
int run_user_password(struct cli *cli, struct failure *failure);
int run_user_totp(struct cli *cli, struct failure *failure);
int run_user_pin(struct cli *cli, struct failure *failure);
int run_user_reset_factor(struct cli *cli, struct failure *failure);
int run_token_create(struct cli *cli, struct failure *failure);
int run_token_list(struct cli *cli, struct failure *failure);
int run_token_revoke(struct cli *cli, struct failure *failure);
int run_approval_list(struct cli *cli, struct failure *failure);
int run_approval_approve(struct cli *cli, struct failure *failure);
int run_approval_reject(struct cli *cli, struct failure *failure);
int run_status(struct cli *cli, struct failure *failure);
int run_completion(struct cli *cli, struct failure *failure);
int run_help(struct cli *cli, struct failure *failure);
int run_host_token(struct cli *cli, struct failure *failure);
int run_host_list(struct cli *cli, struct failure *failure);
int run_host_show(struct cli *cli, struct failure *failure);
int run_host_retire(struct cli *cli, struct failure *failure);
int run_host_limit(struct cli *cli, struct failure *failure);
int run_host_drain(struct cli *cli, struct failure *failure);
int run_host_resume(struct cli *cli, struct failure *failure);
int run_vm_discover(struct cli *cli, struct failure *failure);
int run_vm_list(struct cli *cli, struct failure *failure);
int run_vm_show(struct cli *cli, struct failure *failure);
int run_policy_create(struct cli *cli, struct failure *failure);
int run_policy_list(struct cli *cli, struct failure *failure);
int run_policy_show(struct cli *cli, struct failure *failure);
int run_policy_edit(struct cli *cli, struct failure *failure);
int run_policy_next(struct cli *cli, struct failure *failure);
int run_policy_history(struct cli *cli, struct failure *failure);
int run_policy_delete(struct cli *cli, struct failure *failure);
int run_group_create(struct cli *cli, struct failure *failure);
int run_group_list(struct cli *cli, struct failure *failure);
int run_group_show(struct cli *cli, struct failure *failure);
int run_group_add(struct cli *cli, struct failure *failure);
int run_group_remove(struct cli *cli, struct failure *failure);
int run_group_edit(struct cli *cli, struct failure *failure);
int run_group_stop(struct cli *cli, struct failure *failure);
int run_group_resume(struct cli *cli, struct failure *failure);
int run_group_delete(struct cli *cli, struct failure *failure);
int run_backup(struct cli *cli, struct failure *failure);
int run_seed(struct cli *cli, struct failure *failure);
int run_check(struct cli *cli, struct failure *failure);
int run_rp_list(struct cli *cli, struct failure *failure);
int run_rp_calendar(struct cli *cli, struct failure *failure);
int run_rp_show(struct cli *cli, struct failure *failure);
int run_rp_verify(struct cli *cli, struct failure *failure);
int run_rp_hold(struct cli *cli, struct failure *failure);
int run_rp_retain(struct cli *cli, struct failure *failure);
int run_rp_undelete(struct cli *cli, struct failure *failure);
int run_rp_delete(struct cli *cli, struct failure *failure);
int run_restore_vm(struct cli *cli, struct failure *failure);
int run_restore_disk(struct cli *cli, struct failure *failure);
int run_job_list(struct cli *cli, struct failure *failure);
int run_job_show(struct cli *cli, struct failure *failure);
int run_job_watch(struct cli *cli, struct failure *failure);
int run_job_cancel(struct cli *cli, struct failure *failure);
int run_alert_list(struct cli *cli, struct failure *failure);
int run_alert_show(struct cli *cli, struct failure *failure);
int run_alert_ack(struct cli *cli, struct failure *failure);
int run_notify_list(struct cli *cli, struct failure *failure);
int run_notify_show(struct cli *cli, struct failure *failure);
int run_notify_create(struct cli *cli, struct failure *failure);
int run_notify_edit(struct cli *cli, struct failure *failure);
int run_notify_delete(struct cli *cli, struct failure *failure);
int run_notify_test(struct cli *cli, struct failure *failure);
int run_notify_preview_digest(struct cli *cli, struct failure *failure);
int run_audit_list(struct cli *cli, struct failure *failure);
int run_audit_verify(struct cli *cli, struct failure *failure);
int run_report_status(struct cli *cli, struct failure *failure);
int run_report_storage(struct cli *cli, struct failure *failure);
int run_report_rpo(struct cli *cli, struct failure *failure);
int run_store_status(struct cli *cli, struct failure *failure);
int run_store_verify(struct cli *cli, struct failure *failure);
int run_store_rebuild(struct cli *cli, struct failure *failure);
int run_store_gc(struct cli *cli, struct failure *failure);

/* "30 days, 12 monthly", of a policy as the API gives it (command_protection.c); malloc'd. */
char *retention_text_of(const json_t *policy);

/* What commands that start jobs share (command_jobs.c): tell of a job that was begun, or with --wait follow
 * it to its end and fail when it did. Takes the job over. */
int cli_finish_job(struct cli *cli, json_t *job, struct failure *failure);
/* As cli_finish_job, for several: {"items":[…]}, taken over. */
int cli_finish_jobs(struct cli *cli, json_t *jobs, struct failure *failure);

#endif
