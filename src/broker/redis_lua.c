/* redis_lua.c - what must happen in Redis at once. The keys are described in redis_impl.h.
 *
 * All scripts compute names of keys, so this needs one server, not a cluster; neither does
 * kombu's layout work there. They are replicated by effect. What they write has one order: the
 * message is where it shall be before it leaves where it was, so that an error in between
 * doubles it and does not lose it.
 *
 * Under `maxmemory` a script may not begin with a command that takes memory. Those that only move
 * what is there begin with a DEL of nothing: so a full server can be worked off. Publishing
 * does not, and is refused then.
 *
 * A message is text to them: what cjson would write is not what it has read ([] becomes {}). A
 * quote within a JSON string has a backslash before it, so a key can be looked for with its
 * quotes. The properties are last, as Python writes them, so the last `delivery_tag` and
 * `priority` are theirs. */
#include "broker/redis_impl.h"
#include "core/mem.h"

static const char now[] =
    "local time = redis.call('TIME')\n"
    "local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)\n"
    "local score = string.format('%d.%06d', tonumber(time[1]), tonumber(time[2]))\n";

/* For a full server, see above. P is the prefix of all keys. */
#define ROOM "redis.call('DEL', P .. 'celeriac.none')\n"

/* What was registered as [message, exchange, routing key]; ours has the exchange "" and the
 * queue. */
static const char text_of[] =
    "local function split(value)\n"
    "  return string.match(value, '^%[(.*), ?(\"[^\"]*\"), ?(\"[^\"]*\")%]$')\n"
    "end\n"
    "local function quarantine(text)\n"
    "  redis.call('LPUSH', P .. 'celeriac.quarantine', text)\n"
    "  redis.call('LTRIM', P .. 'celeriac.quarantine', 0, 9999)\n"
    "end\n";

/* Marks a message as delivered before, as kombu does, and counts. */
static const char mark[] =
    "local function insert(text, name, word)\n"
    "  local _, at = string.find(text, '\"' .. name .. '\"%s*:%s*{')\n"
    "  if not at or string.sub(text, at + 1, at + #word) == word then return text end\n"
    "  local comma = string.find(text, '^%s*}', at + 1) and '' or ', '\n"
    "  return string.sub(text, 1, at) .. word .. comma .. string.sub(text, at + 1)\n"
    "end\n"
    "local function mark(text)\n"
    "  local a, n, b = string.match(text, '()\"x%-delivery%-count\": (%d+)()')\n"
    "  if a then\n"
    "    text = string.sub(text, 1, a - 1) .. '\"x-delivery-count\": ' .. (n + 1) ..\n"
    "           string.sub(text, b)\n"
    "  else text = insert(text, 'headers', '\"x-delivery-count\": 1') end\n"
    "  text = insert(text, 'headers', '\"redelivered\": true')\n"
    "  return insert(text, 'delivery_info', '\"redelivered\": true')\n"
    "end\n";

/* The lists of a queue: SEP and STEPS are "\x06\x16" and "0,3,6,9". */
static const char lists[] =
    "local function list(queue, step)\n"
    "  return P .. queue .. (tonumber(step) == 0 and '' or SEP .. step)\n"
    "end\n"
    "local function lists(queue)\n"
    "  local out = {}\n"
    "  for step in string.gmatch(STEPS, '%d+') do out[#out + 1] = list(queue, step) end\n"
    "  return out\n"
    "end\n"
    "local function list_for(queue, text)\n"
    "  local n = tonumber(string.match(text, '.*\"priority\"%s*:%s*(%d+)') or 0)\n"
    "  local best\n"
    "  for step in string.gmatch(STEPS, '%d+') do\n"
    "    if not best or tonumber(step) <= n then best = step end\n"
    "  end\n"
    "  return list(queue, best)\n"
    "end\n";

/* The queues that are bound. The pattern of a topic is a regular expression of Python's, of
 * the few forms that kombu makes. */
