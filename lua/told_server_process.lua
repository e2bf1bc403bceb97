-- told_server_process.lua: notes what a server process was told over a connection.
--
-- KEYS[1] server process  hash
-- ARGV[1] connection
-- ARGV[2] start, update or terminate
-- ARGV[3] the game session ref to start; the number of the update; the time to end by
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'status', 'game')
if not known[1] or ARGV[2] == 'start' and known[2] ~= ARGV[3] then
  return {'NOT_FOUND'}
end

if ARGV[2] == 'start' then
  redis.call('HSET', KEYS[1], 'start_on', ARGV[1], 'start_at', now)
elseif ARGV[2] == 'update' then
  redis.call('HSET', KEYS[1], 'updated', ARGV[3])
else
  redis.call('HSET', KEYS[1], 'terminate_on', ARGV[1])
end
return {'OK'}
