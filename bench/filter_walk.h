#ifndef NSP_BENCH_FILTER_WALK_H
#define NSP_BENCH_FILTER_WALK_H
#include <stdbool.h>

/* The plain way to match a filter, as a peer: a list of tests, walked in the
 * order in which they were written. Each reads one field as a number of 128
 * bits and compares it with another, then names the next test for either
 * outcome. This is what WinDivert's compiled filters (filter/object.h) say a
 * driver does.
 */
struct nsp_pkt;
struct walk;

/* Compiles 'text', of the few fields that the benchmarks use. Ends the program
 * on anything else. */
struct walk *walk_create(const char *text);
void walk_destroy(struct walk *walk);

bool walk_match(const struct walk *walk, const struct nsp_pkt *pkt);

#endif /* NSP_BENCH_FILTER_WALK_H */
