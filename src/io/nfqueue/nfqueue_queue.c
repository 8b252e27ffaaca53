#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_queue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

#define QUEUE_MESSAGE(message) ((uint16_t)(NFNL_SUBSYS_QUEUE << 8 | (message)))

/* Packets that may wait to be received, besides those lent out. */
#define WAITING_PKTS 4096u

/* What the kernel charges for an unread message beside the bytes copied:
 * attributes, rounding, and its own structures. */
#define MESSAGE_OVERHEAD_BYTES 1280u
/* Of full copies, most are of ordinary packets. */
#define TYPICAL_COPY_BYTES       2048u
#define RECEIVE_BUFFER_BYTES_MIN (4u << 20)
#define RECEIVE_BUFFER_BYTES_MAX (64u << 20)

/* VERDICT_BATCH covers ids up to a given one, compared modulo 2^32: this far
 * ahead of the oldest covers all that can be queued. */
#define ID_AHEAD (UINT32_C(1) << 30)

static const struct {
    uint32_t flag;
    const char *name, *effect;
} flag_names[] = {
    { NFQA_CFG_F_GSO, "gso", "superpackets are split before they come here" },
    { NFQA_CFG_F_FAIL_OPEN, "fail-open", "a full queue drops packets" },
    { NFQA_CFG_F_UID_GID, "uid-gid", "the owner of a packet is not known" },
};

/* --- Requests ------------------------------------------------------------- */

int
nsp_nfq_request_command(struct nsp_nl *nl, uint16_t number, uint8_t command)
{
    struct nfqnl_msg_config_cmd cmd = { .command = command };
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    message = nsp_nl_begin(&batch, QUEUE_MESSAGE(NFQNL_MSG_CONFIG), NLM_F_ACK,
                           AF_UNSPEC, number);
    mnl_attr_put(message, NFQA_CFG_CMD, sizeof cmd, &cmd);
    nsp_nl_end(&batch, message);
    return nsp_nl_request(&batch, NULL);
}

/* Value and mask travel in one pair of attributes: of two pairs in a message
 * the kernel would heed the last alone. */
static int
request_flags_once(struct nsp_nl *nl, uint16_t number, uint32_t flags)
{
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    message = nsp_nl_begin(&batch, QUEUE_MESSAGE(NFQNL_MSG_CONFIG), NLM_F_ACK,
                           AF_UNSPEC, number);
    mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(flags));
    mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(flags));
    nsp_nl_end(&batch, message);
    return nsp_nl_request(&batch, NULL);
}

int
nsp_nfq_request_flags(struct nsp_nl *nl, uint16_t number, uint32_t flags,
                      uint32_t *ret_granted)
{
    uint32_t granted = 0;
    int err = flags ? request_flags_once(nl, number, flags) : 0;

    if (err == 0) {
        *ret_granted = flags;
        return 0;
    }
    for (uint32_t left = flags; left != 0; left &= left - 1) {
        uint32_t flag = left & (~left + 1);

        err = request_flags_once(nl, number, flag);
        if (err == 0)
            granted |= flag;
        else if (err != -EOPNOTSUPP && err != -EINVAL)
            return err;
    }
    *ret_granted = granted;
    return 0;
}

static int
request_max_queue(struct nsp_nl *nl, uint16_t number, uint32_t pkts)
{
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    message = nsp_nl_begin(&batch, QUEUE_MESSAGE(NFQNL_MSG_CONFIG), NLM_F_ACK,
                           AF_UNSPEC, number);
    mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(pkts));
    nsp_nl_end(&batch, message);
    return nsp_nl_request(&batch, NULL);
}

/* From here on packets are queued, perhaps before an acknowledgement of this
 * could be read: none is asked for, and an error comes to the worker, which
 * counts it. */
static int
post_copy_range(struct nsp_nl *nl, uint16_t number, uint32_t bytes)
{
    struct nfqnl_msg_config_params params = {
        .copy_range = htonl(bytes),
        .copy_mode = NFQNL_COPY_PACKET,
    };
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    message = nsp_nl_begin(&batch, QUEUE_MESSAGE(NFQNL_MSG_CONFIG), 0,
                           AF_UNSPEC, number);
    mnl_attr_put(message, NFQA_CFG_PARAMS, sizeof params, &params);
    nsp_nl_end(&batch, message);
    return nsp_nl_post(&batch);
}

