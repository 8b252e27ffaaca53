#define _GNU_SOURCE
#include "io/nfqueue/nfqueue_probe.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/device.h"
#include "io/nfqueue/nfqueue_dead.h"
#include "io/nfqueue/nfqueue_inject.h"
#include "io/nfqueue/nfqueue_match.h"
#include "io/nfqueue/nfqueue_queue.h"
#include "io/nfqueue/nfqueue_rules.h"

#define PRIVILEGE_CURE                                                         \
    "run as root or with CAP_NET_ADMIN and CAP_NET_RAW, or under unshare "     \
    "--map-root-user --net"
#define QUEUE_CURE                                                             \
    "a kernel with CONFIG_NETFILTER_NETLINK_QUEUE (module nfnetlink_queue)"
#define TABLES_CURE                                                            \
    "a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET (module "        \
    "nf_tables)"

#define PROBE_TABLE          "netshaper-probe"
#define WANTED_RECEIVE_BYTES (8u << 20)
/* Queue numbers tried for the one that is bound to try the flags. */
#define QUEUES_TRIED 64u
#define DEAD_SEEN    64u

struct probe {
    struct nsp_device_probe to;
    struct nsp_nl nl;
    bool privileged;
};

static void
report_not_asked(const struct probe *probe, const char *feature)
{
    nsp_device_report(&probe->to, feature, NSP_PROBE_MISSING, PRIVILEGE_CURE,
                      "cannot be told without privilege");
}

/* --- Privilege and NFQUEUE ------------------------------------------------ */

static void
probe_queue_subsystem(struct probe *probe)
{
    int err = nsp_nl_open(&probe->nl);

    /* Changes nothing, yet is refused to those who may not bind. */
    if (err == 0)
        err = nsp_nfq_request_command(&probe->nl, 0, NFQNL_CFG_CMD_PF_BIND);
    /* nfnetlink asks for the privilege first, then for the subsystem. */
    probe->privileged = err != -EPERM && probe->nl.fd >= 0;

    if (probe->privileged)
        nsp_device_report(&probe->to, "privilege", NSP_PROBE_OK, "",
                          "CAP_NET_ADMIN over this network namespace");
    else if (probe->nl.fd >= 0)
        nsp_device_report(&probe->to, "privilege", NSP_PROBE_MISSING,
                          PRIVILEGE_CURE,
                          "no CAP_NET_ADMIN over this network namespace");
    else
        nsp_device_report(&probe->to, "privilege", NSP_PROBE_MISSING,
                          "a kernel with CONFIG_NETFILTER_NETLINK",
                          "no netfilter netlink socket: %s", strerror(-err));

    if (!probe->privileged)
        report_not_asked(probe, "nfnetlink-queue");
    else if (err < 0)
        nsp_device_report(&probe->to, "nfnetlink-queue", NSP_PROBE_MISSING,
                          QUEUE_CURE, "NFQUEUE: %s", strerror(-err));
    else
        nsp_device_report(&probe->to, "nfnetlink-queue", NSP_PROBE_OK, "",
                          "NFQUEUE answers");
}

/* --- nftables ------------------------------------------------------------- */

static void
probe_nft(const struct probe *probe, int err, enum nsp_nfq_refused refused)
{
    bool tables = err == 0 || refused != NSP_NFQ_REFUSED_SUBSYSTEM;
    bool owner = tables && (err == 0 || refused != NSP_NFQ_REFUSED_TABLE);

    if (tables)
        nsp_device_report(&probe->to, "nft-tables", NSP_PROBE_OK, "",
                          "nf_tables answers");
    else
        nsp_device_report(&probe->to, "nft-tables", NSP_PROBE_MISSING,
                          TABLES_CURE, "nf_tables: %s", strerror(-err));
    if (owner)
        nsp_device_report(&probe->to, "nft-owner", NSP_PROBE_OK, "",
                          "tables vanish with the process that owns them");
    else
        nsp_device_report(&probe->to, "nft-owner", NSP_PROBE_MISSING,
                          "Linux 5.12 or later, with " TABLES_CURE,
                          "no table with an owner: %s", strerror(-err));
}

/* Whether the rules can ask if the process is alive. */
static void
probe_signs(struct probe *probe, struct nsp_nfq_rules rules,
            enum nsp_nfq_divert divert)
{
    enum nsp_nfq_refused refused;
    struct nsp_beats beats;
    int alive_fd;
    int err = nsp_beats_open(&beats, 1, NSP_DEVICE_HANG_MS_DEFAULT);

