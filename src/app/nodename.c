/* nodename.c - see celery/utils/nodenames.py. */
#include "app/nodename.h"

#include <string.h>
#include <unistd.h>

void cel__hostname(char out[CEL_HOSTNAME_MAX])
{
    if (gethostname(out, CEL_HOSTNAME_MAX) != 0)
        out[0] = '\0';
    out[CEL_HOSTNAME_MAX - 1] = '\0';
    if (out[0] == '\0')
        memcpy(out, "localhost", sizeof "localhost");
}

void cel__node_split(cel_view node, cel_view *name, cel_view *host)
{
    const char *at = node.len ? memchr(node.ptr, '@', node.len) : NULL;

    *name = (cel_view){NULL, 0};
    *host = node;
    if (!at)
        return;
    *name = (cel_view){node.ptr, (size_t)(at - node.ptr)};
    *host = (cel_view){at + 1, node.len - name->len - 1};
}

/* What the letters stand for. */
struct letters {
    cel_view h, n, d, p; /* p absent: not known here */
    int index;
};

static void split_host(struct letters *letters, cel_view host)
{
    const char *dot = host.len ? memchr(host.ptr, '.', host.len) : NULL;
    size_t len = dot ? (size_t)(dot - host.ptr) : host.len;

    letters->h = host;
    letters->n = (cel_view){host.ptr, len};
    letters->d = dot ? (cel_view){dot + 1, host.len - len - 1} : CEL_VIEW("");
}

static bool add_letter(cel__buf *buf, const struct letters *letters, char letter)
{
    switch (letter) {
    case 'h':
        cel__buf_add_view(buf, letters->h);
        return true;
    case 'n':
        cel__buf_add_view(buf, letters->n);
        return true;
    case 'd':
        cel__buf_add_view(buf, letters->d);
        return true;
    case 'p':
        cel__buf_add_view(buf, letters->p);
        return letters->p.ptr != NULL;
    case 'i':
        cel__buf_add_int(buf, letters->index);
        return true;
    case 'I':
        if (letters->index > 0)
            cel__buf_addf(buf, "-%d", letters->index);
        return true;
    case '%':
        cel__buf_add_byte(buf, '%');
        return true;
    default:
        return false;
    }
}

static cel_code format(cel__buf *buf,
                       cel_view text,
                       const struct letters *letters,
                       const char *known,
                       cel_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            cel__buf_add_byte(buf, text.ptr[i]);
            continue;
        }
        char letter = i + 1 < text.len ? text.ptr[i + 1] : '\0';
        if (!add_letter(buf, letters, letter))
            return cel_error_set(err, CEL_EINVAL,
                                 "'%.*s': %%%c means nothing here: %s do, and %%%% is a %%",
                                 CEL_VIEW_ARG(text), letter ? letter : ' ', known);
        i++;
    }
    return cel__buf_check(buf, err);
}

static cel_code check_name(const cel__buf *buf, size_t from, cel_error *err)
{
    cel_view name = {buf->ptr + from, buf->len - from};

    if (name.len > 255)
        return cel_error_set(err, CEL_EINVAL, "node name '%.40s...' is longer than 255 bytes",
                             name.ptr);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c <= ' ' || c == 0x7f)
            return cel_error_set(err, CEL_EINVAL,
                                 "node name '%.*s': no spaces and no control characters",
                                 CEL_VIEW_ARG(name));
    }
    return CEL_OK;
}

cel_code cel__nodename(cel__buf *buf, const char *option, const char *hostname, cel_error *err)
{
    struct letters letters = {.p = {NULL, 0}};
    cel_view name, host;
    size_t from = buf->len;

    cel__node_split(cel__view(option ? option : ""), &name, &host);
    if (name.len == 0)
        name = CEL_VIEW("celery");
    if (host.len == 0)
        host = CEL_VIEW("%h");
    split_host(&letters, cel__view(hostname));
    cel_code code = format(buf, name, &letters, "%h, %n, %d, %i and %I", err);
    cel__buf_add_byte(buf, '@');
    if (code == CEL_OK)
        code = format(buf, host, &letters, "%h, %n, %d, %i and %I", err);
    return code ? code : check_name(buf, from, err);
}

cel_code cel__node_format(
    cel__buf *buf, const char *text, const char *node, int process_index, cel_error *err)
{
    struct letters letters = {.index = process_index};
    cel_view name, host;

    cel__node_split(cel__view(node), &name, &host);
    split_host(&letters, host);
    letters.n = name.len > 0 ? name : CEL_VIEW("celery");
    letters.p = cel__view(node);
    return format(buf, cel__view(text), &letters, "%h, %n, %d, %p, %i and %I", err);
}

void cel__nodename_anonymous(cel__buf *buf, int pid, const char *hostname)
{
    cel__buf_addf(buf, "gen%d@%s", pid, hostname);
}
