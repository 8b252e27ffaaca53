#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_pool.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>
#include <time.h>

/* A burst that held nothing but answers to verdicts is followed by another try,
 * so that "no packets" means that none waits. */
#define EMPTY_BURSTS_MAX 64

#define ATTRIBUTE_TYPE_MASK 0x3fffu /* Without the flags above. */
#define MESSAGE_HEADER_BYTES                                                   \
    ((uint32_t)(sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg)))

/* Ages of packets above this are a clock that was set, not a wait. */
#define AGE_NS_MAX NSP_NS_PER_SECOND

/* The receive slots are about to be written over: packets still out of the last
 * burst lose their bytes, unless they were retained. */
static void
forget_last_burst(struct nsp_nfq_queue *queue)
{
    for (uint32_t i = 0; i < queue->last_burst_pkts; i++) {
        struct nsp_nfq_slot *slot = queue->last_burst[i];

        if (slot->lent && !slot->retained)
            slot->pkt.cap_bytes = 0;
    }
    queue->last_burst_pkts = 0;
}

/* When a burst is received. */
struct burst_time {
    uint64_t now_ns;           /* Of the engine's clock, before it. */
    uint64_t day_ns, clock_ns; /* The same instant on the clock of the day and
                                * on the engine's; 0: not asked yet. */
};

/* What came in the attributes of a packet message. */
struct message_fields {
    bool has_header, has_cap_len;
    uint8_t hook; /* enum nf_inet_hooks. */
    uint32_t id, cap_len, skb_info, mark, uid, in_ifindex, out_ifindex;
    uint8_t *payload;
    uint32_t held_bytes, payload_bytes; /* Held is less when it was cut. */
    uint64_t received_ns; /* Of the clock of the day; 0: not told. */
};

static uint32_t
load_be32_if(const uint8_t *value, uint32_t bytes, uint32_t otherwise)
{
    return bytes >= 4 ? nsp_load_be32(value) : otherwise;
}

static uint64_t
load_be64(const uint8_t *value)
{
    return (uint64_t)nsp_load_be32(value) << 32 | nsp_load_be32(value + 4);
}

/* The kernel cuts its time to microseconds; a packet never is earlier. */
static uint64_t
load_timestamp_ns(const uint8_t *value, uint32_t bytes)
{
    struct nfqnl_msg_packet_timestamp stamp;

    if (bytes < sizeof stamp)
        return 0;
    return load_be64(value) * NSP_NS_PER_SECOND +
           (load_be64(value + sizeof stamp.sec) + 1) * 1000;
}

static void
read_attribute(uint16_t type, uint8_t *value, uint32_t held_bytes,
               uint32_t bytes, struct message_fields *fields)
{
    switch (type) {
    case NFQA_PACKET_HDR:
        if (held_bytes < sizeof(struct nfqnl_msg_packet_hdr))
            break;
        fields->has_header = true;
        fields->id = nsp_load_be32(value);
        fields->hook = value[offsetof(struct nfqnl_msg_packet_hdr, hook)];
        break;
    case NFQA_TIMESTAMP:
        fields->received_ns = load_timestamp_ns(value, held_bytes);
        break;
    case NFQA_MARK:
        fields->mark = load_be32_if(value, held_bytes, 0);
        break;
    case NFQA_IFINDEX_INDEV:
        fields->in_ifindex = load_be32_if(value, held_bytes, 0);
        break;
    case NFQA_IFINDEX_OUTDEV:
        fields->out_ifindex = load_be32_if(value, held_bytes, 0);
        break;
    case NFQA_UID:
        fields->uid = load_be32_if(value, held_bytes, UINT32_MAX);
        break;
    case NFQA_SKB_INFO:
        fields->skb_info = load_be32_if(value, held_bytes, 0);
        break;
    case NFQA_CAP_LEN:
        fields->has_cap_len = held_bytes >= 4;
        fields->cap_len = load_be32_if(value, held_bytes, 0);
        break;
    case NFQA_PAYLOAD:
        fields->payload = value;
        fields->held_bytes = held_bytes;
        fields->payload_bytes = bytes;
        break;
    default:
        break;
    }
}

