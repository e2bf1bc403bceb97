-- activate_game_session.lua: the server process of a game session is ready for its players (ACTIVATING -> ACTIVE).
--
-- One that is ACTIVE already is answered likewise.
--
-- KEYS[1] game session         hash
-- KEYS[2] partition deadlines  sorted set: game session ref -> earliest deadline in ms
-- ARGV[1] game session ref
-- ARGV[2] server process ref and life
--
-- RETURNS OK for_which_try_of_which_placement_it_is_kept
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS NOT_ACTIVATING status
-- RETURNS LATE
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.call('HMGET', KEYS[1], 'process', 'status', 'activate_by', 'kept_for')
if known[1] ~= ARGV[2] then
  return {'GAME_SESSION_NOT_FOUND'} -- on this server process
end
if known[2] == 'ACTIVE' then
  return {'OK', known[4] or ''}
end
if known[2] ~= 'ACTIVATING' then
  return {'NOT_ACTIVATING', known[2]}
end
if tonumber(known[3]) <= now then
  return {'LATE'}
end

redis.call('HSET', KEYS[1], 'status', 'ACTIVE')
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
return {'OK', known[4] or ''}
