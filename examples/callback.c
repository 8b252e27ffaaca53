/* Every verdict that a callback can give, on the packets of a capture, in the
 * capture's own time:
 *
 *     callback in.pcap out.pcapng
 *
 *     TCP to port 23   is rejected, as a firewall would
 *     UDP to port 53   is delayed by 50 ms
 *     other UDP        is dropped
 *     ICMP             is sent twice
 *     all other IP     passes with its TTL lowered to 32 at most
 */
#include <stdint.h>
#include <stdio.h>

#include <netshaper/engine.h>

#define MS          UINT64_C(1000000)
#define TTL_CEILING 32

static uint16_t
port_at(const struct nsp_pkt *pkt, unsigned offset)
{
    const uint8_t *bytes = pkt->data + pkt->l4_off + offset;

    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* A header that has an offset lies inside the bytes held: no checks needed. */
static uint16_t
dst_port(const struct nsp_pkt *pkt)
{
    return pkt->l4 == NSP_L4_TCP || pkt->l4 == NSP_L4_UDP ? port_at(pkt, 2) : 0;
}

static uint8_t
ttl_of(const struct nsp_pkt *pkt)
{
    return pkt->data[pkt->l3_off + (pkt->l3 == NSP_L3_IPV4 ? 8 : 7)];
}

static void
lower_ttl(struct nsp_pkt *pkt)
{
    if (pkt->l3 != NSP_L3_IPV4 && pkt->l3 != NSP_L3_IPV6)
        return;
    if (ttl_of(pkt) <= TTL_CEILING)
        return;
    if (nsp_pkt_set_ttl(pkt, TTL_CEILING) < 0)
        fputs("callback: a packet kept its TTL\n", stderr);
}

static void
send_twice(struct nsp_burst *burst, uint32_t index)
{
    const struct nsp_pkt *pkt = burst->pkts[index];
    const uint8_t *ip = pkt->data + pkt->l3_off;

    if (pkt->flags & NSP_PKT_TRUNCATED)
        return;
    if (nsp_burst_inject(burst, index, ip, pkt->ip_bytes) < 0)
        fputs("callback: a copy was not sent\n", stderr);
}

static void
decide(void *context, struct nsp_burst *burst)
{
    (void)context;
    for (uint32_t i = 0; i < burst->count; i++) {
        struct nsp_pkt *pkt = burst->pkts[i];
        struct nsp_verdict *verdict = &burst->verdicts[i];

        if (pkt->l4 == NSP_L4_TCP && dst_port(pkt) == 23)
            verdict->kind = NSP_VERDICT_REJECT;
        else if (pkt->l4 == NSP_L4_UDP && dst_port(pkt) == 53)
            verdict->delay_ns = 50 * MS;
        else if (pkt->l4 == NSP_L4_UDP)
            verdict->kind = NSP_VERDICT_DROP;
        else if (pkt->l4 == NSP_L4_ICMP)
            send_twice(burst, i);
        else
            lower_ttl(pkt); /* Keeps the checksums right, marks it modified. */
    }
}

static int
fail(const struct nsp_diag *diag)
{
    fprintf(stderr, "callback: %s\n", diag->text);
    if (diag->hint[0])
        fprintf(stderr, "hint: %s\n", diag->hint);
    return 1;
}

int
main(int argc, char *argv[])
{
    struct nsp_engine_config config = { .backend = "pcapfile",
                                        .callback = decide };
    struct nsp_engine *engine;
    struct nsp_stats stats;
    struct nsp_diag diag;
    int result;

    if (argc != 3) {
        fputs("usage: callback IN OUT\n", stderr);
        return 2;
    }
    config.pcapfile.in_path = argv[1];
    config.pcapfile.out_path = argv[2];
    if (nsp_engine_create(&config, &engine, &diag) < 0)
        return fail(&diag);
    result = nsp_engine_start(engine, "true", &diag);
    if (result == NSP_OK) {
        result = nsp_engine_run(engine);
        nsp_engine_read_diag(engine, &diag);
    }
    nsp_engine_read_stats(engine, &stats);
    nsp_engine_destroy(engine);
    if (result < 0)
        return fail(&diag);
    printf("in %llu, delivered %llu (modified %llu), dropped %llu, rejected "
           "%llu, sent besides %llu\n",
           (unsigned long long)stats.in_pkts,
           (unsigned long long)stats.delivered_pkts,
           (unsigned long long)stats.modified_pkts,
           (unsigned long long)(stats.dropped_pkts[NSP_DROP_CALLBACK]),
           (unsigned long long)(stats.dropped_pkts[NSP_DROP_REJECT]),
           (unsigned long long)stats.injected_pkts);
    return 0;
}
