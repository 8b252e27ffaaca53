#define _GNU_SOURCE
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/device.h"
#include "io/nfqueue/nfqueue_dead.h"
#include "io/nfqueue/nfqueue_device.h"
#include "io/nfqueue/nfqueue_match.h"
#include "io/nfqueue/nfqueue_rules.h"
#include "netshaper/engine.h"

/* Automatic queue numbers start in this range, at a place that depends on the
 * process, so that engines seldom try each other's. */
#define AUTO_QUEUE_FIRST 1024u
#define AUTO_QUEUE_LAST  65535u

/* As many tables of dead processes are removed at one start. */
#define DEAD_MAX 64u

/* --- Errors for humans ---------------------------------------------------- */

static int
fail_privilege(struct nsp_diag *reterr)
{
    return nsp_diag_set(
        reterr, NSP_NOT_POSSIBLE, "privilege",
        "run as root or with CAP_NET_ADMIN and CAP_NET_RAW, or in a user and "
        "network namespace of your own (unshare --map-root-user --net)",
        "no privilege over this network namespace");
}

static int
fail_kernel(struct nsp_diag *reterr, const char *what, const char *options)
{
    return nsp_diag_set(reterr, NSP_NOT_POSSIBLE, "kernel-feature", options,
                        "the kernel lacks %s", what);
}

/* What helps against an error of the system that tells nothing of packets. */
static const char *
cure_for(int err)
{
    switch (err) {
    case -EMFILE:
        return "raise the limit of open files of a process: ulimit -n 1024";
    case -ENFILE:
        return "raise the machine's limit of open files: sysctl fs.file-max";
    case -ENOBUFS:
        return "free memory, or lower the number of queues";
    default:
        return "'nsp doctor' tells what is missing here";
    }
}

/* An error of opening or starting queues. */
static int
fail_queue(struct nsp_diag *reterr, int err, const char *step)
{
    switch (err) {
    case -EPERM:
    case -EACCES:
        return fail_privilege(reterr);
    case -ENOMEM:
        return nsp_device_fail_memory(reterr);
    case -EPROTONOSUPPORT:
    case -EAFNOSUPPORT:
    case -EINVAL: /* nfnetlink knows no such subsystem. */
    case -EOPNOTSUPP:
        return fail_kernel(reterr, "NFQUEUE",
                           "it needs CONFIG_NETFILTER_NETLINK_QUEUE (module "
                           "nfnetlink_queue)");
    default:
        return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "queue", -err,
                                  cure_for(err), "%s", step);
    }
}

static int
fail_rules(struct nsp_diag *reterr, int err, enum nsp_nfq_refused refused)
{
    if (err == -EPERM)
        return fail_privilege(reterr);
    if (refused == NSP_NFQ_REFUSED_SUBSYSTEM &&
        (err == -EOPNOTSUPP || err == -EINVAL))
        return fail_kernel(
            reterr, "nf_tables",
            "it needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET "
            "(module nf_tables)");
    if (refused == NSP_NFQ_REFUSED_TABLE &&
        (err == -EOPNOTSUPP || err == -EINVAL))
        return fail_kernel(reterr, "nftables tables with an owner",
                           "it needs Linux 5.12 or later with CONFIG_NF_TABLES "
                           "and CONFIG_NF_TABLES_INET");
    if (refused == NSP_NFQ_REFUSED_CHAIN &&
        (err == -EOPNOTSUPP || err == -ENOENT))
        return fail_kernel(reterr, "filter chains of family inet",
                           "it needs CONFIG_NF_TABLES_INET");
    if (refused == NSP_NFQ_REFUSED_RULE && err == -ENOENT)
        return fail_kernel(
            reterr, "a way to queue packets from nftables",
            "it needs CONFIG_NFT_QUEUE, or CONFIG_NFT_COMPAT and "
            "CONFIG_NETFILTER_XT_TARGET_NFQUEUE");
    return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "nft-rules", -err,
                              cure_for(err),
                              "the kernel refuses the nftables rules");
}

