-- release_server_process.lua: takes back a claim whose game session was not created.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- ARGV[1] server process ref
-- ARGV[2] location of the server process, as the caller knows it
-- ARGV[3] game session ref
--
-- RETURNS OK
-- RETURNS NOT_FOUND
-- RETURNS CHANGED
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'status', 'location', 'game', 'started', 'ready', 'connection', 'unhealthy', 'terminate_at')
if not known[1] or known[3] ~= ARGV[3] or known[4] then
  return {'NOT_FOUND'} -- or it has another game session, or has begun with this one
end
if known[2] ~= ARGV[2] then
  return {'CHANGED'}
end
local idle = known[1] == 'ACTIVE' and known[5] and known[6] and not (known[7] or known[8])

redis.call('HDEL', KEYS[1], 'game', 'game_name', 'claimed', 'start_on', 'start_at')
if idle then
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1])
end
return {'OK'}