static const char lookup[] =
    "local function fields(member)\n"
    "  local a = string.find(member, SEP, 1, true)\n"
    "  local b = a and string.find(member, SEP, a + #SEP, true)\n"
    "  if not b then return nil, nil, nil end\n"
    "  return string.sub(member, 1, a - 1), string.sub(member, a + #SEP, b - 1),\n"
    "         string.sub(member, b + #SEP)\n"
    "end\n"
    "local function matches(pattern, key)\n"
    "  local lua = string.gsub(pattern, '%%', '%%%%')\n"
    "  lua = string.gsub(lua, '%[%^\\\\%.%]', '[^%%.]')\n"
    "  lua = string.gsub(lua, '%.%*%?', '.-')\n"
    "  lua = string.gsub(lua, '\\\\(.)', '%%%1')\n"
    "  local ok, found = pcall(string.find, key, lua)\n"
    "  return ok and found\n"
    "end\n"
    "local function lookup(exchange, key)\n"
    "  if exchange == '' then return {key} end\n"
    "  local out = {}\n"
    "  local name = P .. '_kombu.binding.' .. exchange\n"
    "  for _, member in ipairs(redis.call('SMEMBERS', name)) do\n"
    "    local bound, pattern, queue = fields(member)\n"
    "    if queue and (pattern == '' and bound == key or\n"
    "                  pattern ~= '' and matches(pattern, key)) then\n"
    "      out[#out + 1] = queue\n"
    "    end\n"
    "  end\n"
    "  return out\n"
    "end\n";

/* Keeps a message until it is due: registered as unacked with a score that lets kombu, too,
 * put it back when it is due; and found by queue in the set of what waits. */
static const char park[] =
    "local function park(queue, json, place, due, tag, text)\n"
    "  local at = string.format('%.3f', due / 1000 - VISIBILITY)\n"
    "  redis.call('HSET', U, tag, '[' .. text .. ', \"\", ' .. json .. ']')\n"
    "  redis.call('ZADD', I, at, tag)\n"
    "  redis.call('ZADD', P .. 'celeriac.eta.' .. queue, due, place .. at .. ' ' .. tag)\n"
    "end\n";

/* P, U, I, SEP, publisher, number, VISIBILITY; then groups: kind, a, b, c, d, how many, texts.
 *   q  the list a of a queue                  x  exchange a, key b; c is the step
 *   f  publish to the channel a               r  the reply queue a, of the list b; c is a name
 *   e  queue a, its list b, due c, d is its name in JSON with its step's letter before
 * Returns 1, 0 if that number was published before, or what was not found. */
static const char publish_head[] =
    "local P, U, I, SEP, VISIBILITY = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[7])\n";
