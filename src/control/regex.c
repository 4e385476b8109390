/* regex.c - Thompson's way: the pattern becomes a program, all of whose threads run through the text
 * side by side, one step a byte. Jumps are relative, so that a piece can be moved and repeated. */
#include "control/regex.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "core/mem.h"

#define STEPS_MAX  4096
#define SETS_MAX   128
#define DEPTH_MAX  50
#define REPEAT_MAX 1000

enum op {
    OP_BYTE,  /* a */
    OP_SET,   /* a: its number */
    OP_SPLIT, /* go on at a and at b, relative */
    OP_JUMP,  /* a */
    OP_BEGIN,
    OP_END,      /* $: also before a last line break */
    OP_VERY_END, /* \Z */
    OP_WORD_EDGE,
    OP_NO_WORD_EDGE,
    OP_MATCH,
};

struct step {
    enum op op;
    int a, b;
};

typedef struct set {
    uint64_t bits[4];
} set;

struct regex {
    cel_view pattern;
    size_t at;
    int depth;
    int len, set_count;
    cel_error *err;
    bool failed;
    struct step steps[STEPS_MAX];
    set sets[SETS_MAX];
    /* of the run */
    int now[STEPS_MAX], next[STEPS_MAX], stack[2 * STEPS_MAX + 2];
    unsigned seen[STEPS_MAX], round;
};

/* ---- sets ---- */

static void put(set *to, unsigned char byte)
{
    to->bits[byte / 64] |= UINT64_C(1) << (byte % 64);
}

static bool has(const set *in, unsigned char byte)
{
    return in->bits[byte / 64] >> (byte % 64) & 1;
}

static bool is_word(unsigned char byte)
{
    return isalnum(byte) || byte == '_' || byte >= 0x80;
}

/* Adds the class of \d, \w, \s or, in upper case, what is not in it; false if it is none. */
static bool put_class(set *to, char letter)
{
    char kind = (char)tolower((unsigned char)letter);

    if (kind != 'd' && kind != 'w' && kind != 's')
        return false;
    for (int byte = 0; byte < 256; byte++) {
        bool in = kind == 'd'   ? byte >= '0' && byte <= '9'
                  : kind == 'w' ? is_word((unsigned char)byte)
                                : byte < 0x80 && isspace(byte);

        if (in == (letter == kind))
            put(to, (unsigned char)byte);
    }
    return true;
}

/* ---- from the pattern to the program ---- */

static void fail(struct regex *regex, const char *why)
{
    if (!regex->failed)
        cel_error_set(regex->err, CEL_EINVAL, "the regular expression: %s at position %zu", why,
                      regex->at);
    regex->failed = true;
}

static bool more(const struct regex *regex)
{
    return !regex->failed && regex->at < regex->pattern.len;
}

static char peek(const struct regex *regex)
{
    return more(regex) ? regex->pattern.ptr[regex->at] : '\0';
}

/* Takes the text if it comes next. */
static bool take(struct regex *regex, const char *text)
{
    size_t len = strlen(text);

    if (regex->failed || regex->pattern.len - regex->at < len ||
        memcmp(regex->pattern.ptr + regex->at, text, len) != 0)
        return false;
    regex->at += len;
    return true;
}

static void emit(struct regex *regex, enum op op, int a, int b)
{
    if (regex->len >= STEPS_MAX - 1)
        fail(regex, "it is too large");
    else
        regex->steps[regex->len++] = (struct step){op, a, b};
}

/* Makes room for one step at `at`. */
static void insert(struct regex *regex, int at, enum op op, int a, int b)
{
    emit(regex, OP_MATCH, 0, 0);
    if (regex->failed)
        return;
    memmove(&regex->steps[at + 1], &regex->steps[at],
            (size_t)(regex->len - 1 - at) * sizeof *regex->steps);
    regex->steps[at] = (struct step){op, a, b};
}

static void emit_set(struct regex *regex, const set *wanted)
{
    if (regex->set_count >= SETS_MAX) {
        fail(regex, "it has too many sets");
        return;
    }
    regex->sets[regex->set_count] = *wanted;
    emit(regex, OP_SET, regex->set_count++, 0);
}

/* The byte that an escape in the pattern stands for; `letter` is what comes behind the backslash. */
static char escaped(struct regex *regex, char letter)
{
    static const char letters[] = "ntrfva", bytes[] = "\n\t\r\f\v\a";
    const char *at = letter ? strchr(letters, letter) : NULL;

    if (at)
        return bytes[at - letters];
    if (isalnum((unsigned char)letter))
        fail(regex, "an escape that is not known");
    return letter;
}

static void parse_escape(struct regex *regex)
{
    set class = {0};
    char letter = peek(regex);

    if (!more(regex)) {
        fail(regex, "a backslash at the end");
        return;
    }
    regex->at++;
    if (put_class(&class, letter))
        emit_set(regex, &class);
    else if (letter == 'A')
        emit(regex, OP_BEGIN, 0, 0);
    else if (letter == 'Z')
        emit(regex, OP_VERY_END, 0, 0);
    else if (letter == 'b')
        emit(regex, OP_WORD_EDGE, 0, 0);
    else if (letter == 'B')
        emit(regex, OP_NO_WORD_EDGE, 0, 0);
    else
        emit(regex, OP_BYTE, (unsigned char)escaped(regex, letter), 0);
}

