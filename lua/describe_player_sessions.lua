-- describe_player_sessions.lua: reads player sessions as they stand at one instant.
--
-- KEYS[1..] a player session each  hash
--
-- RETURNS OK now_ms {player session}...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local reply = {'OK', now}
for i = 1, #KEYS do
  reply[2 + i] = redis.call('HMGET', KEYS[i], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended')
end
return reply
