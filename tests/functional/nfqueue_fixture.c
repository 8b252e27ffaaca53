#define _GNU_SOURCE
#include "tests/functional/nfqueue_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

struct nsp_lab *lab;
static struct nsp_diag lab_diag;

/* What the running test has opened. */
#define OPEN_MAX 80
static struct nsp_io *open_ios[OPEN_MAX];
static int open_fds[OPEN_MAX];
static int open_fd_count;

int
fixture_setup(void **state)
{
    (void)state;
    if (nsp_lab_open(&lab, &lab_diag) != NSP_OK)
        lab = NULL;
    return 0;
}

int
fixture_teardown(void **state)
{
    (void)state;
    if (lab)
        lab = nsp_lab_close(lab);
    return 0;
}

int
fixture_end(void **state)
{
    (void)state;
    for (int i = 0; i < OPEN_MAX; i++)
        fixture_close(open_ios[i]);
    while (open_fd_count > 0)
        close(open_fds[--open_fd_count]);
    return 0;
}

void
fixture_close(struct nsp_io *io)
{
    if (!io)
        return;
    for (int i = 0; i < OPEN_MAX; i++)
        if (open_ios[i] == io)
            open_ios[i] = NULL;
    nsp_nfqueue_ops.close(io);
}

void
fixture_require(void)
{
    if (!lab)
        SKIP(lab_diag.text);
    CHECK_EQ(nsp_lab_enter(lab, NSP_LAB_ROUTER), 0);
}

struct nsp_io_config
fixture_config(uint32_t hooks)
{
    /* However long a test leaves it alone. */
    static const struct nsp_nfqueue_config patient = { .hang_ms = 10000 };

    return (struct nsp_io_config){
        .queues = 1,
        .hooks = hooks,
        .max_held_pkts = 256,
        .device = &patient,
        .clock = { .now_ns = nsp_os_monotonic_ns },
    };
}

struct nsp_io *
fixture_open(const struct nsp_io_config *cfg)
{
    struct nsp_io *io = NULL;
    struct nsp_diag diag;
    int result = nsp_nfqueue_ops.open(cfg, &io, &diag);

    if (result == NSP_NOT_POSSIBLE)
        SKIP(diag.text);
    if (result != NSP_OK)
        fail_msg("open: %s (%s)", diag.text, diag.hint);
    for (int i = 0; i < OPEN_MAX; i++)
        if (!open_ios[i]) {
            open_ios[i] = io;
            return io;
        }
    fail_msg("more than %d devices", OPEN_MAX);
    return NULL;
}

static bool
is_icmpv6(const struct nsp_pkt *pkt)
{
    return pkt->cap_bytes >= 40 && pkt->data[0] >> 4 == 6 &&
           (pkt->data[6] == IPPROTO_ICMPV6 || pkt->data[6] == IPPROTO_HOPOPTS);
}

/* A burst without the ICMPv6 that was in it. */
static uint32_t
receive_burst(struct nsp_io *io, uint64_t at_ns, struct nsp_pkt *ret_pkts[],
              uint32_t max)
{
    uint32_t got = nsp_nfqueue_ops.rx_burst(io, QUEUE, at_ns, ret_pkts, max);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < got; i++) {
        if (is_icmpv6(ret_pkts[i]))
            fixture_send(io, &ret_pkts[i], 1);
        else
            ret_pkts[kept++] = ret_pkts[i];
    }
    return kept;
}

void
fixture_receive(struct nsp_io *io, struct nsp_pkt *ret_pkts[], uint32_t n)
{
    const uint64_t end_ns =
        nsp_os_monotonic_ns(NULL) + FIXTURE_PATIENCE_S * UINT64_C(1000000000);
    uint32_t got = 0;

    while (got < n) {
        uint32_t room = n - got < NSP_BURST_MAX ? n - got : NSP_BURST_MAX;
        uint64_t at_ns = nsp_os_monotonic_ns(NULL);

        if (at_ns >= end_ns)
            fail_msg("%u of %u packets came", got, n);
        CHECK_EQ(nsp_nfqueue_ops.wait(io, QUEUE, end_ns - at_ns), 0);
        got += receive_burst(io, at_ns, ret_pkts + got, room);
    }
}

void
fixture_send(struct nsp_io *io, struct nsp_pkt *const pkts[], uint32_t n)
{
    bool refused[NSP_BURST_MAX];

    for (uint32_t at = 0; at < n; at += NSP_BURST_MAX) {
        uint32_t count = n - at < NSP_BURST_MAX ? n - at : NSP_BURST_MAX;

        CHECK_EQ(nsp_nfqueue_ops.tx_burst(io, QUEUE, nsp_os_monotonic_ns(NULL),
                                          pkts + at, count, refused),
                 0);
    }
}

bool
fixture_is_empty(struct nsp_io *io)
{
    struct nsp_pkt *pkt;

    return receive_burst(io, nsp_os_monotonic_ns(NULL), &pkt, 1) == 0;
}

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static socklen_t
fill_address(union address *ret, enum nsp_lab_host host, int family,
             uint16_t port)
{
    const char *text = nsp_lab_address(host, family);

    memset(ret, 0, sizeof *ret);
    ret->any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        ret->ipv4.sin_port = htons(port);
        CHECK_EQ(inet_pton(family, text, &ret->ipv4.sin_addr), 1);
        return sizeof ret->ipv4;
    }
    ret->ipv6.sin6_port = htons(port);
    CHECK_EQ(inet_pton(family, text, &ret->ipv6.sin6_addr), 1);
    return sizeof ret->ipv6;
}

