-- forget_server_process.lua: strikes off the review of a server process that is not there.
--
-- KEYS[1] server process     hash
-- KEYS[2] partition reviews  sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- ARGV[1] server process ref
--
-- RETURNS OK
-- RETURNS FOUND
if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'FOUND'}
end

redis.call('ZREM', KEYS[2], ARGV[1])
return {'OK'}
