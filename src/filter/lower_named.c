/* Membership in named sets: small ones are written out as ranges, large ones
 * looked up in maps. */
#include "filter/lower.h"

static uint32_t
count_ranges(const struct nsp_filter_set *set, bool ipv6)
{
    struct nsp_prefix_set_info info =
        nsp_prefix_set_info(set->values->addresses);

    return ipv6 ? info.ipv6_ranges : info.ipv4_ranges;
}

/* Each set may take two maps. */
static bool
has_map(const struct nsp_lower_target *target, const struct nsp_ir *ir,
        const struct nsp_filter_set *set)
{
    return target->maps && nsp_ir_find_set(ir, set) < NSP_EBPF_MAPS_MAX / 2;
}

bool
nsp_lower_can_look_up(const struct nsp_lower_target *target,
                      const struct nsp_ir *ir, const struct nsp_field *field,
                      const struct nsp_filter_set *set)
{
    if (target->set_ranges_max == 0)
        return false;
    if (nsp_filter_set_kind_of(field) == NSP_SET_PORTS)
        return nsp_named_set_list_ports(set->values, NULL) <=
               target->set_ranges_max;
    return has_map(target, ir, set) ||
           (count_ranges(set, false) <= target->set_ranges_max &&
            count_ranges(set, true) <= target->set_ranges_max);
}

void
nsp_lower_find_port(struct nsp_lowering *l, const struct nsp_filter_set *set,
                    uint32_t inside, uint32_t outside)
{
    uint32_t count = nsp_named_set_list_ports(set->values, l->ranges);

    nsp_lower_set32(l, l->ranges, count, UINT16_MAX, inside, outside);
}

/* --- Addresses ------------------------------------------------------------ */

static uint32_t
find_or_add_map(struct nsp_ebpf_maps *maps, const struct nsp_filter_set *set,
                bool ipv6)
{
    uint32_t i = 0;

    while (i < maps->count &&
           (maps->maps[i].set != set || maps->maps[i].ipv6 != ipv6))
        i++;
    if (i == maps->count)
        maps->maps[maps->count++] = (struct nsp_ebpf_map){ set, ipv6 };
    return i;
}

/* Ranges of IPv4 addresses are searched for as ::ffff:0:0/96. */
static void
search_ranges(struct nsp_lowering *l, const struct nsp_filter_set *set,
              bool ipv6, uint32_t offset, uint32_t inside, uint32_t outside)
{
    uint32_t count = count_ranges(set, ipv6);

    nsp_filter_set_list_addresses(set, ipv6, l->ranges);
    if (ipv6) {
        nsp_lower_set128(l, l->ranges, count, NSP_SLOT_L3, offset, inside,
                         outside);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        l->ranges[i].lo.lo |= NSP_IPV4_FIRST;
        l->ranges[i].hi.lo |= NSP_IPV4_FIRST;
    }
    nsp_lower_set_mapped(l, l->ranges, count, NSP_SLOT_L3, offset, inside,
                         outside);
}

void
nsp_lower_find_address(struct nsp_lowering *l, const struct nsp_filter_set *set,
                       bool ipv6, uint32_t offset, uint32_t inside,
                       uint32_t outside)
{
    uint32_t count = count_ranges(set, ipv6);
    unsigned mode = 0;

    if (count == 0) {
        nsp_code_goto(l->code, outside);
        return;
    }
    if (count <= l->target->set_ranges_max) {
        search_ranges(l, set, ipv6, offset, inside, outside);
        return;
    }
    if (!nsp_lower_is_raw(l)) {
        nsp_lower_load_x(l, NSP_SLOT_L3);
        mode = NSP_BPF_X;
    }
    nsp_code_lookup(l->code, mode, offset,
                    find_or_add_map(l->target->maps, set, ipv6));
    nsp_code_jump(l->code, NSP_BPF_JEQ, 1, inside, outside);
}
