#include "filter/compile.h"
#include "netshaper/explain.h"
#include "policy/cubes.h"
#include "policy/policy_state.h"

/* Of the product walk: a second or so. */
#define STEPS_MAX UINT64_C(20000000)

/* Of comparing cubes with those of earlier rules: less than a second. */
#define UNION_STEPS_MAX (UINT64_C(1) << 23)

/* Cubes that are joined, to bound memory. */
#define UNION_CUBES_MAX 256u

/* Tells whether rule 'by' is for all directions that 'rule' is for, and decides
 * what it matches. */
static bool
can_hide(const struct nsp_rule *rule, const struct nsp_rule *by)
{
    return !by->disabled && !by->go_on &&
           (by->apply == NSP_APPLY_BOTH || by->apply == rule->apply);
}

/* --- One rule ------------------------------------------------------------- */

/* Most pairs are told apart by what their filters need. */
static bool
may_imply(const struct nsp_filter_needs *a, const struct nsp_filter_needs *b)
{
    return (b->inbound || !a->inbound) && (b->outbound || !a->outbound) &&
           (b->ipv4 || !a->ipv4) && (b->ipv6 || !a->ipv6);
}

static bool
hides(const struct nsp_filter *filter, const struct nsp_filter *by,
      uint64_t *steps)
{
    struct nsp_filter_needs needs, by_needs;

    if (!by)
        return true;
    if (!filter)
        return false; /* No filter matches packets that cannot be read. */
    nsp_filter_get_needs(by, &by_needs);
    if (by_needs.always)
        return true;
    nsp_filter_get_needs(filter, &needs);
    if (*steps > 0)
        *steps -= 1;
    return *steps > 0 && may_imply(&needs, &by_needs) &&
           nsp_filter_implies(filter, by, steps);
}

/* --- Several rules together ----------------------------------------------- */

/* A cube is hidden where it lies, but for one column, in cubes of earlier rules
 * that make up its values of that column together: ports 1 to 1000 and 1001 to
 * 65535, networks that make up a larger one, TCP and UDP. */
struct search {
    const struct nsp_policy_spec *spec;
    struct nsp_columns columns;
    struct nsp_set_maker maker;  /* Of the cubes. */
    struct nsp_cube_list *cubes; /* Of each rule. */
};

/* What earlier cubes make up of one. */
struct joined {
    struct nsp_set_maker maker;
    uint32_t count;
    struct nsp_shapes shapes;
    /* By column; NULL: nothing. */
    const struct nsp_value_set *sets[NSP_CLASSIFIER_COLUMNS_MAX - 1];
};

#define AT_SHAPE NSP_CLASSIFIER_COLUMNS_MAX

static void
make_cubes(struct search *s, struct nsp_filter *const filters[])
{
    uint32_t uses[NSP_FIELDS_MAX] = { 0 };
    enum nsp_layer layer = NSP_LAYER_NETWORK;

    for (uint32_t r = 0; r < s->spec->rule_count; r++) {
        const struct nsp_ir *ir = filters[r] ? nsp_filter_ir(filters[r]) : NULL;

        for (uint32_t i = 0; ir && i < ir->count; i++)
            uses[nsp_columns_field(&ir->tests[i]) - nsp_fields]++;
        layer = ir ? ir->layer : layer;
    }
    nsp_columns_choose(uses, layer, &s->columns);
    for (uint32_t r = 0; r < s->spec->rule_count; r++)
        nsp_cubes_make(&s->columns,
                       filters[r] ? nsp_filter_ir(filters[r]) : NULL,
                       s->spec->rules[r].apply, NSP_CUBES_MAX, UNION_STEPS_MAX,
                       &s->maker, &s->cubes[r]);
}

/* In how many columns 'cube' is not within 'by', or 2 for more; '*ret_at' is
 * one of them. */