/* Reads the attributes in 'left' bytes; the last may have been cut. */
static void
read_attributes(uint8_t *at, uint32_t left, struct message_fields *ret)
{
    *ret = (struct message_fields){ .uid = UINT32_MAX };
    while (left >= NSP_NFQ_ATTRIBUTE_HEADER_BYTES) {
        struct nlattr attribute;
        uint32_t held_bytes, step;

        memcpy(&attribute, at, sizeof attribute);
        if (attribute.nla_len < NSP_NFQ_ATTRIBUTE_HEADER_BYTES)
            return;
        held_bytes = nsp_min_u32(attribute.nla_len, left) -
                     NSP_NFQ_ATTRIBUTE_HEADER_BYTES;
        read_attribute(attribute.nla_type & ATTRIBUTE_TYPE_MASK,
                       at + NSP_NFQ_ATTRIBUTE_HEADER_BYTES, held_bytes,
                       attribute.nla_len - NSP_NFQ_ATTRIBUTE_HEADER_BYTES, ret);
        step = nsp_min_u32(nsp_nfq_padded(attribute.nla_len), left);
        at += step;
        left -= step;
    }
}

static void
fill_place(struct nsp_pkt *pkt, const struct message_fields *fields)
{
    switch (fields->hook) {
    case NF_INET_LOCAL_IN:
        pkt->hook = NSP_HOOK_INPUT;
        pkt->direction = NSP_INBOUND;
        break;
    case NF_INET_LOCAL_OUT:
        pkt->hook = NSP_HOOK_OUTPUT;
        pkt->direction = NSP_OUTBOUND;
        break;
    case NF_INET_FORWARD:
        pkt->hook = NSP_HOOK_FORWARD;
        break;
    default: /* Another table sends here, from another hook. */
        break;
    }
}

/* Silence means "verified" on the way in, nothing at all on the way out. */
static uint8_t
checksum_state(const struct message_fields *fields)
{
    if (fields->skb_info & NFQA_SKB_CSUMNOTREADY)
        return NSP_CSUM_PARTIAL;
    if (fields->skb_info & NFQA_SKB_CSUM_NOTVERIFIED ||
        fields->hook == NF_INET_LOCAL_OUT)
        return NSP_CSUM_UNKNOWN;
    return NSP_CSUM_GOOD;
}

/* When a packet came to this machine: it may have waited for us to wake. A
 * burst is told the time of day once, by its first packet that needs it. */
static uint64_t
arrival_ns(struct nsp_nfq_queue *queue, const struct message_fields *fields,
           struct burst_time *at)
{
    uint64_t age_ns;

    if (fields->received_ns == 0)
        return at->now_ns;
    if (at->day_ns == 0) {
        const struct nsp_clock *clock = &queue->config.clock;
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        at->day_ns =
            (uint64_t)ts.tv_sec * NSP_NS_PER_SECOND + (uint64_t)ts.tv_nsec;
        at->clock_ns = clock->now_ns(clock->context);
    }
    age_ns = at->day_ns - fields->received_ns;
    if (age_ns > AGE_NS_MAX || age_ns > at->clock_ns)
        return at->now_ns;
    return at->clock_ns - age_ns;
}

static void
fill_pkt(struct nsp_nfq_slot *slot, struct nsp_nfq_queue *queue,
         const struct message_fields *fields, struct burst_time *at)
{
    uint32_t loopback = queue->config.loopback_ifindex;
    struct nsp_pkt *pkt = &slot->pkt;

    *slot = (struct nsp_nfq_slot){ .lent = true };
    pkt->data = fields->payload;
    pkt->cap_bytes = fields->held_bytes;
    pkt->wire_bytes =
        fields->has_cap_len ? fields->cap_len : fields->payload_bytes;
    if (pkt->wire_bytes < pkt->cap_bytes)
        pkt->wire_bytes = pkt->cap_bytes;
    slot->whole = pkt->cap_bytes == pkt->wire_bytes;

    /* Clocks that are set, and processors that disagree, change no order. */
    queue->last_arrival_ns =
        nsp_max_u64(queue->last_arrival_ns, arrival_ns(queue, fields, at));
    pkt->arrival_ns = queue->last_arrival_ns;
    pkt->link = NSP_LINK_RAW;
    fill_place(pkt, fields);
    pkt->csum = checksum_state(fields);
    pkt->queue = (uint16_t)queue->config.index;
    pkt->in_ifindex = fields->in_ifindex;
    pkt->out_ifindex = fields->out_ifindex;
    pkt->mark = slot->mark = fields->mark;
    pkt->uid = fields->uid;
    pkt->device_ref = fields->id;
    if (loopback != 0 &&
        (pkt->in_ifindex == loopback || pkt->out_ifindex == loopback))
        pkt->flags |= NSP_PKT_LOOPBACK;
    if (fields->skb_info & NFQA_SKB_GSO)
        pkt->flags |= NSP_PKT_SUPERPACKET;
}

