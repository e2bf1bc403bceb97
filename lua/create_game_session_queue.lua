-- create_game_session_queue.lua: stores a new game session queue.
--
-- A second call with the token that created the queue is answered as the first one was.
--
-- KEYS[1] queue     hash
-- KEYS[2] queues    sorted set: queue name -> creation in ms
-- KEYS[3] its tags  hash
-- ARGV[1] queue name
-- ARGV[2] token of this call
-- ARGV[3] how many queues there may be
-- ARGV[4] how many tags and values follow
-- ARGV[5..] tags and their values, then fields of the record and their values
--
-- RETURNS OK {record}
-- RETURNS EXISTS
-- RETURNS LIMIT
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last_tag = 4 + tonumber(ARGV[4])

local created_by = redis.call('HGET', KEYS[1], 'created_by')
if created_by == ARGV[2] then
  return {'OK', redis.call('HGETALL', KEYS[1])}
end
if created_by then
  return {'EXISTS'}
end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
  return {'LIMIT'}
end

local record = {'created', string.format('%.0f', now), 'created_by', ARGV[2]}
for i = last_tag + 1, #ARGV do
  record[#record + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1], unpack(record))
redis.call('ZADD', KEYS[2], now, ARGV[1])
if last_tag > 4 then
  redis.call('HSET', KEYS[3], unpack(ARGV, 5, last_tag))
end
return {'OK', record}