/* --- Life ----------------------------------------------------------------- */

bool
nsp_nfq_force_receive_buffer(int fd, uint32_t bytes)
{
    int value = (int)bytes;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof value) == 0)
        return true;
    /* Only the privilege over the whole machine lifts the limit. Without it the
     * kernel takes the value and silently cuts it. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof value);
    return false;
}

static uint32_t
receive_buffer_bytes(const struct nsp_nfq_queue_config *cfg)
{
    uint32_t copied = cfg->snap_bytes != 0 && !cfg->edits ? cfg->snap_bytes
                                                          : TYPICAL_COPY_BYTES;
    uint64_t bytes = (uint64_t)WAITING_PKTS * (copied + MESSAGE_OVERHEAD_BYTES);

    if (bytes < RECEIVE_BUFFER_BYTES_MIN)
        return RECEIVE_BUFFER_BYTES_MIN;
    return (uint32_t)nsp_min_u64(bytes, RECEIVE_BUFFER_BYTES_MAX);
}

/* The pool, which says how much is sent at once, has been made. */
static void
set_socket_options(struct nsp_nfq_queue *queue)
{
    const struct nsp_nfq_queue_config *cfg = &queue->config;
    uint32_t bytes = receive_buffer_bytes(cfg);
    int send_bytes = (int)queue->verdict_room_bytes;
    int one = 1;

    if (!nsp_nfq_force_receive_buffer(queue->nl.fd, bytes))
        nsp_log_write(
            &cfg->log, NSP_LOG_INFO,
            "nfqueue: no privilege to set a receive buffer of %u bytes; "
            "net.core.rmem_max limits it",
            bytes);
    /* An overrun loses the message that did not fit. Without this option the
     * socket also fails until it has been drained; the kernel counts losses
     * either way. */
    if (setsockopt(queue->nl.fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one,
                   sizeof one) < 0)
        nsp_log_write(&cfg->log, NSP_LOG_INFO,
                      "nfqueue: NETLINK_NO_ENOBUFS: %s", strerror(errno));
    if (setsockopt(queue->nl.fd, SOL_SOCKET, SO_SNDBUF, &send_bytes,
                   sizeof send_bytes) < 0)
        nsp_log_write(&cfg->log, NSP_LOG_INFO, "nfqueue: SO_SNDBUF: %s",
                      strerror(errno));
    /* Has the kernel note when packets come to this machine, while any socket
     * asks for it. A delay counts from then, not from when we woke. */
    if (cfg->max_held_pkts > 0 &&
        setsockopt(queue->nl.fd, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof one) <
            0)
        nsp_log_write(&cfg->log, NSP_LOG_INFO, "nfqueue: SO_TIMESTAMP: %s",
                      strerror(errno));
}

int
nsp_nfq_queue_open(struct nsp_nfq_queue *queue,
                   const struct nsp_nfq_queue_config *cfg)
{
    int err;

    *queue = (struct nsp_nfq_queue){
        .config = *cfg,
        .nl = { .fd = -1 },
        .wakeup = { .fd = -1 },
    };
    err = nsp_nl_open(&queue->nl);
    if (err < 0)
        return err;
    err = nsp_wakeup_open(&queue->wakeup);
    if (err < 0)
        return err;
    err = nsp_nfq_pool_init(queue);
    if (err < 0)
        return err;
    set_socket_options(queue);
    return 0;
}

int
nsp_nfq_queue_bind(struct nsp_nfq_queue *queue, uint16_t number)
{
    int err = nsp_nfq_request_command(&queue->nl, number, NFQNL_CFG_CMD_BIND);

    /* Linux says EPERM of a queue of another socket, some versions EBUSY. */
    if (err == -EBUSY)
        return -EPERM;
    if (err == 0)
        queue->number = number;
    return err;
}

