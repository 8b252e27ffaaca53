#define _POSIX_C_SOURCE 200809L
#include "verify/search.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netshaper/filter_set.h"

#define NUMBERS_MAX   256u
#define ADDRESSES_MAX 64u
#define TRIES         200000u
#define TOKEN_MAX     64u

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58 };
enum { SYN = 0x02, RST = 0x04, PSH = 0x08, FIN = 0x01, ACK = 0x10 };

enum { ECT0 = 2 };

/* --- The pool ------------------------------------------------------------- */

struct pool {
    const struct nsp_search *search;
    uint64_t random; /* SplitMix64's state. */
    uint32_t numbers[NUMBERS_MAX], number_count;
    uint8_t ipv4[ADDRESSES_MAX][16], ipv6[ADDRESSES_MAX][16];
    uint32_t ipv4_count, ipv6_count;
};

static void
add_number(struct pool *pool, uint64_t number)
{
    if (number <= UINT32_MAX && pool->number_count < NUMBERS_MAX)
        pool->numbers[pool->number_count++] = (uint32_t)number;
}

static void
add_address(struct pool *pool, bool ipv6, const uint8_t *addr)
{
    uint32_t *count = ipv6 ? &pool->ipv6_count : &pool->ipv4_count;

    if (*count == ADDRESSES_MAX)
        return;
    memcpy(ipv6 ? pool->ipv6[*count] : pool->ipv4[*count], addr, ipv6 ? 16 : 4);
    (*count)++;
}

static void
add_text_address(struct pool *pool, const char *text)
{
    bool ipv6 = strchr(text, ':') != NULL;
    uint8_t addr[16];

    if (inet_pton(ipv6 ? AF_INET6 : AF_INET, text, addr) == 1)
        add_address(pool, ipv6, addr);
}

/* A word of a filter: an address, with or without a prefix, a number, or none
 * of these. */
static void
add_token(struct pool *pool, char *token)
{
    uint64_t number;

    token[strcspn(token, "/")] = '\0';
    if (strchr(token, ':') || strspn(token, "0123456789.") == strlen(token))
        add_text_address(pool, token);
    if (!isdigit((unsigned char)token[0]))
        return;
    number = strtoull(token, NULL, 0);
    add_number(pool, number);
    add_number(pool, number + 1);
    add_number(pool, number > 0 ? number - 1 : 0);
}

static bool
goes_on(const char *at)
{
    return isalnum((unsigned char)at[0]) || at[0] == ':' || at[0] == '/' ||
           at[0] == '_' || (at[0] == '.' && at[1] != '.' && at[-1] != '.');
}

static void
add_text(struct pool *pool, const char *text)
{
    while (*text) {
        char token[TOKEN_MAX];
        size_t n = 0;

        if (!isalnum((unsigned char)*text) && *text != ':') {
            text++;
            continue;
        }
        for (token[n++] = *text++; goes_on(text); text++)
            if (n < sizeof token - 1)
                token[n++] = *text;
        token[n] = '\0';
        add_token(pool, token);
    }
}

/* The library does not tell the ports of a set; a filter does. */
static void
add_port_set(struct pool *pool, struct nsp_filter_set *set)
{
    struct nsp_test_fields fields = { .proto = UDP, .ttl = 64 };
    struct nsp_test_packet packet;
    struct nsp_filter *filter;
    char text[96];
    bool found = false;

    snprintf(text, sizeof text, "udp.DstPort in @%s", nsp_filter_set_name(set));
    if (nsp_filter_compile_with(text, NSP_LAYER_NETWORK,
                                pool->search->spec->filters, NULL, &filter,
                                NULL) != NSP_OK)
        return;
    for (uint32_t port = 0; port <= UINT16_MAX && !found; port++) {
        struct nsp_pkt pkt;

        fields.dport = (uint16_t)port;
        nsp_test_packet_build(&packet, &fields);
        nsp_test_packet_describe(&packet, packet.data, &pkt);
        nsp_pkt_parse(&pkt);
        found = nsp_filter_match(filter, &pkt, NULL);
        if (found)
            add_number(pool, port);
    }
    nsp_filter_destroy(filter);
}