static const char publish_body[] =
    "local sent = P .. 'celeriac.sent.' .. ARGV[5]\n"
    "local last = redis.call('GET', sent)\n"
    "if last and tonumber(last) >= tonumber(ARGV[6]) then return 0 end\n"
    "local groups, i = {}, 8\n"
    "while i <= #ARGV do\n"
    "  local kind, a, b, c, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 5]\n"
    "  local g = {kind = kind, a = a, c = c, d = ARGV[i + 4], from = i + 6, to = i + 5 + n}\n"
    "  if kind == 'q' then g.lists = {a}\n"
    "  elseif kind == 'e' then\n"
    "    g.lists = {b}\n"
    "    if redis.call('ZCOUNT', P .. 'celeriac.consumers.' .. a, now, '+inf') == 0 then\n"
    "      g.kind = 'q'\n"
    "    end\n"
    "  elseif kind == 'x' then\n"
    "    g.lists = lookup(a, b)\n"
    "    if #g.lists == 0 then return {'route', a, b} end\n"
    "    for j, queue in ipairs(g.lists) do g.lists[j] = P .. queue .. c end\n"
    "  elseif kind == 'r' then\n"
    "    g.lists = {b}\n"
    "    g.mine = redis.call('EXISTS', P .. 'celeriac.reply.' .. a) == 1\n"
    "    if not g.mine and not string.match(a, '^%x+%-%x+%-%x+%-%x+%-%x+$') and\n"
    "        redis.call('EXISTS', b, P .. a, P .. '_kombu.binding.' .. a) == 0 then\n"
    "      return {'gone', a, ''}\n"
    "    end\n"
    "  end\n"
    "  groups[#groups + 1] = g\n"
    "  i = g.to + 1\n"
    "end\n"
    "for _, g in ipairs(groups) do\n"
    "  if g.kind == 'f' then\n"
    "    for j = g.from, g.to do redis.call('PUBLISH', g.a, ARGV[j]) end\n"
    "  elseif g.kind == 'e' then\n"
    "    for j = g.from, g.to do\n"
    "      local tag = string.match(ARGV[j], '.*\"delivery_tag\": \"([^\"]+)\"')\n"
    "      park(g.a, string.sub(g.d, 2), string.sub(g.d, 1, 1), tonumber(g.c), tag, ARGV[j])\n"
    "    end\n"
    "  else\n"
    "    for _, name in ipairs(g.lists) do\n"
    "      for j = g.from, g.to, 1000 do\n"
    "        redis.call('LPUSH', name, unpack(ARGV, j, math.min(j + 999, g.to)))\n"
    "      end\n"
    "      if g.kind == 'r' then redis.call('EXPIRE', name, 3600) end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "redis.call('SET', sent, ARGV[6], 'EX', '600')\n"
    "return 1\n";

/* KEYS: the lists, for each step those of all queues; then what waits of each queue. ARGV: P, U, I,
 * owner, the lease in ms, the claim's number, how many, queues, steps, the queue to begin with,
 * whether it is registered, and the queues' names in JSON. Returns the time, when the next is
 * due, how many were put aside; then runs: which list, how many, messages. */
static const char claim_head[] =
    "local P, U, I, seq = ARGV[1], ARGV[2], ARGV[3], ARGV[6]\n"
    "local want, nq, ns, first = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]),\n"
    "    tonumber(ARGV[10])\n"
    "local keep = ARGV[11] == '1'\n"
    "local TAG = '.*\"delivery_tag\"%s*:%s*\"([^\"\\\\]+)\"'\n"
    "local lease = P .. 'celeriac.lease.' .. ARGV[4]\n";
static const char claim_body[] =
    "local out, run, at = {now, 0, 0}, nil, nil\n"
    "local function give(k, text)\n"
    "  if k ~= run then\n"
    "    run, at = k, #out + 2\n"
    "    out[at - 1], out[at] = k, 0\n"
    "  end\n"
    "  out[#out + 1] = text\n"
    "  out[at] = out[at] + 1\n"
    "end\n"
    "if keep then\n"
    "  local old = redis.call('HMGET', lease, seq, seq .. 't', 'n')\n"
    "  if old[1] then\n" /* the answer was lost: the same again */
    "    local record = cmsgpack.unpack(old[2])\n"
    "    for i = 1, #record, 2 do\n"
    "      local text = split(redis.call('HGET', U, record[i + 1]) or '')\n"
    "      if text then give(record[i], text) end\n"
    "    end\n"
    "    return out\n"
    "  end\n"
    "  if old[3] and tonumber(old[3]) >= tonumber(seq) then return out end\n"
    "end\n"
    "for q = 1, nq do\n"
    "  local eta = KEYS[nq * ns + q]\n"
    "  local next = redis.call('ZRANGE', eta, 0, 0, 'WITHSCORES')\n"
    "  if next[1] and tonumber(next[2]) <= now then\n" ROOM
    "    local due = redis.call('ZRANGEBYSCORE', eta, '-inf', now, 'LIMIT', 0, want)\n"
    "    for i = #due, 1, -1 do\n"
    "      local place, parked, tag = string.match(due[i], '^(.)(%S+) (.*)$')\n"
    "      local there = tag and redis.call('ZSCORE', I, tag)\n"
    "      if there and tonumber(there) == tonumber(parked) then\n"
    "        local k = (string.byte(place) - 97) * nq + q\n"
    "        local text = split(redis.call('HGET', U, tag) or '')\n"
    "        if text then redis.call('RPUSH', KEYS[k <= nq * ns and k or q], text) end\n"
    "        redis.call('HDEL', U, tag)\n"
    "        redis.call('ZREM', I, tag)\n"
    "      end\n"
    "      redis.call('ZREM', eta, due[i])\n"
    "    end\n"
    "    next = redis.call('ZRANGE', eta, 0, 0, 'WITHSCORES')\n"
    "  end\n"
    "  local due = tonumber(next[2] or 0)\n"
    "  if due > 0 and (out[2] == 0 or due < out[2]) then out[2] = due end\n"
    "end\n";
