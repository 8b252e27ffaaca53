#include "filter/eval.h"

#include <string.h>

#include "filter/eval_fetch.h"
#include "filter/eval_set.h"

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

/* Reads a field of at most 32 bits that is no common one: see COMMON_OPS. */
static NSP_ALWAYS_INLINE bool
fetch_uncommon(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
               const struct nsp_filter_context *context,
               const enum nsp_fetch op, uint32_t *ret)
{
    switch (op) {
    case NSP_FETCH_ZERO:
        *ret = 0;
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
        return nsp_eval_has_ethernet(pkt);
    case NSP_FETCH_VLAN:
        *ret = pkt->vlan_tci[0] & VLAN_ID_MASK;
        return pkt->vlan_count > 0;
    case NSP_FETCH_MSS:
        return nsp_eval_fetch_mss(pkt, ret);
    case NSP_FETCH_FLOW:
        if (!pkt->flow)
            return false;
        *ret = ((const uint8_t *)pkt->flow)[insn->offset];
        return true;
    case NSP_FETCH_PAYLOAD_LENGTH:
        if (pkt->l4 != insn->arg)
            return false;
        *ret = nsp_eval_payload_length(pkt);
        return true;
    case NSP_FETCH_LOCAL_PORT:
    case NSP_FETCH_REMOTE_PORT:
        return nsp_eval_fetch_port(pkt, op == NSP_FETCH_LOCAL_PORT, ret);
    case NSP_FETCH_RANDOM:
        *ret = (uint32_t)(nsp_eval_hash(pkt, context->random_seed) >>
                          insn->shift) &
               insn->mask;
        return true;
    case NSP_FETCH_BYTES:
        return nsp_eval_fetch_bytes(insn, pkt, ret);
    default:
        return false;
    }
}

/* Reads a field of at most 32 bits. */
static NSP_ALWAYS_INLINE bool
fetch(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
      const struct nsp_filter_context *context, const enum nsp_fetch op,
      uint32_t *ret)
{
    switch (op) {
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
    default:
        return fetch_uncommon(insn, pkt, context, op, ret);
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
        if (!nsp_eval_fetch_wide(insn, pkt, context, ret))
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
 * constant 'op' leaves one case of the switches above; 'table' false leaves a
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
        if (!nsp_eval_fetch_wide(insn, pkt, context, &wide))
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

bool
nsp_eval_test(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
              const struct nsp_filter_context *context)
{
    static const struct nsp_eval no_tables;

    return falls_through_rarely(&no_tables, insn, pkt,
                                context ? context : &no_context);
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
