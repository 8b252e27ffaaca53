/* The reader of netem's distributions on hostile text, and the delays made from
 * what it accepts. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "config/trace_file.h"
#include "impair/delay.h"

static void
check_delays(const int16_t *table, uint32_t count)
{
    const struct nsp_delay_config cfg = {
        .kind = NSP_DELAY_TABLE,
        .mean_ns = 5000000,
        .spread_ns = 1000000,
        .table = table,
        .table_count = count,
    };
    struct nsp_delay_state state = { 0 };
    struct nsp_delay_facts facts;
    struct nsp_prng random;
    struct nsp_delay delay;

    FUZZ_CHECK(nsp_delay_init(&delay, &cfg, NULL) == 0);
    nsp_delay_read_facts(&delay, &facts);
    FUZZ_CHECK(facts.mean_ns <= 9000000 && facts.clamped_ppm <= 1000000);
    nsp_prng_init(&random, 1, count);
    for (int i = 0; i < 10; i++)
        FUZZ_CHECK(nsp_delay_depart_ns(&delay, &state, 0, &random) <= 9000000);
    nsp_delay_fini(&delay);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int16_t table[NSP_DELAY_TABLE_MAX];
    const char *text = (const char *)data;
    uint32_t count = 0, counted = 0;
    struct nsp_diag diag;
    int result = nsp_dist_file_read(text, bytes, NSP_DELAY_TABLE_MAX, table,
                                    &count, &diag);

    FUZZ_CHECK(nsp_dist_file_read(text, bytes, NSP_DELAY_TABLE_MAX, NULL,
                                  &counted, NULL) == result);
    FUZZ_CHECK(count == counted);
    if (result != NSP_OK) {
        FUZZ_CHECK(diag.result == result && count == 0);
        FUZZ_CHECK(diag.offset <= bytes && diag.line >= 1 && diag.column >= 1);
        for (const char *c = diag.text; *c != '\0'; c++)
            FUZZ_CHECK(*c >= ' ' && *c < 0x7f);
        return 0;
    }
    FUZZ_CHECK(count >= 1 && count <= (bytes + 1) / 2);
    check_delays(table, count);
    return 0;
}