    if (err == 0)
        err = nsp_nfq_load_alive(&beats, 1);
    if (err >= 0) {
        alive_fd = err;
        rules.alive_fd = &alive_fd;
        err = nsp_nfq_rules_check(&probe->nl, PROBE_TABLE, &rules, divert,
                                  &refused);
        close(alive_fd);
    }
    nsp_beats_close(&beats);
    if (err == 0)
        nsp_device_report(&probe->to, "signs-of-life", NSP_PROBE_OK, "",
                          "a process that hangs is passed by");
    else
        nsp_device_report(
            &probe->to, "signs-of-life", NSP_PROBE_DEGRADED,
            err == -EPERM ? "run as root outside user namespaces"
                          : "a kernel with CONFIG_BPF_SYSCALL, "
                            "CONFIG_NFT_COMPAT and "
                            "CONFIG_NETFILTER_XT_MATCH_BPF",
            "packets wait while the process hangs: the rules cannot ask: %s",
            strerror(-err));
}

static void
probe_queue_expression(struct probe *probe, const struct nsp_nfq_rules *rules,
                       int native_err)
{
    enum nsp_nfq_refused refused;
    int err;

    if (native_err == 0) {
        nsp_device_report(&probe->to, "queue-expression", NSP_PROBE_OK, "",
                          "native (nft queue)");
        probe_signs(probe, *rules, NSP_NFQ_DIVERT_NATIVE);
        return;
    }
    err = nsp_nfq_rules_check(&probe->nl, PROBE_TABLE, rules,
                              NSP_NFQ_DIVERT_COMPAT, &refused);
    if (err < 0) {
        nsp_device_report(
            &probe->to, "queue-expression", NSP_PROBE_MISSING,
            "a kernel with CONFIG_NFT_QUEUE, or with CONFIG_NFT_COMPAT and "
            "CONFIG_NETFILTER_XT_TARGET_NFQUEUE",
            "native: %s; compatible: %s", strerror(-native_err),
            strerror(-err));
        return;
    }
    nsp_device_report(
        &probe->to, "queue-expression", NSP_PROBE_OK, "",
        "compatible (xtables NFQUEUE target); no native nft queue");
    probe_signs(probe, *rules, NSP_NFQ_DIVERT_COMPAT);
}

static void
probe_rules(struct probe *probe)
{
    const struct nsp_nfq_rules rules = {
        .hooks = NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD,
        .first_queue = 1,
        .queues = 1,
    };
    enum nsp_nfq_refused refused = NSP_NFQ_REFUSED_SUBSYSTEM;
    int err;

    if (!probe->privileged) {
        report_not_asked(probe, "nft-tables");
        report_not_asked(probe, "nft-owner");
        report_not_asked(probe, "queue-expression");
        report_not_asked(probe, "signs-of-life");
        return;
    }
    err = nsp_nfq_rules_check(&probe->nl, PROBE_TABLE, &rules,
                              NSP_NFQ_DIVERT_NATIVE, &refused);
    probe_nft(probe, err, refused);
    probe_queue_expression(probe, &rules, err);
}

/* What is left of processes that were killed and fail closed. */
static void
probe_dead(struct probe *probe)
{
    struct nsp_nfq_dead dead[DEAD_SEEN];
    int count;

    if (!probe->privileged) {
        report_not_asked(probe, "dead-tables");
        return;
    }
    count = nsp_nfq_dead_find(&probe->nl, NULL, 0, 0, dead, DEAD_SEEN);
    if (count > 0)
        nsp_device_report(&probe->to, "dead-tables", NSP_PROBE_DEGRADED,
                          "start nsp again, or: nft delete table inet NAME",
                          "table %s drops packets: its process failed closed, "
                          "and was killed",
                          dead[0].table);
    else if (count == 0)
        nsp_device_report(&probe->to, "dead-tables", NSP_PROBE_OK, "",
                          "no process that fails closed has left its rules");
    else
        nsp_device_report(&probe->to, "dead-tables", NSP_PROBE_MISSING,
                          TABLES_CURE, "cannot list tables: %s",
                          strerror(-count));
}

/* --- Queue flags ---------------------------------------------------------- */

