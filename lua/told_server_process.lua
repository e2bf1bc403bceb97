-- told_server_process.lua: notes what a server process was told over a connection.
--
-- KEYS[1] server process  hash
-- ARGV[1] life
-- ARGV[2] connection
-- ARGV[3] start, update or terminate
-- ARGV[4] the game session ref to start; the number of the update; nothing
-- ARGV[5] how often it was told before to start; empty if it was not
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local known = redis.call('HMGET', KEYS[1], 'life', 'game', 'starts')
if known[1] ~= ARGV[1] or ARGV[3] == 'start' and known[2] ~= ARGV[4] then
  return {'NOT_FOUND'}
end

if ARGV[3] == 'start' then
  if (known[3] or '') == ARGV[5] then -- otherwise it is noted already
    redis.call('HINCRBY', KEYS[1], 'starts', 1)
    redis.call('HSET', KEYS[1], 'start_at', now)
  end
elseif ARGV[3] == 'update' then
  redis.call('HSET', KEYS[1], 'updated', ARGV[4])
else
  redis.call('HSET', KEYS[1], 'terminate_on', ARGV[2])
end
return {'OK'}
