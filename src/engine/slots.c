#include "engine/slots.h"

#include <errno.h>
#include <string.h>

#include "base/prng.h"

struct entry {
    char name[NSP_SLOT_NAME_MAX + 1]; /* Empty: free. */
};

/* Entries are found through 'buckets', open addressing with linear probing,
 * which are filled anew after a sweep. */
struct nsp_slots {
    struct nsp_allocator allocator;
    struct entry *entries;
    uint32_t capacity; /* A power of two. */
    uint32_t used;     /* Entries below were in use at some time. */
    uint32_t named;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t *buckets; /* 2 * capacity: 1 + slot, 0 empty. */
};

int
nsp_slots_create(const struct nsp_allocator *allocator, struct nsp_slots **ret)
{
    struct nsp_slots *slots = nsp_alloc(allocator, 1, sizeof *slots);

    if (!slots)
        return -ENOMEM;
    slots->allocator = *allocator;
    *ret = slots;
    return 0;
}

struct nsp_slots *
nsp_slots_destroy(struct nsp_slots *slots)
{
    if (slots) {
        struct nsp_allocator allocator = slots->allocator;

        nsp_release(&allocator, slots->entries);
        nsp_release(&allocator, slots->free_slots);
        nsp_release(&allocator, slots->buckets);
        nsp_release(&allocator, slots);
    }
    return NULL;
}

static uint64_t
hash_name(const char *name)
{
    uint64_t hash = 0;

    for (; *name; name++)
        hash = nsp_mix64(hash ^ (uint8_t)*name);
    return hash;
}

/* The bucket of 'name', or the empty one where it belongs. */
static uint32_t *
bucket_of(const struct nsp_slots *slots, const char *name)
{
    uint32_t mask = 2 * slots->capacity - 1;
    uint32_t at = (uint32_t)hash_name(name) & mask;

    while (slots->buckets[at] != 0 &&
           strcmp(slots->entries[slots->buckets[at] - 1].name, name) != 0)
        at = (at + 1) & mask;
    return &slots->buckets[at];
}

static void
fill_buckets(struct nsp_slots *slots)
{
    memset(slots->buckets, 0, 2 * slots->capacity * sizeof *slots->buckets);
    for (uint32_t i = 0; i < slots->used; i++)
        if (slots->entries[i].name[0] != '\0')
            *bucket_of(slots, slots->entries[i].name) = i + 1;
}

static int
grow(struct nsp_slots *slots, uint32_t capacity)
{
    const struct nsp_allocator *allocator = &slots->allocator;
    struct entry *entries = nsp_alloc(allocator, capacity, sizeof *entries);
    uint32_t *free_slots = nsp_alloc(allocator, capacity, sizeof *free_slots);
    uint32_t *buckets = nsp_alloc(allocator, 2u * capacity, sizeof *buckets);

    if (!entries || !free_slots || !buckets) {
        nsp_release(allocator, entries);
        nsp_release(allocator, free_slots);
        nsp_release(allocator, buckets);
        return -ENOMEM;
    }
    if (slots->capacity > 0) {
        memcpy(entries, slots->entries, slots->used * sizeof *entries);
        memcpy(free_slots, slots->free_slots,
               slots->free_count * sizeof *free_slots);
    }
    nsp_release(allocator, slots->entries);
    nsp_release(allocator, slots->free_slots);
    nsp_release(allocator, slots->buckets);
    slots->entries = entries;
    slots->free_slots = free_slots;
    slots->buckets = buckets;
    slots->capacity = capacity;
    fill_buckets(slots);
    return 0;
}

int
nsp_slots_reserve(struct nsp_slots *slots, uint32_t count)
{
    uint32_t capacity = slots->capacity > 0 ? slots->capacity : 8;

    if (count > NSP_SLOTS_MAX - slots->named)
        return -ENOSPC;
    while (capacity < slots->named + count)
        capacity *= 2;
    return capacity > slots->capacity ? grow(slots, capacity) : 0;
}

uint32_t
nsp_slots_take(struct nsp_slots *slots, const char *name, bool *ret_fresh)
{
    uint32_t *bucket = bucket_of(slots, name);

    *ret_fresh = *bucket == 0;
    if (*ret_fresh) {
        assert(slots->named < slots->capacity);
        *bucket =
            1 + (slots->free_count > 0 ? slots->free_slots[--slots->free_count]
                                       : slots->used++);
        slots->named++;
        memcpy(slots->entries[*bucket - 1].name, name, strlen(name) + 1);
    }
    return *bucket - 1;
}

void
nsp_slots_sweep(struct nsp_slots *slots,
                bool (*is_used)(void *context, uint32_t slot), void *context)
{
    for (uint32_t i = 0; i < slots->used; i++) {
        struct entry *entry = &slots->entries[i];

        if (entry->name[0] == '\0' || is_used(context, i))
            continue;
        entry->name[0] = '\0';
        slots->named--;
        slots->free_slots[slots->free_count++] = i;
    }
    if (slots->capacity > 0)
        fill_buckets(slots);
}
