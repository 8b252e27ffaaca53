#define _GNU_SOURCE
#include "io/nfqueue/nlmsg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

/* More datagrams than any request of ours is answered with. */
#define ANSWERS_MAX 256

static int
bind_socket(struct nsp_nl *nl)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK };
    socklen_t bytes = sizeof address;
    int one = 1;

    if (bind(nl->fd, (struct sockaddr *)&address, bytes) < 0 ||
        getsockname(nl->fd, (struct sockaddr *)&address, &bytes) < 0)
        return -errno;
    nl->port_id = address.nl_pid;

    /* Connected to the kernel (port 0), the socket refuses messages of other
     * processes. */
    address.nl_pid = 0;
    if (connect(nl->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    /* Errors need not carry the request back. Older than Linux 4.3 they do,
     * which costs buffer space and nothing else. */
    if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one) <
            0 &&
        errno != ENOPROTOOPT)
        return -errno;
    return 0;
}

int
nsp_nl_open(struct nsp_nl *nl)
{
    int err;

    *nl = (struct nsp_nl){ .fd = -1 };
    nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    NETLINK_NETFILTER);
    if (nl->fd < 0)
        return -errno;
    err = bind_socket(nl);
    if (err < 0)
        nsp_nl_close(nl);
    return err;
}

void
nsp_nl_close(struct nsp_nl *nl)
{
    if (nl->fd >= 0)
        close(nl->fd);
    nl->fd = -1;
}

void
nsp_nl_batch_init(struct nsp_nl_batch *batch, struct nsp_nl *nl)
{
    batch->nl = nl;
    batch->used_bytes = 0;
}

struct nlmsghdr *
nsp_nl_begin(struct nsp_nl_batch *batch, uint16_t type, uint16_t flags,
             uint8_t family, uint16_t res_id)
{
    struct nlmsghdr *message;
    struct nfgenmsg *header;

    assert(batch->used_bytes < NSP_NL_BATCH_BYTES / 2);
    message = mnl_nlmsg_put_header(batch->bytes + batch->used_bytes);
    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++batch->nl->seq;

    header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    header->res_id = htons(res_id);
    return message;
}

void
nsp_nl_end(struct nsp_nl_batch *batch, const struct nlmsghdr *message)
{
    batch->used_bytes += NLMSG_ALIGN(message->nlmsg_len);
    assert(batch->used_bytes <= NSP_NL_BATCH_BYTES);
}

int
nsp_nl_post(const struct nsp_nl_batch *batch)
{
    ssize_t sent;

    do
        sent = send(batch->nl->fd, batch->bytes, batch->used_bytes, 0);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* Looks at one datagram of answers. Returns the first error in it or 0. */
static int
read_answers(const uint8_t *bytes, int left, bool *ret_answered,
             struct nsp_nl_answer *reterr)
{
    const struct nlmsghdr *message = (const void *)bytes;

    for (; mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
        const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

        if (message->nlmsg_type != NLMSG_ERROR ||
            mnl_nlmsg_get_payload_len(message) < sizeof *error)
            continue;
        *ret_answered = true;
        if (error->error < 0) {
            if (reterr)
                reterr->refused_type = error->msg.nlmsg_type;
            return error->error;
        }
    }
    return 0;
}

int
nsp_nl_request(struct nsp_nl_batch *batch, struct nsp_nl_answer *reterr)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[8192];
    bool answered = false;
    int result = nsp_nl_post(batch);

    if (result < 0)
        return result;
    for (int i = 0; i < ANSWERS_MAX; i++) {
        ssize_t got = recv(batch->nl->fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0)
            return -errno;
        if (result == 0)
            result = read_answers(bytes, (int)got, &answered, reterr);
    }
    return result < 0 ? result : answered ? 0 : -EIO;
}

/* Looks at one datagram of a list. Returns 1 at the end of the list, 0, or the
 * kernel's error. */
static int
read_list(const uint8_t *bytes, int left, nsp_nl_show_fn *show, void *context)
{
    const struct nlmsghdr *message = (const void *)bytes;

    for (; mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
        const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

        if (message->nlmsg_type == NLMSG_DONE)
            return 1;
        if (message->nlmsg_type != NLMSG_ERROR)
            show(context, message);
        else if (mnl_nlmsg_get_payload_len(message) >= sizeof *error &&
                 error->error < 0)
            return error->error;
    }
    return 0;
}

int
nsp_nl_dump(const struct nsp_nl_batch *batch, nsp_nl_show_fn *show,
            void *context)
{
    /* The kernel fills up to 32 KiB at once where the reader has room. */
    _Alignas(struct nlmsghdr) uint8_t bytes[32768];
    int result = nsp_nl_post(batch);

    while (result == 0) {
        ssize_t got = recv(batch->nl->fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (got >= 0)
            result = read_list(bytes, (int)got, show, context);
        else if (errno != EINTR)
            result = -errno;
    }
    return result < 0 ? result : 0;
}
