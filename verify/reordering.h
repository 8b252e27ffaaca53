#ifndef NSP_VERIFY_REORDERING_H
#define NSP_VERIFY_REORDERING_H
#include <stddef.h>
#include <stdint.h>

/* RFC 4737 of a sequence of arrivals: packet s is reordered where one sent
 * after it came before it (4.2.1). Its extent is how many places it comes after
 * the earliest packet to come that was sent after it (4.2.3).
 *
 * Copies that come again are left out. */

struct nsp_reordering {
    uint64_t pkts;      /* Without copies. */
    uint64_t copies;    /* Left out. */
    uint64_t reordered; /* Type-P-Reordered. */
    uint64_t extent_max;
    double extent_mean; /* Of reordered packets. */
};

/* 'sent' is the number, from 0 in order of sending, of each packet in the order
 * of arrival; below 'sent_count'. Returns 0 or -ENOMEM. */
int nsp_reordering_read(const uint32_t *sent, size_t n, uint32_t sent_count,
                        struct nsp_reordering *ret);

#endif /* NSP_VERIFY_REORDERING_H */
