#ifndef NSP_FILTER_LITERAL_H
#define NSP_FILTER_LITERAL_H
#include "filter/number.h"

/* Text to numbers and back. 'word' need not be terminated. */

/* Reads the whole of 'word' as a decimal or 0x number of up to 128 bits, an
 * IPv4 or an IPv6 address. Returns false, '*ret' untouched, if it is none. */
bool nsp_literal_parse(const char *word, size_t bytes, struct nsp_u128 *ret);

/* Reads only decimal digits. */
bool nsp_literal_parse_decimal(const char *word, size_t bytes,
                               struct nsp_u128 *ret);

/* Reads decimal digits with a unit, ms, s, min or h, as milliseconds. */
bool nsp_literal_parse_time(const char *word, size_t bytes,
                            struct nsp_u128 *ret);

/* Reads six groups of one or two hexadecimal digits, joined by colons. */
bool nsp_literal_parse_mac(const char *word, size_t bytes,
                           struct nsp_u128 *ret);

/* Room for any printed literal and its terminator. */
#define NSP_LITERAL_BYTES 48

/* Prints 'value' in decimal up to 64 bits, else in hexadecimal. */
void nsp_literal_print_number(struct nsp_u128 value,
                              char ret[NSP_LITERAL_BYTES]);

/* Prints 'value' as an address: IPv4 if it is a mapped one, else IPv6 in full
 * groups with the longest run of zero groups as '::' (RFC 5952). */
void nsp_literal_print_address(struct nsp_u128 value,
                               char ret[NSP_LITERAL_BYTES]);

/* Prints the low 48 bits of 'value' as six groups of two digits. */
void nsp_literal_print_mac(struct nsp_u128 value, char ret[NSP_LITERAL_BYTES]);

#endif /* NSP_FILTER_LITERAL_H */
