#include "filter/lexer.h"

#include <stdio.h>
#include <string.h>

#include "filter/literal.h"
#include "filter/object.h"
#include "filter/suggest.h"

void
nsp_lexer_init(struct nsp_lexer *lexer, const struct nsp_source *source,
               enum nsp_layer layer, const struct nsp_filter_options *options)
{
    *lexer = (struct nsp_lexer){ .source = *source,
                                 .layer = layer,
                                 .strict = options->strict,
                                 .options = options };
}

/* The byte 'ahead' of the current one, NUL past the end. */
static char
peek(const struct nsp_lexer *lexer, uint32_t ahead)
{
    uint32_t i = lexer->at + ahead;

    return i < lexer->source.bytes ? lexer->source.text[i] : '\0';
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '.' || c == ':' || c == '_';
}

static bool
is_object(const struct nsp_lexer *lexer)
{
    return lexer->at == 0 && nsp_object_is(lexer->source.text);
}

static const char *
stray_hint(const struct nsp_lexer *lexer, char c)
{
    switch (c) {
    case '@':
        if (is_object(lexer))
            return "a compiled object is not printed back: 'nsp filter check', "
                   "'eval' and 'object' take one";
        return lexer->strict ? "strict mode has no named sets"
                             : "the name of a set follows: @office";
    case '&':
        return "write 'and' or '&&'";
    case '|':
        return "write 'or' or '||'";
    case '/':
        return "in strict mode a prefix is written as a range: ip.SrcAddr >= "
               "10.0.0.0 and ip.SrcAddr <= 10.255.255.255";
    case '{':
    case '}':
    case ',':
        return "in strict mode a set is written as alternatives: "
               "(tcp.DstPort == 80 or tcp.DstPort == 443)";
    case '"':
    case '\'':
        return lexer->strict
                   ? "strict mode has no strings"
                   : "a string stands between double quotes: \"eth0\"";
    case '#':
        return "there are no comments";
    default:
        return NULL;
    }
}

static int
stray_character(struct nsp_lexer *lexer)
{
    uint32_t at = lexer->at;
    unsigned char c = (unsigned char)lexer->source.text[at];

    if (c >= 0x80)
        return nsp_source_fail(&lexer->source, at, at + 1, NSP_BAD_TOKEN,
                               "a filter is plain ASCII text",
                               "byte 0x%02x is not ASCII", c);
    if (c < ' ' || c == 0x7f)
        return nsp_source_fail(&lexer->source, at, at + 1, NSP_BAD_TOKEN,
                               "a filter is plain ASCII text",
                               "control character 0x%02x", c);
    return nsp_source_fail(&lexer->source, at, at + 1, NSP_BAD_TOKEN,
                           stray_hint(lexer, (char)c), "stray character '%c'",
                           c);
}

static int
wrong_layer(const struct nsp_lexer *lexer, const struct nsp_token *token)
{
    const struct nsp_field *field = token->field;
    bool is_direction = field->fetch == NSP_FETCH_IS &&
                        field->offset == offsetof(struct nsp_pkt, direction);
    char hint[128];
    size_t used;

    used = (size_t)snprintf(hint, sizeof hint, "it exists on");
    for (int layer = 0; layer < NSP_LAYER_COUNT; layer++) {
        if (field->layers >> layer & 1)
            used += (size_t)snprintf(hint + used, sizeof hint - used, " %s",
                                     nsp_layer_name((enum nsp_layer)layer));
    }
    if (is_direction && lexer->layer == NSP_LAYER_NETWORK_FORWARD)
        snprintf(hint, sizeof hint,
                 "forwarded packets have no direction: test ifIdx or the "
                 "addresses");
    return nsp_source_fail(&lexer->source, token->start, token->start,
                           NSP_BAD_TOKEN_FOR_LAYER, hint,
                           "'%s' is not available on layer %s", field->name,
                           nsp_layer_name(lexer->layer));
}

static bool
word_is(const struct nsp_lexer *lexer, const struct nsp_token *token,
        const char *name)
{
    size_t bytes = token->end - token->start;

    return strlen(name) == bytes &&
           memcmp(lexer->source.text + token->start, name, bytes) == 0;
}

