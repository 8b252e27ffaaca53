/* The queue is one list with three parts, oldest first:
 *
 *     first ... | serving | ... last
 *     departed    on the    waiting: what 'limit' bounds
 *                 wire
 *
 * Every call first lets the link run up to its 'now': a packet whose time has
 * come is departed from then on, even if the worker is late to collect it. So
 * neither the schedule nor what is dropped depends on when dequeue is called.
 */
#include "shape/bottleneck.h"

#include <errno.h>

/* The most that a serialiser sends at once. No packet is as long; only a
 * capture file can claim it. */
#define CHARGE_BYTES_MAX INT32_MAX

#define DEFAULT_LIMIT_NS  (NSP_NS_PER_SECOND / 10)
#define DEFAULT_ROOM_PKTS 16

struct nsp_bottleneck {
    struct nsp_serialiser link;
    int32_t overhead_bytes;
    bool drop_head;

    /* As configured: a limit in time is that of the rate it was set at. */
    uint64_t limit;
    uint8_t unit;

    /* A packet fits when it is among the first 'room_pkts' that wait, or when
     * it exceeds neither limit. */
    uint64_t room_pkts, limit_pkts, limit_bytes;

    struct nsp_wheel_node *first, *serving, *last;
    struct nsp_wheel_node absent; /* Stands for the last packet that passed, on
                                   * the wire only. */
    uint32_t backlog_pkts;        /* All three parts. */
    uint32_t waiting_pkts;
    uint64_t waiting_bytes;

    struct nsp_allocator allocator;
};

static struct nsp_pkt *
pkt_of(struct nsp_wheel_node *node)
{
    return NSP_CONTAINER_OF(node, struct nsp_pkt, timer);
}

static uint64_t
charged_bytes(const struct nsp_bottleneck *b, const struct nsp_pkt *pkt)
{
    int64_t bytes = (int64_t)pkt->ip_bytes + b->overhead_bytes;

    if (bytes < 1)
        return 1;
    return bytes < CHARGE_BYTES_MAX ? (uint64_t)bytes : CHARGE_BYTES_MAX;
}

/* The bytes that pass in 'ns' at 'rate_bitps', rounded down, at most
 * UINT64_MAX / 8. The rate is split at 10^9 so that no product overflows. */
static uint64_t
bytes_in(uint64_t ns, uint64_t rate_bitps)
{
    uint64_t seconds = ns / NSP_NS_PER_SECOND;
    uint64_t rest_ns = ns % NSP_NS_PER_SECOND;
    uint64_t bits =
        rest_ns * (rate_bitps / NSP_NS_PER_SECOND) +
        rest_ns * (rate_bitps % NSP_NS_PER_SECOND) / NSP_NS_PER_SECOND;

    if (seconds > (UINT64_MAX - bits) / rate_bitps)
        return UINT64_MAX / 8;
    return (seconds * rate_bitps + bits) / 8;
}

static void
set_limit(struct nsp_bottleneck *b, uint64_t rate_bitps)
{
    b->room_pkts = 1;
    b->limit_pkts = UINT64_MAX;
    b->limit_bytes = UINT64_MAX;
    switch (b->unit) {
    case NSP_QUEUE_BYTES:
        b->limit_bytes = b->limit;
        break;
    case NSP_QUEUE_PKTS:
        b->limit_pkts = b->limit;
        break;
    case NSP_QUEUE_NS:
        b->limit_bytes = bytes_in(b->limit, rate_bitps);
        break;
    default:
        b->limit_bytes = bytes_in(DEFAULT_LIMIT_NS, rate_bitps);
        b->room_pkts = DEFAULT_ROOM_PKTS;
    }
}

static void
set_queue(struct nsp_bottleneck *b, const struct nsp_bottleneck_config *cfg)
{
    b->limit = cfg->limit;
    b->unit = cfg->unit;
    set_limit(b, cfg->plan ? nsp_rate_plan_mean_bitps(cfg->plan)
                           : cfg->rate_bitps);
}

static bool
rate_valid(uint64_t rate_bitps)
{
    return rate_bitps >= NSP_RATE_BITPS_MIN && rate_bitps <= NSP_RATE_BITPS_MAX;
}

