/* The peer of rules that a bridge decides in the kernel: two interfaces under
 * the least program that does the same. "drop" drops each frame; "move" has a
 * device map send it out of the other interface.
 *
 * usage: xdp_reference drop|move A B. Says that it has begun, and takes the
 * programs away when it is interrupted. */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <signal.h>

#include "io/bridge/bridge_port.h"
#include "os/linux/bpf_call.h"
#include "os/linux/bpf_program.h"

#define INSNS_MAX 16u

static int
make_device_map(uint32_t ifindex)
{
    union bpf_attr attr = { .map_type = BPF_MAP_TYPE_DEVMAP,
                            .key_size = sizeof ifindex,
                            .value_size = sizeof ifindex,
                            .max_entries = 1 };
    int err, fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);

    err = fd < 0 ? fd : nsp_bpf_array_set(fd, 0, &ifindex);
    return err < 0 ? err : fd;
}

/* The program that sends all to 'ifindex', or drops all where that is 0. */
static int
load(uint32_t ifindex)
{
    struct nsp_ebpf_insn insns[INSNS_MAX];
    struct nsp_bpf_program p = { .insns = insns, .max = INSNS_MAX };
    int map_fd = ifindex ? make_device_map(ifindex) : 0;

    if (map_fd < 0)
        return map_fd;
    if (ifindex) {
        nsp_bpf_load_map(&p, R1, BPF_PSEUDO_MAP_FD, map_fd);
        nsp_bpf_set(&p, R2, 0);
        nsp_bpf_set(&p, R3, 0);
        nsp_bpf_call(&p, BPF_FUNC_redirect_map);
        nsp_bpf_exit(&p);
    } else {
        nsp_bpf_leave(&p, XDP_DROP);
    }
    return nsp_bpf_xdp_load("reference", p.insns, p.count, false, NULL, 0);
}

int
main(int argc, char **argv)
{
    struct nsp_bridge_port ports[2] = { { .xdp_fd = -1 }, { .xdp_fd = -1 } };
    sigset_t interrupt;
    int number, err = 0;

    if (argc != 4 || (strcmp(argv[1], "drop") && strcmp(argv[1], "move"))) {
        fprintf(stderr, "usage: xdp_reference drop|move A B\n");
        return 2;
    }
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, NULL);
    for (int i = 0; i < 2 && err == 0; i++)
        err = nsp_bridge_port_find(&ports[i], argv[2 + i]);
    for (int i = 0; i < 2 && err >= 0; i++) {
        err = load(argv[1][0] == 'm' ? ports[!i].ifindex : 0);
        if (err >= 0)
            err = nsp_bridge_port_attach_xdp(&ports[i], err);
    }
    if (err < 0) {
        fprintf(stderr, "xdp_reference: %s\n", strerror(-err));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    sigwait(&interrupt, &number);
    for (int i = 0; i < 2; i++)
        nsp_bridge_port_close(&ports[i]);
    return 0;
}
