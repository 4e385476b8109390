/* multi_names.h - the grammar of `celeriac multi`: which nodes, and the command line of each.
 *
 *     3 -c 3 -c:1 10 -Q:2-3 images,video --pidfile=/run/celeriac/%n.pid -- worker.prefetch_multiplier=1
 *
 * Words are node names, or one number: so many nodes. Short options take the next word as their value unless it
 * begins with '-', long ones only what stands behind their '='. An option with ":SCOPE" is for the nodes that SCOPE
 * names: by name or by place (from 1), several with commas, and places as a range. It is Celery's grammar
 * (celery/apps/multi.py), and what is made of it is the same. Nothing here touches a file. One thread. */
#ifndef CEL_CLI_MULTI_NAMES_H
#define CEL_CLI_MULTI_NAMES_H

#include <stddef.h>

#include "celeriac/error.h"
#include "core/buf.h"

#define CEL_MULTI_NODES_MAX 1000

/* An option of a node: "-c" and "10", "--pidfile" and a path. */
typedef struct cel_multi_option {
    const char *name;  /* with its dashes */
    const char *value; /* NULL: none */
} cel_multi_option;

typedef struct cel_multi_node {
    const char *name;      /* "celery1@host" */
    const char *shortname; /* "celery1" */
    const char *host;
    cel_multi_option *options; /* values are expanded */
    size_t option_count;
    const char **argv; /* the command line, NULL-terminated; argv[0] is the program */
    size_t argc;
} cel_multi_node;

/* Zero-initialised; all that is reachable from it is owned by it. */
typedef struct cel_multi {
    cel_multi_node *nodes;
    size_t count;
    int signum;   /* what -SIG or -N says; 0: nothing */
    void *blocks; /* memory of everything above */
} cel_multi;

/* What is not on the command line. Borrowed for the call. */
typedef struct cel_multi_defaults {
    const char *executable; /* program that runs a node */
    const char *hostname;
    bool with_signal; /* "-TERM" and "-9" are signals, not options */
} cel_multi_defaults;

/* Reads `argc` words behind the name of multi's command. CEL_EINVAL with a message for the user, CEL_ENOMEM. Call
 * cel__multi_done() in any case. */
cel_code cel__multi_read(cel_multi *multi,
                         int argc,
                         const char *const *argv,
                         const cel_multi_defaults *defaults,
                         cel_error *err);

void cel__multi_done(cel_multi *multi);

/* Appends `template` for a node: %n and %N are its name in front of the '@', %d is its host, %h and %p are the whole name; %i and %I
 * stay, for the worker knows them. CEL_EINVAL for another letter. */
cel_code cel__multi_expand(cel__buf *buf,
                           const cel_multi_node *node,
                           const char *template,
                           cel_error *err);

/* The value of an option by its names, the first of which wins; NULL: not given, or without a value. */
const char *cel__multi_option(const cel_multi_node *node, const char *name, const char *other);

/* Appends the command line from argv[from] on, quoted for a shell where it must be. */
void cel__multi_command_line(cel__buf *buf, const cel_multi_node *node, size_t from);

#endif
