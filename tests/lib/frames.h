#ifndef NSP_TESTS_LIB_FRAMES_H
#define NSP_TESTS_LIB_FRAMES_H
#include "netshaper/memory.h"

/* Hand-made packets for tests: raw IPv4 with right checksums. */

/* Writes an IPv4/UDP packet of 'ip_bytes' bytes (28..1500) from 10.0.0.1 to
 * 10.0.0.2, destination 'port', whose first payload bytes are 'tag'
 * (big-endian, when there is room), and returns 'ip_bytes'. */
uint32_t frame_udp(uint8_t *ret, uint32_t ip_bytes, uint16_t port,
                   uint32_t tag);

/* The same for a TCP segment (40..1500) with the given flags byte. */
uint32_t frame_tcp(uint8_t *ret, uint32_t ip_bytes, uint16_t port,
                   uint8_t flags, uint32_t tag);

/* The tag of a packet written by one of the above, 0 if too short. */
uint32_t frame_tag(const struct nsp_memory_frame *frame);

/* Pushes 'count' UDP packets of 'ip_bytes' to queue 0, tags from 'first_tag',
 * the first at 'at_ns' and each next 'gap_ns' later. Fails the test when they
 * do not fit. */
void push_udp(struct nsp_memory *memory, uint32_t count, uint32_t ip_bytes,
              uint16_t port, uint32_t first_tag, uint64_t at_ns,
              uint64_t gap_ns, uint8_t direction);

#endif /* NSP_TESTS_LIB_FRAMES_H */
