/* The cost of asking whether an address is in a set of prefixes, beside a plain
 * binary search in the same ranges, in lines of columns that two blanks part:
 *
 *     set  one  chained  burst  search  filter  one  chained  ...  MiB  ...
 *
 * in ns per address. Left the same 256 addresses again and again, so that what
 * they need stays in cache; right a million different ones. 'one' asks one by
 * one, 'chained' asks for an address that depends on the last answer, 'burst'
 * for 64 at once, 'filter' matches 64 packets with "remoteAddr in @many", their
 * addresses put in place included. Half of the addresses are in the set. Sets
 * lie in large pages. At last the set's size, and the processor's time to build
 * it from prefixes and to load it from text, which nothing else on the machine
 * adds to.
 *
 * All take turns in short slices, of which the least counts: what else the
 * machine does hits some slices, hardly all of one side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/prng.h"
#include "filter/prefix_set.h"
#include "filter/ranges.h"
#include "netshaper/filter.h"
#include "netshaper/filter_set.h"
#include "netshaper/packet.h"

#define QUERIES        (1u << 20)
#define CACHED         256u
#define BURST          64u
#define SLICE          (1u << 15)
#define REPEATS        4
#define PREFIXES_MAX   1000000u
#define LINE_BYTES     48u
#define HEADER_BYTES   40u
#define NO_NEXT_HEADER 59
#define LOADS          3

/* Keeps results that nothing else looks at. */
static volatile uint64_t sink;

/* Lengths and how many in 1000 prefixes have them: routes of backbone tables
 * and single hosts of block lists. */
struct share {
    uint32_t bits, per_mille;
};

static const struct share ipv4_shares[] = {
    { 8, 0 },   { 12, 1 },  { 16, 14 },  { 18, 10 }, { 20, 40 },  { 21, 35 },
    { 22, 90 }, { 23, 70 }, { 24, 400 }, { 28, 40 }, { 32, 300 },
};

static const struct share ipv6_shares[] = {
    { 16, 0 },   { 20, 1 },  { 28, 4 },    { 29, 30 },  { 32, 150 },
    { 36, 45 },  { 40, 70 }, { 44, 80 },   { 48, 320 }, { 56, 50 },
    { 64, 100 }, { 96, 20 }, { 128, 130 },
};

struct contest {
    bool ipv6;
    uint32_t prefixes;
    struct nsp_range *ranges; /* The set's, joined. */
    uint32_t range_count;
    struct nsp_prefix_set *set;
    uint32_t *ipv4;
    uint8_t (*bytes)[16];
    const uint8_t **pointers;
    double build_ms, load_ms;
    struct nsp_filter *filter;
    struct nsp_pkt pkts[BURST];
    struct nsp_pkt *burst[BURST];
    uint8_t headers[BURST][HEADER_BYTES];
};

static double
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Of this process. */
static double
spent_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void
die(const char *what)
{
    fprintf(stderr, "bench_prefix: %s\n", what);
    exit(1);
}

static void *
room(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);

    if (!memory)
        die("not enough memory");
    return memory;
}

/* --- Making sets and addresses -------------------------------------------- */

static uint32_t
pick_bits(const struct share shares[], struct nsp_prng *random)
{
    uint32_t left = (uint32_t)(nsp_prng_next(random) % 1000);

    while (left >= shares->per_mille)
        left -= shares++->per_mille;
    return shares->bits;
}

static struct nsp_u128
random_addr(bool ipv6, struct nsp_prng *random)
{
    if (!ipv6)
        return nsp_u128(nsp_prng_next(random) >> 32);
    return (struct nsp_u128){
        nsp_prng_next(random) >> 3 | UINT64_C(1) << 61, /* 2000::/3 */
        nsp_prng_next(random),
    };
}

