#include "policy/cubes.h"

#include <string.h>

/* What a target of the graph accepts. */
struct branch {
    uint32_t count;
    const struct nsp_cube *const *cubes;
};

struct walk {
    const struct nsp_columns *columns;
    const struct nsp_ir *ir;
    struct nsp_set_maker *maker;
    struct branch *branches; /* One for each test. */
    struct branch everything;
    unsigned widening;
};

/* --- Cubes ---------------------------------------------------------------- */

static struct nsp_cube *
copy_cube(struct nsp_set_maker *maker, const struct nsp_cube *cube)
{
    struct nsp_cube *copy = nsp_arena_alloc(&maker->arena, 1, sizeof *copy);

    maker->steps++;
    if (copy)
        *copy = *cube;
    else
        maker->failed = true;
    return copy;
}

static bool
is_subset(struct walk *w, const struct nsp_cube *a, const struct nsp_cube *b)
{
    w->maker->steps++;
    if (!nsp_shapes_are_subset(&a->shapes, &b->shapes))
        return false;
    for (uint32_t i = 0; i < w->columns->count; i++) {
        if (!nsp_value_set_is_subset(w->maker, a->sets[i], b->sets[i]))
            return false;
    }
    return true;
}

/* The least cube around both, marked as 'a' is. */
static const struct nsp_cube *
hull(struct walk *w, const struct nsp_cube *a, const struct nsp_cube *b)
{
    struct nsp_cube *cube = copy_cube(w->maker, a);

    if (!cube)
        return NULL;
    cube->shapes = nsp_shapes_or(a->shapes, &b->shapes);
    for (uint32_t i = 0; i < w->columns->count; i++)
        cube->sets[i] = nsp_value_set_or(w->maker, &w->columns->at[i].domain,
                                         a->sets[i], b->sets[i]);
    return cube;
}

/* Tells whether two cubes differ in one column at most, so that their hull is
 * their union. */
static bool
can_join(struct walk *w, const struct nsp_cube *a, const struct nsp_cube *b)
{
    uint32_t differ = !nsp_shapes_are_equal(&a->shapes, &b->shapes);

    if (a->is_marked != b->is_marked)
        return false;
    for (uint32_t i = 0; i < w->columns->count && differ <= 1; i++)
        differ += !nsp_value_set_is_equal(w->maker, a->sets[i], b->sets[i]);
    return differ <= 1;
}

/* The part of 'cube' that passes a test, or fails it; NULL if there is none. */
static const struct nsp_cube *
cut(struct walk *w, const struct nsp_cube *cube,
    const struct nsp_constraint *constraint, const struct nsp_value_set *set)
{
    struct nsp_cube *part = copy_cube(w->maker, cube);

    if (!part)
        return NULL;
    if (constraint->kind == NSP_CONSTRAINT_SHAPE) {
        part->shapes = nsp_shapes_and(part->shapes, &constraint->shapes);
        return nsp_shapes_are_empty(&part->shapes) ? NULL : part;
    }
    part->sets[constraint->column] =
        nsp_value_set_and(w->maker, part->sets[constraint->column], set);
    return nsp_value_set_is_empty(part->sets[constraint->column]) ? NULL : part;
}

static const struct nsp_cube *
marked(struct walk *w, const struct nsp_cube *cube)
{
    struct nsp_cube *copy;

    if (cube->is_marked)
        return cube;
    copy = copy_cube(w->maker, cube);
    if (copy)
        copy->is_marked = true;
    return copy;
}

/* --- Lists ---------------------------------------------------------------- */

static void
halve(struct walk *w, struct nsp_cube_list *list)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count; i += 2) {
        const struct nsp_cube *cube = list->cubes[i];

        if (i + 1 < list->count)
            cube = hull(w, cube, list->cubes[i + 1]);
        if (cube)
            cube = marked(w, cube);
        if (cube)
            list->cubes[kept++] = cube;
    }
    list->count = kept;
    w->widening |= NSP_WIDENED_CUBES;
}

static void
take_out(struct nsp_cube_list *list, uint32_t i)
{
    memmove(&list->cubes[i], &list->cubes[i + 1],
            (list->count - i - 1) * sizeof(list->cubes[0]));
    list->count--;
}

/* Adds 'cube', which may be NULL, to the union. */
static void
add(struct walk *w, struct nsp_cube_list *list, const struct nsp_cube *cube)
{
    for (uint32_t i = 0; cube && i < list->count;) {
        const struct nsp_cube *other = list->cubes[i];

        if ((!other->is_marked || cube->is_marked) && is_subset(w, cube, other))
            return;
        if ((!cube->is_marked || other->is_marked) &&
            is_subset(w, other, cube)) {
            take_out(list, i);
        } else if (can_join(w, cube, other)) {
            take_out(list, i);
            cube = hull(w, cube, other);
            i = 0;
        } else {
            i++;
        }
    }
    if (!cube)
        return;
    list->cubes[list->count++] = cube;
    if (list->count > NSP_CUBES_MAX)
        halve(w, list);
}

