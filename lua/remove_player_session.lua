-- remove_player_session.lua: a player has left and gives its slot back (ACTIVE -> COMPLETED).
--
-- A second call with the token that removed the player session changes nothing, and is answered with it as it stands.
--
-- KEYS[1] game session     hash
-- KEYS[2] its slots        sorted set: player session ref -> deadline in ms, +inf once ACTIVE
-- KEYS[3] player session   hash
-- KEYS[4] partition ended  sorted set: player session ref -> end in ms
-- ARGV[1] game session ref
-- ARGV[2] player session ref
-- ARGV[3] token of this call
--
-- RETURNS OK now_ms {player session} {game session}
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS PLAYER_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVE status ended_ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local game = redis.call('HMGET', KEYS[1], 'fleet', 'id', 'ip', 'dns', 'port')
if not game[1] then
  return {'GAME_SESSION_NOT_FOUND'}
end
local player = redis.call('HMGET', KEYS[3], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended', 'removed_by')
if player[1] ~= ARGV[1] then
  return {'PLAYER_SESSION_NOT_FOUND'}
end
if player[8] == ARGV[3] then
  return {'OK', now, player, game}
end
if player[4] == 'RESERVED' and tonumber(player[6]) <= now then
  return {'NOT_ACTIVE', 'TIMEDOUT', player[6]}
end
if player[4] ~= 'ACTIVE' then
  return {'NOT_ACTIVE', player[4], player[7]}
end

player[4], player[7] = 'COMPLETED', now
redis.call('HSET', KEYS[3], 'status', 'COMPLETED', 'ended', now, 'removed_by', ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[4], now, ARGV[2])
return {'OK', now, player, game}