static int
bad_word(const struct nsp_lexer *lexer, const struct nsp_token *token)
{
    const char *word = lexer->source.text + token->start;
    uint32_t bytes = token->end - token->start;
    const char *near =
        nsp_field_suggest(word, bytes, lexer->layer, lexer->strict);
    bool numeric = (word[0] >= '0' && word[0] <= '9') || word[0] == ':';
    char hint[96] = "";

    if (bytes > NSP_FILTER_WORD_MAX)
        return nsp_source_fail(&lexer->source, token->start, token->start,
                               NSP_BAD_TOKEN, NULL,
                               "a word of %u characters; the longest has %u",
                               bytes, NSP_FILTER_WORD_MAX);
    if (numeric)
        return nsp_source_fail(
            &lexer->source, token->start, token->start, NSP_BAD_TOKEN,
            "numbers are decimal or 0x..., addresses 192.0.2.1 or 2001:db8::1",
            "'%.*s' is neither a number nor an address", (int)bytes, word);
    if (lexer->strict && word_is(lexer, token, "in"))
        snprintf(hint, sizeof hint, "strict mode has no sets");
    else if (near)
        snprintf(hint, sizeof hint, "did you mean %s?", near);
    return nsp_source_fail(&lexer->source, token->start, token->start,
                           NSP_BAD_TOKEN, hint, "unknown name '%.*s'",
                           (int)bytes, word);
}

static int
classify_macro(const struct nsp_lexer *lexer, struct nsp_token *token)
{
    const struct nsp_macro *macro = token->macro;
    bool reflect = lexer->layer == NSP_LAYER_REFLECT;

    if (macro->layers >> lexer->layer & 1)
        token->kind = NSP_TOKEN_NUMBER;
    else if (!lexer->strict && (macro->state_layers >> lexer->layer & 1))
        token->kind = NSP_TOKEN_STATE;
    else
        token->kind = NSP_TOKEN_FOREIGN_MACRO;
    token->value = nsp_u128(reflect ? macro->value_on_reflect : macro->value);
    return 0;
}

static const struct nsp_field *
find_field(const struct nsp_lexer *lexer, const char *word, size_t bytes)
{
    const struct nsp_field *field = nsp_field_find(word, bytes);

    return field && lexer->strict && nsp_field_is_addition(field) ? NULL
                                                                  : field;
}

static int
classify_word(const struct nsp_lexer *lexer, struct nsp_token *token)
{
    const char *word = lexer->source.text + token->start;
    uint32_t bytes = token->end - token->start;

    if (bytes > NSP_FILTER_WORD_MAX)
        return bad_word(lexer, token);
    if (word_is(lexer, token, "and")) {
        token->kind = NSP_TOKEN_AND;
    } else if (word_is(lexer, token, "or")) {
        token->kind = NSP_TOKEN_OR;
    } else if (word_is(lexer, token, "not")) {
        token->kind = NSP_TOKEN_NOT;
    } else if (!lexer->strict && word_is(lexer, token, "in")) {
        token->kind = NSP_TOKEN_IN;
    } else if (!lexer->strict && word_is(lexer, token, "contains")) {
        token->kind = NSP_TOKEN_CONTAINS;
    } else if (!lexer->strict && word_is(lexer, token, "matches")) {
        token->kind = NSP_TOKEN_MATCHES;
    } else if ((token->field = find_field(lexer, word, bytes))) {
        token->kind = NSP_TOKEN_FIELD;
        if (!(token->field->layers >> lexer->layer & 1))
            return wrong_layer(lexer, token);
    } else if ((token->macro = nsp_macro_find(word, bytes))) {
        return classify_macro(lexer, token);
    } else if (nsp_literal_parse(word, bytes, &token->value) ||
               (!lexer->strict &&
                nsp_literal_parse_mac(word, bytes, &token->value))) {
        token->kind = NSP_TOKEN_NUMBER;
    } else if (word[bytes - 1] == 'b' &&
               nsp_literal_parse_decimal(word, bytes - 1, &token->value)) {
        token->kind = NSP_TOKEN_BYTE_NUMBER;
    } else if (!lexer->strict &&
               nsp_literal_parse_time(word, bytes, &token->value)) {
        token->kind = NSP_TOKEN_TIME;
    } else {
        return bad_word(lexer, token);
    }
    return 0;
}

/* Two dots are no part of any word, but an own one. */
static bool
is_dots(const struct nsp_lexer *lexer, uint32_t at)
{
    const char *text = lexer->source.text;

    return !lexer->strict && at + 1 < lexer->source.bytes && text[at] == '.' &&
           text[at + 1] == '.';
}