static const char claim_rest[] =
    /* Few at first: they may be large, and so many bytes are enough. */
    "local texts, from, taken, left, bytes, step = {}, {}, {}, want, 0, 8\n"
    "for s = 0, ns - 1 do\n"
    "  local more, empty = true, {}\n"
    "  while left > 0 and more do\n"
    "    local share = math.max(1, math.floor(left / nq))\n"
    "    more = false\n"
    "    for j = 0, nq - 1 do\n"
    "      local q = (j + first) % nq + 1\n"
    "      local k = s * nq + q\n"
    "      if left > 0 and not empty[q] then\n"
    "        local n, off = math.min(share, left, step), taken[k] or 0\n"
    "        local got = redis.call('LRANGE', KEYS[k], -off - n, -off - 1)\n"
    "        for i = #got, 1, -1 do\n"
    "          texts[#texts + 1] = got[i]\n"
    "          from[#from + 1] = k\n"
    "          bytes = bytes + #got[i]\n"
    "        end\n"
    "        if #got > 0 then taken[k] = off + #got end\n"
    "        left = left - #got\n"
    "        if #got < n then empty[q] = true else more = true end\n"
    "        if bytes > 4194304 then left = 0 end\n"
    "      end\n"
    "    end\n"
    "    step = step * 2\n"
    "  end\n"
    "end\n"
    "if #texts == 0 then return out end\n" ROOM "if keep then\n"
    "  local tags, zadd, hset, record = {}, {}, {}, {}\n"
    "  for i, text in ipairs(texts) do\n"
    "    local tag = string.match(string.sub(text, -100), TAG) or string.match(text, TAG)\n"
    "    tags[i] = tag or false\n"
    "    if tag then\n"
    "      zadd[#zadd + 1] = score\n"
    "      zadd[#zadd + 1] = tag\n"
    "    end\n"
    "  end\n"
    "  local added = #zadd > 0 and redis.call('ZADD', I, 'NX', unpack(zadd)) or 0\n"
    "  if added < #texts then\n" /* some have no tag of their own */
    "    local seen = {}\n"
    "    for i, text in ipairs(texts) do\n"
    "      local tag = tags[i]\n"
    "      if not tag then\n"
    "        quarantine(text)\n"
    "        out[3] = out[3] + 1\n"
    "      elseif seen[tag] or tonumber(redis.call('ZSCORE', I, tag)) ~= tonumber(score) then\n"
    "        local a, b = string.match(text, '.*\"delivery_tag\"%s*:%s*\"()[^\"\\\\]+()\"')\n"
    "        tag = tag .. '.' .. ARGV[4] .. '.' .. seq .. '.' .. i\n"
    "        texts[i] = string.sub(text, 1, a - 1) .. tag .. string.sub(text, b)\n"
    "        tags[i] = tag\n"
    "        redis.call('ZADD', I, score, tag)\n"
    "      end\n"
    "      if tag then seen[tag] = true end\n"
    "    end\n"
    "  end\n"
    "  for i, tag in ipairs(tags) do\n"
    "    if tag then\n"
    "      hset[#hset + 1] = tag\n"
    "      hset[#hset + 1] = '[' .. texts[i] .. ', \"\", ' ..\n"
    "          ARGV[12 + (from[i] - 1) % nq] .. ']'\n"
    "      record[#record + 1] = from[i]\n"
    "      record[#record + 1] = tag\n"
    "      give(from[i], texts[i])\n"
    "    end\n"
    "  end\n"
    "  redis.call('HSET', lease, 'n', seq, seq, score, seq .. 't', cmsgpack.pack(record))\n"
    "  redis.call('ZADD', P .. 'celeriac.owners', 'NX', now + ARGV[5], ARGV[4])\n"
    "  if #hset > 0 then redis.call('HSET', U, unpack(hset)) end\n"
    "else\n"
    "  for i, text in ipairs(texts) do give(from[i], text) end\n"
    "end\n"
    "for k, n in pairs(taken) do redis.call('LTRIM', KEYS[k], 0, -n - 1) end\n"
    "return out\n";