static void
add_set(struct pool *pool, struct nsp_filter_set *set)
{
    struct nsp_filter_prefix prefix;

    if (nsp_filter_set_kind(set) == NSP_SET_PORTS) {
        add_port_set(pool, set);
        return;
    }
    for (int ipv6 = 0; ipv6 < 2; ipv6++)
        if (nsp_filter_set_next_prefix(set, ipv6 != 0, NULL, &prefix))
            add_address(pool, ipv6 != 0, prefix.addr);
}

static void
add_sets(struct pool *pool, const char *text)
{
    const struct nsp_filter_options *options = pool->search->spec->filters;

    for (uint32_t i = 0; options && i < options->set_count; i++) {
        char name[NSP_FILTER_SET_NAME_MAX + 2];

        snprintf(name, sizeof name, "@%s",
                 nsp_filter_set_name(options->sets[i]));
        if (strstr(text, name))
            add_set(pool, options->sets[i]);
    }
}

static void
fill_pool(struct pool *pool, const struct nsp_search *search, uint32_t rule)
{
    static const char *const usual[] = { "10.77.1.2", "10.77.2.2",  "fd77:1::2",
                                         "fd77:2::2", "127.0.0.1",  "::1",
                                         "192.0.2.1", "2001:db8::1" };
    const char *text = search->spec->rules[rule].match;

    *pool = (struct pool){ .search = search, .random = 1 };
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        add_text_address(pool, usual[i]);
    if (!text)
        return;
    add_text(pool, text);
    add_sets(pool, text);
}

/* --- Drawing -------------------------------------------------------------- */

static uint32_t
draw(struct pool *pool, uint32_t below)
{
    uint64_t x = pool->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((x >> 32) * below >> 32);
}

/* One of the constants, or else 'usual'. */
static uint32_t
number_or(struct pool *pool, uint32_t most, uint32_t usual)
{
    uint32_t number = usual;

    if (pool->number_count > 0 && draw(pool, 2) == 0)
        number = pool->numbers[draw(pool, pool->number_count)];
    return number <= most ? number : usual;
}

static uint8_t
draw_direction(struct pool *pool, uint8_t *ret_hook)
{
    uint32_t hooks = pool->search->hooks;

    for (;;) {
        uint8_t hook = (uint8_t)(1u << draw(pool, 3));

        if ((hooks & hook) == 0)
            continue;
        *ret_hook = hook;
        return hook == NSP_HOOK_INPUT    ? NSP_INBOUND
               : hook == NSP_HOOK_OUTPUT ? NSP_OUTBOUND
                                         : NSP_DIRECTION_NONE;
    }
}

static void
draw_addresses(struct pool *pool, bool random, struct nsp_test_fields *f)
{
    uint32_t count = f->ipv6 ? pool->ipv6_count : pool->ipv4_count;

    memcpy(f->src, f->ipv6 ? pool->ipv6[0] : pool->ipv4[0], 16);
    memcpy(f->dst, f->ipv6 ? pool->ipv6[1] : pool->ipv4[1], 16);
    if (random && draw(pool, 2) == 0)
        memcpy(f->src,
               f->ipv6 ? pool->ipv6[draw(pool, count)]
                       : pool->ipv4[draw(pool, count)],
               16);
    if (random && draw(pool, 2) == 0)
        memcpy(f->dst,
               f->ipv6 ? pool->ipv6[draw(pool, count)]
                       : pool->ipv4[draw(pool, count)],
               16);
}

static uint32_t
draw_ifindex(struct pool *pool)
{
    uint32_t count = pool->search->ifindex_count;

    if (count > 0 && draw(pool, 2) == 0)
        return pool->search->ifindexes[draw(pool, count)];
    return number_or(pool, UINT32_MAX, 2);
}

