-- start_game_session_placement.lua: stores a new placement, PENDING.
--
-- A second call with the token that started the placement is answered with the placement as it stands.
--
-- KEYS[1] placement           hash
-- KEYS[2] partition pending   sorted set: placement ref -> when it is to be tried next, in ms
-- ARGV[1] placement ref
-- ARGV[2] token of this call
-- ARGV[3] how long it may stay PENDING, in ms
-- ARGV[4] how long the caller has to try it, before others do, in ms
-- ARGV[5..] fields of the record and their values, one after the other
--
-- RETURNS OK now_ms {record}
-- RETURNS EXISTS
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local started_by = redis.call('HGET', KEYS[1], 'started_by')
if started_by == ARGV[2] then
  return {'OK', now, redis.call('HGETALL', KEYS[1])}
end
if started_by then
  return {'EXISTS'}
end

local record = {'started_by', ARGV[2], 'status', 'PENDING', 'started', string.format('%.0f', now), 'deadline', string.format('%.0f', now + tonumber(ARGV[3]))}
for i = 5, #ARGV do
  record[#record + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1], unpack(record))
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[1])
return {'OK', now, record}