/* P, U, I, owner, VISIBILITY; then groups: verb, the claim's number, whether these are the last of
 * that claim, how many of it are out, how many follow; then of an "a" tags, of others tag, name,
 * extra:
 *   a  done                              r  back to the head of the list, as it was
 *   q  to the tail of the list, marked   b  back to the head, marked
 *   x  put aside                         p  parked: name is the queue, extra its step's letter,
 *                                           when it is due, a space, the queue in JSON
 * Returns the places of those that were not the owner's any more. */
static const char settle_head[] =
    "local P, U, I, VISIBILITY = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])\n"
    "local lease = P .. 'celeriac.lease.' .. ARGV[4]\n";
static const char settle_body[] =
    "local function put(verb, tag, name, extra)\n"
    "  local value = redis.call('HGET', U, tag)\n"
    "  local text = value and split(value)\n" ROOM
    "  if verb == 'x' or not text then quarantine(text or value or tag)\n"
    "  elseif verb == 'r' then redis.call('RPUSH', name, text)\n"
    "  elseif verb == 'b' then redis.call('RPUSH', name, mark(text))\n"
    "  elseif verb == 'q' then redis.call('LPUSH', name, mark(text))\n"
    "  elseif verb == 'p' then\n"
    "    local place, due, json = string.match(extra, '^(.)(%d+) (.*)$')\n"
    "    park(name, json, place, tonumber(due), tag, text)\n"
    "  end\n"
    "end\n"
    "local out, i, place = {}, 6, 0\n"
    "while i <= #ARGV do\n"
    "  local verb, seq, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 4])\n"
    "  local words, mine, first = verb == 'a' and 1 or 3, {}, i + 5\n"
    "  local score = n > 0 and redis.call('HGET', lease, seq)\n"
    /* Only the claim's tags have its score: if none of them is missing, none need be looked at. */
    "  if score and verb == 'a' and\n"
    "      redis.call('ZCOUNT', I, score, score) == tonumber(ARGV[i + 3]) then\n"
    "    redis.call('ZREM', I, unpack(ARGV, first, first + n - 1))\n"
    "    redis.call('HDEL', U, unpack(ARGV, first, first + n - 1))\n"
    "  elseif n > 0 then\n"
    "    local tags = {}\n"
    "    for j = 1, n do tags[j] = ARGV[first + (j - 1) * words] end\n"
    "    local there = redis.call('ZMSCORE', I, unpack(tags))\n"
    "    score = score and tonumber(score)\n"
    "    for j, tag in ipairs(tags) do\n"
    "      if score and there[j] and tonumber(there[j]) == score then\n"
    "        if verb ~= 'a' then\n"
    "          local at = first + (j - 1) * 3\n"
    "          put(verb, tag, ARGV[at + 1], ARGV[at + 2])\n"
    "        end\n"
    "        if verb ~= 'p' then mine[#mine + 1] = tag end\n"
    "      else out[#out + 1] = place + j end\n"
    "    end\n"
    "  end\n"
    "  if #mine > 0 then\n"
    "    redis.call('ZREM', I, unpack(mine))\n"
    "    redis.call('HDEL', U, unpack(mine))\n"
    "  end\n"
    "  if ARGV[i + 2] == '1' then redis.call('HDEL', lease, seq, seq .. 't') end\n"
    "  place = place + n\n"
    "  i = first + n * words\n"
    "end\n"
    "return out\n";

