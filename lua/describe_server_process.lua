-- describe_server_process.lua: reads a server process.
--
-- KEYS[1] server process  hash
--
-- RETURNS OK now_ms {record}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {'OK', now, redis.call('HGETALL', KEYS[1])}
