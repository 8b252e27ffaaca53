#ifndef NSP_OS_LINUX_BPF_POLICE_H
#define NSP_OS_LINUX_BPF_POLICE_H
#include "netshaper/io.h"
#include "os/linux/bpf_program.h"

/* Token buckets that programs and the engine both take from: words of a map
 * that is mapped into the process (netshaper/io.h, struct
 * nsp_offload_bucket). Linux 5.12, for its compare-and-swap. */
struct nsp_bpf_buckets {
    int fd; /* -1: none. */
    uint64_t *words;
    size_t bytes;
};

/* Returns 0, or a negative errno with none made: also where the kernel takes no
 * programs that use them. */
int nsp_bpf_buckets_open(struct nsp_bpf_buckets *buckets,
                         uint32_t count) NSP_MUSTCHECK;
void nsp_bpf_buckets_close(struct nsp_bpf_buckets *buckets);

/* Sets R1 to the cost of a packet of as many bytes as R9 says, R2 to the burst
 * and R3 to the word, all of 'bucket'. Fractions of a ns are rounded by chance,
 * so the rate is right in the mean. */
void nsp_bpf_put_price(struct nsp_bpf_program *p, int buckets_fd,
                       const struct nsp_offload_bucket *bucket);

/* Takes R1 from the bucket at the time in R7; on at 'exceeds' if it has not as
 * much, else straight on. R6, R7 and R9 stay. */
void nsp_bpf_put_take(struct nsp_bpf_program *p, uint32_t conforms,
                      uint32_t exceeds);

#endif /* NSP_OS_LINUX_BPF_POLICE_H */
