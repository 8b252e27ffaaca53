#ifndef NETSHAPER_ENGINE_H
#define NETSHAPER_ENGINE_H
#include <stdbool.h>
#include <stdint.h>

#include "netshaper/api.h"
#include "netshaper/diag.h"
#include "netshaper/env.h"
#include "netshaper/event.h"
#include "netshaper/io.h"
#include "netshaper/memory.h"
#include "netshaper/packet.h"
#include "netshaper/policy.h"
#include "netshaper/stats.h"

NSP_BEGIN_DECLS

/* The engine: takes packets that match a filter from a backend, gives each one
 * fate (delivered, dropped, or queued until then), and counts it.
 *
 *     create -> start -> run -> (stop) -> start -> ... -> destroy
 *
 * Every order of calls is answered by a result, none crashes:
 *
 *     state     start            run            stop           destroy
 *     idle      opens device     INVALID_STATE  INVALID_STATE  frees
 *     started   ALREADY_RUNNING  loops          see below      closes, frees
 *     running   ALREADY_RUNNING  INVALID_STATE  ends the loop  see below
 *     disposed  DISPOSED         DISPOSED       DISPOSED       ignored
 *
 * Threads    Any thread may make any call at any time while it holds a
 *            reference. create gives the first; a thread that may still call
 *            while another destroys takes its own with nsp_engine_ref().
 *            destroy disposes of the engine for everyone and gives up one
 *            reference; others are given up with nsp_engine_unref().
 * Signals    nsp_engine_stop() is async-signal-safe.
 * Traffic    From start on, matching packets wait for run; where a device holds
 *            them in the kernel, that traffic stands still until run, or until
 *            a stopped engine is started again or destroyed.
 * Lifetime   A run that ends, however it ends, leaves the engine idle: rules
 *            and devices are gone, counters stay readable until the next
 *            start. */
struct nsp_engine;

/* --- Packet callback ----------------------------------------------------- */

enum nsp_verdict_kind {
    NSP_VERDICT_PASS = 0, /* On to the rules. */
    NSP_VERDICT_DROP,
    NSP_VERDICT_REJECT, /* Drop and answer. Any other value drops. */
};

struct nsp_verdict {
    uint8_t kind;      /* enum nsp_verdict_kind. Passes whatever it says
                        * where the device only looks (sniff). */
    bool modified;     /* Bytes at 'data' or lengths changed; implied by the
                        * nsp_pkt_set_*() calls. */
    uint64_t delay_ns; /* Added to what the rules ask for. Where the device
                        * cannot hold the packet (nfqueue: from OUTPUT) it is
                        * dropped instead, as cannot-hold. */
};

/* One burst of intercepted packets that match the start filter, parsed. */
struct nsp_burst {
    struct nsp_pkt *const *pkts;
    struct nsp_verdict *verdicts; /* All zero: pass. */
    uint32_t count;
    uint32_t worker; /* From 0. */
    uint64_t now_ns;
    void *engine_private;
};

/* Called on a worker's thread for each burst, before the rules. May edit the
 * packets in place, shorten them, and set 'verdicts'; must not keep pointers.
 * Runs on the hot path: what it allocates or locks is its own affair. */
typedef void nsp_burst_fn(void *context, struct nsp_burst *burst);

/* Sends an IP packet from within the callback, like burst->pkts[like]; never
 * intercepted again. Returns 0, -EINVAL or what the device said. */
NSP_API int nsp_burst_inject(struct nsp_burst *burst, uint32_t like,
                             const uint8_t *ip,
                             uint32_t ip_bytes) NSP_MUSTCHECK;

/* In virtual time: called between two bursts, with the time since the first
 * packet, at 0 and then exactly at each time that it returns, which is later
 * (else, and with UINT64_MAX, never again). What it asks of
 * nsp_engine_set_policy() holds for packets that come at that time or later. */
typedef uint64_t nsp_timer_fn(void *context, uint64_t elapsed_ns);

/* --- Configuration ------------------------------------------------------- */

/* Packets whose mark has bit 0x20000000 are not intercepted: those that the
 * library sends itself carry it. What overruns the kernel's queue passes by,
 * unshaped and uncounted, unless 'fail_closed', and so does what comes while
 * the process hangs, where the kernel has CONFIG_NETFILTER_XT_MATCH_BPF and the
 * process may load a program; what was queued waits. When the process is
 * killed, the kernel removes the rules (fail_closed: they stay and drop, until
 * the next engine takes them away), and packets held are lost. */
