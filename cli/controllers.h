#ifndef NSP_CLI_CONTROLLERS_H
#define NSP_CLI_CONTROLLERS_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* The TCP connections by which somebody sits before a process: whoever loses
 * them cannot take back what it has done.
 *
 *     sshd --- socket --- client        SSH_CONNECTION names it, for the
 *       shell                           process or one above it
 *         sudo                          (sudo hides the environment)
 *           nsp
 *
 * Those that SSH_CONNECTION names, and those that the process or one above it
 * has open (looked up in /proc), as far as they are established in the network
 * namespace of this one. */
struct nsp_controller {
    struct in6_addr local, remote; /* IPv4 mapped. */
    uint16_t local_port, remote_port;
    char whose[48]; /* "SSH_CONNECTION", "process 812". */
};

#define NSP_CONTROLLERS_MAX 32u

/* Stores the connections of process 'pid', at most NSP_CONTROLLERS_MAX, and
 * returns how many. What cannot be read is taken for not there. */
uint32_t nsp_controllers_find(int pid, struct nsp_controller ret[]);

/* Writes "203.0.113.5:51000 > 10.0.0.1:22", of packets that come in, or the
 * other way round. */
char *nsp_controller_write(const struct nsp_controller *controller,
                           bool inbound, char *ret, size_t bytes);

#endif /* NSP_CLI_CONTROLLERS_H */
