/* redis_script.c - what must happen in Redis at once.
 *
 * The keys of one chord, beside Celery's .j (a zset of the parts, members [1, id, state,
 * result]), .s (its size) and .t (what was added to it later):
 *   .f  a hash: i<task id> = 1 for each part that we counted; b, r: the body and its root; p:
 *       the part counted last; s: absent while parts are missing, "c" complete, "d" done; and
 *       of a complete one o: whose turn it is (a backend, or nobody: ""), t: since when, k: the
 *       call that completed it, so that it can be asked again
 *   .p  the parts of a complete chord: .j renamed. So a Python worker that counts a part once
 *       more finds neither .j nor .s, and does not fire the chord a second time
 *   celeriac-chords  a zset of the ids of chords that are complete and not done
 *   celeriac-owner-<backend>  exists while that backend lives and has chords to finish
 * All have an expiry where results have one; .f has one in any case when the chord is done, and
 * the others are deleted then.
 *
 * A part counts once by its id in .f. One that a Python worker has counted is not in there, but
 * has the same place in .j; and if Python has counted an id twice, the members are compared
 * when the number is reached. The scripts build the names of keys, so this needs one server,
 * not a cluster; neither does Celery work there. */
#include <assert.h>
#include <openssl/evp.h>

#include "backend/redis_impl.h"

/* Results may be JSON, msgpack, YAML (with `status` in a line of its own) or signed JSON.
 *
 * Keys: of results. Arguments: expiry; of each its document, and 2 for SUCCESS, 1 for what is ready,
 * 0 for the rest. What is a number to Redis is a text here: Lua would write it in 17 digits. */
static const char store_script[] =
    "local digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'\n"
    "local function opened(text)\n"
    "  local out, word, bits = {}, 0, 0\n"
    "  for at = 1, #text do\n"
    "    local digit = string.find(digits, string.sub(text, at, at), 1, true)\n"
    "    if digit then\n"
    "      word, bits = (word * 64 + digit - 1) % 16384, bits + 6\n"
    "      if bits >= 8 then\n"
    "        bits = bits - 8\n"
    "        out[#out + 1] = string.char(math.floor(word / 2 ^ bits) % 256)\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "  return table.concat(out)\n"
    "end\n"
    "local function state_of(text)\n"
    "  local first = string.byte(text)\n"
    "  if first == 123 then\n"
    "    local ok, doc = pcall(cjson.decode, text)\n"
    "    return ok and type(doc) == 'table' and doc.status\n"
    "  elseif first >= 128 then\n"
    "    local ok, doc = pcall(cmsgpack.unpack, text)\n"
    "    return ok and type(doc) == 'table' and doc.status\n"
    "  elseif string.find(text, '^[%w+/=]+$') then\n"
    "    return string.match(opened(text), '%z\\1{\"status\": \"([^\"]*)\"')\n"
    "  end\n"
    "  return string.match('\\n' .. text, '\\nstatus: (%u+)\\n')\n"
    "end\n"
    "for i, key in ipairs(KEYS) do\n"
    "  local doc, keep = ARGV[2 * i], false\n"
    "  local head = redis.pcall('GETRANGE', key, '0', '63')\n"
    "  if head ~= '' and type(head) == 'string' then\n"
    "    local state = string.match(head, '^{\"status\": \"([^\"]*)\"')\n"
    "    state = state or state_of(redis.call('GET', key))\n"
    "    keep = state == 'SUCCESS' or ARGV[2 * i + 1] == '0' and\n"
    "        (state == 'FAILURE' or state == 'REVOKED')\n"
    "  end\n"
    "  if not keep then\n"
    "    if ARGV[1] == '0' then redis.call('SET', key, doc)\n"
    "    else redis.call('SETEX', key, ARGV[1], doc) end\n"
    "    redis.call('PUBLISH', key, doc)\n"
    "  end\n"
    "end\n"
    "return 1\n";

