#ifndef NSP_FILTER_EVAL_H
#define NSP_FILTER_EVAL_H
#include <string.h>

#include "filter/ir.h"

/* The user-space back end: the graph as a program for a small machine that runs
 * over the parsed packet.
 *
 * An instruction fetches one field and looks whether its value lies in a range
 * or set. If so it falls through to the next one, else it jumps. Falling
 * through is what the processor predicts best: it makes the address of the next
 * instruction known before the packet's bytes have arrived. Ranges are circular
 * (modulo 2^32), so that the values outside one are a range, too, and a test
 * can be turned around to fall through when it fails.
 *
 * Most filters begin with, or consist of, tests that must all pass: "outbound
 * and tcp and tcp.DstPort == 80 and ...". Those become one instruction, a
 * chain. What the parser and the device say of a packet (direction, headers,
 * flags) is one word of struct nsp_pkt, its state, so all tests of it and the
 * presence of all headers that later tests read are one masked comparison;
 * after it the header words are compared without asking again whether they are
 * there. If the program begins with a chain that a packet must pass, the
 * comparison of the state is the program's guard, which comes before any
 * instruction.
 *
 * A burst is matched by instruction, not by packet: each instruction runs over
 * all packets that have come to it before the next one does, so it is decoded
 * once and its loop has no branch that depends on a packet. That takes a word
 * of pending packets for every instruction; long programs go packet by packet.
 */

enum nsp_insn_extra {
    NSP_INSN_BITS = 1,   /* In the set also needs bit value - lo of 'bits', */
    NSP_INSN_BOUNDS = 2, /* or one of the ranges of 'bounds'. */
    NSP_INSN_ACCEPT = 4, /* Accept instead of falling through. */
    NSP_INSN_ANY = 8,    /* One word as wanted is enough for the chain. */
};

/* Not a fetch: falls through if the state and the words are as wanted. */
#define NSP_INSN_CHAIN 255u

/* Bytes of struct nsp_pkt as one word, in whatever order the machine has. */
#define NSP_STATE_OFF offsetof(struct nsp_pkt, l3)

/* Wanted: state & mask == value. */
struct nsp_state {
    uint64_t mask, value;
};

/* Bits of the network-order word at 'offset' of a header that is there. In the
 * set if (word & mask) - lo <= span: nothing is shifted. */
struct nsp_word {
    uint8_t header; /* Where struct nsp_pkt has the header's offset. */
    uint8_t offset;
    uint32_t mask, lo, span;
};

struct nsp_insn {
    uint8_t op;          /* enum nsp_fetch or NSP_INSN_CHAIN. */
    uint8_t extra;       /* Set of enum nsp_insn_extra. */
    bool jump_if_absent; /* Jump when the packet has no such field. */
    uint8_t arg;         /* As in the field table, like the next two; */
    uint8_t shift;       /* of indexed fields the size in bytes. */
    uint8_t offset;
    uint16_t word_count; /* Of a chain. */
    union {
        uint32_t mask;     /* Of the value's bits. */
        int32_t position;  /* Of an indexed field. */
        uint32_t operands; /* Place of a masked or compared value's. */
        uint32_t words;    /* Place of a chain's. */
    };
    uint32_t target; /* An instruction's number, NSP_IR_ACCEPT or _REJECT. */
    union {
        struct {
            uint32_t lo, span; /* In the set if value - lo <= span; 'extra'. */
            uint32_t table, entries; /* The set's place in its table. */
        };
        struct nsp_state state; /* Of a chain. */
    };
};
static_assert(sizeof(struct nsp_insn) ==
                  6 * sizeof(uint8_t) + sizeof(uint16_t) +
                      2 * sizeof(uint32_t) + sizeof(struct nsp_state),
              "without padding, to compare as bytes");

/* What a value that is no field is made of. */
struct nsp_operands {
    struct nsp_insn left, right;
    struct nsp_u128 left_min, right_min; /* Values are distances from these. */
    uint32_t mask;
    /* Of a test for a named set, one of these; the set is the graph's. */
    const struct nsp_prefix_set *addresses;
    const struct nsp_named_set *ports;
};

struct nsp_eval {
    struct nsp_state guard; /* Other packets are rejected. */
    struct nsp_insn *insns;
    uint32_t count; /* None: accepts what passes the guard. */
    struct nsp_word *words;
    uint64_t *bits;           /* Of sets of small numbers. */
    uint32_t *bounds;         /* Of sets of 32-bit numbers: lows, then highs. */
    struct nsp_range *ranges; /* Of wider fields. */
    struct nsp_operands *operands;
};

/* Translates 'ir'. Returns 0 or -ENOMEM; 'ret' is then empty. */
int nsp_eval_build(const struct nsp_ir *ir,
                   const struct nsp_allocator *allocator,
                   struct nsp_eval *ret) NSP_MUSTCHECK;
void nsp_eval_fini(struct nsp_eval *eval,
                   const struct nsp_allocator *allocator);

static inline uint64_t
nsp_state_of(const struct nsp_pkt *pkt)
{
    uint64_t state;

    memcpy(&state, (const uint8_t *)pkt + NSP_STATE_OFF, sizeof state);
    return state;
}

/* Runs the program over a parsed packet. */
bool nsp_eval_match(const struct nsp_eval *eval, const struct nsp_pkt *pkt,
                    const struct nsp_filter_context *context);
uint64_t nsp_eval_match_burst(const struct nsp_eval *eval,
                              struct nsp_pkt *const pkts[], uint32_t n,
                              const struct nsp_filter_context *context);

/* --- Tests alone, for those who know what becomes of the others --- */

/* Makes of one test of 'ir' an instruction that needs no table. It falls
 * through if the test passes, or, where 'pass' is false, if it fails. Returns
 * false where there is none. */
bool nsp_eval_build_test(const struct nsp_ir *ir,
                         const struct nsp_ir_test *test, bool pass,
                         struct nsp_insn *ret);

/* Tells whether such an instruction falls through. */
bool nsp_eval_test(const struct nsp_insn *insn, const struct nsp_pkt *pkt,
                   const struct nsp_filter_context *context);

/* --- Fields alone, for those who index filters --- */

/* The instruction that fetches 'field', its table and targets left empty. */
struct nsp_insn nsp_eval_fetch_insn(const struct nsp_field *field,
                                    int32_t position);

/* Reads what 'fetch' fetches, as the program does: stores the distance from the
 * field's minimum and returns true, or returns false when 'pkt' has no such
 * field. The field depends on nothing beside the packet. */
bool nsp_eval_read(const struct nsp_insn *fetch, const struct nsp_pkt *pkt,
                   struct nsp_u128 *ret);

#endif /* NSP_FILTER_EVAL_H */
