#ifndef NETSHAPER_IO_H
#define NETSHAPER_IO_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/diag.h"
#include "netshaper/env.h"
#include "netshaper/packet.h"

NSP_BEGIN_DECLS

/* A backend: one source and sink of packets behind one table of functions. The
 * library's own are chosen by name; a program hands in its own the same way
 * (struct nsp_engine_config, 'custom').
 *
 * Ownership  rx_burst lends packets out; tx_burst and drop_burst take them
 *            back. Each packet goes back once, to the queue that lent it
 *            (pkt->queue), in any order.
 * Threads    Every queue is used by one thread at a time. wake may be called
 *            from any thread or signal handler, read_stats from any thread.
 * Time       A live device waits; a virtual-time device (NSP_IO_VIRTUAL_TIME)
 *            says when its next packet arrives and never waits. */
struct nsp_io; /* Defined by each backend for itself. */
struct nsp_filter;

enum nsp_io_cap {
    NSP_IO_VIRTUAL_TIME = 1 << 0,  /* Has next_rx_ns; 'wait' may be NULL. */
    NSP_IO_CAN_MODIFY = 1 << 1,    /* Sends the bytes at 'data'. */
    NSP_IO_CAN_INJECT = 1 << 2,    /* Has inject. */
    NSP_IO_HOLDS_INPUT = 1 << 3,   /* May be kept waiting: packets from INPUT */
    NSP_IO_HOLDS_OUTPUT = 1 << 4,  /* ... from OUTPUT, */
    NSP_IO_HOLDS_FORWARD = 1 << 5, /* ... from FORWARD. */
    NSP_IO_HOOKS = 1 << 6,      /* Taps hooks of the stack: 'hooks' counts. */
    NSP_IO_SETS_MARKS = 1 << 7, /* Sends packets on with the mark they have. */
    NSP_IO_LOOKS_ONLY = 1 << 8, /* Lends copies of packets that go on by
                                 * themselves: none is dropped, held, edited or
                                 * answered, and no policy may ask for it. */
    NSP_IO_AHEAD_OF_TIME = 1 << 9, /* In virtual time: may be asked for packets
                                    * before they arrive, as that depends on
                                    * nothing that is sent, and told of several
                                    * moments at once. Has no retain. */
};

#define NSP_IO_QUEUES_MAX 16u

/* What the engine asks a device for, derived from the policy. */
struct nsp_io_config {
    const void *device;       /* Device's own configuration; see engine.h. */
    uint32_t queues;          /* 1..NSP_IO_QUEUES_MAX, a worker each. */
    uint32_t hooks;           /* Set of enum nsp_hook to tap; 0 taps none. */
    bool skip_loopback_input; /* Loopback is already seen at OUTPUT. */
    bool shares_output; /* Two devices tap OUTPUT: one that takes packets with
                         * Ethernet headers has interfaces that have these, and
                         * loopback; the other has the others. */
    uint32_t max_held_pkts; /* Per queue: most packets out at once, besides
                             * 2 * NSP_BURST_MAX for those passing through. */
    uint32_t snap_bytes;    /* From the IP header on: enough for the policy; 0
                             * is all of every packet. */
    bool superpackets; /* They are welcome: nothing acts per wire packet. */
    bool edits;        /* Packets may come back NSP_PKT_MODIFIED. */
    const struct nsp_filter *filter; /* A device may let packets pass untouched
                                      * that this does not match. NULL: none. */
    struct nsp_allocator allocator;
    struct nsp_clock clock;  /* Of arrival_ns on live devices. */
    struct nsp_log_sink log; /* 'write' may be NULL. */
};

struct nsp_io_stats {
    uint64_t passed_by_pkts;
    uint64_t kernel_dropped_pkts, kernel_lost_pkts, stale_verdict_pkts;
    uint64_t device_errors;
};

/* One line of what a device needs of this machine and user. */
enum nsp_probe_state {
    NSP_PROBE_OK = 0,
    NSP_PROBE_DEGRADED, /* Works, with less speed or fewer features. */
    NSP_PROBE_MISSING,
};
struct nsp_probe_item {
    const char *feature; /* Static, stable word: "nfqueue-bind". */
    uint8_t state;       /* enum nsp_probe_state. */
    char detail[160];    /* What was found. */
    char cure[160];      /* What to do about it; empty when OK. */
};
typedef void nsp_probe_fn(void *context, const struct nsp_probe_item *item);

/* --- Rules that a device decides in the kernel -----------------------------
 *
 * The beginning of a policy, for packets that need not come to the engine.
 * Those that the start filter matches meet the rules in their order, as far as
 * 'apply' has them: of one that is to be asked about, the engine gets what it
 * may match; of the others, counts what matches, passes it or drops it. Where
 * the device cannot tell for sure whether one of these matches, the engine gets
 * the packet. It then decides by the whole policy, as if nobody had looked:
 * each packet has its fate and is counted in one place. */
