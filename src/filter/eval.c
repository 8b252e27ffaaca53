#include "filter/eval.h"

#include <string.h>

#include "base/prng.h"
#include "filter/eval_set.h"
#include "packet/options.h"
#include "packet/proto.h"

/* Bytes of headers that the random fields hash. */
#define HASHED_BYTES_MAX 128u

#define VLAN_ID_MASK 0xfffu

static const struct nsp_filter_context no_context;

/* The network-order word at 'offset' of the header at 'header_off', reduced to
 * the field's bits. A header is held whole, so the word is too. */
static NSP_ALWAYS_INLINE uint32_t
header_bits(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
            uint16_t header_off)
{
    const uint8_t *word = pkt->data + header_off + insn->offset;

    return nsp_load_be32(word) >> insn->shift & insn->mask;
}

/* Length of the transport payload on the wire. */
static uint32_t
payload_length(const struct nsp_pkt *pkt)
{
    uint32_t headers = (uint32_t)pkt->payload_off - pkt->l3_off;

    return pkt->ip_bytes > headers ? pkt->ip_bytes - headers : 0;
}

static bool
has_ip(const struct nsp_pkt *pkt)
{
    return pkt->l3 == NSP_L3_IPV4 || pkt->l3 == NSP_L3_IPV6;
}

/* Reads an indexed field; false unless it lies wholly inside the packet on the
 * wire and in the bytes held. */
static bool
fetch_bytes(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
            uint32_t *ret)
{
    int64_t start, bytes, at;
    uint32_t size = insn->shift;

    if (insn->arg == 0 ? !has_ip(pkt) : pkt->l4 != insn->arg)
        return false;
    start = insn->arg == 0 ? pkt->l3_off : pkt->payload_off;
    bytes = insn->arg == 0 ? pkt->ip_bytes : payload_length(pkt);
    at = insn->position < 0 ? bytes + insn->position : insn->position;
    if (at < 0 || at + size > bytes || start + at + size > pkt->cap_bytes)
        return false;

    *ret = 0;
    for (uint32_t i = 0; i < size; i++)
        *ret = *ret << 8 | pkt->data[start + at + i];
    return true;
}

/* Port of this machine ('local') or the other side. The type of an ICMP message
 * counts as the port of its sender. */
static bool
fetch_port(const struct nsp_pkt *pkt, bool local, uint32_t *ret)
{
    bool of_source = local == (pkt->direction == NSP_OUTBOUND);

    *ret = 0;
    if (pkt->direction == NSP_DIRECTION_NONE)
        return false;
    if (pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP)
        *ret = nsp_load_be16(pkt->data + pkt->l4_off + (of_source ? 0 : 2));
    else if (pkt->l4 != NSP_L4_NONE && of_source)
        *ret = pkt->data[pkt->l4_off];
    return true;
}

static struct nsp_u128
load_addr6(const uint8_t *p)
{
    return (struct nsp_u128){
        (uint64_t)nsp_load_be32(p) << 32 | nsp_load_be32(p + 4),
        (uint64_t)nsp_load_be32(p + 8) << 32 | nsp_load_be32(p + 12),
    };
}

static bool
fetch_side_addr(const struct nsp_pkt *pkt, bool local, struct nsp_u128 *ret)
{
    bool of_source = local == (pkt->direction == NSP_OUTBOUND);
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->direction == NSP_DIRECTION_NONE || !has_ip(pkt))
        return false;
    if (pkt->l3 == NSP_L3_IPV4)
        *ret = nsp_u128(NSP_IPV4_FIRST |
                        nsp_load_be32(ip + (of_source ? 12 : 16)));
    else
        *ret = load_addr6(ip + (of_source ? 8 : 24));
    return true;
}

