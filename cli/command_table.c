/* Every command of `holdfast`, as help shows it and arguments are read. */
#include "cli/command.h"

enum { MANY = 256 };

#define END                                                                                                  \
    {                                                                                                        \
        NULL, NULL, NULL, false                                                                              \
    }
#define WAIT                                                                                                 \
    {                                                                                                        \
        "wait", NULL, "follow the job to its end; the exit status says whether it succeeded", false          \
    }

static const struct cli_option login_options[] = {
    {"ca", "FILE", "the server's ca.pem, to know it by", false},
    {"token-file", "FILE", "holds the token, such as admin.token; standard input without it", false},
    {"user", "NAME", "log in with this user's password instead of a token", false},
    {"password-file", "FILE", "--user: holds the password; asked for without it", false},
    END,
};

static const struct cli_option user_create_options[] = {
    {"role", "ROLE", "administrator, operator (backs up, restores) or viewer (default)", false},
    {"group", "GROUP", "sees only this protection group; everything without it", true},
    {"password-file", "FILE", "holds the password", false},
    {"no-password", NULL, "the user can't log in so far, only have tokens", false},
    END,
};

static const struct cli_option user_edit_options[] = {
    {"name", "NAME", "a new name", false},
    {"role", "ROLE", "administrator, operator or viewer", false},
    {"group", "GROUP", "sees only this protection group, or these", true},
    {"everything", NULL, "sees everything again", false},
    {"disable", NULL, "can't log in, and tokens don't work", false},
    {"enable", NULL, "can log in again", false},
    END,
};

static const struct cli_option user_password_options[] = {
    {"password-file", "FILE", "holds the new password; asked for without it", false},
    {"old-password-file", "FILE", "of your own: holds the old one; asked for without it", false},
    END,
};

static const struct cli_option user_totp_options[] = {
    {"confirm", "CODE", "a code, from what was begun before; asked for without it", false},
    {"remove", NULL, "have none any more", false},
    END,
};

static const struct cli_option user_pin_options[] = {
    {"pin-file", "FILE", "holds the PIN; asked for without it", false},
    {"remove", NULL, "have none any more", false},
    END,
};

static const struct cli_option token_create_options[] = {
    {"role", "ROLE", "at most that of the user (default: the same)", false},
    {"days", "N", "until it ends (default 90)", false},
    {"destructive", NULL, "may do what can't be undone, without a second factor", false},
    {"user", "USER", "for another user", false},
    END,
};

static const struct cli_option host_token_options[] = {
    {"ttl", "SECONDS", "how long the token can be used (default: a day)", false},
    END,
};

static const struct cli_option limit_options[] = {
    {"hours", "HH:MM-HH:MM", "only at these hours; past midnight such as 22:00-06:00", false},
    {"days", "mon,tue,...", "only on these days of the week", false},
    {"timezone", "ZONE", "of the hours, such as Europe/Zurich (default UTC)", false},
    {"other", "RATE", "the limit at other times (default none)", false},
    END,
};

static const struct cli_option drain_options[] = {
    {"wait", NULL, "until the jobs that run there have ended", false},
    END,
};

static const struct cli_option vm_list_options[] = {
    {"host", "HOST", "only VMs of this host", false},
    {"group", "GROUP", "only VMs of this protection group", false},
    {"search", "TEXT", "only VMs with this in their name", false},
    END,
};

#define SCHEDULE_OPTIONS                                                                                     \
    {"daily", "HH:MM[,...]", "at these times of the day", false},                                            \
        {"weekly", "HH:MM[,...]", "at these times on the --days of a week", false},                          \
        {"hourly", "MINUTE", "every hour at this minute", false},                                            \
        {"every", "MINUTES", "every so many minutes, from 15", false},                                       \
        {"manual", NULL, "by hand only", false},                                                             \
        {"days", "mon,tue,...", "only on these days of the week", false},                                    \
        {"timezone", "ZONE", "of times and days, such as Europe/Zurich (default UTC)", false},               \
    {                                                                                                        \
        "spread", "MINUTES", "VMs start one by one within so many minutes (default 0)", false                \
    }