/* A single colon at the end of a word belongs to a conditional. */
static int
read_word(struct nsp_lexer *lexer, struct nsp_token *token)
{
    const char *text = lexer->source.text;
    uint32_t end = lexer->at;

    if (is_dots(lexer, end)) {
        token->kind = NSP_TOKEN_DOTS;
        token->end = lexer->at = end + 2;
        return 0;
    }
    while (end < lexer->source.bytes && is_word(text[end]) &&
           !is_dots(lexer, end))
        end++;
    if (text[end - 1] == ':' && text[end - 2] != ':')
        end--;
    token->end = lexer->at = end;
    return classify_word(lexer, token);
}

/* --- Named sets ----------------------------------------------------------- */

/* Lists the sets there are behind what 'hint' says already, as far as there is
 * room. */
static void
list_sets(const struct nsp_filter_options *options, size_t used, char hint[],
          size_t room)
{
    const char *joint = used > 0 ? " there are " : "there are ";

    for (uint32_t i = 0; i < options->set_count; i++) {
        const char *name = options->sets[i]->name;
        size_t needed = strlen(joint) + strlen(name);

        if (used + needed + sizeof ", ..." > room) {
            snprintf(hint + used, room - used, ", ...");
            return;
        }
        used += (size_t)snprintf(hint + used, room - used, "%s%s", joint, name);
        joint = ", ";
    }
}

static int
unknown_set(const struct nsp_lexer *lexer, const struct nsp_token *token)
{
    const struct nsp_filter_options *options = lexer->options;
    const char *name = lexer->source.text + token->start;
    uint32_t bytes = token->end - token->start;
    char hint[sizeof lexer->source.diag->hint] = "there are no sets here";
    struct nsp_suggestion nearest;
    size_t used = 0;

    if (bytes > NSP_FILTER_SET_NAME_MAX + 1)
        return nsp_source_fail(&lexer->source, token->start, token->start,
                               NSP_UNKNOWN_SET, NULL,
                               "the name of a set has at most %u characters",
                               NSP_FILTER_SET_NAME_MAX);
    nsp_suggestion_init(&nearest, name + 1, bytes - 1);
    for (uint32_t i = 0; i < options->set_count; i++)
        nsp_suggestion_add(&nearest, nsp_filter_set_name(options->sets[i]), 0);
    if (nearest.best)
        used = (size_t)snprintf(hint, sizeof hint, "did you mean @%s?",
                                nearest.best);
    list_sets(options, used, hint, sizeof hint);
    return nsp_source_fail(&lexer->source, token->start, token->start,
                           NSP_UNKNOWN_SET, hint, "there is no set '%.*s'",
                           (int)bytes, name);
}

static int
read_set_name(struct nsp_lexer *lexer, struct nsp_token *token)
{
    const char *name = lexer->source.text + token->start + 1;

    lexer->at++;
    while (nsp_filter_set_is_name_char(peek(lexer, 0)))
        lexer->at++;
    token->kind = NSP_TOKEN_SET_NAME;
    token->end = lexer->at;
    token->set = nsp_filter_set_find(lexer->options, name,
                                     token->end - token->start - 1);
    return token->set ? 0 : unknown_set(lexer, token);
}

/* --- Strings -------------------------------------------------------------- */

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Reads the byte that stands at 'text', which ends at 'end', and returns the
 * characters it takes; 0 if it is misspelt. */
static uint32_t
read_string_byte(const char *text, const char *end, char *ret)
{
    *ret = text[0];
    if (text[0] != '\\')
        return text[0] >= ' ' && text[0] < 0x7f ? 1 : 0;
    if (end - text >= 2 && (text[1] == '\\' || text[1] == '"')) {
        *ret = text[1];
        return 2;
    }
    if (end - text >= 4 && text[1] == 'x' && hex_digit(text[2]) >= 0 &&
        hex_digit(text[3]) >= 0) {
        *ret = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
        return *ret == '\0' ? 0 : 4;
    }
    return 0;
}

