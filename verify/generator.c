#include "verify/generator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Contents that a filter refuses in a row before the input counts as ended. */
#define REFUSED_MAX 100000u

struct slot {
    struct nsp_pkt pkt; /* First: a packet is its slot. */
    uint8_t *data;
    uint64_t content; /* Its number. */
};

struct nsp_io {
    struct nsp_generator *generator;
    struct slot *slots;
    struct slot **free;
    uint8_t *data;
    uint32_t slot_count, free_count;
    bool ended;
};

/* --- Opening -------------------------------------------------------------- */

static void
generator_close(struct nsp_io *io)
{
    free(io->data);
    free(io->free);
    free(io->slots);
    free(io);
}

static int
alloc_slots(struct nsp_io *io, uint32_t count)
{
    uint32_t bytes = io->generator->packet->bytes;

    io->slots = calloc(count, sizeof *io->slots);
    io->free = calloc(count, sizeof(void *));
    io->data = calloc(count, bytes);
    if (!io->slots || !io->free || !io->data)
        return -ENOMEM;
    io->slot_count = count;
    while (io->free_count < count) {
        struct slot *slot = &io->slots[io->free_count];

        slot->data = io->data + (size_t)io->free_count * bytes;
        io->free[io->free_count++] = slot;
    }
    return 0;
}

static int
generator_open(const struct nsp_io_config *cfg, struct nsp_io **ret,
               struct nsp_diag *reterr)
{
    struct nsp_io *io = calloc(1, sizeof *io);

    if (io) {
        /* It is the caller's, handed through as const. */
        io->generator = (struct nsp_generator *)(uintptr_t)cfg->device;
        if (alloc_slots(io, cfg->max_held_pkts + 2 * NSP_BURST_MAX) == 0) {
            *ret = io;
            return NSP_OK;
        }
        generator_close(io);
    }
    if (reterr) {
        *reterr = (struct nsp_diag){ .result = NSP_NO_MEMORY,
                                     .category = "no-memory" };
        snprintf(reterr->text, sizeof reterr->text, "%s",
                 "no memory for test packets");
    }
    return NSP_NO_MEMORY;
}

/* --- Input ---------------------------------------------------------------- */

static uint64_t
next_ns(const struct nsp_generator *g)
{
    return g->start_ns + g->made * g->gap_ns;
}

static uint64_t
generator_next_rx_ns(struct nsp_io *io, uint32_t queue)
{
    (void)queue;
    if (io->ended || io->generator->made == io->generator->pkts ||
        io->free_count == 0)
        return NSP_TIME_NEVER;
    return next_ns(io->generator);
}

/* Writes the next content that is wanted; false when there seems to be none. */
static bool
write_content(struct nsp_generator *g, struct slot *slot)
{
    for (uint32_t i = 0; i < REFUSED_MAX; i++) {
        memcpy(slot->data, g->packet->data, g->packet->bytes);
        slot->content = g->number++;
        nsp_test_packet_number(g->packet, slot->data, slot->content);
        nsp_test_packet_describe(g->packet, slot->data, &slot->pkt);
        slot->pkt.arrival_ns = next_ns(g);
        slot->pkt.device_ref = g->made;
        if (!g->filter)
            return true;
        nsp_pkt_parse(&slot->pkt);
        if (nsp_filter_match(g->filter, &slot->pkt, &g->context))
            return true;
    }
    return false;
}

static uint32_t
generator_rx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                   struct nsp_pkt *ret_pkts[], uint32_t max)
{
    struct nsp_generator *g = io->generator;
    uint32_t n = 0;

    while (n < max && generator_next_rx_ns(io, queue) <= now_ns) {
        struct slot *slot = io->free[io->free_count - 1];

        if (!write_content(g, slot)) {
            io->ended = true;
            break;
        }
        io->free_count--;
        g->made++;
        ret_pkts[n++] = &slot->pkt;
    }
    return n;
}

static void
generator_quiesce(struct nsp_io *io)
{
    io->ended = true;
}

