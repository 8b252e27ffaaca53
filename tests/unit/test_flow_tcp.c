#include "flow/flow_tcp.h"
#include "packet/proto.h"
#include "tests/lib/test.h"

#define SYN    NSP_TCP_SYN
#define ACK    NSP_TCP_ACK
#define FIN    NSP_TCP_FIN
#define RST    NSP_TCP_RST
#define SYNACK (NSP_TCP_SYN | NSP_TCP_ACK)
#define FINACK (NSP_TCP_FIN | NSP_TCP_ACK)
#define RSTACK (NSP_TCP_RST | NSP_TCP_ACK)

#define CLIENT_SEQ UINT32_C(0xfffffff0) /* Wraps. */
#define SERVER_SEQ UINT32_C(0x00a00000)
#define MIB        UINT32_C(1048576)

/* A segment of the client (way LOW) or the server, numbers relative to the
 * first of each, and the state that it leaves. */
struct step {
    char from;
    uint8_t flags;
    uint32_t seq, ack;
    enum nsp_flow_state state;
};

static void
play(const struct step steps[], size_t count)
{
    struct nsp_flow flow = { .kind = NSP_L4_TCP };

    for (size_t i = 0; i < count; i++) {
        const struct step *step = &steps[i];
        bool server = step->from == 'S';
        enum nsp_flow_way way = server ? NSP_FLOW_HIGH : NSP_FLOW_LOW;
        struct nsp_flow_segment segment = {
            .flags = step->flags,
            .seq = step->seq + (server ? SERVER_SEQ : CLIENT_SEQ),
            .ack = step->ack + (server ? CLIENT_SEQ : SERVER_SEQ),
        };

        if (i == 0) {
            if (nsp_flow_tcp_origin(&segment, way) == NSP_FLOW_HIGH)
                flow.flags |= NSP_FLOW_ORIGIN;
            nsp_flow_tcp_begin(&flow, way, &segment);
        } else {
            nsp_flow_tcp_go_on(&flow, way, &segment);
        }
        flow.pkts_low[way]++;
        if (flow.state != step->state)
            fail_msg("after segment %zu: state %u instead of %u", i, flow.state,
                     step->state);
    }
}

#define PLAY(...)                                                              \
    do {                                                                       \
        static const struct step steps[] = { __VA_ARGS__ };                    \
        play(steps, sizeof steps / sizeof steps[0]);                           \
    } while (0)

