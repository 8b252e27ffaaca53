#ifndef NSP_TESTS_LIB_NAIVE_CSUM_H
#define NSP_TESTS_LIB_NAIVE_CSUM_H
#include <stddef.h>
#include <stdint.h>

/* The Internet checksum as RFC 1071 defines it, one 16-bit word at a time: the
 * reference for the fast one. */
static inline uint16_t
naive_csum(const uint8_t *data, size_t bytes)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < bytes; i++) {
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

#endif /* NSP_TESTS_LIB_NAIVE_CSUM_H */
