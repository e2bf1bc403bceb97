-- claim_place.lua: notes in which game session a PlacePlayerSessions call tries next, so that a retry of it tries there first.
--
-- KEYS[1] place  string, the id of a game session
-- ARGV[1] id of the game session that refused the call last, empty when none has
-- ARGV[2] id of the game session that it wants to try
-- ARGV[3] how long to keep the note, in ms
--
-- RETURNS OK game_session_id
-- RETURNS NOTED game_session_id
local noted = redis.call('GET', KEYS[1])
if noted and noted ~= ARGV[1] then
  return {'NOTED', noted}
end

redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {'OK', ARGV[2]}
