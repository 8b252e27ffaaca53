#include "filter/explain_needs.h"

#include <errno.h>
#include <stddef.h>

#include "netshaper/bpf.h"

/* --- Headers -------------------------------------------------------------- */

enum header {
    ETHERNET,
    VLAN,
    ARP,
    IPV4,
    IPV6,
    TCP,
    UDP,
    ICMP,
    ICMPV6,
    HEADERS,
};

#define BIT(header) (1u << (header))
#define IP          (BIT(IPV4) | BIT(IPV6))
#define TRANSPORTS  (BIT(TCP) | BIT(UDP) | BIT(ICMP) | BIT(ICMPV6))

static const unsigned headers_of_need[] = {
    [NSP_NEED_IPV4] = BIT(IPV4), [NSP_NEED_IPV6] = BIT(IPV6),
    [NSP_NEED_TCP] = BIT(TCP),   [NSP_NEED_UDP] = BIT(UDP),
    [NSP_NEED_ICMP] = BIT(ICMP), [NSP_NEED_ICMPV6] = BIT(ICMPV6),
    [NSP_NEED_IP] = IP,          [NSP_NEED_IP_SIDE] = IP,
    [NSP_NEED_ARP] = BIT(ARP),   [NSP_NEED_ETHERNET] = BIT(ETHERNET),
    [NSP_NEED_VLAN] = BIT(VLAN), [NSP_NEED_MSS] = BIT(TCP),
    [NSP_NEED_UID] = 0,          [NSP_NEED_FLOW] = IP,
};

/* What is read to know the field, present or not. */
static unsigned
headers_of(const struct nsp_field *field)
{
    for (unsigned need = 0; need <= NSP_NEED_ICMPV6; need++) {
        if (nsp_field_of_need((enum nsp_field_need)need) == field)
            return headers_of_need[need];
    }
    switch ((enum nsp_fetch)field->fetch) {
    case NSP_FETCH_IS: /* None of the above: 'arp', or a direction. */
        return field->offset == offsetof(struct nsp_pkt, l3) ? BIT(ARP) : 0;
    case NSP_FETCH_FLAG:
        return 1u << field->shift == NSP_PKT_FRAGMENT ? IP : 0;
    case NSP_FETCH_BYTE:
    case NSP_FETCH_LENGTH:
        return IP;
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
        return TRANSPORTS;
    default:
        return headers_of_need[field->need];
    }
}

static void
print_headers(struct nsp_text *text, const struct nsp_ir *ir)
{
    static const char *const names[HEADERS] = {
        [ETHERNET] = "Ethernet", [VLAN] = "VLAN", [ARP] = "ARP",
        [IPV4] = "IPv4",         [IPV6] = "IPv6", [TCP] = "TCP",
        [UDP] = "UDP",           [ICMP] = "ICMP", [ICMPV6] = "ICMPv6",
    };
    const char *joint = "\n  headers: ";
    unsigned headers = 0;

    for (uint32_t i = 0; i < ir->count; i++) {
        const struct nsp_ir_test *test = &ir->tests[i];

        headers |= headers_of(test->operand ? test->operand : test->field);
        if (test->other)
            headers |= headers_of(test->other);
    }
    for (unsigned i = 0; i < HEADERS; i++) {
        if (!(headers & BIT(i)))
            continue;
        nsp_text_print(text, "%s%s", joint, names[i]);
        joint = ", ";
    }
}

static bool
has_packets(enum nsp_layer layer)
{
    return layer == NSP_LAYER_NETWORK || layer == NSP_LAYER_NETWORK_FORWARD;
}

/* --- Needs ---------------------------------------------------------------- */

static void
print_hooks(struct nsp_text *text, enum nsp_layer layer,
            const struct nsp_filter_needs *needs)
{
    nsp_text_print(text, "\nhooks\n ");
    if (layer == NSP_LAYER_NETWORK_FORWARD)
        nsp_text_print(text, "%s", needs->never ? " none" : " forward");
    else if (layer != NSP_LAYER_NETWORK || needs->never)
        nsp_text_print(text, " none");
    else
        nsp_text_print(text, "%s%s%s", needs->inbound ? " input" : "",
                       needs->outbound ? " output" : "",
                       needs->inbound || needs->outbound ? "" : " none");
}

