#include "filter/eval.h"

#include "base/prng.h"

/* Bytes of headers that the random fields hash. */
#define HASHED_BYTES_MAX 128u

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

static NSP_ALWAYS_INLINE bool
in_set(const struct nsp_eval *eval, const struct nsp_insn *insn, uint32_t value)
{
    uint32_t distance = value - insn->lo;

    if (nsp_likely(insn->compare == NSP_COMPARE_RANGE))
        return distance <= insn->span;
    if (insn->compare == NSP_COMPARE_BITS)
        return distance <= insn->span &&
               (eval->bits[insn->table + distance / 64] >> distance % 64 & 1);
    return in_bounds(eval->bounds + insn->table, insn->entries, value);
}

/* Executes one instruction: tells whether it jumps. */
static NSP_ALWAYS_INLINE bool
jumps(const struct nsp_eval *eval, const struct nsp_insn *insn,
      const struct nsp_pkt *pkt, const struct nsp_filter_context *context)
{
    struct nsp_u128 wide;
    uint32_t value;

    switch ((enum nsp_fetch)insn->op) {
    case NSP_FETCH_NEVER:
        return insn->jump_if_absent;
    case NSP_FETCH_ZERO:
        value = 0;
        break;
    case NSP_FETCH_IS:
    case NSP_FETCH_BYTE:
        value = ((const uint8_t *)pkt)[insn->offset];
        break;
    case NSP_FETCH_FLAG:
        value = pkt->flags >> insn->shift & 1;
        break;
    case NSP_FETCH_LENGTH:
        value = pkt->ip_bytes;
        break;
    case NSP_FETCH_IFINDEX:
        value =
            pkt->direction == NSP_OUTBOUND ? pkt->out_ifindex : pkt->in_ifindex;
        break;
    case NSP_FETCH_L3:
        if (pkt->l3 != insn->arg)
            return insn->jump_if_absent;
        value = header_bits(insn, pkt, pkt->l3_off);
        break;
    case NSP_FETCH_L4:
        if (pkt->l4 != insn->arg)
            return insn->jump_if_absent;
        value = header_bits(insn, pkt, pkt->l4_off);
        break;
    case NSP_FETCH_PAYLOAD_LENGTH:
        if (pkt->l4 != insn->arg)
            return insn->jump_if_absent;
        value = payload_length(pkt);
        break;
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
        if (!fetch_port(pkt, insn->op == NSP_FETCH_LOCAL_PORT, &value))
            return insn->jump_if_absent;
        break;
    case NSP_FETCH_RANDOM:
        value =
            (uint32_t)(hash_packet(pkt, context->random_seed) >> insn->shift) &
            insn->mask;
        break;
    case NSP_FETCH_BYTES:
        if (!fetch_bytes(insn, pkt, &value))
            return insn->jump_if_absent;
        break;
    default:
        if (!fetch_wide(insn, pkt, context, &wide))
            return insn->jump_if_absent;
        return in_ranges(eval->ranges + insn->table, insn->entries, wide) ==
               insn->jump_if_in;
    }
    return in_set(eval, insn, value) == insn->jump_if_in;
}

/* A packet whose network header cannot be used matches nothing. Every target
 * lies ahead, so the program's length bounds the loop. */
static NSP_ALWAYS_INLINE bool
run(const struct nsp_eval *eval, const struct nsp_pkt *pkt,
    const struct nsp_filter_context *context)
{
    const struct nsp_insn *insn = eval->insns;

    if (nsp_unlikely(pkt->l3 == NSP_L3_NONE &&
                     (pkt->flags & NSP_PKT_MALFORMED)))
        return false;
    for (;;) {
        if (jumps(eval, insn, pkt, context)) {
            if (insn->target >= NSP_IR_REJECT)
                return insn->target == NSP_IR_ACCEPT;
            insn = eval->insns + insn->target;
        } else {
            insn++;
        }
    }
}

bool
nsp_eval_match(const struct nsp_eval *eval, const struct nsp_pkt *pkt,
               const struct nsp_filter_context *context)
{
    return run(eval, pkt, context ? context : &no_context);
}

uint64_t
nsp_eval_match_burst(const struct nsp_eval *eval, struct nsp_pkt *const pkts[],
                     uint32_t n, const struct nsp_filter_context *context)
{
    uint64_t matched = 0;

    if (!context)
        context = &no_context;
    for (uint32_t i = 0; i < n; i++)
        matched |= (uint64_t)run(eval, pkts[i], context) << i;
    return matched;
}
