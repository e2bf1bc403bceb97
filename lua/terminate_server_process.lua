-- terminate_server_process.lua: ends a life of a server process. The caller then ends its game session and removes it.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[4] answer to the request  string: empty, expires
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] why its game session ends; empty if it came to its end
-- ARGV[4] how long to keep the answer, in ms; 0 if it is nobody's request
--
-- RETURNS OK game_session_ref reason
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'life', 'game', 'reason', 'interrupted')
if known[1] ~= ARGV[2] then
  return {'NOT_FOUND'}
end
local reason = known[3] or known[4] and 'INTERRUPTED' or ARGV[3]

redis.call('HSET', KEYS[1], 'status', 'ENDED', 'reason', reason)
if ARGV[4] ~= '0' then
  redis.call('SET', KEYS[4], '', 'PX', ARGV[4])
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
return {'OK', known[2] or '', reason}
