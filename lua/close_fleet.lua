-- close_fleet.lua: makes a fleet DELETING, before its deletion.
--
-- In a fleet that is DELETING no game session is created any more. The last attempt to delete it owns its closing: no
-- other may reopen or delete it, since it has stayed closed from there on for that attempt alone.
--
-- KEYS[1] fleet  hash
-- ARGV[1] closing: names the attempt to delete the fleet
--
-- RETURNS OK
-- RETURNS FLEET_NOT_FOUND
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'FLEET_NOT_FOUND'}
end

redis.call('HSET', KEYS[1], 'status', 'DELETING', 'closing', ARGV[1])
return {'OK'}
