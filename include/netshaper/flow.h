#ifndef NETSHAPER_FLOW_H
#define NETSHAPER_FLOW_H
#include <stdint.h>

#include "netshaper/api.h"

NSP_BEGIN_DECLS

/* What is known of a packet's flow: all packets between two endpoints, in both
 * directions. An endpoint is an address with a port (TCP, UDP) or identifier
 * (ICMP echo), or an address alone: of other protocols and messages, and of
 * fragments, which have no ports from the second on. */

/* How far a flow has come, as an observer in the middle can tell. TCP flows
 * that were running already when first seen begin as ESTABLISHED. */
enum nsp_flow_state {
    NSP_FLOW_NEW = 0,      /* Not TCP: packets of one direction only. */
    NSP_FLOW_ESTABLISHED,  /* Packets in both directions; TCP: opened. */
    NSP_FLOW_SYN_SENT,     /* TCP, like the rest: asked for. */
    NSP_FLOW_SYN_RECEIVED, /* Granted; the last ACK has not been seen. */
    NSP_FLOW_FIN_WAIT,     /* One side has finished sending. */
    NSP_FLOW_CLOSING,      /* Both have. */
    NSP_FLOW_TIME_WAIT,    /* The second FIN has been acknowledged. */
    NSP_FLOW_CLOSED,       /* Reset. */
    NSP_FLOW_STATES,
};

/* A flow as one of its packets finds it, that packet included. */
struct nsp_flow_view {
    uint64_t pkts, bytes; /* Of both directions; bytes of IP packets. */
    uint64_t age_ms;      /* Since the first packet. */
    uint8_t state;        /* enum nsp_flow_state. */
    uint8_t is_reply;     /* 1 against the direction of the first packet. */
    uint8_t window_scale; /* TCP: shift of the windows that the packet's sender
                           * announces after its SYN; 0 where none was agreed,
                           * or the opening was not seen. */
};

NSP_END_DECLS
#endif /* NETSHAPER_FLOW_H */
