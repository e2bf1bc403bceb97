-- create_player_sessions.lua: reserves a slot of a game session for each player of a group, or for none of them.
--
-- The rules are those of create_player_session.lua; but a placement may reserve in the game session that is kept for
-- it. A group that is already there, whole, is answered as it stands: that is how a retry reserves nothing twice.
--
-- KEYS[1] game session           hash
-- KEYS[2] its slots              sorted set: player session ref -> deadline in ms, +inf once ACTIVE
-- KEYS[3] its player sessions    sorted set: player session ref -> creation in ms
-- KEYS[4] partition deadlines    sorted set: game session ref -> earliest deadline in ms
-- KEYS[5] seal                   string, there when this call has been refused here for good
-- KEYS[6..] three of each player, in this order:
--   player session         hash
--   TTL key                string, expires at the deadline
--   the player's sessions  sorted set: player session ref -> creation in ms
-- ARGV[1] game session ref
-- ARGV[2] reservation timeout in ms
-- ARGV[3] how long to seal a refusal, in ms; 0 for not at all
-- ARGV[4] for which try of which placement the game session is kept, empty for none
-- ARGV[5..] three of each player, in the order of KEYS:
--   player session ref
--   player id
--   player data, empty for none
--
-- RETURNS OK now_ms {game session} {player session}...
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVE game_session_status
-- RETURNS DENIED
-- RETURNS FULL max taken
-- RETURNS SEALED
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local group = (#KEYS - 5) / 3

local game = redis.call('HMGET', KEYS[1], 'fleet', 'id', 'ip', 'dns', 'port', 'status', 'policy', 'max', 'kept_for')
if not game[1] then
  return {'GAME_SESSION_NOT_FOUND'}
end
local reply = {'OK', now, game}
local known = 0
for i = 1, group do
  local player = redis.call('HMGET', KEYS[3 + 3 * i], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended')
  reply[3 + i] = player
  if player[1] then
    known = known + 1
  end
end
if known == group then
  return reply
end
if ARGV[3] ~= '0' and redis.call('EXISTS', KEYS[5]) == 1 then
  return {'SEALED'}
end
local taken = redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now), '+inf')
local deadline = now + tonumber(ARGV[2])
local refused = true
if game[6] ~= 'ACTIVE' then
  reply = {'NOT_ACTIVE', game[6]}
elseif game[7] ~= 'ACCEPT_ALL' and game[9] ~= ARGV[4] then
  reply = {'DENIED'}
elseif taken + group - known > tonumber(game[8]) then
  reply = {'FULL', game[8], taken}
else
  refused = false
end

if not refused then
  for i = 1, group do
    if not reply[3 + i][1] then
      local ref, player, data = ARGV[2 + 3 * i], ARGV[3 + 3 * i], ARGV[4 + 3 * i]
      local record = {'game_session', ARGV[1], 'player', player, 'status', 'RESERVED', 'created', now, 'deadline', deadline}
      if data ~= '' then
        record[11], record[12] = 'data', data
      end
      redis.call('HSET', KEYS[3 + 3 * i], unpack(record))
      redis.call('SET', KEYS[4 + 3 * i], 1, 'PXAT', deadline)
      redis.call('ZADD', KEYS[2], deadline, ref)
      redis.call('ZADD', KEYS[3], now, ref)
      redis.call('ZADD', KEYS[5 + 3 * i], now, ref)
      reply[3 + i] = {ARGV[1], player, data, 'RESERVED', now, deadline, false}
    end
  end
  redis.call('ZADD', KEYS[4], 'LT', deadline, ARGV[1])
elseif ARGV[3] ~= '0' then
  redis.call('SET', KEYS[5], 1, 'PX', ARGV[3])
end
return reply
