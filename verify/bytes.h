#ifndef NSP_VERIFY_BYTES_H
#define NSP_VERIFY_BYTES_H
#include <stdint.h>

/* Numbers in network byte order, and the least sizes of headers. */

#define IPV4_BYTES 20u
#define IPV6_BYTES 40u

static inline void
store16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline uint32_t
load16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

#endif /* NSP_VERIFY_BYTES_H */
