#ifndef NSP_IO_SNIFF_FILTER_H
#define NSP_IO_SNIFF_FILTER_H
#include "base/base.h"
#include "netshaper/bpf.h"
#include "netshaper/io.h"

/* The program by which the kernel chooses what comes to a packet socket: of the
 * two copies of a loopback packet one, of the directions those wanted, and of
 * these what a filter accepts. It sees packets without their VLAN tag, and on
 * all interfaces without link header: what it cannot judge for that it accepts.
 */
struct nsp_sniff_site {
    bool any;                  /* All interfaces: packets begin with IP. */
    enum nsp_link link;        /* Of one interface: Ethernet or raw. */
    uint32_t ifindex;          /* Of one interface. */
    bool loopback;             /* It is the loopback interface. */
    uint32_t loopback_ifindex; /* Of the namespace; 0: none. */
    uint32_t hooks;            /* Of enum nsp_hook: input and output. */
    bool loopback_output; /* Loopback packets are taken going out, not coming
                           * in: only where output is wanted. */
    bool promiscuous;     /* Others' packets come too. */
};

/* Whether packets of 'type' (PACKET_*) are wanted, on a loopback interface or
 * another. */
bool nsp_sniff_site_wants(const struct nsp_sniff_site *site, bool loopback,
                          uint8_t type);

/* Writes the program, which keeps 'snap_bytes' of each packet from the IP
 * header on (0: all). 'filter' may be NULL. Where it is too long or has no such
 * program, the kernel leaves it to whoever reads: '*ret_filtered' is then
 * false. Returns the number of instructions, at most NSP_CBPF_INSNS_MAX. */
uint32_t nsp_sniff_filter_make(const struct nsp_filter *filter,
                               const struct nsp_sniff_site *site,
                               uint32_t snap_bytes,
                               struct nsp_cbpf_insn insns[NSP_CBPF_INSNS_MAX],
                               bool *ret_filtered);

#endif /* NSP_IO_SNIFF_FILTER_H */
