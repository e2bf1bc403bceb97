-- limit_game_sessions.lua: counts a new game session against the limit of its creator, unless it is counted already.
--
-- KEYS[1] game sessions of the creator in the fleet  sorted set: game session ref -> creation in ms
-- KEYS[2] creators of the fleet                      sorted set: creator id -> last game session in ms
-- KEYS[3] fleet                                      hash
-- ARGV[1] game session ref
-- ARGV[2] creator id
-- ARGV[3] how many game sessions a creator may create in the period
-- ARGV[4] period in ms
--
-- RETURNS OK
-- RETURNS LIMIT
-- RETURNS FLEET_NOT_ACTIVE
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = now - tonumber(ARGV[4])

if redis.call('HGET', KEYS[3], 'status') ~= 'ACTIVE' then
  return {'FLEET_NOT_ACTIVE'} -- what were written now would outlive the fleet
end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return {'OK'}
end
if redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', since), '+inf') >= tonumber(ARGV[3]) then
  return {'LIMIT'}
end

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', since))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', since))
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'OK'}
