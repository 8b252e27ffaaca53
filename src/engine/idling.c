#include "engine/idling.h"

#include "netshaper/packet.h"

uint64_t
nsp_idling_decide(struct nsp_idling *idling, uint64_t now_ns, uint64_t due_ns)
{
    uint64_t soon_ns = nsp_add_sat_u64(now_ns, NSP_IDLING_LINGER_NS);

    if (due_ns != NSP_TIME_NEVER && due_ns <= soon_ns) {
        *idling = (struct nsp_idling){ .soon_ns = now_ns, .prompt = true };
        return due_ns;
    }
    if (idling->prompt && now_ns - idling->soon_ns < NSP_IDLING_LINGER_NS)
        return idling->soon_ns + NSP_IDLING_LINGER_NS;
    idling->prompt = false;
    return due_ns == NSP_TIME_NEVER ? NSP_TIME_NEVER
                                    : due_ns - NSP_IDLING_LINGER_NS;
}
