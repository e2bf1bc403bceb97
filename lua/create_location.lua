-- create_location.lua: stores a new custom location.
--
-- A second call with the token that created the location is answered as the first one was.
--
-- KEYS[1] location   hash
-- KEYS[2] locations  sorted set: location name -> creation in ms
-- KEYS[3] its tags   hash
-- ARGV[1] location name
-- ARGV[2] token of this call
-- ARGV[3] how many locations there may be
-- ARGV[4..] tags and their values, one after the other
--
-- RETURNS OK
-- RETURNS EXISTS
-- RETURNS LIMIT
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local created_by = redis.call('HGET', KEYS[1], 'created_by')
if created_by == ARGV[2] then
  return {'OK'}
end
if created_by then
  return {'EXISTS'}
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
  return {'LIMIT'}
end

redis.call('HSET', KEYS[1], 'created', now, 'created_by', ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
if #ARGV > 3 then
  redis.call('HSET', KEYS[3], unpack(ARGV, 4))
end
return {'OK'}
