#include "filter/object.h"

#include "base/diag.h"
#include "filter/compile.h"
#include "filter/text.h"

#define POSITION_MAX 65535

struct writer {
    const struct nsp_ir *ir;
    uint32_t *place; /* The object's number of each test's first. */
    uint32_t count;
    struct nsp_text text;
};

uint32_t
nsp_object_words(const struct nsp_field *field)
{
    return field->bits > 64 ? 4 : field->bits > 32 ? 2 : 1;
}

static void
write_number(struct writer *w, uint32_t number)
{
    static const char inner[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV";
    static const char final[] = "WXYZabcdefghijklmnopqrstuvwxyz+=";

    for (unsigned shift = 30; shift > 0; shift -= 5) {
        if (number >> shift != 0)
            nsp_text_print(&w->text, "%c", inner[number >> shift & 31]);
    }
    nsp_text_print(&w->text, "%c", final[number & 31]);
}

static void
write_target(struct writer *w, uint32_t target)
{
    if (target >= NSP_IR_REJECT) {
        nsp_text_print(&w->text, target == NSP_IR_ACCEPT ? "A" : "X");
        return;
    }
    nsp_text_print(&w->text, "L");
    write_number(w, target);
}

/* Writes one test; targets are the object's. 'value' is a distance. */
static void
write_test(struct writer *w, const struct nsp_ir_test *test,
           enum nsp_relation relation, struct nsp_u128 value, uint32_t success,
           uint32_t failure)
{
    struct nsp_number min = nsp_field_range(test->field, w->ir->layer).min;
    struct nsp_u128 number = nsp_u128_add(nsp_number_wrap(min), value);
    bool negative = min.negative && number.hi >> 63;
    uint32_t words = nsp_object_words(test->field);

    if (negative)
        number = nsp_u128_sub(nsp_u128(0), number);
    nsp_text_print(&w->text, "_");
    write_number(w, test->field->id);
    write_number(w, relation);
    write_number(w, negative);
    write_number(w, (uint32_t)number.lo);
    if (words > 1)
        write_number(w, (uint32_t)(number.lo >> 32));
    if (words > 2) {
        write_number(w, (uint32_t)number.hi);
        write_number(w, (uint32_t)(number.hi >> 32));
    }
    if (test->field->element_bytes > 0)
        write_number(w, (uint32_t)(test->position + POSITION_MAX));
    write_target(w, success);
    write_target(w, failure);
    w->count++;
}

/* A set takes one or two tests for each range. Below a range there is nothing
 * left to look for, since they ascend. */
static void
write_set(struct writer *w, const struct nsp_ir_test *test, uint32_t success,
          uint32_t failure)
{
    const struct nsp_range *ranges = w->ir->ranges + test->first_range;
    struct nsp_u128 span = nsp_field_range(test->field, w->ir->layer).span;
    const struct nsp_u128 one = { 0, 1 };

    for (uint32_t i = 0; i < test->range_count; i++) {
        struct nsp_u128 lo = ranges[i].lo, hi = ranges[i].hi;
        bool to_end = nsp_u128_equal(hi, span);
        bool inner = !nsp_u128_is_zero(lo) && !to_end;
        bool single = nsp_u128_equal(lo, hi);
        uint32_t next = i + 1 < test->range_count
                            ? w->count + (inner && !single ? 2 : 1)
                            : failure;

        if (to_end && nsp_u128_equal(lo, one)) {
            write_test(w, test, NSP_NE, nsp_u128(0), success, next);
        } else if (single) {
            write_test(w, test, NSP_EQ, lo, success, next);
        } else if (to_end) {
            write_test(w, test, NSP_GE, lo, success, next);
        } else {
            if (inner)
                write_test(w, test, NSP_GE, lo, w->count + 1, failure);
            write_test(w, test, NSP_LE, hi, success, next);
        }
    }
}

/* Tells whether the set is all but one value, and which. */
static bool
is_all_but(const struct writer *w, const struct nsp_ir_test *test,
           struct nsp_u128 *ret)
{
    const struct nsp_range *ranges = w->ir->ranges + test->first_range;
    struct nsp_u128 span = nsp_field_range(test->field, w->ir->layer).span;

    if (test->range_count != 2 || !nsp_u128_is_zero(ranges[0].lo) ||
        !nsp_u128_equal(ranges[1].hi, span))
        return false;
    *ret = nsp_u128_add(ranges[0].hi, nsp_u128(1));
    return nsp_u128_equal(nsp_u128_add(*ret, nsp_u128(1)), ranges[1].lo);
}

static uint32_t
place_of(const struct writer *w, uint32_t target)
{
    return target >= NSP_IR_REJECT ? target : w->place[target];
}

/* Writes all tests. A first pass finds their places, a second names them. */
static void
write_tests(struct writer *w)
{
    w->count = 0;
    for (uint32_t i = 0; i < w->ir->count; i++) {
        const struct nsp_ir_test *test = &w->ir->tests[i];
        uint32_t success = place_of(w, test->success);
        uint32_t failure = place_of(w, test->failure);
        struct nsp_u128 value;

        w->place[i] = w->count;
        if (is_all_but(w, test, &value))
            write_test(w, test, NSP_NE, value, success, failure);
        else
            write_set(w, test, success, failure);
    }
}

static void
write_constant(struct writer *w)
{
    static const struct nsp_ir_test zero = { .field = nsp_fields };

    write_test(w, &zero, NSP_EQ, nsp_u128(0), w->ir->entry, NSP_IR_REJECT);
}

static void
write_object(struct writer *w)
{
    uint32_t count;

    write_tests(w);
    count = w->ir->count > 0 ? w->count : 1;
    nsp_text_fini(&w->text);
    nsp_text_print(&w->text, "%s", NSP_OBJECT_PREFIX);
    write_number(w, 0);
    write_number(w, count);
    write_tests(w);
    if (w->ir->count == 0)
        write_constant(w);
}

static const struct nsp_field *
find_addition(const struct nsp_ir *ir)
{
    for (uint32_t i = 0; i < ir->count; i++) {
        if (nsp_field_is_addition(ir->tests[i].field))
            return ir->tests[i].field;
    }
    return NULL;
}

static int
to_object(const struct nsp_source *source, const struct nsp_ir *ir,
          const struct nsp_allocator *allocator, char **ret)
{
    const struct nsp_field *addition = find_addition(ir);
    struct writer w = { .ir = ir };

    if (addition)
        return nsp_source_fail(source, 0, 0, NSP_NOT_EXPRESSIBLE,
                               "write the filter so that --strict takes it",
                               "an object cannot tell %s", addition->name);
    w.place = nsp_alloc(allocator, ir->count + 1, sizeof w.place[0]);
    if (!w.place)
        return nsp_source_out_of_memory(source);
    nsp_text_init(&w.text, allocator);
    write_object(&w);
    nsp_release(allocator, w.place);
    *ret = nsp_text_take(&w.text);
    return *ret ? NSP_OK : nsp_source_out_of_memory(source);
}

int
nsp_filter_object(const char *text, enum nsp_layer layer,
                  const struct nsp_filter_options *options,
                  const struct nsp_allocator *allocator, char **ret,
                  struct nsp_diag *reterr)
{
    struct nsp_allocator memory = nsp_allocator_or_libc(allocator);
    struct nsp_source source;
    struct nsp_ir ir;
    char *object;
    int r;

    if (!text || !ret || (unsigned)layer >= NSP_LAYER_COUNT)
        return nsp_diag_set(reterr, NSP_INVALID_PARAMETER, "invalid-parameter",
                            NULL, "no filter text, or no such layer");
    r = nsp_filter_read_graph(text, layer, options, &memory, reterr, &source,
                              &ir);
    if (r != NSP_OK)
        return r;
    r = to_object(&source, &ir, &memory, &object);
    nsp_ir_fini(&ir, &memory);
    if (r == NSP_OK)
        *ret = object;
    return r;
}
