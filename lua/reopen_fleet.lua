-- reopen_fleet.lua: makes a fleet ACTIVE again that was closed for a deletion which cannot be.
--
-- KEYS[1] fleet  hash
-- ARGV[1] closing: names the attempt to delete the fleet
--
-- RETURNS OK
-- RETURNS NOT_CLOSED
if redis.call('HGET', KEYS[1], 'closing') ~= ARGV[1] then
  return {'NOT_CLOSED'} -- by this attempt: another has taken over
end

redis.call('HSET', KEYS[1], 'status', 'ACTIVE')
redis.call('HDEL', KEYS[1], 'closing')
return {'OK'}
