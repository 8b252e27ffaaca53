#include "flow/flow_tcp.h"

/* How far a number may be from the expected one, in units of 64 KiB. */
#define BEFORE_MAX 1u
#define BEHIND_MAX 128u

/* Tells whether 'seq' may be a number that 'way' sends about now. */
static bool
is_near_next(const struct nsp_flow *flow, enum nsp_flow_way way, uint32_t seq)
{
    uint16_t distance =
        (uint16_t)(nsp_flow_high_half(seq) - flow->next_hi[way] + BEFORE_MAX);

    return !nsp_flow_knows_next(flow, way) ||
           distance <= BEFORE_MAX + BEHIND_MAX;
}

static bool
is_plausible_reset(const struct nsp_flow *flow, enum nsp_flow_way way,
                   const struct nsp_flow_segment *segment)
{
    enum nsp_flow_way other = nsp_flow_other(way);

    if (flow->state == NSP_FLOW_SYN_SENT && way != nsp_flow_origin(flow))
        return (segment->flags & NSP_TCP_ACK) != 0 &&
               nsp_flow_knows_next(flow, other) &&
               nsp_flow_high_half(segment->ack) == flow->next_hi[other];
    return is_near_next(flow, way, segment->seq);
}

/* Whoever did not see the SYN+ACK cannot acknowledge it: makes up for nothing
 * but forged segments. */
static bool
is_plausible_answer(const struct nsp_flow *flow, enum nsp_flow_way way,
                    const struct nsp_flow_segment *segment)
{
    return way != nsp_flow_origin(flow) ||
           (segment->flags & NSP_TCP_ACK) == 0 ||
           is_near_next(flow, nsp_flow_other(way), segment->ack);
}

enum nsp_flow_way
nsp_flow_tcp_origin(const struct nsp_flow_segment *segment,
                    enum nsp_flow_way way)
{
    const uint8_t both = NSP_TCP_SYN | NSP_TCP_ACK;

    if ((segment->flags & both) != both)
        return way;
    return nsp_flow_other(way);
}

void
nsp_flow_tcp_begin(struct nsp_flow *flow, enum nsp_flow_way way,
                   const struct nsp_flow_segment *segment)
{
    flow->state = NSP_FLOW_ESTABLISHED;
    if ((segment->flags & NSP_TCP_RST) != 0) {
        flow->state = NSP_FLOW_CLOSED;
        return;
    }
    nsp_flow_tcp_learn(flow, way, segment);
    if ((segment->flags & NSP_TCP_SYN) != 0) {
        flow->state = (segment->flags & NSP_TCP_ACK) != 0
                          ? NSP_FLOW_SYN_RECEIVED
                          : NSP_FLOW_SYN_SENT;
    } else if ((segment->flags & NSP_TCP_FIN) != 0) {
        flow->flags |= (uint8_t)(NSP_FLOW_FIN << way);
        flow->state = NSP_FLOW_FIN_WAIT;
    }
}

bool
nsp_flow_tcp_is_reopened(const struct nsp_flow *flow,
                         const struct nsp_flow_segment *segment)
{
    const uint8_t asked = NSP_TCP_SYN | NSP_TCP_ACK | NSP_TCP_RST;

    return nsp_flow_is_done(flow) && (segment->flags & asked) == NSP_TCP_SYN;
}

static void
take_syn(struct nsp_flow *flow, enum nsp_flow_way way)
{
    /* Granted, or asked for from both sides. */
    if (flow->state == NSP_FLOW_SYN_SENT && way != nsp_flow_origin(flow))
        flow->state = NSP_FLOW_SYN_RECEIVED;
}

static void
take_fin(struct nsp_flow *flow, enum nsp_flow_way way)
{
    const uint8_t both = NSP_FLOW_FIN << NSP_FLOW_LOW | NSP_FLOW_FIN
                                                            << NSP_FLOW_HIGH;

    flow->flags |= (uint8_t)(NSP_FLOW_FIN << way);
    flow->state =
        (flow->flags & both) == both ? NSP_FLOW_CLOSING : NSP_FLOW_FIN_WAIT;
}

void
nsp_flow_tcp_go_on(struct nsp_flow *flow, enum nsp_flow_way way,
                   const struct nsp_flow_segment *segment)
{
    if ((segment->flags & NSP_TCP_RST) != 0) {
        if (is_plausible_reset(flow, way, segment))
            flow->state = NSP_FLOW_CLOSED;
        return;
    }
    if (flow->state == NSP_FLOW_SYN_RECEIVED &&
        !is_plausible_answer(flow, way, segment))
        return;
    nsp_flow_tcp_learn(flow, way, segment);
    if (nsp_flow_is_done(flow))
        return;
    if ((segment->flags & NSP_TCP_SYN) != 0) {
        take_syn(flow, way);
        return;
    }
    if ((segment->flags & NSP_TCP_FIN) != 0) {
        take_fin(flow, way);
        return;
    }
    if ((segment->flags & NSP_TCP_ACK) == 0)
        return;
    if (flow->state == NSP_FLOW_CLOSING)
        flow->state = NSP_FLOW_TIME_WAIT;
    else if (flow->state == NSP_FLOW_SYN_SENT ||
             (flow->state == NSP_FLOW_SYN_RECEIVED &&
              way == nsp_flow_origin(flow)))
        flow->state = NSP_FLOW_ESTABLISHED;
}