/* The first ones, without constants, are what most filters are about. */
static void
draw_fields(struct pool *pool, uint32_t try, struct nsp_test_fields *f)
{
    static const uint8_t flags[] = { ACK,       SYN,       SYN | ACK, PSH | ACK,
                                     FIN | ACK, RST | ACK, RST };
    bool random = try >= 64;
    uint32_t kind = draw(pool, 8), room;

    *f = (struct nsp_test_fields){
        .ttl = 64, .sport = 40000, .dport = 50000, .tcp_flags = ACK
    };
    f->ipv6 = draw(pool, 3) == 0 && try >= 16;
    f->proto = kind < 4 ? UDP : kind < 7 ? TCP : f->ipv6 ? ICMPV6 : ICMP;
    f->icmp_type = f->ipv6 ? 128 : 8;
    f->direction = draw_direction(pool, &f->hook);
    draw_addresses(pool, random, f);
    room = NSP_TEST_PKT_BYTES_MAX - 64; /* Of all headers. */
    f->payload_bytes = pool->search->payload_bytes;
    f->in_ifindex = f->direction == NSP_OUTBOUND ? 0 : 2;
    f->out_ifindex = f->direction == NSP_INBOUND ? 0 : 3;
    if (!random)
        return;
    f->sport = (uint16_t)number_or(pool, UINT16_MAX, 40000);
    f->dport = (uint16_t)number_or(pool, UINT16_MAX, 50000);
    f->ttl = (uint8_t)number_or(pool, UINT8_MAX, 64);
    f->tos = (uint8_t)number_or(pool, UINT8_MAX, draw(pool, 4) == 0 ? ECT0 : 0);
    f->icmp_type = (uint8_t)number_or(pool, UINT8_MAX, f->icmp_type);
    f->icmp_code = (uint8_t)number_or(pool, UINT8_MAX, 0);
    f->tcp_flags = draw(pool, 4) == 0 ? (uint8_t)draw(pool, 256)
                                      : flags[draw(pool, sizeof flags)];
    if (draw(pool, 3) == 0)
        f->payload_bytes = (uint16_t)number_or(pool, room, draw(pool, 3) * 64);
    if (draw(pool, 8) == 0)
        f->payload_bytes = (uint16_t)draw(pool, room);
    f->loopback = draw(pool, 4) == 0;
    f->mark = draw(pool, 4) == 0 ? number_or(pool, UINT32_MAX, 0) : 0;
    if (f->in_ifindex != 0)
        f->in_ifindex = draw_ifindex(pool);
    if (f->out_ifindex != 0)
        f->out_ifindex = draw_ifindex(pool);
}

/* --- Asking --------------------------------------------------------------- */

static bool
rule_matches(const struct nsp_search *search, uint32_t rule,
             const struct nsp_pkt *pkt)
{
    const struct nsp_filter_context context = { .random_seed = search->seed };
    uint8_t apply = search->spec->rules[rule].apply;
    enum nsp_essential essential = nsp_pkt_essential(pkt);

    if ((apply == NSP_APPLY_INBOUND && pkt->direction != NSP_INBOUND) ||
        (apply == NSP_APPLY_OUTBOUND && pkt->direction != NSP_OUTBOUND))
        return false;
    if (essential != 0 &&
        nsp_policy_spares(search->spec, rule, search->filters[rule], essential))
        return false;
    return !search->filters[rule] ||
           nsp_filter_match(search->filters[rule], pkt, &context);
}

uint32_t
nsp_search_hits(const struct nsp_search *search, const bool *off,
                const struct nsp_pkt *pkt, uint32_t ret[NSP_SEARCH_HITS_MAX])
{
    uint32_t n = 0;

    for (uint32_t i = 0;
         i < search->spec->rule_count && n < NSP_SEARCH_HITS_MAX; i++) {
        if ((off && off[i]) || !rule_matches(search, i, pkt))
            continue;
        ret[n++] = i;
        if (!search->spec->rules[i].go_on)
            break;
    }
    return n;
}

/* Whether no rule before 'rule' decides 'pkt'. */
static bool
comes_to(const struct nsp_search *search, uint32_t rule,
         const struct nsp_pkt *pkt)
{
    for (uint32_t i = 0; i < rule; i++)
        if (!(search->off && search->off[i]) && !search->spec->rules[i].go_on &&
            rule_matches(search, i, pkt))
            return false;
    return true;
}

static bool
is_for(const struct nsp_search *search, uint32_t rule,
       const struct nsp_test_fields *fields, struct nsp_test_packet *packet,
       bool *ret_matched)
{
    struct nsp_pkt pkt;

    if ((search->wants && !search->wants(fields)) ||
        (search->can_send && !search->can_send(fields)))
        return false;
    nsp_test_packet_build(packet, fields);
    nsp_test_packet_describe(packet, packet->data, &pkt);
    nsp_pkt_parse(&pkt);
    if (!rule_matches(search, rule, &pkt))
        return false;
    *ret_matched = true;
    return comes_to(search, rule, &pkt);
}

