#define _GNU_SOURCE
/* News of interfaces, in the router of the lab. */
#include "os/linux/link_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/functional/nfqueue_fixture.h"

/* The least room that the kernel gives a socket: for some messages. */
#define ROOM_BYTES 1

/* More changes than fit. */
#define CHANGES   200
#define MTU_FIRST 2000

struct heard {
    uint32_t ifindex; /* Of whom. */
    uint32_t mtu;     /* The last one told; 0: none. */
    bool removed;
};

static void
hear(void *context, const struct nsp_link_news *news)
{
    struct heard *heard = context;

    if (news->ifindex != heard->ifindex)
        return;
    heard->removed = news->removed;
    if (news->mtu != 0)
        heard->mtu = news->mtu;
}

static struct nsp_link_watch
open_small(void)
{
    struct nsp_link_watch watch;
    int room = ROOM_BYTES;

    CHECK_EQ(nsp_link_watch_open(&watch, false), 0);
    CHECK_EQ(setsockopt(watch.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room),
             0);
    return watch;
}

static void
change_mtu(int count)
{
    struct ifreq ifr = { .ifr_name = "lo" };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    for (int i = 0; i < count; i++) {
        ifr.ifr_mtu = MTU_FIRST + i;
        CHECK_EQ(ioctl(fd, SIOCSIFMTU, &ifr), 0);
    }
    close(fd);
}

TEST(link_watch_tells_what_changes)
{
    struct heard heard = { 0 };
    struct nsp_link_watch watch;

    fixture_require();
    heard.ifindex = if_nametoindex("lo");
    watch = open_small();
    change_mtu(1);
    CHECK(!nsp_link_watch_read(&watch, hear, &heard));
    CHECK_EQ(heard.mtu, MTU_FIRST);
    CHECK(!nsp_link_watch_read(&watch, hear, &heard));
    nsp_link_watch_close(&watch);
}

TEST(link_watch_makes_up_for_news_that_was_lost)
{
    struct heard heard = { 0 };
    struct nsp_link_watch watch;

    fixture_require();
    heard.ifindex = if_nametoindex("lo");
    watch = open_small();
    change_mtu(CHANGES);
    CHECK(nsp_link_watch_read(&watch, hear, &heard));
    CHECK_EQ(heard.mtu, MTU_FIRST + CHANGES - 1);

    heard.mtu = 0;
    CHECK(!nsp_link_watch_read(&watch, hear, &heard)); /* Once. */
    CHECK_EQ(heard.mtu, 0);
    nsp_link_watch_close(&watch);
}

TEST(link_watch_misses_interfaces_that_are_gone)
{
    struct ifreq ifr = { .ifr_name = "gone0", .ifr_flags = IFF_TAP };
    struct heard heard = { 0 };
    struct nsp_link_watch watch;
    int fd;

    fixture_require();
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
        SKIP("no TAP can be made here");
    heard.ifindex = if_nametoindex("gone0");
    watch = open_small();
    change_mtu(CHANGES);
    nsp_link_watch_miss(heard.ifindex, hear, &heard);
    CHECK(!heard.removed);
    close(fd);
    CHECK(nsp_link_watch_read(&watch, hear, &heard));
    CHECK(!heard.removed); /* Nobody could say so. */
    nsp_link_watch_miss(heard.ifindex, hear, &heard);
    CHECK(heard.removed);
    nsp_link_watch_close(&watch);
}

TEST(link_is_found_by_name_and_listed)
{
    struct heard heard = { .removed = true };
    struct nsp_link_news found;

    fixture_require();
    change_mtu(1);
    CHECK_EQ(nsp_link_find("lo", &found), 0);
    CHECK_EQ(found.ifindex, if_nametoindex("lo"));
    CHECK_EQ(strcmp(found.name, "lo"), 0);
    CHECK_EQ(found.type, ARPHRD_LOOPBACK);
    CHECK_EQ(found.mtu, MTU_FIRST);
    CHECK(found.up && !found.removed && !found.filters && !found.has_master);
    CHECK_EQ(nsp_link_find("nobody", &found), -ENODEV);
    CHECK_EQ(nsp_link_find("longer-than-a-name", &found), -ENODEV);
    CHECK_EQ(found.mtu, MTU_FIRST); /* Not touched. */

    heard.ifindex = found.ifindex;
    CHECK_EQ(nsp_link_list(hear, &heard), 0);
    CHECK_EQ(heard.mtu, MTU_FIRST);
    CHECK(!heard.removed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(link_watch_tells_what_changes),
        FIXTURE_TEST(link_watch_makes_up_for_news_that_was_lost),
        FIXTURE_TEST(link_is_found_by_name_and_listed),
        FIXTURE_TEST(link_watch_misses_interfaces_that_are_gone),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
