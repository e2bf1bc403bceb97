-- create_player_session.lua: reserves one slot of a game session for a player (a new player session, RESERVED).
--
-- The slot is free when fewer than `max` player sessions are ACTIVE or RESERVED before their deadline. A player session
-- that is already there is answered as it stands: that is how a retry reserves nothing twice.
--
-- This is the script that runs for every player. It writes no more than it must, formats each number once, and does not
-- repeat what the caller knows: a caller that has read the facts of the game session says so by its creation.
--
-- KEYS[1] game session           hash
-- KEYS[2] its player sessions    sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[3] partition deadlines    sorted set: game session ref -> earliest deadline in ms
-- KEYS[4] player session         hash
-- KEYS[5] TTL key                string, expires at the deadline
-- KEYS[6] the player's sessions  sorted set: player session ref -> creation in ms
-- ARGV[1] game session ref
-- ARGV[2] player session ref
-- ARGV[3] player id
-- ARGV[4] player data, empty for none
-- ARGV[5] reservation timeout in ms
-- ARGV[6] creation of the game session whose facts the caller knows, in ms; empty for none
--
-- RETURNS OK now_ms {facts of the game session, none if the caller knows them} [{player session, if it was there}]
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVE game_session_status
-- RETURNS DENIED
-- RETURNS FULL max taken
local game = redis.call('HMGET', KEYS[1], 'status', 'policy', 'max', 'created', 'kept_for')
if not game[1] then
  return {'GAME_SESSION_NOT_FOUND'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local created = string.format('%.0f', now)

local reply
if game[1] ~= 'ACTIVE' then
  reply = {'NOT_ACTIVE', game[1]}
elseif game[2] ~= 'ACCEPT_ALL' or game[5] then
  reply = {'DENIED'}
else
  local taken = redis.call('ZCOUNT', KEYS[2], '(' .. created, '+inf')
  if taken >= tonumber(game[3]) then
    reply = {'FULL', game[3], taken}
  end
end
if reply and redis.call('EXISTS', KEYS[4]) == 0 then
  return reply
end
local facts = {}
if game[4] ~= ARGV[6] then
  facts = redis.call('HMGET', KEYS[1], 'fleet', 'id', 'ip', 'dns', 'port', 'created')
end

local record
local deadline = string.format('%.0f', now + ARGV[5])
if reply or redis.call('ZADD', KEYS[2], 'NX', deadline, ARGV[2]) == 0 then -- it is there, and nothing was added
  record = redis.call('HMGET', KEYS[4], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended')
else
  redis.call('HSET', KEYS[4], 'game_session', ARGV[1], 'player', ARGV[3], 'status', 'RESERVED', 'created', created, 'deadline', deadline)
  if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[4], 'data', ARGV[4])
  end
  redis.call('SET', KEYS[5], 1, 'PXAT', deadline)
  redis.call('ZADD', KEYS[3], 'LT', deadline, ARGV[1])
  redis.call('ZADD', KEYS[6], created, ARGV[2])
end
return {'OK', now, facts, record}
