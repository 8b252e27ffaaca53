/* The walk through rules that a program decides by, as instructions. */
#include <string.h>

#include "os/linux/bpf_flows.h"
#include "os/linux/bpf_frame.h"
#include "os/linux/bpf_offload_state.h"
#include "os/linux/bpf_police.h"

/* On the stack: a word for each rule that counts, then who decides, then room
 * for a key. Each is the upper half of a slot, and never 0: of such the kernel
 * remembers no value, so that the ways through the rules all end in one state.
 */
#define NOTE_NONE  2
#define NOTE_MATCH 1

/* What becomes of a packet: in R8, in the tail. None: nobody decided. From
 * FATE_POLICE on, what the buckets of rules have to say. */
enum {
    FATE_NONE = 0,
    FATE_PASS,
    FATE_DROP,
    FATE_LIMITED,
    FATE_POLICE,
    FATES = FATE_POLICE + NSP_OFFLOAD_LIMITS_MAX,
};

/* Labels: a filter's and the place behind each rule, the ways into the tail,
 * the buckets, and those of the tail. */
enum {
    OWN_FILTER = 0,
    OWN_NEXT = NSP_OFFLOAD_RULES_MAX,
    OWN_FATE = 2 * NSP_OFFLOAD_RULES_MAX,
    OWN_BUCKET = OWN_FATE + FATES,
    OWN_TAIL = OWN_BUCKET + NSP_OFFLOAD_LIMITS_MAX,
    OWN_TAKE,
    OWN_CONFORMS,
    OWN_EXCEEDS,
    OWN_POLICED,
    OWN_LENGTH,
    OWN_UNDECIDED = OWN_LENGTH + NSP_BPF_LENGTH_LABELS,
    OWN_DROPPED,
    OWN_LIMITED,
    OWN_DONE,
    OWN_NO_FLOW,
    OWN_FLOW,
    OWN_NOTES = OWN_FLOW + NSP_BPF_FLOW_LABELS,
};
_Static_assert(OWN_NOTES + NSP_OFFLOAD_COUNTS_MAX <= NSP_BPF_OFFLOAD_LABELS,
               "room for labels");

struct walk {
    struct nsp_bpf_offload *offload;
    struct nsp_bpf_program *p;
    const struct nsp_bpf_offload_exits *exits;
    uint32_t counting[NSP_OFFLOAD_COUNTS_MAX]; /* Rules, by their note. */
    uint32_t notes;
    uint32_t policing[NSP_OFFLOAD_LIMITS_MAX]; /* Rules, by their bucket. */
    uint32_t buckets;
    bool reaches[FATES]; /* Which of them is jumped to: the kernel takes no
                          * code that nothing leads to. */
};

static uint32_t
label(const struct walk *w, uint32_t own)
{
    return w->exits->first_label + own;
}

/* Where note 'i' is; behind the last is who decides, then the key. */
static int32_t
word_at(const struct walk *w, uint32_t i)
{
    return w->exits->stack_off + 8 * (int32_t)i + 4;
}
#define WORD_DECIDER NSP_OFFLOAD_COUNTS_MAX
#define WORD_KEY     (NSP_OFFLOAD_COUNTS_MAX + 1)
#define FLOW_OFF     (8 * ((int32_t)WORD_KEY + 1))
_Static_assert(FLOW_OFF + NSP_BPF_FLOW_STACK_BYTES <=
                   NSP_BPF_OFFLOAD_STACK_BYTES,
               "room on the stack");

/* Once there is a fate, no flow is looked up any more: room for a pointer. */
#define POINTER_OFF FLOW_OFF

static void
store(struct walk *w, uint32_t word, uint32_t value)
{
    nsp_bpf_put(w->p, BPF_ST | BPF_MEM | BPF_W, FRAME, R0, word_at(w, word),
                (int32_t)value);
}

static void
load(struct walk *w, enum nsp_bpf_reg to, uint32_t word)
{
    nsp_bpf_put(w->p, BPF_LDX | BPF_MEM | BPF_W, to, FRAME, word_at(w, word),
                0);
}

static void
jump_to_fate(struct walk *w, uint32_t fate)
{
    w->reaches[fate] = true;
    nsp_bpf_jump(w->p, label(w, OWN_FATE + fate));
}

