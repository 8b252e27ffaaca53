#include "cli/diag_print.h"

#include <stdint.h>
#include <string.h>

#include "cli/utf8.h"

#define WINDOW_COLUMNS 72u
#define RED            "\033[1;31m"
#define YELLOW         "\033[33m"
#define GREEN          "\033[1;32m"
#define CYAN           "\033[36m"
#define PLAIN          "\033[0m"

/* One character as it is shown. */
struct shown {
    char text[16];
    size_t bytes;     /* Of the source. */
    unsigned columns; /* On the terminal. */
};

static bool
in_range(uint32_t c, uint32_t low, uint32_t high)
{
    return c >= low && c <= high;
}

/* Characters that would move the cursor, hide or reverse what follows. */
static bool
is_control(uint32_t c)
{
    return c < 0x20 || in_range(c, 0x7f, 0x9f) || c == 0xad ||
           in_range(c, 0x200b, 0x200f) || in_range(c, 0x2028, 0x202e) ||
           in_range(c, 0x2060, 0x206f) || c == 0xfeff ||
           in_range(c, 0xfff9, 0xfffb) || in_range(c, 0xe0000, 0xe0fff);
}

/* After Unicode's EastAsianWidth (W and F), coarsely. */
static unsigned
columns_of(uint32_t c)
{
    if (in_range(c, 0x300, 0x36f))
        return 0;
    if (in_range(c, 0x1100, 0x115f) || in_range(c, 0x2e80, 0xa4cf) ||
        in_range(c, 0xac00, 0xd7a3) || in_range(c, 0xf900, 0xfaff) ||
        in_range(c, 0xfe30, 0xfe6f) || in_range(c, 0xff00, 0xff60) ||
        in_range(c, 0xffe0, 0xffe6) || in_range(c, 0x1f300, 0x1faff) ||
        in_range(c, 0x20000, 0x3fffd))
        return 2;
    return 1;
}

static struct shown
show(const char *text, size_t left)
{
    struct shown shown = { .text = "" };
    uint32_t c = 0;

    shown.bytes = nsp_utf8_decode(text, left, &c);
    if (shown.bytes == 0) {
        shown.bytes = 1;
        snprintf(shown.text, sizeof shown.text, "\\x%02x",
                 (unsigned)(unsigned char)text[0]);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        snprintf(shown.text, sizeof shown.text, "\\%c",
                 c == '\n'   ? 'n'
                 : c == '\r' ? 'r'
                             : 't');
    } else if (c < 0x80 && is_control(c)) {
        snprintf(shown.text, sizeof shown.text, "\\x%02x", (unsigned)c);
    } else if (is_control(c)) {
        snprintf(shown.text, sizeof shown.text, "\\u{%x}", (unsigned)c);
    } else {
        memcpy(shown.text, text, shown.bytes);
        shown.columns = columns_of(c);
        return shown;
    }
    shown.columns = (unsigned)strlen(shown.text);
    return shown;
}

void
nsp_print_safe(FILE *to, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        struct shown shown = show(text, left);

        fputs(shown.text, to);
        text += shown.bytes;
        left -= shown.bytes;
    }
}

/* Finds the line of 'source' that holds byte 'offset'. */
static const char *
find_line(const char *source, size_t offset, size_t *ret_bytes)
{
    size_t begin = offset;

    while (begin > 0 && source[begin - 1] != '\n')
        begin--;
    *ret_bytes = strcspn(source + begin, "\n");
    return source + begin;
}

static unsigned
columns_until(const char *line, size_t bytes, size_t end)
{
    unsigned columns = 0;

    for (size_t at = 0; at < end && at < bytes;) {
        struct shown shown = show(line + at, bytes - at);

        columns += shown.columns;
        at += shown.bytes;
    }
    return columns;
}

/* Prints the part of 'line' that lies in a window with the caret in view, and
 * the caret below it. */
static void
print_line(FILE *to, const char *line, size_t bytes, size_t caret, bool color)
{
    unsigned caret_column = columns_until(line, bytes, caret);
    unsigned total = columns_until(line, bytes, bytes);
    unsigned first = 0, column = 0, shown_before = 0;
    bool cut_end;

    if (total > WINDOW_COLUMNS && caret_column > WINDOW_COLUMNS * 2 / 3)
        first = caret_column - WINDOW_COLUMNS * 2 / 3;
    cut_end = total > first + WINDOW_COLUMNS;

    fputs(first > 0 ? "  ..." : "  ", to);
    for (size_t at = 0; at < bytes && column < first + WINDOW_COLUMNS;) {
        struct shown shown = show(line + at, bytes - at);

        if (column >= first) {
            fputs(shown.text, to);
            if (at < caret)
                shown_before += shown.columns;
        }
        column += shown.columns;
        at += shown.bytes;
    }
    fprintf(to, "%s\n%*s%s^%s\n", cut_end ? "..." : "",
            (int)(shown_before + (first > 0 ? 5 : 2)), "", color ? GREEN : "",
            color ? PLAIN : "");
}

static void
print_as(FILE *to, const char *severity, const char *paint,
         const struct nsp_diag *diag, const char *source_name,
         const char *source, bool color)
{
    fprintf(to, "nsp: %s%s:%s ", color ? paint : "", severity,
            color ? PLAIN : "");
    if (source && diag->line > 0)
        fprintf(to, "%s:%u:%u: ", source_name ? source_name : "input",
                (unsigned)diag->line, (unsigned)diag->column);
    if (source && diag->category[0])
        fprintf(to, "%s: ", diag->category);
    nsp_print_safe(to,
                   diag->text[0] ? diag->text : nsp_result_text(diag->result));
    putc('\n', to);

    if (source && diag->line > 0) {
        size_t length = strlen(source), bytes;
        size_t offset = diag->offset < length ? diag->offset : length;
        const char *line = find_line(source, offset, &bytes);

        /* The column is of the character meant, the offset may be after it. */
        size_t caret = diag->column > 0 ? diag->column - 1 : 0;

        print_line(to, line, bytes, caret < bytes ? caret : bytes, color);
    }
    if (diag->hint[0]) {
        fprintf(to, "%shint:%s ", color ? CYAN : "", color ? PLAIN : "");
        nsp_print_safe(to, diag->hint);
        putc('\n', to);
    }
}

void
nsp_diag_print(FILE *to, const struct nsp_diag *diag, const char *source_name,
               const char *source, bool color)
{
    print_as(to, "error", RED, diag, source_name, source, color);
}

void
nsp_diag_print_warning(FILE *to, const struct nsp_diag *diag,
                       const char *source_name, const char *source, bool color)
{
    print_as(to, "warning", YELLOW, diag, source_name, source, color);
}

static void
print_log(void *context, enum nsp_log_level level, const char *message)
{
    (void)context;
    if (level > NSP_LOG_WARNING)
        return;
    flockfile(stderr);
    fprintf(stderr, "nsp: %s: ", level == NSP_LOG_ERROR ? "error" : "warning");
    nsp_print_safe(stderr, message);
    putc('\n', stderr);
    funlockfile(stderr);
}

const struct nsp_log_sink nsp_log_to_stderr = { .write = print_log };