#define POLICY_OPTIONS                                                                                       \
    SCHEDULE_OPTIONS, {"priority", "LEVEL", "high, normal (default) or low: who goes first", false},         \
        {"keep-days", "N", "keep points of the last N days", false},                                         \
        {"keep-latest", "N", "keep the newest N points", false},                                             \
        {"keep-daily", "N", "keep the last point of each of N days", false},                                 \
        {"keep-weekly", "N", "of N weeks", false}, {"keep-monthly", "N", "of N months", false},              \
        {"keep-yearly", "N", "of N years", false},                                                           \
        {"lock-days", "N", "nobody can delete a point in its first N days, administrators included", false}, \
        {"consistency", "LEVEL", "application, filesystem (default) or crash", false},                       \
        {"require-consistency", NULL, "a backup with less consistency fails", false},                        \
        {"snapshot-days", "N", "keep a snapshot on the host for N days, 0 to 5 (default 2)", false},         \
    {                                                                                                        \
        "exclude-pages", NULL, "page and swap files are stored as zeros", false                              \
    }

static const struct cli_option policy_create_options[] = {POLICY_OPTIONS, END};
static const struct cli_option policy_edit_options[] = {
    {"accept-less-consistency", NULL, "a backup with less consistency is a warning again", false},
    {"include-pages", NULL, "page and swap files are stored again", false},
    {"dry-run", NULL, "only show which recovery points would be deleted", false},
    {"name", "NAME", "a new name", false},
    {"enable", NULL, "the schedule runs", false},
    {"disable", NULL, "the schedule rests", false},
    {"if-version", "N", "refused when somebody has changed the policy since version N", false},
    POLICY_OPTIONS,
    END,
};
static const struct cli_option policy_show_options[] = {
    {"version", "N", "as it was in this version", false},
    END,
};
static const struct cli_option policy_next_options[] = {
    {"count", "N", "how many (default 10)", false},
    {"from", "TIME", "after then, such as 2026-03-28, and not after now", false},
    {"vm", "VM", "when it is this VM's turn", false},
    SCHEDULE_OPTIONS,
    END,
};

static const struct cli_option group_create_options[] = {
    {"policy", "POLICY", "its schedule and retention (daily-22h is there from the start)", false},
    {"vm", "VM", "a VM to protect", true},
    {"dry-run", NULL, "only say whether that is possible", false},
    END,
};

static const struct cli_option group_add_options[] = {
    {"dry-run", NULL, "only say whether that is possible", false},
    END,
};

static const struct cli_option group_edit_options[] = {
    {"policy", "POLICY", "by which its VMs are protected from now on", false},
    {"name", "NAME", "a new name", false},
    END,
};

static const struct cli_option data_options[] = {
    {"retain-data", NULL, "recovery points stay (default)", false},
    {"delete-data", NULL, "recovery points are deleted, but those that are locked or on hold", false},
    END,
};

static const struct cli_option backup_options[] = {
    {"group", "GROUP", "every VM of this group instead of one VM", false},
    {"full", NULL, "read and send everything anew; nothing is stored twice", false},
    {"retain-until", "TIME", "keep the point until then, whatever the policy says", false},
    {"bandwidth", "RATE", "bytes a second at most, such as 20M", false},
    {"at", "TIME", "start then, such as 2026-01-31T22:00:00Z, and not now", false},
    {"notify", NULL, "tell those who are told of jobs when it has ended", false},
    WAIT,
    END,
};

static const struct cli_option seed_options[] = {
    {"from", "RP", "the recovery point that holds the first copy", false},
    {"disk", "DISK=DISK", "which disk of the recovery point (right) is which of VM (left)", true},
    {"forget", NULL, "it was the wrong one: the first backup sends everything", false},
    END,
};

