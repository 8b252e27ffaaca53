#ifndef NSP_IO_NFQUEUE_RULES_H
#define NSP_IO_NFQUEUE_RULES_H
#include "base/base.h"
#include "io/nfqueue/nfqueue_match.h"
#include "io/nfqueue/nlmsg.h"

/* The nftables rules that divert packets to the queues.
 *
 * One table of family inet carries a base chain per tapped hook:
 *
 *     chain <hook> {
 *         type filter hook <hook> priority filter + 40
 *         meta mark & LOOP_MARK == LOOP_MARK accept   # we sent it ourselves
 *         meta iif lo accept                          # input, where asked
 *         meta oiftype { ether, loopback } accept     # output, where asked
 *         match bpf PREFILTER match bpf ALIVE queue [flags bypass] to
 *             FIRST-LAST
 *         match bpf PREFILTER drop                    # where it fails closed
 *     }
 *
 * Owner     The table has the flag 'owner': it belongs to the netlink socket
 *           that made it, nobody else can change it ("nft flush ruleset" leaves
 *           it alone), and the kernel removes it when the socket goes, however
 *           the process ends. That flag came with Linux 5.12. A table that
 *           fails closed stays without its owner (the flag 'persist' of Linux
 *           6.9; before, it has none): then what comes is dropped, until the
 *           table is removed (nfqueue_dead.h).
 * Priority  After every packet filter (0, firewalld's 10), so that what a
 *           firewall drops is never queued; before the security tables (50).
 * Queue     The native 'queue' expression (CONFIG_NFT_QUEUE), or through the
 *           compatibility layer the xtables target NFQUEUE where the kernel
 *           says that it lacks it. Several queues are balanced by a hash of the
 *           two addresses, the same both ways: a connection stays on one queue,
 *           and so do all connections between two hosts.
 * Prefilter What cannot match the start filter stays in the kernel.
 * Alive     A program that the xtables match 'bpf' runs (nfqueue_match.h). What
 *           comes while the process hangs passes by, or is dropped. Where the
 *           kernel lacks the match, all is queued.
 * Stopping  Removing a base chain drops what is queued, of every queue in the
 *           namespace. So rules are flushed first, and the table is removed
 *           when the queues are empty. */

/* Packets that the library sends itself carry this bit in their mark, and are
 * diverted by no engine. */
#define NSP_LOOP_MARK UINT32_C(0x20000000)

/* A table's name: PID and the first queue follow, "-" between them. */
#define NSP_NFQ_TABLE_PREFIX "netshaper-"
#define NSP_NFQ_TABLE_BYTES  48u

/* The flag of a table that has an owner (Linux 5.12; older headers lack it). */
#define NSP_NFQ_TABLE_OWNED 0x2u

/* The start filter at each hook, where there is one. */
struct nsp_nfq_prefilters {
    struct nsp_nfq_prefilter input, forward, output;
};

struct nsp_nfq_rules {
    uint32_t hooks;              /* Set of enum nsp_hook. */
    uint32_t skip_input_ifindex; /* Not diverted at INPUT; 0: none. */
    bool skip_ethernet_output;   /* What leaves by interfaces with Ethernet
                                  * headers, or loopback, is not diverted. */
    uint16_t first_queue;
    uint16_t queues;
    bool fail_closed;    /* Drop, not pass, while nobody reads the queue, and
                          * outlive 'nl'. */
    const int *alive_fd; /* The program that tells who is alive; NULL: none. */
    const struct nsp_nfq_prefilters *prefilters; /* NULL: none. */
};

/* How packets get to the queue. */
enum nsp_nfq_divert {
    NSP_NFQ_DIVERT_NATIVE = 0,
    NSP_NFQ_DIVERT_COMPAT,
};

/* What the kernel refused. */
enum nsp_nfq_refused {
    NSP_NFQ_REFUSED_SUBSYSTEM = 0, /* nf_tables itself, or the privilege. */
    NSP_NFQ_REFUSED_TABLE, /* With -EINVAL/-EOPNOTSUPP: the owner flag. */
    NSP_NFQ_REFUSED_CHAIN,
    NSP_NFQ_REFUSED_RULE, /* With -ENOENT: an expression is missing. */
};

/* Creates table 'name', owned by 'nl', with 'rules' in it: all or nothing. One
 * of that name that has lost its owner is replaced: the queues are the
 * caller's. Tries the native expression, then the compatible one where the
 * kernel lacks it. Returns 0 or a negative errno with '*reterr_refused' set. */
int nsp_nfq_rules_install(struct nsp_nl *nl, const char *name,
                          const struct nsp_nfq_rules *rules,
                          enum nsp_nfq_refused *reterr_refused) NSP_MUSTCHECK;

/* Asks the kernel whether it would take 'rules' with 'divert', and changes
 * nothing. Returns and sets as above. */
int nsp_nfq_rules_check(struct nsp_nl *nl, const char *name,
                        const struct nsp_nfq_rules *rules,
                        enum nsp_nfq_divert divert,
                        enum nsp_nfq_refused *reterr_refused) NSP_MUSTCHECK;

/* Removes all rules and leaves the chains, so that nothing queued is lost, and
 * waits until no packet is queued any more. The table goes with 'nl', when the
 * queues are empty; one that fails closed, by nsp_nfq_rules_remove(), while the
 * queues are still bound. */
int nsp_nfq_rules_flush(struct nsp_nl *nl, const char *name) NSP_MUSTCHECK;
int nsp_nfq_rules_remove(struct nsp_nl *nl, const char *name) NSP_MUSTCHECK;

/* The marks around changes of tables, which are made together. */
void nsp_nfq_put_batch_begin(struct nsp_nl_batch *batch);
void nsp_nfq_put_batch_end(struct nsp_nl_batch *batch);

#endif /* NSP_IO_NFQUEUE_RULES_H */
