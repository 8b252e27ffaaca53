#define _GNU_SOURCE
/*   client 10.77.1.2 ---- 10.77.1.1 router 10.77.2.1 ---- 10.77.2.2 server
 *
 * Each test builds the network in a child process: a process can enter a user
 * namespace only while it has one thread, and cannot leave it. */
#include "lab/lab.h"
#include "tests/lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define PORT   7077

/* What a child found; its exit status. */
enum outcome { WORKS = 0, NOT_POSSIBLE = 77 };

/* In the child, where a failed check can only say so and end the process. */
#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
                    strerror(errno));                                          \
            _exit(1);                                                          \
        }                                                                      \
    } while (0)

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static socklen_t
fill_address(union address *address, enum nsp_lab_host host, int family)
{
    void *bytes = family == AF_INET ? (void *)&address->ipv4.sin_addr
                                    : (void *)&address->ipv6.sin6_addr;

    memset(address, 0, sizeof *address);
    address->any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        address->ipv4.sin_port = htons(PORT);
    else
        address->ipv6.sin6_port = htons(PORT);
    REQUIRE(inet_pton(family, nsp_lab_address(host, family), bytes) == 1);
    return family == AF_INET ? sizeof address->ipv4 : sizeof address->ipv6;
}

static int
open_socket(const struct nsp_lab *lab, enum nsp_lab_host host, int family)
{
    struct timeval timeout = { .tv_sec = 60 };
    int fd = nsp_lab_socket(lab, host, family, SOCK_DGRAM);

    REQUIRE(fd >= 0);
    REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ==
            0);
    return fd;
}

/* One datagram to the server and its answer: the very first packets of the
 * network, so nothing may be lost while it comes up. */
static void
exchange(const struct nsp_lab *lab, int family)
{
    union address server, seen;
    socklen_t server_bytes = fill_address(&server, NSP_LAB_SERVER, family);
    socklen_t seen_bytes = sizeof seen;
    char text[INET6_ADDRSTRLEN], data[16];
    int server_fd = open_socket(lab, NSP_LAB_SERVER, family);
    int client_fd = open_socket(lab, NSP_LAB_CLIENT, family);

    REQUIRE(bind(server_fd, &server.any, server_bytes) == 0);
    REQUIRE(sendto(client_fd, "there", 5, 0, &server.any, server_bytes) == 5);
    REQUIRE(recvfrom(server_fd, data, sizeof data, 0, &seen.any, &seen_bytes) ==
            5);
    REQUIRE(inet_ntop(family,
                      family == AF_INET ? (void *)&seen.ipv4.sin_addr
                                        : (void *)&seen.ipv6.sin6_addr,
                      text, sizeof text) != NULL);
    REQUIRE(strcmp(text, nsp_lab_address(NSP_LAB_CLIENT, family)) == 0);
    REQUIRE(sendto(server_fd, "back", 4, 0, &seen.any, seen_bytes) == 4);
    REQUIRE(recv(client_fd, data, sizeof data, 0) == 4);
    REQUIRE(memcmp(data, "back", 4) == 0);
    close(server_fd);
    close(client_fd);
}

static void
become(uid_t user)
{
    if (geteuid() == user)
        return;
    REQUIRE(setgroups(0, NULL) == 0);
    REQUIRE(setgid(user) == 0);
    REQUIRE(setuid(user) == 0);
    /* Otherwise /proc/self stays root's after a change of user. */
    REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0);
}

static _Noreturn void
build_and_talk(uid_t user)
{
    struct nsp_lab *lab = NULL;
    struct nsp_diag diag;
    struct stat before, after;
    int r;

    become(user);
    REQUIRE(stat("/proc/thread-self/ns/net", &before) == 0);
    r = nsp_lab_open(&lab, &diag);
    if (r == NSP_NOT_POSSIBLE) {
        REQUIRE(diag.text[0] != '\0' && diag.hint[0] != '\0');
        fprintf(stderr, "%s (%s)\n", diag.text, diag.hint);
        _exit(NOT_POSSIBLE);
    }
    REQUIRE(r == NSP_OK);
    REQUIRE(stat("/proc/thread-self/ns/net", &after) == 0);
    REQUIRE(before.st_ino != after.st_ino);

    exchange(lab, AF_INET);
    if (access("/proc/sys/net/ipv6", F_OK) == 0)
        exchange(lab, AF_INET6);
    REQUIRE(nsp_lab_close(lab) == NULL);
    _exit(WORKS);
}

static void
check_as(uid_t user)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0)
        build_and_talk(user);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_POSSIBLE)
        SKIP("no network namespaces: nsp doctor tells why");
    CHECK_EQ(WEXITSTATUS(status), WORKS);
}

TEST(lab_carries_packets_both_ways_over_ipv4_and_ipv6)
{
    check_as(geteuid());
}

TEST(lab_does_the_same_for_an_ordinary_user)
{
    if (geteuid() != 0)
        SKIP("not root: the test above is the same");
    check_as(NOBODY);
}

TEST_MAIN(cmocka_unit_test(lab_carries_packets_both_ways_over_ipv4_and_ipv6),
          cmocka_unit_test(lab_does_the_same_for_an_ordinary_user))
