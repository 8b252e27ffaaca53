#ifndef NSP_IO_TAP_COUNTERS_H
#define NSP_IO_TAP_COUNTERS_H
#include "base/base.h"

/* What the kernel counts of the TAP, read from /proc/net/dev. The descriptor
 * stays with the network namespace it was opened in; any number of threads may
 * read through it at once. */

/* Returns a descriptor or a negative errno. */
int nsp_tap_counters_open(void) NSP_MUSTCHECK;

/* Stores how many packets towards interface 'name' the kernel dropped: those
 * that found the TAP's queue full. Returns 0, -ENOENT or -EIO. */
int nsp_tap_counters_read(int fd, const char *name,
                          uint64_t *ret_dropped_pkts) NSP_MUSTCHECK;

#endif /* NSP_IO_TAP_COUNTERS_H */