/* P, I, owner, the lease in ms, whether scores are renewed, the expiry of the lease's key; then
 * kind and name: "c" of a queue consumed, "m" of a reply queue, whose lists follow until an
 * empty one. */
static const char pulse_head[] =
    "local P, I, owner, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])\n"
    "local lease = P .. 'celeriac.lease.' .. owner\n";
static const char pulse_body[] =
    ROOM "redis.call('ZADD', P .. 'celeriac.owners', now + lease_ms, owner)\n"
         "redis.call('EXPIRE', lease, ARGV[6])\n"
         "for i = 7, #ARGV, 2 do\n"
         "  if ARGV[i] == 'c' then\n"
         "    local name = P .. 'celeriac.consumers.' .. ARGV[i + 1]\n"
         "    redis.call('ZREMRANGEBYSCORE', name, '-inf', now)\n"
         "    redis.call('ZADD', name, now + lease_ms, owner)\n"
         "    redis.call('PEXPIRE', name, lease_ms)\n"
         "  else redis.call('SET', P .. 'celeriac.reply.' .. ARGV[i + 1], owner, 'PX', "
         "lease_ms) end\n"
         "end\n"
         "if ARGV[5] == '0' then return 0 end\n"
         "local all, claims = redis.call('HGETALL', lease), {}\n"
         "for i = 1, #all, 2 do claims[all[i]] = all[i + 1] end\n"
         "for seq, old in pairs(claims) do\n"
         "  if claims[seq .. 't'] then\n"
         "    local record, tags, renewed = cmsgpack.unpack(claims[seq .. 't']), {}, {}\n"
         "    for i = 2, #record, 2 do tags[#tags + 1] = record[i] end\n"
         "    if #tags > 0 then\n"
         "      local there = redis.call('ZMSCORE', I, unpack(tags))\n"
         "      for i, tag in ipairs(tags) do\n"
         "        if there[i] and tonumber(there[i]) == tonumber(old) then\n"
         "          renewed[#renewed + 1] = score\n"
         "          renewed[#renewed + 1] = tag\n"
         "        end\n"
         "      end\n"
         "      if #renewed > 0 then redis.call('ZADD', I, 'XX', unpack(renewed)) end\n"
         "    end\n"
         "    redis.call('HSET', lease, seq, score)\n"
         "  end\n"
         "end\n"
         "return 1\n";

/* P, U, I, SEP, STEPS, owner, VISIBILITY, the grace, the mutex's key, mode. "own": puts back what
 * the owner has out, for it ends. "sweep": what dead owners had, and what kombu's consumers
 * have had for too long. Returns how many were put back, put aside, and whether there is more. */
static const char recover_head[] =
    "local P, U, I, SEP, STEPS, me = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]\n";
