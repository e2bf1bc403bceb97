-- accept_player_session.lua: a connected player takes up its reservation (RESERVED -> ACTIVE).
--
-- A second call with the token that accepted the player session changes nothing, and is answered with it as it stands.
--
-- KEYS[1] game session    hash
-- KEYS[2] its slots       sorted set: player session ref -> deadline in ms, +inf once ACTIVE
-- KEYS[3] player session  hash
-- KEYS[4] TTL key         string, expires at the deadline
-- ARGV[1] game session ref
-- ARGV[2] player session ref
-- ARGV[3] token of this call
--
-- RETURNS OK now_ms {player session} {game session}
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS PLAYER_SESSION_NOT_FOUND
-- RETURNS NOT_RESERVED status ended_ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local game = redis.call('HMGET', KEYS[1], 'fleet', 'id', 'ip', 'dns', 'port')
if not game[1] then
  return {'GAME_SESSION_NOT_FOUND'}
end
local player = redis.call('HMGET', KEYS[3], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended', 'accepted_by')
if player[1] ~= ARGV[1] then
  return {'PLAYER_SESSION_NOT_FOUND'}
end
if player[8] == ARGV[3] then
  return {'OK', now, player, game}
end
if player[4] ~= 'RESERVED' then
  return {'NOT_RESERVED', player[4], player[7]}
end
if tonumber(player[6]) <= now then
  return {'NOT_RESERVED', 'TIMEDOUT', player[6]}
end

player[4] = 'ACTIVE'
redis.call('HSET', KEYS[3], 'status', 'ACTIVE', 'accepted_by', ARGV[3])
redis.call('ZADD', KEYS[2], '+inf', ARGV[2])
redis.call('DEL', KEYS[4])
return {'OK', now, player, game}
