-- create_fleet_locations.lua: adds locations to a fleet, all of them or none. One that it has already is left as it is.
--
-- KEYS[1] fleet          hash
-- KEYS[2] its locations  sorted set: location name -> creation in ms
-- KEYS[3] locations      sorted set: location name -> creation in ms
-- KEYS[4..] the fleets of each location  set: fleet id
-- ARGV[1] fleet id
-- ARGV[2] how many locations a fleet may have
-- ARGV[3..] the locations, in the order of KEYS
--
-- RETURNS OK
-- RETURNS FLEET_NOT_FOUND
-- RETURNS NOT_ACTIVE fleet_status
-- RETURNS LOCATION_NOT_FOUND location
-- RETURNS LIMIT
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return {'FLEET_NOT_FOUND'}
end
if status ~= 'ACTIVE' then
  return {'NOT_ACTIVE', status}
end
local count = redis.call('ZCARD', KEYS[2])
for i = 3, #ARGV do
  if not redis.call('ZSCORE', KEYS[3], ARGV[i]) then
    return {'LOCATION_NOT_FOUND', ARGV[i]}
  end
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    count = count + 1
  end
end
if count > tonumber(ARGV[2]) then
  return {'LIMIT'}
end

for i = 3, #ARGV do
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[i])
  redis.call('SADD', KEYS[i + 1], ARGV[1])
end
return {'OK'}
