#ifndef NETSHAPER_FILTER_SET_H
#define NETSHAPER_FILTER_SET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/diag.h"

NSP_BEGIN_DECLS

/* A named set of addresses or of ports, which filters refer to as '@name'. It
 * takes up to a million prefixes and ranges.
 *
 * Ownership  read creates it with one reference; each filter compiled with it
 *            has one of its own. The last unref frees it.
 * Threads    Immutable; any thread may ref and unref.
 * Bytes      At most 64 MiB, however many filters share it. */
struct nsp_filter_set;
struct nsp_allocator;

/* Of a name: letters, digits, '_' and '-'. */
#define NSP_FILTER_SET_NAME_MAX 39u

/* Reads a set called 'name' from 'text' of 'bytes' bytes, one entry a line: an
 * address, a prefix or a range of addresses, or a port or a range of ports; '#'
 * begins a comment. On success stores it in '*ret' and returns NSP_OK.
 * Otherwise returns NSP_INVALID_FILTER with the place in 'reterr' (category
 * "bad-set" or "too-long"), NSP_INVALID_PARAMETER for a bad name, or
 * NSP_NO_MEMORY. 'allocator' NULL is the C library's and must outlive the set;
 * 'reterr' may be NULL. */
NSP_API int nsp_filter_set_read(const char *name, const char *text,
                                size_t bytes,
                                const struct nsp_allocator *allocator,
                                struct nsp_filter_set **ret,
                                struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Adds a reference to 'set' and returns it. */
NSP_API struct nsp_filter_set *nsp_filter_set_ref(struct nsp_filter_set *set);

/* Takes one from 'set', which may be NULL. Always returns NULL. */
NSP_API struct nsp_filter_set *nsp_filter_set_unref(struct nsp_filter_set *set);

/* Without the '@'. Lives as long as 'set'. */
NSP_API const char *nsp_filter_set_name(const struct nsp_filter_set *set);

enum nsp_set_kind {
    NSP_SET_EMPTY, /* Nothing is in it, be it an address or a port. */
    NSP_SET_ADDRESSES,
    NSP_SET_PORTS,
};

NSP_API enum nsp_set_kind nsp_filter_set_kind(const struct nsp_filter_set *set);

/* --- What is in it ------------------------------------------------------- */

struct nsp_filter_prefix {
    uint8_t addr[16]; /* Network order; of IPv4 the first four. */
    uint8_t bits;
};

/* Stores the first of the set's IPv4 or IPv6 prefixes, or the one after
 * 'after', which is NULL or such a prefix, and returns true; false when there
 * are no more. They ascend, and are the fewest that make up the set. */
NSP_API bool nsp_filter_set_next_prefix(const struct nsp_filter_set *set,
                                        bool ipv6,
                                        const struct nsp_filter_prefix *after,
                                        struct nsp_filter_prefix *ret);

/* How many there are. Takes time linear in their number. */
NSP_API uint32_t nsp_filter_set_count_prefixes(const struct nsp_filter_set *set,
                                               bool ipv6);

NSP_END_DECLS
#endif /* NETSHAPER_FILTER_SET_H */
