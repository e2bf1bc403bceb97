-- update_game_session_queue.lua: changes a game session queue.
--
-- KEYS[1] queue  hash
-- ARGV[1..] fields of the record and their values, one after the other
--
-- RETURNS OK {record}
-- RETURNS QUEUE_NOT_FOUND
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'QUEUE_NOT_FOUND'}
end

if #ARGV > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV))
end
return {'OK', redis.call('HGETALL', KEYS[1])}