static int
fail_taken(const struct nsp_io *io, struct nsp_diag *reterr, uint16_t number)
{
    const char *cure =
        "choose another queue number, or none for a free one; "
        "'grep . /proc/net/netfilter/nfnetlink_queue' lists those "
        "in use";
    struct nsp_nfq_counters row;

    if (io->counters_fd >= 0 &&
        nsp_nfq_counters_read(io->counters_fd, number, &row) == 0)
        return nsp_diag_set(reterr, NSP_OPEN_FAILED, "queue-taken", cure,
                            "queue %u is taken by netlink port %u (usually the "
                            "process of that number)",
                            number, row.port_id);
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "queue-taken", cure,
                        "queue %u is taken by another process", number);
}

/* --- Opening -------------------------------------------------------------- */

static int
check_config(const struct nsp_io_config *cfg,
             const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    const uint32_t all_hooks =
        NSP_HOOK_INPUT | NSP_HOOK_OUTPUT | NSP_HOOK_FORWARD;
    int result = nsp_device_check_config(cfg, device->hang_ms, reterr);

    if (result != NSP_OK)
        return result;
    if (cfg->hooks & ~all_hooks)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "hooks",
                            "choose of NSP_HOOK_INPUT, OUTPUT and FORWARD",
                            "no set of hooks to tap: 0x%x", cfg->hooks);
    if (device->first_queue > UINT16_MAX + 1 - cfg->queues)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "queue-number",
                            "choose a lower first number, or none for a free "
                            "one",
                            "%u queues from number %u go beyond 65535",
                            cfg->queues, device->first_queue);
    return NSP_OK;
}

static int
make_queues(struct nsp_io *io, uint32_t count, struct nsp_diag *reterr)
{
    io->queues = nsp_alloc(&io->allocator, count, sizeof *io->queues);
    if (!io->queues)
        return nsp_device_fail_memory(reterr);
    io->queue_count = count;
    return NSP_OK;
}

static int
open_queues(struct nsp_io *io, const struct nsp_io_config *cfg,
            const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    struct nsp_nfq_queue_config queue_cfg = {
        .max_held_pkts = cfg->max_held_pkts,
        .max_queue_pkts = device->max_queue_pkts,
        .snap_bytes = cfg->snap_bytes,
        .loopback_ifindex = if_nametoindex("lo"),
        .superpackets = cfg->superpackets,
        .edits = cfg->edits,
        .fail_closed = device->fail_closed,
        .allocator = io->allocator,
        .clock = cfg->clock,
        .log = io->log,
    };
    int err;

    for (uint32_t i = 0; i < io->queue_count; i++) {
        queue_cfg.index = i;
        err = nsp_nfq_queue_open(&io->queues[i], &queue_cfg);
        io->queues_open++;
        if (err < 0)
            return fail_queue(reterr, err, "cannot open a netlink socket");
    }
    /* Binding a taken queue is refused with EPERM as well, so whether the
     * caller may bind at all is asked first. */
    err = nsp_nfq_request_command(&io->queues[0].nl, 0, NFQNL_CFG_CMD_PF_BIND);
    if (err < 0)
        return fail_queue(reterr, err, "the kernel refuses to bind queues");
    return NSP_OK;
}

/* Binds queues 'first' and up. On failure none is bound, and '*reterr_taken' is
 * the number that could not be. */
static int
bind_range(struct nsp_io *io, uint32_t first, uint32_t *reterr_taken)
{
    for (uint32_t i = 0; i < io->queue_count; i++) {
        int err = nsp_nfq_queue_bind(&io->queues[i], (uint16_t)(first + i));

        if (err == 0)
            continue;
        for (uint32_t j = 0; j < i; j++)
            nsp_nfq_queue_unbind(&io->queues[j]);
        *reterr_taken = first + i;
        return err;
    }
    return 0;
}

static int
bind_free_range(struct nsp_io *io, struct nsp_diag *reterr)
{
    const uint32_t span =
        AUTO_QUEUE_LAST - AUTO_QUEUE_FIRST - io->queue_count + 2;
    uint32_t at = (uint32_t)getpid() * NSP_IO_QUEUES_MAX % span;

    for (uint32_t tried = 0; tried < span;) {
        uint32_t first = AUTO_QUEUE_FIRST + at, taken;
        int err = bind_range(io, first, &taken);

        if (err == 0)
            return NSP_OK;
        if (err != -EPERM)
            return fail_queue(reterr, err, "cannot bind a queue");
        tried += taken - first + 1;
        at = (at + taken - first + 1) % span;
    }
    return nsp_diag_set(reterr, NSP_OPEN_FAILED, "queue-taken",
                        "end other programs that use NFQUEUE",
                        "no %u free queue numbers in a row", io->queue_count);
}

