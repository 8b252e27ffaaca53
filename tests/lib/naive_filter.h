#ifndef NSP_TESTS_LIB_NAIVE_FILTER_H
#define NSP_TESTS_LIB_NAIVE_FILTER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"
#include "netshaper/packet.h"
#include "tests/lib/named_sets.h"

/* The reference for the filter compiler, which shares no code with it: an
 * expression as a tree that is written as text in the language, and walked
 * node by node over a packet. */

#define NAIVE_NODES_MAX  48
#define NAIVE_RANGES_MAX 4

enum naive_kind {
    NAIVE_TEST,
    NAIVE_AND,
    NAIVE_OR,
    NAIVE_CONDITIONAL,
    NAIVE_NOT,
};

/* Where a field begins, in bits from the start of its header. */
enum naive_base {
    NAIVE_VALUE, /* In no header. */
    NAIVE_IP4,
    NAIVE_IP6,
    NAIVE_TCP,
    NAIVE_UDP,
    NAIVE_ICMP,
    NAIVE_ICMPV6,
    NAIVE_ETHERNET,
    NAIVE_ARP,
    NAIVE_ELEMENT, /* Indexed: 'bit' is the transport whose payload it is of. */
};

struct naive_field {
    const char *name;
    enum naive_base base;
    unsigned bit, bits;
};

extern const struct naive_field naive_fields[];
extern const unsigned naive_field_count;

struct naive_number {
    uint64_t hi, lo;
    bool negative;
};

struct naive_node {
    enum naive_kind kind;
    unsigned child[3];
    const struct naive_field *field;
    int distance; /* Of an element, in bytes. */
    bool from_end, negated, bare;
    unsigned relation; /* ==, !=, <, <=, >, >=. */
    struct naive_number number;
    unsigned set_count; /* Not 0: the field is in one of these ranges. */
    struct naive_number set_lo[NAIVE_RANGES_MAX], set_hi[NAIVE_RANGES_MAX];
    unsigned set_bits[NAIVE_RANGES_MAX]; /* Not 0: written as a prefix of so
                                          * many of 128 bits. */
    const struct named_set *named;       /* Not NULL: or in this one. */
    bool not_in;
    uint32_t mask;                   /* Not 0: of these bits. */
    const struct naive_field *other; /* Compared with this one. */
    int other_distance;
    bool other_from_end;
};

#define NAIVE_RELATIONS 6

/* Node 0 is the root. */
struct naive_filter {
    struct naive_node nodes[NAIVE_NODES_MAX];
    unsigned count;
};

/* What 'timestamp' is everywhere here. */
#define NAIVE_TIMESTAMP (-3)

bool naive_match(const struct naive_filter *filter, const struct nsp_pkt *pkt);

/* Writes the filter, choosing among spellings at random. Fails the test when
 * 'bytes' are too few. */
void naive_write(const struct naive_filter *filter, struct nsp_prng *prng,
                 char *ret, size_t bytes);

/* Reads the node's field of 'pkt'; false if it is absent. */
bool naive_read(const struct naive_node *node, const struct nsp_pkt *pkt,
                struct naive_number *ret);

/* Below 0, 0 or above 0, as 'a' is less, equal or more. */
int naive_compare(struct naive_number a, struct naive_number b);

#endif /* NSP_TESTS_LIB_NAIVE_FILTER_H */
