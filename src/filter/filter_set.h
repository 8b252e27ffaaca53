#ifndef NSP_FILTER_FILTER_SET_H
#define NSP_FILTER_FILTER_SET_H
#include <stdatomic.h>

#include "filter/fields.h"
#include "filter/set_file.h"
#include "netshaper/filter_set.h"

/* Named sets as filters see them: what include/netshaper/filter_set.h says. */
struct nsp_port_ranges {
    struct nsp_range *ranges;
    uint32_t count; /* 0: none, or more than are kept. */
};

#define NSP_PORT_RANGES_MAX 128u

struct nsp_filter_set {
    struct nsp_named_set *values;
    struct nsp_port_ranges ports, other_ports; /* In the set, and not in it. */
    atomic_uint references;
    char name[NSP_FILTER_SET_NAME_MAX + 2]; /* Begins with '@'. */
};

bool nsp_filter_set_is_name_char(char c);

/* The set of 'options' with that name, without '@'; NULL if there is none. */
struct nsp_filter_set *nsp_filter_set_find(
    const struct nsp_filter_options *options, const char *name, size_t bytes);

/* The kind of sets that 'field' may be in; NSP_SET_EMPTY if it holds neither
 * addresses nor ports. */
enum nsp_set_kind nsp_filter_set_kind_of(const struct nsp_field *field);

/* Stores the ranges of the set's IPv4 or IPv6 addresses, ascending, neither
 * overlapping nor adjacent, as many as nsp_prefix_set_info() says. */
void nsp_filter_set_list_addresses(const struct nsp_filter_set *set, bool ipv6,
                                   struct nsp_range ret[]);

/* Stores the ports in 'values' as ascending ranges, neither overlapping nor
 * adjacent, and returns how many there are; 'ret' NULL only counts them. */
uint32_t nsp_named_set_list_ports(const struct nsp_named_set *values,
                                  struct nsp_range ret[]);

#endif /* NSP_FILTER_FILTER_SET_H */
