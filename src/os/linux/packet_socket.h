#ifndef NSP_OS_LINUX_PACKET_SOCKET_H
#define NSP_OS_LINUX_PACKET_SOCKET_H
#include <linux/if_packet.h>

#include "base/base.h"

/* Packet sockets: what packet(7) says in many words.
 *
 * Those that return an int return 0 or a negative errno, unless they say more.
 *
 * Threads  Any; open in the network namespace to work in. */

/* Opens one of 'type' (SOCK_RAW or SOCK_DGRAM), non-blocking, that hears
 * nothing yet. Returns a descriptor or a negative errno. */
int nsp_packet_socket_open(int type) NSP_MUSTCHECK;

/* Sets an option of 'level' whose value is a number. */
int nsp_packet_socket_set(int fd, int level, int option,
                          int value) NSP_MUSTCHECK;

/* Makes a ring for what is heard, as 'request' says, of which versions below 3
 * do without the end; stores where it was mapped. */
int nsp_packet_socket_map_ring(int fd, const struct tpacket_req3 *request,
                               uint8_t **ret) NSP_MUSTCHECK;

/* Sends by interface 'ifindex' (0: all) and, where 'hears', takes all that
 * passes there from now on. */
int nsp_packet_socket_bind(int fd, uint32_t ifindex, bool hears) NSP_MUSTCHECK;

/* Shares what is heard with the others of '*group' (fanout); where that is 0
 * makes a group, and stores its number. Both ways of a connection have the same
 * hash, and so the same socket. */
int nsp_packet_socket_join(int fd, uint16_t *group) NSP_MUSTCHECK;

/* How many packets the kernel has dropped since it was last asked; 0 where it
 * does not tell. */
uint32_t nsp_packet_socket_take_drops(int fd);

#endif /* NSP_OS_LINUX_PACKET_SOCKET_H */
