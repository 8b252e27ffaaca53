#include "tests/lib/naive_filter.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "tests/lib/test.h"

struct writer {
    struct nsp_prng *prng;
    char *text;
    size_t used, bytes;
};

static const char *const relations[NAIVE_RELATIONS] = { "==", "!=", "<",
                                                        "<=", ">",  ">=" };

static void
put(struct writer *w, const char *text)
{
    size_t bytes = strlen(text);

    CHECK(w->used + bytes < w->bytes);
    memcpy(w->text + w->used, text, bytes + 1);
    w->used += bytes;
}

static void
write_number(struct writer *w, struct naive_number number)
{
    char part[64];

    if (number.hi == 0)
        snprintf(part, sizeof part, "%s%llu", number.negative ? "-" : "",
                 (unsigned long long)number.lo);
    else
        snprintf(part, sizeof part, "%s0x%llx%016llx",
                 number.negative ? "-" : "", (unsigned long long)number.hi,
                 (unsigned long long)number.lo);
    put(w, part);
}

static void
write_prefix(struct writer *w, struct naive_number address, unsigned bits)
{
    char part[64];

    if (bits >= 96 && address.hi == 0 && address.lo >> 32 == 0xffff) {
        snprintf(part, sizeof part, "%u.%u.%u.%u/%u",
                 (unsigned)(address.lo >> 24 & 255),
                 (unsigned)(address.lo >> 16 & 255),
                 (unsigned)(address.lo >> 8 & 255),
                 (unsigned)(address.lo & 255), bits - 96);
        put(w, part);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        uint64_t half = i < 4 ? address.hi : address.lo;

        snprintf(part, sizeof part, "%s%x", i > 0 ? ":" : "",
                 (unsigned)(half >> (48 - 16 * (i % 4)) & 0xffff));
        put(w, part);
    }
    snprintf(part, sizeof part, "/%u", bits);
    put(w, part);
}

static void
write_set(struct writer *w, const struct naive_node *node)
{
    put(w, node->not_in ? " not in {" : " in { ");
    for (unsigned i = 0; i < node->set_count; i++) {
        put(w, i > 0 ? ", " : "");
        if (node->set_bits[i] != 0) {
            write_prefix(w, node->set_lo[i], node->set_bits[i]);
            continue;
        }
        write_number(w, node->set_lo[i]);
        if (naive_compare(node->set_lo[i], node->set_hi[i]) == 0)
            continue;
        put(w, nsp_prng_next(w->prng) % 2 == 0 ? ".." : " .. ");
        write_number(w, node->set_hi[i]);
    }
    if (node->named) {
        put(w, ", @");
        put(w, node->named->name);
    }
    put(w, "}");
}

/* Alone, it needs no braces, and may be said to be equal. */
static void
write_named(struct writer *w, const struct naive_node *node)
{
    static const char *const words[2][3] = {
        { " in @", " in { @", "== @" }, { " not in @", " not in { @", " != @" }
    };
    unsigned form = (unsigned)(nsp_prng_next(w->prng) % 3);

    put(w, words[node->not_in][form]);
    put(w, node->named->name);
    put(w, form == 1 ? "}" : "");
}

static void
write_field(struct writer *w, const struct naive_field *field, int distance,
            bool from_end)
{
    char part[32];

    put(w, field->name);
    if (field->base != NAIVE_ELEMENT)
        return;
    snprintf(part, sizeof part, "[%s%db]", from_end ? "-" : "", distance);
    put(w, part);
}

static void
write_test(struct writer *w, const struct naive_node *node)
{
    char part[128];

    put(w, node->negated ? nsp_prng_next(w->prng) % 2 == 0 ? "not " : "!" : "");
    write_field(w, node->field, node->distance, node->from_end);
    if (node->mask != 0) {
        snprintf(part, sizeof part, " & 0x%x", node->mask);
        put(w, part);
    }
    if (node->set_count > 0) {
        write_set(w, node);
        return;
    }
    if (node->named) {
        write_named(w, node);
        return;
    }
    if (node->bare)
        return;
    put(w, relations[node->relation]);
    if (node->other) {
        write_field(w, node->other, node->other_distance, node->other_from_end);
        return;
    }
    write_number(w, node->number);
}

static void
write_node(struct writer *w, const struct naive_filter *filter, unsigned at)
{
    const struct naive_node *node = &filter->nodes[at];
    static const char *const joints[] = {
        [NAIVE_AND] = " and ", [NAIVE_OR] = " || ", [NAIVE_CONDITIONAL] = "? "
    };

    if (node->kind == NAIVE_TEST) {
        write_test(w, node);
        return;
    }
    put(w, node->kind == NAIVE_NOT ? "not (" : "(");
    write_node(w, filter, node->child[0]);
    if (node->kind == NAIVE_NOT) {
        put(w, ")");
        return;
    }
    put(w, joints[node->kind]);
    write_node(w, filter, node->child[1]);
    if (node->kind == NAIVE_CONDITIONAL) {
        put(w, " : ");
        write_node(w, filter, node->child[2]);
    }
    put(w, ")");
}

void
naive_write(const struct naive_filter *filter, struct nsp_prng *prng, char *ret,
            size_t bytes)
{
    struct writer writer = { .prng = prng, .text = ret, .bytes = bytes };

    write_node(&writer, filter, 0);
}