/* Hash of seed, time of arrival and headers, the payload not included. */
static uint64_t
hash_packet(const struct nsp_pkt *pkt, uint64_t seed)
{
    uint64_t hash = nsp_mix64(seed ^ nsp_mix64(pkt->arrival_ns));
    uint32_t start, end;

    if (!has_ip(pkt))
        return nsp_mix64(hash ^ pkt->ip_bytes);
    start = pkt->l3_off;
    end = pkt->l4 != NSP_L4_NONE ? pkt->payload_off : pkt->cap_bytes;
    end = nsp_min_u32(end, start + HASHED_BYTES_MAX);
    end = nsp_min_u32(end, pkt->cap_bytes);
    for (; start + 8 <= end; start += 8) {
        uint64_t word = (uint64_t)nsp_load_be32(pkt->data + start) << 32 |
                        nsp_load_be32(pkt->data + start + 4);

        hash = nsp_mix64(hash ^ word);
    }
    for (; start < end; start++)
        hash = nsp_mix64(hash ^ pkt->data[start]);
    return hash;
}

static bool
has_ethernet(const struct nsp_pkt *pkt)
{
    return pkt->link == NSP_LINK_ETHERNET &&
           pkt->cap_bytes >= NSP_ETHERNET_BYTES;
}

static bool
fetch_mss(const struct nsp_pkt *pkt, uint32_t *ret)
{
    uint32_t off;

    if (pkt->l4 != NSP_L4_TCP)
        return false;
    off = nsp_pkt_mss_off(pkt);
    if (off == NSP_OFF_NONE)
        return false;
    *ret = nsp_load_be16(pkt->data + off);
    return true;
}

static bool
fetch_mac(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
          struct nsp_u128 *ret)
{
    const uint8_t *mac = pkt->data + insn->offset;

    if (insn->arg == 0 ? !has_ethernet(pkt) : pkt->l3 != insn->arg)
        return false;
    if (insn->arg != 0)
        mac += pkt->l3_off;
    *ret =
        nsp_u128((uint64_t)nsp_load_be16(mac) << 32 | nsp_load_be32(mac + 2));
    return true;
}

static bool
fetch_flow_count(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
                 struct nsp_u128 *ret)
{
    uint64_t count;

    if (!pkt->flow)
        return false;
    memcpy(&count, (const uint8_t *)pkt->flow + insn->offset, sizeof count);
    *ret = nsp_u128(count);
    return true;
}

/* Reads a field of more than 32 bits, as its distance from the minimum. */
static bool
fetch_wide(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
           const struct nsp_filter_context *context, struct nsp_u128 *ret)
{
    switch (insn->op) {
    case NSP_FETCH_ADDR6:
        if (pkt->l3 != NSP_L3_IPV6)
            return false;
        *ret = load_addr6(pkt->data + pkt->l3_off + insn->offset);
        return true;
    case NSP_FETCH_TIMESTAMP:
        *ret = nsp_u128((uint64_t)context->timestamp ^ UINT64_C(1) << 63);
        return true;
    case NSP_FETCH_FLOW_COUNT:
        return fetch_flow_count(insn, pkt, ret);
    case NSP_FETCH_MAC:
        return fetch_mac(insn, pkt, ret);
    default:
        return fetch_side_addr(pkt, insn->op == NSP_FETCH_LOCAL_ADDR, ret);
    }
}

/* Tells whether 'value' is in one of the ascending ranges. */
static bool
in_ranges(const struct nsp_range *ranges, uint32_t count, struct nsp_u128 value)
{
    while (count > 1) {
        uint32_t half = count / 2;

        if (!nsp_u128_less(value, ranges[half].lo))
            ranges += half;
        count -= half;
    }
    return !nsp_u128_less(value, ranges->lo) &&
           !nsp_u128_less(ranges->hi, value);
}

/* The same for 32 bits: 'bounds' holds all lows, then all highs. */
static bool
in_bounds(const uint32_t *bounds, uint32_t entries, uint32_t value)
{
    const uint32_t *low = bounds;

    for (uint32_t count = entries; count > 1;) {
        uint32_t half = count / 2;

        low = low[half] <= value ? low + half : low;
        count -= half;
    }
    return *low <= value && value <= low[entries];
}

/* Looks up a value that is within lo .. lo + span. */
static bool
in_table(const struct nsp_eval *eval, const struct nsp_insn *insn,
         uint32_t value)
{
    uint32_t distance = value - insn->lo;

    if (insn->extra & NSP_INSN_BITS)
        return eval->bits[insn->table + distance / 64] >> distance % 64 & 1;
    return in_bounds(eval->bounds + insn->table, insn->entries, value);
}

