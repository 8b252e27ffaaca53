#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>

/* A mark to set, in network order. */
struct mark_attribute {
    struct nlattr attribute;
    uint32_t mark;
};

/* A verdict is retried this often while the kernel is short of memory. */
#define SEND_TRIES_MAX 64

struct verdict_message {
    struct nlmsghdr header;
    struct nfgenmsg netfilter;
    struct nlattr attribute;
    struct nfqnl_msg_verdict_hdr verdict;
};
_Static_assert(sizeof(struct verdict_message) == NSP_NFQ_VERDICT_BYTES,
               "no holes in a message");

/* Sends the verdicts collected so far. The kernel takes them one by one, in
 * order, before send() returns; only the lack of memory for the whole keeps it
 * from that. */
static int
flush_verdicts(struct nsp_nfq_queue *queue)
{
    ssize_t sent = 0;

    if (queue->verdict_used_bytes == 0)
        return 0;
    for (int i = 0; i < SEND_TRIES_MAX; i++) {
        sent =
            send(queue->nl.fd, queue->verdicts, queue->verdict_used_bytes, 0);
        if (sent >= 0 || (errno != EINTR && errno != EAGAIN &&
                          errno != ENOBUFS && errno != ENOMEM))
            break;
    }
    queue->verdict_used_bytes = 0;
    if (sent >= 0)
        return 0;
    queue->verdicts_lost = true;
    nsp_nfq_fail(queue, -errno);
    return -errno;
}

static bool
is_marked(const struct nsp_pkt *pkt)
{
    return pkt->mark != nsp_nfq_slot_of(pkt)->mark;
}

/* Of a verdict on 'pkt'. */
static uint32_t
verdict_bytes(const struct nsp_pkt *pkt, uint32_t payload_bytes)
{
    uint32_t bytes = sizeof(struct verdict_message);

    if (is_marked(pkt))
        bytes += sizeof(struct mark_attribute);
    if (payload_bytes > 0)
        bytes += NSP_NFQ_ATTRIBUTE_HEADER_BYTES + nsp_nfq_padded(payload_bytes);
    return bytes;
}

/* Appends a verdict; with 'payload_bytes' the packet's bytes go along. The
 * caller made room. */
static void
put_verdict(struct nsp_nfq_queue *queue, const struct nsp_pkt *pkt,
            uint32_t verdict, uint32_t payload_bytes)
{
    uint8_t *at = queue->verdicts + queue->verdict_used_bytes;
    uint32_t bytes = verdict_bytes(pkt, payload_bytes);
    struct verdict_message message = {
        .header = {
            .nlmsg_len = bytes,
            .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
            .nlmsg_flags = NLM_F_REQUEST, /* Only errors are answered. */
        },
        .netfilter = {
            .version = NFNETLINK_V0,
            .res_id = htons(queue->number),
        },
        .attribute = {
            .nla_len = NSP_NFQ_ATTRIBUTE_HEADER_BYTES + sizeof message.verdict,
            .nla_type = NFQA_VERDICT_HDR,
        },
        .verdict = {
            .verdict = htonl(verdict),
            .id = htonl((uint32_t)pkt->device_ref),
        },
    };

    memcpy(at, &message, sizeof message);
    at += sizeof message;
    if (is_marked(pkt)) {
        struct mark_attribute mark = {
            .attribute = { .nla_len = sizeof mark, .nla_type = NFQA_MARK },
            .mark = htonl(pkt->mark),
        };

        memcpy(at, &mark, sizeof mark);
        at += sizeof mark;
    }
    if (payload_bytes > 0) {
        struct nlattr payload = {
            .nla_len =
                (uint16_t)(NSP_NFQ_ATTRIBUTE_HEADER_BYTES + payload_bytes),
            .nla_type = NFQA_PAYLOAD,
        };
        uint32_t padding = nsp_nfq_padded(payload_bytes) - payload_bytes;

        memcpy(at, &payload, sizeof payload);
        memcpy(at + NSP_NFQ_ATTRIBUTE_HEADER_BYTES, pkt->data, payload_bytes);
        memset(at + NSP_NFQ_ATTRIBUTE_HEADER_BYTES + payload_bytes, 0, padding);
    }
    queue->verdict_used_bytes += bytes;
}

/* Makes an edited packet fit to replace the kernel's, which afterwards takes
 * its checksums for complete. Impossible for a superpacket, whose segments
 * would be cut by what the kernel knows of the old bytes, and for one not held
 * whole. */
static bool
prepare_edited(const struct nsp_nfq_queue *queue, struct nsp_pkt *pkt)
{
    if (!queue->config.edits || pkt->flags & NSP_PKT_SUPERPACKET ||
        !nsp_nfq_slot_of(pkt)->whole || pkt->cap_bytes == 0 ||
        pkt->cap_bytes > NSP_NFQ_PAYLOAD_BYTES_MAX)
        return false;
    return pkt->csum != NSP_CSUM_PARTIAL || nsp_pkt_fix_checksums(pkt) == 0;
}

static uint32_t
refuse_range(bool ret_refused[], uint32_t from, uint32_t to)
{
    uint32_t n = 0;

    for (uint32_t i = from; i < to; i++) {
        n += !ret_refused[i];
        ret_refused[i] = true;
    }
    return n;
}

uint32_t
nsp_nfq_tx_burst(struct nsp_nfq_queue *queue, struct nsp_pkt *const pkts[],
                 uint32_t n, bool ret_refused[])
{
    uint32_t refused = 0, unsent = 0;

    for (uint32_t i = 0; i < n; i++) {
        bool edited = pkts[i]->flags & NSP_PKT_MODIFIED;
        uint32_t payload_bytes = 0;

        ret_refused[i] = edited && !prepare_edited(queue, pkts[i]);
        refused += ret_refused[i];
        if (edited && !ret_refused[i])
            payload_bytes = pkts[i]->cap_bytes;

        if (queue->verdict_used_bytes + verdict_bytes(pkts[i], payload_bytes) >
            queue->verdict_room_bytes) {
            if (flush_verdicts(queue) < 0)
                refused += refuse_range(ret_refused, unsent, i);
            unsent = i;
        }
        put_verdict(queue, pkts[i], ret_refused[i] ? NF_DROP : NF_ACCEPT,
                    payload_bytes);
    }
    if (flush_verdicts(queue) < 0)
        refused += refuse_range(ret_refused, unsent, n);
    for (uint32_t i = 0; i < n; i++)
        nsp_nfq_give_back_slot(queue, nsp_nfq_slot_of(pkts[i]));
    return refused;
}

void
nsp_nfq_drop_burst(struct nsp_nfq_queue *queue, struct nsp_pkt *const pkts[],
                   uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (queue->verdict_used_bytes + verdict_bytes(pkts[i], 0) >
            queue->verdict_room_bytes)
            (void)flush_verdicts(queue); /* Failure shows in 'status'. */
        put_verdict(queue, pkts[i], NF_DROP, 0);
    }
    (void)flush_verdicts(queue);
    for (uint32_t i = 0; i < n; i++)
        nsp_nfq_give_back_slot(queue, nsp_nfq_slot_of(pkts[i]));
}
