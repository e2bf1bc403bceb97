-- describe_game_session_placement.lua: reads a placement as it stands.
--
-- KEYS[1] placement  hash
--
-- RETURNS OK now_ms {record}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {'OK', now, redis.call('HGETALL', KEYS[1])}
