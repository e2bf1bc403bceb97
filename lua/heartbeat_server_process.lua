-- heartbeat_server_process.lua: a server process reports its health. With its first report it becomes ready to be told things.
--
-- The connection over which it does so is its newest, unless a newer one is noted.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] 1 if it is healthy, otherwise 0
-- ARGV[4] connection
-- ARGV[5] since when, in ms
-- ARGV[6] instance that has the connection
-- ARGV[7] digest of the credential
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'life', 'status', 'game', 'terminate_at', 'connection', 'connected_at')
if known[1] ~= ARGV[2] or known[2] == 'ENDED' then
  return {'NOT_FOUND'}
end
local healthy = ARGV[3] == '1'

if not known[5] or tonumber(known[6]) < tonumber(ARGV[5]) then
  redis.call('HSET', KEYS[1], 'connection', ARGV[4], 'connected_at', ARGV[5], 'instance', ARGV[6], 'credential', ARGV[7])
end
if not known[5] then
  redis.call('ZADD', KEYS[3], 'LT', now, ARGV[1]) -- it may have to be told something
end
redis.call('HSET', KEYS[1], 'ready', '1')
if healthy then
  redis.call('HSET', KEYS[1], 'healthy_at', now)
  redis.call('HDEL', KEYS[1], 'unhealthy')
  if not (known[3] or known[4]) then
    redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1])
  end
else
  redis.call('HSET', KEYS[1], 'unhealthy', '1')
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return {'OK'}
