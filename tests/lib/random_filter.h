#ifndef NSP_TESTS_LIB_RANDOM_FILTER_H
#define NSP_TESTS_LIB_RANDOM_FILTER_H
#include <stdlib.h>

#include "base/prng.h"
#include "filter/fields.h"
#include "netshaper/bpf.h"
#include "tests/lib/filter.h"
#include "tests/lib/named_sets.h"
#include "tests/lib/random_expression.h"

/* Random filters, packets and sites, for back ends to agree on. */

#define RANDOM_PACKETS      50
#define RANDOM_PACKET_BYTES 640
#define RANDOM_TEXT_BYTES   8192

struct random_packet {
    struct nsp_pkt pkt;
    uint8_t bytes[RANDOM_PACKET_BYTES];
};

struct random_world {
    struct nsp_prng prng;
    struct nsp_site site;
    struct random_packet packets[RANDOM_PACKETS];
    const struct nsp_field *few[6]; /* Fields that meet in one filter. */
    char text[RANDOM_TEXT_BYTES];
    size_t used;
    bool has_naive; /* 'naive' is what 'text' says. */
    struct naive_filter naive;
    struct nsp_filter_options options; /* With named sets, if opened. */
};

static const struct nsp_filter_context random_context = {
    .timestamp = NAIVE_TIMESTAMP,
};

static inline unsigned
below(struct random_world *w, unsigned limit)
{
    return (unsigned)(nsp_prng_next(&w->prng) % limit);
}

/* How many filters to try: NSP_TEST_FILTERS if set, else 'usual'. */
static inline unsigned
random_filter_count(unsigned usual)
{
    const char *text = getenv("NSP_TEST_FILTERS");

    return text ? (unsigned)strtoul(text, NULL, 10) : usual;
}

/* --- Packets ------------------------------------------------------------- */

/* Puts a chain of extension headers behind the IPv6 header at 'ip'. */
static inline uint32_t
insert_extensions(struct random_world *w, uint8_t *ip, uint32_t bytes)
{
    static const uint8_t kinds[] = { 0, 43, 44, 51, 60, 135 };
    unsigned count = below(w, 3) == 0 ? below(w, 20) : below(w, 4);
    uint32_t length = nsp_load_be16(ip + 4);

    while (count-- > 0) {
        /* Fragment headers seldom, as they end the walk or come once. */
        uint8_t kind = kinds[below(w, below(w, 4) == 0 ? 6 : 2)];
        uint8_t *ext = ip + 40;
        uint32_t units = below(w, 8) == 0 ? 2 : 1;

        memmove(ext + 8 * units, ext, bytes - 40);
        memset(ext, 0, 8 * units);
        ext[0] = ip[6];
        ext[1] = (uint8_t)(kind == 51 ? 2 * units - 2 : units - 1);
        if (kind == 44)
            ext[3] = (uint8_t)(below(w, 3) == 0 ? 8 : 1);
        ip[6] = kind;
        bytes += 8 * units;
        length += 8 * units;
    }
    ip[4] = (uint8_t)(length >> 8);
    ip[5] = (uint8_t)length;
    return bytes;
}

/* Writes a link header for the IP packet that begins with 'first'. */
static inline uint32_t
random_link(struct random_world *w, uint8_t first, uint8_t *ret)
{
    static const uint16_t odd[] = { 0x0800, 0x86dd, 0x0806,
                                    0x0100, 0x88cc, 0x8100 };
    static const uint16_t tpids[] = { 0x8100, 0x88a8, 0x9100 };
    static const uint8_t header_bytes[] = { 0, 14, 16, 20 };
    static const uint8_t type_at[] = { 0, 12, 14, 0 };
    uint16_t type = first >> 4 == 6 ? 0x86dd : 0x0800;
    unsigned tags = below(w, 3) == 0 ? below(w, 4) : 0;
    uint32_t bytes = header_bytes[w->site.link];
    uint8_t *type_field = ret + type_at[w->site.link];

    if (w->site.link == NSP_LINK_RAW)
        return 0;
    memset(ret, 0, bytes + 4 * tags);
    if (below(w, 16) == 0)
        type = odd[below(w, NSP_ARRAY_LEN(odd))];
    for (; tags > 0; tags--, bytes += 4) {
        nsp_store_be16(type_field, tpids[below(w, 3)]);
        type_field = ret + bytes + 2;
    }
    nsp_store_be16(type_field, type);
    return bytes;
}

/* A sample in one piece, with a few bytes changed, and now and then cut short
 * or padded. */