static struct nsp_range
random_prefix(bool ipv6, struct nsp_prng *random)
{
    uint32_t bits = ipv6 ? pick_bits(ipv6_shares, random)
                         : 96 + pick_bits(ipv4_shares, random);
    struct nsp_u128 open = nsp_prefix_open_bits(bits);
    struct nsp_u128 addr = random_addr(ipv6, random);

    return (struct nsp_range){
        { addr.hi & ~open.hi, addr.lo & ~open.lo },
        { addr.hi | open.hi, addr.lo | open.lo },
    };
}

static void
build(struct contest *contest)
{
    struct nsp_prefix_builder builder;
    double since;

    nsp_prefix_builder_init(&builder, nsp_large_page_allocator());
    since = spent_ms();
    for (uint32_t i = 0; i < contest->prefixes; i++) {
        const struct nsp_range *r = &contest->ranges[i];
        int error = contest->ipv6
                        ? nsp_prefix_builder_add_ipv6(&builder, r->lo, r->hi)
                        : nsp_prefix_builder_add_ipv4(
                              &builder, (uint32_t)r->lo.lo, (uint32_t)r->hi.lo);
        if (error < 0)
            die("a prefix is not taken");
    }
    if (nsp_prefix_builder_finish(&builder, &contest->set) < 0)
        die("not enough memory");
    contest->build_ms = spent_ms() - since;
}

static int
write_prefix(char *at, const struct contest *contest, uint32_t i)
{
    const struct nsp_range *r = &contest->ranges[i];
    struct nsp_u128 open = nsp_u128_sub(r->hi, r->lo);
    unsigned open_bits = nsp_popcount_u64(open.hi) + nsp_popcount_u64(open.lo);
    uint64_t hi = r->lo.hi, lo = r->lo.lo;

    if (!contest->ipv6)
        return sprintf(at, "%u.%u.%u.%u/%u\n", (unsigned)(lo >> 24 & 255),
                       (unsigned)(lo >> 16 & 255), (unsigned)(lo >> 8 & 255),
                       (unsigned)(lo & 255), 32 - open_bits);
    return sprintf(at, "%x:%x:%x:%x:%x:%x:%x:%x/%u\n", (unsigned)(hi >> 48),
                   (unsigned)(hi >> 32 & 65535), (unsigned)(hi >> 16 & 65535),
                   (unsigned)(hi & 65535), (unsigned)(lo >> 48),
                   (unsigned)(lo >> 32 & 65535), (unsigned)(lo >> 16 & 65535),
                   (unsigned)(lo & 65535), 128 - open_bits);
}

/* Loads the same set from text, for a filter to look up. */
static void
load(struct contest *contest)
{
    char *text = room(contest->prefixes, LINE_BYTES);
    struct nsp_filter_set *set = NULL;
    struct nsp_filter_options options = { .sets = &set, .set_count = 1 };
    size_t bytes = 0;

    for (uint32_t i = 0; i < contest->prefixes; i++)
        bytes += (size_t)write_prefix(text + bytes, contest, i);
    contest->load_ms = 1e9;
    for (int repeat = 0; repeat < LOADS; repeat++) {
        double since, ms;

        nsp_filter_set_unref(set);
        since = spent_ms();
        if (nsp_filter_set_read("many", text, bytes, nsp_large_page_allocator(),
                                &set, NULL) != NSP_OK)
            die("the text is not read");
        ms = spent_ms() - since;
        contest->load_ms = ms < contest->load_ms ? ms : contest->load_ms;
    }
    free(text);
    if (nsp_filter_compile_with("remoteAddr in @many", NSP_LAYER_NETWORK,
                                &options, NULL, &contest->filter,
                                NULL) != NSP_OK)
        die("the filter does not compile");
    nsp_filter_set_unref(set);
}

static void
make_packets(struct contest *contest)
{
    for (uint32_t i = 0; i < BURST; i++) {
        struct nsp_pkt *pkt = &contest->pkts[i];
        uint8_t *ip = contest->headers[i];

        ip[0] = contest->ipv6 ? 0x60 : 0x45;
        if (!contest->ipv6)
            nsp_store_be16(ip + 2, HEADER_BYTES);
        ip[contest->ipv6 ? 6 : 9] = NO_NEXT_HEADER;
        *pkt = (struct nsp_pkt){ .data = ip,
                                 .cap_bytes = HEADER_BYTES,
                                 .wire_bytes = HEADER_BYTES,
                                 .link = NSP_LINK_RAW,
                                 .direction = NSP_OUTBOUND };
        nsp_pkt_parse(pkt);
        contest->burst[i] = pkt;
    }
}

