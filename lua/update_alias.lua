-- update_alias.lua: changes an alias.
--
-- KEYS[1] alias  hash
-- KEYS[2] fleet to which it is to route, or the alias again when that does not change or it routes nowhere  hash
-- ARGV[1..] fields of the record and their values, one after the other
--
-- RETURNS OK {record}
-- RETURNS ALIAS_NOT_FOUND
-- RETURNS FLEET_NOT_FOUND
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'ALIAS_NOT_FOUND'}
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {'FLEET_NOT_FOUND'}
end

redis.call('HSET', KEYS[1], 'updated', now, unpack(ARGV))
return {'OK', redis.call('HGETALL', KEYS[1])}
