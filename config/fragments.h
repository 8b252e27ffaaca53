#ifndef NSP_CONFIG_FRAGMENTS_H
#define NSP_CONFIG_FRAGMENTS_H
#include <stdbool.h>

#include "netshaper/engine.h"
#include "netshaper/filter.h"

/* Filters that ask for fragments, where packets are whole: nfqueue takes what
 * leaves before it is fragmented, and IPv4 packets that come in after they were
 * reassembled. */

/* Tells whether packets of one of 'hooks', in the directions of 'apply', may
 * match a filter with 'needs'. */
bool nsp_hooks_may_match(uint32_t hooks, uint8_t apply,
                         const struct nsp_filter_needs *needs);

/* Tells whether 'filter' (NULL: all packets) matches nothing but fragments and
 * those that it may match come to none of 'places'. */
bool nsp_fragments_never_come(const struct nsp_filter *filter, uint8_t apply,
                              const struct nsp_placement places[],
                              uint32_t count);

/* What to say of it; which way there is to fragments the caller knows. */
#define NSP_FRAGMENTS_TEXT                                                     \
    "asks for fragments where nfqueue takes packets whole, before they are "   \
    "fragmented or after they were reassembled"

#endif /* NSP_CONFIG_FRAGMENTS_H */
