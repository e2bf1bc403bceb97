-- delete_fleet.lua: deletes a fleet that this attempt has closed, with its locations and computes.
--
-- KEYS[1] fleet          hash
-- KEYS[2] its locations  sorted set: location name -> creation in ms
-- KEYS[3] its computes   sorted set: compute name -> registration in ms
-- KEYS[4] its tags       hash
-- KEYS[5] its creators   sorted set: creator id -> last game session in ms
-- KEYS[6] fleets         sorted set: fleet id -> creation in ms
-- KEYS[7..] what else is the fleet's alone, of any type, then the fleets of each location  set: fleet id
-- ARGV[1] fleet id
-- ARGV[2] how many KEYS are the fleets of a location
-- ARGV[3] how many locations and computes the fleet is thought to have
-- ARGV[4] closing: names the attempt to delete the fleet
--
-- RETURNS OK
-- RETURNS FLEET_NOT_FOUND
-- RETURNS NOT_CLOSED
-- RETURNS CHANGED
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'FLEET_NOT_FOUND'}
end
if redis.call('HGET', KEYS[1], 'closing') ~= ARGV[4] then
  return {'NOT_CLOSED'} -- by this attempt: another has taken over
end
if redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) ~= tonumber(ARGV[3]) then
  return {'CHANGED'}
end

local last_own = #KEYS - tonumber(ARGV[2])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
for i = 7, last_own do
  redis.call('DEL', KEYS[i])
end
for i = last_own + 1, #KEYS do
  redis.call('SREM', KEYS[i], ARGV[1])
end
redis.call('ZREM', KEYS[6], ARGV[1])
return {'OK'}
