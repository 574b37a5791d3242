"""What a server of the Redis protocol does in one step: Lua, by the server's own clock, so that all machines agree.

The arithmetic is that of `arithmetic.py`; numbers travel with all their digits. A script touches the one key it is
given, so that it runs on a cluster, too. Text alone: must never be put together from what a client says.
"""

_NOW = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local function written(number) return string.format('%.17g', number) end
local function lives(seconds) return math.min(math.ceil(seconds * 1000) + 1, 100000000000) end
"""

TAKE = f"""{_NOW}
local interval, full, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, mode = tonumber(ARGV[4]), ARGV[5]
local empty = tonumber(string.match(redis.call('GET', KEYS[1]) or '0', '^%S+'))
local level = math.min(math.max(empty - now, 0), full)
local after = level + cost * interval
if mode == 'note' then after = math.min(after, full) end
if mode ~= 'look' and after <= full + slack and after > 0 then
  redis.call('SET', KEYS[1], written(now + after) .. ' ' .. written(interval), 'PX', lives(after))
end
return {{written(level)}}
"""
"""Arguments: interval, seconds of a full bucket, slack, cost, take | look | note; returns the seconds in it before."""

COUNT = f"""{_NOW}
local amount, half, nothing, mode = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local worth = 0
local kept = redis.call('GET', KEYS[1])
if kept then
  local value, at, before = string.match(kept, '^(%S+) (%S+) (%S+)$')
  worth = tonumber(value) * 0.5 ^ (math.max(now - tonumber(at), 0) / tonumber(before))
  if worth <= nothing then worth = 0 end
end
if mode == 'add' then
  worth = math.max(worth + amount, 0)
  if worth > nothing then
    local life = half * math.log(worth / nothing) / math.log(2)
    redis.call('SET', KEYS[1], written(worth) .. ' ' .. written(now) .. ' ' .. written(half), 'PX', lives(life))
  elseif kept then
    redis.call('DEL', KEYS[1])
  end
end
return {{written(worth)}}
"""
"""Arguments: amount, half-life, what is nothing, add | look; returns what it has come to."""

PUT = f"""{_NOW}
local text, ttl, pinned, since = ARGV[1], tonumber(ARGV[2]), ARGV[3], written(now)
local kept = redis.call('GET', KEYS[1])
if kept then
  local before, was, old = string.match(kept, '^(%S+) (%S+) (.*)$')
  if was == '1' and pinned ~= '1' then return {{""}} end
  if old == text and was == pinned then since = before end
end
redis.call('SET', KEYS[1], since .. ' ' .. pinned .. ' ' .. text, 'PX', lives(ttl))
return {{since}}
"""
"""Arguments: text, seconds, 1 if a person wants it or else 0; returns since when it has been there, or nothing:
it was not kept."""

READ = f"""{_NOW}
return {{written(now), redis.call('GET', KEYS[1]) or '', tostring(redis.call('PTTL', KEYS[1]))}}
"""
"""Returns the time, what is there, and milliseconds until it ends; below 0: there is nothing."""
