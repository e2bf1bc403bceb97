-- create_player_sessions.lua: reserves a slot of a game session for each player of a group, or for none of them.
--
-- The rules are those of create_player_session.lua; but a placement may reserve in the game session that is kept for
-- it, whatever its policy. A group that is already there, whole, is answered as it stands: that is how a retry reserves nothing twice.
--
-- KEYS[1] game session           hash
-- KEYS[2] its player sessions    sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- KEYS[3] partition deadlines    sorted set: game session ref -> earliest deadline in ms
-- KEYS[4] seal                   string, there when this call has been refused here for good
-- KEYS[5..] three of each player, in this order:
--   player session         hash
--   TTL key                string, expires at the deadline
--   the player's sessions  sorted set: player session ref -> creation in ms
-- ARGV[1] game session ref
-- ARGV[2] reservation timeout in ms
-- ARGV[3] how long to seal a refusal, in ms; 0 for not at all
-- ARGV[4] for which try of which placement the game session is kept, empty for none
-- ARGV[5] creation of the game session whose facts the caller knows, in ms; empty for none
-- ARGV[6..] three of each player, in the order of KEYS:
--   player session ref
--   player id
--   player data, empty for none
--
-- RETURNS OK now_ms {facts of the game session, none if the caller knows them} ({player session, none if it is new})...
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVE game_session_status
-- RETURNS DENIED
-- RETURNS FULL max taken
-- RETURNS SEALED
local game = redis.call('HMGET', KEYS[1], 'status', 'policy', 'max', 'created', 'kept_for')
if not game[1] then
  return {'GAME_SESSION_NOT_FOUND'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local created = string.format('%.0f', now)
local group = (#KEYS - 4) / 3

local refs = {}
for i = 1, group do
  refs[i] = ARGV[3 + 3 * i]
end
local standing = redis.call('ZMSCORE', KEYS[2], unpack(refs))
local reply = {'OK', now, {}}
local known = 0
for i = 1, group do
  reply[3 + i] = {}
  if standing[i] then
    known = known + 1
    reply[3 + i] = redis.call('HMGET', KEYS[2 + 3 * i], 'game_session', 'player', 'data', 'status', 'created', 'deadline', 'ended')
  end
end
if game[4] ~= ARGV[5] then
  reply[3] = redis.call('HMGET', KEYS[1], 'fleet', 'id', 'ip', 'dns', 'port', 'created')
end
if known == group then
  return reply
end
if ARGV[3] ~= '0' and redis.call('EXISTS', KEYS[4]) == 1 then
  return {'SEALED'}
end
local taken = redis.call('ZCOUNT', KEYS[2], '(' .. created, '+inf')
local refused = true
if game[1] ~= 'ACTIVE' then
  reply = {'NOT_ACTIVE', game[1]}
elseif game[5] and game[5] ~= ARGV[4] or not game[5] and game[2] ~= 'ACCEPT_ALL' then
  reply = {'DENIED'}
elseif taken + group - known > tonumber(game[3]) then
  reply = {'FULL', game[3], taken}
else
  refused = false
end

if not refused then
  local deadline = string.format('%.0f', now + ARGV[2])
  local added = {}
  for i = 1, group do
    if not standing[i] then
      local ref, player, data = refs[i], ARGV[4 + 3 * i], ARGV[5 + 3 * i]
      local record = {'game_session', ARGV[1], 'player', player, 'status', 'RESERVED', 'created', created, 'deadline', deadline}
      if data ~= '' then
        record[11], record[12] = 'data', data
      end
      redis.call('HSET', KEYS[2 + 3 * i], unpack(record))
      redis.call('SET', KEYS[3 + 3 * i], 1, 'PXAT', deadline)
      redis.call('ZADD', KEYS[4 + 3 * i], created, ref)
      added[#added + 1] = deadline
      added[#added + 1] = ref
    end
  end
  redis.call('ZADD', KEYS[2], unpack(added))
  redis.call('ZADD', KEYS[3], 'LT', deadline, ARGV[1])
elseif ARGV[3] ~= '0' then
  redis.call('SET', KEYS[4], 1, 'PX', ARGV[3])
end
return reply