static const struct cli_option wait_options[] = {WAIT, END};

static const struct cli_option gc_options[] = {
    {"dry-run", NULL, "only say how much could be freed", false},
    WAIT,
    END,
};

static const struct cli_option rp_list_options[] = {
    {"deleted", NULL, "those that are deleted and can be had back", false},
    END,
};

static const struct cli_option delete_options[] = {
    {"now", NULL, "for good at once, as when the store is full; also one that is deleted already", false},
    {"force", NULL, "also the last good one of a protected VM", false},
    END,
};

static const struct cli_option hold_options[] = {
    {"release", NULL, "end the hold", false},
    END,
};

static const struct cli_option restore_vm_options[] = {
    {"to-original", NULL, "replace the VM where it was", false},
    {"to-host", "HOST", "as a new VM on this host", false},
    {"name", "NAME", "of the new VM", false},
    {"dir", "DIR", "on the host, for the new disks or the files; or a block device for the only disk", false},
    {"pool", "POOL", "a libvirt storage pool of the host, for the new VM's disks", false},
    {"network", "OLD=NEW", "connect to network (or bridge) NEW what was connected to OLD", true},
    {"format", "FORMAT", "of the disks: raw or qcow2 (default: as they were)", false},
    {"bandwidth", "RATE", "bytes a second at most, such as 20M", false},
    {"start", NULL, "start it when its disks are complete", false},
    {"stop", NULL, "--to-original: a running VM may be stopped", false},
    {"notify", NULL, "tell those who are told of jobs when it has ended", false},
    {"from-host-snapshot", NULL, "only from the snapshot that stayed on the host, not from the store", false},
    WAIT,
    END,
};

static const struct cli_option restore_disk_options[] = {
    {"to", "FILE", "the file to make, or block device to write, where this command runs", false},
    {"format", "FORMAT", "raw (default) or qcow2", false},
    END,
};

static const struct cli_option job_list_options[] = {
    {"vm", "VM", "only jobs of this VM", false},
    {"group", "GROUP", "only jobs of this group", false},
    {"host", "HOST", "only jobs that ran on this host", false},
    {"requested-by", "NAME", "only jobs that this one asked for; schedule for the schedule's", false},
    {"type", "TYPE", "backup, check, restore, verify, rebuild, collect or configure-group", false},
    {"state", "STATE", "queued, running, completed, completed-with-warnings, failed or cancelled", false},
    {"since", "TIME", "created at or after, such as 2026-01-31 or 2026-01-31T22:00:00Z", false},
    {"until", "TIME", "created before", false},
    {"limit", "N", "the newest N (default 50)", false},
    END,
};

static const struct cli_option alert_list_options[] = {
    {"all", NULL, "also those that are resolved", false},
    {"severity", "SEVERITY", "only critical, warning or information", false},
    END,
};

static const struct cli_option alert_ack_options[] = {
    {"note", "TEXT", "for whoever looks next", false},
    END,
};

#define NOTIFY_OPTIONS                                                                                       \
    {"mail", "ADDRESS", "send mails to this address", true},                                                 \
        {"from", "ADDRESS", "that mails come from", false},                                                  \
        {"server", "HOST:PORT", "the mail server", false},                                                   \
        {"security", "KIND", "starttls (default) or tls", false},                                            \
        {"user", "USER", "to authenticate with at the mail server", false},                                  \
        {"url", "URL", "POST to this https:// address", false},                                              \
        {"secret-file", "FILE", "holds the password, or the webhook's key; - is the standard input", false}, \
        {"ca", "FILE", "authorities that sign the server's certificate (default: the system's)", false},     \
        {"severity", "SEVERITY", "tell of alerts of it and above (default warning)", false},                 \
        {"event", "EVENT", "alerts (default), jobs (that ask with --notify), digest", true},                 \
        {"digest-at", "HH:MM", "when the daily digest comes (default 07:00)", false},                        \
    {                                                                                                        \
        "timezone", "ZONE", "of that time (default UTC)", false                                              \
    }

