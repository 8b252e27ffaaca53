#ifndef NSP_OS_LINUX_BPF_FRAME_H
#define NSP_OS_LINUX_BPF_FRAME_H
#include "os/linux/bpf_program.h"

/* What programs read of frames themselves: Ethernet, IP, no tags. The context
 * is in R6. */
#define NSP_BPF_ETHERNET_BYTES 14

/* R2 and R3 = where the frame's first piece begins and ends. */
void nsp_bpf_put_frame(struct nsp_bpf_program *p, enum nsp_ebpf_type type);

/* R9 = bytes from the IP header on, without padding; where the header of a
 * short frame is out of reach, on at 'unknown'. R1 to R3 are lost. Labels of
 * its own are NSP_BPF_LENGTH_LABELS from 'first_label' on. */
void nsp_bpf_put_ip_bytes(struct nsp_bpf_program *p, enum nsp_ebpf_type type,
                          uint32_t unknown, uint32_t first_label);
#define NSP_BPF_LENGTH_LABELS 3u

#endif /* NSP_OS_LINUX_BPF_FRAME_H */
