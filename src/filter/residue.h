#ifndef NSP_FILTER_RESIDUE_H
#define NSP_FILTER_RESIDUE_H
#include "filter/analyse.h"
#include "filter/ir.h"
#include "netshaper/bpf.h"

/* What is left of a decision graph for a program that runs at a given site and
 * starts by finding out which stack of headers a packet has.
 *
 * Each stack enters the graph at the first test that it does not decide; a test
 * that the stacks which reach it all decide alike is gone. A test that the site
 * cannot make is gone, too: it is widened, to one of its two targets if that
 * cannot lose a packet, else to ACCEPT. */

/* Sets of stacks: bit i is nsp_stacks[i]. */
#define NSP_ALL_STACKS ((1u << NSP_STACKS) - 1)

struct nsp_residue_test {
    uint16_t lacking; /* Stacks that have no such field. */
    uint16_t having;  /* The others that come here. None: not reached. */
    bool is_open;     /* Those leave by the value; else it always passes. */
    uint32_t pass, fail, lack; /* As the targets of nsp_ir_test. */
};

struct nsp_residue {
    const struct nsp_ir *ir;
    uint32_t entry[NSP_STACKS];
    struct nsp_residue_test *tests; /* As many as 'ir' has. */
    bool widened[NSP_FIELDS_MAX];
    bool *widened_sets; /* As many as 'ir' has. */
};

/* 'can_tell' says whether the program can make a test, given the stack. Returns
 * 0 or -ENOMEM; fini is right after either. */
int nsp_residue_build(const struct nsp_ir *ir, const struct nsp_site *site,
                      bool (*can_tell)(const struct nsp_ir_test *test,
                                       const void *arg),
                      const void *arg, const struct nsp_allocator *allocator,
                      struct nsp_residue *ret) NSP_MUSTCHECK;
void nsp_residue_fini(struct nsp_residue *residue,
                      const struct nsp_allocator *allocator);

/* Names the fields that were widened. */
void nsp_residue_list_widened(const struct nsp_residue *residue,
                              struct nsp_widened *ret);

#endif /* NSP_FILTER_RESIDUE_H */
