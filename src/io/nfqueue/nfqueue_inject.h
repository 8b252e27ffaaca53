#ifndef NSP_IO_NFQUEUE_INJECT_H
#define NSP_IO_NFQUEUE_INJECT_H
#include "base/base.h"
#include "netshaper/packet.h"

/* Sends IP packets of our own making through raw sockets. The routing table
 * chooses the way: a packet for a local address is delivered locally, any other
 * leaves through the interface that leads there. It carries NSP_LOOP_MARK, so
 * that no engine diverts it. The kernel fills in an IPv4 header's total length
 * and checksum; a packet longer than the way's MTU is refused (EMSGSIZE).
 *
 * Threads  any number may send at once. */
struct nsp_nfq_injector {
    int ipv4_fd, ipv6_fd; /* -1 when closed; without IPv6, that one stays so. */
};

/* Returns 0 or a negative errno: -EPERM without CAP_NET_RAW and CAP_NET_ADMIN.
 */
int nsp_nfq_injector_open(struct nsp_nfq_injector *ret) NSP_MUSTCHECK;

/* Accepts a closed one. */
void nsp_nfq_injector_close(struct nsp_nfq_injector *injector);

/* Sends 'bytes' bytes at 'ip'; 'ifindex' (0: unknown) is where a link-local
 * IPv6 address is looked for. Returns 0 or a negative errno. Never blocks. */
int nsp_nfq_inject(const struct nsp_nfq_injector *injector, const uint8_t *ip,
                   uint32_t bytes, uint32_t ifindex);

#endif /* NSP_IO_NFQUEUE_INJECT_H */
