/* Programs made of filters, checked and run by the kernel: classic ones as the
 * filter of a socket, the others by BPF_PROG_TEST_RUN. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/random_filter.h"

#define LOG_BYTES (1u << 20)

/* The runs are on the loopback interface. */
#define LOOPBACK_IFINDEX 1

/* What the kernel takes for a packet at least. */
#define RUN_BYTES_MIN 14

static_assert(sizeof(struct bpf_insn) == sizeof(struct nsp_ebpf_insn) &&
                  offsetof(struct bpf_insn, imm) ==
                      offsetof(struct nsp_ebpf_insn, imm),
              "not the kernel's instructions");

static struct random_world world;
static struct nsp_ebpf_insn insns[NSP_EBPF_INSNS_MAX];
static uint32_t insn_count;
static struct nsp_widened widened;

/* --- eBPF ---------------------------------------------------------------- */

static long
bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

static int
load(enum nsp_ebpf_type type, char *log)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.prog_type =
        type == NSP_EBPF_XDP ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = insn_count;
    attr.license = (uintptr_t) "MIT";
    if (log) {
        attr.log_buf = (uintptr_t)log;
        attr.log_size = LOG_BYTES;
        attr.log_level = 1;
    }
    return (int)bpf(BPF_PROG_LOAD, &attr);
}

/* Loads what the verifier must accept, or prints the end of what it says. */
static int
load_or_fail(enum nsp_ebpf_type type)
{
    static char log[LOG_BYTES];
    int fd = load(type, NULL);

    if (fd >= 0)
        return fd;
    fd = load(type, log);
    fail_msg("%u instructions: %s\n%s: %s", insn_count, strerror(errno),
             log + (strlen(log) > 2000 ? strlen(log) - 2000 : 0), world.text);
    return fd;
}

/* Stores the answer; false where the kernel makes no packet of such bytes: too
 * few, or an IP header cut short. */
static bool
run(int fd, enum nsp_ebpf_type type, const struct nsp_pkt *pkt, bool *ret)
{
    struct __sk_buff skb = { .ifindex = LOOPBACK_IFINDEX,
                             .ingress_ifindex = LOOPBACK_IFINDEX };
    union bpf_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.test.prog_fd = (uint32_t)fd;
    attr.test.data_in = (uintptr_t)pkt->data;
    attr.test.data_size_in = pkt->cap_bytes;
    if (type == NSP_EBPF_TCX) {
        attr.test.ctx_in = (uintptr_t)&skb;
        attr.test.ctx_size_in = sizeof skb;
    }
    if (bpf(BPF_PROG_TEST_RUN, &attr) < 0 && errno == EINVAL &&
        (type == NSP_EBPF_TCX || pkt->cap_bytes < RUN_BYTES_MIN))
        return false;
    if (bpf(BPF_PROG_TEST_RUN, &attr) < 0)
        fail_msg("run of %u bytes: %s", pkt->cap_bytes, strerror(errno));
    CHECK(attr.test.retval <= 1);
    *ret = attr.test.retval;
    return true;
}

static bool
is_permitted(void)
{
    struct nsp_filter *filter = compile("tcp", NSP_LAYER_NETWORK);
    struct nsp_site site = { .link = NSP_LINK_RAW };
    int fd;

    CHECK_EQ(nsp_filter_emit_ebpf(filter, NSP_EBPF_XDP, &site, insns,
                                  NSP_EBPF_INSNS_MAX, &insn_count, &widened),
             0);
    nsp_filter_destroy(filter);
    fd = load(NSP_EBPF_XDP, NULL);
    if (fd < 0)
        return errno != EPERM && errno != ENOSYS;
    close(fd);
    return true;
}

static void
check_ebpf(enum nsp_ebpf_type type)
{
    struct nsp_filter *filter = compile(world.text, NSP_LAYER_NETWORK);
    unsigned runs = 0;
    int fd;

    CHECK_EQ(nsp_filter_emit_ebpf(filter, type, &world.site, insns,
                                  NSP_EBPF_INSNS_MAX, &insn_count, &widened),
             0);
    fd = load_or_fail(type);
    for (unsigned i = 0; i < RANDOM_PACKETS; i++) {
        bool accepted;

        if (run(fd, type, &world.packets[i].pkt, &accepted)) {
            check_answer(&world, filter, &widened, i, accepted);
            runs++;
        }
    }
    CHECK(runs > RANDOM_PACKETS / 4);
    close(fd);
    nsp_filter_destroy(filter);
}

