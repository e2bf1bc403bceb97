-- release_server_process.lua: takes back a claim whose game session was not created.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] claim
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'life', 'claim', 'status', 'ready', 'connection', 'unhealthy', 'terminate_at')
if known[1] ~= ARGV[2] or known[2] ~= ARGV[3] then
  return {'NOT_FOUND'}
end
local idle = known[3] == 'ACTIVE' and known[4] and known[5] and not (known[6] or known[7])

redis.call('HDEL', KEYS[1], 'claim', 'game', 'game_name', 'claimed', 'hosts', 'starts', 'start_at')
if idle then
  redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1])
end
return {'OK'}
