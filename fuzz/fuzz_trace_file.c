/* The readers of traces on hostile text: of rates, in both units, and the links
 * made from what is accepted; of delays; and of losses. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "config/trace_file.h"
#include "netshaper/impair.h"
#include "shape/rate_plan.h"

static void
check_link(const uint64_t *at_ns, uint32_t count)
{
    const struct nsp_rate_plan_config cfg = {
        .opportunities_ns = at_ns,
        .opportunity_count = count,
        .opportunity_bytes = 1504,
    };
    struct nsp_rate_plan *plan;
    struct nsp_serialiser s;
    uint64_t last_ns = 0;

    FUZZ_CHECK(nsp_rate_plan_create(&cfg, NULL, &plan) == 0);
    nsp_serialiser_init(&s, 0, plan, 0);
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t due_ns = nsp_serialiser_send(&s, 100 + i * i * i * i);

        FUZZ_CHECK(due_ns >= last_ns);
        last_ns = due_ns;
        if (i % 4 == 0)
            nsp_serialiser_idle(&s, due_ns + at_ns[count - 1] / 3);
    }
    nsp_rate_plan_unref(plan);
}

static void
check_diag(const struct nsp_diag *diag, size_t bytes)
{
    FUZZ_CHECK(diag->result == NSP_INVALID_PARAMETER);
    FUZZ_CHECK(diag->offset <= bytes && diag->line >= 1 && diag->column >= 1);
    for (const char *c = diag->text; *c != '\0'; c++)
        FUZZ_CHECK(*c >= ' ' && *c < 0x7f);
}

static void
check_read(const char *text, size_t bytes, uint64_t unit_ns)
{
    uint32_t max = (uint32_t)(bytes + 1) / 2, count = 0, counted = 0;
    uint64_t *at_ns = malloc((max + 1) * sizeof *at_ns);
    struct nsp_diag diag;
    int result;

    FUZZ_CHECK(at_ns != NULL);
    result =
        nsp_trace_file_read(text, bytes, unit_ns, max, at_ns, &count, &diag);
    FUZZ_CHECK(nsp_trace_file_read(text, bytes, unit_ns, UINT32_MAX, NULL,
                                   &counted, NULL) == result);
    FUZZ_CHECK(count == counted);
    if (result == NSP_OK) {
        for (uint32_t i = 1; i < count; i++)
            FUZZ_CHECK(at_ns[i] >= at_ns[i - 1]);
        check_link(at_ns, count);
    } else {
        FUZZ_CHECK(count == 0);
        check_diag(&diag, bytes);
    }
    free(at_ns);
}

static void
check_delays(const char *text, size_t bytes)
{
    static uint64_t ns[NSP_DELAY_TRACE_MAX];
    uint32_t count = 0, counted = 0;
    struct nsp_diag diag;
    int result = nsp_delay_file_read(text, bytes, NSP_DELAY_NS_MAX,
                                     NSP_DELAY_TRACE_MAX, ns, &count, &diag);

    FUZZ_CHECK(nsp_delay_file_read(text, bytes, NSP_DELAY_NS_MAX,
                                   NSP_DELAY_TRACE_MAX, NULL, &counted,
                                   NULL) == result);
    FUZZ_CHECK(count == counted && count <= (bytes + 1) / 2);
    if (result != NSP_OK)
        check_diag(&diag, bytes);
    for (uint32_t i = 0; i < count; i++)
        FUZZ_CHECK(ns[i] <= NSP_DELAY_NS_MAX);
}

static void
check_losses(const char *text, size_t bytes)
{
    static uint8_t lost[NSP_LOSS_PATTERN_MAX];
    uint32_t count = 0, counted = 0;
    struct nsp_diag diag;
    int result = nsp_loss_file_read(text, bytes, NSP_LOSS_PATTERN_MAX, lost,
                                    &count, &diag);

    FUZZ_CHECK(nsp_loss_file_read(text, bytes, NSP_LOSS_PATTERN_MAX, NULL,
                                  &counted, NULL) == result);
    FUZZ_CHECK(count == counted && count <= bytes);
    if (result != NSP_OK)
        check_diag(&diag, bytes);
    for (uint32_t i = 0; i < count; i++)
        FUZZ_CHECK(lost[i] <= 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    check_read((const char *)data, bytes, 1000000);
    check_read((const char *)data, bytes, 1);
    check_delays((const char *)data, bytes);
    check_losses((const char *)data, bytes);
    return 0;
}
