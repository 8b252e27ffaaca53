#ifndef NSP_CLI_INTERRUPT_H
#define NSP_CLI_INTERRUPT_H
#include <stdbool.h>

/* Takes SIGINT, SIGTERM and SIGHUP as a wish to end in order. A system call
 * that waits is interrupted. */
void nsp_interrupt_catch(void);

/* Whether one has come. Any thread. */
bool nsp_interrupted(void);

#endif /* NSP_CLI_INTERRUPT_H */
