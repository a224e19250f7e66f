/* The providers of this folder. */
#ifndef HOLDFAST_AGENT_PROVIDERS_PROVIDER_LIST_H
#define HOLDFAST_AGENT_PROVIDERS_PROVIDER_LIST_H

#include "agent/provider.h"

extern const struct provider provider_image;
extern const struct provider provider_files;
extern const struct provider provider_kvm; /* only where HOLDFAST_KVM is on */

/* What providers read from the agent's configuration file; rows of a struct config_key table. */
#define PROVIDER_CONFIG_KEYS                                                                                 \
    {"libvirt-uri", "qemu:///system", "where libvirt is reached"},                                           \
        {"scratch-directory", NULL,                                                                          \
         "where backups of running VMs keep blocks that the guest overwrites; local"},                       \
    {                                                                                                        \
        "scratch-max-bytes", NULL, "how much of it one backup may fill; default a tenth of the disks"        \
    }

#endif
