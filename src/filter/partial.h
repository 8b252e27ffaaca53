#ifndef NSP_FILTER_PARTIAL_H
#define NSP_FILTER_PARTIAL_H
#include "filter/eval.h"
#include "filter/fields.h"

/* What a filter makes of all packets of a flow, seen from one of them.
 *
 * Problem    A verdict is worth keeping for a flow only if the flow's other
 *            packets get the same.
 * Idea       Fields that are the same in all of them are read from the packet,
 *            as the evaluator does; tests of others may end either way. The
 *            decision graph is walked once, with a mark on each test that is
 *            reached; both ends reached means that it depends.
 * Sound      "True" and "false" hold for every packet that has the same flow
 *            key, way, direction, interface, loopback flag and owner. "Unknown"
 *            may be said of a filter that always matches, or never: the same
 *            unknown field asked twice counts as two.
 * Cost       At most the tests of the graph; no allocation. */

enum nsp_truth { NSP_FALSE, NSP_TRUE, NSP_UNKNOWN };

/* Tells whether 'field' is the same in all packets of one way of a flow that is
 * neither ICMP nor fragments, seen at one place: with the same direction,
 * interface, loopback flag and owner. */
bool nsp_field_is_of_flow(const struct nsp_field *field);

/* What 'filter' makes of the packets of which 'pkt' is one. It is no fragment,
 * has an IP header, and is not ICMP. */
enum nsp_truth nsp_filter_match_flow(const struct nsp_filter *filter,
                                     const struct nsp_pkt *pkt);

/* Where one test of a packet decides what 'filter' makes of those packets,
 * stores it, for nsp_eval_test(), and returns true. Says so of no filter that
 * is true or false. */
bool nsp_filter_flow_test(const struct nsp_filter *filter,
                          const struct nsp_pkt *pkt, struct nsp_insn *ret);

#endif /* NSP_FILTER_PARTIAL_H */
