#ifndef NSP_VERIFY_SEARCH_H
#define NSP_VERIFY_SEARCH_H
#include "netshaper/filter.h"
#include "netshaper/policy.h"
#include "verify/packet.h"

/* Finds a packet that comes to a rule: one that its filter matches and no rule
 * before it decides.
 *
 * Packets are drawn from a pool of likely values and the constants that stand
 * in the filter (numbers and their neighbours, addresses, ports and prefixes of
 * sets), and the compiled filters asked about each. The same filter always
 * gives the same packet. That none was found is no proof that there is none. */

/* The most rules that one packet meets. */
#define NSP_SEARCH_HITS_MAX 64u

struct nsp_search {
    const struct nsp_policy_spec *spec;
    struct nsp_filter *const *filters; /* One for each rule; NULL: all. */
    const bool *off;                   /* Rules that are not in force. */
    uint32_t hooks;                    /* Set of enum nsp_hook. */
    const uint32_t *ifindexes;         /* That filters may ask for. */
    uint32_t ifindex_count;
    uint64_t seed;          /* Of the engine: filters may read it. */
    uint16_t payload_bytes; /* Wanted; others are tried where it does not fit.
                             */
    /* Not NULL: what else a packet must be, for who measures and for who sends
     * it. */
    bool (*wants)(const struct nsp_test_fields *fields);
    bool (*can_send)(const struct nsp_test_fields *fields);
};

/* On success stores the packet and returns true. Otherwise '*ret_why' says why
 * there is none, static storage. */
bool nsp_search_packet(const struct nsp_search *search, uint32_t rule,
                       struct nsp_test_packet *ret, const char **ret_why);

/* Gives 'packet', one for the rule, another payload so that it has 'bytes'.
 * Returns whether it can, and stays one for the rule; else it is unchanged. */
bool nsp_search_resize(const struct nsp_search *search, uint32_t rule,
                       uint32_t bytes, struct nsp_test_packet *packet);

/* Stores in 'ret' the rules that act on the parsed 'pkt', in order, and returns
 * how many, at most NSP_SEARCH_HITS_MAX. 'off' NULL: all are in force. */
uint32_t nsp_search_hits(const struct nsp_search *search, const bool *off,
                         const struct nsp_pkt *pkt,
                         uint32_t ret[NSP_SEARCH_HITS_MAX]);

/* Leaves out rules until 'rule' alone acts on 'packet'. 'ret_off', of all
 * rules, says which are not in force then. Returns how many were left out. */
uint32_t nsp_search_isolate(const struct nsp_search *search, uint32_t rule,
                            const struct nsp_test_packet *packet,
                            bool ret_off[]);

#endif /* NSP_VERIFY_SEARCH_H */
