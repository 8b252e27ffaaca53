#include "tests/lib/named_sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netshaper/filter_set.h"
#include "tests/lib/test.h"

#define LINE_BYTES 96
#define IPV6_HI    UINT64_C(0x20010db800000000)

enum { NONE, FEW, MANY, HUGE, PORTS, SOME_PORTS, ODD_PORTS, SETS };

static struct named_set lists[SETS] = {
    [NONE] = { .name = "none" },
    [FEW] = { .name = "few" },
    [MANY] = { .name = "many" },
    [HUGE] = { .name = "huge" },
    [PORTS] = { .name = "ports", .is_ports = true },
    [SOME_PORTS] = { .name = "some-ports", .is_ports = true },
    [ODD_PORTS] = { .name = "odd_ports", .is_ports = true },
};
static struct nsp_filter_set *sets[SETS];
static bool is_open;

static void
add(unsigned set, bool ipv6, uint64_t hi, uint64_t first, uint64_t last)
{
    struct named_set *list = &lists[set];

    CHECK(list->count < NAMED_RANGES_MAX);
    list->ranges[list->count++] = (struct named_range){ ipv6, hi, first, last };
}

/* The addresses of samples are 192.0.2.1, 198.51.100.2, 10.0.0.1, 10.0.0.2 and
 * 2001:db8::1, ::2. */
static void
fill_addresses(void)
{
    add(FEW, false, 0, 0xc0000200, 0xc00002ff);
    add(FEW, false, 0, 0x0a000002, 0x0a000002);
    add(FEW, true, IPV6_HI, 2, 9);
    add(FEW, true, 0, 0, 0xffffffff);
    for (unsigned i = 0; i < 100; i++) {
        add(MANY, false, 0, 0xc0000201 + 3 * i, 0xc0000202 + 3 * i);
        add(MANY, true, IPV6_HI, 2 * i, 2 * i);
    }
    add(MANY, false, 0, 0x09000000, 0x0a000000);
    add(MANY, false, 0, 0xc6000000, UINT32_MAX);
    add(MANY, true, IPV6_HI + 1, 0, UINT64_MAX);
    for (unsigned i = 0; i < 1200; i++) {
        add(HUGE, false, 0, 0xc6336402 - 7 * i, 0xc6336402 - 7 * i + i % 6);
        add(HUGE, true, IPV6_HI, 1 + 4 * i, 1 + 4 * i + i % 3);
    }
    add(HUGE, false, 0, 0, 0x0a000001);
}

static void
fill_ports(void)
{
    add(PORTS, false, 0, 80, 80);
    add(PORTS, false, 0, 53, 60);
    add(PORTS, false, 0, 5000, 65535);
    for (unsigned i = 0; i < 300; i++)
        add(SOME_PORTS, false, 0, 20 * i, 20 * i + i % 19);
    for (unsigned i = 0; i < NAMED_RANGES_MAX; i++)
        add(ODD_PORTS, false, 0, 2 * i + 1, 2 * i + 1);
}

static int
print_ipv6(char *text, uint64_t hi, uint64_t lo)
{
    int used = 0;

    for (unsigned i = 0; i < 8; i++)
        used += sprintf(
            text + used, "%s%x", i > 0 ? ":" : "",
            (unsigned)((i < 4 ? hi : lo) >> (48 - 16 * (i % 4)) & 0xffff));
    return used;
}

static int
print_ipv4(char *text, uint64_t addr)
{
    return sprintf(text, "%u.%u.%u.%u", (unsigned)(addr >> 24 & 255),
                   (unsigned)(addr >> 16 & 255), (unsigned)(addr >> 8 & 255),
                   (unsigned)(addr & 255));
}

static int
print_range(char *text, const struct named_range *range, bool is_ports)
{
    int used;

    if (is_ports)
        return sprintf(text, "%u-%u\n", (unsigned)range->first,
                       (unsigned)range->last);
    used = range->ipv6 ? print_ipv6(text, range->hi, range->first)
                       : print_ipv4(text, range->first);
    text[used++] = '-';
    used += range->ipv6 ? print_ipv6(text + used, range->hi, range->last)
                        : print_ipv4(text + used, range->last);
    text[used++] = '\n';
    return used;
}

void
named_sets_open(struct nsp_filter_options *ret)
{
    char *text = malloc((size_t)NAMED_RANGES_MAX * LINE_BYTES);

    CHECK(text != NULL && !is_open);
    fill_addresses();
    fill_ports();
    for (unsigned i = 0; i < SETS; i++) {
        size_t used = 0;

        for (unsigned k = 0; k < lists[i].count; k++)
            used += (size_t)print_range(text + used, &lists[i].ranges[k],
                                        lists[i].is_ports);
        CHECK_EQ(nsp_filter_set_read(lists[i].name, text, used, NULL, &sets[i],
                                     NULL),
                 NSP_OK);
    }
    free(text);
    is_open = true;
    *ret = (struct nsp_filter_options){ .sets = sets, .set_count = SETS };
}

void
named_sets_close(struct nsp_filter_options *options)
{
    for (unsigned i = 0; i < SETS; i++) {
        sets[i] = nsp_filter_set_unref(sets[i]);
        lists[i].count = 0;
    }
    is_open = false;
    *options = (struct nsp_filter_options){ .sets = NULL };
}

const struct named_set *
named_sets_any(struct nsp_prng *prng, bool is_ports)
{
    unsigned i;

    if (!is_open)
        return NULL;
    do
        i = (unsigned)(nsp_prng_next(prng) % SETS);
    while (lists[i].count > 0 && lists[i].is_ports != is_ports);
    return &lists[i];
}

bool
named_set_has(const struct named_set *set, bool ipv6, uint64_t hi, uint64_t lo)
{
    for (unsigned i = 0; i < set->count && !set->is_ports; i++) {
        const struct named_range *range = &set->ranges[i];

        if (range->ipv6 == ipv6 && range->hi == hi && range->first <= lo &&
            lo <= range->last)
            return true;
    }
    return false;
}

bool
named_set_has_port(const struct named_set *set, uint16_t port)
{
    for (unsigned i = 0; i < set->count && set->is_ports; i++) {
        if (set->ranges[i].first <= port && port <= set->ranges[i].last)
            return true;
    }
    return false;
}