TEST(ebpf_is_accepted_and_agrees_with_the_evaluator)
{
    unsigned count = random_filter_count(250), exact = 0;

    if (!is_permitted())
        SKIP("bpf() is not permitted here");
    nsp_prng_init(&world.prng, 21, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, 2),
                        LOOPBACK_IFINDEX);
        random_filter(&world);
        check_ebpf(NSP_EBPF_XDP);
        exact += widened.exact;
        check_ebpf(NSP_EBPF_TCX);
    }
    CHECK(exact > count / 4);
}

TEST(ebpf_agrees_with_a_naive_walk_of_the_expression)
{
    unsigned count = random_filter_count(250), exact = 0;

    if (!is_permitted())
        SKIP("bpf() is not permitted here");
    nsp_prng_init(&world.prng, 24, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, 2),
                        LOOPBACK_IFINDEX);
        random_naive_filter(&world);
        check_ebpf(NSP_EBPF_XDP);
        exact += widened.exact;
        check_ebpf(NSP_EBPF_TCX);
    }
    CHECK(exact > count / 4);
}

/* The longest programs, which the verifier must get through. */
TEST(ebpf_is_accepted_at_its_longest)
{
    static const char *const tests[] = { "tcp.DstPort == %u",
                                         "(protocol == %u or fragment)",
                                         "(packet[-%u] == 7 and udp)",
                                         "ipv6.SrcAddr < 2001:db8::%u",
                                         "(tcp.Payload32[%u] > 5 or icmp)" };

    if (!is_permitted())
        SKIP("bpf() is not permitted here");
    nsp_prng_init(&world.prng, 22, 0);
    for (unsigned i = 0; i < NSP_ARRAY_LEN(tests); i++) {
        char part[64];

        random_site(&world, NSP_LINK_ETHERNET, LOOPBACK_IFINDEX);
        world.used = 0;
        world.has_naive = false;
        for (unsigned k = 0; k < 127; k++) {
            put(&world, k == 0 ? "" : k % 5 == 0 ? " and " : " or ");
            snprintf(part, sizeof part, tests[i], k * 2 + 1);
            put(&world, part);
        }
        check_ebpf(NSP_EBPF_XDP);
        check_ebpf(NSP_EBPF_TCX);
    }
}

/* --- Classic BPF --------------------------------------------------------- */

/* A datagram to a socket is a packet to its filter. */
static void
check_cbpf(const int sockets[2])
{
    static struct nsp_cbpf_insn program[NSP_CBPF_INSNS_MAX];
    struct nsp_filter *filter = compile(world.text, NSP_LAYER_NETWORK);
    struct sock_fprog fprog = { .filter = (struct sock_filter *)program };
    uint32_t count;

    CHECK_EQ(nsp_filter_emit_cbpf(filter, &world.site, program,
                                  NSP_CBPF_INSNS_MAX, &count, &widened),
             0);
    fprog.len = (unsigned short)count;
    if (setsockopt(sockets[1], SOL_SOCKET, SO_ATTACH_FILTER, &fprog,
                   sizeof fprog) < 0)
        fail_msg("%u instructions: %s: %s", count, strerror(errno), world.text);
    for (unsigned i = 0; i < RANDOM_PACKETS; i++) {
        const struct nsp_pkt *pkt = &world.packets[i].pkt;
        uint8_t bytes[RANDOM_PACKET_BYTES];
        ssize_t got;

        CHECK_EQ(send(sockets[0], pkt->data, pkt->cap_bytes, 0),
                 pkt->cap_bytes);
        got = recv(sockets[1], bytes, sizeof bytes, MSG_DONTWAIT);
        CHECK(got >= 0 || errno == EAGAIN);
        check_answer(&world, filter, &widened, i, got >= 0);
    }
    nsp_filter_destroy(filter);
}

TEST(cbpf_is_accepted_and_agrees_with_the_evaluator)
{
    unsigned count = random_filter_count(250);
    int sockets[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
    nsp_prng_init(&world.prng, 23, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, NSP_LINK_NULL), 3);
        random_filter(&world);
        check_cbpf(sockets);
    }
    close(sockets[0]);
    close(sockets[1]);
}

TEST_MAIN(cmocka_unit_test(ebpf_is_accepted_and_agrees_with_the_evaluator),
          cmocka_unit_test(ebpf_agrees_with_a_naive_walk_of_the_expression),
          cmocka_unit_test(ebpf_is_accepted_at_its_longest),
          cmocka_unit_test(cbpf_is_accepted_and_agrees_with_the_evaluator))
