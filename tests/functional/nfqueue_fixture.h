#ifndef NSP_TESTS_FUNCTIONAL_NFQUEUE_FIXTURE_H
#define NSP_TESTS_FUNCTIONAL_NFQUEUE_FIXTURE_H
/* What the tests of the nfqueue device share: the lab, a device opened in its
 * router, and datagrams through it.
 *
 *   client 10.77.1.2 ---- 10.77.1.1 router 10.77.2.1 ---- 10.77.2.2 server
 *                                   device
 *
 * One thread does everything: sockets stay in the host where they were made. */
#include "lab/lab.h"
#include "netshaper/engine.h"
#include "netshaper/io.h"
#include "tests/lib/test.h"

#include <netinet/in.h>

extern const struct nsp_io_ops nsp_nfqueue_ops;

/* The queue's number is counted from 0 within the device. */
#define QUEUE 0

/* Until what must come counts as not coming, however busy the machine is. */
#define FIXTURE_PATIENCE_S 60

/* Opened once per program by fixture_setup(), NULL where it is not possible. */
extern struct nsp_lab *lab;

/* Group fixture functions of cmocka. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Closes what the test has opened, however it ended. */
int fixture_end(void **state);
#define FIXTURE_TEST(name) cmocka_unit_test_teardown(name, fixture_end)

/* Skips the test with the reason when there is no lab. */
void fixture_require(void);

/* A device configuration to start from: everything whole, one queue. */
struct nsp_io_config fixture_config(uint32_t hooks);

/* Opens the device in the router, where the caller then is. */
struct nsp_io *fixture_open(const struct nsp_io_config *cfg);

/* Closes it before the test ends. */
void fixture_close(struct nsp_io *io);

/* Waits for 'n' packets (else the test fails, by and by). Bytes are valid of
 * those of the last burst alone. Here and below, ICMPv6 is passed on unseen:
 * the hosts look for their neighbours when they please. */
void fixture_receive(struct nsp_io *io, struct nsp_pkt *ret_pkts[], uint32_t n);

/* Sends all and requires that none is refused. */
void fixture_send(struct nsp_io *io, struct nsp_pkt *const pkts[], uint32_t n);

/* True when the device has nothing to give; answers to verdicts are read. */
bool fixture_is_empty(struct nsp_io *io);

/* A datagram socket of 'host' bound to its address and 'port' (0: any), with
 * a timeout for what must come. Leaves the thread in the router. */
int fixture_udp(enum nsp_lab_host host, int family, uint16_t port);

/* A non-blocking TCP socket of 'host', otherwise the same. */
int fixture_tcp(enum nsp_lab_host host);

/* Sends 'text' to 'host', 'port' from socket 'fd'. */
void fixture_say(int fd, enum nsp_lab_host host, int family, uint16_t port,
                 const char *text);

/* Requires that the next datagram of 'fd' is 'text'. */
void fixture_hear(int fd, const char *text);

/* Requires that no datagram waits. */
void fixture_hear_nothing(int fd);

/* The nftables tables of this library in the router. */
uint32_t fixture_count_tables(void);

/* The rows of the kernel's table of queues, one for each. */
uint32_t fixture_count_queues(void);

/* Runs 'body' in a child, which ends with _exit(0) when all went well. */
pid_t fixture_fork(void (*body)(void *context), void *context);

#define CHILD_CHECK(condition)                                                 \
    do {                                                                       \
        if (!(condition)) {                                                    \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            _exit(1);                                                          \
        }                                                                      \
    } while (0)

/* Runs 'open' in a child, kills that, and returns when it is dead. Another
 * process then holds all that the child had open until the heir is ended, or
 * the test is. */
void fixture_kill_with_heir(void (*open)(void *context), void *context);
void fixture_end_heir(void);

#endif /* NSP_TESTS_FUNCTIONAL_NFQUEUE_FIXTURE_H */
