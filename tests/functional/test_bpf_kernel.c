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

/* Those of the latest program, and all made so far. */
static struct nsp_ebpf_maps maps, made;
static int made_fds[NSP_EBPF_MAPS_MAX];

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
    CHECK(attr.test.retval <= NSP_EBPF_UNKNOWN);
    *ret = attr.test.retval != 0;
    return true;
}

/* --- Maps ---------------------------------------------------------------- */

static int
make_map(const struct nsp_ebpf_map *map)
{
    struct {
        uint32_t bits;
        uint8_t addr[16];
    } key;
    struct nsp_filter_prefix prefix;
    const uint8_t value = 0;
    union bpf_attr attr;
    bool more;
    int fd;

    memset(&attr, 0, sizeof attr);
    attr.map_type = BPF_MAP_TYPE_LPM_TRIE;
    attr.key_size = NSP_EBPF_KEY_BYTES(map->ipv6);
    attr.value_size = sizeof value;
    attr.max_entries = nsp_filter_set_count_prefixes(map->set, map->ipv6);
    attr.map_flags = BPF_F_NO_PREALLOC;
    fd = (int)bpf(BPF_MAP_CREATE, &attr);
    CHECK(fd >= 0);
    more = nsp_filter_set_next_prefix(map->set, map->ipv6, NULL, &prefix);
    while (more) {
        key.bits = prefix.bits;
        memcpy(key.addr, prefix.addr, sizeof key.addr);
        memset(&attr, 0, sizeof attr);
        attr.map_fd = (uint32_t)fd;
        attr.key = (uintptr_t)&key;
        attr.value = (uintptr_t)&value;
        CHECK_EQ(bpf(BPF_MAP_UPDATE_ELEM, &attr), 0);
        more =
            nsp_filter_set_next_prefix(map->set, map->ipv6, &prefix, &prefix);
    }
    return fd;
}

/* Gives the program the maps that it asks for. */
static void
set_maps(void)
{
    int fds[NSP_EBPF_MAPS_MAX];

    for (uint32_t i = 0; i < maps.count; i++) {
        uint32_t k = 0;

        while (k < made.count && (made.maps[k].set != maps.maps[i].set ||
                                  made.maps[k].ipv6 != maps.maps[i].ipv6))
            k++;
        if (k == made.count) {
            made.maps[made.count] = maps.maps[i];
            made_fds[made.count++] = make_map(&maps.maps[i]);
        }
        fds[i] = made_fds[k];
    }
    nsp_ebpf_set_maps(insns, insn_count, fds);
}

static void
close_maps(void)
{
    while (made.count > 0)
        close(made_fds[--made.count]);
}

static bool
is_permitted(void)
{
    struct nsp_filter *filter = compile("tcp", NSP_LAYER_NETWORK);
    struct nsp_site site = { .link = NSP_LINK_RAW };
    int fd;

    CHECK_EQ(nsp_filter_emit_ebpf(filter, NSP_EBPF_XDP, &site, insns,
                                  NSP_EBPF_INSNS_MAX, &insn_count, NULL,
                                  &widened),
             0);
    nsp_filter_destroy(filter);
    fd = load(NSP_EBPF_XDP, NULL);
    if (fd < 0)
        return errno != EPERM && errno != ENOSYS;
    close(fd);
    return true;
}

/* Makes a program, checks it, and tells whether it takes maps. */
static bool
check_ebpf_with(enum nsp_ebpf_type type, bool with_maps)
{
    struct nsp_filter *filter = compile_random(&world);
    unsigned runs = 0;
    int fd;

    CHECK_EQ(nsp_filter_emit_ebpf(filter, type, &world.site, insns,
                                  NSP_EBPF_INSNS_MAX, &insn_count,
                                  with_maps ? &maps : NULL, &widened),
             0);
    if (with_maps)
        set_maps();
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
    return with_maps && maps.count > 0;
}

static void
check_ebpf(enum nsp_ebpf_type type)
{
    check_ebpf_with(type, false);
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
    named_sets_open(&world.options);
    nsp_prng_init(&world.prng, 24, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, 2),
                        LOOPBACK_IFINDEX);
        random_naive_filter(&world);
        check_ebpf_with(NSP_EBPF_XDP, true);
        exact += widened.exact;
        check_ebpf(NSP_EBPF_TCX);
    }
    CHECK(exact > count / 4);
    close_maps();
    named_sets_close(&world.options);
}

/* A random filter with fields that may be in named sets. */
static void
random_set_filter(void)
{
    static const char *const names[] = { "ip.SrcAddr",  "ipv6.DstAddr",
                                         "remoteAddr",  "localAddr",
                                         "tcp.DstPort", "length" };

    static_assert(NSP_ARRAY_LEN(names) == NSP_ARRAY_LEN(world.few),
                  "as many fields");
    for (unsigned i = 0; i < NSP_ARRAY_LEN(names); i++)
        world.few[i] = nsp_field_find(names[i], strlen(names[i]));
    world.used = 0;
    world.has_naive = false;
    put_expression(&world, below(&world, 5));
}

TEST(ebpf_looks_named_sets_up_in_maps)
{
    unsigned count = random_filter_count(250), exact = 0, with_maps = 0;

    if (!is_permitted())
        SKIP("bpf() is not permitted here");
    named_sets_open(&world.options);
    nsp_prng_init(&world.prng, 26, 0);
    for (unsigned i = 0; i < count; i++) {
        if (i % 8 == 0)
            random_site(&world, (enum nsp_link)below(&world, 2),
                        LOOPBACK_IFINDEX);
        random_set_filter();
        with_maps += check_ebpf_with(NSP_EBPF_XDP, true);
        exact += maps.count > 0 && widened.exact;
        check_ebpf_with(NSP_EBPF_TCX, true);
        check_ebpf(NSP_EBPF_TCX);
    }
    CHECK(with_maps > count / 8 && exact > count / 16);
    close_maps();
    named_sets_close(&world.options);
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
    struct nsp_filter *filter = compile_random(&world);
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
          cmocka_unit_test(ebpf_looks_named_sets_up_in_maps),
          cmocka_unit_test(ebpf_is_accepted_at_its_longest),
          cmocka_unit_test(cbpf_is_accepted_and_agrees_with_the_evaluator))