/* Gives the packet found the usual values, one by one, where it stays one for
 * the rule. */
static void
settle(const struct nsp_search *search, const struct pool *pool, uint32_t rule,
       struct nsp_test_packet *packet)
{
    for (int i = 0; i < 9; i++) {
        struct nsp_test_fields f = packet->fields;
        struct nsp_test_packet other;
        bool matched;

        switch (i) {
        case 0:
            f.payload_bytes = search->payload_bytes;
            break;
        case 1:
            f.loopback = false;
            break;
        case 2:
            f.mark = 0;
            break;
        case 3:
            f.ttl = 64;
            f.tos = 0;
            break;
        case 4:
            f.sport = 40000;
            break;
        case 5:
            f.dport = 50000;
            break;
        case 6:
            f.tcp_flags = ACK;
            break;
        case 7:
            memcpy(f.src, f.ipv6 ? pool->ipv6[0] : pool->ipv4[0], 16);
            break;
        default:
            memcpy(f.dst, f.ipv6 ? pool->ipv6[1] : pool->ipv4[1], 16);
        }
        if (is_for(search, rule, &f, &other, &matched))
            *packet = other;
    }
}

static const char *
why_not(const struct nsp_filter *filter)
{
    struct nsp_filter_needs needs = { .inbound = false };

    if (filter)
        nsp_filter_get_needs(filter, &needs);
    if (needs.flow)
        return "its filter asks about connections, and test packets belong to "
               "none";
    if (needs.timestamp)
        return "its filter asks for the time";
    if (needs.payload)
        return "no test packet has the payload that its filter asks for";
    return "no packet was found that its filter matches";
}

bool
nsp_search_packet(const struct nsp_search *search, uint32_t rule,
                  struct nsp_test_packet *ret, const char **ret_why)
{
    struct pool pool;
    bool matched = false;

    if ((search->hooks &
         (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD)) == 0) {
        *ret_why = "nothing is intercepted";
        return false;
    }
    fill_pool(&pool, search, rule);
    for (uint32_t try = 0; try < TRIES; try++) {
        struct nsp_test_fields fields;

        draw_fields(&pool, try, &fields);
        if (!is_for(search, rule, &fields, ret, &matched))
            continue;
        settle(search, &pool, rule, ret);
        return true;
    }
    *ret_why = matched ? "rules before it decide all packets that were found "
                         "for its filter"
                       : why_not(search->filters[rule]);
    return false;
}

uint32_t
nsp_search_isolate(const struct nsp_search *search, uint32_t rule,
                   const struct nsp_test_packet *packet, bool ret_off[])
{
    struct nsp_test_packet copy = *packet;
    uint32_t hits[NSP_SEARCH_HITS_MAX], left_out = 0, n;
    struct nsp_pkt pkt;
    bool changed;

    for (uint32_t i = 0; i < search->spec->rule_count; i++)
        ret_off[i] = search->off && search->off[i];
    nsp_test_packet_describe(&copy, copy.data, &pkt);
    nsp_pkt_parse(&pkt);
    do {
        changed = false;
        n = nsp_search_hits(search, ret_off, &pkt, hits);
        for (uint32_t i = 0; i < n; i++) {
            if (hits[i] == rule)
                continue;
            ret_off[hits[i]] = changed = true;
            left_out++;
        }
    } while (changed);
    return left_out;
}

bool
nsp_search_resize(const struct nsp_search *search, uint32_t rule,
                  uint32_t bytes, struct nsp_test_packet *packet)
{
    struct nsp_test_fields fields = packet->fields;
    struct nsp_test_packet other;
    bool matched;

    if (bytes < packet->payload_off || bytes > NSP_TEST_PKT_BYTES_MAX)
        return false;
    fields.payload_bytes = (uint16_t)(bytes - packet->payload_off);
    if (!is_for(search, rule, &fields, &other, &matched))
        return false;
    *packet = other;
    return true;
}
