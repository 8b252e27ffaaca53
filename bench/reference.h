#ifndef BENCH_REFERENCE_H
#define BENCH_REFERENCE_H
#include <stdint.h>

/* What peers of live devices have in common around the loop that each is made
 * for. */

/* Makes the words by which the library's programs in the kernel know that
 * somebody is alive, for ever. Returns a descriptor or a negative errno. */
int bench_make_words(void);

/* Moves a burst that came by interface 'from' (0 or 1) out by the other one.
 * Returns its length. */
typedef uint32_t bench_move_fn(uint32_t from);

/* Moves frames both ways until it is interrupted, and sleeps on 'fds' where
 * there are none. Says that it has begun, and at the end prints how many
 * crossed. */
void bench_cross(const int fds[2], bench_move_fn *move);

#endif /* BENCH_REFERENCE_H */