static inline void
random_packet(struct random_world *w, struct random_packet *ret)
{
    uint8_t ip[RANDOM_PACKET_BYTES] = { 0 };
    unsigned index = below(w, SAMPLES);
    uint32_t bytes, link, at = index == ARP ? 14 : index == ETHER_TCP4 ? 18 : 0;

    memset(ret, 0, sizeof *ret);
    bytes = (uint32_t)hex_bytes(sample_hex[index], ip, sizeof ip) - at;
    memmove(ip, ip + at, bytes);
    if (ip[0] >> 4 == 6 && below(w, 2) == 0)
        bytes = insert_extensions(w, ip, bytes);
    link = random_link(w, ip[0], ret->bytes);
    if (index == ARP && link >= 2 && w->site.link == NSP_LINK_ETHERNET)
        nsp_store_be16(ret->bytes + link - 2, 0x0806);
    memcpy(ret->bytes + link, ip, bytes);
    bytes += link;
    for (unsigned k = below(w, 4); k > 0; k--)
        ret->bytes[below(w, bytes)] = (uint8_t)nsp_prng_next(&w->prng);
    if (below(w, 6) == 0)
        bytes -= below(w, bytes);
    else if (below(w, 6) == 0)
        bytes += below(w, 20);

    ret->pkt.data = ret->bytes;
    ret->pkt.cap_bytes = ret->pkt.wire_bytes = bytes;
    ret->pkt.link = (uint8_t)w->site.link;
    ret->pkt.direction = w->site.facts & NSP_SITE_DIRECTION
                             ? (uint8_t)w->site.direction
                             : (uint8_t)below(w, 3);
    if (w->site.facts & NSP_SITE_LOOPBACK ? w->site.loopback : below(w, 2) == 0)
        ret->pkt.flags = NSP_PKT_LOOPBACK;
    ret->pkt.in_ifindex = ret->pkt.out_ifindex = w->site.ifindex;
    ret->pkt.mark = below(w, 512);
    ret->pkt.uid = below(w, 2) == 0 ? UINT32_MAX : below(w, 4);
    nsp_pkt_parse(&ret->pkt);
    ret->pkt.flow = random_flow_view(&w->prng, &ret->pkt);
}

/* --- Filters ------------------------------------------------------------- */

static inline void
put(struct random_world *w, const char *text)
{
    size_t bytes = strlen(text);

    CHECK(w->used + bytes < sizeof w->text);
    memcpy(w->text + w->used, text, bytes + 1);
    w->used += bytes;
}

/* A value that some packet has, or near one, or any. */
static inline void
put_number(struct random_world *w, const struct nsp_field *field)
{
    const struct nsp_pkt *pkt = &w->packets[below(w, RANDOM_PACKETS)].pkt;
    bool is_l4 = field->fetch == NSP_FETCH_L4 && pkt->l4 != NSP_L4_NONE;
    const uint8_t *from = pkt->data + (pkt->l3 ? pkt->l3_off : 0);
    uint64_t value = nsp_prng_next(&w->prng) >> below(w, 64);
    unsigned shift = (unsigned)(64 - (field->bits < 64 ? field->bits : 64));
    char part[64];

    if (is_l4)
        from = pkt->data + pkt->l4_off;
    if (below(w, 5) < 4)
        value = nsp_load_be32(from + field->offset % 32) >> field->shift % 32;
    if (field->fetch == NSP_FETCH_LENGTH || below(w, 5) == 0)
        value = pkt->ip_bytes - below(w, 3);
    if (field->fetch == NSP_FETCH_BYTE)
        value = pkt->ip_proto;
    if (field->fetch == NSP_FETCH_IFINDEX || below(w, 8) == 0)
        value = below(w, 4);
    value = value << shift >> shift;
    if (field->bits <= 32 && field->type != NSP_TYPE_IPV4)
        snprintf(part, sizeof part, "%llu", (unsigned long long)value);
    else if (field->type == NSP_TYPE_IPV4 || below(w, 2) == 0)
        snprintf(part, sizeof part, "0xffff%08x",
                 nsp_load_be32(pkt->data + (is_l4 ? 0 : 12)));
    else
        snprintf(part, sizeof part, "0x20010db8%08x%016llx", below(w, 2) << 4,
                 (unsigned long long)below(w, 4));
    put(w, part);
}

/* Tells whether it put the name of a set, behind a field that may be in one. */
static inline bool
put_named_set(struct random_world *w, const struct nsp_field *field)
{
    bool is_port = strstr(field->name, "Port") != NULL;
    bool is_address =
        field->type == NSP_TYPE_IPV4 || field->type == NSP_TYPE_IPV6;
    const struct named_set *set;

    if (!is_port && !is_address)
        return false;
    set = named_sets_any(&w->prng, is_port);
    if (!set || below(w, 2) == 0)
        return false;
    put(w, below(w, 3) == 0 ? " not in @" : " in @");
    put(w, set->name);
    return true;
}

