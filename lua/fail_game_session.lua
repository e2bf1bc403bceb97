-- fail_game_session.lua: gives up a game session whose server process did not activate it in time (ACTIVATING -> ERROR).
--
-- KEYS[1] game session                     hash
-- KEYS[2] live game sessions of its fleet  sorted set: game session ref -> creation in ms
-- KEYS[3] partition deadlines              sorted set: game session ref -> earliest deadline in ms
-- KEYS[4] partition ended games            sorted set: game session ref -> end in ms
-- ARGV[1] game session ref
--
-- RETURNS OK
-- RETURNS NOT_LATE
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', KEYS[1], 'status', 'activate_by')
if known[1] ~= 'ACTIVATING' or tonumber(known[2]) > now then
  return {'NOT_LATE'}
end

redis.call('HSET', KEYS[1], 'status', 'ERROR', 'ended', known[2])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], known[2], ARGV[1])
return {'OK'}
