#include <string.h>

#include "filter/fold.h"
#include "filter/object.h"
#include "filter/ranges.h"

#define POSITION_MAX 65535

struct reader {
    const struct nsp_source *source;
    enum nsp_layer layer;
    uint32_t at, count;
    struct nsp_arena arena;
    struct nsp_ir ir;
    uint32_t *resolved; /* Where each test went: a target. */
};

/* A test as written. */
struct record {
    struct nsp_test test;
    uint32_t success, failure; /* Numbers of the object's tests, or an end. */
};

bool
nsp_object_is(const char *text)
{
    return strncmp(text, NSP_OBJECT_PREFIX, strlen(NSP_OBJECT_PREFIX)) == 0;
}

static int
fail(const struct reader *reader, const char *what)
{
    return nsp_source_fail(reader->source, reader->at, reader->at,
                           NSP_BAD_OBJECT, NULL, "the object has no %s here",
                           what);
}

static char
peek(const struct reader *reader)
{
    return reader->at < reader->source->bytes ? reader->source->text[reader->at]
                                              : '\0';
}

/* Value of a digit, plus 32 if it ends a number; -1 for no digit. */
static int
digit_value(char c)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
                                 "WXYZabcdefghijklmnopqrstuvwxyz+=";
    const char *digit = c == '\0' ? NULL : strchr(digits, c);

    return digit ? (int)(digit - digits) : -1;
}

static int
read_number(struct reader *reader, uint32_t max, const char *what,
            uint32_t *ret)
{
    uint64_t number = 0;
    int digit;

    do {
        digit = digit_value(peek(reader));
        if (digit < 0)
            return fail(reader, what);
        number = number << 5 | (uint64_t)(digit & 31);
        if (number > max)
            return fail(reader, what);
        reader->at++;
    } while (digit < 32);
    *ret = (uint32_t)number;
    return NSP_OK;
}

static int
read_field(struct reader *reader, struct nsp_test *test)
{
    uint32_t start = reader->at, id;
    int r = read_number(reader, UINT8_MAX, "field", &id);

    if (r != NSP_OK)
        return r;
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        if (nsp_fields[i].id != id || id == NSP_FIELD_NO_ID)
            continue;
        test->field = &nsp_fields[i];
        if (test->field->layers >> reader->layer & 1)
            return NSP_OK;
        return nsp_source_fail(
            reader->source, start, start, NSP_BAD_TOKEN_FOR_LAYER, NULL,
            "'%s' is not available on layer %s", test->field->name,
            nsp_layer_name(reader->layer));
    }
    reader->at = start;
    return fail(reader, "known field");
}

static int
read_value(struct reader *reader, struct nsp_test *test)
{
    uint32_t words[4] = { 0 }, negative = 0;
    uint32_t count = nsp_object_words(test->field);
    int r = read_number(reader, 1, "sign", &negative);

    for (uint32_t i = 0; r == NSP_OK && i < count; i++)
        r = read_number(reader, UINT32_MAX, "value", &words[i]);
    if (r != NSP_OK)
        return r;
    test->number.magnitude.lo = (uint64_t)words[1] << 32 | words[0];
    test->number.magnitude.hi = (uint64_t)words[3] << 32 | words[2];
    if (test->field->type == NSP_TYPE_IPV4)
        test->number.magnitude.lo |= NSP_IPV4_FIRST;
    test->number.negative =
        negative && !nsp_u128_is_zero(test->number.magnitude);
    return NSP_OK;
}

static int
read_position(struct reader *reader, struct nsp_test *test)
{
    int32_t size = test->field->element_bytes, position;
    uint32_t number, start = reader->at;
    int r;

    if (size == 0)
        return NSP_OK;
    r = read_number(reader, 2 * POSITION_MAX, "position", &number);
    if (r != NSP_OK)
        return r;
    position = (int32_t)number - POSITION_MAX;
    if (position >= 0 ? position > POSITION_MAX - size : -position < size) {
        reader->at = start;
        return fail(reader, "position within reach");
    }
    test->position = position;
    return NSP_OK;
}

static int
read_target(struct reader *reader, uint32_t own, uint32_t *ret)
{
    uint32_t start = reader->at;
    int r;

    switch (peek(reader)) {
    case 'A':
        *ret = NSP_IR_ACCEPT;
        break;
    case 'X':
        *ret = NSP_IR_REJECT;
        break;
    case 'L':
        reader->at++;
        r = read_number(reader, reader->count - 1, "target", ret);
        if (r != NSP_OK || *ret > own)
            return r;
        reader->at = start;
        return fail(reader, "later target");
    default:
        return fail(reader, "target");
    }
    reader->at++;
    return NSP_OK;
}

static int
read_test(struct reader *reader, uint32_t own, struct record *ret)
{
    uint32_t relation;
    int r;

    if (peek(reader) != '_')
        return fail(reader, "test");
    reader->at++;
    if ((r = read_field(reader, &ret->test)) != NSP_OK ||
        (r = read_number(reader, NSP_GE, "relation", &relation)) != NSP_OK ||
        (r = read_value(reader, &ret->test)) != NSP_OK ||
        (r = read_position(reader, &ret->test)) != NSP_OK ||
        (r = read_target(reader, own, &ret->success)) != NSP_OK)
        return r;
    ret->test.relation = (uint8_t)relation;
    return read_target(reader, own, &ret->failure);
}

