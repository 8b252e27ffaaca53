#ifndef NSP_FILTER_LOWER_H
#define NSP_FILTER_LOWER_H
#include "filter/code.h"
#include "filter/residue.h"

/* From a decision graph to classic BPF code: what both kernel back ends share.
 *
 * The code begins by reading headers as nsp_pkt_parse() does, check by check,
 * and keeps in memory words what the tests will ask for. Then it enters what is
 * left of the graph for the stack of headers that it has found.
 *
 * Every load lies within bytes that the length of the packet has been found to
 * cover, so the code means the same on any machine that runs it. */

/* IPv6 extension headers that the packet parser follows. */
#define NSP_LOWER_EXTENSIONS_MAX 16u

/* The memory words. Offsets are from the start of the packet. */
enum nsp_slot {
    NSP_SLOT_L3,       /* Offset behind the link header. */
    NSP_SLOT_WIRE,     /* Bytes from there on. */
    NSP_SLOT_END,      /* Offset behind the IP packet; without, LEN. */
    NSP_SLOT_L4,       /* Offset of the transport header. */
    NSP_SLOT_PAYLOAD,  /* Offset of its payload. */
    NSP_SLOT_PROTO,    /* Transport number. */
    NSP_SLOT_FRAGMENT, /* 1 in a fragment. */
    NSP_SLOT_STACK,    /* Set with the packet's stack in it. */
    NSP_SLOT_SCRATCH,
    NSP_SLOT_NONE,
};
static_assert(NSP_SLOT_NONE <= NSP_BPF_MEMORY_WORDS, "too many memory words");

/* What the machine at the site can do, and how much of it to ask. */
struct nsp_lower_target {
    const struct nsp_site *site;
    bool reads_ifindex; /* It may load NSP_BPF_IFINDEX. */
    uint32_t extensions_max;
    uint32_t set_ranges_max;    /* Of a named set that is written out. */
    struct nsp_ebpf_maps *maps; /* Not NULL: larger ones are looked up in maps,
                                 * which are added to these. */
};

struct nsp_lowering {
    struct nsp_code *code;
    const struct nsp_residue *residue;
    const struct nsp_lower_target *target;
    const struct nsp_site *site;
    struct nsp_range *ranges; /* Room for a named set that is written out. */
    bool extensions_widened;
    uint32_t uses;       /* Set of the slots that tests read. */
    uint32_t transport;  /* Label of the code for transport headers if both
                          * versions share it, else NSP_CODE_REJECT. */
    uint32_t first_test; /* Label of the first test; the others follow. */
    enum nsp_slot x;     /* The slot that X is known to hold. */
};

/* Writes code for 'ir' in the fresh 'code' and finishes it. Returns 0, -E2BIG
 * or -ENOMEM. */
int nsp_lower(const struct nsp_ir *ir, const struct nsp_lower_target *target,
              const struct nsp_allocator *allocator, struct nsp_code *code,
              struct nsp_widened *ret_widened) NSP_MUSTCHECK;

/* Makes code as above of all that was asked for, or, as long as that does not
 * fit, of less: fewer IPv6 extension headers, then no named sets. 'attempt'
 * makes it, with 'target' as changed, and returns 0, -E2BIG or another error.
 */
int nsp_lower_to_fit(const struct nsp_ir *ir, struct nsp_lower_target *target,
                     int (*attempt)(const struct nsp_lower_target *target,
                                    void *arg),
                     void *arg) NSP_MUSTCHECK;

/* --- For the parts of the lowering alone --------------------------------- */

/* lower_headers.c: the beginning. */
void nsp_lower_headers(struct nsp_lowering *l);

/* lower_set.c: goes to 'pass' if a value is in the ascending 'ranges', else to
 * 'fail'. The value is A, at most 'max', or the 16 bytes at 'offset' from
 * 'base', or, as
 * ::ffff:0:0/96, the 4 bytes there. */
void nsp_lower_set32(struct nsp_lowering *l, const struct nsp_range ranges[],
                     uint32_t count, uint32_t max, uint32_t pass,
                     uint32_t fail);
void nsp_lower_set128(struct nsp_lowering *l, const struct nsp_range ranges[],
                      uint32_t count, enum nsp_slot base, uint32_t offset,
                      uint32_t pass, uint32_t fail);
void nsp_lower_set_mapped(struct nsp_lowering *l,
                          const struct nsp_range ranges[], uint32_t count,
                          enum nsp_slot base, uint32_t offset, uint32_t pass,
                          uint32_t fail);

/* lower_named.c: named sets. */

/* Tells whether the program can look 'field' up in 'set'. */
bool nsp_lower_can_look_up(const struct nsp_lower_target *target,
                           const struct nsp_ir *ir,
                           const struct nsp_field *field,
                           const struct nsp_filter_set *set);

/* Goes to 'inside' or 'outside' for the port in A; for the address of IPv4 or
 * IPv6 at 'offset' from the network header. */
void nsp_lower_find_port(struct nsp_lowering *l,
                         const struct nsp_filter_set *set, uint32_t inside,
                         uint32_t outside);
void nsp_lower_find_address(struct nsp_lowering *l,
                            const struct nsp_filter_set *set, bool ipv6,
                            uint32_t offset, uint32_t inside, uint32_t outside);

/* lower.c: */

/* The label of a target of the graph. */
uint32_t nsp_lower_label(const struct nsp_lowering *l, uint32_t target);

static inline bool
nsp_lower_is_raw(const struct nsp_lowering *l)
{
    return l->site->link == NSP_LINK_RAW;
}

static inline bool
nsp_lower_uses(const struct nsp_lowering *l, enum nsp_slot slot)
{
    return l->uses >> slot & 1;
}

void nsp_lower_place(struct nsp_lowering *l, uint32_t label);

/* Loads and stores a word. */
void nsp_lower_load(struct nsp_lowering *l, enum nsp_slot slot);
void nsp_lower_load_x(struct nsp_lowering *l, enum nsp_slot slot);
void nsp_lower_store(struct nsp_lowering *l, enum nsp_slot slot);
void nsp_lower_set_slot(struct nsp_lowering *l, enum nsp_slot slot,
                        uint32_t value);

/* A = the bytes at 'offset' from 'base'; 'size' is NSP_BPF_B, _H or _W. */
void nsp_lower_fetch(struct nsp_lowering *l, unsigned size, enum nsp_slot base,
                     uint32_t offset);

/* A = A op k, or, with NSP_BPF_X in 'op', A op X. */
void nsp_lower_alu(struct nsp_lowering *l, unsigned op, uint32_t k);

/* Goes to 'target' if the condition on A holds, or if it does not, and goes on
 * otherwise. */
void nsp_lower_goto_if(struct nsp_lowering *l, unsigned condition, uint32_t k,
                       uint32_t target);
void nsp_lower_goto_unless(struct nsp_lowering *l, unsigned condition,
                           uint32_t k, uint32_t target);

/* A = the lesser of A and the word in 'slot'. */
void nsp_lower_min(struct nsp_lowering *l, enum nsp_slot slot);

#endif /* NSP_FILTER_LOWER_H */
