/* The agent's configuration file, DATA/agent.conf, and its proxy. */
#ifndef HOLDFAST_AGENT_AGENT_CONFIG_H
#define HOLDFAST_AGENT_AGENT_CONFIG_H

#include "base/config.h"
#include "proto/channel.h"

extern const struct config_key agent_config_keys[];

struct agent_proxy {
    char *host;
    bool used;
    struct channel_proxy proxy; /* borrows host and the configuration's texts */
};

/* From the keys proxy, proxy-user, proxy-password. CONFIG_INVALID. */
int agent_proxy_read(const struct config *config, struct agent_proxy *proxy, struct error *err);
void agent_proxy_release(struct agent_proxy *proxy);

#endif