enum nsp_offload_does {
    NSP_OFFLOAD_ASK = 0, /* The engine does more than the kernel can. */
    NSP_OFFLOAD_COUNT,   /* And goes on. */
    NSP_OFFLOAD_PASS,
    NSP_OFFLOAD_DROP,
    NSP_OFFLOAD_POLICE, /* Passes what conforms to 'bucket', drops the rest. */
};

/* A token bucket that the kernel and the engine both take from: a word that
 * says when it will be full again, by the monotonic clock in ns; 0 at first. A
 * packet that arrives at 'now' and costs 'cost' ns conforms if
 *
 *     max(word, now) + cost - now <= burst_ns
 *
 * and the word then becomes max(word, now) + cost, by compare-and-swap. */
struct nsp_offload_bucket {
    uint32_t index;     /* Of the word. */
    bool by_pkts;       /* A unit is a packet, else a byte. */
    uint8_t cost_shift; /* At most 31. */
    uint64_t unit_cost; /* Of a unit, in ns << cost_shift: times 2^20 within 63
                         * bits. */
    uint64_t burst_ns;
};

struct nsp_offload_rule {
    const struct nsp_filter *filter;  /* NULL: every packet. */
    uint8_t apply;                    /* enum nsp_apply. */
    uint8_t does;                     /* enum nsp_offload_does. */
    struct nsp_offload_bucket bucket; /* Of a rule that polices. */
};

#define NSP_OFFLOAD_RULES_MAX  65u /* 64 of a policy, and what they spare. */
#define NSP_OFFLOAD_COUNTS_MAX 8u  /* Rules that count, */
#define NSP_OFFLOAD_LIMITS_MAX 16u /* and that police. */

/* Of one rule, or of packets that none matches. Bytes count from the IP header
 * on. What is passed or dropped is counted with the rule that decided, or the
 * last that counted where none did. */
struct nsp_offload_counters {
    uint64_t hit_pkts, hit_bytes;
    uint64_t last_hit_ns; /* Monotonic clock, to some ms; 0: never. */
    uint64_t passed_pkts, passed_bytes;
    uint64_t dropped_pkts, dropped_bytes;
    uint64_t limited_pkts, limited_bytes; /* Dropped by a limit. */
};

/* A list of rules, and what flows have to do with it. */
struct nsp_offload_request {
    const struct nsp_offload_rule *rules;
    uint32_t count;
    bool complete; /* What none matches passes; else the engine gets it. */
    uint32_t flow_rules; /* Rules of the policy that may decide flows, by their
                          * place in it. 0: flows are not asked for. */
    uint64_t generation; /* Of what flows are told. */
};

/* What the engine has decided for all further packets of a TCP or UDP flow that
 * are taken in one place, in one direction, unless they are fragments. */
struct nsp_offload_flow {
    uint32_t ifindex;  /* Where they leave, if outbound, or come in. */
    uint8_t direction; /* enum nsp_direction. */
    uint8_t protocol;  /* 6, 17. */
    uint8_t does;      /* NSP_OFFLOAD_PASS or _DROP. */
    bool ipv6;         /* Else IPv4: the first four bytes of an address. */
    uint8_t ports[4];  /* Source, destination; in network order, */
    uint8_t addresses[2][16]; /* as these. */
    uint32_t rule;            /* That decides; or none does, so they pass. */
};
#define NSP_OFFLOAD_NO_RULE UINT32_MAX

struct nsp_io_ops {
    const char
        *name; /* "nfqueue", "tap", "bridge", "sniff", "pcapfile", "memory". */
    uint32_t caps; /* Set of enum nsp_io_cap. */

    /* Opens the device. Returns NSP_OK, NSP_OPEN_FAILED, NSP_NOT_POSSIBLE (a
     * privilege or kernel feature is missing), NSP_INVALID_PARAMETER or
     * NSP_NO_MEMORY, these with 'reterr' filled, leaving nothing behind. */
    int (*open)(const struct nsp_io_config *cfg, struct nsp_io **ret,
                struct nsp_diag *reterr);

    /* Closes the device and frees it. Every packet must be back. */
    void (*close)(struct nsp_io *io);

    /* Moves up to 'max' (<= NSP_BURST_MAX) packets from 'queue' to the caller
     * without blocking, unparsed, stamped with the time they arrived, none
     * earlier than the one before; 'now_ns' where the device cannot tell. In
     * virtual time only those that have arrived by 'now_ns', which may be ahead
     * of what is sent next (NSP_IO_AHEAD_OF_TIME); a live device may also
     * have some that came since. Bytes at 'data' stay valid until the next
     * rx_burst on the queue, or until the packet goes back if it was retained.
     * Never fails: a device error shows in 'status'. */
    uint32_t (*rx_burst)(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                         struct nsp_pkt *ret_pkts[], uint32_t max);

    /* Takes back and sends all 'n' packets at 'now_ns', in order, and returns
     * how many the device refused: those are gone, and the engine counts them
     * as dropped (tx-failed); refused[i] is then set to true for each. With
     * NSP_IO_AHEAD_OF_TIME each is sent at its timer.due_ns, by 'now_ns'. */
    uint32_t (*tx_burst)(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                         struct nsp_pkt *const pkts[], uint32_t n,
                         bool ret_refused[]);

