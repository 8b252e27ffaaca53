#define _GNU_SOURCE
#include "os/linux/robust_word.h"

#include <sys/syscall.h>
#include <unistd.h>

/* What a thread owns, a list of one: the kernel finds each word at the same
 * distance from its entry. */
struct owned {
    struct robust_list_head head;
    struct robust_list entry;
};

/* In the place of the C library's list of mutexes, of which this thread has
 * none. */
static bool
own(struct owned *owned, const _Atomic uint32_t *word)
{
    *owned = (struct owned){
        .head = {
            .list = { &owned->entry },
            .futex_offset = (long)((intptr_t)word - (intptr_t)&owned->entry),
        },
        .entry = { &owned->head.list },
    };
    return syscall(SYS_set_robust_list, &owned->head, sizeof owned->head) == 0;
}

static void
live(void *argument)
{
    struct nsp_robust_word *robust = argument;
    struct owned owned;

    /* Where there are no robust futexes nobody is told. */
    (void)own(&owned, robust->word);
    atomic_store(robust->word, (uint32_t)nsp_thread_self());
    while (!atomic_load(&robust->ending))
        if (nsp_wakeup_wait(&robust->end, -1, UINT64_MAX) < 0)
            break;
    (void)syscall(SYS_set_robust_list, NULL, sizeof owned.head);
}

int
nsp_robust_word_open(struct nsp_robust_word *robust, _Atomic uint32_t *word)
{
    int err = nsp_wakeup_open(&robust->end);

    if (err < 0)
        return err;
    robust->word = word;
    atomic_init(&robust->ending, false);
    atomic_store(word, 0);
    err = nsp_thread_start_quiet(&robust->thread, live, robust);
    if (err < 0) {
        nsp_wakeup_close(&robust->end);
        robust->word = NULL;
        return err;
    }
    while (atomic_load(word) == 0)
        nsp_thread_yield();
    return 0;
}

void
nsp_robust_word_close(struct nsp_robust_word *robust)
{
    if (!robust->word)
        return;
    atomic_store(&robust->ending, true);
    nsp_wakeup_set(&robust->end);
    nsp_thread_join(&robust->thread);
    nsp_wakeup_close(&robust->end);
    atomic_store(robust->word, 0);
    robust->word = NULL;
}
