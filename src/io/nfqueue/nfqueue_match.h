#ifndef NSP_IO_NFQUEUE_MATCH_H
#define NSP_IO_NFQUEUE_MATCH_H
#include "base/base.h"
#include "os/linux/beats.h"

/* Loads a program for the netfilter match 'bpf' that matches while the process
 * and all its workers are alive (os/linux/beats.h), and counts packets that
 * come when they are not: it is to be asked last. Returns its descriptor or a
 * negative errno. */
int nsp_nfq_load_alive(const struct nsp_beats *beats,
                       uint32_t workers) NSP_MUSTCHECK;

#endif /* NSP_IO_NFQUEUE_MATCH_H */
