#define _GNU_SOURCE
#include "io/bridge/bridge_probe.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/bridge/bridge_program.h"
#include "io/bridge/bridge_socket.h"
#include "io/bridge/packet_ring.h"
#include "io/device.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"
#include "os/linux/tap_link.h"

#define CHUNK_BYTES  4096u
#define MEMORY_BYTES (16u * CHUNK_BYTES)

/* Tells whether the kernel has AF_XDP. */
static bool
probe_sockets(const struct nsp_device_probe *probe)
{
    struct nsp_bridge_memory memory = {
        .count = MEMORY_BYTES,
        .chunk_bytes = CHUNK_BYTES,
        .first_fd = -1,
        .requests = true,
    };
    void *bytes = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int err;

    if (bytes == MAP_FAILED) {
        nsp_device_report(probe, "bridge-sockets", NSP_PROBE_MISSING,
                          "free some memory", "no memory: %s", strerror(errno));
        return true;
    }
    memory.bytes = bytes;
    err = nsp_bridge_socket_try(&memory);
    munmap(bytes, MEMORY_BYTES);
    if (err == -EAFNOSUPPORT)
        nsp_device_report(probe, "bridge-sockets", NSP_PROBE_DEGRADED,
                          "a kernel with CONFIG_XDP_SOCKETS",
                          "no AF_XDP: frames are taken in the stack, slower");
    else if (err < 0)
        nsp_device_report(
            probe, "bridge-sockets", NSP_PROBE_MISSING,
            nsp_device_cure(probe, err, "a kernel with CONFIG_XDP_SOCKETS"),
            "AF_XDP: %s", strerror(-err));
    else if (!memory.requests)
        nsp_device_report(
            probe, "bridge-sockets", NSP_PROBE_DEGRADED, "Linux 6.8 or later",
            "AF_XDP; checksums that virtual senders leave to hardware are "
            "completed in software");
    else
        nsp_device_report(probe, "bridge-sockets", NSP_PROBE_OK, "",
                          "AF_XDP, with checksums by the interface that sends");
    return err != -EAFNOSUPPORT;
}

/* Loads a program that steers, as a device would. */
static int
load_steer(struct nsp_bridge_steer *steer)
{
    struct nsp_beats beats;
    int err = nsp_beats_open(&beats, 1, 1000);

    if (err == 0) {
        steer->workers = 2;
        steer->beats_fd = beats.map_fd;
        err = nsp_bridge_load_steer(steer, &nsp_libc_allocator);
    }
    nsp_beats_close(&beats);
    if (err < 0)
        return err;
    close(err);
    return 0;
}

static int
load_programs(void)
{
    struct nsp_bridge_steer steer = {
        .sockets_fd = nsp_bpf_xskmap_create("nsp_bridge", 1),
    };
    int err = steer.sockets_fd;

    if (err < 0)
        return err;
    err = load_steer(&steer);
    close(steer.sockets_fd);
    if (err < 0)
        return err;
    err = nsp_bridge_load_onward(1);
    if (err < 0)
        return err;
    close(err);
    return 0;
}

static void
probe_programs(const struct nsp_device_probe *probe)
{
    int err = load_programs();

    if (err < 0)
        nsp_device_report(
            probe, "bridge-programs", NSP_PROBE_MISSING,
            nsp_device_cure(probe, err,
                            "Linux 5.12 or later with CONFIG_BPF_SYSCALL, "
                            "CONFIG_XDP_SOCKETS and CONFIG_NET_CLS_ACT"),
            "eBPF: %s", strerror(-err));
    else
        nsp_device_report(
            probe, "bridge-programs", NSP_PROBE_OK, "",
            "the kernel takes the programs; whether a driver does, its "
            "interface tells");
}

/* Makes a sink, listens there, and loads a program that sends frames to it. */
static int
try_stack(const char **ret_step)
{
    const struct nsp_tap_link_config cfg = {
        .queues = 1,
        .queue_pkts = NSP_BURST_MAX,
        .superpackets = true,
    };
    struct nsp_packet_ring_config ring_cfg = {
        .slot_bytes = 2048,
        .slots = 512,
        .queues = 1,
    };
    struct nsp_packet_ring ring = { .fd = -1 };
    struct nsp_tap_link link;
    int err = nsp_tap_link_open(&link, &cfg, ret_step);

    if (err == 0) {
        *ret_step = "packet sockets";
        ring_cfg.ifindex = link.ifindex;
        err = nsp_packet_ring_open(&ring, &ring_cfg);
    }
    if (err == 0) {
        *ret_step = "eBPF";
        err = load_steer(&(struct nsp_bridge_steer){
            .sink_ifindex = link.ifindex, .peer_ifindex = link.ifindex });
    }
    nsp_packet_ring_close(&ring);
    nsp_tap_link_close(&link);
    return err;
}

/* Where drivers, or the kernel, have no XDP. */
static void
probe_stack(const struct nsp_device_probe *probe, bool is_only_way)
{
    const char *step;
    int err = try_stack(&step);

    if (err == 0)
        nsp_device_report(probe, "bridge-stack", NSP_PROBE_OK, "",
                          "where a driver has no XDP, packet sockets move "
                          "frames");
    else
        nsp_device_report(
            probe, "bridge-stack",
            is_only_way ? NSP_PROBE_MISSING : NSP_PROBE_DEGRADED,
            nsp_device_cure(probe, err,
                            "a kernel with CONFIG_TUN (module tun), "
                            "/dev/net/tun, CONFIG_PACKET and "
                            "CONFIG_NET_CLS_ACT"),
            "interfaces whose driver has no XDP cannot be joined: %s: %s", step,
            strerror(-err));
}

void
nsp_bridge_probe(nsp_probe_fn *report, void *context)
{
    const struct nsp_device_probe probe = { report, context,
                                            NSP_BRIDGE_PRIVILEGE_CURE };
    bool has_xdp = probe_sockets(&probe);

    if (has_xdp)
        probe_programs(&probe);
    probe_stack(&probe, !has_xdp);
}