/* Reads a field of at most 32 bits. */
static NSP_ALWAYS_INLINE bool
fetch(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
      const struct nsp_filter_context *context, const enum nsp_fetch op,
      uint32_t *ret)
{
    switch (op) {
    case NSP_FETCH_ZERO:
        *ret = 0;
        return true;
    case NSP_FETCH_IS:
    case NSP_FETCH_BYTE:
        *ret = ((const uint8_t *)pkt)[insn->offset];
        return true;
    case NSP_FETCH_FLAG:
        *ret = pkt->flags >> insn->shift & 1;
        return true;
    case NSP_FETCH_LENGTH:
        *ret = pkt->ip_bytes;
        return true;
    case NSP_FETCH_IFINDEX:
        *ret =
            pkt->direction == NSP_OUTBOUND ? pkt->out_ifindex : pkt->in_ifindex;
        return true;
    case NSP_FETCH_MARK:
        *ret = pkt->mark;
        return true;
    case NSP_FETCH_UID:
        *ret = pkt->uid;
        return pkt->uid != UINT32_MAX;
    case NSP_FETCH_ETHER_TYPE:
        *ret = pkt->ether_type;
        return has_ethernet(pkt);
    case NSP_FETCH_VLAN:
        *ret = pkt->vlan_tci[0] & VLAN_ID_MASK;
        return pkt->vlan_count > 0;
    case NSP_FETCH_MSS:
        return fetch_mss(pkt, ret);
    case NSP_FETCH_FLOW:
        if (!pkt->flow)
            return false;
        *ret = ((const uint8_t *)pkt->flow)[insn->offset];
        return true;
    case NSP_FETCH_L3:
        if (pkt->l3 != insn->arg)
            return false;
        *ret = header_bits(insn, pkt, pkt->l3_off);
        return true;
    case NSP_FETCH_L4:
        if (pkt->l4 != insn->arg)
            return false;
        *ret = header_bits(insn, pkt, pkt->l4_off);
        return true;
    case NSP_FETCH_PAYLOAD_LENGTH:
        if (pkt->l4 != insn->arg)
            return false;
        *ret = payload_length(pkt);
        return true;
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
        return fetch_port(pkt, op == NSP_FETCH_LOCAL_PORT, ret);
    case NSP_FETCH_RANDOM:
        *ret =
            (uint32_t)(hash_packet(pkt, context->random_seed) >> insn->shift) &
            insn->mask;
        return true;
    case NSP_FETCH_BYTES:
        return fetch_bytes(insn, pkt, ret);
    default:
        return false;
    }
}

/* Reads any field in full. */
static bool
fetch_operand(const struct nsp_insn *insn, struct nsp_u128 min,
              const struct nsp_pkt *pkt,
              const struct nsp_filter_context *context, struct nsp_u128 *ret)
{
    uint32_t value;

    if (insn->op >= NSP_FETCH_ADDR6) {
        if (!fetch_wide(insn, pkt, context, ret))
            return false;
    } else {
        if (!fetch(insn, pkt, context, (enum nsp_fetch)insn->op, &value))
            return false;
        *ret = nsp_u128(insn->op == NSP_FETCH_IS ? value == insn->arg : value);
    }
    *ret = nsp_u128_add(*ret, min);
    return true;
}

bool
nsp_eval_read(const struct nsp_insn *fetch, const struct nsp_pkt *pkt,
              struct nsp_u128 *ret)
{
    return fetch_operand(fetch, nsp_u128(0), pkt, &no_context, ret);
}

static bool
fetch_derived(const struct nsp_eval *eval, const struct nsp_insn *insn,
              const struct nsp_pkt *pkt,
              const struct nsp_filter_context *context, uint32_t *ret)
{
    const struct nsp_operands *o = &eval->operands[insn->operands];
    struct nsp_u128 left, right;

    if (o->addresses)
        return nsp_eval_find_address(o, pkt, ret);
    if (!fetch_operand(&o->left, o->left_min, pkt, context, &left))
        return false;
    if (insn->op == NSP_FETCH_MASKED) {
        *ret = (uint32_t)left.lo & o->mask;
        return true;
    }
    if (insn->op == NSP_FETCH_IN_SET) {
        *ret = nsp_named_set_has_port(o->ports, (uint16_t)left.lo);
        return true;
    }
    if (!fetch_operand(&o->right, o->right_min, pkt, context, &right))
        return false;
    *ret = 1u + nsp_u128_less(right, left) - nsp_u128_less(left, right);
    return true;
}