static bool
config_valid(const struct nsp_bottleneck_config *cfg)
{
    return (cfg->plan ? cfg->rate_bitps == 0 : rate_valid(cfg->rate_bitps)) &&
           cfg->unit <= NSP_QUEUE_NS && cfg->drop <= NSP_QUEUE_DROP_HEAD &&
           (cfg->limit >= 1 || cfg->unit == NSP_QUEUE_DEFAULT) &&
           cfg->overhead_bytes >= NSP_OVERHEAD_MIN &&
           cfg->overhead_bytes <= NSP_OVERHEAD_MAX;
}

int
nsp_bottleneck_create(const struct nsp_bottleneck_config *cfg,
                      const struct nsp_allocator *allocator,
                      struct nsp_bottleneck **ret)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_bottleneck *b;

    if (!config_valid(cfg))
        return -EINVAL;
    b = nsp_alloc(&memory, 1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->allocator = memory;
    nsp_serialiser_init(&b->link, cfg->rate_bitps, cfg->plan, cfg->start_ns);
    b->overhead_bytes = cfg->overhead_bytes;
    b->drop_head = cfg->drop == NSP_QUEUE_DROP_HEAD;
    set_queue(b, cfg);
    *ret = b;
    return 0;
}

struct nsp_bottleneck *
nsp_bottleneck_destroy(struct nsp_bottleneck *b)
{
    if (b) {
        struct nsp_allocator memory = b->allocator;

        nsp_release(&memory, b);
    }
    return NULL;
}

/* --- The link --- */

/* Puts the packet after 'serving', or the first, on the wire when the link is
 * free. */
static void
serve(struct nsp_bottleneck *b, struct nsp_wheel_node *node)
{
    node->due_ns =
        nsp_serialiser_send(&b->link, charged_bytes(b, pkt_of(node)));
    b->serving = node;
}

static struct nsp_wheel_node *
take_waiting(struct nsp_bottleneck *b, struct nsp_wheel_node *node)
{
    b->waiting_pkts--;
    b->waiting_bytes -= charged_bytes(b, pkt_of(node));
    return node;
}

static void
serve_next(struct nsp_bottleneck *b)
{
    struct nsp_wheel_node *next = b->serving->next;

    b->serving = NULL;
    if (next)
        serve(b, take_waiting(b, next));
}

/* Serves the next one. What stood for an absent packet is gone with that. */
static void
end_serving(struct nsp_bottleneck *b)
{
    serve_next(b);
    if (b->first == &b->absent)
        b->first = b->absent.next;
}

static void
run_link(struct nsp_bottleneck *b, uint64_t now_ns)
{
    while (b->serving && b->serving->due_ns <= now_ns)
        end_serving(b);
}

/* What waits, counted again. */
static uint64_t
sum_waiting(const struct nsp_bottleneck *b)
{
    uint64_t bytes = 0;

    if (b->serving)
        for (struct nsp_wheel_node *node = b->serving->next; node;
             node = node->next)
            bytes += charged_bytes(b, pkt_of(node));
    return bytes;
}

int
nsp_bottleneck_set_config(struct nsp_bottleneck *b, uint64_t now_ns,
                          const struct nsp_bottleneck_config *cfg)
{
    uint64_t free_ns;

    if (!config_valid(cfg))
        return -EINVAL;
    run_link(b, now_ns);
    free_ns = nsp_serialiser_free_ns(&b->link);
    nsp_serialiser_init(&b->link, cfg->rate_bitps, cfg->plan, cfg->start_ns);
    nsp_serialiser_idle(&b->link, free_ns);
    b->drop_head = cfg->drop == NSP_QUEUE_DROP_HEAD;
    if (b->overhead_bytes != cfg->overhead_bytes) {
        b->overhead_bytes = cfg->overhead_bytes;
        b->waiting_bytes = sum_waiting(b);
    }
    set_queue(b, cfg);
    return 0;
}

/* --- The queue --- */

static bool
fits(const struct nsp_bottleneck *b, uint64_t bytes)
{
    return b->waiting_pkts < b->room_pkts ||
           (b->waiting_pkts < b->limit_pkts && bytes <= b->limit_bytes &&
            b->waiting_bytes <= b->limit_bytes - bytes);
}

