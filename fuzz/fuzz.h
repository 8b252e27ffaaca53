#ifndef NSP_FUZZ_FUZZ_H
#define NSP_FUZZ_FUZZ_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What each target defines: libFuzzer calls it with inputs that it invents,
 * replay_main.c with the files of a corpus. 'data' is an exactly sized heap
 * block, so that a sanitizer sees one byte too many. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Stops at a broken promise, in every build. */
#define FUZZ_CHECK(condition)                                                  \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__,         \
                    #condition);                                               \
            abort();                                                           \
        }                                                                      \
    } while (0)

#endif /* NSP_FUZZ_FUZZ_H */