struct nsp_nfqueue_config {
    uint32_t first_queue; /* First queue number, 1..65535; 0 picks free ones. */
    uint32_t max_queue_pkts; /* Kernel queue; 0 derives it. */
    uint32_t hang_ms;        /* Without a sign of life until passed by: 10 to
                              * 10000; 0 is 200. */
    bool fail_closed;        /* Drop and count, not pass, when it is full, and
                              * while the process hangs. */
};

/* How programs are attached to interfaces. */
enum nsp_tap_attach {
    NSP_TAP_ATTACH_AUTO = 0, /* tcx links; where the kernel has none, or with
                              * fail_closed, clsact. */
    NSP_TAP_ATTACH_TCX,      /* Not with fail_closed. */
    NSP_TAP_ATTACH_CLSACT,
};

/* Takes IP packets of this host off its interfaces, coming and going, and puts
 * them back there; what the host forwards, and packets with a VLAN tag, stay
 * untouched. The mark 0x20000000 is that of nfqueue; other marks and the
 * priority of a packet are lost. A process that hangs is passed by, at first
 * after two seconds; one that is killed leaves
 * nothing behind (with clsact: filters that let everything pass, or with
 * fail_closed nothing, until the next start there). What overruns the kernel's
 * queue is dropped and counted. */
struct nsp_tap_config {
    const char *const *interfaces; /* Names; NULL: all that are or come up. With
                                    * "host", what leaves by others is left
                                    * alone where tap takes OUTPUT. */
    uint32_t interface_count;      /* Of names, at most 64. */
    uint32_t queue_pkts; /* Kernel's, per worker; 0 is 4096; to 65536. */
    uint32_t hang_ms;    /* Without a sign of life until passed by: 10 to
                          * 10000; 0 is 200. A single worker that sleeps must
                          * wake sooner, unless waking took long of late. */
    uint8_t attach;      /* enum nsp_tap_attach. */
    bool fail_closed;    /* While the process hangs: drop and count. */
};

/* Where the bridge takes the frames of both interfaces. */
enum nsp_bridge_attach {
    NSP_BRIDGE_ATTACH_AUTO = 0, /* The drivers; if one cannot, the stack. */
    NSP_BRIDGE_ATTACH_DRIVER,
    NSP_BRIDGE_ATTACH_STACK, /* With packet sockets; slower for small frames. */
};

/* Joins two interfaces to a wire: every frame that comes in at the one goes out
 * at the other, IP or not, but those that the rules drop. It takes the frames
 * in the interfaces' drivers (XDP) and moves them through AF_XDP sockets,
 * without copying where a driver can; where a driver or the kernel lacks that,
 * it takes them in the stack, and moves them through packet sockets. The
 * interfaces carry nothing else: what the host itself would receive there it
 * does not see, and neither may be a port of a bridge or bond. Packets are
 * forwarded ones, with the numbers of both interfaces and no direction.
 *
 * Frames of link control (01:80:C2:00:00:00 to 0F: spanning tree, pause, LACP,
 * LLDP) cross beside the engine. Superpackets arrive in the stack alone. A
 * process that hangs or is killed is passed by: frames cross in the kernel,
 * unshaped, until another engine takes the interfaces over (fail_closed:
 * nothing crosses). One that ends detaches them: then nothing crosses any more.
 */
struct nsp_bridge_config {
    const char *interfaces[2]; /* Names. */
    uint32_t hang_ms;          /* Without a sign of life until passed by: 10 to
                                * 10000; 0 is 200. A worker that sleeps must wake
                                * sooner, unless waking took long of late. */
    uint32_t busy_poll_us;   /* Workers have the drivers look for frames for so
                              * long; 0: interrupts do, as in the stack. To
                              * 1000. */
    uint8_t attach;          /* enum nsp_bridge_attach. */
    bool take_all;           /* Also the frames that the start filter does not
                              * match, which else cross in the kernel where
                              * drivers copy, uncounted. */
    bool copy;               /* Copy frames even where the driver need not. */
    bool complete_checksums; /* In software where a virtual sender left them
                              * to hardware, even where the interface that
                              * sends can be asked to. */
    bool fail_closed; /* While the process hangs or is dead: drop and count. */
};

/* Looks at packets and leaves them alone: rules may pass, log and capture. A
 * packet over the loopback interface is seen once, on its way out; one that is
 * forwarded twice, coming and going. Segments may come as one superpacket.
 * Packets that do not fit the buffer are not seen, and counted as lost. */
