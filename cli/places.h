#ifndef NSP_CLI_PLACES_H
#define NSP_CLI_PLACES_H
#include "cli/json.h"
#include "netshaper/engine.h"

/* Where an engine takes packets, told to people and programs. */
struct nsp_places {
    struct nsp_placement list[NSP_PLACEMENTS_MAX];
    uint32_t count;
};

/* The name of 'hook', one bit: "input". */
const char *nsp_hook_name(uint32_t hook);

/* Writes "input by nfqueue, output by tap and nfqueue". */
const char *nsp_places_write(const struct nsp_places *places, char *ret,
                             size_t bytes);

/* Writes the member "devices" of the object that is open: the device of each
 * hook by the hook's name, and as "output_without_ethernet" that of interfaces
 * without Ethernet headers where it is another. */
void nsp_places_json(const struct nsp_places *places, struct nsp_json *json);

#endif /* NSP_CLI_PLACES_H */