/* Opens a connection. */
#define OPEN                                                                   \
    { 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },                                     \
        { 'S', SYNACK, 0, 1, NSP_FLOW_SYN_RECEIVED },                          \
    {                                                                          \
        'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED                                   \
    }

TEST(tcp_opens_and_closes)
{
    PLAY(OPEN, { 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED },
         { 'S', ACK, 1, 100, NSP_FLOW_ESTABLISHED },
         { 'C', FINACK, 100, 1, NSP_FLOW_FIN_WAIT },
         { 'S', ACK, 1, 101, NSP_FLOW_FIN_WAIT },
         { 'S', FINACK, 500, 101, NSP_FLOW_CLOSING },
         { 'S', FINACK, 500, 101, NSP_FLOW_CLOSING },
         { 'C', ACK, 101, 501, NSP_FLOW_TIME_WAIT },
         { 'S', FINACK, 500, 101, NSP_FLOW_TIME_WAIT });
}

TEST(tcp_repeats_its_opening)
{
    PLAY({ 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'S', SYNACK, 0, 1, NSP_FLOW_SYN_RECEIVED },
         { 'C', SYN, 0, 0, NSP_FLOW_SYN_RECEIVED },
         { 'S', SYNACK, 0, 1, NSP_FLOW_SYN_RECEIVED },
         { 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED },
         { 'S', SYNACK, 0, 1, NSP_FLOW_ESTABLISHED });
}

TEST(tcp_opens_from_both_sides_at_once)
{
    PLAY({ 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'S', SYN, 0, 0, NSP_FLOW_SYN_RECEIVED },
         { 'C', SYNACK, 0, 1, NSP_FLOW_SYN_RECEIVED },
         { 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED });
}

TEST(tcp_is_picked_up_in_the_middle)
{
    PLAY({ 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED },
         { 'S', ACK, 1, 1, NSP_FLOW_ESTABLISHED });
    PLAY({ 'S', SYNACK, 0, 1, NSP_FLOW_SYN_RECEIVED },
         { 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED });
    PLAY({ 'C', FINACK, 9, 9, NSP_FLOW_FIN_WAIT },
         { 'S', FINACK, 9, 10, NSP_FLOW_CLOSING },
         { 'C', ACK, 10, 10, NSP_FLOW_TIME_WAIT });
    PLAY({ 'C', RST, 9, 0, NSP_FLOW_CLOSED },
         { 'C', ACK, 9, 9, NSP_FLOW_CLOSED });
}

TEST(tcp_is_followed_where_one_direction_is_seen)
{
    PLAY({ 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED },
         { 'C', ACK, 9 * MIB, 1, NSP_FLOW_ESTABLISHED },
         { 'C', ACK, 18 * MIB, 1, NSP_FLOW_ESTABLISHED },
         { 'C', RST, 18 * MIB, 0, NSP_FLOW_CLOSED });
}

TEST(tcp_counts_the_maker_of_a_syn_ack_as_the_answering_side)
{
    struct nsp_flow_segment segment = { .flags = SYNACK };

    CHECK_EQ(nsp_flow_tcp_origin(&segment, NSP_FLOW_LOW), NSP_FLOW_HIGH);
    CHECK_EQ(nsp_flow_tcp_origin(&segment, NSP_FLOW_HIGH), NSP_FLOW_LOW);
    segment.flags = ACK;
    CHECK_EQ(nsp_flow_tcp_origin(&segment, NSP_FLOW_LOW), NSP_FLOW_LOW);
}

TEST(tcp_believes_resets_within_the_window_alone)
{
    PLAY(OPEN, { 'S', RST, 1, 0, NSP_FLOW_CLOSED });
    PLAY(OPEN, { 'C', RST, 8 * MIB, 0, NSP_FLOW_CLOSED });
    PLAY(OPEN, { 'C', RST, 9 * MIB, 0, NSP_FLOW_ESTABLISHED },
         { 'S', ACK, 1, 2 * MIB, NSP_FLOW_ESTABLISHED },
         { 'C', RST, 9 * MIB, 0, NSP_FLOW_CLOSED });
    PLAY(OPEN, { 'S', RST, (uint32_t)-1 * MIB, 0, NSP_FLOW_ESTABLISHED },
         { 'S', RSTACK, (uint32_t)1 << 31, 1, NSP_FLOW_ESTABLISHED });
}

TEST(tcp_believes_a_refusal_that_names_the_request)
{
    PLAY({ 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'S', RSTACK, 0, 1, NSP_FLOW_CLOSED });
    PLAY({ 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'S', RSTACK, 0, 2 * MIB, NSP_FLOW_SYN_SENT },
         { 'S', RST, 0, 1, NSP_FLOW_SYN_SENT });
}

TEST(tcp_is_not_established_by_a_guessed_answer)
{
    PLAY({ 'C', SYN, 0, 0, NSP_FLOW_SYN_SENT },
         { 'S', SYNACK, 0, 1, NSP_FLOW_SYN_RECEIVED },
         { 'C', ACK, 1, 64 * MIB, NSP_FLOW_SYN_RECEIVED },
         { 'C', ACK, 1, 1, NSP_FLOW_ESTABLISHED });
}

TEST(tcp_reopens_what_is_done_by_a_request_alone)
{
    struct nsp_flow flow = { .kind = NSP_L4_TCP };
    struct nsp_flow_segment segment = { .flags = SYN };

    for (int s = 0; s < NSP_FLOW_STATES; s++) {
        flow.state = (uint8_t)s;
        CHECK_EQ(nsp_flow_tcp_is_reopened(&flow, &segment),
                 s == NSP_FLOW_TIME_WAIT || s == NSP_FLOW_CLOSED);
    }
    segment.flags = SYNACK;
    CHECK(!nsp_flow_tcp_is_reopened(&flow, &segment));
    segment.flags = SYN | RST;
    CHECK(!nsp_flow_tcp_is_reopened(&flow, &segment));
}

TEST_MAIN(
    cmocka_unit_test(tcp_opens_and_closes),
    cmocka_unit_test(tcp_repeats_its_opening),
    cmocka_unit_test(tcp_opens_from_both_sides_at_once),
    cmocka_unit_test(tcp_is_picked_up_in_the_middle),
    cmocka_unit_test(tcp_is_followed_where_one_direction_is_seen),
    cmocka_unit_test(tcp_counts_the_maker_of_a_syn_ack_as_the_answering_side),
    cmocka_unit_test(tcp_believes_resets_within_the_window_alone),
    cmocka_unit_test(tcp_believes_a_refusal_that_names_the_request),
    cmocka_unit_test(tcp_is_not_established_by_a_guessed_answer),
    cmocka_unit_test(tcp_reopens_what_is_done_by_a_request_alone))