/* An answer to a verdict. ENOENT: the kernel had dropped the packet meanwhile,
 * as it does when an interface goes away or any netfilter hook is removed. */
static void
read_answer(struct nsp_nfq_queue *queue, const uint8_t *bytes,
            uint32_t held_bytes)
{
    struct nlmsgerr answer;

    if (held_bytes < sizeof(struct nlmsghdr) + sizeof answer)
        return;
    memcpy(&answer, bytes + sizeof(struct nlmsghdr), sizeof answer);
    if (answer.error == 0)
        return;
    if (answer.error == -ENOENT) {
        nsp_counter_add(&queue->stale_verdict_pkts, 1);
        return;
    }
    if (answer.error == -ENODEV || answer.error == -EPERM)
        nsp_nfq_fail(queue, answer.error); /* The queue is not ours any more. */
    else
        nsp_counter_add(&queue->device_errors, 1);
}

void
nsp_nfq_read_answers(struct nsp_nfq_queue *queue)
{
    uint8_t bytes[64]; /* What follows is our own message. */

    for (uint32_t i = 0; i < NSP_BURST_MAX; i++) {
        ssize_t got =
            recv(queue->nl.fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
        struct nlmsghdr header;

        if (got < (ssize_t)sizeof header)
            return;
        memcpy(&header, bytes, sizeof header);
        if (header.nlmsg_type != NLMSG_ERROR)
            return;
        read_answer(queue, bytes, (uint32_t)got);
        if (recv(queue->nl.fd, bytes, sizeof bytes, MSG_DONTWAIT) < 0)
            return;
    }
}

/* Turns a datagram into a packet; NULL when it is none. The kernel sends each
 * message in a datagram of its own. */
static struct nsp_pkt *
read_message(struct nsp_nfq_queue *queue, uint8_t *bytes, uint32_t held_bytes,
             struct burst_time *at)
{
    struct message_fields fields;
    struct nsp_nfq_slot *slot;
    struct nlmsghdr header;

    if (held_bytes < MESSAGE_HEADER_BYTES)
        goto malformed;
    memcpy(&header, bytes, sizeof header);
    if (header.nlmsg_type == NLMSG_ERROR) {
        read_answer(queue, bytes, held_bytes);
        return NULL;
    }
    if (header.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        header.nlmsg_len < MESSAGE_HEADER_BYTES)
        goto malformed;
    read_attributes(bytes + MESSAGE_HEADER_BYTES,
                    nsp_min_u32(header.nlmsg_len, held_bytes) -
                        MESSAGE_HEADER_BYTES,
                    &fields);
    if (!fields.has_header)
        goto malformed;

    queue->last_id = fields.id;
    slot = nsp_nfq_slot_of(nsp_packet_pool_take(&queue->pool));
    fill_pkt(slot, queue, &fields, at);
    queue->last_burst[queue->last_burst_pkts++] = slot;
    return &slot->pkt;

malformed:
    nsp_counter_add(&queue->device_errors, 1);
    return NULL;
}

static void
receive_failed(struct nsp_nfq_queue *queue, int os_errno)
{
    if (os_errno == EAGAIN || os_errno == EINTR)
        return;
    if (os_errno == ENOBUFS) { /* At least one message did not fit. */
        nsp_counter_add(&queue->lost_pkts, 1);
        return;
    }
    nsp_nfq_fail(queue, -os_errno);
}

uint32_t
nsp_nfq_rx_burst(struct nsp_nfq_queue *queue, uint64_t now_ns,
                 struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct burst_time at = { .now_ns = now_ns };
    uint32_t n = 0;

    forget_last_burst(queue);
    max = nsp_min_u32(nsp_min_u32(max, NSP_BURST_MAX),
                      nsp_packet_pool_left(&queue->pool));
    for (int i = 0; n == 0 && max > 0 && i < EMPTY_BURSTS_MAX; i++) {
        int got =
            recvmmsg(queue->nl.fd, queue->messages, max, MSG_DONTWAIT, NULL);

        if (got < 0) {
            receive_failed(queue, errno);
            break;
        }
        for (int j = 0; j < got; j++) {
            struct nsp_pkt *pkt = read_message(queue, queue->iov[j].iov_base,
                                               queue->messages[j].msg_len, &at);

            if (pkt)
                ret_pkts[n++] = pkt;
        }
    }
    return n;
}