struct nsp_sniff_config {
    const char *interface; /* Name; NULL or "any" are all, without their link
                            * headers. */
    bool promiscuous;      /* Packets for others too; of one interface. */
    uint32_t snap_bytes;   /* Kept of each packet, from the IP header on; 0: as
                            * many as are needed. */
    uint32_t buffer_bytes; /* Kernel's, per worker; 0 is 16 MiB; to 1 GiB. */
};

/* Reads a capture in its own time, which begins at NSP_PCAPFILE_START_NS with
 * the first packet, and writes what is delivered. A packet's 'device_ref' is
 * its number in the capture, from 1; its 'note' is written as its comment. */
#define NSP_PCAPFILE_START_NS UINT64_C(1000000000)
struct nsp_pcapfile_config {
    const char *in_path;  /* pcap or pcapng; "-" is standard input. */
    const char *out_path; /* pcapng, replaced; NULL discards; "-" is stdout. */
    uint8_t direction;    /* enum nsp_direction for packets without one. */
};

struct nsp_custom_config {
    const struct nsp_io_ops *ops;
    const void *device; /* Passed to ops->open. */
};

/* Backend "host" takes packets with nfqueue, but those of OUTPUT with tap where
 * a rule may hold them; 'nfqueue' and 'tap' configure either. What a callback
 * does is not known before: one that delays what leaves is for the backend
 * "tap".
 *
 * All zero is valid but for 'backend'. Copied by create, strings and rules
 * included; objects pointed to by 'memory', 'custom', contexts must outlive the
 * engine. */
struct nsp_engine_config {
    const char *backend; /* "host", "nfqueue", "tap", "bridge", "sniff",
                          * "pcapfile", "memory" or "custom". */
    struct nsp_nfqueue_config nfqueue;
    struct nsp_tap_config tap;
    struct nsp_bridge_config bridge;
    struct nsp_sniff_config sniff;
    struct nsp_pcapfile_config pcapfile;
    struct nsp_memory *memory;
    struct nsp_custom_config custom;

    uint32_t hooks;   /* Set of enum nsp_hook to intercept at, for backends that
                       * tap the stack; 0 is INPUT + OUTPUT, or FORWARD for
                       * "bridge", which has no other. */
    uint32_t workers; /* Device queues, a thread each; 0 is 1. Rates and limits
                       * hold for all together; in virtual time they need one
                       * worker. */
    uint16_t
        cpus[NSP_IO_QUEUES_MAX]; /* Worker i runs on cpus[i % cpu_count], */
    uint32_t cpu_count;          /* ... or, with 0, where the system wants. */
    uint32_t max_held_pkts; /* Held at once per worker, 64..2^20; 0 is 65536. */
    uint32_t max_flows; /* Tracked at once per worker, 16..2^24, where a filter
                         * or many rules make use of it; 0 is 65536. 196 bytes
                         * each. */
    bool busy_poll;     /* Workers stay awake while they hold packets, and for a
                         * second after the last came, so that delays are exact to
                         * microseconds and none waits for a worker to wake; a
                         * processor for each. */
    bool deep_idle; /* Idle processors may sleep deeply while packets are held,
                     * which spares power and makes waits end later. Else, where
                     * the system lets it, the engine asks that they wake
                     * promptly, from before something is due until a second
                     * after. */
    uint64_t seed;  /* Of every random effect; 0 is a seed like any other. In
                     * virtual time what a packet meets depends on it, the
                     * rule's name, the packet's flow and its place therein;
                     * live, on how many packets the rule has met. */
    uint32_t snap_bytes; /* Bytes of each packet the callback reads, from the IP
                          * header on; 0: all with a callback, else what the
                          * filters read. */
    bool callback_takes_superpackets; /* And edits none. */
    bool no_offload; /* Have the kernel decide no packet by rules, where a
                      * device could. */
    uint32_t event_ring_bytes; /* Per worker, for what rules report (event.h): a
                                * power of two from NSP_EVENT_RING_BYTES, which
                                * 0 is, to 2^30. */

    const struct nsp_filter_options *filters; /* What start filters may refer
                                               * to; NULL the default. Outlives
                                               * the engine. */
    struct nsp_policy_spec policy;
    bool policy_may_change; /* Take memory for any policy at start, so that
                             * nsp_engine_set_policy() may bring one that holds
                             * or edits packets where this one does not. */
    nsp_burst_fn *callback;
    void *callback_context;
    nsp_timer_fn *timer; /* Needs virtual time, and one worker. */
    void *timer_context;
    nsp_fates_fn *fates; /* Told what becomes of every packet (event.h). */
    void *fates_context;

