#ifndef NSP_CLI_STRESS_TARGET_H
#define NSP_CLI_STRESS_TARGET_H
#include <stdbool.h>

#include "cli/stress.h"

/* What an engine under stress is opened on, and a way to send a packet through
 * it: frames of the memory backend, or UDP from the lab's client to its server
 * through the router, where the engine is.
 *
 * Threads  One. */
struct nsp_stress_target {
    struct nsp_memory *memory; /* NULL when live. */
    int client_fd, server_fd;  /* When live. */
};

/* One small UDP packet, from its IP header on. */
#define NSP_STRESS_PACKET_BYTES 46
extern const uint8_t nsp_stress_packet[NSP_STRESS_PACKET_BYTES];

/* 'lab' NULL makes a memory target. Returns NSP_OK, NSP_NO_MEMORY or
 * NSP_OPEN_FAILED with 'reterr' filled. */
int nsp_stress_target_open(struct nsp_stress_target *target,
                           const struct nsp_lab *lab, struct nsp_diag *reterr);

/* Accepts one that failed to open. */
void nsp_stress_target_close(struct nsp_stress_target *target);

/* Points 'cfg' at the target. */
void nsp_stress_target_configure(const struct nsp_stress_target *target,
                                 struct nsp_engine_config *cfg);

/* Sends one packet to the engine. Returns whether it could. */
bool nsp_stress_target_send(struct nsp_stress_target *target);

/* Waits until one has come through. Returns whether it did before a generous
 * time was over. */
bool nsp_stress_target_receive(struct nsp_stress_target *target);

/* Both. */
bool nsp_stress_target_exchange(struct nsp_stress_target *target);

#endif /* NSP_CLI_STRESS_TARGET_H */
