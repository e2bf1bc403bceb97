-- open_store.lua: reads the facts that a store keeps for good, setting them at its first use.
--
-- KEYS[1] store  hash
-- ARGV[1] format of the stored data
-- ARGV[2] number of partitions
-- ARGV[3] secret from which ids are derived
-- ARGV[4] region
--
-- RETURNS OK format partitions secret region
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'partitions', ARGV[2], 'secret', ARGV[3], 'region', ARGV[4])
end
local store = redis.call('HMGET', KEYS[1], 'format', 'partitions', 'secret', 'region')
return {'OK', store[1], store[2], store[3], store[4]}