static struct branch
keep(struct walk *w, const struct nsp_cube_list *list)
{
    const struct nsp_cube **cubes =
        nsp_arena_alloc(&w->maker->arena, list->count + 1, sizeof(cubes[0]));

    if (!cubes) {
        w->maker->failed = true;
        return (struct branch){ 0 };
    }
    memcpy(cubes, list->cubes, list->count * sizeof(cubes[0]));
    return (struct branch){ list->count, cubes };
}

/* --- The graph ------------------------------------------------------------ */

static struct branch
branch_of(const struct walk *w, uint32_t target)
{
    if (target == NSP_IR_REJECT)
        return (struct branch){ 0 };
    return target == NSP_IR_ACCEPT ? w->everything : w->branches[target];
}

/* Tells whether 'cube' lies in one of the branch that needs no asking, or, if
 * 'cube' is marked, in any. */
static bool
covers(struct walk *w, struct branch branch, const struct nsp_cube *cube)
{
    for (uint32_t i = 0; i < branch.count; i++) {
        if ((!branch.cubes[i]->is_marked || cube->is_marked) &&
            is_subset(w, cube, branch.cubes[i]))
            return true;
    }
    return false;
}

/* What no column tells may go either way. Cubes that both ways accept need no
 * asking. */
static void
add_unknown(struct walk *w, struct branch pass, struct branch fail,
            struct nsp_cube_list *list)
{
    w->widening |= NSP_WIDENED_TEST;
    for (uint32_t i = 0; i < pass.count; i++)
        add(w, list,
            covers(w, fail, pass.cubes[i]) ? pass.cubes[i]
                                           : marked(w, pass.cubes[i]));
    for (uint32_t i = 0; i < fail.count; i++)
        add(w, list,
            covers(w, pass, fail.cubes[i]) ? fail.cubes[i]
                                           : marked(w, fail.cubes[i]));
}

/* Adds the cubes of 'mine', cut to one side of a test. A cube stays whole where
 * 'others' accept what would be cut off. */
static void
add_side(struct walk *w, struct branch mine, struct branch others,
         const struct nsp_constraint *constraint, bool passing,
         struct nsp_cube_list *list)
{
    struct nsp_constraint opposite = *constraint;
    const struct nsp_value_set *in = constraint->set, *out = NULL;

    opposite.shapes = nsp_shapes_not(constraint->shapes);
    if (mine.count == 0)
        return;
    if (constraint->kind == NSP_CONSTRAINT_COLUMN &&
        (!passing || others.count > 0)) {
        out = nsp_value_set_not(w->maker,
                                &w->columns->at[constraint->column].domain, in);
        if (w->maker->failed)
            return;
    }
    for (uint32_t i = 0; i < mine.count; i++) {
        const struct nsp_cube *cube = mine.cubes[i];
        const struct nsp_cube *side = passing ? cut(w, cube, constraint, in)
                                              : cut(w, cube, &opposite, out);
        const struct nsp_cube *rest = NULL;

        if (side && others.count > 0)
            rest = passing ? cut(w, cube, &opposite, out)
                           : cut(w, cube, constraint, in);
        add(w, list, rest && covers(w, others, rest) ? cube : side);
    }
}

static void
visit(struct walk *w, uint32_t i)
{
    const struct nsp_ir_test *test = &w->ir->tests[i];
    struct branch pass = branch_of(w, test->success);
    struct branch fail = branch_of(w, test->failure);
    struct nsp_cube_list list;
    struct nsp_constraint constraint =
        nsp_columns_constrain(w->columns, w->ir, test, w->maker);

    list.count = 0; /* Its room need not be cleared, test by test. */
    switch (constraint.kind) {
    case NSP_CONSTRAINT_UNKNOWN:
        add_unknown(w, pass, fail, &list);
        break;
    case NSP_CONSTRAINT_CONSTANT:
        w->branches[i] = constraint.passes ? pass : fail;
        return;
    case NSP_CONSTRAINT_SHAPE:
    case NSP_CONSTRAINT_COLUMN:
        add_side(w, pass, fail, &constraint, true, &list);
        add_side(w, fail, pass, &constraint, false, &list);
        break;
    }
    w->branches[i] = keep(w, &list);
}

/* --- Afterwards ----------------------------------------------------------- */

/* Cuts 'set' of the first column of 'kinds' to what packets of 'shapes' have,
 * which takes over from the shape. */
