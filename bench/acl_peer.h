#ifndef NSP_BENCH_ACL_PEER_H
#define NSP_BENCH_ACL_PEER_H
#include <stdbool.h>
#include <stdint.h>

/* DPDK's classifier, librte_acl, as a peer; apart, as its headers are not
 * C11. Addresses are in host order, IPv4 ones in the first word. */

struct acl_rule {
    uint32_t src[4], dst[4];
    uint8_t src_bits, dst_bits;
    uint16_t src_port[2], dst_port[2]; /* First and last. */
    uint8_t protocol;                  /* 0: any. */
};

enum acl_method { ACL_SCALAR, ACL_AVX2, ACL_AVX512, ACL_METHODS };

/* Starts DPDK, without huge pages or devices. False if it will not. */
bool acl_peer_start(void);

struct acl_peer;

/* Builds a context of 'count' rules for IP headers of one version. Stores how
 * long its build took. NULL where it fails. */
struct acl_peer *acl_peer_create(const struct acl_rule rules[], uint32_t count,
                                 bool ipv6, double *ret_build_ms);
void acl_peer_destroy(struct acl_peer *peer);

/* Chooses the instructions; false where the processor has none. */
bool acl_peer_use(struct acl_peer *peer, enum acl_method method);

/* Stores the number of the first rule that matches each of 'n' packets, from 1,
 * or 0. 'headers' are IP headers without options or extension headers. */
void acl_peer_classify(struct acl_peer *peer, const uint8_t *headers[],
                       uint32_t n, uint32_t ret[]);

#endif /* NSP_BENCH_ACL_PEER_H */
