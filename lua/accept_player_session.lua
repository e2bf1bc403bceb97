-- accept_player_session.lua: a connected player takes up its reservation (RESERVED -> ACTIVE).
--
-- A second call with the token that accepted the player session changes nothing.
--
-- KEYS[1] game session         hash
-- KEYS[2] its player sessions  sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[3] player session       hash
-- KEYS[4] TTL key              string, expires at the deadline
-- ARGV[1] game session ref
-- ARGV[2] player session ref
-- ARGV[3] token of this call
--
-- RETURNS OK
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS PLAYER_SESSION_NOT_FOUND
-- RETURNS NOT_RESERVED status ended_ms
local player = redis.call('HMGET', KEYS[3], 'game_session', 'status', 'deadline', 'accepted_by', 'ended')
if player[1] ~= ARGV[1] then
  if redis.call('EXISTS', KEYS[1]) == 0 then
    return {'GAME_SESSION_NOT_FOUND'}
  end
  return {'PLAYER_SESSION_NOT_FOUND'}
end
if player[4] == ARGV[3] then
  return {'OK'}
end
if player[2] ~= 'RESERVED' then
  return {'NOT_RESERVED', player[2], player[5]}
end
local time = redis.call('TIME')
if tonumber(player[3]) <= time[1] * 1000 + math.floor(time[2] / 1000) then
  return {'NOT_RESERVED', 'TIMEDOUT', player[3]}
end

redis.call('HSET', KEYS[3], 'status', 'ACTIVE', 'accepted_by', ARGV[3])
redis.call('ZADD', KEYS[2], '+inf', ARGV[2])
redis.call('DEL', KEYS[4])
return {'OK'}
