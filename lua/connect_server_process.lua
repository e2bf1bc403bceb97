-- connect_server_process.lua: notes the newest connection of a server process, over which it is told things.
--
-- With the credential that it has there it may come back, even after that has expired. What is noted of a newer connection stays.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] connection
-- ARGV[4] since when, in ms
-- ARGV[5] instance that has the connection
-- ARGV[6] digest of the credential
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'life', 'status', 'ready', 'unhealthy', 'game', 'terminate_at', 'connected_at')
if known[1] ~= ARGV[2] then
  return {'NOT_FOUND'}
end
if tonumber(known[7] or 0) > tonumber(ARGV[4]) then
  return {'OK'}
end
local idle = known[2] == 'ACTIVE' and known[3] and not (known[4] or known[5] or known[6])

redis.call('HSET', KEYS[1], 'connection', ARGV[3], 'connected_at', ARGV[4], 'instance', ARGV[5], 'credential', ARGV[6])
if idle then
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1])
else
  redis.call('ZADD', KEYS[3], 'LT', now, ARGV[1]) -- it may have to be told something
end
return {'OK'}