static const struct cli_option notify_create_options[] = {NOTIFY_OPTIONS, END};
static const struct cli_option notify_edit_options[] = {
    {"enable", NULL, "tell again", false},
    {"disable", NULL, "tell nothing for now", false},
    {"name", "NAME", "a new name", false},
    NOTIFY_OPTIONS,
    END,
};

static const struct cli_option digest_options[] = {
    {"html", NULL, "as a mail program shows it", false},
    END,
};

static const char alert_notes[] = "ALERT is the id of an alert; its first 8 characters are enough.";
static const struct cli_option audit_list_options[] = {
    {"since", "TIME", "at or after, such as 2026-01-31 or 2026-01-31T22:00:00Z", false},
    {"until", "TIME", "before", false},
    {"actor", "WHO", "only what this one did", false},
    {"object", "OBJECT", "only what has this name or id in it", false},
    {"all", NULL, "also the beginning of what has ended", false},
    {"limit", "N", "the newest N (default 50)", false},
    END,
};

static const struct cli_option audit_verify_options[] = {
    {"head", "'NUMBER HASH'", "an entry as it was noted elsewhere, such as from the server's log", false},
    END,
};

#define REPORT_OPTIONS                                                                                       \
    {"since", "TIME", "from then on, such as 2026-01-31", false}, {"until", "TIME", "to then", false},       \
    {                                                                                                        \
        "csv", NULL, "as CSV (RFC 4180)", false                                                              \
    }

static const struct cli_option report_options[] = {
    REPORT_OPTIONS,
    {"by", "WHAT", "vm (default) or group", false},
    END,
};

static const struct cli_option report_storage_options[] = {
    REPORT_OPTIONS,
    {"by", "WHAT", "day (default: the whole store), vm or group", false},
    END,
};

static const char vm_notes[] = "VM is a name, HOST/NAME where hosts have VMs of the same name, or an id.";
static const char rp_notes[] = "RP is the id of a recovery point; its first 8 characters are enough.";

