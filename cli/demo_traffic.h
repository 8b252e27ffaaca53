#ifndef NSP_CLI_DEMO_TRAFFIC_H
#define NSP_CLI_DEMO_TRAFFIC_H
#include <stdint.h>

#include "lab/lab.h"
#include "netshaper/diag.h"

/* Real traffic from the lab's client to its server, over IPv4, and what became
 * of it: a TCP stream that sends all it can, and a UDP probe, numbered
 * datagrams at a steady pace that the server sends back.
 *
 * Threads  Four of its own, from start to stop. The calls are made by one
 *          thread, which the lab has left in the router. */
struct nsp_traffic;

#define NSP_TRAFFIC_STREAM_PORT 7071
#define NSP_TRAFFIC_PROBE_PORT  7072

#define NSP_TRAFFIC_PROBE_BYTES   24 /* UDP payload; of a control one more. */
#define NSP_TRAFFIC_CONTROL_EVERY 4

enum nsp_traffic_kind { NSP_TRAFFIC_PROBE, NSP_TRAFFIC_CONTROL };

struct nsp_traffic_config {
    uint32_t probes_per_s; /* 1..10000. */
    uint32_t max_probes;   /* No more are sent. */
    uint64_t straggler_ns; /* How long stop waits for the last echoes. */
};

/* Counters since the start. */
struct nsp_traffic_sample {
    uint64_t at_ns;        /* Monotonic. */
    uint64_t stream_bytes; /* Read by the server from the stream. */
    uint64_t wire_bytes;   /* Of the stream at the server's device, from the IP
                            * header on, resent ones included. */
    uint32_t probes_sent;  /* Controls included; numbered from 0. */
};

/* Starts both. Returns NSP_OK, NSP_NO_MEMORY or NSP_OPEN_FAILED with 'reterr'
 * filled. */
int nsp_traffic_start(const struct nsp_lab *lab,
                      const struct nsp_traffic_config *cfg,
                      struct nsp_traffic **ret, struct nsp_diag *reterr);

void nsp_traffic_read(const struct nsp_traffic *traffic,
                      struct nsp_traffic_sample *ret);

/* Returns the median round-trip time of those of 'kind' numbered 'from' to
 * 'to' - 1 that came back, 0 when none did: from the client's send call to the
 * arrival at its socket, less what passed at the server between arrival and
 * answer (as NTP has it, RFC 5905 section 8), so that a wait for a processor is
 * not taken for the network's. */
uint64_t nsp_traffic_median_rtt_ns(const struct nsp_traffic *traffic,
                                   enum nsp_traffic_kind kind, uint32_t from,
                                   uint32_t to);

/* Of the probes numbered below 'to', controls left out: how many there are, and
 * how many have not come back. */
void nsp_traffic_count_probes(const struct nsp_traffic *traffic, uint32_t to,
                              uint32_t *ret_sent, uint32_t *ret_missing);

/* Ends both and waits for probes under way. The counters stay readable. Returns
 * NSP_OK, or NSP_OPEN_FAILED with 'reterr' filled when the stream could not
 * connect. */
int nsp_traffic_stop(struct nsp_traffic *traffic, struct nsp_diag *reterr);

struct nsp_traffic *nsp_traffic_destroy(struct nsp_traffic *traffic);

#endif /* NSP_CLI_DEMO_TRAFFIC_H */
