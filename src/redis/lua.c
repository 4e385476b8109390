/* lua.c - see lua.h. */
#include "redis/lua.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "redis/conn.h"

void cel__lua_init(cel__lua *script, const char *text)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    *script = (cel__lua){.text = text};
    if (!EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL) || len != 20)
        return;
    for (unsigned i = 0; i < len; i++)
        snprintf(script->name + 2 * i, 3, "%02x", digest[i]);
}

void cel__lua_load(cel__buf *commands, const cel__lua *script)
{
    cel__redis_begin(commands, 3);
    cel__redis_word(commands, CEL_VIEW("SCRIPT"));
    cel__redis_word(commands, CEL_VIEW("LOAD"));
    cel__redis_word(commands, cel__view(script->text));
}

void cel__lua_call(cel__buf *command, const cel__lua *script, size_t keys, size_t args)
{
    bool named = script->name[0];

    cel__redis_begin(command, 3 + keys + args);
    cel__redis_word(command, named ? CEL_VIEW("EVALSHA") : CEL_VIEW("EVAL"));
    cel__redis_word(command, cel__view(named ? script->name : script->text));
    cel__redis_int(command, (int64_t)keys);
}
