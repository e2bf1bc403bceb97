-- finish_game_session_placement.lua: ends a PENDING placement.
--
-- One that is past its deadline is TIMED_OUT instead.
--
-- KEYS[1] placement                   hash
-- KEYS[2] partition pending           sorted set: placement ref -> when it is to be tried next, in ms
-- KEYS[3] partition ended placements  sorted set: placement ref -> end in ms
-- ARGV[1] placement ref
-- ARGV[2] its new status
-- ARGV[3] the try that was successful, which must not have been given up; 0 for none
-- ARGV[4..] fields of the record and their values, one after the other
--
-- RETURNS OK now_ms {record}
-- RETURNS PLACEMENT_NOT_FOUND
-- RETURNS NOT_PENDING now_ms {record}
-- RETURNS GIVEN_UP now_ms {record}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local placement = redis.call('HMGET', KEYS[1], 'status', 'deadline', 'place', 'try')
if not placement[1] then
  return {'PLACEMENT_NOT_FOUND'}
end
if placement[1] ~= 'PENDING' then
  return {'NOT_PENDING', now, redis.call('HGETALL', KEYS[1])}
end
local late = tonumber(placement[2]) <= now
if not late and ARGV[3] ~= '0' and (placement[4] ~= ARGV[3] or placement[3] == '') then
  return {'GIVEN_UP', now, redis.call('HGETALL', KEYS[1])}
end

local reply, ended = {'OK', now}, now
if late then
  reply, ended = {'NOT_PENDING', now}, placement[2]
end

if late then
  redis.call('HSET', KEYS[1], 'status', 'TIMED_OUT', 'ended', ended)
else
  redis.call('HSET', KEYS[1], 'status', ARGV[2], 'ended', ended, unpack(ARGV, 4))
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ended, ARGV[1])
reply[3] = redis.call('HGETALL', KEYS[1])
return reply