static int
bind_queues(struct nsp_io *io, const struct nsp_nfqueue_config *device,
            struct nsp_diag *reterr)
{
    uint32_t taken;
    int err;

    if (device->first_queue == 0)
        return bind_free_range(io, reterr);
    err = bind_range(io, device->first_queue, &taken);
    if (err == -EPERM)
        return fail_taken(io, reterr, (uint16_t)taken);
    if (err < 0)
        return fail_queue(reterr, err, "cannot bind a queue");
    return NSP_OK;
}

static int
start_queues(struct nsp_io *io, struct nsp_diag *reterr)
{
    for (uint32_t i = 0; i < io->queue_count; i++) {
        int err = nsp_nfq_queue_start(&io->queues[i]);

        if (err < 0)
            return fail_queue(reterr, err, "cannot set up a queue");
    }
    return NSP_OK;
}

/* Returns the descriptor of a program that asks for signs of life, or a
 * negative errno. */
static int
open_beats(struct nsp_io *io, const struct nsp_nfqueue_config *device)
{
    int err = nsp_beats_open(&io->beats, io->queue_count,
                             nsp_device_hang_ms(device->hang_ms));

    return err < 0 ? err : nsp_nfq_load_alive(&io->beats, io->queue_count);
}

/* Segments of a superpacket may match where the whole does not, and flows are
 * told of all their packets. */
static bool
may_prefilter(const struct nsp_io_config *cfg)
{
    struct nsp_filter_needs needs;

    if (!cfg->filter || !cfg->superpackets || cfg->edits)
        return false;
    nsp_filter_get_needs(cfg->filter, &needs);
    return !needs.always && !needs.flow;
}

static void
make_prefilters(const struct nsp_filter *filter, struct nsp_nfq_prefilters *ret)
{
    nsp_nfq_make_prefilter(filter, NSP_HOOK_INPUT, &ret->input);
    nsp_nfq_make_prefilter(filter, NSP_HOOK_FORWARD, &ret->forward);
    nsp_nfq_make_prefilter(filter, NSP_HOOK_OUTPUT, &ret->output);
}

/* Rules without the match 'bpf' where the kernel lacks it: '*ret_plain'. */
static int
install_any(struct nsp_io *io, const char *name,
            const struct nsp_nfq_rules *rules, bool *ret_plain,
            enum nsp_nfq_refused *reterr_refused)
{
    struct nsp_nfq_rules plain = *rules;
    int err = nsp_nfq_rules_install(&io->nft, name, rules, reterr_refused);

    plain.alive_fd = NULL;
    plain.prefilters = NULL;
    *ret_plain = err == -ENOENT && *reterr_refused == NSP_NFQ_REFUSED_RULE &&
                 (rules->alive_fd || rules->prefilters);
    if (!*ret_plain)
        return err;
    return nsp_nfq_rules_install(&io->nft, name, &plain, reterr_refused);
}

/* Signs of life that nobody asks for are not given. */
static void
do_without_beats(struct nsp_io *io, const char *why, bool lacks_prefilters)
{
    nsp_beats_close(&io->beats);
    nsp_log_write(&io->log, NSP_LOG_INFO,
                  "nfqueue: the rules cannot ask for signs of life%s: %s; "
                  "while the process hangs, packets wait",
                  lacks_prefilters ? ", nor the start filter" : "", why);
}

