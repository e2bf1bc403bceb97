-- remove_server_process.lua: deletes a server process that has ENDED, once its game session has.
--
-- Of one that was given up the credential is kept for a while: should it come back with that, it can be told to end.
--
-- KEYS[1] server process          hash
-- KEYS[2] idle ones at location   sorted set: server process ref -> since when in ms
-- KEYS[3] partition reviews       sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[4] processes of its fleet  sorted set: server process ref -> registration in ms
-- KEYS[5] its credential          string, expires
-- ARGV[1] server process ref
-- ARGV[2] life
-- ARGV[3] how long to keep the credential, in ms
--
-- RETURNS OK
-- RETURNS NOT_FOUND
local known = redis.call('HMGET', KEYS[1], 'life', 'status', 'given_up', 'credential')
if known[1] ~= ARGV[2] or known[2] ~= 'ENDED' then
  return {'NOT_FOUND'} -- any more, or it has begun another life
end

if known[3] and known[4] then
  redis.call('SET', KEYS[5], known[4], 'PX', ARGV[3])
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return {'OK'}