    /* Takes back 'n' packets that must not be sent. */
    void (*drop_burst)(struct nsp_io *io, uint32_t queue,
                       struct nsp_pkt *const pkts[], uint32_t n);

    /* Makes the bytes of 'pkt' outlive the next rx_burst. Called before a
     * packet that was modified is held. Returns 0 or -ENOMEM when the device's
     * fixed store is full. NULL where bytes always live as long as the packet.
     */
    int (*retain)(struct nsp_io *io, uint32_t queue, struct nsp_pkt *pkt);

    /* Sends an IP packet (from its IP header on, checksums complete) made by
     * the engine, never intercepted again by the same engine, in answer to or
     * alongside 'like', from which it takes link header and interface: one
     * that the device has lent, or a copy of one made by the engine, after that
     * has gone back. Returns 0 or a negative errno. */
    int (*inject)(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                  const uint8_t *ip, uint32_t ip_bytes, bool reply,
                  const struct nsp_pkt *like);

    /* Live: sleeps until 'queue' has packets, 'timeout_ns' (NSP_TIME_NEVER:
     * no limit) has passed, or wake is called; a wake that came before is not
     * lost. Returns 0 or a negative errno. */
    int (*wait)(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns);

    /* Ends the current or next wait on every queue. Async-signal-safe. */
    void (*wake)(struct nsp_io *io);

    /* Virtual time: arrival of the next packet of 'queue', NSP_TIME_NEVER at
     * the end of input, or while no buffer is left for one: ask again when
     * packets have gone back. */
    uint64_t (*next_rx_ns)(struct nsp_io *io, uint32_t queue);

    /* Stops the inflow: nothing new is diverted from now on; what was diverted
     * before still comes out of rx_burst. Called once, by one thread. */
    void (*quiesce)(struct nsp_io *io);

    /* Changes what open was asked for of 'snap_bytes' and 'superpackets' while
     * packets flow, from some packet soon on. Called from any one thread.
     * Returns 0 or a negative errno. NULL where devices give all there is, or
     * cannot. */
    int (*adjust)(struct nsp_io *io, uint32_t snap_bytes, bool superpackets);

    /* Has the kernel decide by the first rules of a policy, whose filters live
     * as long as they are in force, in the place of the rules before; each
     * packet meets the one or the other. With no rules, not complete, and no
     * flows the engine gets everything, as after open. When it returns, no
     * packet is decided by the rules before any more, and 'ret_last' has their
     * last counters, as many as read_offload has had. Returns 0; or a negative
     * errno: nothing has then changed. NULL where the kernel decides nothing.
     * Called from one thread at a time, like the next. */
    int (*offload)(struct nsp_io *io, const struct nsp_offload_request *request,
                   struct nsp_offload_counters ret_last[]);

    /* The counters of rule 'index' in force; with their number, of packets that
     * none matches; behind that, of flows that rules of the policy decided.
     * Zero if it cannot tell. */
    void (*read_offload)(struct nsp_io *io, uint32_t index,
                         struct nsp_offload_counters *ret);

    /* Has the kernel decide the rest of these flows, as long as it has room for
     * them and 'generation' is that of the rules in force. Called from any
     * worker, also while the others of these are. NULL where it cannot. */
    void (*offload_flows)(struct nsp_io *io,
                          const struct nsp_offload_flow flows[], uint32_t n,
                          uint64_t generation);

    /* Makes the words of 'count' buckets, which live until close, for rules
     * that police. Called once, before the first of them is handed over.
     * Returns 0 or a negative errno. NULL where the kernel polices nothing. */
    int (*share_buckets)(struct nsp_io *io, uint32_t count, uint64_t **ret);

    /* Counters since open. May read the kernel's; any thread. */
    void (*read_stats)(struct nsp_io *io, struct nsp_io_stats *ret);

    /* Returns 0, or the negative errno that ended the device for good (an
     * interface or namespace went away, a file could not be written); 'ret'
     * may be NULL, else says which, at most 'ret_bytes' with the end mark. */
    int (*status)(struct nsp_io *io, char *ret, uint32_t ret_bytes);

    /* Reports what the device needs and whether it is there. May be NULL. */
    void (*probe)(nsp_probe_fn *report, void *context);

    /* For one thread that serves queues of two live devices; NULL where that
     * cannot be. The descriptor that is readable while 'queue' has packets, -1
     * while there is no room for more. The thread may wait for '*timeout_ns',
     * which is lowered where the device is to be asked again sooner. */
    int (*ready_fd)(struct nsp_io *io, uint32_t queue, uint64_t *timeout_ns);

    /* The same as wait, which ends also when 'fd' (-1: none) is readable. */
    int (*wait_with)(struct nsp_io *io, uint32_t queue, uint64_t timeout_ns,
                     int fd);
};

NSP_END_DECLS
#endif /* NETSHAPER_IO_H */