/* Acts on a packet that rule 'i' matches. */
static void
put_match(struct walk *w, uint32_t i)
{
    if (w->offload->rules[i].does == NSP_OFFLOAD_COUNT) {
        store(w, w->notes, NOTE_MATCH);
        w->counting[w->notes++] = i;
    }
    store(w, WORD_DECIDER, i + 1);
    if (w->offload->rules[i].does == NSP_OFFLOAD_PASS) {
        jump_to_fate(w, FATE_PASS);
    } else if (w->offload->rules[i].does == NSP_OFFLOAD_DROP) {
        jump_to_fate(w, FATE_DROP);
    } else if (w->offload->rules[i].does == NSP_OFFLOAD_POLICE) {
        jump_to_fate(w, FATE_POLICE + w->buckets);
        w->policing[w->buckets++] = i;
    }
}

/* Decides packets of flows that have a verdict. */
static void
put_flow(struct walk *w)
{
    const struct nsp_bpf_offload *offload = w->offload;
    const struct nsp_bpf_flow_lookup lookup = {
        .type = offload->type,
        .map_fd = offload->shared.flows_fd,
        .generation = (uint32_t)offload->request.generation,
        .ifindex = offload->ifindex,
        .direction = offload->direction,
        .stack_off = w->exits->stack_off + FLOW_OFF,
        .miss = label(w, OWN_NO_FLOW),
        .first_label = label(w, OWN_FLOW),
    };
    const uint32_t first = offload->request.count + 2;

    nsp_bpf_put_flow_lookup(w->p, &lookup);
    nsp_bpf_jump_if(w->p, BPF_JEQ, R2, NSP_OFFLOAD_NO_RULE,
                    label(w, OWN_FATE + FATE_NONE));
    w->reaches[FATE_NONE] = true;
    nsp_bpf_put(w->p, BPF_ALU | BPF_ADD, R2, R0, 0, (int32_t)first);
    nsp_bpf_put(w->p, BPF_STX | BPF_MEM | BPF_W, FRAME, R2,
                word_at(w, WORD_DECIDER), 0);
    nsp_bpf_jump_if(w->p, BPF_JEQ, R8, NSP_OFFLOAD_DROP,
                    label(w, OWN_FATE + FATE_DROP));
    w->reaches[FATE_DROP] = true;
    jump_to_fate(w, FATE_PASS);
    nsp_bpf_place(w->p, label(w, OWN_NO_FLOW));
}

/* Returns whether any packet goes on to the next rule. */
static bool
put_rule(struct walk *w, uint32_t i)
{
    const struct nsp_offload_rule *rule = &w->offload->rules[i];
    struct nsp_bpf_offload_function *f = &w->offload->functions[i];
    bool ask = rule->does == NSP_OFFLOAD_ASK || !f->exact;

    if (!nsp_bpf_offload_applies(w->offload, rule))
        return true;
    if (f->failed || (ask && !rule->filter)) {
        nsp_bpf_jump(w->p, w->exits->ask);
        return false;
    }
    if (!rule->filter) {
        put_match(w, i);
        return rule->does == NSP_OFFLOAD_COUNT;
    }
    f->called = true;
    nsp_bpf_move(w->p, R1, R6);
    nsp_bpf_call_label(w->p, label(w, OWN_FILTER + i));
    if (ask) {
        nsp_bpf_jump_if(w->p, BPF_JNE, R0, 0, w->exits->ask);
        return true;
    }
    nsp_bpf_jump_if(w->p, BPF_JEQ, R0, NSP_EBPF_UNKNOWN, w->exits->ask);
    nsp_bpf_jump_if(w->p, BPF_JEQ, R0, 0, label(w, OWN_NEXT + i));
    put_match(w, i);
    nsp_bpf_place(w->p, label(w, OWN_NEXT + i));
    return true;
}

/* --- Counting ------------------------------------------------------------- */

/* R0 = the counters of the rule whose number is the key; without any, on at
 * 'none'. */
static void
put_lookup(struct walk *w, uint32_t none)
{
    nsp_bpf_load_map(w->p, R1, BPF_PSEUDO_MAP_FD, w->offload->counters_fd);
    nsp_bpf_point(w->p, R2, word_at(w, WORD_KEY));
    nsp_bpf_call(w->p, BPF_FUNC_map_lookup_elem);
    nsp_bpf_jump_if64(w->p, BPF_JEQ, R0, 0, none);
}

