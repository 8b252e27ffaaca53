#include "cli/stress_target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/clock.h"

#define SINK_PORT 7073
/* An engine on another processor needs a few; on this one, the processor. */
#define TURNS_BEFORE_YIELD 64

#define PATIENCE_S  5
#define PATIENCE_NS (PATIENCE_S * UINT64_C(1000000000))

/* 10.77.1.2 port 7074 to 10.77.2.2 port 7073, no UDP checksum. */
const uint8_t nsp_stress_packet[NSP_STRESS_PACKET_BYTES] = {
    0x45, 0, 0,  46, 0, 0, 0x40, 0,    64,   17,   0x23, 0x22, 10, 77,
    1,    2, 10, 77, 2, 2, 0x1b, 0xa2, 0x1b, 0xa1, 0,    26,   0,  0,
};

static int
open_live(struct nsp_stress_target *target, const struct nsp_lab *lab)
{
    const struct timeval timeout = { .tv_sec = PATIENCE_S };
    struct sockaddr_in sink = { .sin_family = AF_INET,
                                .sin_port = htons(SINK_PORT) };

    inet_pton(AF_INET, nsp_lab_address(NSP_LAB_SERVER, AF_INET),
              &sink.sin_addr);
    target->client_fd =
        nsp_lab_socket(lab, NSP_LAB_CLIENT, AF_INET, SOCK_DGRAM);
    target->server_fd =
        nsp_lab_socket(lab, NSP_LAB_SERVER, AF_INET, SOCK_DGRAM);
    if (target->client_fd < 0 || target->server_fd < 0)
        return target->client_fd < 0 ? target->client_fd : target->server_fd;

    if (setsockopt(target->server_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
                   sizeof timeout) < 0 ||
        bind(target->server_fd, (struct sockaddr *)&sink, sizeof sink) < 0 ||
        connect(target->client_fd, (struct sockaddr *)&sink, sizeof sink) < 0)
        return -errno;
    return 0;
}

int
nsp_stress_target_open(struct nsp_stress_target *target,
                       const struct nsp_lab *lab, struct nsp_diag *reterr)
{
    const struct nsp_memory_config cfg = { .frames = 64, .frame_bytes = 256 };
    int r;

    *target = (struct nsp_stress_target){ .client_fd = -1, .server_fd = -1 };
    if (!lab)
        return nsp_memory_create(&cfg, &target->memory);

    r = open_live(target, lab);
    if (r == 0)
        return NSP_OK;
    nsp_stress_target_close(target);
    *reterr = (struct nsp_diag){ .result = NSP_OPEN_FAILED,
                                 .os_errno = -r,
                                 .category = "traffic" };
    snprintf(reterr->text, sizeof reterr->text,
             "traffic in the lab cannot be started: %s", strerror(-r));
    return NSP_OPEN_FAILED;
}

void
nsp_stress_target_close(struct nsp_stress_target *target)
{
    target->memory = nsp_memory_destroy(target->memory);
    if (target->client_fd >= 0)
        close(target->client_fd);
    if (target->server_fd >= 0)
        close(target->server_fd);
    target->client_fd = target->server_fd = -1;
}

void
nsp_stress_target_configure(const struct nsp_stress_target *target,
                            struct nsp_engine_config *cfg)
{
    cfg->backend = target->memory ? "memory" : "nfqueue";
    cfg->memory = target->memory;
    cfg->hooks = target->memory ? 0 : NSP_HOOK_FORWARD;
}

bool
nsp_stress_target_send(struct nsp_stress_target *target)
{
    const struct nsp_memory_frame frame = { .data = nsp_stress_packet,
                                            .bytes = NSP_STRESS_PACKET_BYTES,
                                            .direction = NSP_INBOUND };
    const char data[18] = { 0 };

    if (target->memory)
        return nsp_memory_push_burst(target->memory, 0, &frame, 1) == 1;
    return send(target->client_fd, data, sizeof data, 0) == sizeof data;
}

static bool
receive_memory(struct nsp_stress_target *target)
{
    uint64_t until_ns = nsp_cli_now_ns() + PATIENCE_NS;
    struct nsp_memory_frame sent;
    uint32_t turns = 0;

    while (nsp_memory_pop_burst(target->memory, 0, &sent, 1) == 0) {
        if (nsp_cli_now_ns() > until_ns)
            return false;
        if (++turns % TURNS_BEFORE_YIELD == 0)
            sched_yield();
    }
    return sent.bytes == NSP_STRESS_PACKET_BYTES;
}

bool
nsp_stress_target_receive(struct nsp_stress_target *target)
{
    char data[18];

    if (target->memory)
        return receive_memory(target);
    return recv(target->server_fd, data, sizeof data, 0) == sizeof data;
}

bool
nsp_stress_target_exchange(struct nsp_stress_target *target)
{
    return nsp_stress_target_send(target) && nsp_stress_target_receive(target);
}
