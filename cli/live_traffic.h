#ifndef NSP_CLI_LIVE_TRAFFIC_H
#define NSP_CLI_LIVE_TRAFFIC_H
#include "lab/lab.h"
#include "verify/live.h"
#include "verify/subject.h"

/* IP packets at a steady pace from the lab's client to its server, numbered,
 * each with the time when it was sent and when the server's kernel had it.
 *
 * They go by packet sockets: nothing is asked of a protocol, and the server
 * hears each one whatever its fields, length and checksums have become. What
 * the rule makes besides, an RST or an error for either end, is counted as an
 * answer. The server's own stack must not answer: see nsp_lab_mute_server().
 *
 * Numbers are where nothing else is: in the IPv4 identification or the IPv6
 * flow label, and once more in the payload. A packet of which these differ is
 * damaged; it is taken for the one that comes next.
 *
 * Threads  Two of its own while it runs. The call is made by one thread, which
 *          the lab has left in the router. */

#define NSP_LIVE_PKTS_MAX 60000u

struct nsp_live_traffic {
    const struct nsp_lab *lab;
    const struct nsp_test_packet *packet; /* Of the lab's addresses; its TTL is
                                           * 254 at most. */
    uint64_t gap_ns;
    uint32_t pkts;         /* At most NSP_LIVE_PKTS_MAX are sent. */
    uint64_t straggler_ns; /* How long to wait for the last ones. */
    bool keeps_apart;      /* None is sent sooner after another, though late. */
    bool waits_for_copies; /* Though all have come. */
    bool at_router;        /* They are heard where they leave the router, which
                            * takes their marks: a look sees these. */
    nsp_look_fn *look;     /* At each that comes; NULL: none. */
    const void *look_context;
};

/* Whether the kernel tells marks of packets that are heard (Linux 5.19). */
bool nsp_live_traffic_hears_marks(void);

/* On success fills '*ret', its arrays to be released by nsp_live_trial_fini(),
 * and returns NSP_OK; NSP_STOPPED when a signal came; else with 'reterr'. */
int nsp_live_traffic_run(const struct nsp_live_traffic *traffic,
                         struct nsp_live_trial *ret, struct nsp_diag *reterr);
void nsp_live_trial_fini(struct nsp_live_trial *trial);

#endif /* NSP_CLI_LIVE_TRAFFIC_H */
