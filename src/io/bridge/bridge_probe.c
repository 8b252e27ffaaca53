#define _GNU_SOURCE
#include "io/bridge/bridge_probe.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/bridge/bridge_program.h"
#include "io/bridge/bridge_socket.h"
#include "io/device.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"

#define CHUNK_BYTES  4096u
#define MEMORY_BYTES (16u * CHUNK_BYTES)

static void
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
        return;
    }
    memory.bytes = bytes;
    err = nsp_bridge_socket_try(&memory);
    munmap(bytes, MEMORY_BYTES);
    if (err < 0)
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
}

/* Loads what a device would load. */
static int
load_programs(void)
{
    struct nsp_bridge_steer steer = { .workers = 2, .sockets_fd = -1 };
    struct nsp_beats beats;
    int err = nsp_beats_open(&beats, 1, 1000);

    if (err == 0)
        err = nsp_bpf_xskmap_create("nsp_bridge", 1);
    if (err >= 0) {
        steer.beats_fd = beats.map_fd;
        steer.sockets_fd = err;
        err = nsp_bridge_load_xdp(&steer, &nsp_libc_allocator);
        close(steer.sockets_fd);
    }
    nsp_beats_close(&beats);
    if (err < 0)
        return err;
    close(err);
    err = nsp_bridge_load_tc(1);
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

void
nsp_bridge_probe(nsp_probe_fn *report, void *context)
{
    const struct nsp_device_probe probe = { report, context,
                                            NSP_BRIDGE_PRIVILEGE_CURE };

    probe_sockets(&probe);
    probe_programs(&probe);
}
