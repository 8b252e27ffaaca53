#ifndef NSP_POLICY_CLASSIFIER_H
#define NSP_POLICY_CLASSIFIER_H
#include "base/memory.h"
#include "netshaper/filter.h"
#include "netshaper/packet.h"

/* Finds the first of thousands of rules that matches, without asking each.
 *
 * Problem    A packet must meet the first rule whose filter matches, and, where
 *            that rule lets the search go on, the next. A walk over the rules
 *            costs tens of ns for each of them.
 * Idea       A filter becomes a few cubes: products of sets of values, one for
 *            each column (cubes.h). A column is something a packet has one
 *            value of: its source address of either version, its destination
 *            port with the transport, its "shape" (direction, headers). Cubes
 *            are numbered in the order of their rules. In each column, values
 *            that lie in the same cubes form a class, and a class has a bitmap
 *            of its cubes (class_index.h). The bitmaps of a packet's classes,
 *            ANDed, tell the cubes it lies in; the lowest bit is the answer.
 *            This is the bit vector scheme of Lakshman and Stiliadis (SIGCOMM
 *            1998), with equal blocks of 512 bits stored once.
 * Skipping   Two words of each class tell which of its blocks are empty, and
 *            which hold nothing but the cubes that leave the column open. A
 *            block in which a packet's classes of the two columns that tell
 *            most (the addresses, mostly) are both of the latter kind is not
 *            read, unless it has a cube that leaves both open: few have, so
 *            most packets read one or two blocks of twenty.
 * Exactness  What cannot be told by columns (payload bytes, random values,
 *            fields compared with fields), and what exceeds a limit, is
 *            widened: the cube grows and is marked, and the filter itself is
 *            asked when a packet lies in a marked cube. So the answers are
 *            always those of the filters; only the time differs.
 * Bounds     Time: a search in each column, then 64 bytes for each column and
 *            512 cubes, and a run of the filter for each marked cube the packet
 *            lies in: nothing depends on earlier packets. Memory: the columns
 *            share a budget; one that exceeds its part is coarsened by merging
 *            neighbouring values, which marks cubes. Building: ranges and steps
 *            are counted, and rules beyond the limit are marked whole.
 * Rejected   Tuple space search: packets chosen by an attacker make it slow.
 *            Decision trees: rules are copied into many leaves, and building is
 *            slow. Splitting the rules by the fields that they leave open: more
 *            searches cost what fewer blocks save.
 * Ownership  Filters are borrowed and must outlive the classifier.
 * Threads    Immutable once built; any number of readers.
 * Cost       Lookup: no allocation, lock or system call. */
struct nsp_classifier;

#define NSP_CLASSIFIER_NONE      UINT32_MAX
#define NSP_CLASSIFIER_CUBES_MAX 32768u
/* Columns, the shape included. */
#define NSP_CLASSIFIER_COLUMNS_MAX 16u

struct nsp_classifier_rule {
    const struct nsp_filter *filter; /* NULL matches every packet, unusable ones
                                      * too. */
    uint8_t apply;                   /* enum nsp_apply. */
    bool enabled;
};

/* The instructions that lookups may use. */
enum nsp_instructions {
    NSP_INSTRUCTIONS_BEST = 0, /* What this processor has. */
    NSP_INSTRUCTIONS_PLAIN,    /* C, the reference. */
    NSP_INSTRUCTIONS_AVX2,
    NSP_INSTRUCTIONS_AVX512, /* F, BW, DQ and VL. */
    NSP_INSTRUCTIONS_COUNT,
};

/* What building may take; 0 is what is usual. */
struct nsp_classifier_limits {
    size_t bytes_max;    /* Of the index: 16 MiB. */
    uint64_t steps_max;  /* Of set algebra, some 10 ns each: 2^26. */
    uint32_t ranges_max; /* Of all cubes, 40 bytes each while building: 2^21. */
};

struct nsp_classifier_options {
    struct nsp_classifier_limits limits;
    enum nsp_instructions instructions;
    /* Judge by what is the same in all packets of a flow alone
     * (filter/partial.h), and ask no filter: answers are then all rules that
     * may match another packet of the flow, and maybe more. */
    bool candidates;
};

/* Why a rule's filter has to be asked: a set of these. */
enum nsp_widening {
    NSP_WIDENED_TEST = 1,   /* It reads what no column holds. */
    NSP_WIDENED_CUBES = 2,  /* It has too many alternatives. */
    NSP_WIDENED_MEMORY = 4, /* The index would have exceeded its budget. */
    NSP_WIDENED_WORK = 8,   /* Building would have taken too long. */
};

/* Indexes 'count' rules (at most NSP_CLASSIFIER_CUBES_MAX). 'options' may be
 * NULL. On success stores the classifier in '*ret' and returns 0. Fails with
 * -ENOMEM, -E2BIG (too many rules) or -ENOTSUP (the processor lacks the
 * instructions); '*ret' is then untouched. */
int nsp_classifier_create(const struct nsp_classifier_rule rules[],
                          uint32_t count,
                          const struct nsp_classifier_options *options,
                          const struct nsp_allocator *allocator,
                          struct nsp_classifier **ret) NSP_MUSTCHECK;

/* Frees 'classifier', which may be NULL. Always returns NULL. */
struct nsp_classifier *nsp_classifier_destroy(
    struct nsp_classifier *classifier);

/* Tells whether this build and processor have 'instructions'. */
bool nsp_classifier_can_use(enum nsp_instructions instructions);

/* --- Lookup --------------------------------------------------------------- */

/* What was found out about the packets of a burst, so that the search can go on
 * behind a rule. The caller's, opaque to it, of any storage. */
struct nsp_classifier_walk {
    const struct nsp_classifier *classifier;
    struct nsp_pkt *const *pkts;
    const struct nsp_filter_context *context;
    uint32_t count;
    uint64_t unusable;
    uint64_t summaries[NSP_BURST_MAX];
    const uint8_t *records[NSP_CLASSIFIER_COLUMNS_MAX][NSP_BURST_MAX];
};

/* Reads 'n' (at most NSP_BURST_MAX) parsed packets into '*walk'. Packets and
 * 'context' (NULL: all zero) are borrowed, and must not change, until the last
 * call of next. */
void nsp_classifier_begin(const struct nsp_classifier *classifier,
                          struct nsp_pkt *const pkts[], uint32_t n,
                          const struct nsp_filter_context *context,
                          struct nsp_classifier_walk *walk);

/* For each packet i whose bit in 'mask' is set, stores the index of the first
 * rule that matches and is not before start[i] in ret[i], or
 * NSP_CLASSIFIER_NONE. 'start' NULL is the first rule; it may be 'ret'. */
void nsp_classifier_next(const struct nsp_classifier_walk *walk, uint64_t mask,
                         const uint32_t start[], uint32_t ret[]);

/* --- What became of the rules --------------------------------------------- */

struct nsp_classifier_info {
    const char *instructions;
    uint32_t cubes, columns, classes, blocks;
    uint32_t marked_rules;  /* Whose filter may be asked. */
    uint32_t widened_rules; /* Of these, those that a limit made so. */
    size_t bytes;
};

void nsp_classifier_get_info(const struct nsp_classifier *classifier,
                             struct nsp_classifier_info *ret);

/* The set of enum nsp_widening of rule 'index'; 0: told by columns alone. */
unsigned nsp_classifier_widening(const struct nsp_classifier *classifier,
                                 uint32_t index);

#endif /* NSP_POLICY_CLASSIFIER_H */
