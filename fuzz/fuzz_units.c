/* The readers of units on any text: they take it or refuse it with a place in
 * it, and what the writers print, they read back. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "config/units.h"

static void
check_refusal(int result, const struct nsp_diag *diag, size_t bytes)
{
    if (result == NSP_OK)
        return;
    FUZZ_CHECK(result == NSP_INVALID_PARAMETER && diag->result == result);
    FUZZ_CHECK(diag->offset <= bytes && diag->column == diag->offset + 1);
    FUZZ_CHECK(diag->text[0] && diag->category[0]);
    FUZZ_CHECK(memchr(diag->text, '\0', sizeof diag->text));
    FUZZ_CHECK(memchr(diag->hint, '\0', sizeof diag->hint));
}

typedef int reader(const char *text, uint64_t *ret, struct nsp_diag *reterr);
typedef char *writer(char *ret, size_t bytes, uint64_t value);

/* Four digits: within half of the last. */
static void
check_round_trip(reader *read, writer *write, uint64_t value)
{
    char text[64];
    uint64_t back = 0;

    if (value > UINT64_MAX / 2)
        return; /* Rounding up might not fit. */
    FUZZ_CHECK(read(write(text, sizeof text, value), &back, NULL) == NSP_OK);
    FUZZ_CHECK((back > value ? back - value : value - back) <= value / 2000);
}

static void
check_reader(reader *read, writer *write, const char *text)
{
    struct nsp_diag diag = { .result = NSP_OK };
    uint64_t value = 0;
    int result = read(text, &value, &diag);

    check_refusal(result, &diag, strlen(text));
    if (result == NSP_OK)
        check_round_trip(read, write, value);
}

static void
check_others(const char *text)
{
    struct nsp_diag diag = { .result = NSP_OK };
    uint32_t ppm = 0, back = 0;
    uint64_t limit = 0;
    uint8_t unit = NSP_QUEUE_DEFAULT;
    char written[64];
    int result = nsp_units_read_percent(text, &ppm, &diag);

    check_refusal(result, &diag, strlen(text));
    FUZZ_CHECK(ppm <= NSP_PPM_ONE);
    nsp_units_write_percent(written, sizeof written, ppm);
    FUZZ_CHECK(nsp_units_read_percent(written, &back, NULL) == NSP_OK);
    FUZZ_CHECK(back == ppm);

    result = nsp_units_read_queue(text, &limit, &unit, &diag);
    check_refusal(result, &diag, strlen(text));
    FUZZ_CHECK((result == NSP_OK) == (limit > 0));
    FUZZ_CHECK((result == NSP_OK) == (unit != NSP_QUEUE_DEFAULT));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);

    if (!text)
        return 0;
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    check_reader(nsp_units_read_rate, nsp_units_write_rate, text);
    check_reader(nsp_units_read_time, nsp_units_write_time, text);
    check_reader(nsp_units_read_bytes, nsp_units_write_bytes, text);
    check_others(text);
    free(text);
    return 0;
}
