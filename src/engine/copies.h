#ifndef NSP_ENGINE_COPIES_H
#define NSP_ENGINE_COPIES_H
#include "base/buddy.h"
#include "netshaper/packet.h"

/* Copies of packets that a device has lent, in memory of the worker's own.
 *
 * A copy has the flag NSP_PKT_COPY. It leaves by the device's inject instead of
 * tx_burst, and is given back here, not to the device.
 *
 * Bound    So many copies and bytes as init was told; beyond there is none.
 * Threads  The worker's own. Cost  Linear in the packet's bytes; no allocation
 *          after init. */
struct nsp_copies {
    struct nsp_pkt *pkts; /* NULL: none can be made. */
    struct nsp_wheel_node *free;
    uint32_t fresh, max; /* Those from 'fresh' on were never used. */
    struct nsp_buddy bytes;
    struct nsp_allocator allocator;
};

/* For 'max' copies of usual size. Returns 0 or -ENOMEM. */
int nsp_copies_init(struct nsp_copies *copies, uint32_t max,
                    const struct nsp_allocator *allocator) NSP_MUSTCHECK;
/* Accepts a zeroed one. */
void nsp_copies_fini(struct nsp_copies *copies);

/* A copy of the parsed IP packet 'pkt' and of all that the engine knows of it,
 * with a complete checksum; NULL when there is no room. */
struct nsp_pkt *nsp_copies_take(struct nsp_copies *copies,
                                const struct nsp_pkt *pkt);
void nsp_copies_release(struct nsp_copies *copies, struct nsp_pkt *copy);

#endif /* NSP_ENGINE_COPIES_H */