/* An address of a random range, or from anywhere. */
static struct nsp_u128
make_query(const struct contest *contest, uint32_t i, struct nsp_prng *random)
{
    struct nsp_u128 addr = random_addr(contest->ipv6, random);
    const struct nsp_range *range;
    struct nsp_u128 open;

    if (i % 2 == 0)
        return addr;
    range = &contest->ranges[nsp_prng_next(random) % contest->prefixes];
    open = nsp_u128_sub(range->hi, range->lo);
    return (struct nsp_u128){ range->lo.hi | (addr.hi & open.hi),
                              range->lo.lo | (addr.lo & open.lo) };
}

static void
fill(struct contest *contest)
{
    struct nsp_prng random;

    nsp_prng_init(&random, 1, contest->ipv6);
    contest->ranges = room(contest->prefixes, sizeof *contest->ranges);
    contest->ipv4 = room(QUERIES, sizeof *contest->ipv4);
    contest->bytes = room(QUERIES, sizeof *contest->bytes);
    contest->pointers = room(QUERIES, sizeof *contest->pointers);
    for (uint32_t i = 0; i < contest->prefixes; i++)
        contest->ranges[i] = random_prefix(contest->ipv6, &random);
    for (uint32_t i = 0; i < QUERIES; i++) {
        struct nsp_u128 query = make_query(contest, i ^ i >> 3, &random);

        contest->ipv4[i] = (uint32_t)query.lo;
        for (uint32_t b = 0; b < 8; b++) {
            contest->bytes[i][b] = (uint8_t)(query.hi >> (56 - 8 * b));
            contest->bytes[i][8 + b] = (uint8_t)(query.lo >> (56 - 8 * b));
        }
        contest->pointers[i] = contest->bytes[i];
    }
    build(contest);
    load(contest);
    make_packets(contest);
    contest->range_count =
        nsp_ranges_normalise(contest->ranges, contest->prefixes);
}

/* --- The contestants ------------------------------------------------------ */

static NSP_ALWAYS_INLINE bool
ask(const struct contest *contest, uint32_t i)
{
    return contest->ipv6
               ? nsp_prefix_set_has_ipv6(contest->set, contest->bytes[i])
               : nsp_prefix_set_has_ipv4(contest->set, contest->ipv4[i]);
}

static uint64_t
run_one(struct contest *contest, uint32_t from, uint32_t mask)
{
    uint64_t members = 0;

    for (uint32_t i = from; i < from + SLICE; i++)
        members += ask(contest, i & mask);
    return members;
}

static uint64_t
run_chained(struct contest *contest, uint32_t from, uint32_t mask)
{
    uint64_t members = 0;

    for (uint32_t i = from; i < from + SLICE; i++)
        members += ask(contest, (i ^ (members & 1)) & mask);
    return members;
}

static uint64_t
run_burst(struct contest *contest, uint32_t from, uint32_t mask)
{
    uint64_t members = 0;

    for (uint32_t i = from; i < from + SLICE; i += BURST) {
        uint32_t at = i & mask;

        members += nsp_popcount_u64(
            contest->ipv6 ? nsp_prefix_set_has_ipv6_burst(
                                contest->set, contest->pointers + at, BURST)
                          : nsp_prefix_set_has_ipv4_burst(
                                contest->set, contest->ipv4 + at, BURST));
    }
    return members;
}

static bool
search(const struct contest *contest, struct nsp_u128 value)
{
    uint32_t lo = 0, hi = contest->range_count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (nsp_u128_less(contest->ranges[mid].hi, value))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < contest->range_count &&
           !nsp_u128_less(value, contest->ranges[lo].lo);
}