static int
read_records(struct reader *reader, struct record **ret)
{
    struct record *records;
    uint32_t version;
    int r;

    reader->at = (uint32_t)strlen(NSP_OBJECT_PREFIX);
    if ((r = read_number(reader, 0, "version 0", &version)) != NSP_OK ||
        (r = read_number(reader, NSP_FILTER_TESTS_MAX, "number of tests",
                         &reader->count)) != NSP_OK)
        return r;
    if (reader->count == 0)
        return fail(reader, "test");
    records = nsp_arena_alloc(&reader->arena, reader->count, sizeof *records);
    if (!records)
        return nsp_source_out_of_memory(reader->source);
    for (uint32_t i = 0; i < reader->count; i++) {
        if ((r = read_test(reader, i, &records[i])) != NSP_OK)
            return r;
    }
    while (peek(reader) == ' ' || peek(reader) == '\n' || peek(reader) == '\r')
        reader->at++;
    if (reader->at != reader->source->bytes)
        return fail(reader, "end");
    *ret = records;
    return NSP_OK;
}

static uint32_t
resolve(const struct reader *reader, uint32_t target)
{
    return target >= NSP_IR_REJECT ? target : reader->resolved[target];
}

/* Lays out test 'i', all later ones being there, at place 'at' of the graph, or
 * finds that it always goes one way. Returns the first place taken. */
static uint32_t
lay_record(struct reader *reader, const struct record *record, uint32_t i,
           uint32_t at)
{
    const struct nsp_test *test = &record->test;
    struct nsp_u128 span = nsp_test_range(test, reader->layer).span;
    struct nsp_ir *ir = &reader->ir;
    bool is_sure = test->field->need == NSP_NEED_NOTHING ||
                   test->field->type == NSP_TYPE_EVENT;

    if (test->range_count == 0) {
        reader->resolved[i] = resolve(reader, record->failure);
        return at;
    }
    if (is_sure && nsp_ranges_are_full(test->ranges, test->range_count, span)) {
        reader->resolved[i] = resolve(reader, record->success);
        return at;
    }
    ir->tests[--at] = (struct nsp_ir_test){
        .field = test->field,
        .position = test->position,
        .first_range = ir->range_count,
        .range_count = test->range_count,
        .success = resolve(reader, record->success),
        .failure = resolve(reader, record->failure),
    };
    memcpy(ir->ranges + ir->range_count, test->ranges,
           test->range_count * sizeof test->ranges[0]);
    ir->range_count += test->range_count;
    reader->resolved[i] = at;
    return at;
}

/* Moves the tests from the entry on to the front. */
static void
close_gap(struct reader *reader)
{
    struct nsp_ir *ir = &reader->ir;
    uint32_t gap = reader->resolved[0];

    ir->entry = gap >= NSP_IR_REJECT ? gap : 0;
    ir->count = gap >= NSP_IR_REJECT ? 0 : reader->count - gap;
    for (uint32_t i = 0; i < ir->count; i++) {
        struct nsp_ir_test *test = &ir->tests[i];

        *test = ir->tests[gap + i];
        test->success -= test->success >= NSP_IR_REJECT ? 0 : gap;
        test->failure -= test->failure >= NSP_IR_REJECT ? 0 : gap;
    }
}

static int
build(struct reader *reader, struct record *records,
      const struct nsp_allocator *allocator)
{
    struct nsp_ir *ir = &reader->ir;
    uint32_t at = reader->count;

    /* A relation makes two ranges at most. */
    ir->tests = nsp_alloc(allocator, reader->count, sizeof ir->tests[0]);
    ir->ranges = nsp_alloc(allocator, 2u * reader->count, sizeof ir->ranges[0]);
    reader->resolved = nsp_arena_alloc(&reader->arena, reader->count,
                                       sizeof reader->resolved[0]);
    if (!ir->tests || !ir->ranges || !reader->resolved)
        return nsp_source_out_of_memory(reader->source);
    for (uint32_t i = reader->count; i-- > 0;) {
        if (!nsp_filter_give_ranges(&records[i].test, reader->layer,
                                    &reader->arena))
            return nsp_source_out_of_memory(reader->source);
        at = lay_record(reader, &records[i], i, at);
    }
    close_gap(reader);
    return NSP_OK;
}

int
nsp_object_read(const struct nsp_source *source, enum nsp_layer layer,
                const struct nsp_allocator *allocator, struct nsp_ir *ret)
{
    struct reader reader = { .source = source,
                             .layer = layer,
                             .ir = { .layer = layer } };
    struct record *records = NULL;
    int r;

    nsp_arena_init(&reader.arena, allocator);
    r = read_records(&reader, &records);
    if (r == NSP_OK)
        r = build(&reader, records, allocator);
    nsp_arena_fini(&reader.arena);
    if (r == NSP_OK)
        *ret = reader.ir;
    else
        nsp_ir_fini(&reader.ir, allocator);
    return r;
}
