-- update_game_session.lua: changes settings of a game session that has not ended, and adds or changes game properties.
--
-- A change that its server process is to be told of makes a new revision.
--
-- When the maximum is lowered, the highest that it ever was is kept as `peak`: so many may hold slots, and never more.
--
-- KEYS[1] game session         hash
-- KEYS[2] its player sessions  sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- ARGV[1] how many game properties a game session may have
-- ARGV[2..] fields of the record and their values, one after the other; game properties are the fields "property:<key>"
--
-- RETURNS OK now_ms player_session_count {record}
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS ENDED game_session_status
-- RETURNS TOO_MANY_PROPERTIES count
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', KEYS[1], 'status', 'max', 'peak')
local status, peak = known[1], nil
if not status then
  return {'GAME_SESSION_NOT_FOUND'}
end
if status ~= 'ACTIVE' and status ~= 'ACTIVATING' then
  return {'ENDED', status}
end
local properties, added, revised = 0, 0, false
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 9) == 'property:' then
    properties = properties + 1
  end
end
for i = 2, #ARGV, 2 do
  if ARGV[i] == 'max' and tonumber(ARGV[i + 1]) < tonumber(known[2]) then
    peak = math.max(tonumber(known[2]), tonumber(known[3] or 0))
  end
  revised = revised or ARGV[i] ~= 'policy' and ARGV[i] ~= 'protection' and redis.call('HGET', KEYS[1], ARGV[i]) ~= ARGV[i + 1]
  if string.sub(ARGV[i], 1, 9) == 'property:' and redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then
    added = added + 1
  end
end
if added > 0 and properties + added > tonumber(ARGV[1]) then
  return {'TOO_MANY_PROPERTIES', properties + added}
end
local count = redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now), '+inf')

if #ARGV > 1 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
end
if peak then
  redis.call('HSET', KEYS[1], 'peak', peak)
end
if revised then
  redis.call('HINCRBY', KEYS[1], 'revision', 1)
end
return {'OK', now, count, redis.call('HGETALL', KEYS[1])}
