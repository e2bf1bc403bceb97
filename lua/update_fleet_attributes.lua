-- update_fleet_attributes.lua: changes attributes of a fleet.
--
-- KEYS[1] fleet  hash
-- ARGV[1..] fields of the record and their values, one after the other
--
-- RETURNS OK
-- RETURNS FLEET_NOT_FOUND
-- RETURNS NOT_ACTIVE fleet_status
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return {'FLEET_NOT_FOUND'}
end
if status ~= 'ACTIVE' then
  return {'NOT_ACTIVE', status}
end

if #ARGV > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
end
return {'OK'}