static uint32_t
count_outside(struct search *s, const struct nsp_cube *cube,
              const struct nsp_cube *by, uint32_t *ret_at)
{
    uint32_t count = 0;

    s->maker.steps++;
    if (!nsp_shapes_are_subset(&cube->shapes, &by->shapes)) {
        *ret_at = AT_SHAPE;
        count++;
    }
    for (uint32_t i = 0; i < s->columns.count && count < 2; i++) {
        if (nsp_value_set_is_subset(&s->maker, cube->sets[i], by->sets[i]))
            continue;
        *ret_at = i;
        count++;
    }
    return count;
}

static bool
meet(const struct nsp_value_set *a, const struct nsp_value_set *b)
{
    if (!a)
        return true;
    for (uint32_t i = 0; i < a->count; i++)
        if (nsp_value_set_meets(b, (enum nsp_part)a->ranges[i].part,
                                a->ranges[i].lo, a->ranges[i].hi))
            return true;
    return false;
}

/* Adds the values of 'by' in column 'at'. Returns whether those of 'cube' are
 * all there now. */
static bool
join(const struct search *s, struct joined *joined, const struct nsp_cube *cube,
     const struct nsp_cube *by, uint32_t at)
{
    const struct nsp_value_set *set;

    if (at == AT_SHAPE) {
        joined->shapes = nsp_shapes_or(joined->shapes, &by->shapes);
        return nsp_shapes_are_subset(&cube->shapes, &joined->shapes);
    }
    if (!meet(cube->sets[at], by->sets[at]) ||
        joined->count++ >= UNION_CUBES_MAX)
        return false;
    set = by->sets[at];
    if (joined->sets[at])
        set = nsp_value_set_or(&joined->maker, &s->columns.at[at].domain,
                               joined->sets[at], set);
    if (joined->maker.failed)
        return false;
    joined->sets[at] = set; /* NULL: all, and so are those of 'cube'. */
    return nsp_value_set_is_subset(&joined->maker, cube->sets[at], set);
}

static bool
is_made_up(struct search *s, const struct nsp_cube *cube, uint32_t rule,
           struct joined *joined)
{
    const struct nsp_rule *rules = s->spec->rules;

    for (uint32_t r = 0; r < rule; r++) {
        if (!can_hide(&rules[rule], &rules[r]))
            continue;
        for (uint32_t i = 0; i < s->cubes[r].count; i++) {
            const struct nsp_cube *by = s->cubes[r].cubes[i];
            uint32_t at = 0, outside;

            if (by->is_marked)
                continue;
            outside = count_outside(s, cube, by, &at);
            if (outside == 0 || (outside == 1 && join(s, joined, cube, by, at)))
                return true;
        }
    }
    return false;
}

/* 'cube' without values that none of its packets has: of those with a source
 * port of TCP, the destination port is TCP's. */
static struct nsp_cube
tighten(const struct search *s, const struct nsp_cube *cube,
        struct nsp_set_maker *maker)
{
    struct nsp_cube ret = *cube;

    for (uint32_t i = 0; i < s->columns.count; i++) {
        struct nsp_shapes able;

        if (!cube->sets[i])
            continue;
        able = nsp_column_shapes(&s->columns.at[i], cube->sets[i]);
        ret.shapes = nsp_shapes_and(ret.shapes, &able);
    }
    for (uint32_t i = 0; i < s->columns.count; i++) {
        enum nsp_column_kind kind = s->columns.at[i].kind;

        if (kind >= NSP_COLUMN_SRC_ADDR && kind <= NSP_COLUMN_DST_PORT)
            ret.sets[i] = nsp_column_restrict(&s->columns.at[i], cube->sets[i],
                                              &ret.shapes, maker);
    }
    return ret;
}

static bool
is_hidden(struct search *s, uint32_t rule)
{
    const struct nsp_cube_list *list = &s->cubes[rule];
    bool all = list->count > 0;

    for (uint32_t i = 0; i < list->count && all; i++) {
        struct joined joined = { .count = 0 };
        struct nsp_cube cube;

        nsp_arena_init(&joined.maker.arena, &nsp_libc_allocator);
        cube = tighten(s, list->cubes[i], &joined.maker);
        all = s->maker.steps < UNION_STEPS_MAX && !joined.maker.failed &&
              is_made_up(s, &cube, rule, &joined);
        nsp_arena_fini(&joined.maker.arena);
    }
    return all;
}

