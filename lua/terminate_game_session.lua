-- terminate_game_session.lua: begins to end a game session. Nobody gets in any more; finish_game_session.lua does the rest.
--
-- A game session that is ending or has ended is left as it is.
--
-- KEYS[1] game session         hash
-- KEYS[2] partition deadlines  sorted set: game session ref -> earliest deadline in ms
-- ARGV[1] game session ref
-- ARGV[2] reason, empty for none
-- ARGV[3] how long its server process may take to end it, in ms; 0 if nobody waits for that
--
-- RETURNS OK
-- RETURNS GAME_SESSION_NOT_FOUND
-- RETURNS NOT_ENDABLE game_session_status
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return {'GAME_SESSION_NOT_FOUND'}
end
if status == 'ERROR' then
  return {'NOT_ENDABLE', status}
end
if status == 'TERMINATING' or status == 'TERMINATED' then
  return {'OK'}
end
local end_by = string.format('%.0f', now + ARGV[3])

redis.call('HSET', KEYS[1], 'status', 'TERMINATING', 'reason', ARGV[2], 'end_by', end_by)
redis.call('ZADD', KEYS[2], 'LT', end_by, ARGV[1]) -- should nobody finish it, a sweep does
return {'OK'}
