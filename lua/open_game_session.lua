-- open_game_session.lua: lets players into a game session that was kept for those of its placement.
--
-- KEYS[1] game session  hash
-- ARGV[1] for which try of which placement it was kept
--
-- RETURNS OK
-- RETURNS NOT_KEPT
if redis.call('HGET', KEYS[1], 'kept_for') ~= ARGV[1] then
  return {'NOT_KEPT'} -- for this try, or no longer
end

redis.call('HDEL', KEYS[1], 'kept_for')
return {'OK'}
