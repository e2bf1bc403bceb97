-- delete_alias.lua: deletes an alias.
--
-- KEYS[1] alias     hash
-- KEYS[2] aliases   sorted set: alias id -> creation in ms
-- KEYS[3] its tags  hash
-- ARGV[1] alias id
--
-- RETURNS OK
-- RETURNS ALIAS_NOT_FOUND
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'ALIAS_NOT_FOUND'}
end

redis.call('DEL', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return {'OK'}