static NSP_ALWAYS_INLINE bool
is_derived(const enum nsp_fetch op)
{
    return op >= NSP_FETCH_MASKED && op <= NSP_FETCH_IN_SET;
}

static NSP_ALWAYS_INLINE bool
has_table(const struct nsp_insn *insn)
{
    return (insn->extra & (NSP_INSN_BITS | NSP_INSN_BOUNDS)) != 0;
}

/* Executes one instruction, whose op is 'op': tells whether it falls through. A
 * constant 'op' leaves one case of the switch above; 'table' false leaves a
 * comparison without a branch. */
static NSP_ALWAYS_INLINE bool
falls_through(const struct nsp_eval *eval, const struct nsp_insn *insn,
              const struct nsp_pkt *pkt,
              const struct nsp_filter_context *context, const enum nsp_fetch op,
              const bool table)
{
    bool in_range;
    struct nsp_u128 wide;
    uint32_t value;

    if (op >= NSP_FETCH_ADDR6) {
        if (!fetch_wide(insn, pkt, context, &wide))
            return !insn->jump_if_absent;
        return in_ranges(eval->ranges + insn->table, insn->entries, wide);
    }
    if (is_derived(op) ? !fetch_derived(eval, insn, pkt, context, &value)
                       : !fetch(insn, pkt, context, op, &value))
        return !insn->jump_if_absent;
    in_range = value - insn->lo <= insn->span;
    return table ? in_range && in_table(eval, insn, value) : in_range;
}

/* The common ops, each with a copy of its own in both loops below. */
#define COMMON_OPS(X)                                                          \
    X(NSP_FETCH_NEVER)                                                         \
    X(NSP_FETCH_IS)                                                            \
    X(NSP_FETCH_BYTE)                                                          \
    X(NSP_FETCH_FLAG)                                                          \
    X(NSP_FETCH_LENGTH)                                                        \
    X(NSP_FETCH_L3)                                                            \
    X(NSP_FETCH_L4)

/* Tells whether a packet gets as far as the first instruction. One whose
 * network header cannot be used matches nothing. */
static NSP_ALWAYS_INLINE bool
passes_guard(const struct nsp_eval *eval, const struct nsp_pkt *pkt)
{
    static const struct nsp_pkt looked_at = { .l3 = UINT8_MAX,
                                              .flags = NSP_PKT_MALFORMED };
    static const struct nsp_pkt unusable = { .l3 = NSP_L3_NONE,
                                             .flags = NSP_PKT_MALFORMED };
    uint64_t state = nsp_state_of(pkt);

    return ((state & eval->guard.mask) == eval->guard.value) &
           ((state & nsp_state_of(&looked_at)) != nsp_state_of(&unusable));
}

static NSP_ALWAYS_INLINE bool
has_state(const struct nsp_insn *chain, const struct nsp_pkt *pkt)
{
    return (nsp_state_of(pkt) & chain->state.mask) == chain->state.value;
}

/* The state has told that the header is there. */
static NSP_ALWAYS_INLINE bool
has_word(const struct nsp_word *word, const struct nsp_pkt *pkt)
{
    uint16_t header_off;
    uint32_t bits;

    memcpy(&header_off, (const uint8_t *)pkt + word->header, sizeof header_off);
    bits = nsp_load_be32(pkt->data + header_off + word->offset) & word->mask;
    return bits - word->lo <= word->span;
}

static NSP_ALWAYS_INLINE bool
passes_chain(const struct nsp_eval *eval, const struct nsp_insn *chain,
             const struct nsp_pkt *pkt)
{
    const struct nsp_word *word = eval->words + chain->words;
    const struct nsp_word *end = word + chain->word_count;

    bool any = (chain->extra & NSP_INSN_ANY) != 0;

    if (!has_state(chain, pkt))
        return false;
    for (; word < end; word++) {
        if (has_word(word, pkt) == any)
            return any;
    }
    return !any;
}

