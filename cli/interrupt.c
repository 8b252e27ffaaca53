#include "cli/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

/* Lock-free, so a signal handler may store to it and any thread read it. */
static atomic_bool interrupted;

static void
note_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted, true);
}

void
nsp_interrupt_catch(void)
{
    struct sigaction action = { .sa_handler = note_interrupt };

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool
nsp_interrupted(void)
{
    return atomic_load(&interrupted);
}
