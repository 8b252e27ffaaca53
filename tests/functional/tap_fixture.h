#ifndef NSP_TESTS_FUNCTIONAL_TAP_FIXTURE_H
#define NSP_TESTS_FUNCTIONAL_TAP_FIXTURE_H
/* What the tests of the tap device share: a device in the router of the lab
 * (topology in nfqueue_fixture.h), on both of its wires, and two ends that
 * talk: what the router itself sends and receives is taken, what it forwards is
 * not.
 */
#include "tests/functional/nfqueue_fixture.h"

extern const struct nsp_io_ops nsp_tap_ops;

#define TAP_PORT       7001
#define TAP_OTHER_PORT 7002
#define TAP_BOTH       (NSP_HOOK_INPUT | NSP_HOOK_OUTPUT)

extern struct nsp_io *tap_device;
extern struct nsp_tap_config tap_config;
extern int tap_client, tap_router; /* Sockets. */

/* Closes what the test has opened, however it ended. */
int tap_end_test(void **state);
#define TAP_TEST(name) cmocka_unit_test_teardown(name, tap_end_test)

/* A configuration to start from: for packets with test ports on every interface
 * but lo; a busy machine must not make the device look dead. */
struct nsp_io_config tap_begin(void);

/* Opens the device, or skips the test with the reason. */
void tap_open(const struct nsp_io_config *cfg);
void tap_close(void);

uint64_t tap_now_ns(void);

/* The sockets of both ends, and what each says to the other. */
void tap_open_ends(void);
void tap_ask(const char *text);
void tap_answer(const char *text);

/* Waits until 'n' packets have come to the device. */
void tap_receive(struct nsp_pkt *ret_pkts[], uint32_t n);

/* Sends them from there; returns how many were refused. */
uint32_t tap_send_all(struct nsp_pkt *const pkts[], uint32_t n);

bool tap_is_empty(void);
uint64_t tap_kernel_dropped(void);

/* TAPs of ours in the router. */
uint32_t tap_count(void);

/* Requires that no TAP is there and that both ends reach each other. */
void tap_check_untouched(void);

#endif /* NSP_TESTS_FUNCTIONAL_TAP_FIXTURE_H */
