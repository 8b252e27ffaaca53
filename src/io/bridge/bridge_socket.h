#ifndef NSP_IO_BRIDGE_SOCKET_H
#define NSP_IO_BRIDGE_SOCKET_H
#include "io/bridge/bridge_ring.h"

/* An AF_XDP socket: one queue of one interface. It reads and sends frames of a
 * memory (UMEM) that several sockets share.
 *
 * Threads  One; counters any.
 * Errors   A negative errno. */

/* Frames of a ring: those that wait to be read, and to be sent. */
#define NSP_BRIDGE_RING_FRAMES 2048u

/* Linux 6.8: what is asked of the interface stands in front of a frame. */
struct nsp_bridge_request {
    uint64_t flags; /* NSP_BRIDGE_REQUEST_CHECKSUM. */
    uint16_t csum_start, csum_offset;
    uint32_t padding;
    uint64_t launch_ns;
};
#define NSP_BRIDGE_REQUEST_CHECKSUM UINT64_C(2)

/* Of xdp_desc.options: there is a request; the frame goes on in the next. */
#define NSP_BRIDGE_DESC_REQUEST 2u
#define NSP_BRIDGE_DESC_MORE    1u

/* The memory that sockets share. */
struct nsp_bridge_memory {
    uint8_t *bytes;
    uint64_t count; /* Of bytes. */
    uint32_t chunk_bytes;
    int first_fd;  /* Of the socket that registered it; -1: none yet. */
    bool requests; /* Frames may have a request in front. */
    bool pieces;   /* Frames may take several descriptors, and what one of them
                    * says may lie across chunks: Linux 6.6. */
};

/* Of what a descriptor says, at most: the kernel counts a request in front,
 * too, even where there is none. */
static inline uint32_t
nsp_bridge_piece_bytes_max(const struct nsp_bridge_memory *memory)
{
    return memory->chunk_bytes - (uint32_t)sizeof(struct nsp_bridge_request);
}

/* Where a frame is that was received: chunks that may lie anywhere have their
 * start in the address, and how far behind it the frame begins on top. */
static inline uint64_t
nsp_bridge_place_of(uint64_t address)
{
    return (address & XSK_UNALIGNED_BUF_ADDR_MASK) +
           (address >> XSK_UNALIGNED_BUF_OFFSET_SHIFT);
}

struct nsp_bridge_socket_config {
    uint32_t ifindex, queue;
    uint32_t busy_poll_us; /* 0: the kernel's own threads move packets. */
    bool copy;             /* Even where the driver needs none. */
};

struct nsp_bridge_socket {
    int fd; /* -1 when closed. */
    bool zero_copy, busy_poll;
    struct nsp_bridge_ring fill, rx, tx, completion;
    uint32_t in_flight; /* Frames being sent. */
};

/* Opens and binds a socket, the first over 'memory' registering it. -EBUSY:
 * another has the queue, maybe one that is just being closed. -EINVAL: the
 * kernel has no frames in pieces. */
int nsp_bridge_socket_open(struct nsp_bridge_socket *socket,
                           const struct nsp_bridge_socket_config *cfg,
                           struct nsp_bridge_memory *memory) NSP_MUSTCHECK;
void nsp_bridge_socket_close(struct nsp_bridge_socket *socket);

/* Makes a socket with rings over 'memory' that is bound to no interface, and
 * closes it. */
int nsp_bridge_socket_try(struct nsp_bridge_memory *memory) NSP_MUSTCHECK;

/* Has the kernel send what is in the ring, as far as it can. */
void nsp_bridge_socket_kick(struct nsp_bridge_socket *socket);

/* Has the kernel look for packets that arrived, when busy polling. */
void nsp_bridge_socket_poll(struct nsp_bridge_socket *socket);

/* Adds the frames that the kernel had no room for, and those it refused. */
void nsp_bridge_socket_count(const struct nsp_bridge_socket *socket,
                             uint64_t *dropped_pkts, uint64_t *errors);

#endif /* NSP_IO_BRIDGE_SOCKET_H */
