-- deregister_compute.lua: takes a compute from its fleet, with its tokens.
--
-- KEYS[1] compute                                       hash
-- KEYS[2] computes of the fleet                         sorted set: compute name -> registration in ms
-- KEYS[3] computes of the fleet at the compute's place  sorted set: compute name -> registration in ms
-- KEYS[4] its tokens                                    sorted set: token hash -> expiry in ms
-- ARGV[1] compute name
-- ARGV[2] location to which KEYS[3] belongs
--
-- RETURNS OK
-- RETURNS COMPUTE_NOT_FOUND
-- RETURNS MOVED
local location = redis.call('HGET', KEYS[1], 'location')
if not location then
  return {'COMPUTE_NOT_FOUND'}
end
if location ~= ARGV[2] then
  return {'MOVED'}
end

redis.call('DEL', KEYS[1], KEYS[4])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return {'OK'}