static const char recover_body[] =
    "local back, aside, budget = 0, 0, 500\n"
    "local function restore(tag)\n"
    "  local value = redis.call('HGET', U, tag)\n"
    "  if value then\n"
    "    local text, exchange, key = split(value)\n"
    "    local ok, names = pcall(cjson.decode, '[' .. (exchange or '') .. ',' .. (key or '') "
    ".. ']')\n"
    "    if text and ok then\n"
    "      local queues = lookup(names[1], names[2])\n"
    "      if #queues == 0 then queues = {names[2]} end\n"
    "      text = mark(text)\n"
    "      for _, queue in ipairs(queues) do\n"
    "        if not string.find(queue, '^bcast%.') then\n"
    "          redis.call('RPUSH', list_for(queue, text), text)\n"
    "        end\n"
    "      end\n"
    "    else\n"
    "      quarantine(value)\n"
    "      aside = aside + 1\n"
    "    end\n"
    "    back = back + 1\n"
    "  end\n"
    "  redis.call('ZREM', I, tag)\n"
    "  redis.call('HDEL', U, tag)\n"
    "end\n"
    "local function restore_owner(owner)\n"
    "  local lease = P .. 'celeriac.lease.' .. owner\n"
    "  local all, claims, order = redis.call('HGETALL', lease), {}, {}\n"
    "  for i = 1, #all, 2 do\n"
    "    claims[all[i]] = all[i + 1]\n"
    "    local seq = tonumber(string.match(all[i], '^(%d+)t$'))\n"
    "    if seq then order[#order + 1] = seq end\n"
    "  end\n"
    "  table.sort(order, function(a, b) return a > b end)\n"
    "  for _, number in ipairs(order) do\n"
    "    if back >= budget then return false end\n"
    "    local seq = string.format('%d', number)\n"
    "    local record = cmsgpack.unpack(claims[seq .. 't'])\n"
    "    for i = #record, 2, -2 do\n"
    "      local there = redis.call('ZSCORE', I, record[i])\n"
    "      if there and tonumber(there) == tonumber(claims[seq]) then restore(record[i]) end\n"
    "    end\n"
    "    redis.call('HDEL', lease, seq, seq .. 't')\n"
    "  end\n"
    "  redis.call('DEL', lease)\n"
    "  redis.call('ZREM', P .. 'celeriac.owners', owner)\n"
    "  return true\n"
    "end\n" ROOM "if ARGV[10] == 'own' then\n"
    "  local whole = restore_owner(me)\n"
    "  return {back, aside, whole and 0 or 1}\n"
    "end\n"
    "local dead = redis.call('ZRANGEBYSCORE', P .. 'celeriac.owners', '-inf', now, 'LIMIT', 0, "
    "5)\n"
    "for _, owner in ipairs(dead) do\n"
    "  if owner ~= me and not restore_owner(owner) then return {back, aside, 1} end\n"
    "end\n"
    "if redis.call('EXISTS', ARGV[9]) == 1 then return {back, aside, 0} end\n"
    "local old = string.format('%.6f', (now - ARGV[8]) / 1000 - ARGV[7])\n"
    "local tags = redis.call('ZRANGEBYSCORE', I, '-inf', old, 'LIMIT', 0, budget - back)\n"
    "for i = #tags, 1, -1 do restore(tags[i]) end\n"
    "return {back, aside, #dead >= 5 and 1 or back >= budget and 1 or 0}\n";

/* P, owner, SEP, STEPS; then kind and name, as of a pulse: these are consumed no more. */
static const char forget_head[] =
    "local P, owner, SEP, STEPS = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n";
static const char forget_body[] =
    "for i = 5, #ARGV, 2 do\n"
    "  if ARGV[i] == 'c' then\n"
    "    redis.call('ZREM', P .. 'celeriac.consumers.' .. ARGV[i + 1], owner)\n"
    "  else redis.call('DEL', P .. 'celeriac.reply.' .. ARGV[i + 1], unpack(lists(ARGV[i + "
    "1]))) end\n"
    "end\n"
    "return 1\n";

/* P, U, SEP, STEPS; then names of queues. Returns of each: whether it is there, ready, delayed,
 * unsettled (-1 if that were too much to count), consumers of ours. */
