#ifndef NSP_CONFIG_NUMBER_H
#define NSP_CONFIG_NUMBER_H
#include <stddef.h>
#include <stdint.h>

/* Reads the decimal digits that 'text' begins with. Returns how many; 0 where
 * there are none, or the number is above 2^64 - 1. */
size_t nsp_number_read(const char *text, uint64_t *ret);

#endif /* NSP_CONFIG_NUMBER_H */
