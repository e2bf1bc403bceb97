-- describe_game_sessions.lua: reads game sessions and how many slots of each are taken, at one instant.
--
-- Game session data that is longer than the caller wants is left out; the record has the field data_left_out instead.
--
-- KEYS[1..] two of each game session, in this order:
--   game session         hash
--   its player sessions  sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- ARGV[1] the longest game session data to return, in bytes
--
-- RETURNS OK now_ms (player_session_count {record})...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local longest = tonumber(ARGV[1])

local reply = {'OK', now}
for i = 1, #KEYS, 2 do
  local record = redis.call('HGETALL', KEYS[i])
  for j = 1, #record, 2 do
    if record[j] == 'data' and #record[j + 1] > longest then
      record[j], record[j + 1] = 'data_left_out', 'true'
    end
  end
  reply[#reply + 1] = redis.call('ZCOUNT', KEYS[i + 1], string.format('(%.0f', now), '+inf')
  reply[#reply + 1] = record
end
return reply