static int
install_rules(struct nsp_io *io, const struct nsp_io_config *cfg,
              const struct nsp_nfqueue_config *device, struct nsp_diag *reterr)
{
    struct nsp_nfq_prefilters prefilters;
    int alive_fd = open_beats(io, device);
    struct nsp_nfq_rules rules = {
        .hooks = cfg->hooks,
        .skip_input_ifindex = cfg->skip_loopback_input
                                  ? io->queues[0].config.loopback_ifindex
                                  : 0,
        .skip_ethernet_output = cfg->shares_output,
        .first_queue = io->queues[0].number,
        .queues = (uint16_t)io->queue_count,
        .fail_closed = device->fail_closed,
        .alive_fd = alive_fd >= 0 ? &alive_fd : NULL,
    };
    enum nsp_nfq_refused refused;
    char name[NSP_NFQ_TABLE_BYTES];
    bool plain;
    int err;

    if (may_prefilter(cfg)) {
        make_prefilters(cfg->filter, &prefilters);
        rules.prefilters = &prefilters;
    }
    /* A queue number is unique in the namespace, a process id may not be. */
    snprintf(name, sizeof name, NSP_NFQ_TABLE_PREFIX "%ld-%u", (long)getpid(),
             rules.first_queue);
    err = install_any(io, name, &rules, &plain, &refused);
    if (alive_fd >= 0)
        close(alive_fd); /* The rules hold the program. */
    if (err < 0)
        return fail_rules(reterr, err, refused);
    memcpy(io->table, name, sizeof name);
    if (plain)
        do_without_beats(io, "the kernel lacks the match 'bpf'",
                         rules.prefilters != NULL);
    else if (alive_fd < 0)
        do_without_beats(io, strerror(-alive_fd), false);
    return NSP_OK;
}

/* Only now that the rules of this device are in place: nothing passes between.
 */
static void
remove_dead(struct nsp_io *io)
{
    struct nsp_nfq_dead dead[DEAD_MAX];
    int count = nsp_nfq_dead_find(&io->nft, io->table, io->queues[0].number,
                                  io->queue_count, dead, DEAD_MAX);

    for (int i = 0; i < count; i++) {
        int err = nsp_nfq_dead_remove(&io->nft, &dead[i]);

        if (err == 0)
            nsp_log_write(&io->log, NSP_LOG_WARNING,
                          "nfqueue: table %s of a process that was killed, and "
                          "fails closed, is removed",
                          dead[i].table);
        else if (err != -ENOENT)
            nsp_log_write(&io->log, NSP_LOG_WARNING,
                          "nfqueue: cannot remove table %s of a process that "
                          "was killed, and fails closed: %s",
                          dead[i].table, strerror(-err));
    }
}

static int
open_sockets(struct nsp_io *io, struct nsp_diag *reterr)
{
    int err = nsp_nl_open(&io->nft);

    if (err < 0)
        return fail_queue(reterr, err, "cannot open a netlink socket");
    err = nsp_nfq_injector_open(&io->injector);
    if (err == -EPERM)
        return fail_privilege(reterr);
    if (err < 0)
        return nsp_diag_set_errno(reterr, NSP_OPEN_FAILED, "raw-socket", -err,
                                  cure_for(err), "cannot open a raw socket");

    io->counters_fd = nsp_nfq_counters_open();
    if (io->counters_fd < 0)
        nsp_log_write(
            &io->log, NSP_LOG_INFO,
            "nfqueue: /proc/net/netfilter/nfnetlink_queue: %s; packets "
            "that the kernel drops will not be counted",
            strerror(-io->counters_fd));
    return NSP_OK;
}

int
nsp_nfq_device_open(struct nsp_io *io, const struct nsp_io_config *cfg,
                    const struct nsp_nfqueue_config *device,
                    struct nsp_diag *reterr)
{
    int result = check_config(cfg, device, reterr);

    io->fail_closed = device->fail_closed;
    if (result == NSP_OK)
        result = make_queues(io, cfg->queues, reterr);
    if (result == NSP_OK)
        result = open_queues(io, cfg, device, reterr);
    if (result == NSP_OK)
        result = open_sockets(io, reterr);
    if (result == NSP_OK)
        result = bind_queues(io, device, reterr);
    if (result == NSP_OK)
        result = start_queues(io, reterr);
    /* Last: from here on packets come. */
    if (result == NSP_OK)
        result = install_rules(io, cfg, device, reterr);
    if (result == NSP_OK)
        remove_dead(io);
    return result;
}
