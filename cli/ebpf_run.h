#ifndef NSP_CLI_EBPF_RUN_H
#define NSP_CLI_EBPF_RUN_H
#include <stdbool.h>
#include <stddef.h>

#include "netshaper/bpf.h"

/* Makes a map of the prefixes that 'map' names. Returns its descriptor, to be
 * closed, or a negative errno. */
int nsp_ebpf_make_map(const struct nsp_ebpf_map *map) NSP_MUSTCHECK;

/* Loads a program for tcx into the kernel. Returns its descriptor, to be
 * closed, or a negative errno. */
int nsp_ebpf_load(const struct nsp_ebpf_insn insns[],
                  uint32_t count) NSP_MUSTCHECK;

/* Runs it once over 'bytes' bytes at 'data' and stores whether it accepts them.
 * Returns 0, or a negative errno: -EINVAL or -EMSGSIZE where the kernel makes
 * no packet of such bytes. */
int nsp_ebpf_run(int program, const void *data, uint32_t bytes,
                 bool *ret) NSP_MUSTCHECK;

#endif /* NSP_CLI_EBPF_RUN_H */
