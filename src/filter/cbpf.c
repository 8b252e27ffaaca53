#include <errno.h>
#include <string.h>

#include "filter/compile.h"
#include "filter/lower.h"
#include "netshaper/bpf.h"

/* A conditional jump spans at most this many instructions. */
#define SPAN_MAX 255u

/* Of a named set that is written out. */
#define SET_RANGES_MAX 1024u

/* --- Encoding ------------------------------------------------------------
 *
 * Written from the last instruction to the first: as all jumps go forward, how
 * far one has to go is then known for good. A target too far for a conditional
 * jump is reached by way of a relay, an unconditional jump, that a later
 * instruction has put near enough, or else by a new one right behind.
 *
 * Places are counted from the end of the program: the last instruction's is
 * 0. */
struct encoder {
    const struct nsp_code *code;
    struct nsp_cbpf_insn *end; /* Of the room for the program. */
    uint32_t max, count;
    uint32_t *places; /* Of each instruction of 'code'. */
    uint32_t *relays; /* The latest relay to each, counted from 1. */
};

static void
put(struct encoder *e, struct nsp_cbpf_insn insn)
{
    e->count++;
    if (e->count <= e->max)
        e->end[-(ptrdiff_t)e->count] = insn;
}

/* How far the next instruction written would jump to 'place'. */
static uint32_t
span_to(const struct encoder *e, uint32_t place)
{
    return e->count - place - 1;
}

static void
put_goto(struct encoder *e, uint32_t target)
{
    put(e, (struct nsp_cbpf_insn){
               .code = NSP_BPF_JMP | NSP_BPF_JA,
               .k = span_to(e, e->places[target]),
           });
}

/* Tells whether the instruction after the next 'ahead' ones can jump to
 * 'target', and stores by which place. */
static bool
find_way(const struct encoder *e, uint32_t target, uint32_t ahead,
         uint32_t *ret_place)
{
    *ret_place = e->places[target];
    if (span_to(e, *ret_place) + ahead <= SPAN_MAX)
        return true;
    *ret_place = e->relays[target] - 1;
    return e->relays[target] > 0 && span_to(e, *ret_place) + ahead <= SPAN_MAX;
}

/* The place by which a condition that is to follow goes to 'target': one relay
 * for the other target may come between. */
static uint32_t
find_or_put_way(struct encoder *e, uint32_t target)
{
    uint32_t place;

    if (find_way(e, target, 1, &place))
        return place;
    put_goto(e, target);
    e->relays[target] = e->count;
    return e->count - 1;
}

static void
put_condition(struct encoder *e, const struct nsp_code_insn *insn)
{
    uint32_t jt = find_or_put_way(e, insn->jt);
    uint32_t jf = find_or_put_way(e, insn->jf);

    put(e, (struct nsp_cbpf_insn){
               .code = insn->code,
               .jt = (uint8_t)span_to(e, jt),
               .jf = (uint8_t)span_to(e, jf),
               .k = insn->k,
           });
}

static void
encode(struct encoder *e)
{
    for (uint32_t i = e->code->count; i-- > 0;) {
        const struct nsp_code_insn *insn = &e->code->insns[i];
        bool is_jump = (insn->code & 7) == NSP_BPF_JMP;

        if (insn->code == (NSP_BPF_JMP | NSP_BPF_JA))
            put_goto(e, insn->jt);
        else if (is_jump)
            put_condition(e, insn);
        else if (insn->code == NSP_BPF_RET && insn->k != 0)
            put(e, (struct nsp_cbpf_insn){ .code = NSP_BPF_RET,
                                           .k = NSP_CBPF_ACCEPT });
        else
            put(e, (struct nsp_cbpf_insn){ .code = insn->code, .k = insn->k });
        e->places[i] = e->count - 1;
    }
}

/* Writes the finished 'code'. */
static int
assemble(const struct nsp_code *code, const struct nsp_allocator *allocator,
         struct nsp_cbpf_insn insns[], uint32_t max, uint32_t *ret_count)
{
    struct encoder e = { .code = code, .end = insns + max, .max = max };
    int r = -ENOMEM;

    e.places = nsp_alloc(allocator, code->count, sizeof e.places[0]);
    e.relays = nsp_alloc(allocator, code->count, sizeof e.relays[0]);
    if (e.places && e.relays) {
        encode(&e);
        r = -E2BIG;
    }
    if (r == -E2BIG && e.count <= max) {
        memmove(insns, e.end - e.count, e.count * sizeof insns[0]);
        *ret_count = e.count;
        r = 0;
    }
    nsp_release(allocator, e.places);
    nsp_release(allocator, e.relays);
    return r;
}

/* --- Emission ------------------------------------------------------------ */

struct emission {
    const struct nsp_filter *filter;
    struct nsp_cbpf_insn *insns;
    uint32_t max, count;
    struct nsp_widened widened;
};

static int
emit(const struct nsp_lower_target *target, void *arg)
{
    struct emission *e = arg;
    const struct nsp_allocator *allocator = nsp_filter_allocator(e->filter);
    struct nsp_code code;
    /* Labels need room as well, and what is left out later. */
    int r = nsp_code_init(&code, 8 * NSP_CBPF_INSNS_MAX, allocator);

    if (r == 0)
        r = nsp_lower(nsp_filter_ir(e->filter), target, allocator, &code,
                      &e->widened);
    if (r == 0)
        r = assemble(&code, allocator, e->insns, e->max, &e->count);
    nsp_code_fini(&code, allocator);
    return r;
}

int
nsp_filter_emit_cbpf(const struct nsp_filter *filter,
                     const struct nsp_site *site, struct nsp_cbpf_insn insns[],
                     uint32_t max, uint32_t *ret_count,
                     struct nsp_widened *ret_widened)
{
    struct nsp_lower_target target = { .site = site,
                                       .set_ranges_max = SET_RANGES_MAX };
    struct emission e = { .filter = filter, .insns = insns };
    int r;

    if (!nsp_filter_can_emit(filter, site))
        return -EINVAL;
    e.max = nsp_min_u32(max, NSP_CBPF_INSNS_MAX);
    r = nsp_lower_to_fit(nsp_filter_ir(filter), &target, emit, &e);
    if (r != 0)
        return r;
    *ret_count = e.count;
    if (ret_widened)
        *ret_widened = e.widened;
    return 0;
}
