/* The checks before a handler, and the handler. */
#include "server/access/guard.h"
#include "server/api/api_internal.h"

#include <string.h>

/* The route's guard with the parameters of the path in their places. */
static const char *guard_text(struct api_call *call, const struct api_route *route)
{
    const char *text = route->guard;
    const char *out = "";
    size_t parameter = 0;
    while (*text != '\0') {
        size_t plain = strcspn(text, "{");
        out = arena_format(call->arena, "%s%.*s", out, (int)plain, text);
        text += plain;
        if (*text == '{') {
            out = arena_format(call->arena, "%s%.100s", out, call->parameters[parameter++]);
            text += strcspn(text, "}") + 1;
        }
    }
    return out;
}

int api_dispatch(struct api_call *call, const struct api_route *route, struct error *err)
{
    if (api_check_query(call, err) != 0) {
        return -1;
    }
    if (route->role != ROLE_ANYONE &&
        (access_check_role(call, route, err) != 0 || access_check_objects(call, route, err) != 0 ||
         (route->guard != NULL && access_confirm(call, guard_text(call, route), err) != 0))) {
        return -1;
    }
    return route->handler(call, err) != 0 ? -1
           : route->role == ROLE_ANYONE   ? 0
                                          : access_filter_list(call, route, err);
}
