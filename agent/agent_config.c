#include "agent/agent_config.h"

#include "agent/agent_state.h"
#include "agent/providers/provider_list.h"
#include "agent/snapshots/host_snapshots.h"
#include <stdlib.h>
#include <string.h>

const struct config_key agent_config_keys[] = {
    {"log-level", "info", "debug, info, warning or error"},
    {"log-format", "text", "text or json"},
    {"proxy", NULL, "HTTP proxy on the way to the server: http://HOST:PORT"},
    {"proxy-user", NULL, "its user"},
    {"proxy-password", NULL, "and password"},
    {"connections", "2", "data connections of one backup, 1 to 4"},
    PROVIDER_CONFIG_KEYS,
    HOST_SNAPSHOTS_CONFIG_KEYS,
    {NULL, NULL, NULL},
};

int agent_proxy_read(const struct config *config, struct agent_proxy *proxy, struct error *err)
{
    static const char scheme[] = "http://";
    const char *text = config_text(config, "proxy");
    *proxy = (struct agent_proxy){0};
    if (text == NULL || *text == '\0') {
        return 0;
    }
    if (strncmp(text, scheme, sizeof scheme - 1) == 0) {
        text += sizeof scheme - 1;
    }
    if (strstr(text, "://") != NULL || agent_address_parse(text, &proxy->host, &proxy->proxy.port) != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "The proxy must be given as http://HOST:PORT, not %s",
                         text);
    }
    proxy->used = true;
    proxy->proxy.host = proxy->host;
    proxy->proxy.user = config_text(config, "proxy-user");
    proxy->proxy.password = config_text(config, "proxy-password");
    return 0;
}

void agent_proxy_release(struct agent_proxy *proxy)
{
    free(proxy->host);
    *proxy = (struct agent_proxy){0};
}
