#define _GNU_SOURCE
/* What NFQUEUE can do without an engine: the peers of the nfqueue benchmarks.
 *
 *     nfqueue_reference --batched|--busy|--one [--host]
 *
 * Queues what the machine forwards in this network namespace, with --host what
 * it sends and receives there, and accepts it.
 *
 *   --batched  bursts of 64 from one recvmmsg(), answered in one send();
 *              superpackets welcome; 128 bytes of each copied.
 *   --busy     the same, looking again at once where nothing is there.
 *   --one      a recv() and a send() for every packet, superpackets split by
 *              the kernel; 128 bytes of each copied. How most programs do it.
 *
 * Prints "ready" when packets are being queued, and their number when SIGINT
 * or SIGTERM ends it. Setting up is the library's own, the loops are not. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "io/nfqueue/nfqueue_queue.h"
#include "io/nfqueue/nfqueue_rules.h"

#define QUEUE      4242
#define BURST      64
#define COPY_BYTES 128
#define SLOT_BYTES 1024
#define MAX_QUEUE  8192
#define POLL_MS    100

static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

struct verdict_message {
    struct nlmsghdr header;
    struct nfgenmsg netfilter;
    struct nlattr attribute;
    struct nfqnl_msg_verdict_hdr verdict;
};

/* A signal that comes just before costs POLL_MS, no more. */
static void
wait_for_packets(int fd)
{
    poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, POLL_MS);
}

/* Finds the packet's id, which the kernel puts first, and writes the verdict.
 * Returns its length, 0 when the message is no packet. */
static size_t
answer(const uint8_t *message, size_t bytes, struct verdict_message *ret)
{
    const struct nlmsghdr *header = (const void *)message;
    const struct nlattr *attribute =
        mnl_nlmsg_get_payload_offset(header, sizeof(struct nfgenmsg));
    struct nfqnl_msg_packet_hdr packet;

    if (bytes < sizeof *header + sizeof(struct nfgenmsg) + sizeof *attribute +
                    sizeof packet ||
        header->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        mnl_attr_get_type(attribute) != NFQA_PACKET_HDR)
        return 0;
    memcpy(&packet, mnl_attr_get_payload(attribute), sizeof packet);
    *ret = (struct verdict_message){
        .header = { .nlmsg_len = sizeof *ret,
                    .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
                    .nlmsg_flags = NLM_F_REQUEST },
        .netfilter = { .res_id = htons(QUEUE) },
        .attribute = { .nla_len = sizeof ret->attribute + sizeof ret->verdict,
                       .nla_type = NFQA_VERDICT_HDR },
        .verdict = { .verdict = htonl(NF_ACCEPT), .id = packet.packet_id },
    };
    return sizeof *ret;
}

static uint64_t
run_batched(int fd, bool busy)
{
    static _Alignas(NSP_CACHE_LINE) uint8_t bytes[BURST][SLOT_BYTES];
    static struct verdict_message verdicts[BURST];
    struct mmsghdr messages[BURST] = { 0 };
    struct iovec iov[BURST];
    uint64_t pkts = 0;

    for (int i = 0; i < BURST; i++) {
        iov[i] = (struct iovec){ bytes[i], SLOT_BYTES };
        messages[i].msg_hdr.msg_iov = &iov[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!stopped) {
        size_t answers = 0;
        int n = recvmmsg(fd, messages, BURST, MSG_DONTWAIT, NULL);

        if (n < 0) {
            if (!busy)
                wait_for_packets(fd);
            continue;
        }
        for (int i = 0; i < n; i++)
            answers +=
                answer(bytes[i], messages[i].msg_len, &verdicts[answers]) > 0;
        if (answers > 0 &&
            send(fd, verdicts, answers * sizeof verdicts[0], 0) < 0)
            perror("send");
        pkts += answers;
    }
    return pkts;
}

static uint64_t
run_one(int fd)
{
    _Alignas(NSP_CACHE_LINE) uint8_t bytes[SLOT_BYTES];
    struct verdict_message verdict;
    uint64_t pkts = 0;

    while (!stopped) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);

        if (got < 0)
            wait_for_packets(fd);
        else if (answer(bytes, (size_t)got, &verdict) > 0) {
            if (send(fd, &verdict, sizeof verdict, 0) < 0)
                perror("send");
            pkts++;
        }
    }
    return pkts;
}

/* Sets the length of the queue, then what is copied, which starts it. */
static int
start_queue(struct nsp_nl *nl)
{
    struct nfqnl_msg_config_params params = {
        .copy_range = htonl(COPY_BYTES),
        .copy_mode = NFQNL_COPY_PACKET,
    };
    struct nsp_nl_batch batch;
    struct nlmsghdr *message;

    nsp_nl_batch_init(&batch, nl);
    message = nsp_nl_begin(&batch, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
                           NLM_F_ACK, AF_UNSPEC, QUEUE);
    mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(MAX_QUEUE));
    mnl_attr_put(message, NFQA_CFG_PARAMS, sizeof params, &params);
    nsp_nl_end(&batch, message);
    return nsp_nl_request(&batch, NULL);
}

static int
set_up(struct nsp_nl *nl, struct nsp_nl *nft, bool batched, uint32_t hooks)
{
    const struct nsp_nfq_rules rules = {
        .hooks = hooks,
        .first_queue = QUEUE,
        .queues = 1,
    };
    uint32_t flags = NFQA_CFG_F_FAIL_OPEN | (batched ? NFQA_CFG_F_GSO : 0);
    enum nsp_nfq_refused refused;
    uint32_t granted;
    int one = 1;
    int err = nsp_nl_open(nl);

    if (err == 0)
        err = nsp_nl_open(nft);
    if (err == 0)
        err = nsp_nfq_request_command(nl, QUEUE, NFQNL_CFG_CMD_BIND);
    if (err == 0)
        err = nsp_nfq_request_flags(nl, QUEUE, flags, &granted);
    if (err < 0)
        return err;
    nsp_nfq_force_receive_buffer(nl->fd, 16u << 20);
    if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof one) <
        0)
        return -errno;
    err = start_queue(nl);
    if (err == 0)
        err =
            nsp_nfq_rules_install(nft, "netshaper-reference", &rules, &refused);
    return err;
}

int
main(int argc, char **argv)
{
    bool host = argc == 3 && strcmp(argv[2], "--host") == 0;
    bool known = argc == 2 || host;
    bool busy = known && strcmp(argv[1], "--busy") == 0;
    bool batched = busy || (known && strcmp(argv[1], "--batched") == 0);
    bool one = known && strcmp(argv[1], "--one") == 0;
    const struct sigaction action = { .sa_handler = stop };
    struct nsp_nl nl = { .fd = -1 }, nft = { .fd = -1 };
    uint64_t pkts;
    int err;

    if (!batched && !one) {
        fprintf(stderr, "usage: %s --batched|--busy|--one [--host]\n", argv[0]);
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    err = set_up(&nl, &nft, batched,
                 host ? NSP_HOOK_INPUT | NSP_HOOK_OUTPUT : NSP_HOOK_FORWARD);
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(-err));
        return err == -EPERM ? 3 : 1;
    }
    puts("ready");
    fflush(stdout);
    pkts = batched ? run_batched(nl.fd, busy) : run_one(nl.fd);
    printf("%" PRIu64 " packets\n", pkts);
    nsp_nl_close(&nft);
    nsp_nl_close(&nl);
    return 0;
}