void
nsp_explain_needs(struct nsp_text *text, const struct nsp_ir *ir,
                  const struct nsp_filter_needs *needs)
{
    const struct {
        bool is_needed;
        const char *name;
    } rows[] = {
        { needs->never, "nothing: it never matches" },
        { needs->always, "any packet: it always matches" },
        { needs->inbound, "inbound" },
        { needs->outbound, "outbound" },
        { needs->ipv4, "IPv4" },
        { needs->ipv6, "IPv6" },
        { needs->payload, "payload" },
        { needs->timestamp, "timestamp" },
        { needs->random, "random numbers" },
        { needs->flow, "flows" },
    };
    const char *joint = " ";

    nsp_text_print(text, "needs\n ");
    /* The analysis knows packets only. */
    if (!has_packets(ir->layer))
        nsp_text_print(text, " events of %s", nsp_layer_name(ir->layer));
    for (size_t i = 0; has_packets(ir->layer) && i < NSP_ARRAY_LEN(rows); i++) {
        if (!rows[i].is_needed)
            continue;
        nsp_text_print(text, "%s%s", joint, rows[i].name);
        joint = ", ";
    }
    print_headers(text, ir);
    print_hooks(text, ir->layer, needs);
    nsp_text_print(text, "\n");
}

int
nsp_explain_layers(struct nsp_text *text, const char *source,
                   const struct nsp_filter_options *options,
                   const struct nsp_allocator *allocator)
{
    const char *joint = "layers\n  ";

    for (unsigned i = 0; i < NSP_LAYER_COUNT; i++) {
        struct nsp_filter *filter = NULL;
        int r = nsp_filter_compile_with(source, (enum nsp_layer)i, options,
                                        allocator, &filter, NULL);

        nsp_filter_destroy(filter);
        if (r == NSP_NO_MEMORY)
            return -ENOMEM;
        if (r != NSP_OK)
            continue;
        nsp_text_print(text, "%s%s", joint, nsp_layer_name((enum nsp_layer)i));
        joint = ", ";
    }
    nsp_text_print(text, "\n");
    return 0;
}

/* --- Programs for the kernel ---------------------------------------------- */

enum language { CBPF, XT_BPF, XDP, TCX };

struct place {
    const char *name;
    enum language language;
    uint8_t layers; /* enum nsp_layer_set. */
    uint8_t link;
    uint8_t facts, direction;
};

#define INGRESS NSP_SITE_DIRECTION, NSP_INBOUND
#define EGRESS  NSP_SITE_DIRECTION, NSP_OUTBOUND
#define THROUGH NSP_SITE_DIRECTION, NSP_DIRECTION_NONE

/* What arrives is taken to be for this machine, and the reverse, unless the
 * layer is that of forwarded packets. */
static const struct place places[] = {
    { "packet socket", CBPF, NSP_ON_NETWORK | NSP_ON_FORWARD, NSP_LINK_ETHERNET,
      0, 0 },
    { "xt_bpf INPUT", XT_BPF, NSP_ON_NETWORK, NSP_LINK_RAW, INGRESS },
    { "xt_bpf OUTPUT", XT_BPF, NSP_ON_NETWORK, NSP_LINK_RAW, EGRESS },
    { "xt_bpf FORWARD", XT_BPF, NSP_ON_FORWARD, NSP_LINK_RAW, THROUGH },
    { "XDP", XDP, NSP_ON_NETWORK, NSP_LINK_ETHERNET, INGRESS },
    { "XDP", XDP, NSP_ON_FORWARD, NSP_LINK_ETHERNET, THROUGH },
    { "tcx ingress", TCX, NSP_ON_NETWORK, NSP_LINK_ETHERNET, INGRESS },
    { "tcx egress", TCX, NSP_ON_NETWORK, NSP_LINK_ETHERNET, EGRESS },
    { "tcx", TCX, NSP_ON_FORWARD, NSP_LINK_ETHERNET, THROUGH },
};

