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
    END,
};

static const struct cli_option token_options[] = {
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

#define POLICY_OPTIONS                                                                                       \
    {"daily", "HH:MM[,...]", "at these times of the day", false},                                            \
        {"every", "MINUTES", "every so many minutes", false}, {"manual", NULL, "by hand only", false},       \
        {"days", "mon,tue,...", "only on these days of the week", false},                                    \
        {"timezone", "ZONE", "of the times, such as Europe/Zurich (default UTC)", false},                    \
        {"keep-days", "N", "keep points of the last N days", false},                                         \
        {"keep-latest", "N", "keep the newest N points", false},                                             \
        {"keep-daily", "N", "keep the last point of each of N days", false},                                 \
        {"keep-weekly", "N", "of N weeks", false}, {"keep-monthly", "N", "of N months", false},              \
        {"keep-yearly", "N", "of N years", false},                                                           \
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
    {"name", "NAME", "a new name", false},
    {"enable", NULL, "the schedule runs", false},
    {"disable", NULL, "the schedule rests", false},
    POLICY_OPTIONS,
    END,
};

static const struct cli_option group_create_options[] = {
    {"policy", "POLICY", "its schedule and retention (daily-22h is there from the start)", false},
    {"vm", "VM", "a VM to protect", true},
    END,
};

static const struct cli_option backup_options[] = {
    {"group", "GROUP", "every VM of this group instead of one VM", false},
    {"full", NULL, "read and send everything anew; nothing is stored twice", false},
    {"retain-until", "TIME", "keep the point until then, whatever the policy says", false},
    {"bandwidth", "RATE", "bytes a second at most, such as 20M", false},
    {"at", "TIME", "start then, such as 2026-01-31T22:00:00Z, and not now", false},
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

static const struct cli_option hold_options[] = {
    {"release", NULL, "end the hold", false},
    END,
};

static const struct cli_option restore_vm_options[] = {
    {"to-original", NULL, "replace the VM where it was", false},
    {"to-host", "HOST", "as a new VM on this host", false},
    {"name", "NAME", "of the new VM", false},
    {"dir", "DIR", "on the host, for the new disks; or a block device for the only one", false},
    {"pool", "POOL", "a libvirt storage pool of the host, for the new VM's disks", false},
    {"network", "OLD=NEW", "connect to network (or bridge) NEW what was connected to OLD", true},
    {"format", "FORMAT", "of the disks: raw or qcow2 (default: as they were)", false},
    {"bandwidth", "RATE", "bytes a second at most, such as 20M", false},
    {"start", NULL, "start it when its disks are complete", false},
    {"stop", NULL, "--to-original: a running VM may be stopped", false},
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
    {"type", "TYPE", "backup, check, restore, verify, rebuild or collect", false},
    {"state", "STATE", "queued, running, completed, completed-with-warnings, failed or cancelled", false},
    {"since", "TIME", "created at or after, such as 2026-01-31 or 2026-01-31T22:00:00Z", false},
    {"limit", "N", "the newest N (default 50)", false},
    END,
};

static const char vm_notes[] = "VM is a name, HOST/NAME where hosts have VMs of the same name, or an id.";
static const char rp_notes[] = "RP is the id of a recovery point; its first 8 characters are enough.";

const struct cli_command cli_commands[] = {
    {"login", "SERVER", 1, 1, "Remember a server and a token for it", login_options, NULL,
     "holdfast login https://backup.example:7461 --ca ca.pem --token-file admin.token\n", run_login},
    {"status", "", 0, 0, "Hosts, VMs, jobs and store at a glance", NULL, NULL, "holdfast status\n",
     run_status},

    {"host token", "", 0, 0, "Make a one-time token with which an agent enrols", token_options, NULL,
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
     "holdfast policy create often --every 15 --keep-latest 96 --keep-daily 14\n",
     run_policy_create},
    {"policy list", "", 0, 0, "List policies", NULL, NULL, "holdfast policy list\n", run_policy_list},
    {"policy show", "POLICY", 1, 1, "Show a policy", NULL, NULL, "holdfast policy show nightly\n",
     run_policy_show},
    {"policy edit", "POLICY", 1, 1, "Change a policy; its version goes up by one", policy_edit_options, NULL,
     "holdfast policy edit nightly --daily 23:30\n", run_policy_edit},
    {"policy delete", "POLICY", 1, 1, "Delete a policy that no group uses", NULL, NULL,
     "holdfast policy delete often\n", run_policy_delete},

    {"group create", "NAME", 1, 1, "Make a protection group", group_create_options, vm_notes,
     "holdfast group create web --policy nightly --vm web1 --vm web2\n", run_group_create},
    {"group list", "", 0, 0, "List protection groups", NULL, NULL, "holdfast group list\n", run_group_list},
    {"group show", "GROUP", 1, 1, "Show a protection group with its VMs", NULL, NULL,
     "holdfast group show web\n", run_group_show},
    {"group add", "GROUP VM...", 2, MANY, "Protect VMs in a group: all of them or none", NULL, vm_notes,
     "holdfast group add web web3 kvm2/web4\n", run_group_add},
    {"group remove", "GROUP VM...", 2, MANY, "Take VMs out of a group; their recovery points stay", NULL,
     vm_notes, "holdfast group remove web web3\n", run_group_remove},
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

    {"rp list", "[VM]", 0, 1, "List recovery points, the newest first", NULL, vm_notes,
     "holdfast rp list web1\n", run_rp_list},
    {"rp calendar", "VM", 1, 1, "Recovery points of a VM by days, the newest day first", NULL, vm_notes,
     "holdfast rp calendar web1\n", run_rp_calendar},
    {"rp show", "RP", 1, 1, "Show a recovery point with its disks", NULL, rp_notes,
     "holdfast rp show 3f6c1a2b\n", run_rp_show},
    {"rp verify", "RP", 1, 1, "Check that everything of a recovery point is in the store", wait_options,
     rp_notes, "holdfast rp verify 3f6c1a2b --wait\n", run_rp_verify},
    {"rp hold", "RP", 1, 1, "Keep a recovery point whatever the policy says", hold_options, rp_notes,
     "holdfast rp hold 3f6c1a2b\nholdfast rp hold 3f6c1a2b --release\n", run_rp_hold},
    {"rp delete", "RP", 1, 1, "Delete a recovery point", NULL, rp_notes, "holdfast rp delete 3f6c1a2b\n",
     run_rp_delete},

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

    {"store status", "", 0, 0, "Show what the store holds", NULL, NULL, "holdfast store status\n",
     run_store_status},
    {"store verify", "", 0, 0, "Read the whole store and check it", wait_options, NULL,
     "holdfast store verify --wait\n", run_store_verify},
    {"store gc", "", 0, 0, "Free what no recovery point needs (also done every day by itself)", gc_options,
     NULL, "holdfast store gc --dry-run --wait\nholdfast store gc --wait\n", run_store_gc},
    {"store rebuild", "", 0, 0, "Make the store's index anew and list every recovery point that it holds",
     wait_options, NULL, "holdfast store rebuild --wait\n", run_store_rebuild},

    {"help", "[COMMAND | CODE]", 0, 2, "Explain a command, or the code of an error", NULL, NULL,
     "holdfast help STORE_FULL\nholdfast help restore vm\n", run_help},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};
