-- delete_game_session_queue.lua: deletes a game session queue. Placements that it has yet to make fail.
--
-- KEYS[1] queue     hash
-- KEYS[2] queues    sorted set: queue name -> creation in ms
-- KEYS[3] its tags  hash
-- ARGV[1] queue name
--
-- RETURNS OK
-- RETURNS QUEUE_NOT_FOUND
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'QUEUE_NOT_FOUND'}
end

redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return {'OK'}