static bool
falls_through_rarely(const struct nsp_eval *eval, const struct nsp_insn *insn,
                     const struct nsp_pkt *pkt,
                     const struct nsp_filter_context *context)
{
    return falls_through(eval, insn, pkt, context, (enum nsp_fetch)insn->op,
                         has_table(insn));
}

static NSP_ALWAYS_INLINE bool
execute(const struct nsp_eval *eval, const struct nsp_insn *insn,
        const struct nsp_pkt *pkt, const struct nsp_filter_context *context)
{
    switch (insn->op) {
#define STEP(op)                                                               \
    case op:                                                                   \
        return falls_through(eval, insn, pkt, context, op, has_table(insn));
        COMMON_OPS(STEP)
#undef STEP
    case NSP_INSN_CHAIN:
        return passes_chain(eval, insn, pkt);
    default:
        return falls_through_rarely(eval, insn, pkt, context);
    }
}

/* Every target lies ahead, so the program's length bounds the loop. Apart from
 * the guard, which then needs no stack. */
static NSP_NEVER_INLINE bool
match_insns(const struct nsp_eval *eval, const struct nsp_pkt *pkt,
            const struct nsp_filter_context *context)
{
    const struct nsp_insn *insn = eval->insns;

    for (;;) {
        if (execute(eval, insn, pkt, context)) {
            if (insn->extra & NSP_INSN_ACCEPT)
                return true;
            insn++;
        } else {
            if (insn->target >= NSP_IR_REJECT)
                return insn->target == NSP_IR_ACCEPT;
            insn = eval->insns + insn->target;
        }
    }
}

bool
nsp_eval_match(const struct nsp_eval *eval, const struct nsp_pkt *pkt,
               const struct nsp_filter_context *context)
{
    bool passed = passes_guard(eval, pkt);

    if (eval->count == 0 || !passed)
        return passed;
    return match_insns(eval, pkt, context ? context : &no_context);
}

/* --- Bursts -------------------------------------------------------------- */

/* Programs longer than this go packet by packet. */
#define BURST_INSNS_MAX 64u

/* Executes one instruction for the packets of 'mask'; returns those that fall
 * through. */
static NSP_ALWAYS_INLINE uint64_t
sweep(const struct nsp_eval *eval, const struct nsp_insn *insn,
      struct nsp_pkt *const pkts[], uint64_t mask,
      const struct nsp_filter_context *context, const enum nsp_fetch op,
      const bool table)
{
    uint64_t through = 0;

    for (; mask != 0; mask &= mask - 1) {
        uint32_t i = nsp_ctz_u64(mask);
        bool passes = falls_through(eval, insn, pkts[i], context, op, table);

        through |= (uint64_t)passes << i;
    }
    return through;
}

/* The same for a test that looks addresses up in a named set: all at once. */
static uint64_t
sweep_addresses(const struct nsp_eval *eval, const struct nsp_insn *insn,
                struct nsp_pkt *const pkts[], uint64_t mask)
{
    const struct nsp_operands *o = &eval->operands[insn->operands];
    uint64_t present;
    uint64_t inside = nsp_eval_find_addresses(o, pkts, mask, &present);
    uint64_t through = insn->jump_if_absent ? 0 : mask & ~present;

    if (1 - insn->lo <= insn->span)
        through |= inside;
    if (0 - insn->lo <= insn->span)
        through |= present & ~inside;
    return through;
}

/* All words of a packet are looked at: cheaper than a wrong guess whether to go
 * on. */
static NSP_ALWAYS_INLINE uint64_t
sweep_words(const struct nsp_word words[], uint32_t count,
            struct nsp_pkt *const pkts[], uint64_t mask, const bool any)
{
    uint64_t through = 0;

    for (; mask != 0; mask &= mask - 1) {
        uint32_t i = nsp_ctz_u64(mask);
        bool passes = !any;

        for (uint32_t w = 0; w < count; w++) {
            bool has = has_word(&words[w], pkts[i]);

            passes = any ? passes | has : passes & has;
        }
        through |= (uint64_t)passes << i;
    }
    return through;
}