/* What opening and counting share: whether all parts are there, and making it so. */
#define CHORD_COMMON                                                                           \
    "local function expire(seconds, ...)\n"                                                    \
    "  if seconds == '0' then return end\n"                                                    \
    "  for _, key in ipairs({...}) do redis.call('EXPIRE', key, seconds) end\n"                \
    "end\n"                                                                                    \
    "local function whole(g)\n"                                                                \
    "  local size = redis.call('GET', g .. '.s')\n"                                            \
    "  if not size then return false end\n"                                                    \
    "  local total = tonumber(size) + tonumber(redis.call('GET', g .. '.t') or '0')\n"         \
    "  local count = redis.call('ZCARD', g .. '.j')\n"                                         \
    "  if count < total then return false end\n"                                               \
    "  local seen = {}\n"                                                                      \
    "  for _, member in ipairs(redis.call('ZRANGE', g .. '.j', 0, -1)) do\n"                   \
    "    local id = string.match(member, '^%[1, (\".-\"), \"%u+\", ') or\n"                    \
    "        string.match(member, '^%- 1\\n%- (.-)\\n%- %u+\\n')\n"                            \
    "    if not id and string.byte(member) == 148 then\n"                                      \
    "      local ok, part = pcall(cmsgpack.unpack, member)\n"                                  \
    "      id = ok and type(part) == 'table' and part[2]\n"                                    \
    "    end\n"                                                                                \
    "    if id and seen[id] then\n"                                                            \
    "      redis.call('ZREM', g .. '.j', member)\n"                                            \
    "      count = count - 1\n"                                                                \
    "    elseif id then seen[id] = true end\n"                                                 \
    "  end\n"                                                                                  \
    "  return count >= total\n"                                                                \
    "end\n"                                                                                    \
    "local function complete(g, gid, owner, token, now, seconds)\n"                            \
    "  redis.call('RENAME', g .. '.j', g .. '.p')\n"                                           \
    "  redis.call('DEL', g .. '.s', g .. '.t')\n"                                              \
    "  redis.call('HSET', g .. '.f', 's', 'c', 'o', owner, 'k', token, 't', now)\n"            \
    "  redis.call('ZADD', '" CEL_REDIS_CHORDS "', now, gid)\n"                                 \
    "  expire(seconds, g .. '.f', g .. '.p', '" CEL_REDIS_CHORDS "')\n"                        \
    "end\n"

/* Arguments: group id, size, now, expiry. */
static const char open_script[] =
    CHORD_COMMON "local g = KEYS[1]\n"
                 "if redis.call('HEXISTS', g .. '.f', 's') == 1 then return 0 end\n"
                 "redis.call('SETNX', g .. '.s', ARGV[2])\n"
                 "expire(ARGV[4], g .. '.s', g .. '.t', g .. '.j', g .. '.f')\n"
                 "if redis.call('HEXISTS', g .. '.f', 'b') == 1 and whole(g) then\n"
                 "  complete(g, ARGV[1], '', '', ARGV[3], ARGV[4])\n"
                 "end\n"
                 "return 1\n";

/* Arguments: how many parts more, expiry. */
static const char grow_script[] =
    CHORD_COMMON "local g = KEYS[1]\n"
                 "if redis.call('HEXISTS', g .. '.f', 's') == 1 or\n"
                 "    redis.call('EXISTS', g .. '.s') == 0 then return 0 end\n"
                 "redis.call('INCRBY', g .. '.t', ARGV[1])\n"
                 "expire(ARGV[2], g .. '.t')\n"
                 "return 1\n";

/* Arguments: group id, task id, place, member, how the member begins, whether the body is
 * given, the body, its root, owner, token, now, expiry, the lease's seconds. Returns 0, or 2 if
 * the body is wanted, or body and root of the chord that is complete now. */
static const char part_script[] = CHORD_COMMON
    "local g, f = KEYS[1], KEYS[1] .. '.f'\n"
    "local state = redis.call('HMGET', f, 's', 'k', 'b', 'r')\n"
    "if state[1] then\n"
    "  if state[1] == 'c' and state[2] == ARGV[10] then\n"
    "    return {state[3] or '', state[4] or ''}\n"
    "  end\n"
    "  return 0\n"
    "end\n"
    "if not state[3] and ARGV[6] == '0' then return 2 end\n"
    "local there = redis.call('ZRANGEBYSCORE', g .. '.j', ARGV[3], ARGV[3], 'LIMIT', 0, 100)\n"
    "if redis.call('HSETNX', f, 'i' .. ARGV[2], 1) == 0 then return 0 end\n"
    "for _, member in ipairs(there) do\n"
    "  if string.sub(member, 1, #ARGV[5]) == ARGV[5] then return 0 end\n"
    "end\n"
    "redis.call('ZADD', g .. '.j', ARGV[3], ARGV[4])\n"
    "redis.call('HSET', f, 'p', ARGV[2])\n"
    "if not state[3] then redis.call('HSET', f, 'b', ARGV[7], 'r', ARGV[8]) end\n"
    "expire(ARGV[12], g .. '.j', g .. '.s', g .. '.t', f)\n"
    "if not whole(g) then return 0 end\n"
    "redis.call('HSET', f, 'r', ARGV[8])\n"
    "complete(g, ARGV[1], ARGV[9], ARGV[10], ARGV[11], ARGV[12])\n"
    "redis.call('SETEX', '" CEL_REDIS_OWNER_KEY "' .. ARGV[9], ARGV[13], '1')\n"
    "return {redis.call('HGET', f, 'b'), ARGV[8]}\n";