const struct cli_command cli_commands[] = {
    {"login", "SERVER", 1, 1, "Remember a server and a token for it", login_options, NULL,
     "holdfast login https://backup.example:7461 --ca ca.pem --user alice\n"
     "holdfast login https://backup.example:7461 --ca ca.pem --token-file admin.token\n",
     run_login},
    {"logout", "", 0, 0, "End the session and forget it", NULL, NULL, "holdfast logout\n", run_logout},
    {"whoami", "", 0, 0, "Show who you are to the server", NULL, NULL, "holdfast whoami\n", run_whoami},
    {"status", "", 0, 0, "Hosts, VMs, jobs and store at a glance", NULL, NULL, "holdfast status\n",
     run_status},

    {"host token", "", 0, 0, "Make a one-time token with which an agent enrols", host_token_options, NULL,
     "holdfast host token\nholdfast host token --ttl 3600\n", run_host_token},
    {"host list", "", 0, 0, "List hosts and their states", NULL, NULL, "holdfast host list\n", run_host_list},
    {"host show", "HOST", 1, 1, "Show a host", NULL, NULL, "holdfast host show kvm1\n", run_host_show},
    {"host retire", "HOST", 1, 1, "Refuse a host from now on; its recovery points stay", NULL, NULL,
     "holdfast host retire kvm1\n", run_host_retire},
    {"host limit", "HOST RATE", 2, 2, "Limit how fast a host's backups and restores travel", limit_options,
     "RATE is bytes a second, such as 20M or 1.5G, or none.",
     "holdfast host limit kvm1 20M --hours 08:00-18:00 --days mon,tue,wed,thu,fri --timezone Europe/Zurich\n"
     "holdfast host limit kvm1 none\n",
     run_host_limit},
    {"host drain", "HOST", 1, 1, "Let no more jobs start on a host, as before an update of its agent",
     drain_options, "It ends by itself when the agent comes back with another version.",
     "holdfast host drain kvm1 --wait\n", run_host_drain},
    {"host resume", "HOST", 1, 1, "Let jobs start on a host again", NULL, NULL, "holdfast host resume kvm1\n",
     run_host_resume},

    {"vm discover", "[HOST]", 0, 1, "Ask hosts now for their VMs", NULL, NULL,
     "holdfast vm discover\nholdfast vm discover kvm1\n", run_vm_discover},
    {"vm list", "", 0, 0, "List VMs and images", vm_list_options, NULL,
     "holdfast vm list\nholdfast vm list --host kvm1\n", run_vm_list},
    {"vm show", "VM", 1, 1, "Show a VM with its disks", NULL, vm_notes, "holdfast vm show web1\n",
     run_vm_show},

    {"policy create", "NAME", 1, 1, "Make a policy: schedule and retention", policy_create_options,
     "NAME has 2 to 50 letters, digits and hyphens, a letter first.",
     "holdfast policy create nightly --daily 22:00 --timezone Europe/Zurich --keep-days 30\n"
     "holdfast policy create often --every 15 --keep-latest 96 --keep-daily 14\n"
     "holdfast policy create weekend --weekly 03:00 --days sat,sun --spread 120 --priority low\n",
     run_policy_create},
    {"policy list", "", 0, 0, "List policies", NULL, NULL, "holdfast policy list\n", run_policy_list},
    {"policy show", "POLICY", 1, 1, "Show a policy", policy_show_options, NULL,
     "holdfast policy show nightly\nholdfast policy show nightly --version 1\n", run_policy_show},
    {"policy next", "[POLICY]", 0, 1, "Show when a schedule runs next", policy_next_options,
     "Options that name a schedule show what they would make, of POLICY or of a new one; nothing is stored.",
     "holdfast policy next nightly --count 5\n"
     "holdfast policy next --daily 02:30 --timezone Europe/Zurich --from 2027-03-27\n",
     run_policy_next},
    {"policy history", "POLICY", 1, 1, "List the versions of a policy, the newest first", NULL, NULL,
     "holdfast policy history nightly\n", run_policy_history},
    {"policy edit", "POLICY", 1, 1, "Change a policy; its version goes up by one", policy_edit_options, NULL,
     "holdfast policy edit nightly --daily 23:30\n", run_policy_edit},
    {"policy delete", "POLICY", 1, 1, "Delete a policy that no group uses", NULL, NULL,
     "holdfast policy delete often\n", run_policy_delete},

    {"group create", "NAME", 1, 1, "Make a protection group", group_create_options, vm_notes,
     "holdfast group create web --policy nightly --vm web1 --vm web2\n", run_group_create},
    {"group list", "", 0, 0, "List protection groups", NULL, NULL, "holdfast group list\n", run_group_list},
    {"group show", "GROUP", 1, 1, "Show a protection group with its VMs", NULL, NULL,
     "holdfast group show web\n", run_group_show},
    {"group add", "GROUP VM...", 2, MANY, "Protect VMs in a group: all of them or none", group_add_options,
     vm_notes, "holdfast group add web web3 kvm2/web4\n", run_group_add},
    {"group remove", "GROUP VM...", 2, MANY, "Take VMs out of a group", data_options, vm_notes,
     "holdfast group remove web web3\n", run_group_remove},
    {"group edit", "GROUP", 1, 1, "Give a group another policy or name", group_edit_options,
     "The recovery points that are there fall under the new policy's retention; locks stay.",
     "holdfast group edit web --policy weekly\n", run_group_edit},
    {"group stop", "GROUP", 1, 1, "Stop the protection of a group's VMs: no schedule, no retention",
     data_options,
     "Deleted recovery points can be had back for 14 days (soft-delete-days): `holdfast group resume`.",
     "holdfast group stop web\nholdfast group stop web --delete-data\n", run_group_stop},
    {"group resume", "GROUP", 1, 1,
     "Protect a group's VMs again, with the recovery points that the stop deleted", NULL, NULL,
     "holdfast group resume web\n", run_group_resume},
    {"group delete", "GROUP", 1, 1, "Delete a group; recovery points stay", NULL, NULL,
     "holdfast group delete web\n", run_group_delete},

    {"backup", "[VM]", 0, 1, "Back up a VM now", backup_options, vm_notes,
     "holdfast backup web1 --wait\nholdfast backup --group web\n"
     "holdfast backup web1 --at 2026-01-31T22:00:00Z\n",
     run_backup},
    {"seed", "VM", 1, 1,
     "Let a recovery point stand for a VM's first copy: the first backup sends what differs", seed_options,
     "For disks that came on a removable disk: add them as an image where an agent runs beside the server\n"
     "(holdfast-agent add-image), back that image up, and give its recovery point here. Disks of the same\n"
     "name belong together, or the only ones, or as --disk says; their sizes must be the same.",
     "holdfast seed web1 --from 3f6c1a2b\nholdfast seed web1 --from 3f6c1a2b --disk vda=disk0 --disk "
     "vdb=disk1\n",
     run_seed},
    {"check", "VM", 1, 1, "Consistency check: compare the whole VM with the store, make a recovery point",
     wait_options, vm_notes, "holdfast check web1 --wait\n", run_check},

    {"rp list", "[VM]", 0, 1, "List recovery points, the newest first, and what keeps them", rp_list_options,
     vm_notes, "holdfast rp list web1\nholdfast rp list --deleted\n", run_rp_list},
    {"rp calendar", "VM", 1, 1, "Recovery points of a VM by days, the newest day first", NULL, vm_notes,
     "holdfast rp calendar web1\n", run_rp_calendar},
    {"rp show", "RP", 1, 1, "Show a recovery point with its disks", NULL, rp_notes,
     "holdfast rp show 3f6c1a2b\n", run_rp_show},
    {"rp verify", "RP", 1, 1, "Check that everything of a recovery point is in the store", wait_options,
     rp_notes, "holdfast rp verify 3f6c1a2b --wait\n", run_rp_verify},
    {"rp hold", "RP", 1, 1, "Keep a recovery point whatever the policy says", hold_options, rp_notes,
     "holdfast rp hold 3f6c1a2b\nholdfast rp hold 3f6c1a2b --release\n", run_rp_hold},
    {"rp retain", "RP TIME", 2, 2, "Keep a recovery point until then, or (none) as long as the policy says",
     NULL, rp_notes, "holdfast rp retain 3f6c1a2b 2027-06-30\nholdfast rp retain 3f6c1a2b none\n",
     run_rp_retain},
    {"rp delete", "RP", 1, 1, "Delete a recovery point; it can be had back for 14 days (soft-delete-days)",
     delete_options, rp_notes, "holdfast rp delete 3f6c1a2b\nholdfast rp delete 3f6c1a2b --now\n",
     run_rp_delete},
    {"rp undelete", "RP...", 1, MANY, "Take deleted recovery points back", NULL, rp_notes,
     "holdfast rp undelete 3f6c1a2b\n", run_rp_undelete},

    {"restore vm", "RP", 1, 1, "Restore a VM from a recovery point", restore_vm_options, rp_notes,
     "holdfast restore vm 3f6c1a2b --to-original --stop --start --wait\n"
     "holdfast restore vm 3f6c1a2b --to-host kvm2 --name web1-test --start --wait\n",
     run_restore_vm},
    {"restore disk", "RP DISK", 2, 2, "Write a disk of a recovery point to a file here", restore_disk_options,
     rp_notes, "holdfast restore disk 3f6c1a2b vda --to web1.qcow2 --format qcow2\n", run_restore_disk},

    {"job list", "", 0, 0, "List jobs, the newest first", job_list_options, NULL,
     "holdfast job list\nholdfast job list --vm web1 --state failed\n", run_job_list},
    {"job show", "JOB", 1, 1, "Show a job with its log", NULL, NULL, "holdfast job show 8d21f00c\n",
     run_job_show},
    {"job watch", "JOB", 1, 1, "Follow a job to its end", NULL, NULL, "holdfast job watch 8d21f00c\n",
     run_job_watch},
    {"job cancel", "JOB", 1, 1, "Cancel a job", NULL, NULL, "holdfast job cancel 8d21f00c\n", run_job_cancel},

    {"alert list", "", 0, 0, "List what is wrong now, the newest first", alert_list_options, NULL,
     "holdfast alert list\nholdfast alert list --all --severity critical\n", run_alert_list},
    {"alert show", "ALERT", 1, 1, "Show an alert with its cause and what to do", NULL, alert_notes,
     "holdfast alert show 8d21f00c\n", run_alert_show},
    {"alert ack", "ALERT", 1, 1, "Acknowledge an alert: somebody has seen it", alert_ack_options, alert_notes,
     "holdfast alert ack 8d21f00c --note ordered\n", run_alert_ack},

    {"notify list", "", 0, 0, "List who is told of alerts, jobs and the day", NULL, NULL,
     "holdfast notify list\n", run_notify_list},
    {"notify show", "NAME", 1, 1, "Show one of them", NULL, NULL, "holdfast notify show team\n",
     run_notify_show},
    {"notify create", "NAME", 1, 1, "Tell somebody by mail, or a program by a webhook", notify_create_options,
     "A mail goes by --server with STARTTLS, or TLS from the first byte; a webhook is a POST to --url. The\n"
     "secret is the password of --user, or what a webhook's requests are signed with.",
     "holdfast notify create team --mail ops@example.org --from holdfast@example.org --server "
     "mail.example.org:587\n"
     "holdfast notify create chat --url https://chat.example.org/hook --secret-file key --severity "
     "critical\n",
     run_notify_create},
    {"notify edit", "NAME", 1, 1, "Change what is told to whom", notify_edit_options, NULL,
     "holdfast notify edit team --severity critical --digest-at 06:30 --timezone Europe/Zurich\n",
     run_notify_edit},
    {"notify delete", "NAME", 1, 1, "Tell them no more", NULL, NULL, "holdfast notify delete chat\n",
     run_notify_delete},
    {"notify test", "NAME", 1, 1, "Send a test now and say what is wrong", NULL, NULL,
     "holdfast notify test team\n", run_notify_test},
    {"notify digest", "", 0, 0, "Show the daily digest as it would be sent now", digest_options, NULL,
     "holdfast notify digest\nholdfast notify digest --html\n", run_notify_preview_digest},

    {"store status", "", 0, 0, "Show what the store holds", NULL, NULL, "holdfast store status\n",
     run_store_status},
    {"store verify", "", 0, 0, "Read the whole store and check it", wait_options, NULL,
     "holdfast store verify --wait\n", run_store_verify},
    {"store gc", "", 0, 0, "Free what no recovery point needs (also done every day by itself)", gc_options,
     NULL, "holdfast store gc --dry-run --wait\nholdfast store gc --wait\n", run_store_gc},
    {"store rebuild", "", 0, 0, "Make the store's index anew and list every recovery point that it holds",
     wait_options, NULL, "holdfast store rebuild --wait\n", run_store_rebuild},

    {"report status", "", 0, 0, "VMs with their backups of the last day, or of a time", report_options, NULL,
     "holdfast report status\nholdfast report status --by group --since 2026-01-01 --csv\n",
     run_report_status},
    {"report storage", "", 0, 0, "How the store, or what VMs have in it, grew (last 30 days)",
     report_storage_options, NULL, "holdfast report storage\nholdfast report storage --by vm --csv\n",
     run_report_storage},
    {"report rpo", "", 0, 0, "Whether recovery points are as young as the schedules promise", report_options,
     NULL, "holdfast report rpo\nholdfast report rpo --by group --csv\n", run_report_rpo},
    {"audit list", "", 0, 0, "Who changed or read what, when, from where; the newest first",
     audit_list_options, NULL, "holdfast audit list\nholdfast audit list --object web1 --since 2026-01-31\n",
     run_audit_list},
    {"audit verify", "", 0, 0, "Check that nobody changed or shortened the audit record",
     audit_verify_options, NULL, "holdfast audit verify\n", run_audit_verify},

    {"completion", "SHELL", 1, 1, "Print what a shell needs to complete commands and names", NULL,
     "SHELL is bash, zsh or fish. In ~/.bashrc: source <(holdfast completion bash)",
     "holdfast completion bash\n", run_completion},
    {"user create", "NAME", 1, 1, "Make a user", user_create_options, NULL,
     "holdfast user create alice --role operator\n"
     "holdfast user create bob --group web --password-file bob.password\n",
     run_user_create},
    {"user list", "", 0, 0, "List users", NULL, NULL, "holdfast user list\n", run_user_list},
    {"user show", "USER", 1, 1, "Show a user", NULL, NULL, "holdfast user show alice\n", run_user_show},
    {"user edit", "USER", 1, 1, "Change a user's role, groups or name, or disable him", user_edit_options,
     NULL, "holdfast user edit alice --role administrator\nholdfast user edit bob --group web --group db\n",
     run_user_edit},
    {"user delete", "USER", 1, 1, "Remove a user with his tokens", NULL, NULL, "holdfast user delete bob\n",
     run_user_delete},
    {"user password", "[USER]", 0, 1, "Change your password, or give a user a new one", user_password_options,
     NULL, "holdfast user password\nholdfast user password bob\n", run_user_password},
    {"user totp", "", 0, 0, "Set up your second factor: an application that makes codes", user_totp_options,
     NULL, "holdfast user totp\nholdfast user totp --remove --code 123456\n", run_user_totp},
    {"user pin", "", 0, 0, "Set a PIN of 6 to 12 digits as your second factor", user_pin_options, NULL,
     "holdfast user pin\n", run_user_pin},
    {"user reset-factor", "USER", 1, 1, "Remove the second factor of a user who lost it", NULL, NULL,
     "holdfast user reset-factor alice\n", run_user_reset_factor},
    {"token create", "NAME", 1, 1, "Make an API token for a script", token_create_options, NULL,
     "holdfast token create monitoring --role viewer --days 365\n", run_token_create},
    {"token list", "", 0, 0, "List your tokens and sessions; administrators see everybody's", NULL, NULL,
     "holdfast token list\n", run_token_list},
    {"token revoke", "TOKEN", 1, 1, "End a token or a session", NULL, NULL,
     "holdfast token revoke 5d0c4f1e\n", run_token_revoke},
    {"approval list", "", 0, 0, "List what waits for a second person", NULL, NULL, "holdfast approval list\n",
     run_approval_list},
    {"approval approve", "REQUEST", 1, 1, "Let another administrator's request act", NULL, NULL,
     "holdfast approval approve 91ab02cd\n", run_approval_approve},
    {"approval reject", "REQUEST", 1, 1, "Refuse a request, or take your own back", NULL, NULL,
     "holdfast approval reject 91ab02cd\n", run_approval_reject},

    {"help", "[COMMAND | CODE]", 0, 2, "Explain a command, or the code of an error", NULL, NULL,
     "holdfast help STORE_FULL\nholdfast help restore vm\n", run_help},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};