static int
open_socket(enum nsp_lab_host host, int family, int type)
{
    int fd;

    CHECK_EQ(nsp_lab_enter(lab, host), 0);
    fd = socket(family, type, 0);
    CHECK(fd >= 0 && open_fd_count < OPEN_MAX);
    open_fds[open_fd_count++] = fd;
    CHECK_EQ(nsp_lab_enter(lab, NSP_LAB_ROUTER), 0);
    return fd;
}

int
fixture_tcp(enum nsp_lab_host host)
{
    int fd = open_socket(host, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    int one = 1;

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    return fd;
}

int
fixture_udp(enum nsp_lab_host host, int family, uint16_t port)
{
    struct timeval timeout = { .tv_sec = FIXTURE_PATIENCE_S };
    union address address;
    socklen_t bytes = fill_address(&address, host, family, port);
    int fd;

    if (family == AF_INET6 && access("/proc/sys/net/ipv6", F_OK) < 0)
        SKIP("the kernel has no IPv6");
    fd = open_socket(host, family, SOCK_DGRAM);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout),
             0);
    CHECK_EQ(bind(fd, &address.any, bytes), 0);
    return fd;
}

void
fixture_say(int fd, enum nsp_lab_host host, int family, uint16_t port,
            const char *text)
{
    union address to;
    socklen_t bytes = fill_address(&to, host, family, port);

    CHECK(sendto(fd, text, strlen(text), 0, &to.any, bytes) ==
          (ssize_t)strlen(text));
}

void
fixture_hear(int fd, const char *text)
{
    char heard[2048];
    ssize_t bytes = recv(fd, heard, sizeof heard - 1, 0);

    if (bytes < 0)
        fail_msg("waited for '%s': %s", text, strerror(errno));
    heard[bytes] = '\0';
    CHECK_STR_EQ(heard, text);
}

void
fixture_hear_nothing(int fd)
{
    char heard[2048];

    CHECK(recv(fd, heard, sizeof heard, MSG_DONTWAIT) < 0);
    CHECK(errno == EAGAIN);
}

static int
count_if_ours(const struct nlattr *attribute, void *opaque)
{
    uint32_t *count = opaque;

    if (mnl_attr_get_type(attribute) == NFTA_TABLE_NAME &&
        strncmp(mnl_attr_get_str(attribute), "netshaper-", 10) == 0)
        ++*count;
    return MNL_CB_OK;
}

static int
count_table(const struct nlmsghdr *message, void *opaque)
{
    return mnl_attr_parse(message, sizeof(struct nfgenmsg), count_if_ours,
                          opaque);
}

uint32_t
fixture_count_tables(void)
{
    struct mnl_socket *nl = mnl_socket_open(NETLINK_NETFILTER);
    _Alignas(struct nlmsghdr) char bytes[16384];
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    struct nfgenmsg *header;
    uint32_t count = 0;
    ssize_t got;
    int more = MNL_CB_OK;

    CHECK(nl != NULL);
    request->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header = mnl_nlmsg_put_extra_header(request, sizeof *header);
    header->nfgen_family = AF_UNSPEC;
    CHECK(mnl_socket_sendto(nl, request, request->nlmsg_len) > 0);
    while (more > MNL_CB_STOP) {
        got = mnl_socket_recvfrom(nl, bytes, sizeof bytes);
        CHECK(got > 0);
        more = mnl_cb_run(bytes, (size_t)got, 0, 0, count_table, &count);
        CHECK(more >= MNL_CB_STOP);
    }
    mnl_socket_close(nl);
    return count;
}

pid_t
fixture_fork(void (*body)(void *context), void *context)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* However the test ends, its child does not outlive it. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        body(context);
        _exit(0);
    }
    return child;
}

/* --- Files that outlive their process ------------------------------------- */

static int heir_ends[2]; /* A pipe: the heir reads until it is closed. */

struct legator {
    void (*open)(void *context);
    void *context;
};

static void
open_and_be_killed(void *opaque)
{
    const struct legator *legator = opaque;
    pid_t heir;
    char none;

    legator->open(legator->context);
    heir = fork();
    CHILD_CHECK(heir >= 0);
    if (heir == 0) {
        close(heir_ends[1]);
        _exit(read(heir_ends[0], &none, 1) != 0);
    }
    kill(getpid(), SIGKILL);
}

void
fixture_kill_with_heir(void (*open)(void *context), void *context)
{
    struct legator legator = { open, context };
    pid_t child;
    int status;

    CHECK_EQ(pipe(heir_ends), 0);
    child = fixture_fork(open_and_be_killed, &legator);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(heir_ends[0]);
}

void
fixture_end_heir(void)
{
    close(heir_ends[1]);
}

uint32_t
fixture_count_queues(void)
{
    FILE *table = fopen("/proc/thread-self/net/netfilter/nfnetlink_queue", "r");
    uint32_t rows = 0;
    int c;

    CHECK(table != NULL);
    while ((c = getc(table)) != EOF)
        rows += c == '\n';
    fclose(table);
    return rows;
}
