#ifndef NSP_IO_NFQUEUE_NLMSG_H
#define NSP_IO_NFQUEUE_NLMSG_H
#include <linux/netlink.h>

#include "base/base.h"

/* Netlink sockets of the netfilter subsystems, and requests over them.
 *
 * The kernel handles a request inside send(): when send returns, every answer
 * is already in the socket's receive queue. A request is therefore never waited
 * for, and its answers are all read before the call returns.
 *
 * Threads  one at a time per socket. */
struct nsp_nl {
    int fd; /* -1 when closed; non-blocking. */
    uint32_t port_id;
    uint32_t seq;
};

/* Room for requests, kept aligned for the headers written into it. */
#define NSP_NL_BATCH_BYTES 16384u
struct nsp_nl_batch {
    struct nsp_nl *nl;
    uint32_t used_bytes;
    _Alignas(struct nlmsghdr) uint8_t bytes[NSP_NL_BATCH_BYTES];
};

/* What the kernel said to a batch. */
struct nsp_nl_answer {
    uint16_t refused_type; /* nlmsg_type of the first message refused. */
};

/* Opens a socket that accepts messages from the kernel alone. Returns 0 or a
 * negative errno: -EPROTONOSUPPORT without CONFIG_NETFILTER_NETLINK. */
int nsp_nl_open(struct nsp_nl *nl) NSP_MUSTCHECK;

/* Accepts a closed one. */
void nsp_nl_close(struct nsp_nl *nl);

void nsp_nl_batch_init(struct nsp_nl_batch *batch, struct nsp_nl *nl);

/* Starts a message of 'type' (subsystem and message) for 'family', whose
 * nfgenmsg carries 'res_id', and returns it for mnl_attr_put_*(). */
struct nlmsghdr *nsp_nl_begin(struct nsp_nl_batch *batch, uint16_t type,
                              uint16_t flags, uint8_t family, uint16_t res_id);

/* Ends the message. */
void nsp_nl_end(struct nsp_nl_batch *batch, const struct nlmsghdr *message);

/* Sends 'batch' and reads all answers; one message at least must ask for an
 * acknowledgement (NLM_F_ACK). Returns 0, or a negative errno: the first error
 * the kernel answered, with '*reterr' (may be NULL) filled, or -EIO when it did
 * not answer. */
int nsp_nl_request(struct nsp_nl_batch *batch,
                   struct nsp_nl_answer *reterr) NSP_MUSTCHECK;

/* Sends 'batch', one request that lists things (NLM_F_DUMP), and shows each
 * thing's message. Returns 0 or a negative errno. */
typedef void nsp_nl_show_fn(void *context, const struct nlmsghdr *message);
int nsp_nl_dump(const struct nsp_nl_batch *batch, nsp_nl_show_fn *show,
                void *context) NSP_MUSTCHECK;

/* Sends 'batch' and leaves the answers to the socket's reader. Returns 0 or a
 * negative errno. */
int nsp_nl_post(const struct nsp_nl_batch *batch) NSP_MUSTCHECK;

#endif /* NSP_IO_NFQUEUE_NLMSG_H */
