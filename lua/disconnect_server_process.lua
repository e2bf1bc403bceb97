-- disconnect_server_process.lua: notes that a connection of a server process is gone.
--
-- Without any, it is given no game session until it is back. The one that it has goes on.
--
-- KEYS[1] server process         hash
-- KEYS[2] idle ones at location  sorted set: server process ref -> since when in ms
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] connection
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local known = redis.call('HMGET', KEYS[1], 'life', 'connection')
if known[1] ~= ARGV[2] or known[2] ~= ARGV[3] then
  return {'NOT_FOUND'} -- or it has a newer one
end

redis.call('HDEL', KEYS[1], 'connection', 'connected_at', 'instance')
redis.call('ZREM', KEYS[2], ARGV[1])
return {'OK'}