static uint64_t
run_search(struct contest *contest, uint32_t from, uint32_t mask)
{
    uint64_t members = 0;

    for (uint32_t i = from; i < from + SLICE; i++) {
        const uint8_t *b = contest->bytes[i & mask];
        struct nsp_u128 value = {
            (uint64_t)nsp_load_be32(b) << 32 | nsp_load_be32(b + 4),
            (uint64_t)nsp_load_be32(b + 8) << 32 | nsp_load_be32(b + 12),
        };

        members += search(contest, value);
    }
    return members;
}

static uint64_t
run_filter(struct contest *contest, uint32_t from, uint32_t mask)
{
    uint64_t members = 0;

    for (uint32_t i = from; i < from + SLICE; i += BURST) {
        for (uint32_t k = 0; k < BURST; k++) {
            uint32_t at = (i + k) & mask;

            if (contest->ipv6)
                memcpy(contest->headers[k] + 24, contest->bytes[at], 16);
            else
                nsp_store_be32(contest->headers[k] + 16, contest->ipv4[at]);
        }
        members += nsp_popcount_u64(nsp_filter_match_burst(
            contest->filter, contest->burst, BURST, NULL));
    }
    return members;
}

/* --- Measuring ------------------------------------------------------------ */

typedef uint64_t run_fn(struct contest *contest, uint32_t from, uint32_t mask);

static void
measure(struct contest *contest, uint32_t mask)
{
    static run_fn *const runs[] = { run_one, run_chained, run_burst, run_search,
                                    run_filter };
    double least[NSP_ARRAY_LEN(runs)] = { 1e9, 1e9, 1e9, 1e9, 1e9 };
    uint64_t members[NSP_ARRAY_LEN(runs)];

    for (uint32_t slice = 0; slice < REPEATS * (QUERIES / SLICE); slice++) {
        uint32_t from = slice * SLICE % QUERIES;

        for (size_t r = 0; r < NSP_ARRAY_LEN(runs); r++) {
            double since = now_ns();
            double ns;

            members[r] = runs[r](contest, from, mask);
            ns = (now_ns() - since) / SLICE;
            least[r] = ns < least[r] ? ns : least[r];
        }
        sink = members[1];
        if (members[0] != members[2] || members[0] != members[3] ||
            members[0] != members[4])
            die("the answers differ");
    }
    for (size_t r = 0; r < NSP_ARRAY_LEN(runs); r++)
        printf("  %7.1f", least[r]);
}

static void
run(bool ipv6, uint32_t prefixes)
{
    struct contest contest = { .ipv6 = ipv6, .prefixes = prefixes };
    char name[32];

    fill(&contest);
    snprintf(name, sizeof name, "%s %u", ipv6 ? "IPv6" : "IPv4", prefixes);
    printf("%-12s", name);
    measure(&contest, CACHED - 1);
    measure(&contest, QUERIES - 1);
    printf("  %7.2f  %8.1f  %8.1f\n",
           (double)nsp_prefix_set_info(contest.set).bytes / (1 << 20),
           contest.build_ms, contest.load_ms);
    nsp_filter_destroy(contest.filter);
    nsp_prefix_set_destroy(contest.set);
    free(contest.ranges);
    free(contest.ipv4);
    free(contest.bytes);
    free(contest.pointers);
}

int
main(void)
{
    static const uint32_t sizes[] = { 1000, 100000, PREFIXES_MAX };

    printf("%-12s  %43s  %43s\n", "ns per lookup", "256 addresses",
           "1 M addresses");
    printf("%-12s", "prefixes");
    for (int i = 0; i < 2; i++)
        printf("  %7s  %7s  %7s  %7s  %7s", "one", "chained", "burst", "search",
               "filter");
    printf("  %7s  %8s  %8s\n", "MiB", "build ms", "load ms");
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        for (size_t i = 0; i < NSP_ARRAY_LEN(sizes); i++)
            run(ipv6 != 0, sizes[i]);
    }
    return 0;
}
