-- create_game_session.lua: stores a new game session, or answers with the one that is already there.
--
-- It is due at once, and unsettled until a sweep has seen that its fleet is still there, and its placement if it has one.
--
-- KEYS[1] game session                     hash
-- KEYS[2] game sessions of its fleet       sorted set: game session ref -> creation in ms
-- KEYS[3] live game sessions of its fleet  sorted set: game session ref -> creation in ms
-- KEYS[4] partition deadlines              sorted set: game session ref -> earliest deadline in ms
-- ARGV[1] game session ref
-- ARGV[2] digest of the parameters of the call
-- ARGV[3] in what time its server process must activate it, in ms; 0 if it has none, and is ACTIVE at once
-- ARGV[4..] fields of the record and their values, one after the other
--
-- RETURNS OK now_ms 0 {record}
-- RETURNS EXISTS
-- RETURNS MISMATCH
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local parameters = redis.call('HGET', KEYS[1], 'parameters')
if parameters == ARGV[2] then
  return {'EXISTS'}
end
if parameters then
  return {'MISMATCH'}
end

local record = {'parameters', ARGV[2], 'created', string.format('%.0f', now), 'status', 'ACTIVE', 'unsettled', '1'}
if ARGV[3] ~= '0' then
  record[6] = 'ACTIVATING'
  record[9], record[10] = 'activate_by', string.format('%.0f', now + ARGV[3])
end
for i = 4, #ARGV do
  record[#record + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1], unpack(record))
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZADD', KEYS[4], now, ARGV[1])
return {'OK', now, 0, record}
