-- connect_server_process.lua: notes the newest connection of a server process, over which it is told things.
--
-- With the credential that it has there it may come back, even after that has expired.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews      sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
-- ARGV[2] location of the server process, as the caller knows it
-- ARGV[3] connection
-- ARGV[4] instance that has the connection
-- ARGV[5] digest of the credential
--
-- RETURNS OK
-- RETURNS NOT_FOUND
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'status', 'location', 'ready', 'unhealthy', 'game', 'terminate_at')
if not known[1] then
  return {'NOT_FOUND'}
end
if known[2] ~= ARGV[2] then
  return {'CHANGED'}
end
local idle = known[1] == 'ACTIVE' and known[3] and not (known[4] or known[5] or known[6])

redis.call('HSET', KEYS[1], 'connection', ARGV[3], 'instance', ARGV[4], 'credential', ARGV[5])
if idle then
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1])
else
  redis.call('ZADD', KEYS[3], 'LT', now, ARGV[1]) -- it may have to be told something
end
return {'OK'}
