/* lua.h - Lua scripts by their names. Pure. */
#ifndef CEL_REDIS_LUA_H
#define CEL_REDIS_LUA_H

#include "core/buf.h"

/* A script; its name is the SHA-1 of its text, empty where there is no SHA-1 (a FIPS build of
 * the library): then the text itself is sent. */
typedef struct cel__lua {
    const char *text;
    char name[41];
} cel__lua;

/* Computes the name. */
void cel__lua_init(cel__lua *script, const char *text);

/* Appends the command that loads it: one of a greeting. */
void cel__lua_load(cel__buf *commands, const cel__lua *script);

/* Begins a call: behind it `keys` names of keys and `args` arguments are wanted. */
void cel__lua_call(cel__buf *command, const cel__lua *script, size_t keys, size_t args);

#endif
