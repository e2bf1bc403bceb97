-- create_alias.lua: stores a new alias, or answers with the one that is already there.
--
-- KEYS[1] alias     hash
-- KEYS[2] aliases   sorted set: alias id -> creation in ms
-- KEYS[3] its tags  hash
-- KEYS[4] fleet to which it routes, or the alias again when it routes nowhere  hash
-- ARGV[1] alias id
-- ARGV[2] how many aliases there may be
-- ARGV[3] how many tags and values follow
-- ARGV[4..] tags and their values, then fields of the record and their values
--
-- RETURNS OK {record}
-- RETURNS FLEET_NOT_FOUND
-- RETURNS LIMIT
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last_tag = 3 + tonumber(ARGV[3])

if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'OK', redis.call('HGETALL', KEYS[1])}
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
  return {'LIMIT'}
end
if KEYS[4] ~= KEYS[1] and redis.call('EXISTS', KEYS[4]) == 0 then
  return {'FLEET_NOT_FOUND'}
end

local record = {'created', string.format('%.0f', now), 'updated', string.format('%.0f', now)}
for i = last_tag + 1, #ARGV do
  record[#record + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1], unpack(record))
redis.call('ZADD', KEYS[2], now, ARGV[1])
if last_tag > 3 then
  redis.call('HSET', KEYS[3], unpack(ARGV, 4, last_tag))
end
return {'OK', record}