static void
put_add(struct walk *w, size_t pkts_off, size_t bytes_off)
{
    struct nsp_bpf_program *p = w->p;

    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R0, (int32_t)pkts_off, 0);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD, R1, R0, 0, 1);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, R0, R1, (int32_t)pkts_off, 0);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R0, (int32_t)bytes_off, 0);
    nsp_bpf_put(p, BPF_ALU64 | BPF_ADD | BPF_X, R1, R9, 0, 0);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, R0, R1, (int32_t)bytes_off, 0);
}

#define COUNTER(member) offsetof(struct nsp_bpf_offload_entry, counters.member)

/* Counts a hit in the tick that R7 has. The last tick's time will do for it,
 * and is read at the first hit of each: to read it took a fourth of all that is
 * done for a packet. */
static void
put_hit(struct walk *w)
{
    enum { TIMING_INSNS = 6 };
    const int32_t tick_off =
        (int32_t)offsetof(struct nsp_bpf_offload_entry, tick);
    const int32_t pointer_off = w->exits->stack_off + POINTER_OFF;
    struct nsp_bpf_program *p = w->p;

    put_add(w, COUNTER(hit_pkts), COUNTER(hit_bytes));
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R1, R0, tick_off, 0);
    nsp_bpf_put(p, BPF_JMP | BPF_JEQ | BPF_X, R1, R7, TIMING_INSNS, 0);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, R0, R7, tick_off, 0);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, FRAME, R0, pointer_off, 0);
    nsp_bpf_call(p, BPF_FUNC_ktime_get_coarse_ns);
    nsp_bpf_move(p, R1, R0);
    nsp_bpf_put(p, BPF_LDX | BPF_MEM | BPF_DW, R0, FRAME, pointer_off, 0);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_DW, R0, R1,
                (int32_t)COUNTER(last_hit_ns), 0);
}

/* Counts the hits of the rules that were noted. */
static void
put_notes(struct walk *w)
{
    for (uint32_t i = 0; i < w->notes; i++) {
        load(w, R1, i);
        nsp_bpf_jump_if(w->p, BPF_JNE, R1, NOTE_MATCH, label(w, OWN_NOTES + i));
        store(w, WORD_KEY, w->counting[i]);
        put_lookup(w, label(w, OWN_NOTES + i));
        put_hit(w);
        nsp_bpf_place(w->p, label(w, OWN_NOTES + i));
    }
}

/* At tc sends the packet to an interface that there is not. A plain drop would
 * be told to the sender at egress: TCP would slow down for it, and the
 * fragments behind one that is dropped would not be sent. */
static void
put_drop(struct nsp_bpf_program *p, enum nsp_ebpf_type type)
{
    if (type == NSP_EBPF_XDP) {
        nsp_bpf_leave(p, XDP_DROP);
        return;
    }
    nsp_bpf_set(p, R1, 0);
    nsp_bpf_set(p, R2, 0);
    nsp_bpf_call(p, BPF_FUNC_redirect);
    nsp_bpf_exit(p);
}

/* Returns whether any packet gets to the tail. */
static bool
put_ends(struct walk *w)
{
    bool any = false;

    for (uint32_t i = 0; i < FATES; i++) {
        if (!w->reaches[i])
            continue;
        nsp_bpf_place(w->p, label(w, OWN_FATE + i));
        nsp_bpf_set(w->p, R8, (int32_t)i);
        nsp_bpf_jump(w->p, label(w, OWN_TAIL));
        any = true;
    }
    return any;
}

/* Has the buckets turn fates that they decide into others: these need to know
 * the time to the nanosecond. */
static void
put_policing(struct walk *w)
{
    struct nsp_bpf_program *p = w->p;

    nsp_bpf_jump_if(p, BPF_JLT, R8, FATE_POLICE, label(w, OWN_POLICED));
    nsp_bpf_call(p, BPF_FUNC_ktime_get_ns);
    nsp_bpf_move(p, R7, R0);
    for (uint32_t i = 1; i < w->buckets; i++)
        nsp_bpf_jump_if(p, BPF_JEQ, R8, FATE_POLICE + i,
                        label(w, OWN_BUCKET + i));
    for (uint32_t i = 0; i < w->buckets; i++) {
        nsp_bpf_place(p, label(w, OWN_BUCKET + i));
        nsp_bpf_put_price(p, w->offload->shared.buckets_fd,
                          &w->offload->rules[w->policing[i]].bucket);
        nsp_bpf_jump(p, label(w, OWN_TAKE));
    }
    nsp_bpf_place(p, label(w, OWN_EXCEEDS));
    nsp_bpf_set(p, R8, FATE_LIMITED);
    nsp_bpf_jump(p, label(w, OWN_POLICED));
    nsp_bpf_place(p, label(w, OWN_TAKE));
    nsp_bpf_put_take(p, label(w, OWN_CONFORMS), label(w, OWN_EXCEEDS));
    nsp_bpf_place(p, label(w, OWN_CONFORMS));
    nsp_bpf_set(p, R8, FATE_PASS);
    nsp_bpf_place(p, label(w, OWN_POLICED));
}

