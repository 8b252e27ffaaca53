#include "tests/lib/frames.h"

#include <string.h>

#include "base/base.h"
#include "packet/checksum.h"
#include "tests/lib/test.h"

static void
finish(uint8_t *data, uint32_t bytes)
{
    struct nsp_pkt pkt = {
        .data = data,
        .cap_bytes = bytes,
        .wire_bytes = bytes,
        .link = NSP_LINK_RAW,
    };

    nsp_pkt_parse(&pkt);
    CHECK_EQ(nsp_pkt_fix_checksums(&pkt), 0);
}

static void
write_ipv4(uint8_t *ret, uint32_t ip_bytes, uint8_t protocol)
{
    static const uint8_t header[20] = {
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    };

    memset(ret, 0, ip_bytes);
    memcpy(ret, header, sizeof header);
    nsp_store_be16(ret + 2, (uint16_t)ip_bytes);
    ret[9] = protocol;
}

uint32_t
frame_udp(uint8_t *ret, uint32_t ip_bytes, uint16_t port, uint32_t tag)
{
    assert_in_range(ip_bytes, 28, 1500);
    write_ipv4(ret, ip_bytes, 17);
    nsp_store_be16(ret + 20, 4000);
    nsp_store_be16(ret + 22, port);
    nsp_store_be16(ret + 24, (uint16_t)(ip_bytes - 20));
    nsp_store_be16(ret + 26, 0xffff); /* Not "none". */
    if (ip_bytes >= 32)
        nsp_store_be32(ret + 28, tag);
    finish(ret, ip_bytes);
    return ip_bytes;
}

uint32_t
frame_tcp(uint8_t *ret, uint32_t ip_bytes, uint16_t port, uint8_t flags,
          uint32_t tag)
{
    assert_in_range(ip_bytes, 40, 1500);
    write_ipv4(ret, ip_bytes, 6);
    nsp_store_be16(ret + 20, 4000);
    nsp_store_be16(ret + 22, port);
    nsp_store_be32(ret + 24, 1000);
    ret[32] = 5 << 4;
    ret[33] = flags;
    nsp_store_be16(ret + 34, 0xffff);
    if (ip_bytes >= 44)
        nsp_store_be32(ret + 40, tag);
    finish(ret, ip_bytes);
    return ip_bytes;
}

uint32_t
frame_tag(const struct nsp_memory_frame *frame)
{
    uint32_t offset = frame->data[9] == 6 ? 40 : 28;

    return frame->bytes >= offset + 4 ? nsp_load_be32(frame->data + offset) : 0;
}

void
push_udp(struct nsp_memory *memory, uint32_t count, uint32_t ip_bytes,
         uint16_t port, uint32_t first_tag, uint64_t at_ns, uint64_t gap_ns,
         uint8_t direction)
{
    uint8_t data[1500];

    for (uint32_t i = 0; i < count; i++) {
        struct nsp_memory_frame frame = {
            .data = data,
            .bytes = frame_udp(data, ip_bytes, port, first_tag + i),
            .at_ns = at_ns + i * gap_ns,
            .direction = direction,
        };

        CHECK_EQ(nsp_memory_push_burst(memory, 0, &frame, 1), 1);
    }
}