static inline void
put_test(struct random_world *w)
{
    static const char *const relations[] = { "==", "!=", "<", "<=", ">", ">=" };
    const struct nsp_field *field = w->few[below(w, NSP_ARRAY_LEN(w->few))];
    char part[32];

    put(w, below(w, 5) == 0 ? "not " : "");
    put(w, field->name);
    if (field->element_bytes > 0) {
        bool back = below(w, 3) == 0;

        snprintf(part, sizeof part, "[%s%ub]", back ? "-" : "",
                 below(w, 60) + (back ? field->element_bytes : 0u));
        put(w, part);
    }
    if (put_named_set(w, field) || below(w, 4) == 0)
        return;
    put(w, relations[below(w, NSP_ARRAY_LEN(relations))]);
    put_number(w, field);
}

static inline void
put_expression(struct random_world *w, unsigned depth)
{
    unsigned kind = depth == 0 ? 0 : below(w, 6);

    if (kind == 0) {
        put_test(w);
        return;
    }
    put(w, "(");
    put_expression(w, depth - 1);
    put(w, kind == 1 ? "? " : kind % 2 ? " and " : " or ");
    put_expression(w, depth - 1);
    if (kind == 1) {
        put(w, " : ");
        put_expression(w, depth - 1);
    }
    put(w, ")");
}

static inline const struct nsp_field *
random_field(struct random_world *w)
{
    const struct nsp_field *field;

    do
        field = &nsp_fields[below(w, nsp_field_count)];
    while (!(field->layers & NSP_ON_NETWORK) || field->type == NSP_TYPE_TEXT);
    return field;
}

/* Makes a filter in w->text. */
static inline void
random_filter(struct random_world *w)
{
    for (unsigned i = 0; i < NSP_ARRAY_LEN(w->few); i++)
        w->few[i] = random_field(w);
    w->used = 0;
    w->has_naive = false;
    put_expression(w, below(w, 5));
}

/* The same, of all that the language has but random numbers, with the
 * expression to walk. */
static inline void
random_naive_filter(struct random_world *w)
{
    struct nsp_pkt *pkts[RANDOM_PACKETS];

    for (unsigned i = 0; i < RANDOM_PACKETS; i++)
        pkts[i] = &w->packets[i].pkt;
    random_expression(&w->prng, pkts, RANDOM_PACKETS, &w->naive);
    naive_write(&w->naive, &w->prng, w->text, sizeof w->text);
    w->has_naive = true;
}

static inline struct nsp_filter *
compile_random(const struct random_world *w)
{
    return compile_with(w->text, NSP_LAYER_NETWORK, &w->options);
}

/* Makes a site for 'link', and packets for it. */
static inline void
random_site(struct random_world *w, enum nsp_link link, uint32_t ifindex)
{
    w->site = (struct nsp_site){
        .link = link,
        .facts = below(w, 8),
        .direction = (enum nsp_direction)below(w, 3),
        .loopback = below(w, 2) == 0,
        .ifindex = ifindex,
    };
    for (unsigned i = 0; i < RANDOM_PACKETS; i++)
        random_packet(w, &w->packets[i]);
}

/* Requires the answer of a back end to be right, or to err on the safe side;
 * and that of the evaluator to be that of a naive walk, where there is one. */
static inline void
check_answer(const struct random_world *w, const struct nsp_filter *filter,
             const struct nsp_widened *widened, unsigned i, bool accepted)
{
    const struct nsp_pkt *pkt = &w->packets[i].pkt;
    bool matched = nsp_filter_match(filter, pkt, &random_context);

    if (w->has_naive && naive_match(&w->naive, pkt) != matched)
        fail_msg("the evaluator says %d: %s", matched, w->text);
    if (accepted == matched || (accepted && !widened->exact))
        return;
    print_message("link %d facts %u direction %d, packet of %u:\n",
                  (int)w->site.link, w->site.facts, (int)w->site.direction,
                  pkt->cap_bytes);
    for (uint32_t k = 0; k < pkt->cap_bytes; k++)
        print_message("%02x", pkt->data[k]);
    fail_msg("\n%s\n%s: %s", accepted ? "accepts" : "rejects",
             widened->exact ? "exact" : "widened", w->text);
}

#endif /* NSP_TESTS_LIB_RANDOM_FILTER_H */
