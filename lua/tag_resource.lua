-- tag_resource.lua: adds tags to a resource, or changes them.
--
-- KEYS[1] resource  hash
-- KEYS[2] its tags  hash
-- ARGV[1] how many tags a resource may have
-- ARGV[2..] tags and their values, one after the other
--
-- RETURNS OK
-- RETURNS RESOURCE_NOT_FOUND
-- RETURNS LIMIT count
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'RESOURCE_NOT_FOUND'}
end
local count = redis.call('HLEN', KEYS[2])
for i = 2, #ARGV, 2 do
  count = count + 1 - redis.call('HEXISTS', KEYS[2], ARGV[i])
end
if count > tonumber(ARGV[1]) then
  return {'LIMIT', count}
end

if #ARGV > 1 then
  redis.call('HSET', KEYS[2], unpack(ARGV, 2))
end
return {'OK'}
