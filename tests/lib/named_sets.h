#ifndef NSP_TESTS_LIB_NAMED_SETS_H
#define NSP_TESTS_LIB_NAMED_SETS_H
#include "base/prng.h"
#include "netshaper/filter.h"

/* Named sets for random filters, small and large, with addresses and ports that
 * samples have (tests/lib/filter.h), and a plain list of what is in them. */

#define NAMED_RANGES_MAX 2500

struct named_range {
    bool ipv6;
    uint64_t hi;          /* Upper half of both ends. */
    uint64_t first, last; /* Lower halves; ports. */
};

struct named_set {
    const char *name;
    bool is_ports;
    unsigned count;
    struct named_range ranges[NAMED_RANGES_MAX];
};

/* Reads the sets into '*ret', which is to be given to close. */
void named_sets_open(struct nsp_filter_options *ret);
void named_sets_close(struct nsp_filter_options *options);

/* One of the sets of ports, or of addresses; NULL while none are open. */
const struct named_set *named_sets_any(struct nsp_prng *prng, bool is_ports);

/* Linear scans. */
bool named_set_has(const struct named_set *set, bool ipv6, uint64_t hi,
                   uint64_t lo);
bool named_set_has_port(const struct named_set *set, uint16_t port);

#endif /* NSP_TESTS_LIB_NAMED_SETS_H */