static void
report_flags(const struct probe *probe, uint32_t granted)
{
    const uint32_t wanted =
        NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_UID_GID;

    nsp_device_report(
        &probe->to, "queue-flags",
        granted == wanted ? NSP_PROBE_OK : NSP_PROBE_DEGRADED,
        "a newer kernel: gso and uid-gid came with Linux 3.10 and 3.12",
        "gso %s, fail-open %s, uid-gid %s",
        granted & NFQA_CFG_F_GSO ? "yes" : "no",
        granted & NFQA_CFG_F_FAIL_OPEN ? "yes" : "no",
        granted & NFQA_CFG_F_UID_GID ? "yes" : "no");
}

/* Binds a queue to which no rule of ours points, and lets it go again. */
static void
probe_flags(struct probe *probe)
{
    const uint32_t wanted =
        NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_UID_GID;
    uint32_t granted = 0;
    uint16_t number = UINT16_MAX;
    int err = -EPERM;

    if (!probe->privileged) {
        report_not_asked(probe, "queue-flags");
        return;
    }
    for (uint32_t i = 0; i < QUEUES_TRIED && (err == -EPERM || err == -EBUSY);
         i++)
        err = nsp_nfq_request_command(&probe->nl, --number, NFQNL_CFG_CMD_BIND);
    if (err == 0)
        err = nsp_nfq_request_flags(&probe->nl, number, wanted, &granted);
    if (err < 0)
        nsp_device_report(&probe->to, "queue-flags", NSP_PROBE_MISSING,
                          QUEUE_CURE, "cannot bind a queue: %s",
                          strerror(-err));
    else
        report_flags(probe, granted);
}

/* --- Sockets -------------------------------------------------------------- */

static void
probe_raw_socket(const struct probe *probe)
{
    struct nsp_nfq_injector injector;
    int err = nsp_nfq_injector_open(&injector);

    if (err < 0) {
        nsp_device_report(&probe->to, "raw-socket", NSP_PROBE_MISSING,
                          err == -EPERM ? PRIVILEGE_CURE
                                        : "a kernel with CONFIG_INET",
                          "no raw socket with a mark: %s", strerror(-err));
        return;
    }
    if (injector.ipv6_fd < 0)
        nsp_device_report(&probe->to, "raw-socket", NSP_PROBE_DEGRADED,
                          "a kernel with CONFIG_IPV6, and IPv6 not disabled",
                          "IPv4 only: IPv6 packets cannot be rejected");
    else
        nsp_device_report(&probe->to, "raw-socket", NSP_PROBE_OK, "",
                          "IPv4 and IPv6");
    nsp_nfq_injector_close(&injector);
}

static void
probe_receive_buffer(const struct probe *probe)
{
    int value = 0;
    socklen_t bytes = sizeof value;

    if (probe->nl.fd < 0) {
        nsp_device_report(&probe->to, "receive-buffer", NSP_PROBE_MISSING,
                          "a kernel with CONFIG_NETFILTER_NETLINK",
                          "no netfilter netlink socket");
        return;
    }
    if (nsp_nfq_force_receive_buffer(probe->nl.fd, WANTED_RECEIVE_BYTES)) {
        nsp_device_report(&probe->to, "receive-buffer", NSP_PROBE_OK, "",
                          "any size");
        return;
    }
    /* The kernel says twice what was asked, to allow for its own structures. */
    getsockopt(probe->nl.fd, SOL_SOCKET, SO_RCVBUF, &value, &bytes);
    if (value / 2 >= (int)WANTED_RECEIVE_BYTES)
        nsp_device_report(&probe->to, "receive-buffer", NSP_PROBE_OK, "",
                          "%d bytes", value / 2);
    else
        nsp_device_report(
            &probe->to, "receive-buffer", NSP_PROBE_DEGRADED,
            "sysctl net.core.rmem_max=67108864, or run as root outside user "
            "namespaces",
            "net.core.rmem_max limits it to %d bytes: bursts may pass by "
            "uncounted",
            value / 2);
}

void
nsp_nfq_probe(nsp_probe_fn *report, void *context)
{
    struct probe probe = {
        .to = { report, context, PRIVILEGE_CURE },
        .nl = { .fd = -1 },
    };

    probe_queue_subsystem(&probe);
    probe_rules(&probe);
    probe_dead(&probe);
    probe_receive_buffer(&probe);
    probe_flags(&probe);
    probe_raw_socket(&probe);
    nsp_nl_close(&probe.nl);
}
