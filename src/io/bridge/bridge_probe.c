#define _GNU_SOURCE
#include "io/bridge/bridge_probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/bridge/bridge_program.h"
#include "io/bridge/bridge_socket.h"
#include "os/linux/beats.h"
#include "os/linux/bpf_call.h"

#define PRIVILEGE_CURE                                                         \
    "run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW "   \
    "and CAP_IPC_LOCK outside user namespaces"

#define CHUNK_BYTES  4096u
#define MEMORY_BYTES (16u * CHUNK_BYTES)

struct probe {
    nsp_probe_fn *report;
    void *context;
};

static void NSP_PRINTF(5, 6)
    report(const struct probe *probe, const char *feature,
           enum nsp_probe_state state, const char *cure, const char *format,
           ...)
{
    struct nsp_probe_item item = { .feature = feature,
                                   .state = (uint8_t)state };
    va_list args;

    va_start(args, format);
    vsnprintf(item.detail, sizeof item.detail, format, args);
    va_end(args);
    snprintf(item.cure, sizeof item.cure, "%s", state ? cure : "");
    probe->report(probe->context, &item);
}

static const char *
cure_for(int err, const char *otherwise)
{
    return err == -EPERM || err == -EACCES ? PRIVILEGE_CURE : otherwise;
}

static void
probe_sockets(const struct probe *probe)
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
        report(probe, "bridge-sockets", NSP_PROBE_MISSING, "free some memory",
               "no memory: %s", strerror(errno));
        return;
    }
    memory.bytes = bytes;
    err = nsp_bridge_socket_try(&memory);
    munmap(bytes, MEMORY_BYTES);
    if (err < 0)
        report(probe, "bridge-sockets", NSP_PROBE_MISSING,
               cure_for(err, "a kernel with CONFIG_XDP_SOCKETS"), "AF_XDP: %s",
               strerror(-err));
    else if (!memory.requests)
        report(probe, "bridge-sockets", NSP_PROBE_DEGRADED,
               "Linux 6.8 or later",
               "AF_XDP; checksums that virtual senders leave to hardware are "
               "completed in software");
    else
        report(probe, "bridge-sockets", NSP_PROBE_OK, "",
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
probe_programs(const struct probe *probe)
{
    int err = load_programs();

    if (err < 0)
        report(probe, "bridge-programs", NSP_PROBE_MISSING,
               cure_for(err, "Linux 5.12 or later with CONFIG_BPF_SYSCALL, "
                             "CONFIG_XDP_SOCKETS and CONFIG_NET_CLS_ACT"),
               "eBPF: %s", strerror(-err));
    else
        report(probe, "bridge-programs", NSP_PROBE_OK, "",
               "the kernel takes the programs; whether a driver does, its "
               "interface tells");
}

void
nsp_bridge_probe(nsp_probe_fn *report_item, void *context)
{
    const struct probe probe = { report_item, context };

    probe_sockets(&probe);
    probe_programs(&probe);
}
