#ifndef NSP_VERIFY_PACKET_H
#define NSP_VERIFY_PACKET_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/packet.h"

/* A packet for tests, by its fields, and the bytes made of them: IP without
 * options, TCP, UDP or ICMP with right checksums, and a payload of zeros that
 * begins with the packet's number where there is room for one. A TCP SYN has an
 * MSS option. */

#define NSP_TEST_PKT_BYTES_MAX 1500u
#define NSP_TEST_NUMBER_BYTES  8u
#define NSP_TEST_MSS           1460u

struct nsp_test_fields {
    bool ipv6;
    uint8_t proto;            /* 1, 6, 17 or 58. */
    uint8_t src[16], dst[16]; /* IPv4 in the first four. */
    uint16_t sport, dport;
    uint8_t tcp_flags;
    uint8_t icmp_type, icmp_code;
    uint8_t ttl, tos;
    uint16_t payload_bytes; /* At most what NSP_TEST_PKT_BYTES_MAX leaves. */

    /* Where it was taken. */
    uint8_t direction; /* enum nsp_direction. */
    uint8_t hook;      /* enum nsp_hook. */
    bool loopback;
    uint32_t in_ifindex, out_ifindex;
    uint32_t mark;
};

struct nsp_test_packet {
    struct nsp_test_fields fields;
    uint32_t bytes;
    uint16_t payload_off;
    uint16_t csum_off; /* Of the transport. */
    uint8_t data[NSP_TEST_PKT_BYTES_MAX];
};

/* Whether it is a TCP SYN. */
bool nsp_test_has_mss(const struct nsp_test_fields *fields);

/* Bytes of the headers that 'fields' ask for. */
uint32_t nsp_test_header_bytes(const struct nsp_test_fields *fields);

/* Makes packet number 0. */
void nsp_test_packet_build(struct nsp_test_packet *ret,
                           const struct nsp_test_fields *fields);

/* Turns the bytes at 'data', a copy of those of 'packet', to packet 'number'.
 */
void nsp_test_packet_number(const struct nsp_test_packet *packet, uint8_t *data,
                            uint64_t number);

/* Describes the copy of 'packet' at 'data', unparsed, as a device would. */
void nsp_test_packet_describe(const struct nsp_test_packet *packet,
                              uint8_t *data, struct nsp_pkt *ret);

/* "tcp 10.77.1.2:40000 > 10.77.2.2:443 outbound, 100 bytes". Returns 'ret'. */
char *nsp_test_packet_text(const struct nsp_test_packet *packet, char *ret,
                           size_t bytes);

#endif /* NSP_VERIFY_PACKET_H */