static void
push(struct walk *w, struct nsp_cube *cube, enum nsp_column_kind first,
     enum nsp_column_kind second, const struct nsp_shapes *shapes)
{
    uint32_t at = w->columns->count;

    for (uint32_t i = 0; i < w->columns->count; i++) {
        enum nsp_column_kind kind = w->columns->at[i].kind;

        if (kind == first || (kind == second && at == w->columns->count))
            at = i;
    }
    if (at < w->columns->count)
        cube->sets[at] = nsp_column_restrict(&w->columns->at[at],
                                             cube->sets[at], shapes, w->maker);
}

/* Shapes that the sets of 'cube' leave possible. */
static struct nsp_shapes
possible_shapes(const struct walk *w, const struct nsp_cube *cube)
{
    struct nsp_shapes ret = nsp_all_shapes;

    for (uint32_t i = 0; i < w->columns->count; i++) {
        struct nsp_shapes able;

        if (!cube->sets[i])
            continue;
        able = nsp_column_shapes(&w->columns->at[i], cube->sets[i]);
        ret = nsp_shapes_and(ret, &able);
    }
    return ret;
}

/* Frees 'cube' of its shapes where its sets tell as much, or can be made to:
 * that spares lookups a column. Returns NULL if no packet lies in it. */
static const struct nsp_cube *
simplify(struct walk *w, const struct nsp_cube *given)
{
    struct nsp_cube *cube = copy_cube(w->maker, given);
    struct nsp_shapes possible, shapes;
    struct nsp_cube pushed;

    if (!cube)
        return NULL;
    possible = possible_shapes(w, cube);
    shapes = nsp_shapes_and(possible, &cube->shapes);
    if (nsp_shapes_are_empty(&shapes))
        return NULL;
    pushed = *cube;
    if (!nsp_shapes_are_equal(&shapes, &possible)) {
        push(w, &pushed, NSP_COLUMN_DST_PORT, NSP_COLUMN_SRC_PORT, &shapes);
        possible = possible_shapes(w, &pushed);
    }
    if (!nsp_shapes_are_equal(&shapes, &possible)) {
        push(w, &pushed, NSP_COLUMN_DST_ADDR, NSP_COLUMN_SRC_ADDR, &shapes);
        possible = possible_shapes(w, &pushed);
    }
    if (nsp_shapes_are_equal(&shapes, &possible)) {
        *cube = pushed;
        shapes = nsp_all_shapes;
    }
    cube->shapes = shapes;
    return cube;
}

static void
finish(struct walk *w, struct branch branch, const struct nsp_shapes *applies,
       uint32_t limit, struct nsp_cube_list *list)
{
    struct nsp_constraint constraint = { .kind = NSP_CONSTRAINT_SHAPE,
                                         .shapes = *applies };
    struct nsp_cube_list whole = { 0 };

    for (uint32_t i = 0; i < branch.count; i++)
        add(w, &whole, cut(w, branch.cubes[i], &constraint, NULL));
    while (whole.count > limit)
        halve(w, &whole);
    for (uint32_t i = 0; i < whole.count; i++) {
        const struct nsp_cube *cube = simplify(w, whole.cubes[i]);

        if (cube)
            list->cubes[list->count++] = cube;
    }
}

void
nsp_cubes_make(const struct nsp_columns *columns, const struct nsp_ir *ir,
               uint8_t apply, uint32_t limit, uint64_t steps_max,
               struct nsp_set_maker *maker, struct nsp_cube_list *ret)
{
    struct walk w = { .columns = columns, .ir = ir, .maker = maker };
    struct nsp_shapes applies = nsp_shapes_of_apply(apply);
    struct nsp_cube_list list = { .count = 1 };
    struct nsp_cube all = { .shapes = nsp_all_shapes };
    struct branch branch;

    *ret = (struct nsp_cube_list){ 0 };
    list.cubes[0] = copy_cube(maker, &all);
    if (!list.cubes[0])
        return;
    branch = w.everything = keep(&w, &list);
    if (ir) {
        w.branches =
            nsp_arena_alloc(&maker->arena, ir->count + 1, sizeof w.branches[0]);
        if (!w.branches) {
            maker->failed = true;
            return;
        }
        for (uint32_t i = ir->count;
             i-- > 0 && maker->steps <= steps_max && !maker->failed;)
            visit(&w, i);
        branch = branch_of(&w, ir->entry);
    }
    if (maker->steps > steps_max) {
        w.widening |= NSP_WIDENED_WORK;
        list.cubes[0] = marked(&w, list.cubes[0]);
        if (!list.cubes[0])
            return;
        branch = keep(&w, &list);
    }
    if (!maker->failed)
        finish(&w, branch, &applies, limit, ret);
    ret->widening = w.widening;
}
