-- heartbeat_server_process.lua: a server process reports its health. With the first healthy report it becomes ready.
--
-- The connection over which it does so is its newest, unless a newer one is noted.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] 1 if it is healthy, otherwise 0
-- ARGV[4] how long a server process may be silent, in ms
-- ARGV[5] connection
-- ARGV[6] since when, in ms
-- ARGV[7] instance that has the connection
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local time_now = string.format('%.0f', now)

local known = redis.call('HMGET', KEYS[1], 'life', 'status', 'connected_at', 'game', 'terminate_at', 'started', 'update', 'updated', 'ready', 'connection')
if known[1] ~= ARGV[2] or known[2] == 'ENDED' then
  return {'NOT_FOUND'}
end
local healthy = ARGV[3] == '1'
local idle = not (known[4] or known[5])
local settled = known[9] and not known[5] and (not known[4] or known[6]) and known[7] == known[8]

if not known[10] or tonumber(known[3]) < tonumber(ARGV[6]) then
  redis.call('HSET', KEYS[1], 'connection', ARGV[5], 'connected_at', ARGV[6], 'instance', ARGV[7])
end
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
