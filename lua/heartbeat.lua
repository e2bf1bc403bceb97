-- heartbeat.lua: says that an instance is alive and answers with all that are, and since when there has always been one.
--
-- KEYS[1] instances  sorted set: instance id -> last heartbeat in ms
-- KEYS[2] service    string: since when there has always been an instance, in ms
-- ARGV[1] instance id
-- ARGV[2] how long a heartbeat counts, in ms
--
-- RETURNS OK since_ms instance_id...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = string.format('(%.0f', now - tonumber(ARGV[2]))
local since = redis.call('GET', KEYS[2])
local resumes = not since or redis.call('ZCOUNT', KEYS[1], oldest, '+inf') == 0
if resumes then
  since = string.format('%.0f', now)
end
local reply = {'OK', since}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], oldest, '+inf')) do
  if id ~= ARGV[1] then
    reply[#reply + 1] = id
  end
end
reply[#reply + 1] = ARGV[1]

if resumes then
  redis.call('SET', KEYS[2], since)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2])))
redis.call('ZADD', KEYS[1], now, ARGV[1])
return reply