/* Few words stay in registers. */
static NSP_ALWAYS_INLINE uint64_t
sweep_counted(const struct nsp_word words[], uint32_t count,
              struct nsp_pkt *const pkts[], uint64_t mask, const bool any)
{
    switch (count) {
    case 0:
        return mask;
    case 1:
        return sweep_words(words, 1, pkts, mask, any);
    case 2:
        return sweep_words(words, 2, pkts, mask, any);
    case 3:
        return sweep_words(words, 3, pkts, mask, any);
    default:
        return sweep_words(words, count, pkts, mask, any);
    }
}

static uint64_t
sweep_chain(const struct nsp_eval *eval, const struct nsp_insn *chain,
            struct nsp_pkt *const pkts[], uint64_t mask)
{
    const struct nsp_word *words = eval->words + chain->words;
    uint32_t count = chain->word_count;

    if (chain->state.mask != 0) {
        uint64_t asked = mask;

        for (mask = 0; asked != 0; asked &= asked - 1) {
            uint32_t i = nsp_ctz_u64(asked);

            mask |= (uint64_t)has_state(chain, pkts[i]) << i;
        }
    }
    return chain->extra & NSP_INSN_ANY
               ? sweep_counted(words, count, pkts, mask, true)
               : sweep_counted(words, count, pkts, mask, false);
}

static uint64_t
execute_burst(const struct nsp_eval *eval, const struct nsp_insn *insn,
              struct nsp_pkt *const pkts[], uint64_t mask,
              const struct nsp_filter_context *context)
{
    switch (insn->op) {
#define SWEEP(op)                                                              \
    case op:                                                                   \
        return has_table(insn)                                                 \
                   ? sweep(eval, insn, pkts, mask, context, op, true)          \
                   : sweep(eval, insn, pkts, mask, context, op, false);
        COMMON_OPS(SWEEP)
#undef SWEEP
    case NSP_INSN_CHAIN:
        return sweep_chain(eval, insn, pkts, mask);
    case NSP_FETCH_IN_SET:
        if (eval->operands[insn->operands].addresses)
            return sweep_addresses(eval, insn, pkts, mask);
        /* fallthrough */
    default:
        return sweep(eval, insn, pkts, mask, context, (enum nsp_fetch)insn->op,
                     has_table(insn));
    }
}

static uint64_t
match_by_insn(const struct nsp_eval *eval, struct nsp_pkt *const pkts[],
              uint64_t passed, const struct nsp_filter_context *context)
{
    uint64_t pending[BURST_INSNS_MAX + 1];
    uint64_t accepted = 0;

    memset(pending, 0, (eval->count + 1) * sizeof pending[0]);
    pending[0] = passed;
    for (uint32_t i = 0; i < eval->count; i++) {
        const struct nsp_insn *insn = &eval->insns[i];
        uint64_t through, jumped;

        if (pending[i] == 0)
            continue;
        through = execute_burst(eval, insn, pkts, pending[i], context);
        jumped = pending[i] & ~through;
        if (insn->extra & NSP_INSN_ACCEPT)
            accepted |= through;
        else
            pending[i + 1] |= through;
        if (insn->target == NSP_IR_ACCEPT)
            accepted |= jumped;
        else if (insn->target != NSP_IR_REJECT)
            pending[insn->target] |= jumped;
    }
    return accepted;
}

uint64_t
nsp_eval_match_burst(const struct nsp_eval *eval, struct nsp_pkt *const pkts[],
                     uint32_t n, const struct nsp_filter_context *context)
{
    uint64_t result = 0;

    if (eval->count > BURST_INSNS_MAX) {
        for (uint32_t i = 0; i < n; i++)
            result |= (uint64_t)nsp_eval_match(eval, pkts[i], context) << i;
        return result;
    }
    for (uint32_t i = 0; i < n; i++)
        result |= (uint64_t)passes_guard(eval, pkts[i]) << i;
    if (eval->count == 0)
        return result;
    return match_by_insn(eval, pkts, result, context ? context : &no_context);
}