static const char info_head[] = "local P, U, SEP, STEPS = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n";
static const char info_body[] =
    "local out, held = {}, nil\n"
    "if redis.call('HLEN', U) <= 20000 then\n"
    "  held = {}\n"
    "  for _, value in ipairs(redis.call('HVALS', U)) do\n"
    "    local text, exchange, key = split(value)\n"
    "    local ok, names = pcall(cjson.decode, '[' .. (exchange or '') .. ',' .. (key or '') "
    ".. ']')\n"
    "    for _, queue in ipairs(text and ok and lookup(names[1], names[2]) or {}) do\n"
    "      held[queue] = (held[queue] or 0) + 1\n"
    "    end\n"
    "  end\n"
    "end\n"
    "for i = 5, #ARGV do\n"
    "  local queue, ready = ARGV[i], 0\n"
    "  for _, name in ipairs(lists(queue)) do ready = ready + redis.call('LLEN', name) end\n"
    "  local delayed = redis.call('ZCARD', P .. 'celeriac.eta.' .. queue)\n"
    "  local consumers = redis.call('ZCOUNT', P .. 'celeriac.consumers.' .. queue, now, "
    "'+inf')\n"
    "  local there = ready + delayed + consumers > 0 or\n"
    "      redis.call('EXISTS', P .. 'celeriac.reply.' .. queue,\n"
    "                 P .. '_kombu.binding.' .. queue) > 0\n"
    "  local unsettled = held and math.max(0, (held[queue] or 0) - delayed) or -1\n"
    "  out[#out + 1] = there and 1 or 0\n"
    "  out[#out + 1] = ready\n"
    "  out[#out + 1] = delayed\n"
    "  out[#out + 1] = unsettled\n"
    "  out[#out + 1] = consumers\n"
    "end\n"
    "return out\n";

/* P, U, I, SEP, STEPS, queue. Returns how many there were. */
static const char purge_head[] =
    "local P, U, I, SEP, STEPS = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]\n";
static const char purge_body[] =
    "local count = 0\n"
    "for _, name in ipairs(lists(ARGV[6])) do\n"
    "  count = count + redis.call('LLEN', name)\n"
    "  redis.call('UNLINK', name)\n"
    "end\n"
    "local eta = P .. 'celeriac.eta.' .. ARGV[6]\n"
    "for _, member in ipairs(redis.call('ZRANGE', eta, 0, -1)) do\n"
    "  local parked, tag = string.match(member, '^.(%S+) (.*)$')\n"
    "  local there = tag and redis.call('ZSCORE', I, tag)\n"
    "  if there and tonumber(there) == tonumber(parked) then\n"
    "    redis.call('ZREM', I, tag)\n"
    "    redis.call('HDEL', U, tag)\n"
    "    count = count + 1\n"
    "  end\n"
    "end\n"
    "redis.call('UNLINK', eta)\n"
    "return count\n";

/* A script is its locals, the functions it uses, and what it does. */
static const char *const parts[RQ_SCRIPTS][8] = {
    [RQ_PUBLISH] = {publish_head, now, park, lookup, publish_body},
    [RQ_CLAIM] = {claim_head, now, text_of, claim_body, claim_rest},
    [RQ_SETTLE] = {settle_head, text_of, mark, park, settle_body},
    [RQ_PULSE] = {pulse_head, now, pulse_body},
    [RQ_RECOVER] = {recover_head, now, text_of, mark, lists, lookup, recover_body},
    [RQ_FORGET] = {forget_head, lists, forget_body},
    [RQ_INFO] = {info_head, now, text_of, lists, lookup, info_body},
    [RQ_PURGE] = {purge_head, lists, purge_body},
};

cel_code cel__rq_init_scripts(cel__lua scripts[RQ_SCRIPTS], cel__buf *greeting, cel_error *err)
{
    for (size_t i = 0; i < RQ_SCRIPTS; i++) {
        cel__buf text = {0};

        for (size_t j = 0; j < 8 && parts[i][j]; j++)
            cel__buf_add_str(&text, parts[i][j]);
        scripts[i].text = cel__buf_detach(&text, NULL);
        if (!scripts[i].text)
            return cel_error_set(err, CEL_ENOMEM, "no memory for a broker");
        cel__lua_init(scripts + i, scripts[i].text);
        cel__lua_load(greeting, scripts + i);
    }
    return cel__buf_check(greeting, err);
}

void cel__rq_free_scripts(cel__lua scripts[RQ_SCRIPTS])
{
    for (size_t i = 0; i < RQ_SCRIPTS; i++)
        cel__free((char *)scripts[i].text);
}
