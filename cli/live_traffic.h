#ifndef NSP_CLI_LIVE_TRAFFIC_H
#define NSP_CLI_LIVE_TRAFFIC_H
#include "lab/lab.h"
#include "verify/live.h"

/* UDP packets at a steady pace from the lab's client to its server, numbered,
 * each with the time when it was sent and when the server's kernel had it.
 *
 * Threads  One of its own while it runs. The call is made by one thread, which
 *          the lab has left in the router. */

struct nsp_live_traffic {
    const struct nsp_lab *lab;
    const struct nsp_test_packet *packet; /* UDP, of the lab's addresses, with
                                           * room for its number. */
    uint64_t gap_ns;
    uint32_t pkts;
    uint64_t straggler_ns; /* How long to wait for the last ones. */
    bool keeps_apart;      /* None is sent sooner after another, though late. */
    bool waits_for_copies; /* Though all have come. */
    uint8_t tos, ttl;      /* That each is to come with. */
};

/* On success fills '*ret', its arrays to be released by nsp_live_trial_fini(),
 * and returns NSP_OK; NSP_STOPPED when a signal came; else with 'reterr'. */
int nsp_live_traffic_run(const struct nsp_live_traffic *traffic,
                         struct nsp_live_trial *ret, struct nsp_diag *reterr);
void nsp_live_trial_fini(struct nsp_live_trial *trial);

#endif /* NSP_CLI_LIVE_TRAFFIC_H */
