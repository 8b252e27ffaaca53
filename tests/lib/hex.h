#ifndef NSP_TESTS_LIB_HEX_H
#define NSP_TESTS_LIB_HEX_H
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Packets as text, header by header, so that a table can be read:
 *
 *     ETHER("0800") IPV4("0028", "0000", "06") TCP("50", "02")
 *
 * The addresses are 192.0.2.1 and 192.0.2.2, 2001:db8::1 and 2001:db8::2, the
 * ports 5000 and 80. Checksums are zero. */
#define ETHER(type) "020000000002 020000000001" type
#define IPV4(len, frag, proto)                                                 \
    "4500" len "0000" frag "40" proto "0000 C0000201 C0000202"
#define IPV6(len, next)                                                        \
    "60000000" len next "40"                                                   \
    "20010DB8000000000000000000000001 20010DB8000000000000000000000002"
#define TCP(offset, flags)                                                     \
    "1388 0050 00000001 00000000" offset flags "FFFF00000000"
#define UDP(len)   "1388 0050" len "0000"
#define ICMP(type) type "00 0000 00010001"

/* Turns hexadecimal text, blanks allowed, into bytes, and returns how many.
 * Aborts if they do not fit: it is a mistake in the test. */
static inline size_t
hex_bytes(const char *text, uint8_t *ret, size_t max)
{
    size_t digits = 0;

    memset(ret, 0, max);
    for (; *text != '\0'; text++) {
        int c = toupper((unsigned char)*text);

        if (c == ' ')
            continue;
        if (!isxdigit(c) || digits / 2 == max)
            abort();
        ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 |
                                    (c <= '9' ? c - '0' : c - 'A' + 10));
        digits++;
    }
    if (digits % 2 != 0)
        abort();
    return digits / 2;
}

#endif /* NSP_TESTS_LIB_HEX_H */
