#ifndef NSP_ENGINE_PLAN_H
#define NSP_ENGINE_PLAN_H
#include "engine/config.h"
#include "io/host.h"
#include "netshaper/filter.h"
#include "policy/policy.h"

/* What a filter, a policy and a callback together ask of a device. */
struct nsp_plan {
    struct nsp_io_config io;
    struct nsp_host_config
        host;          /* For backend "host"; io.device points here. */
    bool holds;        /* Packets may have to wait. */
    bool edits;        /* Packets may be changed. */
    bool flows;        /* Flows are tracked. */
    bool told;         /* The device decides flows that it is told of. */
    bool copies;       /* Packets may be copied. */
    bool reports;      /* Rules may log or capture. */
    uint32_t holdable; /* Set of enum nsp_hook. */
};

/* The layer that filters are compiled for on this configuration. */
enum nsp_layer nsp_plan_layer(const struct nsp_config *config);

/* One worker must see all that share a link's state or a count and, in virtual
 * time, which each worker has for itself, a rate or a past. Returns NSP_OK, or
 * NSP_INVALID_PARAMETER naming the rule. */
int nsp_plan_check_workers(const struct nsp_config *config,
                           const struct nsp_policy *policy,
                           struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Plans for 'policy'; with 'open', the plan of a device that is open, for that
 * device. '*ret' must not be copied. Returns NSP_OK, or NSP_NOT_POSSIBLE with
 * 'reterr' saying which rule asks for what the device cannot do, and what to do
 * instead. */
int nsp_plan_make(const struct nsp_config *config,
                  const struct nsp_filter *filter,
                  const struct nsp_policy *policy, const struct nsp_plan *open,
                  struct nsp_plan *ret, struct nsp_diag *reterr) NSP_MUSTCHECK;

#endif /* NSP_ENGINE_PLAN_H */
