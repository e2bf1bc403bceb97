-- heartbeat_server_process.lua: a server process reports its health. With the first healthy report it becomes ready.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] location of the server process, as the caller knows it
-- ARGV[3] 1 if it is healthy, otherwise 0
-- ARGV[4] how long a server process may be silent, in ms
--
-- RETURNS OK
-- RETURNS NOT_FOUND
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local time_now = string.format('%.0f', now)

local known = redis.call('HMGET', KEYS[1], 'status', 'location', 'connection', 'game', 'terminate_at', 'started', 'update', 'updated')
if not known[1] or known[1] == 'ENDED' then
  return {'NOT_FOUND'}
end
if known[2] ~= ARGV[2] then
  return {'CHANGED'}
end
local healthy = ARGV[3] == '1'
local idle = known[1] == 'ACTIVE' and known[3] and not known[4] and not known[5]
local settled = not known[5] and (not known[4] or known[6]) and known[7] == known[8]

if healthy then
  redis.call('HSET', KEYS[1], 'healthy_at', time_now, 'ready', '1')
  redis.call('HDEL', KEYS[1], 'unhealthy')
else
  redis.call('HSET', KEYS[1], 'unhealthy', '1')
end
if healthy and idle then
  redis.call('ZADD', KEYS[2], 'NX', time_now, ARGV[1])
elseif not healthy then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
if healthy and settled then
  redis.call('ZADD', KEYS[3], string.format('%.0f', now + ARGV[4]), ARGV[1])
end
return {'OK'}