/* --- Output --------------------------------------------------------------- */

static void
give_back(struct nsp_io *io, struct nsp_pkt *pkt)
{
    io->free[io->free_count++] = (struct slot *)pkt;
}

static uint32_t
look_at(struct nsp_generator *g, struct slot *slot)
{
    uint8_t original[NSP_TEST_PKT_BYTES_MAX];

    memcpy(original, g->packet->data, g->packet->bytes);
    nsp_test_packet_number(g->packet, original, slot->content);
    nsp_pkt_parse(&slot->pkt);
    return g->look(g->look_context, &slot->pkt, original);
}

static void
note(struct nsp_generator *g, struct slot *slot, uint64_t now_ns)
{
    uint64_t number = slot->pkt.device_ref;
    uint32_t seen = g->look ? look_at(g, slot) : 0;

    g->left_pkts++;
    g->wrong_pkts += (seen & NSP_LOOK_WRONG) != 0;
    if ((seen & NSP_LOOK_HIT) != 0)
        return;
    if (g->left_ns[number] == 0)
        g->left_ns[number] = now_ns;
    if (g->order_count < g->order_max)
        g->order[g->order_count++] = (uint32_t)number;
}

static uint32_t
generator_tx_burst(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                   struct nsp_pkt *const pkts[], uint32_t n, bool ret_refused[])
{
    (void)queue;
    (void)ret_refused;
    for (uint32_t i = 0; i < n; i++) {
        note(io->generator, (struct slot *)pkts[i], now_ns);
        give_back(io, pkts[i]);
    }
    return 0;
}

static void
generator_drop_burst(struct nsp_io *io, uint32_t queue,
                     struct nsp_pkt *const pkts[], uint32_t n)
{
    (void)queue;
    for (uint32_t i = 0; i < n; i++)
        give_back(io, pkts[i]);
}

static int
generator_inject(struct nsp_io *io, uint32_t queue, uint64_t now_ns,
                 const uint8_t *ip, uint32_t ip_bytes, bool reply,
                 const struct nsp_pkt *like)
{
    struct nsp_generator *g = io->generator;

    (void)queue;
    (void)ip;
    (void)ip_bytes;
    (void)reply;
    if ((like->flags & NSP_PKT_COPY) == 0) {
        g->injected_pkts++;
        return 0;
    }
    g->copied_pkts++;
    if (g->copy_ns)
        g->copy_ns[like->device_ref] = now_ns;
    if (g->order_count < g->order_max)
        g->order[g->order_count++] = (uint32_t)like->device_ref;
    return 0;
}

/* --- Condition ------------------------------------------------------------ */

static void
generator_wake(struct nsp_io *io)
{
    (void)io; /* Nobody waits in virtual time. */
}

static void
generator_read_stats(struct nsp_io *io, struct nsp_io_stats *ret)
{
    (void)io;
    *ret = (struct nsp_io_stats){ 0 };
}

static int
generator_status(struct nsp_io *io, char *ret, uint32_t ret_bytes)
{
    (void)io;
    if (ret && ret_bytes > 0)
        ret[0] = '\0';
    return 0;
}

const struct nsp_io_ops nsp_generator_ops = {
    .name = "generator",
    .caps = NSP_IO_VIRTUAL_TIME | NSP_IO_CAN_MODIFY | NSP_IO_CAN_INJECT |
            NSP_IO_HOLDS_INPUT | NSP_IO_HOLDS_OUTPUT | NSP_IO_HOLDS_FORWARD |
            NSP_IO_HOOKS,
    .open = generator_open,
    .close = generator_close,
    .rx_burst = generator_rx_burst,
    .tx_burst = generator_tx_burst,
    .drop_burst = generator_drop_burst,
    .inject = generator_inject,
    .wake = generator_wake,
    .next_rx_ns = generator_next_rx_ns,
    .quiesce = generator_quiesce,
    .read_stats = generator_read_stats,
    .status = generator_status,
};