/* Arguments: group id, expiry of the memory that it is done. */
static const char done_script[] = "local f = KEYS[1] .. '.f'\n"
                                  "if redis.call('HGET', f, 's') ~= 'c' then return 0 end\n"
                                  "redis.call('UNLINK', f, KEYS[1] .. '.p')\n"
                                  "redis.call('HSET', f, 's', 'd')\n"
                                  "redis.call('EXPIRE', f, ARGV[2])\n"
                                  "redis.call('ZREM', '" CEL_REDIS_CHORDS "', ARGV[1])\n"
                                  "return 1\n";

/* Arguments: owner, now, what is too old, the lease's seconds, how many. Returns id, body,
 * root and last part of each chord claimed. */
static const char claim_script[] =
    "local out = {}\n"
    "for _, gid in ipairs(redis.call('ZRANGE', KEYS[1], 0, 999)) do\n"
    "  local f = '" CEL_REDIS_GROUP_KEY "' .. gid .. '.f'\n"
    "  local c = redis.call('HMGET', f, 's', 'o', 't', 'b', 'r', 'p')\n"
    "  if c[1] ~= 'c' then redis.call('ZREM', KEYS[1], gid)\n"
    "  elseif c[2] == '' or tonumber(c[3]) < tonumber(ARGV[3]) or\n"
    "      redis.call('EXISTS', '" CEL_REDIS_OWNER_KEY "' .. c[2]) == 0 then\n"
    "    redis.call('HSET', f, 'o', ARGV[1], 't', ARGV[2], 'k', '')\n"
    "    redis.call('ZADD', KEYS[1], ARGV[2], gid)\n"
    "    redis.call('SETEX', '" CEL_REDIS_OWNER_KEY "' .. ARGV[1], ARGV[4], '1')\n"
    "    out[#out + 1] = {gid, c[4] or '', c[5] or '', c[6] or ''}\n"
    "    if #out >= tonumber(ARGV[5]) then break end\n"
    "  end\n"
    "end\n"
    "return out\n";

static const char *const texts[CEL_REDIS_SCRIPTS] = {
    [CEL_REDIS_STORE] = store_script, [CEL_REDIS_OPEN] = open_script,
    [CEL_REDIS_GROW] = grow_script,   [CEL_REDIS_PART] = part_script,
    [CEL_REDIS_DONE] = done_script,   [CEL_REDIS_CLAIM] = claim_script,
};

size_t cel__redis_load_scripts(cel__buf *commands)
{
    for (size_t i = 0; i < CEL_REDIS_SCRIPTS; i++) {
        cel__redis_begin(commands, 3);
        cel__redis_word(commands, CEL_VIEW("SCRIPT"));
        cel__redis_word(commands, CEL_VIEW("LOAD"));
        cel__redis_word(commands, cel__view(texts[i]));
    }
    return CEL_REDIS_SCRIPTS;
}

/* A script's name is the SHA-1 of its text; computed once per thread. */
static const char *name_of(cel__redis_script script)
{
    static _Thread_local char names[CEL_REDIS_SCRIPTS][41];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (names[script][0])
        return names[script];
    if (!EVP_Digest(texts[script], strlen(texts[script]), digest, &len, EVP_sha1(), NULL) ||
        len != 20)
        return NULL;
    for (unsigned i = 0; i < len; i++)
        snprintf(names[script] + 2 * i, 3, "%02x", digest[i]);
    return names[script];
}

/* Without SHA-1 (a FIPS build of the library) the text itself is sent. */
void cel__redis_call_many(cel__buf *command, cel__redis_script script, size_t keys, size_t argc)
{
    const char *name = name_of(script);

    cel__redis_begin(command, 3 + keys + argc);
    cel__redis_word(command, name ? CEL_VIEW("EVALSHA") : CEL_VIEW("EVAL"));
    cel__redis_word(command, cel__view(name ? name : texts[script]));
    cel__redis_int(command, (int64_t)keys);
}

void cel__redis_call(
    cel__buf *command, cel__redis_script script, const char *head, cel_view tail, size_t argc)
{
    cel__redis_call_many(command, script, 1, argc);
    cel__redis_word2(command, cel__view(head), tail);
}
