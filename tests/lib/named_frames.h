#ifndef NSP_TESTS_LIB_NAMED_FRAMES_H
#define NSP_TESTS_LIB_NAMED_FRAMES_H
#include <stdbool.h>

#include "netshaper/packet.h"

/* Packets with names, for tables of tests: a distinct value in every field, and
 * one packet for each way in which a header can be absent. The .c file says
 * what each holds. */

#define NAMED_FRAME_BYTES 128

struct named_frame {
    struct nsp_pkt pkt;
    uint8_t bytes[NAMED_FRAME_BYTES];
};

/* What the device says of all of them; the owner of ARP is not known. */
#define NAMED_IN_IFINDEX  3
#define NAMED_OUT_IFINDEX 4
#define NAMED_MARK        0xfeed
#define NAMED_UID         1000

/* Builds the packet 'name' and parses it. Returns false if there is none. */
bool named_frame_init(struct named_frame *frame, const char *name,
                      enum nsp_direction direction);

#endif /* NSP_TESTS_LIB_NAMED_FRAMES_H */
