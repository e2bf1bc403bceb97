-- describe_game_sessions.lua: reads game sessions and how many slots of each are taken, at one instant.
--
-- KEYS[1..] two of each game session, in this order:
--   game session  hash
--   its slots     sorted set: player session ref -> deadline in ms, +inf once ACTIVE
--
-- RETURNS OK now_ms (player_session_count {record})...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local reply = {'OK', now}
for i = 1, #KEYS, 2 do
  reply[#reply + 1] = redis.call('ZCOUNT', KEYS[i + 1], string.format('(%.0f', now), '+inf')
  reply[#reply + 1] = redis.call('HGETALL', KEYS[i])
end
return reply