static int
read_string(struct nsp_lexer *lexer, struct nsp_token *token)
{
    const char *text = lexer->source.text, *end = text + lexer->source.bytes;
    uint32_t at = lexer->at + 1, count = 0;

    while (at < lexer->source.bytes && text[at] != '"') {
        char byte;
        uint32_t taken = read_string_byte(text + at, end, &byte);

        if (taken == 0)
            return nsp_source_fail(
                &lexer->source, at, at, NSP_BAD_TOKEN,
                "a string has printable ASCII characters and "
                "\\\" \\\\ \\x41 for '\"', '\\' and any byte but 0",
                "a character that cannot stand in a string");
        at += taken;
        if (++count > NSP_LITERAL_TEXT_MAX)
            return nsp_source_fail(
                &lexer->source, token->start, token->start, NSP_TOO_LONG, NULL,
                "a string of more than %u characters", NSP_LITERAL_TEXT_MAX);
    }
    if (at == lexer->source.bytes)
        return nsp_source_fail(&lexer->source, token->start, token->start,
                               NSP_BAD_TOKEN, NULL,
                               "a string without its closing '\"'");
    token->kind = NSP_TOKEN_STRING;
    token->end = lexer->at = at + 1;
    return 0;
}

uint32_t
nsp_lexer_read_string(const struct nsp_lexer *lexer,
                      const struct nsp_token *string, char ret[])
{
    const char *text = lexer->source.text + string->start + 1;
    const char *end = lexer->source.text + string->end - 1;
    uint32_t count = 0;

    while (text < end)
        text += read_string_byte(text, end, &ret[count++]);
    return count;
}

/* --- Tokens --------------------------------------------------------------- */

/* Recognises punctuation; returns its length, 0 if there is none. */
static uint32_t
punctuation(char c, char next, enum nsp_token_kind *ret)
{
    static const struct {
        char text[3];
        enum nsp_token_kind kind;
    } table[] = {
        { "&&", NSP_TOKEN_AND },       { "||", NSP_TOKEN_OR },
        { "==", NSP_TOKEN_EQ },        { "!=", NSP_TOKEN_NE },
        { "<=", NSP_TOKEN_LE },        { ">=", NSP_TOKEN_GE },
        { "=", NSP_TOKEN_EQ },         { "!", NSP_TOKEN_NOT },
        { "<", NSP_TOKEN_LT },         { ">", NSP_TOKEN_GT },
        { "(", NSP_TOKEN_OPEN },       { ")", NSP_TOKEN_CLOSE },
        { "[", NSP_TOKEN_OPEN_INDEX }, { "]", NSP_TOKEN_CLOSE_INDEX },
        { "-", NSP_TOKEN_MINUS },      { "?", NSP_TOKEN_QUESTION },
        { ":", NSP_TOKEN_COLON },      { "{", NSP_TOKEN_OPEN_SET },
        { "}", NSP_TOKEN_CLOSE_SET },  { ",", NSP_TOKEN_COMMA },
        { "/", NSP_TOKEN_SLASH },      { "&", NSP_TOKEN_AMPERSAND },
    };

    for (size_t i = 0; i < NSP_ARRAY_LEN(table); i++) {
        bool is_double = table[i].text[1] != '\0';

        if (table[i].text[0] == c && (!is_double || table[i].text[1] == next)) {
            *ret = table[i].kind;
            return is_double ? 2 : 1;
        }
    }
    return 0;
}

int
nsp_lexer_next(struct nsp_lexer *lexer, struct nsp_token *ret)
{
    uint32_t length;
    char c;

    while (lexer->at < lexer->source.bytes && is_space(peek(lexer, 0)))
        lexer->at++;
    *ret = (struct nsp_token){ .kind = NSP_TOKEN_END,
                               .start = lexer->at,
                               .end = lexer->at };
    if (lexer->at >= lexer->source.bytes)
        return 0;
    if (++lexer->tokens > NSP_FILTER_TOKENS_MAX)
        return nsp_source_fail(
            &lexer->source, lexer->at, lexer->at, NSP_TOO_LONG, NULL,
            "more than %u words and signs", NSP_FILTER_TOKENS_MAX);
    c = peek(lexer, 0);
    if (is_word(c) && (c != ':' || peek(lexer, 1) == ':'))
        return read_word(lexer, ret);
    if (c == '"' && !lexer->strict)
        return read_string(lexer, ret);
    if (c == '@' && !lexer->strict && !is_object(lexer) &&
        nsp_filter_set_is_name_char(peek(lexer, 1)))
        return read_set_name(lexer, ret);
    length = punctuation(c, peek(lexer, 1), &ret->kind);
    if (length == 0 || (lexer->strict && ret->kind >= NSP_TOKEN_OPEN_SET))
        return stray_character(lexer);
    ret->end = lexer->at += length;
    return 0;
}