static void
append(struct nsp_bottleneck *b, struct nsp_wheel_node *node)
{
    node->next = NULL;
    if (b->first)
        b->last->next = node;
    else
        b->first = node;
    b->last = node;
    b->backlog_pkts++;
}

/* Drops from the front of what waits until 'bytes' fit, and returns the list.
 * Ends because a packet always fits when none waits. */
static struct nsp_pkt *
evict_until_fits(struct nsp_bottleneck *b, uint64_t bytes)
{
    struct nsp_wheel_node *victims = b->serving->next;
    struct nsp_wheel_node *rest = victims;
    struct nsp_wheel_node **end = &victims;

    while (!fits(b, bytes)) {
        end = &rest->next;
        rest = take_waiting(b, rest)->next;
        b->backlog_pkts--;
    }
    b->serving->next = rest;
    if (!rest)
        b->last = b->serving;
    *end = NULL;
    return victims ? pkt_of(victims) : NULL;
}

/* Has a packet that has passed stand on the wire while it is there. */
static void
stand_in(struct nsp_bottleneck *b, uint64_t now_ns)
{
    if (b->first || b->absent.due_ns <= now_ns)
        return;
    b->absent.next = NULL;
    b->first = b->serving = b->last = &b->absent;
}

bool
nsp_bottleneck_pass(struct nsp_bottleneck *b, uint64_t now_ns,
                    struct nsp_pkt *pkt)
{
    if (b->first || b->link.plan || nsp_serialiser_free_ns(&b->link) > now_ns)
        return false;
    nsp_serialiser_idle(&b->link, now_ns);
    b->absent.due_ns = nsp_serialiser_send(&b->link, charged_bytes(b, pkt));
    pkt->timer.due_ns = b->absent.due_ns;
    return true;
}

struct nsp_pkt *
nsp_bottleneck_enqueue(struct nsp_bottleneck *b, uint64_t now_ns,
                       struct nsp_pkt *pkt)
{
    uint64_t bytes = charged_bytes(b, pkt);
    struct nsp_pkt *victims = NULL;

    run_link(b, now_ns);
    stand_in(b, now_ns);
    if (!b->serving) {
        nsp_serialiser_idle(&b->link, now_ns);
        append(b, &pkt->timer);
        serve(b, &pkt->timer);
        return NULL;
    }
    if (!fits(b, bytes)) {
        if (!b->drop_head) {
            pkt->timer.next = NULL;
            return pkt;
        }
        victims = evict_until_fits(b, bytes);
    }
    append(b, &pkt->timer);
    b->waiting_pkts++;
    b->waiting_bytes += bytes;
    return victims;
}

/* Takes the first packet, departed or on the wire. */
static struct nsp_pkt *
take_first(struct nsp_bottleneck *b)
{
    struct nsp_wheel_node *node = b->first;

    b->first = node->next;
    b->backlog_pkts--;
    return pkt_of(node);
}

uint32_t
nsp_bottleneck_dequeue(struct nsp_bottleneck *b, uint64_t now_ns,
                       struct nsp_pkt *ret_pkts[], uint32_t max)
{
    uint32_t n = 0;

    run_link(b, now_ns);
    while (n < max && b->first != b->serving)
        ret_pkts[n++] = take_first(b);
    return n;
}

uint64_t
nsp_bottleneck_due_ns(const struct nsp_bottleneck *b)
{
    return b->first ? b->first->due_ns : NSP_TIME_NEVER;
}

uint32_t
nsp_bottleneck_flush(struct nsp_bottleneck *b, struct nsp_pkt *ret_pkts[],
                     uint32_t max)
{
    uint32_t n = 0;

    while (n < max && b->first) {
        if (b->first == &b->absent) {
            end_serving(b);
            continue;
        }
        if (b->first == b->serving)
            serve_next(b);
        ret_pkts[n++] = take_first(b);
    }
    return n;
}

uint32_t
nsp_bottleneck_backlog_pkts(const struct nsp_bottleneck *b)
{
    return b->backlog_pkts;
}
