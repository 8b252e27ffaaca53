/* Prints the tables of fields and macros for the manual, from the compiler's
 * own tables:
 *
 *     field_table              print them
 *     field_table FILE         check that FILE contains them, line by line
 *     field_table --man FILE   print FILE, the source of a manual page, with a
 *                              list of fields for its line @FIELDS@ and one of
 *                              macros for @MACROS@ */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/fields.h"

#define LINE_BYTES 256

struct manual {
    FILE *file; /* NULL: print instead. */
    bool stale;
};

static const char *
type_of(const struct nsp_field *field, char *buffer, size_t bytes)
{
    switch ((enum nsp_field_type)field->type) {
    case NSP_TYPE_CONSTANT:
        return "constant";
    case NSP_TYPE_BOOL:
        return "0 or 1";
    case NSP_TYPE_SIGNED:
        return "signed 64 bits";
    case NSP_TYPE_IPV4:
        return "IPv4 address";
    case NSP_TYPE_IPV6:
        return field->need == NSP_NEED_IPV6 ? "IPv6 address" : "address";
    case NSP_TYPE_EVENT:
        return "event";
    case NSP_TYPE_LAYER:
        return "layer";
    case NSP_TYPE_PRIORITY:
        return "-30000..30000";
    case NSP_TYPE_MAC:
        return "MAC address";
    case NSP_TYPE_TEXT:
        return "text";
    case NSP_TYPE_NUMBER:
        break;
    }
    snprintf(buffer, bytes, "%u bits", (unsigned)field->bits);
    return buffer;
}

static const char *
need_of(const struct nsp_field *field)
{
    static const char *const needs[] = {
        [NSP_NEED_NOTHING] = "always",
        [NSP_NEED_IPV4] = "IPv4",
        [NSP_NEED_IPV6] = "IPv6",
        [NSP_NEED_TCP] = "TCP",
        [NSP_NEED_UDP] = "UDP",
        [NSP_NEED_ICMP] = "ICMP",
        [NSP_NEED_ICMPV6] = "ICMPv6",
        [NSP_NEED_IP] = "IP",
        [NSP_NEED_SIDE] = "direction",
        [NSP_NEED_IP_SIDE] = "IP, direction",
        [NSP_NEED_EVENT] = "event",
        [NSP_NEED_ARP] = "ARP",
        [NSP_NEED_ETHERNET] = "Ethernet",
        [NSP_NEED_VLAN] = "a VLAN tag",
        [NSP_NEED_MSS] = "that TCP option",
        [NSP_NEED_UID] = "a known owner",
        [NSP_NEED_FLOW] = "a tracked flow",
    };

    /* A packet's event is known without looking at it. */
    return field->type == NSP_TYPE_EVENT ? "always" : needs[field->need];
}

static void
print_layers(uint8_t layers, char ret[NSP_LAYER_COUNT + 1])
{
    size_t used = 0;

    for (int i = 0; i < NSP_LAYER_COUNT; i++) {
        if (layers >> i & 1)
            ret[used++] = "NMFSR"[i];
    }
    ret[used] = '\0';
}

/* Prints 'line', or finds it in the manual behind the last one found. */
static void
give(struct manual *manual, const char *line)
{
    char found[LINE_BYTES];

    if (!manual->file) {
        puts(line);
        return;
    }
    while (!manual->stale) {
        if (!fgets(found, sizeof found, manual->file)) {
            fprintf(stderr, "missing, or not in this order: %s\n", line);
            manual->stale = true;
            return;
        }
        found[strcspn(found, "\n")] = '\0';
        if (strcmp(found, line) == 0)
            return;
    }
}

static void
give_fields(struct manual *manual)
{
    give(manual, "| Field | Layers | Type | Present with | Meaning |");
    give(manual, "|---|---|---|---|---|");
    for (uint32_t i = 0; i < nsp_field_count; i++) {
        const struct nsp_field *field = &nsp_fields[i];
        char line[LINE_BYTES], layers[NSP_LAYER_COUNT + 1], type[32];

        if (field->layers == 0)
            continue;
        print_layers(field->layers, layers);
        snprintf(line, sizeof line, "| `%s%s` | %s | %s | %s | %s |",
                 field->name, field->element_bytes > 0 ? "[i]" : "", layers,
                 type_of(field, type, sizeof type), need_of(field), field->doc);
        give(manual, line);
    }
}

static void
give_macros(struct manual *manual)
{
    give(manual, "| Macro | Layers | Value |");
    give(manual, "|---|---|---|");
    for (uint32_t i = 0; i < nsp_macro_count; i++) {
        const struct nsp_macro *macro = &nsp_macros[i];
        char line[LINE_BYTES], layers[NSP_LAYER_COUNT + 1], other[32] = "";

        print_layers(nsp_macro_layers(macro, false), layers);
        if (macro->value_on_reflect != macro->value)
            snprintf(other, sizeof other, ", on REFLECT %u",
                     (unsigned)macro->value_on_reflect);
        snprintf(line, sizeof line, "| `%s` | %s | %u%s |", macro->name, layers,
                 (unsigned)macro->value, other);
        give(manual, line);
    }
}

/* --- Manual page -----------------------------------------------------------
 */

static void
print_field(const struct nsp_field *field)
{
    char layers[NSP_LAYER_COUNT + 1], type[32];

    print_layers(field->layers, layers);
    printf("*%s%s* (%s; %s; %s%s)\n\t%s\n\n", field->name,
           field->element_bytes > 0 ? "[i]" : "", layers,
           type_of(field, type, sizeof type), need_of(field),
           nsp_field_is_addition(field) ? "; addition" : "", field->doc);
}

static void
print_macro(const struct nsp_macro *macro)
{
    char layers[NSP_LAYER_COUNT + 1];

    print_layers(nsp_macro_layers(macro, false), layers);
    printf("- *%s* (%s): %u", macro->name, layers, (unsigned)macro->value);
    if (macro->value_on_reflect != macro->value)
        printf(", on REFLECT %u", (unsigned)macro->value_on_reflect);
    putchar('\n');
}

static void
print_page(FILE *source)
{
    char line[LINE_BYTES];

    while (fgets(line, sizeof line, source)) {
        if (strcmp(line, "@FIELDS@\n") == 0) {
            for (uint32_t i = 0; i < nsp_field_count; i++) {
                if (nsp_fields[i].layers != 0)
                    print_field(&nsp_fields[i]);
            }
        } else if (strcmp(line, "@MACROS@\n") == 0) {
            for (uint32_t i = 0; i < nsp_macro_count; i++)
                print_macro(&nsp_macros[i]);
        } else {
            fputs(line, stdout);
        }
    }
}

int
main(int argc, char **argv)
{
    bool is_page = argc > 2 && strcmp(argv[1], "--man") == 0;
    struct manual manual = { .file = NULL };

    if (argc > 1) {
        manual.file = fopen(argv[is_page ? 2 : 1], "r");
        if (!manual.file) {
            perror(argv[is_page ? 2 : 1]);
            return EXIT_FAILURE;
        }
    }
    if (is_page) {
        print_page(manual.file);
    } else {
        give_fields(&manual);
        give_macros(&manual);
    }
    if (manual.file)
        fclose(manual.file);
    return manual.stale ? EXIT_FAILURE : EXIT_SUCCESS;
}
