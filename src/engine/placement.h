#ifndef NSP_ENGINE_PLACEMENT_H
#define NSP_ENGINE_PLACEMENT_H
#include "engine/config.h"
#include "io/host.h"
#include "policy/policy.h"

/* Which device takes packets at which hook, when the backend is "host".
 *
 *     hook                           nothing holds there   some rule does
 *     input, forward                 nfqueue               nfqueue
 *     output, by Ethernet or lo      nfqueue               tap
 *     output, by other interfaces    nfqueue               nfqueue
 *
 * nfqueue is the first choice everywhere: it sees every interface, what comes
 * after the firewall's rules and in whole IP packets, and keeps marks. It
 * cannot hold what a local socket has sent without slowing its TCP; tap can,
 * but takes nothing without an Ethernet header. An interface's hardware type
 * says which, to each packet as it leaves, so none is met by both or by neither
 * and no news of interfaces is needed. Where tap is told the names of
 * interfaces, what leaves by others is not asked for. Rules that are disabled
 * count: a schedule may bring them back. */

/* Decides for 'policy' at 'hooks', those of them that 'config' asks for. */
void nsp_placement_decide(const struct nsp_config *config,
                          const struct nsp_policy *policy, uint32_t hooks,
                          struct nsp_host_config *ret);

/* The functions of the device at 'hook' (one bit); of two, of the one that can
 * hold. */
const struct nsp_io_ops *nsp_placement_ops(const struct nsp_host_config *host,
                                           uint32_t hook);

/* The first rule of 'policy' that may hold packets of 'direction', or NULL. */
const struct nsp_policy_rule *nsp_placement_holder(
    const struct nsp_policy *policy, enum nsp_direction direction);

#endif /* NSP_ENGINE_PLACEMENT_H */
