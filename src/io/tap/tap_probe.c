#define _GNU_SOURCE
#include "io/tap/tap_probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/device.h"
#include "io/tap/tap_program.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"
#include "os/linux/tap_link.h"
#include "os/linux/tc_hook.h"

struct probe {
    struct nsp_device_probe to;
    struct nsp_tap_link link;
    int map_fd, program_fd;
};

static void
probe_device(struct probe *probe)
{
    const struct nsp_tap_link_config cfg = {
        .queues = 1,
        .queue_pkts = NSP_BURST_MAX,
        .superpackets = true,
    };
    const char *step;
    int err = nsp_tap_link_open(&probe->link, &cfg, &step);

    if (err < 0) {
        nsp_tap_link_close(&probe->link);
        nsp_device_report(
            &probe->to, "tap-device", NSP_PROBE_MISSING,
            nsp_device_cure(&probe->to, err,
                            "a kernel with CONFIG_TUN (module tun), and "
                            "/dev/net/tun"),
            "%s: %s", step, strerror(-err));
    } else if (!probe->link.udp_superpackets) {
        nsp_device_report(&probe->to, "tap-device", NSP_PROBE_DEGRADED,
                          "Linux 6.2 or later",
                          "TCP superpackets; those of UDP are split");
    } else {
        nsp_device_report(&probe->to, "tap-device", NSP_PROBE_OK, "",
                          "TCP and UDP superpackets");
    }
}

/* Loads what a device would load. */
static int
load_programs(struct probe *probe)
{
    struct nsp_tap_divert divert = {
        .ifindex = probe->link.ifindex,
        .tap_ifindex = probe->link.ifindex,
        .ingress = true,
        .queues = 1,
    };
    struct nsp_beats beats;
    int fd = nsp_beats_open(&beats, 1, 1000);

    divert.shared_fd = beats.map_fd;
    if (fd == 0)
        probe->program_fd =
            nsp_tap_load_divert(&divert, &nsp_libc_allocator, NULL, 0);
    nsp_beats_close(&beats);
    if (fd < 0)
        return fd;
    if (probe->program_fd < 0)
        return probe->program_fd;

    probe->map_fd =
        nsp_bpf_array_create("nsp_tap_places", sizeof(struct nsp_tap_place),
                             NSP_TAP_INTERFACES_MAX, false);
    if (probe->map_fd < 0)
        return probe->map_fd;
    fd = nsp_tap_load_return(probe->map_fd, NULL, 0);
    if (fd < 0)
        return fd;
    close(probe->program_fd);
    probe->program_fd = fd;
    return 0;
}

static void
probe_programs(struct probe *probe)
{
    int err = load_programs(probe);

    if (err < 0)
        nsp_device_report(
            &probe->to, "tap-programs", NSP_PROBE_MISSING,
            nsp_device_cure(&probe->to, err,
                            "Linux 5.10 or later with CONFIG_BPF_SYSCALL and "
                            "CONFIG_NET_CLS_ACT"),
            "eBPF: %s", strerror(-err));
    else
        nsp_device_report(&probe->to, "tap-programs", NSP_PROBE_OK, "",
                          "the kernel takes the programs");
}

/* Attaches the return program to our own TAP, whose packets it drops. */
static void
probe_hooks(const struct probe *probe)
{
    struct nsp_tc_hook hook;
    int tcx, clsact;

    if (probe->program_fd < 0 || probe->link.ifindex == 0) {
        nsp_device_report(&probe->to, "tap-hooks", NSP_PROBE_MISSING,
                          "mend what is missing above", "cannot be told");
        return;
    }
    tcx = nsp_tc_hook_attach(&hook, NSP_TC_TCX, probe->program_fd,
                             probe->link.ifindex, true, probe->link.ifindex);
    nsp_tc_hook_detach(&hook);
    if (tcx == 0) {
        nsp_device_report(&probe->to, "tap-hooks", NSP_PROBE_OK, "",
                          "tcx links, which go with the process");
        return;
    }
    clsact = nsp_tc_hook_attach(&hook, NSP_TC_CLSACT, probe->program_fd,
                                probe->link.ifindex, true, probe->link.ifindex);
    nsp_tc_hook_detach(&hook);
    if (clsact == 0)
        nsp_device_report(
            &probe->to, "tap-hooks", NSP_PROBE_DEGRADED,
            "Linux 6.6 or later with CONFIG_NET_XGRESS",
            "clsact filters, which stay when the process is killed and then "
            "let all pass");
    else
        nsp_device_report(
            &probe->to, "tap-hooks", NSP_PROBE_MISSING,
            nsp_device_cure(&probe->to, tcx,
                            "Linux 6.6 or later with CONFIG_NET_XGRESS, or "
                            "CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF"),
            "tcx: %s; clsact: %s", strerror(-tcx), strerror(-clsact));
}

/* Loads a program that decides by a rule of its own. Returns 0 or a negative
 * errno. */
static int
load_rule(void)
{
    const struct nsp_offload_rule rule = { .does = NSP_OFFLOAD_DROP };
    const struct nsp_offload_request request = { .rules = &rule, .count = 1 };
    const struct nsp_bpf_offload_maps maps = { -1, -1 };
    struct nsp_tap_divert divert = { .ifindex = 1, .tap_ifindex = 1 };
    struct nsp_filter *filter;
    struct nsp_beats beats;
    int fd = nsp_beats_open(&beats, 1, 1000);

    divert.shared_fd = beats.map_fd;
    divert.queues = 1;
    if (fd == 0 && nsp_filter_compile("true", NSP_LAYER_NETWORK, NULL, &filter,
                                      NULL) == NSP_OK) {
        divert.filter = filter;
        fd = nsp_bpf_offload_create(NSP_EBPF_TCX, &request, &maps,
                                    &nsp_libc_allocator, &divert.offload);
        if (fd == 0)
            fd = nsp_tap_load_divert(&divert, &nsp_libc_allocator, NULL, 0);
        nsp_bpf_offload_destroy(divert.offload);
        nsp_filter_destroy(filter);
    }
    nsp_beats_close(&beats);
    if (fd > 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static void
probe_rules(const struct probe *probe)
{
    int err;

    if (probe->program_fd < 0)
        return; /* There is no program to put them in. */
    err = load_rule();
    if (err < 0)
        nsp_device_report(
            &probe->to, "tap-rules", NSP_PROBE_DEGRADED,
            "Linux 5.10 or later; until then --no-offload spares the try",
            "the engine decides every packet: %s", strerror(-err));
    else
        nsp_device_report(
            &probe->to, "tap-rules", NSP_PROBE_OK, "",
            "the kernel decides by rules that only pass, drop, limit or count");
}

void
nsp_tap_probe(nsp_probe_fn *report, void *context)
{
    struct probe probe = {
        .to = { report, context, NSP_TAP_PRIVILEGE_CURE },
        .map_fd = -1,
        .program_fd = -1,
    };

    probe_device(&probe);
    probe_programs(&probe);
    probe_hooks(&probe);
    probe_rules(&probe);
    if (probe.program_fd >= 0)
        close(probe.program_fd);
    if (probe.map_fd >= 0)
        close(probe.map_fd);
    nsp_tap_link_close(&probe.link);
}
