-- delete_location.lua: deletes a custom location that no fleet has.
--
-- KEYS[1] location    hash
-- KEYS[2] locations   sorted set: location name -> creation in ms
-- KEYS[3] its tags    hash
-- KEYS[4] its fleets  set: fleet id
-- ARGV[1] location name
--
-- RETURNS OK
-- RETURNS LOCATION_NOT_FOUND
-- RETURNS IN_USE fleet_count
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'LOCATION_NOT_FOUND'}
end
local fleets = redis.call('SCARD', KEYS[4])
if fleets > 0 then
  return {'IN_USE', fleets}
end

redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return {'OK'}
