#ifndef NSP_FLOW_FLOW_TCP_H
#define NSP_FLOW_FLOW_TCP_H
#include "flow/flow.h"
#include "packet/proto.h"

/* The state of a TCP connection as an observer between its ends sees it (RFC
 * 9293, section 3.3.2, seen from both sides at once), without windows:
 *
 *     SYN ----> SYN_SENT --SYN+ACK--> SYN_RECEIVED --ACK--> ESTABLISHED
 *     any other segment ---------------------------------> ESTABLISHED
 *     ESTABLISHED --FIN--> FIN_WAIT --FIN back--> CLOSING --ACK--> TIME_WAIT
 *     any --plausible RST--> CLOSED
 *     TIME_WAIT, CLOSED --SYN--> the flow begins anew
 *
 * Loose on purpose: packets may be missed, seen in one direction only, or be in
 * the middle of a connection. An observer that does not know better believes
 * the segment, with two exceptions, which forged ones would use. A reset has to
 * have a plausible sequence number: between 64 KiB before and 8 MiB behind what
 * the other side last acknowledged (numbers are kept to 64 KiB); or, as answer
 * to a SYN, acknowledge that one. And the answer to a SYN+ACK has to
 * acknowledge a number as near to that one's. A blind guess succeeds once in
 * 500 times. */

/* What a segment says. */
struct nsp_flow_segment {
    uint8_t flags; /* NSP_TCP_*. */
    uint32_t seq, ack;
};

static inline struct nsp_flow_segment
nsp_flow_segment_read(const struct nsp_pkt *pkt)
{
    const uint8_t *tcp = pkt->data + pkt->l4_off;

    return (struct nsp_flow_segment){
        .flags = tcp[13],
        .seq = nsp_load_be32(tcp + 4),
        .ack = nsp_load_be32(tcp + 8),
    };
}

static inline uint16_t
nsp_flow_high_half(uint32_t number)
{
    return (uint16_t)(number >> 16);
}

static inline bool
nsp_flow_knows_next(const struct nsp_flow *flow, enum nsp_flow_way way)
{
    return (flow->flags & NSP_FLOW_NEXT_KNOWN << way) != 0;
}

static inline void
nsp_flow_set_next(struct nsp_flow *flow, enum nsp_flow_way way, uint32_t seq)
{
    flow->next_hi[way] = nsp_flow_high_half(seq);
    flow->flags |= (uint8_t)(NSP_FLOW_NEXT_KNOWN << way);
}

/* Takes what a segment acknowledges of what 'other' sent, of which something is
 * known. */
static inline void
nsp_flow_tcp_learn_ack(struct nsp_flow *flow, enum nsp_flow_way other,
                       const struct nsp_flow_segment *segment)
{
    uint16_t ack = nsp_flow_high_half(segment->ack);

    if ((segment->flags & NSP_TCP_ACK) != 0 &&
        (int16_t)(ack - flow->next_hi[other]) > 0)
        flow->next_hi[other] = ack;
}

/* Takes what a segment tells about sequence numbers: of the other way by its
 * acknowledgement, of its own only as long as nobody acknowledges. */
static inline void
nsp_flow_tcp_learn(struct nsp_flow *flow, enum nsp_flow_way way,
                   const struct nsp_flow_segment *segment)
{
    enum nsp_flow_way other = nsp_flow_other(way);
    uint32_t syn = (segment->flags & NSP_TCP_SYN) != 0;

    if (!nsp_flow_knows_next(flow, way) || flow->pkts_low[other] == 0)
        nsp_flow_set_next(flow, way, segment->seq + syn);
    if (nsp_flow_knows_next(flow, other))
        nsp_flow_tcp_learn_ack(flow, other, segment);
    else if ((segment->flags & NSP_TCP_ACK) != 0)
        nsp_flow_set_next(flow, other, segment->ack);
}

/* The way to call the origin of a flow that begins with this segment of 'way'.
 */
enum nsp_flow_way nsp_flow_tcp_origin(const struct nsp_flow_segment *segment,
                                      enum nsp_flow_way way);

/* Sets the state of a flow that begins with this segment. Its origin is set. */
void nsp_flow_tcp_begin(struct nsp_flow *flow, enum nsp_flow_way way,
                        const struct nsp_flow_segment *segment);

/* Tells whether the segment begins a new connection on the old one's ports. */
bool nsp_flow_tcp_is_reopened(const struct nsp_flow *flow,
                              const struct nsp_flow_segment *segment);

/* Takes a later segment. */
void nsp_flow_tcp_go_on(struct nsp_flow *flow, enum nsp_flow_way way,
                        const struct nsp_flow_segment *segment);

#endif /* NSP_FLOW_FLOW_TCP_H */
