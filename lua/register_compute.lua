-- register_compute.lua: adds a compute to a fleet at one of the fleet's locations.
--
-- A compute that is already there with the same address, location and certificate is answered as it stands.
--
-- KEYS[1] fleet                               hash
-- KEYS[2] its locations                       sorted set: location name -> creation in ms
-- KEYS[3] compute                             hash
-- KEYS[4] computes of the fleet               sorted set: compute name -> registration in ms
-- KEYS[5] computes of the fleet and location  sorted set: compute name -> registration in ms
-- ARGV[1] compute name
-- ARGV[2] location
-- ARGV[3] IP address, empty for none
-- ARGV[4] DNS name, empty for none
-- ARGV[5] certificate path, empty for none
-- ARGV[6] how many computes a fleet may have
--
-- RETURNS OK created_ms
-- RETURNS FLEET_NOT_FOUND
-- RETURNS LOCATION_NOT_FOUND
-- RETURNS NOT_ACTIVE fleet_status
-- RETURNS EXISTS
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
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  return {'LOCATION_NOT_FOUND'}
end
local known = redis.call('HMGET', KEYS[3], 'created', 'location', 'ip', 'dns', 'certificate')
if known[1] then
  for i = 2, 5 do
    if known[i] ~= ARGV[i] then
      return {'EXISTS'}
    end
  end
  return {'OK', tonumber(known[1])}
end
if redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[6]) then
  return {'LIMIT'}
end

redis.call('HSET', KEYS[3], 'created', now, 'location', ARGV[2], 'ip', ARGV[3], 'dns', ARGV[4], 'certificate', ARGV[5])
redis.call('ZADD', KEYS[4], now, ARGV[1])
redis.call('ZADD', KEYS[5], now, ARGV[1])
return {'OK', now}