/* One member of a set: its byte, or -1 if it was a class. */
static int parse_member(struct regex *regex, set *to)
{
    char byte = peek(regex);

    regex->at++;
    if (byte != '\\')
        return (unsigned char)byte;
    char letter = peek(regex);
    if (!more(regex)) {
        fail(regex, "a backslash at the end");
        return -1;
    }
    regex->at++;
    if (put_class(to, letter))
        return -1;
    return (unsigned char)(letter == 'b' ? '\b' : escaped(regex, letter));
}

static void parse_set(struct regex *regex)
{
    set wanted = {0};
    bool negated = take(regex, "^");
    bool first = true;

    while (more(regex) && (first || peek(regex) != ']')) {
        int from = parse_member(regex, &wanted), to = from;

        first = false;
        if (from >= 0 && peek(regex) == '-' && regex->at + 1 < regex->pattern.len &&
            regex->pattern.ptr[regex->at + 1] != ']') {
            regex->at++;
            to = parse_member(regex, &wanted);
            if (to < from)
                fail(regex, "a range that ends before it begins");
        }
        for (int byte = from; from >= 0 && byte <= to; byte++)
            put(&wanted, (unsigned char)byte);
    }
    if (!take(regex, "]"))
        fail(regex, "a set without an end");
    for (int i = 0; negated && i < 4; i++)
        wanted.bits[i] = ~wanted.bits[i];
    emit_set(regex, &wanted);
}

static void parse_choice(struct regex *regex);

static void parse_group(struct regex *regex)
{
    if (take(regex, "?P<")) {
        while (more(regex) && peek(regex) != '>')
            regex->at++;
        if (!take(regex, ">"))
            fail(regex, "a name without an end");
    } else if (peek(regex) == '?' && !take(regex, "?:")) {
        fail(regex, "looking around, flags and the like are not there");
    }
    if (++regex->depth > DEPTH_MAX)
        fail(regex, "it is nested too deep");
    parse_choice(regex);
    regex->depth--;
    if (!take(regex, ")"))
        fail(regex, "a group without an end");
}

static void parse_atom(struct regex *regex)
{
    char byte = peek(regex);

    regex->at++;
    switch (byte) {
    case '.': {
        set any = {{~(UINT64_C(1) << '\n'), UINT64_MAX, UINT64_MAX, UINT64_MAX}};

        emit_set(regex, &any);
        break;
    }
    case '[':
        parse_set(regex);
        break;
    case '(':
        parse_group(regex);
        break;
    case '\\':
        parse_escape(regex);
        break;
    case '^':
        emit(regex, OP_BEGIN, 0, 0);
        break;
    case '$':
        emit(regex, OP_END, 0, 0);
        break;
    case '*':
    case '+':
    case '?':
        fail(regex, "nothing to repeat");
        break;
    default:
        emit(regex, OP_BYTE, (unsigned char)byte, 0);
        break;
    }
}

/* Reads {n}, {n,}, {,m} or {n,m}; leaves what is none of them alone: a brace is a character then. */
static bool parse_counts(struct regex *regex, int *least, int *most)
{
    size_t start = regex->at;
    int counts[2] = {0, -1};
    bool comma = false, digits = false;

    regex->at++; /* the brace */
    for (int i = 0; i < 2; i++) {
        while (isdigit((unsigned char)peek(regex))) {
            int digit = peek(regex) - '0';

            counts[i] = (counts[i] < 0 ? 0 : counts[i]) * 10 + digit;
            digits = true;
            regex->at++;
            if (counts[i] > REPEAT_MAX) {
                fail(regex, "it repeats too often");
                return false;
            }
        }
        if (i == 0)
            comma = take(regex, ",");
        if (!comma)
            break;
    }
    if (!take(regex, "}") || (!digits && !comma)) {
        regex->at = start;
        return false;
    }
    *least = counts[0];
    *most = comma ? counts[1] : counts[0];
    if (*most >= 0 && *most < *least)
        fail(regex, "a repetition whose most is less than its least");
    return true;
}

/* Appends a copy of the `len` steps of `piece`. */
static void append_copy(struct regex *regex, const struct step *piece, int len)
{
    if (regex->len + len >= STEPS_MAX) {
        fail(regex, "it is too large");
        return;
    }
    memcpy(&regex->steps[regex->len], piece, (size_t)len * sizeof *piece);
    regex->len += len;
}

/* Repeats what stands from `start`: `least` times and, if most is negative, as often as there is, else
 * up to `most` times. */
