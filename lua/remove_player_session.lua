-- remove_player_session.lua: a player has left and gives its slot back (ACTIVE -> COMPLETED).
--
-- A second call with the token that removed the player session changes nothing.
--
-- KEYS[1] game session         hash
-- KEYS[2] its player sessions  sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[3] player session       hash
-- KEYS[4] partition ended      sorted set: player session ref -> end in ms
-- ARGV[1] game session ref
-- ARGV[2] player session ref
-- ARGV[3] token of this call
--
-- RETURNS OK
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS PLAYER_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVE status ended_ms
local player = redis.call('HMGET', KEYS[3], 'game_session', 'status', 'deadline', 'removed_by', 'ended')
if player[1] ~= ARGV[1] then
  if redis.call('EXISTS', KEYS[1]) == 0 then
    return {'GAME_SESSION_NOT_FOUND'}
  end
  return {'PLAYER_SESSION_NOT_FOUND'}
end
if player[4] == ARGV[3] then
  return {'OK'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if player[2] == 'RESERVED' and tonumber(player[3]) <= now then
  return {'NOT_ACTIVE', 'TIMEDOUT', player[3]}
end
if player[2] ~= 'ACTIVE' then
  return {'NOT_ACTIVE', player[2], player[5]}
end

local ended = string.format('%.0f', now)
redis.call('HSET', KEYS[3], 'status', 'COMPLETED', 'ended', ended, 'removed_by', ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[2])
redis.call('ZADD', KEYS[4], ended, ARGV[2])
return {'OK'}
