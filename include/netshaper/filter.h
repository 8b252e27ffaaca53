#ifndef NETSHAPER_FILTER_H
#define NETSHAPER_FILTER_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/diag.h"
#include "netshaper/packet.h"

NSP_BEGIN_DECLS

/* A compiled filter: a Boolean expression over one packet in WinDivert's filter
 * language (docs/filter-language.md).
 *
 * Ownership  compile creates, destroy frees. Immutable in between.
 * Threads    Any number of threads may match with one filter at once.
 * Cost       match: no allocation, lock or system call. */
struct nsp_filter;
struct nsp_pkt;
struct nsp_allocator;
struct nsp_filter_set;

enum nsp_layer {
    NSP_LAYER_NETWORK = 0,
    NSP_LAYER_NETWORK_FORWARD,
    NSP_LAYER_FLOW,
    NSP_LAYER_SOCKET,
    NSP_LAYER_REFLECT,
    NSP_LAYER_COUNT,
};

/* What a filter needs of a device, found by abstract execution: a property that
 * is false here is false for every packet that the filter matches. */
struct nsp_filter_needs {
    bool inbound, outbound; /* May match packets of this direction. */
    bool ipv4, ipv6;        /* May match packets of this version. */
    bool payload;           /* Reads bytes after the transport header, or
                             * by position in the packet. */
    bool timestamp, random;
    bool flow;          /* Reads what a flow table knows. */
    bool never, always; /* Matches nothing; matches every usable packet. */
    uint32_t tests;     /* After folding. */
};

/* Values beside the packet that a filter may read. */
struct nsp_filter_context {
    uint64_t
        random_seed;   /* Of random8/16/32: same seed and packet, same value. */
    int64_t timestamp; /* Of the field 'timestamp', in nanoseconds. */
};

/* The interfaces that there are: 'get' tells the name of number 'i', from 0,
 * and stores its interface number, or returns NULL past the last. Asked while a
 * filter is compiled, and never after. */
#define NSP_FILTER_INTERFACES_MAX 65536u
struct nsp_filter_interfaces {
    const char *(*get)(void *context, uint32_t i, uint32_t *ret_ifindex);
    void *context;
};

/* How to read a filter. All zero is the default. */
struct nsp_filter_options {
    bool strict; /* Only what WinDivert 2.2 takes, without our additions. */

    /* What '@name' may refer to (netshaper/filter_set.h), no name twice. The
     * filter takes a reference of each set that it uses. */
    struct nsp_filter_set *const *sets;
    uint32_t set_count;

    /* What 'ifName' is compared with. NULL: it is "not-available", but for
     * nsp_filter_format(), which asks for no names. */
    const struct nsp_filter_interfaces *interfaces;
};

/* Compiles 'text' for 'layer'. On success stores the filter in '*ret' and
 * returns NSP_OK. Otherwise returns NSP_INVALID_FILTER with 'reterr' filled
 * (category, offset, line, column, text, hint), NSP_INVALID_PARAMETER or
 * NSP_NO_MEMORY; '*ret' is then untouched. 'allocator' NULL is the C library's
 * and must outlive the filter. 'reterr' may be NULL. */
NSP_API int nsp_filter_compile(const char *text, enum nsp_layer layer,
                               const struct nsp_allocator *allocator,
                               struct nsp_filter **ret,
                               struct nsp_diag *reterr) NSP_MUSTCHECK;

/* The same with 'options', which may be NULL and are not kept. Further
 * categories: "unknown-set", "unknown-interface", "type-mismatch". */
NSP_API int nsp_filter_compile_with(const char *text, enum nsp_layer layer,
                                    const struct nsp_filter_options *options,
                                    const struct nsp_allocator *allocator,
                                    struct nsp_filter **ret,
                                    struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Rewrites 'text' canonically: folded, one spelling for everything, no needless
 * parentheses. It compiles to the same filter as 'text', and printing it again
 * changes nothing. On success stores a string in '*ret', to be released to
 * 'allocator' (free() for NULL), and returns NSP_OK; fails like compile, also
 * with category "too-long" where the result would exceed what compiles. */
NSP_API int nsp_filter_format(const char *text, enum nsp_layer layer,
                              const struct nsp_filter_options *options,
                              const struct nsp_allocator *allocator, char **ret,
                              struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Tells people what becomes of 'text', stage by stage: tokens, tree, folded
 * form, decision graph, program, what it needs and the hooks it belongs to. The
 * wording may change. Otherwise as nsp_filter_format(). */
NSP_API int nsp_filter_explain(const char *text, enum nsp_layer layer,
                               const struct nsp_filter_options *options,
                               const struct nsp_allocator *allocator,
                               char **ret,
                               struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Compiles 'text' to WinDivert's compiled form, "@WinDiv_...", which compile
 * reads. Category "not-expressible" where 'text' uses fields or tests that it
 * has no room for. Otherwise as nsp_filter_format(). */
NSP_API int nsp_filter_object(const char *text, enum nsp_layer layer,
                              const struct nsp_filter_options *options,
                              const struct nsp_allocator *allocator, char **ret,
                              struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Frees 'filter', which may be NULL. Always returns NULL. */
NSP_API struct nsp_filter *nsp_filter_destroy(struct nsp_filter *filter);

/* Tells whether 'filter' matches the parsed packet 'pkt'. 'context' may be NULL
 * (all zero). A packet whose IP header is cut or contradicts itself
 * (NSP_PKT_MALFORMED without a network header) matches no filter, "true"
 * included. */
NSP_API bool nsp_filter_match(const struct nsp_filter *filter,
                              const struct nsp_pkt *pkt,
                              const struct nsp_filter_context *context);

/* Matches 'n' (at most NSP_BURST_MAX) parsed packets; bit i of the result says
 * whether pkts[i] matched. */
NSP_API uint64_t nsp_filter_match_burst(
    const struct nsp_filter *filter, struct nsp_pkt *const pkts[], uint32_t n,
    const struct nsp_filter_context *context);

/* Tells whether 'filter' speaks of packets that are essential (packet.h): it
 * tests icmpv6.Type, or a port for being one of the two. */
NSP_API bool nsp_filter_names(const struct nsp_filter *filter,
                              enum nsp_essential essential);

NSP_API void nsp_filter_get_needs(const struct nsp_filter *filter,
                                  struct nsp_filter_needs *ret);

/* Names 'layer' as in the macros of the language ("NETWORK_FORWARD"). */
NSP_API const char *nsp_layer_name(enum nsp_layer layer);

/* Finds the layer called 'name', case ignored, '-' as '_' ("network-forward").
 * Returns 0, or -ENOENT with '*ret' untouched. */
NSP_API int nsp_layer_find(const char *name, enum nsp_layer *ret) NSP_MUSTCHECK;

NSP_END_DECLS
#endif /* NETSHAPER_FILTER_H */
