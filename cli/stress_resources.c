#include "cli/stress.h"

#include <dirent.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/thread.h"

/* Entries of a folder of /proc, the one that reads it not counted. */
static int64_t
count_entries(const char *path)
{
    DIR *folder = opendir(path);
    int64_t count = 0;

    if (!folder)
        return -1;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static int64_t
read_rss_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = -1;

    if (!file)
        return -1;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = -1;
    fclose(file);
    return pages < 0 ? -1 : (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int
count_table(const struct nlmsghdr *message, void *context)
{
    (void)message;
    ++*(int64_t *)context;
    return MNL_CB_OK;
}

static int64_t
dump_tables(struct mnl_socket *sock)
{
    char buffer[32768] __attribute__((aligned(8)));
    struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
    struct nfgenmsg *header;
    int64_t count = 0;
    int more = MNL_CB_OK;

    message->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message->nlmsg_seq = 1;
    header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->version = NFNETLINK_V0;
    if (mnl_socket_sendto(sock, message, message->nlmsg_len) < 0)
        return -1;

    while (more == MNL_CB_OK) {
        ssize_t n = mnl_socket_recvfrom(sock, buffer, sizeof buffer);

        if (n < 0)
            return -1;
        more = mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(sock),
                          count_table, &count);
    }
    return more < 0 ? -1 : count;
}

/* Of the thread's network namespace; the kernel tells only who may change
 * them. */
static int64_t
count_nft_tables(void)
{
    struct mnl_socket *sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    int64_t count = -1;

    if (!sock)
        return -1;
    if (mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) == 0)
        count = dump_tables(sock);
    mnl_socket_close(sock);
    return count;
}

void
nsp_stress_read_resources(struct nsp_stress_resources *ret)
{
    ret->threads = count_entries("/proc/self/task");
    ret->descriptors = count_entries("/proc/self/fd") - 1;
    ret->rss_bytes = read_rss_bytes();
    ret->nft_tables = count_nft_tables();
}

void
nsp_stress_settle(const struct nsp_stress_resources *before,
                  struct nsp_stress_resources *ret)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    nsp_stress_read_resources(ret);
    for (int i = 0; i < 1000 && ret->threads > before->threads; i++) {
        nanosleep(&moment, NULL);
        nsp_stress_read_resources(ret);
    }
}

static void *
do_nothing(void *context)
{
    return context;
}

void
nsp_stress_read_before(struct nsp_stress_resources *ret)
{
    struct nsp_stress_resources quiet;
    pthread_t thread;

    nsp_stress_read_resources(&quiet);
    if (nsp_cli_thread_create(&thread, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
    nsp_stress_settle(&quiet, ret);
}

static void *
heap_alloc(void *context, size_t bytes)
{
    struct nsp_stress_heap *heap = context;
    void *memory = calloc(1, bytes);

    if (memory)
        atomic_fetch_add_explicit(&heap->allocations, 1, memory_order_relaxed);
    return memory;
}

static void
heap_release(void *context, void *memory)
{
    struct nsp_stress_heap *heap = context;

    if (memory)
        atomic_fetch_add_explicit(&heap->releases, 1, memory_order_relaxed);
    free(memory);
}

struct nsp_allocator
nsp_stress_allocator(struct nsp_stress_heap *heap)
{
    return (struct nsp_allocator){ heap_alloc, heap_release, heap };
}
