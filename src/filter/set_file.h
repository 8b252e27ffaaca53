#ifndef NSP_FILTER_SET_FILE_H
#define NSP_FILTER_SET_FILE_H
#include "filter/error.h"
#include "filter/prefix_set.h"
#include "netshaper/filter_set.h"

/* Named sets as text, one entry a line:
 *
 *     # comment, to the end of the line
 *     192.0.2.7                     an address
 *     10.0.0.0/8                    a prefix; the bits beyond it are 0
 *     2001:db8::1-2001:db8::ff      a range, both ends included
 *     10.0.0.1..10.0.0.9            the same, written as in a filter
 *
 * or ports: 443, 8000-8100, 8000..8100. Empty lines, blanks and CRLF do no
 * harm. A set is of addresses or of ports, never both; without any entry it is
 * empty. Addresses are IPv4 or IPv6, and ::ffff:10.0.0.1 is IPv6. */

/* Longer texts are refused: a million entries take less than a tenth. */
#define NSP_SET_TEXT_MAX (UINT32_C(1) << 30)
#define NSP_BAD_SET      "bad-set"

/* Immutable: any number of readers. */
struct nsp_named_set {
    enum nsp_set_kind kind;
    struct nsp_prefix_set *addresses; /* NULL if of ports. */
    uint64_t ports[65536 / 64];       /* A bit for each. */
    struct nsp_allocator allocator;
};

/* Reads a set from 'text' of 'bytes' bytes, which need not be terminated. On
 * success stores it in '*ret' and returns NSP_OK. Fails with
 * NSP_INVALID_FILTER, category "bad-set" and the place and what was expected in
 * 'reterr' (may be NULL), category "too-long" beyond NSP_PREFIX_SET_MAX
 * entries or NSP_SET_TEXT_MAX bytes, or with NSP_NO_MEMORY. */
int nsp_set_file_read(const char *text, size_t bytes,
                      const struct nsp_allocator *allocator,
                      struct nsp_named_set **ret,
                      struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Frees 'set', which may be NULL. Returns NULL. */
struct nsp_named_set *nsp_named_set_destroy(struct nsp_named_set *set);

static inline bool
nsp_named_set_has_port(const struct nsp_named_set *set, uint16_t port)
{
    return (set->ports[port / 64] >> port % 64 & 1) != 0;
}

#endif /* NSP_FILTER_SET_FILE_H */
