#include "packet/link.h"
#include "tests/lib/test.h"

#include <errno.h>
#include <string.h>

/* Each row: the header of an IPv4 packet, and of what is sent like it. */
struct row {
    uint8_t link;
    bool reply;
    unsigned version;
    int bytes; /* Of both headers, or the error. */
    uint8_t like[24], expected[24];
};

static const struct row rows[] = {
    { NSP_LINK_RAW, false, 4, 0, { 0 }, { 0 } },
    { NSP_LINK_RAW, true, 6, 0, { 0 }, { 0 } },
    { NSP_LINK_ETHERNET,
      false,
      6,
      14,
      { 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x08, 0x00 },
      { 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x86, 0xdd } },
    { NSP_LINK_ETHERNET,
      true,
      4,
      22,
      { 1, 1,    1,    1, 1, 1,    2, 2, 2, 2,    2,
        2, 0x88, 0xa8, 0, 9, 0x81, 0, 0, 5, 0x08, 0x00 },
      { 2, 2,    2,    2, 2, 2,    1, 1, 1, 1,    1,
        1, 0x88, 0xa8, 0, 9, 0x81, 0, 0, 5, 0x08, 0x00 } },
    { NSP_LINK_SLL,
      false,
      4,
      16,
      { 0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x08, 0 },
      { 0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x08, 0 } },
    { NSP_LINK_SLL,
      true,
      6,
      16,
      { 0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x08, 0 },
      { 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd } },
    { NSP_LINK_SLL2,
      true,
      6,
      20,
      { 0x08, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0 },
      { 0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
    { NSP_LINK_NULL, true, 4, 4, { 2, 0, 0, 0 }, { 2, 0, 0, 0 } },
    /* The number of the other family is not known. */
    { NSP_LINK_NULL, false, 6, -EINVAL, { 2, 0, 0, 0 }, { 0 } },
    { NSP_LINK_RAW, false, 5, -EINVAL, { 0 }, { 0 } },
};

TEST(link_header_goes_the_same_or_the_opposite_way)
{
    for (size_t i = 0; i < NSP_ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        uint8_t data[64] = { 0 }, built[NSP_LINK_BYTES_MAX];
        struct nsp_pkt like = {
            .data = data,
            .cap_bytes = sizeof data,
            .link = row->link,
            .l3 = NSP_L3_IPV4,
            .l3_off = (uint16_t)(row->bytes < 0 ? 4 : row->bytes),
        };

        memcpy(data, row->like, sizeof row->like);
        CHECK_EQ(nsp_link_build(&like, row->version, row->reply, built),
                 row->bytes);
        if (row->bytes > 0)
            CHECK_MEM_EQ(built, row->expected, (size_t)row->bytes);
        CHECK_MEM_EQ(data, row->like, sizeof row->like);
    }
}

TEST(link_header_is_refused_where_the_other_packet_has_none)
{
    static const struct {
        uint8_t l3;
        uint16_t l3_off;
        uint32_t cap_bytes;
    } bad[] = {
        { NSP_L3_NONE, NSP_OFF_NONE, 60 },
        { NSP_L3_IPV4, 13, 60 },
        { NSP_L3_IPV4, NSP_LINK_BYTES_MAX + 1, 60 },
        { NSP_L3_IPV4, 14, 13 },
    };
    uint8_t data[60] = { 0 }, built[NSP_LINK_BYTES_MAX];

    for (size_t i = 0; i < NSP_ARRAY_LEN(bad); i++) {
        struct nsp_pkt like = {
            .data = data,
            .cap_bytes = bad[i].cap_bytes,
            .link = NSP_LINK_ETHERNET,
            .l3 = bad[i].l3,
            .l3_off = bad[i].l3_off,
        };

        CHECK_EQ(nsp_link_build(&like, 4, false, built), -EINVAL);
    }
}

TEST(link_tag_goes_behind_the_addresses)
{
    static const uint8_t tagged[] = { 1,    1, 1, 1, 1,    1,    2,    2,
                                      2,    2, 2, 2, 0x88, 0xa8, 0x20, 5,
                                      0x81, 0, 0, 9, 0x08, 0 };
    uint8_t frame[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,    1,
                        1, 1, 1, 2, 2, 2, 2, 2, 2, 0x08, 0 };
    uint8_t *inner =
        nsp_link_push_tag(frame + 2 * NSP_LINK_TAG_BYTES, 0x8100, 9);

    CHECK(inner == frame + NSP_LINK_TAG_BYTES);
    CHECK(nsp_link_push_tag(inner, 0x88a8, 0x2005) == frame);
    CHECK(memcmp(frame, tagged, sizeof tagged) == 0);
}

TEST_MAIN(
    cmocka_unit_test(link_tag_goes_behind_the_addresses),
    cmocka_unit_test(link_header_goes_the_same_or_the_opposite_way),
    cmocka_unit_test(link_header_is_refused_where_the_other_packet_has_none))
