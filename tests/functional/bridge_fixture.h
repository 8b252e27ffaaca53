#ifndef NSP_TESTS_FUNCTIONAL_BRIDGE_FIXTURE_H
#define NSP_TESTS_FUNCTIONAL_BRIDGE_FIXTURE_H
/* What the tests of the bridge device share: a device between the two wires of
 * the lab's router, and packet sockets at their far ends.
 *
 *     client eth0 ---- client0 router server0 ---- eth0 server
 *        end 0                 bridge                 end 1
 *
 * Frames of others (the hosts look for their neighbours) are passed on unseen.
 */
#include "tests/functional/nfqueue_fixture.h"

#include <linux/virtio_net.h>

extern const struct nsp_io_ops nsp_bridge_ops;

#define WIRE_HELD_PKTS 64u
#define WIRE_UDP_PORT  5678 /* And TCP: to which packets go. */

extern struct nsp_io *wire_device;
extern struct nsp_bridge_config wire_bridge;
extern uint32_t wire_ports[2]; /* Numbers of the router's interfaces. */

/* Runs tests whose devices take frames in the drivers or, with the argument
 * "stack", in the stack. */
#define WIRE_RUN(argc, argv, tests)                                            \
    (wire_choose(argc, argv),                                                  \
     cmocka_run_group_tests(tests, fixture_setup, fixture_teardown))
void wire_choose(int argc, char *argv[]);
bool wire_in_stack(void);

/* Closes what the test has opened, however it ended. */
int wire_end_test(void **state);
#define BRIDGE_TEST(name) cmocka_unit_test_teardown(name, wire_end_test)

/* Opens both ends; returns a configuration to start from. */
struct nsp_io_config wire_begin(void);

/* Opens the device, or skips the test with the reason. */
void wire_open(const struct nsp_io_config *cfg);

uint64_t wire_now_ns(void);

struct wire_frame {
    struct virtio_net_hdr vnet;
    uint8_t bytes[10000];
    size_t length;
};

/* Puts a frame on the wire at an end, and waits for one of ours there. */
void wire_put(int end, const struct wire_frame *frame);
void wire_hear(int end, struct wire_frame *ret);
void wire_hear_nothing(int end);

/* Waits until 'n' packets of ours have come to the device. */
void wire_receive(struct nsp_pkt *ret_pkts[], uint32_t n);

/* Sends them from there; returns how many were refused. */
uint32_t wire_send_all(struct nsp_pkt *const pkts[], uint32_t n);

void wire_store16(uint8_t *p, unsigned v);

/* A frame that is no IP. */
void wire_build_plain(struct wire_frame *frame, unsigned number);

struct wire_kind {
    const char *name;
    bool ipv6, options, tcp;
};
#define WIRE_KINDS 4u
extern const struct wire_kind wire_kinds[WIRE_KINDS];

/* A packet of 'kind' with its checksum left to others ('partial') or complete.
 * Returns where the transport header begins. */
size_t wire_build_ip(struct wire_frame *frame, const struct wire_kind *kind,
                     size_t payload_bytes, bool partial);

#endif /* NSP_TESTS_FUNCTIONAL_BRIDGE_FIXTURE_H */