static void repeat(struct regex *regex, int start, int least, int most)
{
    int len = regex->len - start;
    struct step *piece;

    if (regex->failed || len == 0)
        return;
    piece =
        (struct step *)(void *)cel__memdup(&regex->steps[start], (size_t)len * sizeof *piece);
    if (!piece) {
        regex->failed = true;
        cel_error_set(regex->err, CEL_ENOMEM, "no memory for a regular expression");
        return;
    }
    regex->len = start;
    for (int i = 0; i < least && !regex->failed; i++)
        append_copy(regex, piece, len);
    for (int i = least; i < most && !regex->failed; i++) {
        emit(regex, OP_SPLIT, 1, len + 1);
        append_copy(regex, piece, len);
    }
    if (most < 0) {
        emit(regex, OP_SPLIT, 1, len + 2);
        append_copy(regex, piece, len);
        emit(regex, OP_JUMP, -(len + 1), 0);
    }
    cel__free(piece);
}

/* A piece and how often it comes. */
static void parse_piece(struct regex *regex)
{
    int start = regex->len, least = 1, most = 1;

    parse_atom(regex);
    if (take(regex, "*"))
        least = 0, most = -1;
    else if (take(regex, "+"))
        most = -1;
    else if (take(regex, "?"))
        least = 0;
    else if (peek(regex) != '{' || !parse_counts(regex, &least, &most))
        return;
    (void)take(regex, "?"); /* lazy: the same texts match */
    if (peek(regex) == '*' || peek(regex) == '+')
        fail(regex, "a repetition of a repetition");
    repeat(regex, start, least, most);
}

static void parse_choice(struct regex *regex)
{
    int start = regex->len;

    while (more(regex) && peek(regex) != '|' && peek(regex) != ')')
        parse_piece(regex);
    while (take(regex, "|")) { /* split: this or that; the end of this jumps over that */
        int len = regex->len - start, that;

        insert(regex, start, OP_SPLIT, 1, len + 2);
        that = regex->len;
        emit(regex, OP_JUMP, 1, 0);
        while (more(regex) && peek(regex) != '|' && peek(regex) != ')')
            parse_piece(regex);
        if (!regex->failed)
            regex->steps[that].a = regex->len - that;
    }
}

/* ---- the run ---- */

static bool holds(const struct step *step, cel_view text, size_t at)
{
    bool before = at > 0 && is_word((unsigned char)text.ptr[at - 1]);
    bool behind = at < text.len && is_word((unsigned char)text.ptr[at]);

    switch ((int)step->op) {
    case OP_BEGIN:
        return at == 0;
    case OP_END:
        return at == text.len || (at + 1 == text.len && text.ptr[at] == '\n');
    case OP_VERY_END:
        return at == text.len;
    case OP_WORD_EDGE:
        return before != behind;
    default:
        return before == behind;
    }
}

/* Adds to `list` the steps that wait for a byte and can be reached from `from`; returns true if the
 * end of the program can. */
static bool
reach(struct regex *regex, int *list, int *len, int from, cel_view text, size_t position)
{
    int depth = 0;

    regex->stack[depth++] = from;
    while (depth > 0) {
        int at = regex->stack[--depth];
        const struct step *step = &regex->steps[at];

        if (regex->seen[at] == regex->round)
            continue;
        regex->seen[at] = regex->round;
        if (step->op == OP_MATCH)
            return true;
        if (step->op == OP_BYTE || step->op == OP_SET) {
            list[(*len)++] = at;
        } else if (step->op == OP_SPLIT) {
            regex->stack[depth++] = at + step->b;
            regex->stack[depth++] = at + step->a;
        } else if (step->op == OP_JUMP) {
            regex->stack[depth++] = at + step->a;
        } else if (holds(step, text, position)) {
            regex->stack[depth++] = at + 1;
        }
    }
    return false;
}

static bool run(struct regex *regex, cel_view text)
{
    int *now = regex->now, *next = regex->next;
    int count = 0;

    regex->round = 1;
    if (reach(regex, now, &count, 0, text, 0))
        return true;
    for (size_t at = 0; at < text.len && count > 0; at++) {
        unsigned char byte = (unsigned char)text.ptr[at];
        int next_count = 0;

        regex->round++;
        for (int i = 0; i < count; i++) {
            const struct step *step = &regex->steps[now[i]];
            bool fits =
                step->op == OP_BYTE ? step->a == byte : has(&regex->sets[step->a], byte);

            if (fits && reach(regex, next, &next_count, now[i] + 1, text, at + 1))
                return true;
        }
        int *swap = now;
        now = next;
        next = swap;
        count = next_count;
    }
    return false;
}

cel_code cel__regex_match(bool *is, cel_view pattern, cel_view text, cel_error *err)
{
    struct regex *regex = cel__calloc(1, sizeof *regex);
    cel_error ignored = {0};
    cel_code code = CEL_OK;

    if (!regex)
        return cel_error_set(err, CEL_ENOMEM, "no memory for a regular expression");
    regex->pattern = pattern;
    regex->err = err ? err : &ignored;
    parse_choice(regex);
    if (!regex->failed && regex->at < pattern.len)
        fail(regex, "a ')' too many");
    if (regex->failed) {
        code = regex->err->code;
    } else {
        regex->steps[regex->len] = (struct step){OP_MATCH, 0, 0};
        *is = run(regex, text);
    }
    cel__free(regex);
    return code;
}
