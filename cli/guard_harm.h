#ifndef NSP_CLI_GUARD_HARM_H
#define NSP_CLI_GUARD_HARM_H
#include "netshaper/packet.h"
#include "netshaper/policy.h"

/* What all rules that act on a packet do to its TCP connection, together, and
 * whether somebody could still work by it:
 *
 *     Lost    A share of packets: what each rule leaves multiplies. Packets
 *             that are damaged so that their checksum tells are lost.
 *     Held    The longest wait, which adds up; runs of losses and times without
 *             a link too, as what was lost is sent again after them.
 *     Slow    The least rate.
 *     Ended   Resets, stalls for good, wrong bytes that the checksum does not
 *             tell of, a TTL that may be too small for the way.
 *
 * It is judged by what is configured; where that does not say exactly, as with
 * delays without a bound, against the rule. Lengths are those of the packet, a
 * full one on the wire where it is larger. */
struct nsp_harm {
    const struct nsp_pkt *pkt;
    double kept;    /* Share that is not lost. */
    double in_time; /* Share of these that no rule alone holds too long. */
    double hold_ns; /* Of most packets. */
    double copies;  /* That each packet has become, itself included. */
    const char *ended;
};

#define NSP_HARM_LOSS_PPM   (NSP_PPM_ONE / 4)
#define NSP_HARM_HOLD_NS    UINT64_C(2000000000)
#define NSP_HARM_RUN_PKTS   5u /* Sent again after 0.2 s, 0.4 s... */
#define NSP_HARM_RATE_BITPS 16000u
#define NSP_HARM_RATE_PPS   5u
#define NSP_HARM_TTL        32u  /* Few ways have as many hops. */
#define NSP_HARM_WINDOW     200u /* Bytes: 16 kbit/s over 100 ms. */

void nsp_harm_init(struct nsp_harm *harm, const struct nsp_pkt *pkt);

/* Adds 'rule', which acts on the packet. Returns what then is too much, as in
 * "would drop your own connection"; NULL when nothing is. Static storage. */
const char *nsp_harm_add(struct nsp_harm *harm,
                         const struct nsp_policy_spec *spec,
                         const struct nsp_rule *rule);

#endif /* NSP_CLI_GUARD_HARM_H */
