#ifndef NSP_OS_LINUX_ROBUST_WORD_H
#define NSP_OS_LINUX_ROBUST_WORD_H
#include <linux/futex.h>
#include <stdatomic.h>

#include "os/os.h"

/* A word in which the kernel notes that this process has died.
 *
 * Problem    A process that was killed has not gone yet: before the kernel
 *            closes its files it gives its memory back, and between one file
 *            and the next it may wait for all processors. Whoever takes packets
 *            to such a process by what it holds open loses those of many
 *            milliseconds.
 * Idea       The word is a robust futex, and a thread that sleeps owns it. When
 *            a thread dies, however that comes, the first thing that the kernel
 *            does is to mark the futexes it owns. In memory that is shared with
 *            eBPF programs, these see it with their next packet.
 * Threads    One at a time; the word is read by any. */
struct nsp_robust_word {
    _Atomic uint32_t *word; /* NULL: not open. */
    struct nsp_thread thread;
    struct nsp_wakeup end;
    atomic_bool ending;
};

/* Of the word, when its owner is dead. */
#define NSP_ROBUST_WORD_DEAD ((uint32_t)FUTEX_OWNER_DIED)

/* Of the word, when it was closed. */
#define NSP_ROBUST_WORD_CLOSED 0u

/* Starts the thread; '*word', which outlives it, is then the number of that.
 * Returns 0 or a negative errno. */
int nsp_robust_word_open(struct nsp_robust_word *robust,
                         _Atomic uint32_t *word) NSP_MUSTCHECK;

/* Sets the word to NSP_ROBUST_WORD_CLOSED. Accepts one that is not open. */
void nsp_robust_word_close(struct nsp_robust_word *robust);

#endif /* NSP_OS_LINUX_ROBUST_WORD_H */
