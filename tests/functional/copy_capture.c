/* copy_capture IN OUT: sends every packet of a capture on as it came. */
#include "io/registry.h"
#include "netshaper/engine.h"

#include <stdio.h>

static int
copy(const struct nsp_io_ops *ops, struct nsp_io *io)
{
    struct nsp_pkt *pkts[NSP_BURST_MAX];
    bool refused[NSP_BURST_MAX];
    char why[256];
    uint64_t now_ns;

    while ((now_ns = ops->next_rx_ns(io, 0)) != NSP_TIME_NEVER) {
        uint32_t n = ops->rx_burst(io, 0, now_ns, pkts, NSP_BURST_MAX);

        for (uint32_t i = 0; i < n; i++)
            pkts[i]->timer.due_ns = now_ns;
        if (ops->tx_burst(io, 0, now_ns, pkts, n, refused) > 0)
            break;
    }
    if (ops->status(io, why, sizeof why) == 0)
        return 0;
    fprintf(stderr, "copy_capture: %s\n", why);
    return 1;
}

int
main(int argc, char *argv[])
{
    const struct nsp_pcapfile_config file = {
        .in_path = argc == 3 ? argv[1] : NULL,
        .out_path = argc == 3 ? argv[2] : NULL,
    };
    const struct nsp_io_config cfg = { .device = &file, .queues = 1 };
    const struct nsp_io_ops *ops = nsp_io_find("pcapfile");
    struct nsp_diag diag;
    struct nsp_io *io;
    int result;

    if (ops->open(&cfg, &io, &diag) != NSP_OK) {
        fprintf(stderr, "copy_capture: %s\n", diag.text);
        return 2;
    }
    result = copy(ops, io);
    ops->close(io);
    return result;
}