static void
put_tail(struct walk *w)
{
    struct nsp_bpf_program *p = w->p;

    nsp_bpf_place(p, label(w, OWN_TAIL));
    nsp_bpf_put_ip_bytes(p, w->offload->type, w->exits->ask,
                         label(w, OWN_LENGTH));
    if (w->buckets > 0)
        put_policing(w);
    nsp_bpf_call(p, BPF_FUNC_jiffies64);
    nsp_bpf_move(p, R7, R0);
    put_notes(w);
    load(w, R1, WORD_DECIDER);
    nsp_bpf_put(p, BPF_ALU | BPF_SUB | BPF_K, R1, R0, 0, 1);
    nsp_bpf_put(p, BPF_STX | BPF_MEM | BPF_W, FRAME, R1, word_at(w, WORD_KEY),
                0);
    put_lookup(w, label(w, OWN_DONE));
    nsp_bpf_jump_if(p, BPF_JEQ, R8, FATE_NONE, label(w, OWN_UNDECIDED));
    put_hit(w);
    nsp_bpf_jump_if(p, BPF_JEQ, R8, FATE_DROP, label(w, OWN_DROPPED));
    nsp_bpf_jump_if(p, BPF_JEQ, R8, FATE_LIMITED, label(w, OWN_LIMITED));
    nsp_bpf_place(p, label(w, OWN_UNDECIDED));
    put_add(w, COUNTER(passed_pkts), COUNTER(passed_bytes));
    nsp_bpf_jump(p, w->exits->pass);
    nsp_bpf_place(p, label(w, OWN_DROPPED));
    put_add(w, COUNTER(dropped_pkts), COUNTER(dropped_bytes));
    nsp_bpf_jump(p, label(w, OWN_DONE));
    nsp_bpf_place(p, label(w, OWN_LIMITED));
    put_add(w, COUNTER(limited_pkts), COUNTER(limited_bytes));
    nsp_bpf_place(p, label(w, OWN_DONE));
    nsp_bpf_jump_if(p, BPF_JLE, R8, FATE_PASS, w->exits->pass);
    put_drop(p, w->offload->type);
}

static void
put_rest(struct walk *w)
{
    if (w->offload->request.complete)
        jump_to_fate(w, FATE_NONE);
    else
        nsp_bpf_jump(w->p, w->exits->ask);
}

void
nsp_bpf_offload_put(struct nsp_bpf_offload *offload, struct nsp_bpf_program *p,
                    const struct nsp_bpf_offload_exits *exits)
{
    struct walk w = { .offload = offload, .p = p, .exits = exits };
    bool goes_on = true;

    for (uint32_t i = 0, notes = 0; i < offload->request.count; i++)
        if (offload->rules[i].does == NSP_OFFLOAD_COUNT)
            store(&w, notes++, NOTE_NONE);
    store(&w, WORD_DECIDER, offload->request.count + 1);
    if (offload->request.flow_rules > 0 && offload->shared.flows_fd >= 0)
        put_flow(&w);
    for (uint32_t i = 0; i < offload->request.count && goes_on; i++)
        goes_on = put_rule(&w, i);
    if (goes_on)
        put_rest(&w);
    if (put_ends(&w))
        put_tail(&w);
}

void
nsp_bpf_offload_put_filters(const struct nsp_bpf_offload *offload,
                            struct nsp_bpf_program *p,
                            const struct nsp_bpf_offload_exits *exits)
{
    for (uint32_t i = 0; i < offload->request.count; i++) {
        const struct nsp_bpf_offload_function *f = &offload->functions[i];

        nsp_bpf_place(p, exits->first_label + OWN_FILTER + i);
        if (!f->called)
            continue;
        memcpy(p->insns + p->count, offload->insns + f->start,
               f->count * sizeof p->insns[0]);
        p->count += f->count;
    }
}