/* Of the rules from 'first' on that nothing was found for. */
static void
find_hidden_by_several(const struct nsp_policy_spec *spec,
                       struct nsp_filter *const filters[], uint32_t first,
                       uint32_t ret[])
{
    struct search s = { .spec = spec };

    nsp_arena_init(&s.maker.arena, &nsp_libc_allocator);
    s.cubes = nsp_alloc(&nsp_libc_allocator, spec->rule_count + 1u,
                        sizeof s.cubes[0]);
    if (s.cubes)
        make_cubes(&s, filters);
    s.maker.steps = 0;
    for (uint32_t i = first; s.cubes && i < spec->rule_count; i++)
        if (filters[i] && ret[i] == NSP_HIDDEN_BY_NONE && !s.maker.failed &&
            is_hidden(&s, i))
            ret[i] = NSP_HIDDEN_BY_SEVERAL;
    nsp_release(&nsp_libc_allocator, s.cubes);
    nsp_arena_fini(&s.maker.arena);
}

/* The first rule that alone decides all packets of rule 'index'. */
static uint32_t
find_one(const struct nsp_policy_spec *spec, struct nsp_filter *const filters[],
         uint32_t index, uint64_t *steps)
{
    for (uint32_t i = 0; i < index; i++)
        if (can_hide(&spec->rules[index], &spec->rules[i]) &&
            hides(filters[index], filters[i], steps))
            return i;
    return NSP_HIDDEN_BY_NONE;
}

void
nsp_policy_find_hidden(const struct nsp_policy_spec *spec,
                       struct nsp_filter *const filters[], uint32_t ret[])
{
    uint64_t steps = STEPS_MAX;

    for (uint32_t i = 0; i < spec->rule_count; i++)
        ret[i] = find_one(spec, filters, i, &steps);
    find_hidden_by_several(spec, filters, 0, ret);
}

/* --- Of a compiled policy ------------------------------------------------- */

/* As much of a spec as the search looks at. */
struct copy {
    struct nsp_rule *rules;
    struct nsp_filter **filters;
    uint32_t *by;
};

static bool
copy_rules(const struct nsp_policy *policy, uint32_t count, struct copy *ret)
{
    const struct nsp_allocator *libc = &nsp_libc_allocator;

    *ret = (struct copy){
        .rules = nsp_alloc(libc, count, sizeof *ret->rules),
        .filters = nsp_alloc(libc, count, sizeof *ret->filters),
        .by = nsp_alloc(libc, count, sizeof *ret->by),
    };
    if (!ret->rules || !ret->filters || !ret->by)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct nsp_policy_rule *rule = &policy->rules[i];

        ret->rules[i] = (struct nsp_rule){ .disabled = rule->disabled,
                                           .go_on = rule->go_on,
                                           .apply = rule->apply };
        ret->filters[i] = rule->filter;
    }
    return true;
}

bool
nsp_policy_hides(const struct nsp_policy *policy, uint32_t index)
{
    uint64_t steps = STEPS_MAX;
    struct copy copy;
    bool hidden = false;

    if (copy_rules(policy, index + 1, &copy)) {
        const struct nsp_policy_spec spec = { .rules = copy.rules,
                                              .rule_count = index + 1 };

        copy.by[index] = find_one(&spec, copy.filters, index, &steps);
        if (copy.by[index] == NSP_HIDDEN_BY_NONE)
            find_hidden_by_several(&spec, copy.filters, index, copy.by);
        hidden = copy.by[index] != NSP_HIDDEN_BY_NONE;
    }
    nsp_release(&nsp_libc_allocator, copy.rules);
    nsp_release(&nsp_libc_allocator, copy.filters);
    nsp_release(&nsp_libc_allocator, copy.by);
    return hidden;
}