/* Room for the longest program of either kind. */
union program {
    struct nsp_cbpf_insn cbpf[NSP_CBPF_INSNS_MAX];
    struct nsp_ebpf_insn ebpf[NSP_EBPF_INSNS_MAX];
};

static int
emit(const struct nsp_filter *filter, const struct place *place,
     union program *program, uint32_t *ret_count,
     struct nsp_widened *ret_widened)
{
    const struct nsp_site site = {
        .link = (enum nsp_link)place->link,
        .facts = place->facts,
        .direction = (enum nsp_direction)place->direction,
    };
    struct nsp_ebpf_maps maps;

    if (place->language == CBPF || place->language == XT_BPF)
        return nsp_filter_emit_cbpf(filter, &site, program->cbpf,
                                    place->language == CBPF
                                        ? NSP_CBPF_INSNS_MAX
                                        : NSP_CBPF_XT_INSNS_MAX,
                                    ret_count, ret_widened);
    return nsp_filter_emit_ebpf(
        filter, place->language == XDP ? NSP_EBPF_XDP : NSP_EBPF_TCX, &site,
        program->ebpf, NSP_EBPF_INSNS_MAX, ret_count, &maps, ret_widened);
}

static void
print_program(struct nsp_text *text, const struct place *place, uint32_t count,
              const struct nsp_widened *widened)
{
    uint32_t named = nsp_min_u32(widened->count, NSP_WIDENED_MAX);

    nsp_text_print(
        text, "%s, %u instructions, %s",
        place->language == CBPF || place->language == XT_BPF ? "cBPF" : "eBPF",
        count, widened->exact ? "exact" : "widened:");
    for (uint32_t i = 0; i < named; i++)
        nsp_text_print(text, "%s %s", i > 0 ? "," : "", widened->names[i]);
    nsp_text_print(text, "%s", widened->count > named ? ", others" : "");
}

static int
explain_place(struct nsp_text *text, const struct nsp_filter *filter,
              const struct place *place, union program *program)
{
    struct nsp_filter_needs needs;
    struct nsp_widened widened;
    uint32_t count;
    int r;

    nsp_text_print(text, "\n  %-14s  ", place->name);
    nsp_filter_get_needs(filter, &needs);
    if (needs.never || (place->direction == NSP_INBOUND && !needs.inbound) ||
        (place->direction == NSP_OUTBOUND && !needs.outbound)) {
        nsp_text_print(text, "nothing matches here");
        return 0;
    }
    r = emit(filter, place, program, &count, &widened);
    if (r == 0)
        print_program(text, place, count, &widened);
    else if (r == -E2BIG)
        nsp_text_print(text, "too long: more than %u instructions",
                       place->language == XT_BPF ? NSP_CBPF_XT_INSNS_MAX
                       : place->language == CBPF ? NSP_CBPF_INSNS_MAX
                                                 : NSP_EBPF_INSNS_MAX);
    return r == -ENOMEM ? r : 0;
}

int
nsp_explain_kernel(struct nsp_text *text, const char *source,
                   enum nsp_layer layer,
                   const struct nsp_filter_options *options,
                   const struct nsp_allocator *allocator)
{
    struct nsp_filter *filter = NULL;
    union program *program;
    int r = 0;

    nsp_text_print(text, "kernel%s",
                   has_packets(layer) ? ""
                                      : "\n  none: the layer has no packets");
    if (!has_packets(layer))
        return 0;
    program = nsp_alloc(allocator, 1, sizeof *program);
    if (!program || nsp_filter_compile_with(source, layer, options, allocator,
                                            &filter, NULL) != NSP_OK)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < NSP_ARRAY_LEN(places); i++) {
        if (places[i].layers >> layer & 1)
            r = explain_place(text, filter, &places[i], program);
    }
    nsp_filter_destroy(filter);
    nsp_release(allocator, program);
    return r;
}
