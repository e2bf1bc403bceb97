-- heartbeat.lua: says that an instance is alive and answers with all that are.
--
-- KEYS[1] instances  sorted set: instance id -> last heartbeat in ms
-- ARGV[1] instance id
-- ARGV[2] how long a heartbeat counts, in ms
--
-- RETURNS OK instance_id...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = {'OK'}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now - tonumber(ARGV[2])), '+inf')) do
  if id ~= ARGV[1] then
    reply[#reply + 1] = id
  end
end
reply[#reply + 1] = ARGV[1]

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
redis.call('ZADD', KEYS[1], now, ARGV[1])
return reply
