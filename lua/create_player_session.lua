-- create_player_session.lua: reserves one slot of a game session for a player (a new player session, RESERVED).
--
-- The slot is free when fewer than `max` members of the slots set are ACTIVE or RESERVED before their deadline.
-- A player session that is already there is answered as it stands: that is how a retry reserves nothing twice.
--
-- KEYS[1] game session           hash
-- KEYS[2] its slots              sorted set: player session ref -> deadline in ms, +inf once ACTIVE
-- KEYS[3] its player sessions    sorted set: player session ref -> creation in ms
-- KEYS[4] partition deadlines    sorted set: game session ref -> earliest deadline in ms
-- KEYS[5] player session         hash
-- KEYS[6] TTL key                string, expires at the deadline
-- KEYS[7] the player's sessions  sorted set: player session ref -> creation in ms
-- ARGV[1] game session ref
-- ARGV[2] player session ref
-- ARGV[3] player id
-- ARGV[4] player data, empty for none
-- ARGV[5] reservation timeout in ms
--
-- RETURNS OK now_ms {player session} {game session}
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVE game_session_status
-- RETURNS DENIED
-- RETURNS FULL max taken
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local game = redis.call('HMGET', KEYS[1], 'fleet', 'id', 'ip', 'dns', 'port', 'status', 'policy', 'max')
if not game[1] then
  return {'GAME_SESSION_NOT_FOUND'}
end
local player = redis.call('HMGET', KEYS[5], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended')
if player[1] then
  return {'OK', now, player, game}
end
if game[6] ~= 'ACTIVE' then
  return {'NOT_ACTIVE', game[6]}
end
if game[7] ~= 'ACCEPT_ALL' then
  return {'DENIED'}
end
local taken = redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now), '+inf')
if taken >= tonumber(game[8]) then
  return {'FULL', game[8], taken}
end

local deadline = now + tonumber(ARGV[5])
local record = {'game_session', ARGV[1], 'player', ARGV[3], 'status', 'RESERVED', 'created', now, 'deadline', deadline}
if ARGV[4] ~= '' then
  record[11], record[12] = 'data', ARGV[4]
end
redis.call('HSET', KEYS[5], unpack(record))
redis.call('SET', KEYS[6], 1, 'PXAT', deadline)
redis.call('ZADD', KEYS[2], deadline, ARGV[2])
redis.call('ZADD', KEYS[3], now, ARGV[2])
redis.call('ZADD', KEYS[4], 'LT', deadline, ARGV[1])
redis.call('ZADD', KEYS[7], now, ARGV[2])
return {'OK', now, {ARGV[1], ARGV[3], ARGV[4], 'RESERVED', now, deadline, false}, game}
