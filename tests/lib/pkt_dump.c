/* Shows the packet layer to tests in other languages, as text.
 *
 * Each line of standard input is a packet: its link (a number of enum
 * nsp_link), its edits ("-" for none, else NAME=VALUE separated by commas, in
 * hexadecimal) and its bytes in hexadecimal. For each, one line of output:
 *
 *     l3 l3_off l4 l4_off payload_off payload_bytes ip_proto ip_bytes flags
 *     failed-edits bytes
 *
 * in decimal, bytes in hexadecimal ("-" when there are none). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netshaper/packet.h"
#include "tests/lib/hex.h"

#define PACKET_BYTES_MAX 4096u

static int
apply(struct nsp_pkt *pkt, const char *name, const char *value)
{
    uint8_t addr[16];
    size_t addr_bytes = strlen(value) / 2;
    uint16_t number = (uint16_t)strtoul(value, NULL, 16);

    if (strcmp(name, "src") == 0 || strcmp(name, "dst") == 0) {
        hex_bytes(value, addr, sizeof addr);
        return name[0] == 's' ? nsp_pkt_set_ip_src(pkt, addr, addr_bytes)
                              : nsp_pkt_set_ip_dst(pkt, addr, addr_bytes);
    }
    if (strcmp(name, "sport") == 0)
        return nsp_pkt_set_src_port(pkt, number);
    if (strcmp(name, "dport") == 0)
        return nsp_pkt_set_dst_port(pkt, number);
    if (strcmp(name, "ttl") == 0)
        return nsp_pkt_set_ttl(pkt, (uint8_t)number);
    if (strcmp(name, "dscp") == 0)
        return nsp_pkt_set_dscp(pkt, (uint8_t)number);
    if (strcmp(name, "ecn") == 0)
        return nsp_pkt_set_ecn(pkt, (uint8_t)number);
    if (strcmp(name, "mss") == 0)
        return nsp_pkt_clamp_mss(pkt, number);
    if (strcmp(name, "window") == 0)
        return nsp_pkt_set_tcp_window(pkt, number);
    if (strcmp(name, "fix") == 0)
        return nsp_pkt_fix_checksums(pkt);
    fprintf(stderr, "pkt_dump: no edit '%s'\n", name);
    exit(2);
}

/* Makes the edits in turn; returns how many were refused. */
static unsigned
apply_all(struct nsp_pkt *pkt, char *edits)
{
    unsigned failed = 0;

    for (char *rest, *edit = strtok_r(edits, ",", &rest); edit != NULL;
         edit = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(edit, '=');

        if (strcmp(edit, "-") == 0)
            break;
        if (value != NULL)
            *value++ = '\0';
        failed += apply(pkt, edit, value != NULL ? value : "") < 0;
    }
    return failed;
}

static void
print_packet(const struct nsp_pkt *pkt, unsigned failed)
{
    printf("%u %u %u %u %u %u %u %u %u %u ", pkt->l3, pkt->l3_off, pkt->l4,
           pkt->l4_off, pkt->payload_off, pkt->payload_bytes, pkt->ip_proto,
           pkt->ip_bytes, pkt->flags, failed);
    for (uint32_t i = 0; i < pkt->cap_bytes; i++)
        printf("%02x", pkt->data[i]);
    puts(pkt->cap_bytes == 0 ? "-" : "");
}

int
main(void)
{
    static char line[2 * PACKET_BYTES_MAX + 512], edits[256];
    static char hex[2 * PACKET_BYTES_MAX + 1];
    static uint8_t bytes[PACKET_BYTES_MAX];

    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned link, failed;
        uint8_t *exact;
        struct nsp_pkt pkt = { 0 };

        if (sscanf(line, "%u %255s %8192s", &link, edits, hex) < 2)
            return 2;
        pkt.cap_bytes =
            (uint32_t)hex_bytes(hex[0] == '-' ? "" : hex, bytes, sizeof bytes);
        pkt.wire_bytes = pkt.cap_bytes;
        pkt.link = (uint8_t)link;
        exact = malloc(pkt.cap_bytes > 0 ? pkt.cap_bytes : 1);
        if (exact == NULL)
            return 1;
        memcpy(exact, bytes, pkt.cap_bytes);
        pkt.data = exact;
        nsp_pkt_parse(&pkt);
        failed = apply_all(&pkt, edits);
        print_packet(&pkt, failed);
        free(exact);
    }
    return 0;
}