    struct nsp_allocator allocator; /* All NULL: the C library's, and for large
                                     * tables nsp_large_page_allocator(). */
    struct nsp_clock clock;  /* All NULL: monotonic. Live devices only. */
    struct nsp_log_sink log; /* All NULL: silent. */
};

/* --- Lifecycle ----------------------------------------------------------- */

/* Checks and copies 'cfg'. On success stores an idle engine in '*ret' and
 * returns NSP_OK. Otherwise returns NSP_INVALID_PARAMETER, NSP_INVALID_FILTER
 * (of a rule, which 'reterr' names) or NSP_NO_MEMORY; '*ret' is then untouched.
 * 'reterr' may be NULL here and below. */
NSP_API int nsp_engine_create(const struct nsp_engine_config *cfg,
                              struct nsp_engine **ret,
                              struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Compiles 'filter' and opens the backend: from now on matching packets are
 * diverted, and wait for nsp_engine_run(). Returns NSP_OK,
 * NSP_INVALID_FILTER, NSP_ALREADY_RUNNING, NSP_DISPOSED, NSP_OPEN_FAILED,
 * NSP_NOT_POSSIBLE, NSP_INVALID_HANDLE (no engine), NSP_INVALID_PARAMETER,
 * NSP_STOPPED (stopped meanwhile) or NSP_NO_MEMORY; nothing is then left
 * behind. */
NSP_API int nsp_engine_start(struct nsp_engine *engine, const char *filter,
                             struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Puts 'policy' in the place of the present one, also while packets flow. Every
 * packet is decided by the one or the other, and those of a burst by the same.
 * Rules and classes that keep their name keep counters, queues and the state of
 * their effects; packets held go on as they would have. When it returns, no
 * packet is decided by the old policy any more. Returns NSP_OK,
 * NSP_INVALID_PARAMETER, NSP_INVALID_FILTER, NSP_NOT_POSSIBLE (the device that
 * is open cannot do it), NSP_NO_MEMORY, NSP_DISPOSED, NSP_INVALID_HANDLE, or
 * NSP_INVALID_STATE (called from the loop's own callback, or while it starts);
 * the present one then stays in force. */
NSP_API int nsp_engine_set_policy(struct nsp_engine *engine,
                                  const struct nsp_policy_spec *policy,
                                  struct nsp_diag *reterr) NSP_MUSTCHECK;

/* By which interfaces. */
enum nsp_placement_interfaces {
    NSP_PLACEMENT_ALL = 0,
    NSP_PLACEMENT_ETHERNET, /* Whose packets have Ethernet headers; loopback. */
    NSP_PLACEMENT_OTHER,
};

/* Where packets of one hook are taken, those that pass some interfaces. */
struct nsp_placement {
    uint8_t hook;       /* enum nsp_hook. */
    uint8_t interfaces; /* enum nsp_placement_interfaces. */
    const char *device; /* Name of a backend; static. */
    char reason[192];   /* Why that, for people. */
};
#define NSP_PLACEMENTS_MAX 4u

/* Tells where an engine of 'cfg' started with 'filter' would take packets, one
 * element of 'ret' (room for NSP_PLACEMENTS_MAX) for each hook at which any can
 * match, or two where interfaces differ, without opening anything. Returns what
 * create and start would return but for what they open. */
NSP_API int nsp_engine_place(const struct nsp_engine_config *cfg,
                             const char *filter, struct nsp_placement ret[],
                             uint32_t *ret_count,
                             struct nsp_diag *reterr) NSP_MUSTCHECK;

/* Where a rule runs on a device that can decide in the kernel (tap, bridge). */
enum nsp_rule_place {
    NSP_RULE_IN_ENGINE = 0,
    NSP_RULE_PREFILTERED, /* The kernel sends what it may match to the engine.
                           */
    NSP_RULE_IN_KERNEL,
    NSP_RULE_BY_FLOW, /* In the engine, which tells the kernel of flows that it
                       * decides. */
};

struct nsp_rule_placement {
    uint8_t place;    /* enum nsp_rule_place. */
    char reason[128]; /* Why, for people. */
};

/* Tells where the rules of 'cfg' would run on such a device, behind the start
 * filter 'filter': one element of 'ret' for each, without opening anything. A
 * kernel that has no room for the rules decides less. Returns as
 * nsp_engine_place(). */
NSP_API int nsp_engine_place_rules(const struct nsp_engine_config *cfg,
                                   const char *filter,
                                   struct nsp_rule_placement ret[],
                                   struct nsp_diag *reterr) NSP_MUSTCHECK;

/* The capture loop; returns when it has ended and the engine is idle: NSP_OK
 * (end of input), NSP_STOPPED, NSP_INVALID_STATE (not started, or another
 * thread runs it), NSP_DISPOSED, NSP_ABORTED (destroyed meanwhile),
 * NSP_INVALID_HANDLE (no engine, or the device went away) or
 * NSP_TOO_MANY_ERRORS. Packets still held are delivered. */
NSP_API int nsp_engine_run(struct nsp_engine *engine);

/* The same for at most 'duration_ns' of the engine's clock, then NSP_STOPPED.
 */
NSP_API int nsp_engine_run_for(struct nsp_engine *engine, uint64_t duration_ns);

/* Ends the loop. Does not wait: the loop ends after its current burst. An
 * engine that was started and not run yet is closed by the next call of run
 * (which returns NSP_STOPPED), start or destroy. Returns NSP_OK,
 * NSP_INVALID_STATE (idle), NSP_DISPOSED or NSP_INVALID_HANDLE.
 * Async-signal-safe. */
NSP_API int nsp_engine_stop(struct nsp_engine *engine);

/* Disposes of 'engine', which may be NULL, and gives up a reference. A running
 * loop is told to end and is waited for, unless the caller is that loop's own
 * callback. Always returns NULL: engine = nsp_engine_destroy(engine). */
NSP_API struct nsp_engine *nsp_engine_destroy(struct nsp_engine *engine);

NSP_API struct nsp_engine *nsp_engine_ref(struct nsp_engine *engine);
NSP_API struct nsp_engine *nsp_engine_unref(struct nsp_engine *engine);

/* Starts 'engine', which must be idle, waits for one packet that matches
 * 'filter', copies its first 'bytes' bytes to 'buffer', lets it pass, and
 * stops.
 * '*ret' (may be NULL) gets its description, 'data' pointing to 'buffer'.
 * Returns NSP_OK, NSP_BUFFER_TOO_SMALL (cut), NSP_NOT_FOUND (no such packet in
 * 'timeout_ns', or input ended), NSP_ABORTED, NSP_STOPPED or what start says.
 */
NSP_API int nsp_engine_capture(struct nsp_engine *engine, const char *filter,
                               uint8_t *buffer, uint32_t bytes,
                               uint64_t timeout_ns, struct nsp_pkt *ret,
                               struct nsp_diag *reterr) NSP_MUSTCHECK;

/* --- Reading ------------------------------------------------------------- */

/* Copies the counters; any thread, any state, without disturbing the loop.
 * Returns NSP_OK or NSP_INVALID_HANDLE. */
NSP_API int nsp_engine_read_stats(struct nsp_engine *engine,
                                  struct nsp_stats *ret);

/* Copies the counters of rule 'index' (from 0) of the policy in force. Returns
 * NSP_OK, NSP_NOT_FOUND or NSP_INVALID_HANDLE. */
NSP_API int nsp_engine_read_rule_stats(struct nsp_engine *engine,
                                       uint32_t index,
                                       struct nsp_rule_stats *ret);

/* The same of class 'index': those of the policy, then the rates of single
 * rules, in the order of the rules. */
NSP_API int nsp_engine_read_class_stats(struct nsp_engine *engine,
                                        uint32_t index,
                                        struct nsp_class_stats *ret);

/* Hands up to 'max' events, oldest first, to 'fn': what rules that log or
 * capture have reported since the last call, while the engine runs and, until
 * the next start, after it has ended. Returns how many, 0 when there are none,
 * or NSP_INVALID_HANDLE. 'fn' must not call the engine, but for
 * nsp_engine_stop(); other calls wait for it, the loop does not. Not from the
 * packet callback. */
NSP_API int nsp_engine_read_events(struct nsp_engine *engine, nsp_event_fn *fn,
                                   void *context, uint32_t max);

/* Why the last run ended, in words, when its result was negative. */
NSP_API int nsp_engine_read_diag(struct nsp_engine *engine,
                                 struct nsp_diag *ret);

/* Reports what each backend, or only the one called 'backend' (NULL: all),
 * needs of this machine and user, an item a call. Returns NSP_OK, or
 * NSP_NOT_FOUND for an unknown backend. */
NSP_API int nsp_probe(const char *backend, nsp_probe_fn *report, void *context);

NSP_END_DECLS
#endif /* NETSHAPER_ENGINE_H */
