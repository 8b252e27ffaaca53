#ifndef NSP_CLI_THREAD_H
#define NSP_CLI_THREAD_H
#include <pthread.h>

/* Starts a thread that takes no signals: those are the main thread's. Returns 0
 * or a negative errno. */
int nsp_cli_thread_create(pthread_t *ret, void *(*run)(void *), void *context);

#endif /* NSP_CLI_THREAD_H */
