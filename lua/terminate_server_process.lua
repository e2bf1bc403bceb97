-- terminate_server_process.lua: ends a server process. The caller then ends its game session and removes it.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] location of the server process, as the caller knows it
-- ARGV[3] why its game session ends; empty if it came to its end
--
-- RETURNS OK game_session_ref reason
-- RETURNS NOT_FOUND
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'status', 'location', 'game', 'reason', 'interrupted')
if not known[1] then
  return {'NOT_FOUND'}
end
if known[2] ~= ARGV[2] then
  return {'CHANGED'}
end
local reason = known[4] or known[5] and 'INTERRUPTED' or ARGV[3]

redis.call('HSET', KEYS[1], 'status', 'ENDED', 'reason', reason)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
return {'OK', known[3] or '', reason}