void
nsp_nfq_queue_unbind(struct nsp_nfq_queue *queue)
{
    if (queue->number == 0)
        return;
    /* Failure is of no consequence: closing the socket unbinds as well. */
    (void)!nsp_nfq_request_command(&queue->nl, queue->number,
                                   NFQNL_CFG_CMD_UNBIND);
    queue->number = 0;
}

static void
log_refused_flags(const struct nsp_nfq_queue *queue, uint32_t refused)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(flag_names); i++)
        if (refused & flag_names[i].flag)
            nsp_log_write(&queue->config.log, NSP_LOG_WARNING,
                          "nfqueue: the kernel refuses the queue flag '%s': %s",
                          flag_names[i].name, flag_names[i].effect);
}

int
nsp_nfq_queue_start(struct nsp_nfq_queue *queue)
{
    const struct nsp_nfq_queue_config *cfg = &queue->config;
    uint32_t max_queue_pkts = cfg->max_queue_pkts;
    uint32_t flags = NFQA_CFG_F_UID_GID;
    uint32_t granted = 0;
    int err;

    if (max_queue_pkts == 0)
        max_queue_pkts = cfg->max_held_pkts + 2 * NSP_BURST_MAX + WAITING_PKTS;
    if (cfg->superpackets)
        flags |= NFQA_CFG_F_GSO;
    if (!cfg->fail_closed)
        flags |= NFQA_CFG_F_FAIL_OPEN;

    err = nsp_nfq_request_flags(&queue->nl, queue->number, flags, &granted);
    if (err < 0)
        return err;
    log_refused_flags(queue, flags & ~granted);
    err = request_max_queue(&queue->nl, queue->number, max_queue_pkts);
    if (err < 0)
        return err;
    return post_copy_range(&queue->nl, queue->number,
                           cfg->snap_bytes ? cfg->snap_bytes : UINT16_MAX);
}

static int
post_superpackets(struct nsp_nl *nl, uint16_t number, bool wanted)
{
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    message = nsp_nl_begin(&batch, QUEUE_MESSAGE(NFQNL_MSG_CONFIG), 0,
                           AF_UNSPEC, number);
    mnl_attr_put_u32(message, NFQA_CFG_FLAGS,
                     htonl(wanted ? NFQA_CFG_F_GSO : 0));
    mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
    nsp_nl_end(&batch, message);
    return nsp_nl_post(&batch);
}

int
nsp_nfq_queue_adjust(struct nsp_nfq_queue *queue, uint32_t snap_bytes,
                     bool superpackets)
{
    int err = post_superpackets(&queue->nl, queue->number, superpackets);

    if (err == 0)
        err = post_copy_range(&queue->nl, queue->number,
                              snap_bytes ? snap_bytes : UINT16_MAX);
    return err;
}

/* One message answers for all, without receiving them. */
void
nsp_nfq_queue_accept_all(struct nsp_nfq_queue *queue)
{
    struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_ACCEPT) };
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    if (queue->number == 0)
        return;
    if (queue->verdicts_lost) {
        nsp_log_write(
            &queue->config.log, NSP_LOG_WARNING,
            "nfqueue: queue %u has failed: the packets left in it are "
            "dropped",
            queue->number);
        return;
    }
    verdict.id = htonl(queue->last_id + ID_AHEAD);
    nsp_nl_batch_init(&batch, &queue->nl);
    message = nsp_nl_begin(&batch, QUEUE_MESSAGE(NFQNL_MSG_VERDICT_BATCH), 0,
                           AF_UNSPEC, queue->number);
    mnl_attr_put(message, NFQA_VERDICT_HDR, sizeof verdict, &verdict);
    nsp_nl_end(&batch, message);
    if (nsp_nl_post(&batch) < 0)
        nsp_log_write(&queue->config.log, NSP_LOG_WARNING,
                      "nfqueue: queue %u could not be emptied: %s",
                      queue->number, strerror(errno));
}

void
nsp_nfq_queue_close(struct nsp_nfq_queue *queue)
{
    nsp_nfq_pool_fini(queue);
    if (queue->wakeup.fd >= 0)
        nsp_wakeup_close(&queue->wakeup);
    nsp_nl_close(&queue->nl);
}
