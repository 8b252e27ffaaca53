#ifndef NSP_IO_BRIDGE_BINDING_H
#define NSP_IO_BRIDGE_BINDING_H
#include "io/bridge/bridge_queue.h"

/* Which sockets a worker has: one for each queue of the ports that is its.
 *
 * Rooms    There are as many as the queues at first can use. With more of them
 *          each has fewer frames in its rings.
 * Threads  The worker. */

/* Queues of a port that are this worker's now. */
uint32_t nsp_bridge_share(const struct nsp_bridge_queue *queue, uint32_t port);

/* Opens the sockets of a worker that has none, and has the kernel fill their
 * rings with the rooms that are not lent. Returns as nsp_bridge_queue_open().
 */
int nsp_bridge_bind(struct nsp_bridge_queue *queue) NSP_MUSTCHECK;

/* Closes them, and keeps what they have counted. */
void nsp_bridge_unbind(struct nsp_bridge_queue *queue);

/* Gives the kernel 'n' chunks to fill; there is room for them. */
void nsp_bridge_refill(struct nsp_bridge_queue *queue,
                       struct nsp_bridge_socket *socket, uint32_t n);

/* Frames of a queue come by the socket that is bound to it: stores those of
 * 'port' in the map 'sockets_fd', which has NSP_BRIDGE_QUEUES_MAX places.
 * Returns 0 or a negative errno. */
int nsp_bridge_map(const struct nsp_bridge_queue *queue, uint32_t port,
                   int sockets_fd) NSP_MUSTCHECK;

#endif /* NSP_IO_BRIDGE_BINDING_H */
