-- delete_fleet_locations.lua: takes locations from a fleet, all of them or none. They must have no computes.
--
-- KEYS[1] fleet          hash
-- KEYS[2] its locations  sorted set: location name -> creation in ms
-- KEYS[3..] two of each location, in this order:
--   its fleets                         set: fleet id
--   computes of the fleet at location  sorted set: compute name -> registration in ms
-- ARGV[1] fleet id
-- ARGV[2..] the locations, in the order of KEYS
--
-- RETURNS OK
-- RETURNS FLEET_NOT_FOUND
-- RETURNS NOT_ACTIVE fleet_status
-- RETURNS LOCATION_NOT_FOUND location
-- RETURNS IN_USE location compute_count
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return {'FLEET_NOT_FOUND'}
end
if status ~= 'ACTIVE' then
  return {'NOT_ACTIVE', status}
end
for i = 2, #ARGV do
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    return {'LOCATION_NOT_FOUND', ARGV[i]}
  end
  local computes = redis.call('ZCARD', KEYS[2 * i])
  if computes > 0 then
    return {'IN_USE', ARGV[i], computes}
  end
end

for i = 2, #ARGV do
  redis.call('ZREM', KEYS[2], ARGV[i])
  redis.call('SREM', KEYS[2 * i - 1], ARGV[1])
end
return {'OK'}
