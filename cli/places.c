#include "cli/places.h"

#include <stdio.h>

const char *
nsp_hook_name(uint32_t hook)
{
    switch (hook) {
    case NSP_HOOK_INPUT:
        return "input";
    case NSP_HOOK_OUTPUT:
        return "output";
    default:
        return "forward";
    }
}

const char *
nsp_places_write(const struct nsp_places *places, char *ret, size_t bytes)
{
    size_t used = 0;

    ret[0] = '\0';
    for (uint32_t i = 0; i < places->count && used < bytes; i++) {
        const struct nsp_placement *place = &places->list[i];

        if (place->interfaces == NSP_PLACEMENT_OTHER)
            used += (size_t)snprintf(ret + used, bytes - used, " and %s",
                                     place->device);
        else
            used += (size_t)snprintf(ret + used, bytes - used, "%s%s by %s",
                                     i > 0 ? ", " : "",
                                     nsp_hook_name(place->hook), place->device);
    }
    return ret;
}

void
nsp_places_json(const struct nsp_places *places, struct nsp_json *json)
{
    nsp_json_begin_object(json, "devices");
    for (uint32_t i = 0; i < places->count; i++) {
        const struct nsp_placement *place = &places->list[i];

        nsp_json_string(json,
                        place->interfaces == NSP_PLACEMENT_OTHER
                            ? "output_without_ethernet"
                            : nsp_hook_name(place->hook),
                        place->device);
    }
    nsp_json_end(json);
}
